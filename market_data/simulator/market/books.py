"""A consistent order book of one day, computed as arrays: every data type with a best price is derived from it.

A message is one instant at which the venue published a change. The touch (best bid and ask) moves in single ticks
inside a cell of a coarser price grid; the levels behind it sit on the grid. Touch prices are never multiples of the
grid step, so a level behind the touch and the touch itself cannot share a price, and each message's changes are the
difference of two states. Prices and amounts are whole multiples of the tick and the lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from market_data.simulator.market.markets import Market
from market_data.simulator.market.prices import Floats, Ints, random_stream, rough_usd

Flags = npt.NDArray[np.bool_]

_BUSIEST_MESSAGES = 800
_FEWEST_MESSAGES = 12
_SMALLEST_GRID = 4  # ticks: room for a touch strictly between two grid prices
_WIDEST_GRID_CELLS = 600
_DEPTH = 30  # grid levels a side; options have fewer than a 25-level snapshot shows
_OPTION_DEPTH = 8
_WIDE_SHARE = 0.2  # of the messages show a spread of two ticks
_REFILL_SHARE = 0.7  # of the messages change an amount at the touch
_NOTIONAL = 2500.0  # US dollars of a usual level
# Venues whose L2 feed is images of the top 15 levels, never changes.
IMAGE_VENUES = frozenset({"bitget", "bitget-futures"})
_IMAGE_DEPTH = 14  # behind the touch


@dataclass(frozen=True, slots=True)
class Touch:
    """The best prices after each message; times in microseconds since midnight, prices in ticks, amounts in lots.

    A bid amount of 0 means that the side is empty.
    """

    times_us: Ints
    latency_us: Ints
    grid: int
    cell: Ints
    bid: Ints
    ask: Ints
    bid_amount: Ints
    ask_amount: Ints


@dataclass(frozen=True, slots=True)
class Depth:
    """The levels behind the touch: `amounts[m, c]` is positive for an ask, negative for a bid, 0 for nothing."""

    first_cell: int
    levels: int
    amounts: Ints


def hold_last(changed: Flags, values: Ints) -> Ints:
    """Carry the value of the last changed row forward along the first axis; row 0 counts as changed."""
    rows = np.arange(len(changed)).reshape(-1, *([1] * (changed.ndim - 1)))
    last = np.maximum.accumulate(np.where(changed, rows, 0), axis=0)
    return np.take_along_axis(values, last, axis=0)


def usual_lots(market: Market, price: float) -> float:
    """Return the number of lots in a usual order."""
    terms = market.terms
    lot_value = terms.lot_value if terms.lot_value is not None else terms.lot.value * abs(price)
    notional = _NOTIONAL / (rough_usd(terms.quote) if terms.lot_value is None else 1)
    return max(notional / max(lot_value, 1e-12), 1.0)


def random_lots(rng: np.random.Generator, usual: float, shape: int | tuple[int, ...]) -> Ints:
    """Return amounts in lots, at least 1, with the long tail of real orders."""
    return np.maximum(1, np.round(usual * rng.lognormal(-0.5, 1.2, shape))).astype(np.int64)


def random_latency(rng: np.random.Generator, count: int) -> Ints:
    """Return delays between the venue's clock and the recorder's, in microseconds."""
    return np.round(3_000 + 9_000 * rng.lognormal(0.0, 0.8, count)).astype(np.int64)


def random_times(rng: np.random.Generator, count: int, start_us: int, end_us: int) -> Ints:
    """Return at most `count` increasing instants in (start, end); a third of them follow another closely."""
    lone = rng.integers(start_us + 1, end_us, max(1, count - count // 3))
    burst = lone[: count // 3] + np.round(rng.exponential(60_000.0, len(lone[: count // 3]))).astype(np.int64) + 1
    times = np.unique(np.concatenate((lone, burst)))
    return times[times < end_us]


def make_touch(market: Market, scale: float) -> Touch:
    """Return the day's messages and best prices; `scale` multiplies the number of messages."""
    rng = random_stream(market.seed, market.exchange_id, market.listing.symbol, market.day, "touch")
    count = max(_FEWEST_MESSAGES, round(_BUSIEST_MESSAGES * scale * market.terms.liquidity**0.6))
    # The collector subscribes anew at midnight and misses the first 0.3 to 3 seconds.
    start = market.open_us + int(rng.integers(300_000, 3_000_000))
    times = np.concatenate(([start], random_times(rng, count - 1, start, market.close_us)))
    tick = market.terms.tick.value
    fair = market.fair_prices(times) / tick
    middle = np.round(fair).astype(np.int64)
    grid = _grid_step(middle)
    may_be_negative = market.listing.instrument_type == "combo"
    if not may_be_negative:
        middle = np.maximum(middle, 1)
    cell = middle // grid
    inside = np.clip(middle - cell * grid, 1, grid - 2)
    bid = cell * grid + inside
    room = grid - 1 - inside  # ticks from the bid to the last price of the cell that an ask may take
    ask = bid + np.minimum(room, 1 + (rng.random(len(times)) < _WIDE_SHARE))
    usual = usual_lots(market, float(np.mean(fair)) * tick)
    ask_amount = hold_last(rng.random(len(times)) < _REFILL_SHARE, random_lots(rng, usual, len(times)))
    bid_amount = hold_last(rng.random(len(times)) < _REFILL_SHARE, random_lots(rng, usual, len(times)))
    if not may_be_negative:
        bid_amount = np.where(fair < 1.0, 0, bid_amount)  # nobody bids for a worthless option
    return Touch(times, random_latency(rng, len(times)), grid, cell, bid, ask, bid_amount, ask_amount)


def _grid_step(middle: Ints) -> int:
    # About one cell a message, so that levels enter and leave the book without all changing at once.
    step = int(np.mean(np.abs(np.diff(middle)))) if len(middle) > 1 else 0
    spanned = int(middle.max() - middle.min())
    return max(_SMALLEST_GRID, step, spanned // _WIDEST_GRID_CELLS)


def _levels_of(market: Market) -> int:
    if market.exchange_id in IMAGE_VENUES:
        return _IMAGE_DEPTH
    return _OPTION_DEPTH if market.listing.instrument_type == "option" else _DEPTH


def make_depth(market: Market, touch: Touch) -> Depth:
    """Return the levels behind the touch after each message."""
    rng = random_stream(market.seed, market.exchange_id, market.listing.symbol, market.day, "depth")
    levels = _levels_of(market)
    first = int(touch.cell.min()) - levels
    count = int(touch.cell.max()) + levels + 1 - first
    messages = len(touch.times_us)
    usual = usual_lots(market, float(np.mean(touch.bid)) * market.terms.tick.value)
    # Amounts repeat a pool of 4096: drawing a logarithmic normal for each cell would cost most of the file's time.
    pool = random_lots(rng, usual * 3, 4096)
    drawn = pool[rng.integers(0, len(pool), (messages, count), dtype=np.int16)]
    changed = rng.random((messages, count), dtype=np.float32) < 2.0 / count
    held = hold_last(changed, drawn)
    cells = np.arange(first, first + count)
    above = cells - touch.cell[:, None]
    is_ask = (above > 0) & (above <= levels)
    is_bid = (above <= 0) & (above > -levels) & (touch.bid_amount[:, None] > 0)
    if market.listing.instrument_type != "combo":
        is_bid &= cells > 0
    amounts: Ints = np.where(is_ask, held, np.where(is_bid, -held, 0))
    return Depth(first, levels, amounts)


def to_numbers(multiples: Ints, units: int, decimals: int) -> Floats:
    """Return `multiples * units / 10**decimals`: one correctly rounded division gives the double its decimal names."""
    numbers: Floats = multiples * units / 10**decimals
    return numbers
