"""The use case: which instruments the lake knows, and for how many days it holds ticks of each.

What was listed comes from the universes (`universe/...`), what is held from the receipts.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import translate

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.instruments import list_universes, read_universes
from market_data.index.store import read_files_of
from market_data.index.unit import UnitHead
from market_data.lake.base import TickLake
from market_data.lake.origin import load_lake_document
from market_data.model.data_types import DataType
from market_data.model.venues import parse_venue
from market_data.read.arguments import names_of, refuse_unknown_types, to_day, to_instrument_type, upper_names_of
from market_data.read.opening import open_to_read
from market_data.read.scan import NothingMatchesWarning
from market_data.receipts.receipt import State
from market_data.universe.table import UNIVERSE_SCHEMA

_GLOB = re.compile(r"[*?\[]")
_UNIT_SCHEMA = pl.Schema({"venue": pl.String(), "data_type": pl.String(), "day": pl.Date()})
_DAYS_SCHEMA = pl.Schema({**UNIVERSE_SCHEMA, "day": pl.Date()})
_LISTED_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "day": pl.Date(),
        "instrument_key": pl.String(),
        "instrument_type": pl.String(),
        "base": pl.String(),
        "contract_multiplier": pl.Float64(),
    }
)
_HELD_COLUMNS = ("day", "instrument_key", "instrument_type", "stem")


@dataclass(frozen=True, slots=True)
class _Days:
    """The days asked for: one, a range without its end, or all."""

    on: date | None
    between: tuple[date, date] | None

    @property
    def bounds(self) -> tuple[date, date]:
        """The first and the last of them."""
        if self.on:
            return self.on, self.on
        return (self.between[0], self.between[1] - timedelta(days=1)) if self.between else (date.min, date.max)

    def __str__(self) -> str:
        if self.on:
            return f" on {self.on}"
        return f" from {self.between[0]} to before {self.between[1]}" if self.between else ""


def _days_asked(on: str | date | None, between: tuple[str | date, str | date] | None) -> _Days:
    if between is None:
        return _Days(to_day(on) if on is not None else None, None)
    if on is not None:
        raise ConfigurationError("give either `on`, one day, or `between`, a start and an end")
    if not isinstance(between, tuple | list) or len(between) != 2:  # noqa: PLR2004  a pair
        raise ConfigurationError(
            f"between is {between!r}; it is a start and an end, such as ('2024-08-01', '2024-09-01')"
        )
    start, end = map(to_day, between)
    if start >= end:
        raise ConfigurationError(f"the start {start} is not before the end {end}, which is not included")
    return _Days(None, (start, end))


def find_instruments(
    *,
    text: str | None = None,
    base: str | Iterable[str] | None = None,
    quote: str | Iterable[str] | None = None,
    expiry: str | date | None = None,
    types: str | Iterable[str] | None = None,
    venues: str | Iterable[str] | None = None,
    on: str | date | None = None,
    between: tuple[str | date, str | date] | None = None,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return one row for each instrument that a venue listed on a day held in the lake, sorted by instrument key.

    text: part of the instrument key or vendor symbol, or a glob (`*`, `?`, `[...]`) of the whole of either, without
        regard to case; None takes all.
    base, quote: assets, such as `BTC`; None takes all, and here as below an empty list takes nothing.
    expiry: the UTC day on which contracts expire; None takes all, also those without expiry.
    types: instrument types, such as `PERPETUAL`; None takes all.
    venues: in any spelling; None takes all that the lake holds.
    on: one day on which the instrument was listed.
    between: `(start, end)`, days on one of which the instrument was listed; `end` is not included. Without `on` and
        `between`, all days that the lake holds are looked at.
    lake: a URL (`file:///...`, `gs://...`) or an open lake; None takes MARKET_DATA_LAKE_URL, or what the settings file
        in this directory says.

    Columns are those of the universe as the newest of these days has them (`first_day` and `last_day`: the days the
    vendor lists, both included), `days_listed` (of these days), and `days_held`, a struct with the number of these days
    with published ticks for each data type (`.unnest("days_held")` makes columns of it). A `contract_multiplier` that
    is not the same on all of these days is null. A grouped file holds an instrument's day when it has rows of the
    instrument's base. Where the lake knows no instruments of these venues and days, there is no row, and a
    NothingMatchesWarning says what it holds.

    Raises ConfigurationError (permanent) for an unknown venue, type or date, LakeFormatTooNew (permanent) for what a
    later version wrote, LakeUnavailable (transient) where the store does not answer.
    """
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"text is {text!r}; it is a part of an instrument key or vendor symbol, or a glob")
    store = open_to_read(lake)
    load_lake_document(store)  # before the universes, as before receipts
    asked = None if venues is None else sorted({parse_venue(name) for name in names_of(venues)})
    days = _days_asked(on, between)
    held = {pair: it for pair, it in list_universes(store, *days.bounds).items() if not asked or pair[0] in asked}
    if not held:
        every = [pair for pair in list_universes(store) if not asked or pair[0] in asked]
        warnings.warn(_describe_absence(store.url, asked or (), every, days), NothingMatchesWarning, stacklevel=2)
    wanted_types = None if types is None else frozenset(map(to_instrument_type, names_of(types)))
    filters = _Filters(
        text,
        {"venue": asked, "base": upper_names_of(base), "quote": upper_names_of(quote), "instrument_type": wanted_types},
        None if expiry is None else to_day(expiry),
    )
    newest, listed = [pl.DataFrame(schema=_DAYS_SCHEMA)], [pl.DataFrame(schema=_LISTED_SCHEMA)]
    seen: set[str] = set()
    for frame in read_universes(store, held):
        seen |= set(frame["instrument_type"].unique())
        chosen = filters.choose(frame.select(_DAYS_SCHEMA.names()))
        newest.append(_newest_of(chosen))  # one row each: of many days all columns are much
        listed.append(chosen.select(_LISTED_SCHEMA.names()))
    refuse_unknown_types(wanted_types or (), seen)
    days_listed = pl.concat(listed)
    multiplier = pl.col("contract_multiplier")
    over_days = days_listed.group_by("instrument_key").agg(
        pl.when(multiplier.n_unique() == 1).then(multiplier.last()), days_listed=pl.len().cast(pl.Int64)
    )
    found = _newest_of(pl.concat(newest)).drop("contract_multiplier").join(over_days, on="instrument_key")
    found = found.join(_count_held(store, days_listed), on="instrument_key").sort("instrument_key")
    return found.select(*UNIVERSE_SCHEMA, "days_listed", "days_held")


def _newest_of(universes: pl.DataFrame) -> pl.DataFrame:
    """Return of each instrument the row of the newest day."""
    return universes.sort("day").unique("instrument_key", keep="last")


@dataclass(frozen=True, slots=True)
class _Filters:
    """What is asked for: a text, the allowed words of some columns (None: all), a day of expiry."""

    text: str | None
    words: Mapping[str, Collection[str] | None]
    expiry: date | None

    def choose(self, universe: pl.DataFrame) -> pl.DataFrame:
        """Return the wanted rows of a universe."""
        chosen = universe
        for column, allowed in self.words.items():
            if allowed is not None:
                chosen = chosen.filter(pl.col(column).is_in(sorted(allowed)))
        if self.expiry is not None:
            chosen = chosen.filter(pl.col("expiry").dt.date() == self.expiry)
        if self.text:
            is_named = _name_matcher(self.text)
            names = chosen.select("instrument_key", "vendor_symbol").unique()  # the same ones on many days
            named = pl.Series([any(map(is_named, pair)) for pair in names.iter_rows()], dtype=pl.Boolean())
            chosen = chosen.join(names.filter(named), on=names.columns, how="semi")
        return chosen


def _name_matcher(text: str) -> Callable[[str], bool]:
    folded = text.upper()
    if _GLOB.search(text):
        match = re.compile(translate(folded)).match
        return lambda name: match(name.upper()) is not None
    return lambda name: folded in name.upper()


def _count_held(lake: TickLake, listed: pl.DataFrame) -> pl.DataFrame:
    """Return the struct `days_held` for each instrument key."""
    days = listed["day"].unique().to_list()
    wanted = {str(venue): tuple(DataType) for venue in listed["venue"].unique().sort()}
    keys = listed["instrument_key"].unique()
    chosen = pl.col("instrument_key").is_in(keys.implode()) if keys.len() else pl.lit(value=False)
    heads, files = read_files_of(lake, wanted, days, _HELD_COLUMNS, chosen)
    held = _held_of(heads.values(), files)
    columns = ["instrument_key", "data_type", "day"]
    is_group = pl.col("instrument_key") == ""
    single = held.filter(~is_group).select(columns)  # a key names its venue
    found = [listed.select("instrument_key", "day").join(single, on=["instrument_key", "day"]).select(columns)]
    groups = held.filter(is_group).drop("instrument_key")
    if groups.height:  # a group is split by base; instruments without a known one are together
        bases = listed.with_columns(pl.col("base").fill_null(""))
        found.append(bases.join(groups, on=["venue", "day", "instrument_type", "base"]).select(columns))
    days_held = pl.concat(found).unique()
    counts = [(pl.col("data_type") == name).sum().cast(pl.Int64).alias(name) for name in DataType]
    all_keys = listed.select("instrument_key").unique()
    by_key = all_keys.join(days_held.group_by("instrument_key").agg(counts), on="instrument_key", how="left")
    return by_key.select("instrument_key", days_held=pl.struct(pl.col(name).fill_null(0) for name in DataType))


def _held_of(heads: Iterable[UnitHead], files: pl.DataFrame) -> pl.DataFrame:
    """Return what is published, one row for each object; a part of a group has no key but a base."""
    published = [
        (head.venue, head.data_type.value, head.day)
        for head in heads
        if head.state == State.COMMITTED and head.has_known_layouts
    ]
    units = pl.DataFrame(published, schema=_UNIT_SCHEMA, orient="row")
    held = files.filter(pl.col("stem").is_not_null()).join(units, on=["venue", "data_type", "day"], how="semi")
    base = pl.when(pl.col("instrument_key") == "").then(pl.col("stem").str.split("~").list.get(0)).otherwise(pl.lit(""))
    return held.select(*_UNIT_SCHEMA, "instrument_key", "instrument_type", base=base)


def _describe_absence(lake_url: str, venues: Sequence[str], held: Sequence[tuple[str, date]], asked: _Days) -> str:
    of_venues = f" of {', '.join(venues)}" if venues else ""
    if not held:
        return (
            f"the lake {lake_url} knows no instruments{of_venues}: nothing was run yet, or another lake is meant "
            "(MARKET_DATA_LAKE_URL)"
        )
    days = sorted({day for _, day in held})
    return (
        f"the lake {lake_url} knows no instruments{of_venues}{asked}; it holds {len(days)} days, "
        f"{days[0]} to {days[-1]}. Run the days you need, or ask for one of these"
    )
