"""The instruments of many venue-days at once: from tables of months where they are made, else from each day's universe.

A month's table has the columns of the universe and `day`, sorted by instrument key, then day.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TypeVar

import polars as pl

from market_data.errors import LakeObjectMissing
from market_data.index.store import read_if_sound
from market_data.index.table import generations_of, write_month
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import (
    UNIVERSE_PREFIX,
    index_instruments_key,
    parse_universe_key,
    universe_day_prefix,
)
from market_data.universe.table import UNIVERSE_SCHEMA, read_universe

_DAYS_A_STRETCH, _LONGEST_LISTED_IN_STRETCHES = 61, 800
VenueDay = tuple[str, date]
_T = TypeVar("_T")


def list_universes(lake: TickLake, first: date = date.min, last: date = date.max) -> dict[VenueDay, int]:
    """Return the generation of each universe in the lake, by venue and day; both days are included."""
    with ThreadPoolExecutor(READERS) as pool:
        listings = list(pool.map(lambda bounds: lake.list_between(UNIVERSE_PREFIX, *bounds), _stretches(first, last)))
    pairs = ((parse_universe_key(stat.key), stat.generation) for found in listings for stat in found)
    return dict(sorted((pair, generation) for pair, generation in pairs if pair is not None))


def _stretches(first: date, last: date) -> Iterator[tuple[str, str]]:
    """Yield bounds of keys that are listed at once: of all venues a month is some pages."""
    if last == date.max or (last - first).days > _LONGEST_LISTED_IN_STRETCHES:
        end = f"{UNIVERSE_PREFIX}~" if last == date.max else universe_day_prefix(last + timedelta(days=1))
        yield universe_day_prefix(first), end
        return
    while first <= last:
        following = first + timedelta(days=min(_DAYS_A_STRETCH, (last - first).days + 1))
        yield universe_day_prefix(first), universe_day_prefix(following)
        first = following


def read_universes(
    lake: TickLake,
    listed: Mapping[VenueDay, int],
    columns: Sequence[str] = tuple(UNIVERSE_SCHEMA),
    *,
    is_from_days: bool = False,
) -> Iterator[pl.DataFrame]:
    """Yield the instruments of these universes (with their generations), many days at once, with `venue` and `day`.

    `is_from_days` looks at no table of a month. Raises LakeError of any kind.
    """
    months: dict[tuple[str, date], list[date]] = defaultdict(list)
    for venue, day in listed:
        months[venue, day.replace(day=1)].append(day)
    wanted = ("venue", "day", *(name for name in columns if name != "venue"))

    def read_month(item: tuple[tuple[str, date], list[date]]) -> tuple[pl.DataFrame, list[date]]:
        (venue, month), days = item
        own = {day: listed[venue, day] for day in days}
        if len(days) == 1 or is_from_days:  # one universe is smaller than its month
            return pl.DataFrame(), []
        return _read_month(lake, index_instruments_key(month, venue), own, wanted)

    with ThreadPoolExecutor(READERS) as pool:
        rest: list[VenueDay] = []
        for some in _in_turn(list(months.items()), READERS):
            for ((venue, _), days), (frame, held) in zip(some, pool.map(read_month, some), strict=True):
                rest += [(venue, day) for day in days if day not in set(held)]
                if held:
                    yield frame
        for pairs in _in_turn(rest, READERS):
            for found in pool.map(lambda pair: _read_day(lake, pair, wanted[2:]), pairs):
                if found is not None:
                    yield found.select(wanted)


def _read_month(
    lake: TickLake, key: str, own: Mapping[date, int], columns: Sequence[str]
) -> tuple[pl.DataFrame, list[date]]:
    """Return the days of a month's table that are of these generations, with which they are."""

    def parse(data: bytes) -> tuple[pl.DataFrame, list[date]]:
        generations = generations_of(data)
        held = [day for day, generation in own.items() if generations.get(day) == generation]
        try:
            frame = pl.scan_parquet(io.BytesIO(data)).filter(pl.col("day").is_in(held)).select(columns).collect()
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"it is no table of instruments: {error}") from error
        return frame, held

    return read_if_sound(lake, key, parse) or (pl.DataFrame(), [])


def _in_turn(items: Sequence[_T], at_once: int) -> Iterator[Sequence[_T]]:
    """Yield so many at once: what is read of them waits in memory for whoever takes it."""
    return (items[start : start + at_once] for start in range(0, len(items), at_once))


def _read_day(lake: TickLake, pair: VenueDay, columns: Sequence[str]) -> pl.DataFrame | None:
    try:
        found = read_universe(lake, *pair, columns)
    except LakeObjectMissing:  # deleted since it was listed
        return None
    return found.with_columns(pl.lit(pair[0]).alias("venue"), pl.lit(pair[1]).alias("day"))


def month_of_instruments(frames: Iterable[pl.DataFrame], key: str, generations: Mapping[date, int]) -> bytes:
    """Return the bytes of a month's table, made from universes of these generations."""
    frame = pl.concat(list(frames)).select("day", *UNIVERSE_SCHEMA).sort("instrument_key", "day")
    return write_month(frame, key, generations)
