"""A made order book as published frames: L2, quotes, snapshots and book_ticker of one day, and trades inside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from heapq import nlargest, nsmallest
from itertools import groupby
from operator import itemgetter

import numpy as np
import polars as pl

from market_data.model.data_types import TABLES, DataType
from market_data.quality.hours import DAY_US, midnight_us

DAY = date(2024, 8, 8)
_DEPTH, _TICK = 40, 0.5
Frames = dict[DataType, pl.DataFrame]


def make_day(seed: int, messages: int = 1500, *, levels: int = 25, lost: Collection[int] = ()) -> Frames:
    """Return the frames of one instrument; every snapshot and quote is what the L2 rows make, computed another way.

    Messages that are `lost` never reached the recorder: its book, and all that is made of it, goes on without them;
    trades and the venue's own best prices do not.
    """
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(np.arange(1, DAY_US // 1000), messages, replace=False)) * 1000 + midnight_us(DAY)
    venue: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    recorder: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    rows: list[tuple[object, ...]] = []
    snapshots, quotes, ticker = [], [], []
    middle = 1000
    for number, time in enumerate(times.tolist()):
        middle += int(rng.integers(-1, 2))
        message = list(_changes(rng, venue, middle))
        asks, bids = (_best(venue, side, 1)[0] for side in ("ask", "bid"))
        ticker.append((time, asks[1], asks[0], bids[0], bids[1]))
        if number in lost:
            continue
        for side, price, amount in message:
            rows.append((time, number == 0, side, price, amount))
            if amount:
                recorder[side][price] = amount
            else:
                recorder[side].pop(price, None)
        best = _best(recorder, "ask", levels), _best(recorder, "bid", levels)
        snapshots.append((time, *(value for pair in zip(*best, strict=True) for level in pair for value in level)))
        quotes.append((time, best[0][0][1], best[0][0][0], best[1][0][0], best[1][0][1]))
    frames = {
        DataType.INCREMENTAL_BOOK_L2: _frame(
            DataType.INCREMENTAL_BOOK_L2, rows, ["local_timestamp", "is_snapshot", "side", "price", "amount"]
        ),
        DataType.BOOK_SNAPSHOT_25: _frame(DataType.BOOK_SNAPSHOT_25, snapshots),
        DataType.BOOK_SNAPSHOT_5: _frame(DataType.BOOK_SNAPSHOT_5, [row[:21] for row in snapshots]),
        DataType.QUOTES: _frame(DataType.QUOTES, quotes),
        DataType.BOOK_TICKER: _frame(DataType.BOOK_TICKER, ticker),
    }
    at = np.sort(rng.integers(0, messages, max(400, messages // 2)))
    trades = [(int(times[it]) + 1, ticker[it][2 if rng.integers(2) else 3]) for it in at]
    frames[DataType.TRADES] = pl.DataFrame(
        trades, schema={"local_timestamp": pl.Int64(), "price": pl.Float64()}, orient="row"
    ).with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")))
    return frames


def record_again(l2: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Return quotes or snapshots with the levels that a book made of the L2 rows has at their instants.

    A message is what came at one instant; one that is an image begins the book anew.
    """
    names = [name for name in shown.columns if name.startswith(("ask", "bid"))]
    levels = max(1, len(names) // 4)
    book: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    wanted, rows = set(shown["local_timestamp"].dt.epoch("us").to_list()), {}
    was_image = False
    columns = (pl.col("local_timestamp").dt.epoch("us"), "is_snapshot", "side", "price", "amount")
    for time, message in groupby(l2.select(columns).iter_rows(), key=itemgetter(0)):
        for _, is_image, side, price, amount in message:
            if is_image and not was_image:
                book = {"bid": {}, "ask": {}}
            was_image = is_image
            if amount:
                book[side][price] = amount
            else:
                book[side].pop(price, None)
        if time in wanted:
            best = _best(book, "ask", levels), _best(book, "bid", levels)
            rows[time] = {
                name + suffix: level[number]
                for side, found in zip(("ask", "bid"), best, strict=True)
                for place, level in enumerate(found)
                for number, name in enumerate((f"{side}_price", f"{side}_amount"))
                for suffix in ([f"_{place}"] if levels > 1 else [""])
            }
    times = shown["local_timestamp"].dt.epoch("us").to_list()
    made = pl.DataFrame([dict.fromkeys(names) | rows[it] for it in times], schema=dict.fromkeys(names, pl.Float64()))
    return shown.with_columns(made)


def _changes(
    rng: np.random.Generator, book: dict[str, dict[float, float]], middle: int
) -> Iterator[tuple[str, float, float]]:
    """Change the venue's book to one around `middle`, and yield what its message says: removals have no amount."""
    for side, sign in (("bid", -1), ("ask", 1)):
        wanted = {(middle + sign * (1 + depth)) * _TICK for depth in range(_DEPTH)}
        for price in sorted(set(book[side]) - wanted):
            del book[side][price]
            yield side, price, 0.0
        missing = sorted(wanted - set(book[side]))
        for price in missing or [sorted(wanted)[int(rng.integers(_DEPTH))]]:
            book[side][price] = float(rng.integers(1, 500)) / 4
            yield side, price, book[side][price]


def _best(book: dict[str, dict[float, float]], side: str, levels: int) -> list[tuple[float, float]]:
    return nlargest(levels, book[side].items()) if side == "bid" else nsmallest(levels, book[side].items())


def _frame(data_type: DataType, rows: Sequence[tuple[object, ...]], names: list[str] | None = None) -> pl.DataFrame:
    columns = names or ["local_timestamp", *(column.name for column in TABLES[data_type].vendor_columns[4:])]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")))
