"""The instruments of many venue-days at once: from tables of months where they are made, else from each day's universe.

A month's table has the columns of the universe and `day`, sorted by instrument key, then day.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import polars as pl

from market_data.errors import LakeObjectMissing
from market_data.index.store import read_if_sound
from market_data.index.table import generations_of, write_table
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import (
    UNIVERSE_PREFIX,
    index_instruments_key,
    parse_universe_key,
    universe_day_prefix,
)
from market_data.universe.table import UNIVERSE_SCHEMA, read_universe

VenueDay = tuple[str, date]


def list_universes(lake: TickLake, first: date = date.min, last: date = date.max) -> dict[VenueDay, int]:
    """Return the generation of each universe in the lake, by venue and day; both days are included."""
    end = f"{UNIVERSE_PREFIX}~" if last == date.max else universe_day_prefix(last + timedelta(days=1))
    found = lake.list_between(UNIVERSE_PREFIX, universe_day_prefix(first), end)
    pairs = ((parse_universe_key(stat.key), stat.generation) for stat in found)
    return dict(sorted((pair, generation) for pair, generation in pairs if pair is not None))


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

    def read_month(month: tuple[str, date], days: list[date]) -> tuple[pl.DataFrame, list[date]]:
        def parse(data: bytes) -> tuple[pl.DataFrame, list[date]]:
            generations = generations_of(data)
            held = [day for day in days if generations.get(day) == listed[month[0], day]]
            try:
                frame = pl.scan_parquet(io.BytesIO(data)).filter(pl.col("day").is_in(held)).select(wanted).collect()
            except pl.exceptions.PolarsError as error:
                raise ValueError(f"it is no table of instruments: {error}") from error
            return frame, held

        found = None
        if len(days) > 1 and not is_from_days:  # one universe is smaller than its month
            found = read_if_sound(lake, index_instruments_key(month[1], month[0]), parse)
        return found or (pl.DataFrame(), [])

    with ThreadPoolExecutor(READERS) as pool:
        rest: list[VenueDay] = []
        for (venue, _), days, (frame, held) in zip(
            months, months.values(), pool.map(read_month, months, months.values()), strict=True
        ):
            rest += [(venue, day) for day in days if day not in set(held)]
            if held:
                yield frame
        for found in pool.map(lambda pair: _read_day(lake, pair), rest):
            if found is not None:
                yield found.select(wanted)


def _read_day(lake: TickLake, pair: VenueDay) -> pl.DataFrame | None:
    try:
        return read_universe(lake, *pair).with_columns(pl.lit(pair[0]).alias("venue"), pl.lit(pair[1]).alias("day"))
    except LakeObjectMissing:  # deleted since it was listed
        return None


def month_of_instruments(frames: Iterable[pl.DataFrame], generations: Mapping[date, int]) -> bytes:
    """Return the bytes of a month's table, made from universes of these generations."""
    frame = pl.concat(list(frames)).select("day", *UNIVERSE_SCHEMA).sort("instrument_key", "day")
    return write_table(frame, {"generations": {day.isoformat(): it for day, it in sorted(generations.items())}})
