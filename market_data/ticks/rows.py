"""The rows of one tick file on their way from text to Parquet: refused where they are not of the file's symbol and day.

Pieces are looked at in their order, each once, so a file of any size is judged in bounded memory.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import cast

import polars as pl

from market_data.errors import TickFileInvalid
from market_data.model.data_types import TABLES, ColumnKind, ColumnSpec
from market_data.model.instruments import file_symbol
from market_data.model.tick_file import TickFile
from market_data.model.venues import exchange_id_of
from market_data.ticks.rules import TickStats
from market_data.ticks.stats import TickMeter

_MICROSECOND_DIGITS = 16
_OTHER_UNITS = {10: "seconds", 13: "milliseconds", 19: "nanoseconds"}  # by digits
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TickRows:
    """What is seen of a file's rows: their symbols, the bounds of `local_timestamp` in microseconds, statistics."""

    def __init__(self, file: TickFile) -> None:
        self.symbols: frozenset[str] = frozenset()
        self.first_arrival_us = 0
        self.last_arrival_us = 0
        self._file = file
        self._spec = TABLES[file.unit.data_type]
        self._exchange_id = exchange_id_of(file.unit.venue)
        self._required = [column for column in self._spec.vendor_columns if not column.is_nullable]
        self._times = [column for column in self._spec.vendor_columns if column.kind is ColumnKind.TIME]
        day_start = datetime.combine(file.unit.day, time(), UTC)
        self._day_us = [_microseconds(day_start), _microseconds(day_start + timedelta(days=1))]
        self._meter = TickMeter(file.unit.data_type, file.expires_at)

    def add(self, rows: pl.DataFrame) -> None:
        """Look at the next rows, with times as integers: microseconds since epoch.

        Raises TickFileInvalid (permanent for these bytes) where they are not of the file.
        """
        self._judge(rows)
        self._meter.add(rows)

    def stats(self) -> TickStats:
        """Return the statistics of all rows."""
        return self._meter.stats()

    def _judge(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            return
        for column in self._required:
            if missing := rows[column.name].null_count():
                raise TickFileInvalid(f"{self._file}: {missing} rows have no {column.csv_name}")
        bounds = {column.name: self._judge_unit(rows[column.name], column) for column in self._times}
        is_other = rows["exchange"] != self._exchange_id
        if is_other.any():
            found = rows["exchange"].filter(is_other)[0]
            raise TickFileInvalid(f"{self._file}: rows are of exchange {found!r}, not {self._exchange_id!r}")
        self._judge_symbols(rows["symbol"])
        self._judge_day(*cast("tuple[int, int]", bounds["local_timestamp"]))

    def _judge_unit(self, moments: pl.Series, column: ColumnSpec) -> tuple[int | None, int | None]:
        """Return the bounds of a time column; None where it has no value."""
        low, high = cast("int | None", moments.min()), cast("int | None", moments.max())
        if not column.is_nullable:
            self._refuse_other_unit(low, column)
            self._refuse_other_unit(high, column)
        elif low and high and len(str(low)) == len(str(high)) in _OTHER_UNITS:
            # a venue may send placeholders (0, the year 9999): it is another unit where all of them are of it
            self._refuse_other_unit(high, column)
        return low, high

    def _judge_symbols(self, symbols: pl.Series) -> None:
        is_one = not self._file.is_group and (symbols == symbols[0]).all()
        found = {symbols[0]} if is_one else set(symbols.unique())
        if found <= self.symbols:
            return
        self.symbols |= found
        if not self._file.is_group and {file_symbol(symbol) for symbol in self.symbols} != {self._file.vendor_symbol}:
            named = " and ".join(sorted(self.symbols)[:3])
            raise TickFileInvalid(f"{self._file}: rows are of symbol {named}, not {self._file.vendor_symbol}")

    def _judge_day(self, first: int, last: int) -> None:
        """Refuse rows of another day; it is decided by arrival: the venue's own time may lie on the day before."""
        if first < self._day_us[0] or last >= self._day_us[1]:
            raise TickFileInvalid(
                f"{self._file}: rows are of {_instant(first):%Y-%m-%d %H:%M:%S} to {_instant(last):%Y-%m-%d %H:%M:%S} "
                f"UTC by local_timestamp, outside the day {self._file.unit.day}"
            )
        self.first_arrival_us = min(first, self.first_arrival_us or first)
        self.last_arrival_us = max(last, self.last_arrival_us)

    def _refuse_other_unit(self, value: int | None, column: ColumnSpec) -> None:
        if value is None:
            return
        digits = len(str(abs(value)))
        if digits != _MICROSECOND_DIGITS or value < 0:
            unit = f", as {_OTHER_UNITS[digits]} have" if digits in _OTHER_UNITS else ""
            raise TickFileInvalid(
                f"{self._file}: {column.csv_name} {value} has {digits} digits{unit}; the format's times are "
                f"microseconds since epoch ({_MICROSECOND_DIGITS} digits)"
            )


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
