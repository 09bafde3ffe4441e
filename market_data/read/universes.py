"""What the universes in the lake say of instruments: base and quote, and on which days their venues listed them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date

import polars as pl

from market_data.index.instruments import list_universes, read_universes
from market_data.lake.base import TickLake
from market_data.universe.table import UNIVERSE_SCHEMA

# (base, quote) by instrument key
Assets = Mapping[str, tuple[str | None, str | None]]


def read_assets(lake: TickLake, pairs: Iterable[tuple[str, date]]) -> Assets:
    """Return the assets of all that was listed for these venues and days, as the newest of the days has them."""
    columns = ("instrument_key", "base", "quote")
    frames = read_universes(lake, _list_held(lake, pairs), columns)
    # a day at a time they would be millions of rows, and of Python's objects
    newest = [frame.sort("day").unique("instrument_key", keep="last") for frame in frames]
    none = pl.DataFrame(schema={"day": pl.Date(), **{name: UNIVERSE_SCHEMA[name] for name in columns}})
    every = pl.concat([none, *(frame.select(none.columns) for frame in newest)])
    chosen = every.sort("day").unique("instrument_key", keep="last")
    return {key: (base, quote) for key, base, quote in chosen.select(columns).iter_rows()}


def read_listed(
    lake: TickLake, pairs: Iterable[tuple[str, date]], keys: Collection[str]
) -> dict[tuple[str, date], set[str]]:
    """Return which of these instruments were listed, by venue and day; days that the lake has not are left out."""
    held = _list_held(lake, pairs)
    listed: dict[tuple[str, date], set[str]] = {pair: set() for pair in held}
    for frame in read_universes(lake, held, ("instrument_key",)):
        for venue, day, key in frame.filter(pl.col("instrument_key").is_in(sorted(keys))).iter_rows():
            listed[venue, day].add(key)
    return listed


def read_listed_keys(lake: TickLake, venue: str, day: date) -> list[str]:
    """Return what a venue listed on a day whose universe is in the lake."""
    held = _list_held(lake, [(venue, day)])
    return [key for frame in read_universes(lake, held, ("instrument_key",)) for key in frame["instrument_key"]]


def _list_held(lake: TickLake, pairs: Iterable[tuple[str, date]]) -> dict[tuple[str, date], int]:
    wanted = set(pairs)
    if not wanted:
        return {}
    days = [day for _, day in wanted]
    return {pair: it for pair, it in list_universes(lake, min(days), max(days)).items() if pair in wanted}
