"""Rows of the data types that show the book: incremental_book_L2, book_snapshot_5/25, quotes and book_ticker."""

from __future__ import annotations

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.simulator.market.books import IMAGE_VENUES, Depth, Flags, Touch, make_depth, random_lots, usual_lots
from market_data.simulator.market.frames import Columns, frame, nullable, numbers_of, venue_times
from market_data.simulator.market.markets import Market
from market_data.simulator.market.prices import Ints, random_stream

_MESSAGE, _SIDE, _PRICE, _AMOUNT, _SNAPSHOT = range(5)
_RECONNECT_SHARE = 0.3  # of the days
_ASK, _BID = 0, 1  # asks stand before bids within a message


def _rows(messages: Ints, side: int, prices: Ints, amounts: Ints, *, is_snapshot: bool = False) -> Ints:
    block = np.empty((5, len(messages)), dtype=np.int64)
    block[_MESSAGE], block[_SIDE], block[_PRICE], block[_AMOUNT] = messages, side, prices, amounts
    block[_SNAPSHOT] = is_snapshot
    return block


def _touch_changes(side: int, prices: Ints, amounts: Ints) -> list[Ints]:
    moved = prices[1:] != prices[:-1]
    removed = (amounts[:-1] > 0) & (moved | (amounts[1:] == 0))
    is_set = (amounts[1:] > 0) & (moved | (amounts[1:] != amounts[:-1]))
    out, new = np.nonzero(removed)[0], np.nonzero(is_set)[0]
    return [
        _rows(out + 1, side, prices[out], np.zeros_like(out)),
        _rows(new + 1, side, prices[new + 1], amounts[new + 1]),
    ]


def _side_amounts(depth: Depth, side: int) -> Ints:
    return np.maximum(depth.amounts if side == _ASK else -depth.amounts, 0)


def _depth_changes(side: int, touch: Touch, depth: Depth) -> Ints:
    amounts = _side_amounts(depth, side)
    messages, cells = np.nonzero(amounts[1:] != amounts[:-1])
    return _rows(messages + 1, side, (cells + depth.first_cell) * touch.grid, amounts[messages + 1, cells])


def _images(messages: Ints, touch: Touch, depth: Depth) -> list[Ints]:
    """Return the whole book after some messages."""
    blocks = []
    for side, price, amount in ((_ASK, touch.ask, touch.ask_amount), (_BID, touch.bid, touch.bid_amount)):
        amounts = _side_amounts(depth, side)[messages]
        at, cells = np.nonzero(amounts)
        behind = _rows(
            messages[at], side, (cells + depth.first_cell) * touch.grid, amounts[at, cells], is_snapshot=True
        )
        filled = messages[amount[messages] > 0]
        blocks += [behind, _rows(filled, side, price[filled], amount[filled], is_snapshot=True)]
    return blocks


def _oddities(touch: Touch, depth: Depth) -> list[Ints]:
    # Snapshots with a zero amount and removals of levels nobody has seen are common in the vendor's files.
    beyond = (touch.cell + depth.levels + 3) * touch.grid
    last = len(touch.times_us) - 1
    some = np.unique(np.array([last // 3, last // 2 + 1, last], dtype=np.int64))
    return [
        _rows(np.zeros(1, dtype=np.int64), _ASK, beyond[:1], np.zeros(1, dtype=np.int64), is_snapshot=True),
        _rows(some, _ASK, beyond[some], np.zeros_like(some)),
    ]


def _book_messages(market: Market, touch: Touch) -> Ints:
    depth = make_depth(market, touch)
    every = np.arange(len(touch.times_us))
    if market.exchange_id in IMAGE_VENUES:
        return np.concatenate(_images(every, touch, depth), axis=1)
    blocks = _images(every[:1], touch, depth)
    for side, price, amount in ((_ASK, touch.ask, touch.ask_amount), (_BID, touch.bid, touch.bid_amount)):
        blocks += [*_touch_changes(side, price, amount), _depth_changes(side, touch, depth)]
    if market.exchange_id == "binance-futures":
        blocks += _oddities(touch, depth)
    rng = random_stream(market.seed, market.exchange_id, market.listing.symbol, market.day, "reconnect")
    rows = np.concatenate(blocks, axis=1)
    if rng.random() < _RECONNECT_SHARE:  # the collector lost its connection and starts over with a full image
        again = every[len(every) * 2 // 3 :][:1]
        rows = np.concatenate((rows[:, rows[_MESSAGE] != again[0]], *_images(again, touch, depth)), axis=1)
    return rows


def incremental_rows(market: Market, touch: Touch) -> pl.DataFrame:
    """Return the opening snapshot and the changes of each later message; some days hold a second snapshot."""
    rows = _book_messages(market, touch)
    from_the_touch = np.where(rows[_SIDE] == _ASK, rows[_PRICE], -rows[_PRICE])
    rows = rows[:, np.lexsort((from_the_touch, rows[_SIDE], rows[_MESSAGE]))]
    received = touch.times_us[rows[_MESSAGE]]
    sent = venue_times(market, received, touch.latency_us[rows[_MESSAGE]])
    if market.exchange_id == "binance":  # a snapshot asked for over REST carries no time of the venue
        sent = np.where(rows[_SNAPSHOT] == 1, market.midnight_us + received, sent)
    columns: Columns = {
        "is_snapshot": pl.Series(rows[_SNAPSHOT] == 1),
        "side": pl.Series(np.where(rows[_SIDE] == _ASK, "ask", "bid")),
        "price": numbers_of(rows[_PRICE], market.terms.tick),
        "amount": numbers_of(rows[_AMOUNT], market.terms.lot),
    }
    return frame(market, DataType.INCREMENTAL_BOOK_L2, sent, received, columns)


def _changed(cells: Ints) -> Flags:
    changed = np.ones(len(cells), dtype=bool)
    changed[1:] = (cells[1:] != cells[:-1]).any(axis=1)
    return changed


def _sent(market: Market, touch: Touch, message: Ints) -> Ints:
    sent = venue_times(market, touch.times_us[message], touch.latency_us[message])
    if market.exchange_id == "binance" and len(sent):
        sent[0] = market.midnight_us + touch.times_us[0]
    return sent


def quote_rows(market: Market, touch: Touch) -> pl.DataFrame:
    """Return the best prices after each message that changed one of them."""
    cells = np.stack((touch.ask_amount, touch.ask, touch.bid, touch.bid_amount), axis=1)
    message = np.nonzero(_changed(cells))[0]
    return _top_of_book(market, DataType.QUOTES, _sent(market, touch, message), touch.times_us[message], cells[message])


def ticker_rows(market: Market, touch: Touch) -> pl.DataFrame:
    """Return the venue's own best-price feed: about twice the messages of the book, on the same prices."""
    rng = random_stream(market.seed, market.exchange_id, market.listing.symbol, market.day, "book_ticker")
    echoes = touch.times_us + rng.integers(100, 90_000, len(touch.times_us))
    received = np.sort(np.concatenate((touch.times_us, echoes[echoes < market.close_us])))
    message = np.searchsorted(touch.times_us, received, side="right") - 1
    lots = random_lots(rng, usual_lots(market, float(touch.bid.mean()) * market.terms.tick.value), len(received))
    bid_amount = np.where(touch.bid_amount[message] > 0, touch.bid_amount[message], 0)
    cells = np.stack((lots, touch.ask[message], touch.bid[message], bid_amount), axis=1)
    sent = venue_times(market, received, touch.latency_us[message])
    if market.exchange_id == "binance":
        sent = market.midnight_us + received  # the spot feed carries no time
    return _top_of_book(market, DataType.BOOK_TICKER, sent, received, cells)


def _top_of_book(market: Market, data_type: DataType, sent: Ints, received: Ints, cells: Ints) -> pl.DataFrame:
    has_bid = cells[:, 3] > 0
    columns: Columns = {
        "ask_amount": numbers_of(cells[:, 0], market.terms.lot),
        "ask_price": numbers_of(cells[:, 1], market.terms.tick),
        "bid_price": nullable(numbers_of(cells[:, 2], market.terms.tick), has_bid),
        "bid_amount": nullable(numbers_of(cells[:, 3], market.terms.lot), has_bid),
    }
    return frame(market, data_type, sent, received, columns)


def snapshot_rows(market: Market, touch: Touch, data_type: DataType) -> pl.DataFrame:
    """Return the top 5 or 25 levels after each message that changed one of them; missing levels are empty cells."""
    levels = 5 if data_type is DataType.BOOK_SNAPSHOT_5 else 25
    depth = make_depth(market, touch)
    behind = np.arange(1, levels)
    messages = np.arange(len(touch.times_us))[:, None]
    ask_cells, bid_cells = touch.cell[:, None] + behind, touch.cell[:, None] + 1 - behind
    width = depth.amounts.shape[1]
    asks = depth.amounts[messages, np.clip(ask_cells - depth.first_cell, 0, width - 1)]
    bids = -depth.amounts[messages, np.clip(bid_cells - depth.first_cell, 0, width - 1)]
    sides = {
        "asks": (
            np.column_stack((touch.ask, ask_cells * touch.grid)),
            np.column_stack((touch.ask_amount, np.where(behind <= depth.levels, np.maximum(asks, 0), 0))),
        ),
        "bids": (
            np.column_stack((touch.bid, bid_cells * touch.grid)),
            np.column_stack((touch.bid_amount, np.where(behind <= depth.levels, np.maximum(bids, 0), 0))),
        ),
    }
    # A missing level has no price either, or moves of an empty cell would count as changes.
    state = np.concatenate(
        [np.where(lots > 0, part, 0) for prices, lots in sides.values() for part in (prices, lots)], 1
    )
    kept = np.nonzero(_changed(state))[0]
    columns: dict[str, pl.Series] = {}
    for side, (prices, lots) in sides.items():
        has_level = lots[kept] > 0
        for level in range(levels):
            for field, values, step in (("price", prices, market.terms.tick), ("amount", lots, market.terms.lot)):
                numbers = numbers_of(values[kept, level], step)
                is_whole = bool(has_level[:, level].all())
                name = f"{side}[{level}].{field}"
                columns[name] = pl.Series(numbers) if is_whole else nullable(numbers, has_level[:, level])
    return frame(market, data_type, _sent(market, touch, kept), touch.times_us[kept], columns)
