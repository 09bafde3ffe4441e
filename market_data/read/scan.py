"""What analysts import: published ticks as a Polars LazyFrame, and only whole days unless they say otherwise.

from market_data.read import scan_ticks
scan_ticks("trades", venues="binance", base="BTC", start="2024-08-08", end="2024-08-09").collect()
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Literal, get_args

import polars as pl

from market_data.errors import ConfigurationError, TicksIncomplete
from market_data.lake.base import TickLake
from market_data.lake.keys import PARTITION_KEYS, day_of_receipt, object_key, receipt_prefix
from market_data.lake.open import open_lake, polars_storage_options
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, DataType, parse_data_type
from market_data.model.instruments import INSTRUMENT_TYPES, format_instrument_key, parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.model.venues import VENUES, parse_venue
from market_data.read.completeness import _cause, _Wanted
from market_data.read.find import find_instruments as find_in_lake
from market_data.read.find import names_of, upper_names_of
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import parse_receipt
from market_data.settings.environment import lake_url_of

OnIncomplete = Literal["raise", "skip", "include"]
_ADDED_COLUMNS = ("date", "venue", "instrument_type")
_NAMED_AT_MOST = 20


class UncheckedTicksWarning(UserWarning):
    """Some of the days read were published by a version that had no rules about their ticks."""


class WaivedTicksWarning(UserWarning):
    """Some of the days read stand without a file, on a person's word; the text names each with its reason."""


class IncompleteTicksWarning(UserWarning):
    """Some of the days asked for are not whole; the text names each with its cause."""


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
    file are in the vendor's order, files by day, venue and instrument. Dates and naive datetimes are UTC; ISO text is
    accepted. `venues` takes any spelling, None takes every venue the lake holds of this data type; `instruments` takes
    instrument keys. `lake` is a URL or an open lake, default MARKET_DATA_LAKE_URL.

    Only whole days are read: a venue-day that was not run, is not requested or offered, failed, is being replaced, or
    whose ticks broke a rule of severity error raises TicksIncomplete, which names each with its cause. A day on which
    nothing was to be expected of a venue (it listed no instrument yet, or no more) is whole, and has no rows.
    `on_incomplete="skip"` leaves such venue-days out, `"include"` takes what was published of them; both warn. Columns,
    units and source: `model/data_types.py`.
    """
    kind = parse_data_type(data_type)
    if on_incomplete not in get_args(OnIncomplete):
        raise ConfigurationError(
            f"on_incomplete is {on_incomplete!r}; it must be one of {', '.join(get_args(OnIncomplete))}"
        )
    since, until = _instant(start), _instant(end)
    if since >= until:
        raise ConfigurationError(f"start {start} is not before end {end}")
    store = lake if isinstance(lake, TickLake) else open_lake(lake or lake_url_of())
    keys = frozenset(_instrument_key(text) for text in names_of(instruments))
    types = frozenset(text.replace("-", "_") for text in upper_names_of(instrument_types))
    wanted = _Wanted(keys, upper_names_of(base), upper_names_of(quote), types)
    asked = sorted({parse_venue(name) for name in names_of(venues)} or {parse_instrument_key(key)[0] for key in keys})
    days = list(_days(since, until))
    receipts = _receipts(store, asked or VENUES, kind, days)
    _refuse_unknown_types(types, receipts.values())
    chosen = asked or sorted({unit.venue for unit in receipts})
    if not chosen:
        raise TicksIncomplete(f"the lake {store.url} holds no {kind} of any venue. Is it the right lake?")
    units = [DataTypeDay(venue, kind, day) for day in days for venue in chosen]
    idle = _idle_days(units, receipts)
    causes = {
        unit: cause for unit in units if unit not in idle and (cause := _cause(receipts.get(unit), wanted)) is not None
    }
    _tell(causes, len(units), store, on_incomplete)
    readable = [
        receipts[unit]
        for unit in units
        if unit in receipts
        and receipts[unit].state != "replacing"
        and (unit not in causes or on_incomplete == "include")
    ]
    unchecked = [receipt.unit for receipt in readable if any(map(wanted.takes, receipt.unchecked_files))]
    if unchecked:
        text = f"{len(unchecked)} venue-days are unchecked (no rule has looked at their ticks), from {unchecked[0]} on"
        warnings.warn(f"{text}. An earlier version published them", UncheckedTicksWarning, stacklevel=2)
    waived = [
        f"  {receipt.unit} {file.vendor_symbol}: {file.error}"
        for receipt in readable
        for file in filter(wanted.takes, receipt.files)
        if file.outcome is Outcome.WAIVED
    ]
    if waived:
        more = f"\n  ... and {len(waived) - _NAMED_AT_MOST} more" if len(waived) > _NAMED_AT_MOST else ""
        text = "\n".join(waived[:_NAMED_AT_MOST]) + more
        warnings.warn(
            f"{len(waived)} files are waived, and not in what is read:\n{text}", WaivedTicksWarning, stacklevel=2
        )
    rows = _scan(store, kind, readable, wanted, layout)
    return rows.filter(pl.col("local_timestamp") >= since, pl.col("local_timestamp") < until)


def _refuse_unknown_types(types: frozenset[str], receipts: Iterable[Receipt]) -> None:
    known = {*INSTRUMENT_TYPES, *(file.instrument_type for receipt in receipts for file in receipt.files)}
    if unknown := sorted(types - known):
        raise ConfigurationError(f"unknown instrument type {unknown[0]!r}. Known: {', '.join(sorted(known))}")


def _receipts(
    lake: TickLake, venues: Sequence[str], data_type: DataType, days: Sequence[date]
) -> dict[DataTypeDay, Receipt]:
    with ThreadPoolExecutor(16) as pool:
        listings = pool.map(lake.list_objects, (receipt_prefix(venue, data_type) for venue in venues))
        keys = [stat.key for stats in listings for stat in stats if days[0] <= day_of_receipt(stat.key) <= days[-1]]
        documents = pool.map(lake.get_bytes, keys)
        receipts = [parse_receipt(data, lake.uri(key)) for key, (data, _) in zip(keys, documents, strict=True)]
    return {receipt.unit: receipt for receipt in receipts}


def _idle_days(units: Sequence[DataTypeDay], receipts: Mapping[DataTypeDay, Receipt]) -> set[DataTypeDay]:
    """Return the units without rows that are no fault: the venue listed nothing that day, or nothing that is wanted.

    A venue of which nothing was expected on any of the days, although it listed instruments, is no such case: whoever
    asks for a data type that it does not have, or that is filtered away, is told so.
    """
    nothing = {unit for unit in units if unit in receipts and receipts[unit].is_nothing_expected}
    busy_venues = {unit.venue for unit in units if unit not in nothing}
    return {unit for unit in nothing if unit.venue in busy_venues or receipts[unit].instruments_listed == 0}


def _tell(causes: Mapping[DataTypeDay, str], asked: int, lake: TickLake, on_incomplete: OnIncomplete) -> None:
    if not causes:
        return
    lines = [f"  {unit}: {cause}" for unit, cause in list(causes.items())[:_NAMED_AT_MOST]]
    if len(causes) > _NAMED_AT_MOST:
        lines.append(f"  ... and {len(causes) - _NAMED_AT_MOST} more")
    text = f"{len(causes)} of {asked} venue-days are not whole in {lake.url}:\n" + "\n".join(lines)
    if on_incomplete == "raise":
        raise TicksIncomplete(f'{text}\nRun those days, or pass on_incomplete="skip" (leave them out) or "include"')
    warnings.warn(text, IncompleteTicksWarning, stacklevel=3)


def _scan(
    lake: TickLake, data_type: DataType, receipts: Sequence[Receipt], wanted: _Wanted, layout: str | None
) -> pl.LazyFrame:
    uris: list[tuple[str, str]] = []  # (layout, object), in the order of the rows
    has_groups = False
    for receipt in receipts:
        for item in filter(wanted.takes, receipt.objects):
            chosen = layout or receipt.layouts[0]
            if chosen not in item.generations:
                raise ConfigurationError(f"{receipt.unit} is not published in {chosen!r}, but in {receipt.layouts}")
            has_groups = has_groups or item.instrument_key is None
            uris.append((chosen, lake.uri(object_key(chosen, item.name(receipt.unit)))))
    schema = TABLES[data_type].published_schema
    partitions: dict[str, pl.DataType] = {key: pl.Date() if key == "date" else pl.String() for key in PARTITION_KEYS}
    scans = [
        pl.scan_parquet(
            [uri for _, uri in group],
            glob=False,
            hive_partitioning=True,
            hive_schema=partitions,
            storage_options=polars_storage_options(lake),
        ).select(*_ADDED_COLUMNS, *schema)  # each layout puts the partition keys elsewhere
        for _, group in groupby(uris, key=itemgetter(0))
    ]
    if not scans:
        added = {name: partitions[name] for name in _ADDED_COLUMNS}
        return pl.LazyFrame(schema=pl.Schema({**added, **schema}))
    rows = pl.concat(scans) if len(scans) > 1 else scans[0]
    return _only_wanted_rows(rows, wanted) if has_groups else rows


def _only_wanted_rows(rows: pl.LazyFrame, wanted: _Wanted) -> pl.LazyFrame:
    """Filter the rows of grouped files, which hold many instruments."""
    key = pl.col(INSTRUMENT_KEY.name)
    parts = key.str.split(":").list.get(2).str.split("-")
    if wanted.instruments:
        rows = rows.filter(key.is_in(sorted(wanted.instruments)))
    if wanted.bases:
        rows = rows.filter(parts.list.get(0).is_in(sorted(wanted.bases)))
    if wanted.quotes:
        rows = rows.filter(parts.list.get(1, null_on_oob=True).is_in(sorted(wanted.quotes)))
    return rows


def _instrument_key(text: str) -> str:
    try:
        venue, instrument_type, symbol = parse_instrument_key(text.upper())
    except ValueError as error:
        raise ConfigurationError(f"{error}, such as BINANCE:SPOT_PAIR:BTC-USDT") from error
    return format_instrument_key(parse_venue(venue), instrument_type, symbol)


def _instant(value: str | date | datetime) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ConfigurationError(f"{value!r} is not an ISO 8601 date or time, such as 2024-08-08") from error
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _days(since: datetime, until: datetime) -> Iterator[date]:
    day = since.date()
    while datetime.combine(day, time(), UTC) < until:
        yield day
        day += timedelta(days=1)


def find_instruments(
    *,
    text: str | None = None,
    base: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    venues: str | Iterable[str] | None = None,
    on: str | date | None = None,
    between: tuple[str | date, str | date] | None = None,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return the instruments that the lake knows, one row each, with the days held of each data type.

    `text` is a part of, or a glob on, the instrument key or the vendor symbol; `on` a day, `between` a start and an end
    (not included) in which the instrument was listed. See `market_data.read.find.find_instruments`.
    """
    days = tuple(_day(day) for day in between) if between else None
    return find_in_lake(
        lake if isinstance(lake, TickLake) else open_lake(lake or lake_url_of()),
        text=text,
        base=base,
        types=types,
        venues=venues,
        on=_day(on) if on is not None else None,
        between=(days[0], days[1]) if days else None,
    )


def _day(value: str | date) -> date:
    return _instant(value).date()
