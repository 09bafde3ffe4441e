"""A made order book as published frames: L2, quotes, snapshots and book_ticker of one day, and trades inside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from market_data.model.data_types import TABLES, DataType
from market_data.quality.hours import DAY_US, midnight_us

DAY = date(2024, 8, 8)
_DEPTH, _TICK = 40, 0.5
Frames = dict[DataType, pl.DataFrame]


def make_day(seed: int, messages: int = 1500, *, levels: int = 25) -> Frames:
    """Return the frames of one instrument; every snapshot and quote is what the L2 rows make, computed another way."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(np.arange(1, DAY_US // 1000), messages, replace=False)) * 1000 + midnight_us(DAY)
    bids: dict[float, float] = {}
    asks: dict[float, float] = {}
    rows: list[tuple[int, bool, str, float, float]] = []
    snapshots, quotes = [], []
    middle = 1000
    for number, time in enumerate(times.tolist()):
        middle += int(rng.integers(-1, 2))
        is_image = number == 0
        for side, book, sign in (("bid", bids, -1), ("ask", asks, 1)):
            wanted = {(middle + sign * (1 + depth)) * _TICK for depth in range(_DEPTH)}
            for price in sorted(set(book) - wanted):
                del book[price]
                rows.append((time, is_image, side, price, 0.0))
            missing = sorted(wanted - set(book))
            changed = missing or [sorted(wanted)[int(rng.integers(_DEPTH))]]
            for price in changed:
                book[price] = float(rng.integers(1, 500)) / 4
                rows.append((time, is_image, side, price, book[price]))
        best = [*sorted(asks.items())[:levels]], [*sorted(bids.items(), reverse=True)[:levels]]
        snapshots.append((time, *(value for pair in zip(*best, strict=True) for level in pair for value in level)))
        quotes.append((time, best[0][0][1], best[0][0][0], best[1][0][0], best[1][0][1]))
    frames = {
        DataType.INCREMENTAL_BOOK_L2: _frame(
            DataType.INCREMENTAL_BOOK_L2, rows, ["local_timestamp", "is_snapshot", "side", "price", "amount"]
        ),
        DataType.BOOK_SNAPSHOT_25: _frame(DataType.BOOK_SNAPSHOT_25, snapshots),
        DataType.BOOK_SNAPSHOT_5: _frame(DataType.BOOK_SNAPSHOT_5, [row[:21] for row in snapshots]),
        DataType.QUOTES: _frame(DataType.QUOTES, quotes),
        DataType.BOOK_TICKER: _frame(DataType.BOOK_TICKER, quotes),
    }
    at = rng.integers(0, messages, 400)
    trades = [(int(times[it]) + 1, quotes[it][2 if rng.integers(2) else 3]) for it in np.sort(at)]
    frames[DataType.TRADES] = pl.DataFrame(
        trades, schema={"local_timestamp": pl.Int64(), "price": pl.Float64()}, orient="row"
    ).with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")))
    return frames


def _frame(data_type: DataType, rows: Sequence[tuple[object, ...]], names: list[str] | None = None) -> pl.DataFrame:
    columns = names or ["local_timestamp", *(column.name for column in TABLES[data_type].vendor_columns[4:])]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")))
