"""Published ticks as a Polars LazyFrame: which receipts are read, and the scan of the objects they name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from itertools import groupby, product
from operator import attrgetter
from typing import Any, Literal, get_args

import polars as pl

from market_data.errors import ConfigurationError, TicksIncomplete
from market_data.index.store import held_venues, read_units
from market_data.index.unit import IndexedUnit
from market_data.lake.base import TickLake
from market_data.lake.keys import (
    LAYOUTS,
    ORIGIN_KEY,
    PARTITION_KEYS,
    PublishedName,
    object_key,
)
from market_data.lake.open import polars_storage_options
from market_data.model.data_types import TABLES, DataType, parse_data_type
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay
from market_data.model.venues import parse_venue
from market_data.read.arguments import (
    names_of,
    refuse_unknown_types,
    to_instant,
    to_instrument_key,
    to_instrument_type,
    upper_names_of,
)
from market_data.read.completeness import (
    NOT_RUN,
    Wanted,
    base_and_quote,
    choose_readable,
    describe_causes,
    describe_remedy,
    describe_unchecked,
    describe_waived,
    find_causes,
    missing_instruments,
    with_types_not_taken,
)
from market_data.read.opening import open_to_read
from market_data.read.universes import read_assets, read_listed
from market_data.receipts.store import days_with_receipts

OnIncomplete = Literal["raise", "skip", "include"]
_NEAREST = 3
_ADDED_COLUMNS = ("date", "venue", "instrument_type")
_PARTITIONS: dict[str, pl.DataType] = {key: pl.Date() if key == "date" else pl.String() for key in PARTITION_KEYS}


class UncheckedTicksWarning(UserWarning):
    """Some of the days read were published by a version that had no rules about their ticks."""


class WaivedTicksWarning(UserWarning):
    """Some of the days read stand without a file, on a person's word; the text names each with its reason."""


class NothingMatchesWarning(UserWarning):
    """The days are whole, and hold nothing of what is asked for; the text names what comes near."""


class IncompleteTicksWarning(UserWarning):
    """Some of the days asked for are not whole; the text names each with its cause."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What one call asks for, understood; without `venues` it is about all that the lake holds of the data type."""

    data_type: DataType
    venues: tuple[str, ...]
    wanted: Wanted
    since: datetime
    until: datetime

    @property
    def days(self) -> list[date]:
        return list(_days(self.since, self.until))

    def units(self, held: Iterable[DataTypeDay]) -> list[DataTypeDay]:
        """Return the units asked for, by day, then venue; `held` are those the lake has receipts of."""
        venues = self.venues or sorted({unit.venue for unit in held})
        return [DataTypeDay(venue, self.data_type, day) for day in self.days for venue in venues]


def scan_ticks(
    data_type: str,
    *,
    venues: str | Iterable[str] | None = None,
    instruments: str | Iterable[str] | None = None,
    base: str | Iterable[str] | None = None,
    quote: str | Iterable[str] | None = None,
    instrument_types: str | Iterable[str] | None = None,
    start: str | date | datetime,
    end: str | date | datetime,
    on_incomplete: OnIncomplete = "raise",
    lake: str | TickLake | None = None,
    layout: str | None = None,
) -> pl.LazyFrame:
    """Return the published ticks of a data type with `start <= local_timestamp < end`.

    One row is one row of the vendor's file, with `date`, `venue` and `instrument_type` before its columns; rows of one
    file are in the vendor's order, files by day, venue and vendor symbol. Columns, units and source (the vendor's page
    on its CSV files): `market_data/model/data_types.py`, or `market-data schema TYPE`. Nothing is read before the frame
    is collected, but for the index of the receipts.

    data_type: one of the vendor's tables, such as `trades`, in any spelling.
    venues: one or several, in any spelling (`binance`, `okex`); None takes those of `instruments`, else every venue
        that the lake holds of this data type.
    instruments: instrument keys, such as `BINANCE:SPOT_PAIR:BTC-USDT`; None takes all, and here as elsewhere an empty
        list takes nothing. On a day on which its venue did not list it an instrument has no rows, and lacks in nothing.
    base, quote: assets, such as `BTC`; None takes all. They are those of the day's universe (`find_instruments`).
    instrument_types: such as `PERPETUAL`; None takes all.
    start, end: days, instants or their ISO 8601 text; dates and naive datetimes are UTC. `end` is not included.
    on_incomplete: what to do with venue-days that are not whole: `raise`, `skip` (leave them out) or `include` (take
        what was published of them); the last two warn.
    lake: a URL (`file:///...`, `gs://...`) or an open lake; None takes MARKET_DATA_LAKE_URL, or what the settings file
        in this directory says.
    layout: which of the layouts to read, `by_date`, `by_venue` or `by_type`; None takes the first of each day. All hold
        the same rows.

    Only whole days are read: a venue-day that was not run, is not requested or offered, failed, is being replaced, or
    whose ticks broke a rule of severity error is not whole. A day on which nothing was to be expected of a venue (it
    listed no instrument yet, or no more) is whole, and has no rows.

    Raises TicksIncomplete (permanent until those days are run) that names each venue-day with its cause,
    ConfigurationError (permanent) for an argument that cannot be meant, LakeFormatTooNew (permanent) for what a later
    version wrote, LakeUnavailable (transient) where the store does not answer. Warns with IncompleteTicksWarning,
    NothingMatchesWarning (whole days hold nothing of what is asked for), WaivedTicksWarning (files are missing on a
    person's word) and UncheckedTicksWarning (no rule looked at the ticks).
    """
    if on_incomplete not in get_args(OnIncomplete):
        raise ConfigurationError(
            f"on_incomplete is {on_incomplete!r}; it must be one of {', '.join(get_args(OnIncomplete))}"
        )
    given = (venues, instruments, base, quote, instrument_types)
    # an iterator gives its names once
    venues, instruments, base, quote, instrument_types = (None if it is None else names_of(it) for it in given)
    keys = None if instruments is None else frozenset(map(to_instrument_key, instruments))
    types = None if instrument_types is None else frozenset(map(to_instrument_type, instrument_types))
    wanted = Wanted(keys, upper_names_of(base), upper_names_of(quote), types)
    of_keys = {parse_instrument_key(key)[0] for key in keys or ()}
    asked = {parse_venue(name) for name in names_of(venues)} or of_keys
    if others := sorted(of_keys - asked):
        raise ConfigurationError(f"instruments of {', '.join(others)} are asked for, but venues names others")
    if layout is not None and layout not in LAYOUTS:
        raise ConfigurationError(f"unknown layout {layout!r}. Known: {', '.join(LAYOUTS)}")
    question = _Question(parse_data_type(data_type), tuple(sorted(asked)), wanted, to_instant(start), to_instant(end))
    if question.since >= question.until:
        raise ConfigurationError(f"start {start} is not before end {end}")
    store = open_to_read(lake)
    if any(names == [] for names in (venues, instruments, base, quote, instrument_types)):
        return _no_rows(question.data_type)  # an empty list asks for nothing
    readable, wanted = _choose_units(store, question, on_incomplete)
    for category, text in (
        (NothingMatchesWarning, _describe_no_match(store, readable, wanted)),
        (UncheckedTicksWarning, describe_unchecked(readable, wanted)),
        (WaivedTicksWarning, describe_waived(readable, wanted)),
    ):
        if text is not None:
            warnings.warn(text, category, stacklevel=2)
    rows = _scan(store, question.data_type, readable, wanted, layout)
    time_of_row = pl.col("local_timestamp")
    return rows.filter(time_of_row >= question.since, time_of_row < question.until)


def _choose_units(lake: TickLake, question: _Question, on_incomplete: OnIncomplete) -> tuple[list[IndexedUnit], Wanted]:
    """Return the units that are read, in the order of the rows, and the filters with what the universes know.

    What is not whole is refused, or warned of.
    """
    venues = question.venues or held_venues(lake)
    wanted = question.wanted
    if wanted.is_by_asset:
        assets = read_assets(lake, [(venue, day) for day in question.days for venue in venues])
        wanted = replace(wanted, attributes=assets)
    held = read_units(lake, _of_type(question.data_type, venues), question.days, wanted.chosen_files())
    seen = {instrument_type for unit in held.values() for instrument_type in unit.head.instrument_types}
    refuse_unknown_types(wanted.instrument_types or (), seen)
    units = question.units(held)
    if not units:
        raise TicksIncomplete(
            f"the lake {lake.url} holds no {question.data_type} of any venue. Is it the right lake, and is "
            f"{question.data_type} among `data_types` in the venues file?"
        )
    causes = find_causes(units, held, wanted, _unlisted(lake, held, wanted))
    if causes:
        not_run = [unit for unit, cause in causes.items() if cause == NOT_RUN]
        causes = with_types_not_taken(causes, _types_taken(lake, not_run))
        text = describe_causes(causes, len(units), lake.url)
        if on_incomplete == "raise":
            raise TicksIncomplete(f"{text}\n{describe_remedy(causes)}")
        warnings.warn(text, IncompleteTicksWarning, stacklevel=3)
    return choose_readable(units, held, causes, has_incomplete=on_incomplete == "include"), wanted


def _types_taken(lake: TickLake, units: Sequence[DataTypeDay]) -> dict[tuple[str, date], list[DataType]]:
    """Return the data types that were run of the units' venues, by venue and day."""
    taken: dict[tuple[str, date], list[DataType]] = {}
    days = sorted(unit.day for unit in units)
    for venue, data_type in product(sorted({unit.venue for unit in units}), DataType):
        for day in days_with_receipts(lake, venue, data_type, days[0], days[-1]):
            taken.setdefault((venue, day), []).append(data_type)
    return taken


def _of_type(data_type: DataType, venues: Iterable[str]) -> dict[str, tuple[DataType, ...]]:
    return dict.fromkeys(venues, (data_type,))


def _unlisted(
    lake: TickLake, units: Mapping[DataTypeDay, IndexedUnit], wanted: Wanted
) -> dict[DataTypeDay, frozenset[str]]:
    """Return the instruments asked for that their venue did not list on a unit's day, though on another one of these.

    One that was listed on none of the days stays a fault: it may be spelled wrongly, or the days may be others.
    """
    missing = {it: keys for it, unit in units.items() if (keys := missing_instruments(unit, wanted))}
    if not missing:
        return {}
    asked = frozenset().union(*missing.values())
    listed = read_listed(lake, [(unit.venue, unit.day) for unit in missing], asked)
    held = {file.instrument_key for unit in units.values() for file in unit.files}
    known = held.union(*listed.values())
    return {
        unit: frozenset(key for key in keys if key in known and key not in listed[unit.venue, unit.day])
        for unit, keys in missing.items()
        if (unit.venue, unit.day) in listed
    }


def _describe_no_match(lake: TickLake, units: Sequence[IndexedUnit], wanted: Wanted) -> str | None:
    """Return what to say where whole days hold nothing of the base, quote or instruments asked for; None elsewhere."""
    if wanted.is_all or not any(unit.head.expected for unit in units):
        return None
    files = (file for unit in units for file in unit.files if not (file.is_group and file.has_bytes))
    # a grouped file says nothing of what it holds; its parts say their base
    parts = (item for unit in units for item in unit.objects if item.instrument_key is None)
    if any(map(wanted.takes, files)) or any(map(wanted.takes, parts)):
        return None
    # what comes near is not among what was chosen
    venues = _of_type(units[0].head.data_type, sorted({unit.head.venue for unit in units}))
    every = read_units(lake, venues, [unit.head.day for unit in units])
    keys = {file.instrument_key for unit in every.values() for file in unit.files if file.instrument_key}
    pairs = [wanted.attributes.get(key) or base_and_quote(key) for key in keys]
    told = []
    for name, asked, known in (
        ("instruments", wanted.instruments, keys),
        ("base", wanted.bases, {base for base, _ in pairs if base}),
        ("quote", wanted.quotes, {quote for _, quote in pairs if quote}),
        ("instrument_types", wanted.instrument_types, {parse_instrument_key(key)[1] for key in keys}),
    ):
        if asked is not None and not asked & known:
            near = sorted({near for text in asked for near in get_close_matches(text, known, _NEAREST, 0.4)})
            told.append(f"{name} {', '.join(sorted(asked))} (near: {', '.join(near[:_NEAREST]) or 'nothing'})")
    return f"the {len(units)} venue-days hold no file of {' and '.join(told) or 'these filters together'}"


def _no_rows(data_type: DataType) -> pl.LazyFrame:
    added = {name: _PARTITIONS[name] for name in _ADDED_COLUMNS}
    return pl.LazyFrame(schema=pl.Schema({**added, **TABLES[data_type].published_schema}))


def _scan(
    lake: TickLake, data_type: DataType, units: Sequence[IndexedUnit], wanted: Wanted, layout: str | None
) -> pl.LazyFrame:
    objects: list[_Object] = []  # in the order of the rows
    for unit in units:
        for item in filter(wanted.takes, unit.objects):
            chosen = layout or unit.head.known_layouts[0]
            if chosen not in unit.head.layouts:
                raise ConfigurationError(
                    f"{unit.unit} is not published in {chosen!r}, but in {', '.join(unit.head.layouts)}"
                )
            objects.append(_Object(chosen, item.name(unit.unit), item.instrument_key is None))
    schema = TABLES[data_type].published_schema
    if not objects:
        return _no_rows(data_type)
    # each layout puts the partition keys elsewhere
    scans = [scan.select(*_ADDED_COLUMNS, *schema) for scan in _scans(lake, objects, schema)]
    rows = pl.concat(scans) if len(scans) > 1 else scans[0]
    return rows.filter(wanted.chosen_rows()) if any(item.is_group for item in objects) else rows


@dataclass(frozen=True, slots=True)
class _Object:
    layout: str
    name: PublishedName
    is_group: bool

    @property
    def folder(self) -> tuple[DataTypeDay, str]:
        """What all objects of one folder share."""
        return self.name.unit, self.name.instrument_type


def _scans(lake: TickLake, objects: Sequence[_Object], schema: pl.Schema) -> Iterator[pl.LazyFrame]:
    """Yield scans of objects, in their order, with the partition keys as columns.

    Days from before a column was added have nulls in it; columns that a later version added are left out. Polars takes
    keys from the whole path: below a folder with `=` (`gs://bucket/env=prod`) they are put in by hand.
    """
    options: dict[str, Any] = {
        "glob": False,
        "storage_options": polars_storage_options(lake),
        "schema": schema,
        "missing_columns": "insert",
        "extra_columns": "ignore",
    }
    if "=" not in lake.uri(ORIGIN_KEY):
        for _, group in groupby(objects, key=attrgetter("layout")):
            uris = [lake.uri(object_key(item.layout, item.name)) for item in group]
            yield pl.scan_parquet(uris, hive_partitioning=True, hive_schema=_PARTITIONS, **options)
        return
    for (unit, instrument_type), group in groupby(objects, key=attrgetter("folder")):
        uris = [lake.uri(object_key(item.layout, item.name)) for item in group]
        scan = pl.scan_parquet(uris, hive_partitioning=False, **options)
        yield scan.with_columns(
            date=pl.lit(unit.day), venue=pl.lit(unit.venue), instrument_type=pl.lit(instrument_type)
        )


def _days(since: datetime, until: datetime) -> Iterator[date]:
    day = since.date()
    while datetime.combine(day, time(), UTC) < until:
        yield day
        if day == date.max:
            return
        day += timedelta(days=1)
