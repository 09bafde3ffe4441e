"""Statistics of one tick file, gathered piece by piece while its rows are written, in bounded memory.

They depend on the rows alone, not on the pieces. Every look costs little beside parsing: order, silence and repeats
compare neighbouring rows only (whole-file sets would cost more than the decode itself), and columns are compared as
slices of themselves, without copies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.ticks.rules import TickStats

# The middle delay is put together from those of so many rows each: a change shows in receipts.
_BATCH_ROWS = 250_000

_SIDES = {
    DataType.TRADES: ("buy", "sell", "unknown"),
    DataType.LIQUIDATIONS: ("buy", "sell", "unknown"),
    DataType.INCREMENTAL_BOOK_L2: ("bid", "ask"),
}
_TOP_OF_BOOK = {
    DataType.QUOTES: ("bid_price", "ask_price", "bid_amount", "ask_amount"),
    DataType.BOOK_TICKER: ("bid_price", "ask_price", "bid_amount", "ask_amount"),
    DataType.BOOK_SNAPSHOT_5: ("bid_price_0", "ask_price_0", "bid_amount_0", "ask_amount_0"),
    DataType.BOOK_SNAPSHOT_25: ("bid_price_0", "ask_price_0", "bid_amount_0", "ask_amount_0"),
}
# What a venue still sends while it settles a contract.
_SETTLING_US = 60_000_000
_SUMMARIZED_PRICES = ("price", "last_price", "bid_price", "bid_price_0")
_DEARNESS = (ColumnKind.NUMBER, ColumnKind.TIME, ColumnKind.FLAG, ColumnKind.TEXT)
# of wide books the first levels tell whether a row repeats the one before
_COMPARED_COLUMNS = 14
_SAMPLED_DELAYS = 20_000
_MICROSECONDS = 1e6
_BEYOND_INTEGERS = 2.0**53
_DAY_SECONDS = 86_400


def measure_ticks(path: Path, data_type: DataType) -> TickStats:
    """Return the statistics of a Parquet file with at least one row; times are seconds, counts are rows."""
    meter = TickMeter(data_type)
    pl.scan_parquet(path, glob=False).sink_batches(meter.add, chunk_size=_BATCH_ROWS)
    return meter.stats()


class TickMeter:
    """Looks at the rows of one tick file in their order; `add` each batch, then ask for `stats`.

    `expires_at` is when the file's contract expires; rows of an options chain say it themselves.
    """

    def __init__(self, data_type: DataType, expires_at: datetime | None = None) -> None:
        spec = TABLES[data_type]
        names = [column.name for column in spec.vendor_columns]
        self._data_type = data_type
        self._nullable = [column.name for column in spec.vendor_columns if column.is_nullable]
        self._numbers = [column.name for column in spec.vendor_columns if column.kind is ColumnKind.NUMBER]
        self._price = next((name for name in _SUMMARIZED_PRICES if name in names), None)
        compared = [
            column
            for column in spec.vendor_columns[: _COMPARED_COLUMNS if data_type in _TOP_OF_BOOK else None]
            if column.name != "local_timestamp"
        ]
        # numbers first, text last: numbers are compared faster, and seldom leave a pair to compare further
        self._compared = [c.name for c in sorted(compared, key=lambda column: _DEARNESS.index(column.kind))]
        self._rows = 0
        self._settled_us = None if expires_at is None else int(expires_at.timestamp() * _MICROSECONDS) + _SETTLING_US
        self._counts: Counter[str] = Counter()
        self._nulls: Counter[str] = Counter()
        self._delays: list[tuple[float, int]] = []
        self._waiting_delays: list[npt.NDArray[np.int64]] = []
        self._silence_us: int | None = None
        self._lowest, self._highest = math.inf, -math.inf
        self._first_us: int | None = None
        self._last_us: int | None = None
        self._last_row: pl.DataFrame | None = None

    def add(self, batch: pl.DataFrame) -> None:
        """Look at the next rows."""
        if batch.is_empty():
            return
        if self._last_row is not None:
            self._compare_neighbours(pl.concat([self._last_row, batch.head(1)]))
        elif self._data_type is DataType.INCREMENTAL_BOOK_L2:
            self._counts["opens_without_snapshot"] = int(not batch["is_snapshot"][0])
        self._compare_neighbours(batch)
        self._count_values(batch)
        self._measure_times(batch)
        if self._price is not None and batch[self._price].null_count() < batch.height:
            self._lowest = min(self._lowest, cast("float", batch[self._price].min()))
            self._highest = max(self._highest, cast("float", batch[self._price].max()))
        self._count_odd_numbers(batch)
        self._nulls.update({name: batch[name].null_count() for name in self._nullable})
        self._rows += batch.height
        self._last_row = batch.tail(1)

    def stats(self) -> TickStats:
        """Return the statistics of all rows so far; raises ValueError when there was none."""
        if self._first_us is None or self._last_us is None:
            raise ValueError("a tick file without rows has no statistics")
        measures = {
            "first_row_seconds": self._first_us / _MICROSECONDS % _DAY_SECONDS,
            "last_row_seconds": self._last_us / _MICROSECONDS % _DAY_SECONDS,
        }
        if delays := self._delays + _median_delay(self._waiting_delays):
            measures["median_delay_seconds"] = _weighted_median(delays) / _MICROSECONDS
        if self._silence_us is not None:
            measures["longest_silence_seconds"] = self._silence_us / _MICROSECONDS
        if self._lowest <= self._highest and math.isfinite(self._highest - self._lowest):
            measures |= {f"lowest_{self._price}": self._lowest, f"highest_{self._price}": self._highest}
        nulls = {name: count for name, count in self._nulls.items() if count}
        return TickStats(rows=self._rows, counts=dict(self._counts), measures=measures, nulls=nulls)

    def _compare_neighbours(self, rows: pl.DataFrame) -> None:
        steps = np.diff(_microseconds(rows, "local_timestamp"))
        self._counts["arrival_steps_back"] += int(np.count_nonzero(steps < 0))
        if steps.size:
            self._silence_us = max(int(steps.max()), self._silence_us or 0)
        self._counts["rows_repeated"] += _count_repeated(rows, self._compared)
        if self._data_type is DataType.TRADES:
            ids = rows["id"].rechunk()
            self._counts["ids_repeated"] += _count(ids[1:] == ids[:-1])

    def _count_values(self, batch: pl.DataFrame) -> None:
        counts: dict[str, int] = {}
        if self._data_type in _SIDES:
            counts = _count_sided(batch, _SIDES[self._data_type])
        elif self._data_type in _TOP_OF_BOOK:
            counts = _count_book(batch, _TOP_OF_BOOK[self._data_type])
        elif self._data_type is DataType.DERIVATIVE_TICKER:
            values = [pl.col(c.name).is_null() for c in TABLES[self._data_type].vendor_columns[4:]]
            counts = {"rows_without_value": batch.select(pl.all_horizontal(values).sum()).item()}
        elif self._data_type is DataType.OPTIONS_CHAIN:
            volatilities = [pl.col(name) < 0 for name in ("bid_iv", "ask_iv", "mark_iv")]
            expired = pl.col("local_timestamp").to_physical() - _SETTLING_US > pl.col("expiration").to_physical()
            # a placeholder (0) is no expiry
            has_terms = pl.col("type").is_in(["call", "put"]) & (pl.col("strike_price") > 0)
            has_terms &= pl.col("expiration").to_physical() > 0
            counts = {
                "deltas_out_of_range": _count(batch["delta"].abs() > 1),
                "volatilities_negative": batch.select(pl.any_horizontal(volatilities).sum()).item(),
                "rows_without_terms": batch.height - batch.select(has_terms.sum()).item(),
                "rows_after_expiry": batch.select((expired & has_terms).sum()).item(),
            }
        self._counts.update(counts)

    def _count_odd_numbers(self, batch: pl.DataFrame) -> None:
        """Count cells that are not finite, and integers that a double may not hold: of 2^53 and more."""
        not_finite = rounded = 0
        for name in self._numbers:
            numbers = batch[name]
            # one fast pass tells that there is neither: the sum is finite unless a cell is not (or it overflows)
            if abs(float(numbers.sum())) < _BEYOND_INTEGERS:
                continue
            not_finite += _count(~numbers.is_finite())
            rounded += _count(numbers.is_finite() & (numbers.abs() >= _BEYOND_INTEGERS))
        self._counts["cells_not_finite"] += not_finite
        if rounded:
            self._counts["cells_rounded"] += rounded

    def _measure_times(self, batch: pl.DataFrame) -> None:
        arrival = _microseconds(batch, "local_timestamp")
        self._first_us = int(arrival[0]) if self._first_us is None else self._first_us
        self._last_us = int(arrival[-1])
        if self._settled_us is not None and self._data_type is not DataType.OPTIONS_CHAIN:
            self._counts["rows_after_expiry"] += int(np.count_nonzero(arrival > self._settled_us))
        delays = arrival - _microseconds(batch, "timestamp")
        while delays.size:
            room = _BATCH_ROWS - sum(waiting.size for waiting in self._waiting_delays)
            self._waiting_delays.append(delays[:room])
            delays = delays[room:]
            if room <= self._waiting_delays[-1].size:
                self._delays += _median_delay(self._waiting_delays)
                self._waiting_delays = []


def _microseconds(rows: pl.DataFrame, column: str) -> npt.NDArray[np.int64]:
    """Return a time column that is never empty; a view, no copy."""
    return rows[column].to_numpy().view(np.int64)


def _count_sided(batch: pl.DataFrame, sides: tuple[str, ...]) -> dict[str, int]:
    side = batch["side"]
    # the two usual sides are counted by plain comparisons; a set is asked only when they do not make up all rows
    usual = _count(side == sides[0]) + _count(side == sides[1])
    unknown = 0 if usual == batch.height else _count(~side.is_in(sides))
    return {
        "sides_unknown": unknown,
        "prices_not_positive": _count(batch["price"] <= 0),
        "amounts_negative": _count(batch["amount"] < 0),
    }


def _count_book(batch: pl.DataFrame, columns: tuple[str, ...]) -> dict[str, int]:
    bid, ask, bid_amount, ask_amount = (batch[name] for name in columns)
    if (bid == 0).any() or (ask == 0).any():
        # some venues print a side that is empty as price 0, amount 0; others leave it out
        bid, ask = (
            price.set(((price == 0) & (amount == 0)).fill_null(value=False), None)
            for price, amount in ((bid, bid_amount), (ask, ask_amount))
        )
    has_gaps, is_whole = bid.null_count() and ask.null_count(), not (bid.null_count() or ask.null_count())
    return {
        "rows_one_sided": 0 if is_whole else _count(bid.is_null() ^ ask.is_null()),
        "rows_crossed": _count(bid > ask),
        "rows_locked": _count(bid == ask),
        "rows_without_value": _count(bid.is_null() & ask.is_null()) if has_gaps else 0,
        "prices_not_positive": _count((bid <= 0) | (ask <= 0)),
        "amounts_negative": _count((bid_amount < 0) | (ask_amount < 0)),
    }


def _count(flags: pl.Series) -> int:
    """Return how many are true; a comparison with an empty cell is neither."""
    return int(flags.sum())


def _count_repeated(rows: pl.DataFrame, columns: Iterable[str]) -> int:
    """Return how many rows equal the one before in all columns; stops where no pair is left."""
    pairs: pl.Series | None = None
    for name in columns:
        column = rows[name].rechunk()  # neighbours are slices of it
        before, after = column[:-1], column[1:]
        equal = before.eq_missing(after) if column.null_count() else before == after
        pairs = equal if pairs is None else pairs & equal
        if not pairs.any():
            return 0
    return 0 if pairs is None else _count(pairs)


def _median_delay(pieces: list[npt.NDArray[np.int64]]) -> list[tuple[float, int]]:
    """Return the middle delay of a batch and its rows, as an item; none where the venue sends no times of its own."""
    if not pieces:
        return []
    delays = np.concatenate(pieces)
    # a sample tells the middle as well, and sorting is the dearest of all looks
    delays = delays[:: 1 + delays.size // _SAMPLED_DELAYS]
    delays = delays[delays != 0]  # equal times mean that the venue sent none
    return [(float(np.median(delays)), delays.size)] if delays.size else []


def _weighted_median(values: list[tuple[float, int]]) -> float:
    """Return the median of batches' medians, each as often as it has rows: exact for one batch, close for many."""
    if len(values) == 1:
        return values[0][0]
    least = min(weight for _, weight in values)
    return median(value for value, weight in values for _ in range(max(1, round(weight / least))))
