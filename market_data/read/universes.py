"""What the universes in the lake say of instruments: which were listed on a day, with their base and quote."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import universe_key
from market_data.universe.rules import UNIVERSE_SCHEMA

# (base, quote) by instrument key
Listing = Mapping[str, tuple[str | None, str | None]]


def read_universe(lake: TickLake, venue: str, day: date, columns: Iterable[str] = UNIVERSE_SCHEMA) -> pl.DataFrame:
    """Return the instruments that a venue listed on a day; raises LakeError of any kind."""
    data, _ = lake.get_bytes(universe_key(venue, day))
    try:
        # a later version may add columns
        return pl.read_parquet(io.BytesIO(data), columns=list(columns)).cast(
            {name: UNIVERSE_SCHEMA[name] for name in columns}
        )
    except pl.exceptions.PolarsError as error:
        raise LakeError(
            f"{lake.uri(universe_key(venue, day))} is not the table of a day's instruments ({error}): materialise "
            "`instruments` of that day again"
        ) from error


def read_listings(lake: TickLake, pairs: Iterable[tuple[str, date]]) -> dict[tuple[str, date], Listing]:
    """Return what was listed for each venue and day, many read at once; those that the lake has not are left out."""
    wanted = list(dict.fromkeys(pairs))
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda pair: _read_listing(lake, *pair), wanted)
        return {pair: listing for pair, listing in zip(wanted, found, strict=True) if listing is not None}


def _read_listing(lake: TickLake, venue: str, day: date) -> Listing | None:
    try:
        universe = read_universe(lake, venue, day, ("instrument_key", "base", "quote"))
    except LakeObjectMissing:
        return None
    return {key: (base, quote) for key, base, quote in universe.iter_rows()}
