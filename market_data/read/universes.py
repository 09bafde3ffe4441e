"""What the universes in the lake say of instruments: which were listed on a day, with their base and quote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from market_data.errors import LakeObjectMissing
from market_data.lake.base import READERS, TickLake
from market_data.universe.table import read_universe

# (base, quote) by instrument key
Listing = Mapping[str, tuple[str | None, str | None]]


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
