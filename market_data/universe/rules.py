"""Which instruments a venue listed on a day, and which tick files must therefore exist.

Source: docs.tardis.dev, HTTP API, `/exchanges/:exchange`, `datasets` (availableTo and exportedUntil are exclusive).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from market_data.errors import VendorError, VendorNotReady
from market_data.model.data_types import DataType
from market_data.model.instruments import (
    COMBO,
    FUTURE,
    OPTION,
    PERPETUAL,
    SPOT_PAIR,
    Instrument,
    file_symbol,
    instrument_type_of,
)
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.symbology import parse_symbol
from market_data.vendor.instrument_definitions import apply_definition

# The vendor's group ids: one file for all instruments of a type.
GROUP_TYPES: dict[str, str] = {
    "SPOT": SPOT_PAIR,
    "PERPETUALS": PERPETUAL,
    "FUTURES": FUTURE,
    "OPTIONS": OPTION,
    "COMBOS": COMBO,
}

_LAST_EXPORT_TAKES = timedelta(days=7)

# The columns of `instruments.parquet`: one row is one instrument that the venue listed that day.
UNIVERSE_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "venue": pl.String(),
        "vendor_symbol": pl.String(),
        "instrument_type": pl.String(),
        "base": pl.String(),
        "quote": pl.String(),
        "settlement_asset": pl.String(),
        "expiry": pl.Datetime("us", "UTC"),
        "strike": pl.String(),
        "option_type": pl.String(),
        "is_inverse": pl.Boolean(),
        "contract_multiplier": pl.Float64(),
        "amount_unit": pl.String(),
        "tick_size": pl.Float64(),
        "data_types": pl.List(pl.String()),
        "first_day": pl.Date(),
        "last_day": pl.Date(),
        "key_source": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user wants of a venue; globs match the vendor symbol or the instrument key, without regard to case.

    An empty `instrument_types` or `include` takes all. `max_instruments` keeps the first N by vendor symbol.
    """

    data_types: tuple[DataType, ...]
    instrument_types: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_instruments: int | None = None
    prefer_grouped: tuple[str, ...] = ("OPTIONS",)


@dataclass(frozen=True, slots=True)
class Universe:
    """The instruments of one venue on one day, sorted by vendor symbol.

    `exported_until` is the first day that was not exported when the vendor was asked. `group_data_types` names the
    grouped files offered that day; `left_out` counts instruments by the filter that took them away;
    `why_nothing_listed` is a sentence where `listed` is empty.
    """

    venue: str
    day: date
    listed: tuple[Instrument, ...]
    selected: tuple[Instrument, ...]
    group_data_types: Mapping[str, tuple[DataType, ...]]
    left_out: Mapping[str, int]
    exported_until: date
    why_nothing_listed: str | None = None


@dataclass(frozen=True, slots=True)
class ExportBounds:
    """Which days of a venue have tick files, as far as the vendor could say when it was asked.

    `exported_until` is the first day that it had not exported. `ended` is the first day on which it no longer collected
    a venue that it calls delisted, None of a venue that it still collects. Between the two a day may be on its way.
    """

    exported_until: date
    ended: date | None

    def has_settled(self, day: date) -> bool:
        """Whether the vendor will not add to what it said of a day: exported, or after the venue's end."""
        return day < self.exported_until or (self.ended is not None and day >= self.ended)


def instruments_on(
    venue: str,
    answer: Mapping[str, Any],
    day: date,
    selection: Selection,
    definitions: Mapping[str, Mapping[str, Any]],
    *,
    asked: date | None = None,
) -> Universe:
    """Return the universe of a day from the vendor's exchange details.

    `definitions` are the vendor's instrument definitions by vendor symbol, empty where the key's plan has none; no
    instrument key depends on them (`vendor/instrument_definitions.py`). `asked` is the day of the vendor's answer.

    A day on which the venue listed nothing (before its first instrument, after its last, between two, after the venue's
    end) has an empty universe. Raises VendorNotReady (transient) when the day is not exported yet, VendorError
    (permanent) when the answer lacks what is needed.
    """
    bounds = export_bounds(venue, answer, asked)
    bound = bounds.exported_until
    datasets = answer["datasets"]
    if not bounds.has_settled(day):
        raise VendorNotReady(
            f"{venue} {day}: not exported yet; the vendor has exported the days before {bound}. "
            "A day is usually exported by 06:00 UTC of the next one: run this day again then"
        )
    listed: dict[tuple[str, str], Instrument] = {}
    groups: dict[str, tuple[DataType, ...]] = {}
    lives: list[tuple[date, date]] = []
    for row in _needed(venue, datasets, "symbols", list):
        since, to = _day(venue, row, "availableSince"), _day(venue, row, "availableTo")
        if row.get("id") not in GROUP_TYPES:
            lives.append((since, to))
        if not since <= day < min(to, bound):
            continue
        offered = _needed(venue, row, "dataTypes", list)
        data_types = tuple(data_type for data_type in DataType if data_type in offered)
        symbol = _symbol(venue, row)
        if symbol in GROUP_TYPES:
            groups[symbol] = data_types
            continue
        instrument_type = instrument_type_of(_needed(venue, row, "type", str))
        last_day = to - timedelta(days=1)
        parsed, source = parse_symbol(venue, instrument_type, symbol, since, last_day)
        definition = definitions.get(symbol, {})
        defined = apply_definition(parsed, source, venue, instrument_type, definition)
        instrument = Instrument(
            venue=venue,
            vendor_symbol=symbol,
            instrument_type=instrument_type,
            parsed=defined.parsed,
            key_source=defined.source,
            data_types=data_types,
            first_day=since,
            last_day=last_day,
            contract_multiplier=_number(definition.get("contractMultiplier")),
            tick_size=_number(definition.get("priceIncrement")),
            disagreements=defined.disagreements,
        )
        twin = listed.get((symbol, instrument_type))
        listed[symbol, instrument_type] = _merged(twin, instrument) if twin else instrument
    instruments = tuple(sorted(listed.values(), key=lambda instrument: instrument.vendor_symbol))
    _refuse_shared_keys(instruments)
    selected, left_out = _select(instruments, selection)
    why_nothing = None if instruments else _why_nothing_listed(day, lives, bounds)
    return Universe(venue, day, instruments, selected, groups, left_out, bound, why_nothing)


def _why_nothing_listed(day: date, lives: Sequence[tuple[date, date]], bounds: ExportBounds) -> str:
    """Say why a venue listed nothing on a day; `lives` are first day and exclusive end of all that it ever listed."""
    if bounds.ended is not None and day >= bounds.ended:
        return f"the vendor collects the venue no more; its last day is {bounds.ended - timedelta(days=1)}"
    starts = [since for since, _ in lives if since > day]
    ends = [to for since, to in lives if since <= day]
    parts = [f"the last one before ended with {max(ends) - timedelta(days=1)}"] if ends else []
    parts += [f"the {'next' if ends else 'first'} one is listed from {min(starts)} on"] if starts else []
    return ", ".join(parts) or "the vendor lists none of this venue at all"


def _merged(one: Instrument, other: Instrument) -> Instrument:
    """Return one instrument for two rows of the same file symbol (ids that differ in case, or a relisting)."""
    data_types = tuple(data_type for data_type in DataType if data_type in {*one.data_types, *other.data_types})
    first_day, last_day = min(one.first_day, other.first_day), max(one.last_day, other.last_day)
    return replace(one, data_types=data_types, first_day=first_day, last_day=last_day)


def _needed(venue: str, row: Mapping[str, Any], field: str, kind: type) -> Any:
    value = row.get(field)
    if not isinstance(value, kind):
        raise VendorError(_describe_lack(venue, row, field))
    return value


def _symbol(venue: str, row: Mapping[str, Any]) -> str:
    """Return a row's symbol in file-name form; half of a surrogate pair, which JSON allows, is in no file's name."""
    symbol = file_symbol(_needed(venue, row, "id", str))
    if not symbol or any("\ud800" <= letter <= "\udfff" for letter in symbol):
        raise VendorError(_describe_lack(venue, row, "id"))
    return symbol


def export_bounds(venue: str, answer: Mapping[str, Any], asked: date | None = None) -> ExportBounds:
    """Return up to which day a venue is exported, and whether it has ended; raises VendorError (permanent).

    A last day that was not exported a week after the end, on the day `asked`, never will be: it is after the end too.
    """
    datasets = answer.get("datasets")
    if not isinstance(datasets, Mapping):
        raise VendorError(f"{venue}: the vendor has no tick files of this venue (no `datasets` in its details)")
    bound = _day(venue, datasets, "exportedUntil")
    if answer.get("delisted") is not True:
        return ExportBounds(bound, None)
    if answer.get("availableTo") is None:
        return ExportBounds(bound, bound)
    # `availableTo` is exclusive: an end within a day leaves rows of that day
    end = _instant(venue, answer, "availableTo")
    ended = end.date() if end.time() == time() else end.date() + timedelta(days=1)
    is_late = asked is not None and asked - ended > _LAST_EXPORT_TAKES
    return ExportBounds(bound, bound if is_late else max(bound, ended))


def _day(venue: str, row: Mapping[str, Any], field: str) -> date:
    return _instant(venue, row, field).date()


def _instant(venue: str, row: Mapping[str, Any], field: str) -> datetime:
    try:
        return datetime.fromisoformat(row[field])
    except (KeyError, TypeError, ValueError) as error:
        raise VendorError(_describe_lack(venue, row, field)) from error


def _describe_lack(venue: str, row: Mapping[str, Any], field: str) -> str:
    return (
        f"{venue}: the vendor's details lack a usable {field!r} (found {row.get(field)!r} on "
        f"{row.get('id', 'datasets')!r}). Its format may have changed: see docs.tardis.dev, HTTP API"
    )


def _number(value: float | str | None) -> float | None:
    """Read a number that the vendor may send as text."""
    return None if value is None else float(value)


def _refuse_shared_keys(listed: Sequence[Instrument]) -> None:
    by_key: dict[str, str] = {}
    for instrument in listed:
        other = by_key.setdefault(instrument.instrument_key, instrument.vendor_symbol)
        if other != instrument.vendor_symbol:
            raise VendorError(
                f"{instrument.venue}: {other} and {instrument.vendor_symbol} would share the key "
                f"{instrument.instrument_key}; the venue's parser in symbology/ must tell them apart"
            )


def _matches(instrument: Instrument, globs: Iterable[str]) -> bool:
    names = (instrument.vendor_symbol, instrument.instrument_key)
    return any(fnmatchcase(name.upper(), glob.upper()) for glob in globs for name in names)


def _select(listed: Sequence[Instrument], selection: Selection) -> tuple[tuple[Instrument, ...], dict[str, int]]:
    left_out: Counter[str] = Counter()
    kept: list[Instrument] = []
    for instrument in listed:
        if selection.instrument_types and instrument.instrument_type not in selection.instrument_types:
            left_out["instrument_types"] += 1
        elif selection.include and not _matches(instrument, selection.include):
            left_out["include"] += 1
        elif _matches(instrument, selection.exclude):
            left_out["exclude"] += 1
        else:
            kept.append(instrument)
    if selection.max_instruments is not None and len(kept) > selection.max_instruments:
        left_out["max_instruments"] = len(kept) - selection.max_instruments
        kept = kept[: selection.max_instruments]
    return tuple(kept), dict(left_out)


def _chosen_groups(universe: Universe, selection: Selection) -> dict[str, str]:
    """Return {group id: instrument type} of the groups that stand for whole instrument types.

    A filter that would cut a group in two turns the group off: its file cannot be asked for in part.
    """
    listed = Counter(instrument.instrument_type for instrument in universe.listed)
    selected = Counter(instrument.instrument_type for instrument in universe.selected)
    return {
        group: instrument_type
        for group, instrument_type in GROUP_TYPES.items()
        if group in selection.prefer_grouped
        and group in universe.group_data_types
        and selected[instrument_type] == listed[instrument_type] > 0
    }


def expected_tick_files(universe: Universe, selection: Selection, data_type: DataType) -> tuple[TickFile, ...]:
    """Return the tick files that must exist for a data type, sorted by vendor symbol.

    A per-symbol file is expected only where no chosen group offers the data type for that instrument type.
    """
    unit = DataTypeDay(universe.venue, data_type, universe.day)
    groups = {
        group: instrument_type
        for group, instrument_type in _chosen_groups(universe, selection).items()
        if data_type in universe.group_data_types[group]
    }
    grouped_types = set(groups.values())
    files = [TickFile(unit, group, instrument_type, None) for group, instrument_type in groups.items()]
    files += [
        _expected_file(unit, instrument, universe.exported_until)
        for instrument in universe.selected
        if data_type in instrument.data_types and instrument.instrument_type not in grouped_types
    ]
    return tuple(sorted(files, key=lambda file: file.vendor_symbol))


def _expected_file(unit: DataTypeDay, instrument: Instrument, exported_until: date) -> TickFile:
    # what is listed on the newest exported day has its end there too, whether or not it goes on
    has_ended = instrument.last_day + timedelta(days=1) < exported_until
    return TickFile(
        unit,
        instrument.vendor_symbol,
        instrument.instrument_type,
        instrument.instrument_key,
        is_first_day=instrument.first_day == unit.day,
        is_last_day=has_ended and instrument.last_day == unit.day,
    )


def group_only_notes(universe: Universe, selection: Selection) -> tuple[str, ...]:
    """Say which data types are offered as a group only, while the filters turned that group off."""
    chosen = _chosen_groups(universe, selection)
    notes: list[str] = []
    for group, offered in universe.group_data_types.items():
        grouped_type = GROUP_TYPES[group]
        is_listed = any(item.instrument_type == grouped_type for item in universe.listed)
        is_wanted = grouped_type in (selection.instrument_types or (grouped_type,))
        if not is_listed and is_wanted and group in selection.prefer_grouped:
            notes.append(
                f"the vendor offers the grouped file {group} ({', '.join(offered)}), but lists no {grouped_type} on "
                f"{universe.day}: no file is expected"
            )
        instruments = [item for item in universe.selected if item.instrument_type == GROUP_TYPES[group]]
        lost = [
            data_type
            for data_type in offered
            if data_type in selection.data_types and not any(data_type in item.data_types for item in instruments)
        ]
        if group not in chosen and instruments and lost:
            notes.append(
                f"{', '.join(lost)} of {GROUP_TYPES[group]} exist only in the grouped file {group}, which is off "
                "(prefer_grouped, or a filter that would cut it in two): no file is expected"
            )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a venue's universes of two days."""

    what: str  # listed, delisted, data type gained, data type lost
    instrument_key: str
    detail: str


def changes_between(before: Universe, after: Universe) -> tuple[Change, ...]:
    """Return listings, delistings and data types gained or lost, sorted by kind and instrument key."""
    old = {item.instrument_key: item for item in before.listed}
    new = {item.instrument_key: item for item in after.listed}
    changes = [Change("listed", key, ", ".join(new[key].data_types)) for key in new.keys() - old.keys()]
    changes += [Change("delisted", key, f"last day {old[key].last_day}") for key in old.keys() - new.keys()]
    for key in new.keys() & old.keys():
        then, now = set(old[key].data_types), set(new[key].data_types)
        changes += [Change("data type gained", key, data_type) for data_type in now - then]
        changes += [Change("data type lost", key, data_type) for data_type in then - now]
    return tuple(sorted(changes, key=lambda change: (change.what, change.instrument_key, change.detail)))
