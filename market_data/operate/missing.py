"""The use case: which venue-days the lake does not hold as they are wanted: a run of them has something to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from market_data.index.store import read_heads
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.store import days_with_receipts

# Newest days that are read together: mostly one of them is whole.
_DAYS_AT_ONCE = 10


def find_missing_days(
    lake: TickLake, wanted: Mapping[str, Sequence[DataType]], days: Sequence[date]
) -> dict[str, list[date]]:
    """Return the days of each venue that are not whole, in their order; `wanted` is data types by venue.

    A day lacks nothing when all its data types are published whole, but for what a person deleted. Raises LakeError of
    any kind.
    """
    heads = read_heads(lake, wanted, days)
    done = {unit for unit, head in heads.items() if head.is_as_wanted}
    return {
        venue: [day for day in days if not all(DataTypeDay(venue, item, day) in done for item in data_types)]
        for venue, data_types in wanted.items()
    }


def find_latest_complete(lake: TickLake, wanted: Mapping[str, Sequence[DataType]]) -> dict[str, date | None]:
    """Return the newest day that the lake holds whole of each venue, None where it holds none; raises LakeError."""
    return {venue: _latest_complete(lake, venue, data_types) for venue, data_types in wanted.items()}


def _latest_complete(lake: TickLake, venue: str, data_types: Sequence[DataType]) -> date | None:
    days = days_with_receipts(lake, venue, data_types[0])[::-1]
    for first in range(0, len(days), _DAYS_AT_ONCE):
        some = days[first : first + _DAYS_AT_ONCE]
        missing = set(find_missing_days(lake, {venue: data_types}, some)[venue])
        if whole := [day for day in some if day not in missing]:
            return whole[0]
    return None
