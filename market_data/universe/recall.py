"""The use case: what a venue listed on a day, from what the lake keeps of it, without the vendor."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import polars as pl

from market_data.errors import LakeObjectMissing, VendorError
from market_data.lake.base import TickLake
from market_data.universe.learn import newest_answer, universes_of
from market_data.universe.rules import Selection, Universe
from market_data.universe.table import read_universe, universe_frame

_LOG = logging.getLogger(__name__)
# What is told of a day's instruments hangs on these; others, such as `last_day`, change with the day of the answer.
_LASTING = ("instrument_key", "vendor_symbol", "instrument_type", "key_source", "data_types")


@dataclass(frozen=True, slots=True)
class Recalled:
    """A day's instruments as the lake holds them, with the universe that they are of, and that of the day before.

    `universe` is None where no answer of the vendor's that is kept says the same as the table, `before` also where that
    day is not known.
    """

    table: pl.DataFrame
    universe: Universe | None = None
    before: Universe | None = None


class Memory:
    """What the lake keeps of one venue's days; the vendor's newest answer is read once for all of them."""

    def __init__(self, lake: TickLake, venue: str, selection: Selection) -> None:
        self._lake = lake
        self._venue = venue
        self._selection = selection
        self._answer = newest_answer(lake, venue)
        # of days in order, each is the day before of the next: a venue of many instruments takes long
        self._universe_of = lru_cache(maxsize=2)(self._learn_universe)

    def recall(self, day: date) -> Recalled | None:
        """Return a day's instruments, None where the lake holds none; raises LakeError of any kind."""
        try:
            table = read_universe(self._lake, self._venue, day)
        except LakeObjectMissing:
            return None
        universe = self._universe_of(day)
        if universe is None or not universe_frame(universe).select(_LASTING).equals(table.select(_LASTING)):
            return Recalled(table)
        return Recalled(table, universe, self._universe_of(day - timedelta(days=1)))

    def _learn_universe(self, day: date) -> Universe | None:
        if self._answer is None:
            return None
        try:
            (universe,) = universes_of(self._lake, self._answer, (day,), self._selection)
        except VendorError as error:  # the table in the lake stands, whatever the vendor says of the day by now
            _LOG.warning("%s, by the vendor's answer of %s that is kept", error, self._answer.asked)
            return None
        return universe
