"""What the universes in the lake say of instruments: which were listed on a day, with their base and quote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from market_data.index.instruments import list_universes, read_universes
from market_data.lake.base import TickLake

# (base, quote) by instrument key
Listing = Mapping[str, tuple[str | None, str | None]]


def read_listings(lake: TickLake, pairs: Iterable[tuple[str, date]]) -> dict[tuple[str, date], Listing]:
    """Return what was listed for each venue and day, many read at once; those that the lake has not are left out."""
    wanted = set(pairs)
    if not wanted:
        return {}
    days = [day for _, day in wanted]
    listed = {pair: it for pair, it in list_universes(lake, min(days), max(days)).items() if pair in wanted}
    listings: dict[tuple[str, date], dict[str, tuple[str | None, str | None]]] = {pair: {} for pair in listed}
    for frame in read_universes(lake, listed, ("instrument_key", "base", "quote")):
        for venue, day, key, base, quote in frame.iter_rows():
            listings[venue, day][key] = (base, quote)
    return dict(listings)
