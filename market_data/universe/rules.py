"""Which of the instruments that a venue listed on a day are wanted, and which tick files must therefore exist.

Source: docs.tardis.dev, HTTP API, `/exchanges/:exchange`, `datasets` (availableTo and exportedUntil are exclusive).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Any

from market_data.errors import VendorNotReady
from market_data.model.data_types import DataType
from market_data.model.instruments import Instrument, instrument_type_of
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.universe.listing import GROUP_TYPES, export_bounds, list_day
from market_data.vendor.metadata import UnreadableRow

# The instrument type of a file of which the vendor's list does not say enough.
UNREADABLE = "UNREADABLE"


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
    `why_nothing_listed` is a sentence where `listed` is empty. `unreadable` are rows of the vendor's answer that may be
    wanted and cannot be read; `notes` are sentences about what had to be decided;
    `doubt` says why an empty universe is not to be believed yet.
    """

    venue: str
    day: date
    listed: tuple[Instrument, ...]
    selected: tuple[Instrument, ...]
    group_data_types: Mapping[str, tuple[DataType, ...]]
    left_out: Mapping[str, int]
    exported_until: date
    why_nothing_listed: str | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    notes: tuple[str, ...] = ()
    doubt: str | None = None


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
    if not bounds.has_settled(day):
        raise VendorNotReady(
            f"{venue} {day}: not exported yet; the vendor has exported the days before {bounds.exported_until}. "
            "A day is usually exported by 06:00 UTC of the next one: run this day again then"
        )
    listing = list_day(venue, answer, day, bounds, definitions)
    selected, left_out = _select(listing.instruments, selection)
    return Universe(
        venue=venue,
        day=day,
        listed=listing.instruments,
        selected=selected,
        group_data_types=listing.group_data_types,
        left_out=left_out,
        exported_until=bounds.exported_until,
        why_nothing_listed=listing.why_nothing,
        unreadable=tuple(row for row in listing.unreadable if _may_be_wanted(row, selection)),
        notes=(*listing.notes, *_notes_of_nameless(listing.unreadable)),
    )


def _may_be_wanted(row: UnreadableRow, selection: Selection) -> bool:
    """Whether a row that cannot be read may be of a file that is wanted, as far as its symbol and type tell."""
    if row.symbol is None or row.symbol in GROUP_TYPES:
        return False
    instrument_type = instrument_type_of(row.vendor_type) if row.vendor_type else None
    if selection.instrument_types and instrument_type not in {None, *selection.instrument_types}:
        return False
    is_included = not selection.include or _is_named((row.symbol,), selection.include)
    return is_included and not _is_named((row.symbol,), selection.exclude)


def _notes_of_nameless(rows: Iterable[UnreadableRow]) -> list[str]:
    nameless = [row.why for row in rows if row.symbol is None or row.symbol in GROUP_TYPES]
    return (
        [f"{len(nameless)} rows of the vendor's list are of no symbol that can be read: {nameless[0]}"]
        if nameless
        else []
    )


def _matches(instrument: Instrument, globs: Iterable[str]) -> bool:
    return _is_named((instrument.vendor_symbol, instrument.instrument_key), globs)


def _is_named(names: Iterable[str], globs: Iterable[str]) -> bool:
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
    known = {file.vendor_symbol for file in files}
    files += [
        TickFile(unit, symbol, UNREADABLE, None)
        for symbol in unreadable_files(universe, data_type)
        if symbol not in known
    ]
    return tuple(sorted(files, key=lambda file: file.vendor_symbol))


def unreadable_files(universe: Universe, data_type: DataType) -> dict[str, str]:
    """Return why files that may be wanted cannot be asked for, by vendor symbol."""
    return {row.symbol: row.why for row in universe.unreadable if row.symbol and data_type in row.data_types}


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
        expires_at=instrument.parsed.expiry,
    )


def notes_on(universe: Universe, selection: Selection) -> tuple[str, ...]:
    """Say what had to be decided, and which data types are offered as a group only while filters turned it off."""
    chosen = _chosen_groups(universe, selection)
    notes = list(universe.notes)
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
