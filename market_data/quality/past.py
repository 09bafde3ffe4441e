"""What was found of a venue on the days before: the values that a day's comparisons are judged against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from market_data.lake.base import TickLake
from market_data.quality.agreement_table import BOOK_END, load_agreements
from market_data.quality.book_day import DayBefore
from market_data.quality.gaps import BASELINE_DAYS
from market_data.universe.answers import load_newest_answer
from market_data.vendor.metadata import read_recorder_moves

_WEEK = 7


@dataclass
class Past:
    """What the tables of the four weeks before say, by instrument and comparison, and how the day before ended."""

    day: date
    tables: Mapping[date, pl.DataFrame]
    recorder_moves: tuple[datetime, ...] = ()
    _values: dict[tuple[str, str], dict[date, float]] = field(default_factory=dict)
    _ends: dict[str, DayBefore] = field(default_factory=dict)

    @classmethod
    def load(cls, lake: TickLake, venue: str, day: date) -> Past:
        """Read the tables that there are."""
        days = [day - timedelta(days=it) for it in range(1, BASELINE_DAYS + 1)]
        answer = load_newest_answer(lake, venue)
        past = cls(day, load_agreements(lake, venue, days), read_recorder_moves(answer.exchange) if answer else ())
        for when, table in past.tables.items():
            known = table.filter(pl.col("value").is_not_null()).select("instrument_key", "comparison", "value")
            for key, name, value in known.iter_rows():
                past._values.setdefault((key, name), {})[when] = value
        before = past.tables.get(day - timedelta(days=1))
        if before is not None:
            ends = before.filter(pl.col("comparison") == BOOK_END, pl.col("last_us").is_not_null())
            for key, bid, ask, time in ends.select("instrument_key", "last_bid", "last_ask", "last_us").iter_rows():
                past._ends[key] = DayBefore(bid, ask, time)
        return past

    @property
    def has_day_before(self) -> bool:
        """Whether the day before was judged."""
        return self.day - timedelta(days=1) in self.tables

    def values(self, key: str, name: str) -> list[float]:
        """Return a comparison's values of the days before."""
        return list(self._values.get((key, name), {}).values())

    def weekday_values(self, key: str, name: str) -> list[float]:
        """Return those of the same weekday."""
        return [it for when, it in self._values.get((key, name), {}).items() if (self.day - when).days % _WEEK == 0]

    def end_of(self, key: str) -> DayBefore | None:
        """Return how the book of the day before ended."""
        return self._ends.get(key)

    def has_moved(self) -> bool:
        """Whether the vendor says that its recorder moved on this day, or in the weeks before."""
        first = self.day - timedelta(days=BASELINE_DAYS)
        return any(first <= moved.date() <= self.day for moved in self.recorder_moves)
