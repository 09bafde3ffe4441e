"""What the vendor's details of a venue say of a day: up to when it is exported, and what was listed.

Source: docs.tardis.dev, HTTP API, `/exchanges/:exchange`, `datasets` (availableTo and exportedUntil are exclusive).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from market_data.errors import VendorError
from market_data.model.data_types import DataType
from market_data.model.instruments import (
    COMBO,
    FUTURE,
    OPTION,
    PERPETUAL,
    SPOT_PAIR,
    Instrument,
    KeySource,
    instrument_type_of,
    unparsed_symbol,
)
from market_data.symbology import parse_symbol
from market_data.vendor.instrument_definitions import apply_definition
from market_data.vendor.metadata import ListedSymbol, UnreadableRow, end_of_life, read_export_state, read_symbols

# The vendor's group ids: one file for all instruments of a type.
GROUP_TYPES: dict[str, str] = {
    "SPOT": SPOT_PAIR,
    "PERPETUALS": PERPETUAL,
    "FUTURES": FUTURE,
    "OPTIONS": OPTION,
    "COMBOS": COMBO,
}

# Thousands a venue, each with its expiry in its symbol.
_NEVER_RENAMED = frozenset({OPTION, COMBO})
_LAST_EXPORT_TAKES = timedelta(days=7)


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


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue listed on a day: instruments, sorted by vendor symbol, and grouped files with their data types.

    `why_nothing` is a sentence where there is no instrument. `unreadable` are rows that may have been listed; `notes`
    are sentences about instruments whose key or type had to be decided.
    """

    instruments: tuple[Instrument, ...]
    group_data_types: Mapping[str, tuple[DataType, ...]]
    why_nothing: str | None
    unreadable: tuple[UnreadableRow, ...] = ()
    notes: tuple[str, ...] = ()


def list_day(
    venue: str,
    answer: Mapping[str, Any],
    day: date,
    bounds: ExportBounds,
    definitions: Mapping[str, Mapping[str, Any]],
) -> Listing:
    """Return what a venue listed on a day; `definitions` are the vendor's, by vendor symbol.

    Rows that cannot be read, a symbol under two types, and symbols that would share a key are no reason to refuse the
    others: see `Listing`. Raises VendorError (permanent) when the answer is no list of symbols at all.
    """
    symbols = answer["datasets"].get("symbols")
    if not isinstance(symbols, list):
        raise VendorError(
            f"{venue}: the vendor's details lack a usable 'symbols' (found {type(symbols).__name__} on 'datasets'). "
            "Its format may have changed: see docs.tardis.dev, HTTP API"
        )
    rows, unreadable = read_symbols(symbols)
    groups = {row.symbol: row.data_types for row in rows if row.symbol in GROUP_TYPES and _is_listed(row, day, bounds)}
    by_symbol: dict[str, list[ListedSymbol]] = {}
    for row in rows:
        if row.symbol not in GROUP_TYPES:
            by_symbol.setdefault(row.symbol, []).append(row)
    of_day = {symbol: alive for symbol, of in by_symbol.items() if (alive := _alive(of, day, bounds))}
    found = [
        _instrument(venue, symbol, alive, _first_type(by_symbol[symbol]), definitions.get(symbol, {}))
        for symbol, alive in of_day.items()
    ]
    instruments, shared = _without_shared_keys(venue, found, by_symbol)
    retyped = [
        symbol for symbol in of_day if len({instrument_type_of(row.vendor_type) for row in by_symbol[symbol]}) > 1
    ]
    lives = [row.life for of in by_symbol.values() for row in of]
    return Listing(
        instruments=tuple(sorted(instruments, key=lambda instrument: instrument.vendor_symbol)),
        group_data_types=groups,
        why_nothing=None if instruments else _why_nothing_listed(day, lives, bounds),
        unreadable=tuple(unreadable),
        notes=(*_notes_of_retyped(retyped, by_symbol), *shared),
    )


def _is_listed(row: ListedSymbol, day: date, bounds: ExportBounds) -> bool:
    since, to = row.life
    return since <= day < min(to, bounds.exported_until)


def _alive(rows: Sequence[ListedSymbol], day: date, bounds: ExportBounds) -> list[ListedSymbol]:
    return [row for row in rows if _is_listed(row, day, bounds)]


def _first_type(rows: Sequence[ListedSymbol]) -> str:
    """Return the type of a symbol's first life: a symbol that is typed anew later keeps its key."""
    return instrument_type_of(min(rows, key=lambda row: (row.since, row.vendor_type)).vendor_type)


def _instrument(
    venue: str, symbol: str, alive: Sequence[ListedSymbol], instrument_type: str, definition: Mapping[str, Any]
) -> Instrument:
    """Return the instrument of one file symbol, of all rows of it: ids that differ in case, relistings."""
    first_day = min(row.life[0] for row in alive)
    last_day = max(row.life[1] for row in alive) - timedelta(days=1)
    parsed, source = parse_symbol(venue, instrument_type, symbol, first_day, last_day)
    defined = apply_definition(parsed, source, venue, instrument_type, definition)
    offered = {data_type for row in alive for data_type in row.data_types}
    return Instrument(
        venue=venue,
        vendor_symbol=symbol,
        instrument_type=instrument_type,
        parsed=defined.parsed,
        key_source=defined.source,
        data_types=tuple(data_type for data_type in DataType if data_type in offered),
        first_day=first_day,
        last_day=last_day,
        contract_multiplier=_number(definition.get("contractMultiplier")),
        tick_size=_number(definition.get("priceIncrement")),
        disagreements=defined.disagreements,
    )


def _without_shared_keys(
    venue: str, found: Sequence[Instrument], by_symbol: Mapping[str, Sequence[ListedSymbol]]
) -> tuple[list[Instrument], list[str]]:
    """Let no two symbols that live at once share a key; returns the instruments, and a sentence for each that yields.

    The symbol that was listed first owns the key, for good. One that is listed while the owner lives has the vendor's
    form in its key, also when the owner has ended: on no day does it change. A symbol that begins when the owner has
    ended goes on under its key: a renamed instrument stays one series.
    """
    lives: dict[tuple[str, str], list[tuple[date, date, str]]] = {}
    for symbol, rows in by_symbol.items():
        first, end = min(row.life[0] for row in rows), max(row.life[1] for row in rows)
        kind = _first_type(rows)
        if kind not in _NEVER_RENAMED:
            parsed, _ = parse_symbol(venue, kind, symbol, first, end - timedelta(days=1))
            lives.setdefault((kind, parsed.symbol), []).append((first, end, symbol))
    instruments, notes = [], []
    for item in found:
        same = lives.get((item.instrument_type, item.parsed.symbol), [])
        own = next((life for life in same if life[2] == item.vendor_symbol), None)
        owners = [] if own is None else [other for other in same if other < own and other[1] > own[0]]
        if not owners:
            instruments.append(item)
            continue
        yielding = replace(
            item,
            parsed=replace(item.parsed, symbol=unparsed_symbol(item.vendor_symbol).symbol),
            key_source=KeySource.VENDOR_SYMBOL,
        )
        instruments.append(yielding)
        notes.append(
            f"{item.vendor_symbol} would share the key {item.instrument_key} with {owners[0][2]}, which was listed "
            f"before it: its own key is {yielding.instrument_key}"
        )
    return instruments, notes


def _notes_of_retyped(retyped: Sequence[str], by_symbol: Mapping[str, Sequence[ListedSymbol]]) -> list[str]:
    return [
        f"{symbol} is listed as {' and as '.join(sorted({row.vendor_type for row in by_symbol[symbol]}))}: it counts "
        f"as {_first_type(by_symbol[symbol])}, as when it was first listed, and has one file"
        for symbol in retyped
    ]


def _why_nothing_listed(day: date, lives: Sequence[tuple[date, date]], bounds: ExportBounds) -> str:
    """Say why a venue listed nothing on a day; `lives` are first day and exclusive end of all that it ever listed."""
    if bounds.ended is not None and day >= bounds.ended:
        return f"the vendor collects the venue no more; its last day is {bounds.ended - timedelta(days=1)}"
    starts = [since for since, _ in lives if since > day]
    ends = [to for since, to in lives if since <= day]
    parts = [f"the last one before ended with {max(ends) - timedelta(days=1)}"] if ends else []
    parts += [f"the {'next' if ends else 'first'} one is listed from {min(starts)} on"] if starts else []
    return ", ".join(parts) or "the vendor lists none of this venue at all"


def export_bounds(venue: str, answer: Mapping[str, Any], asked: date | None = None) -> ExportBounds:
    """Return up to which day a venue is exported, and whether it has ended; raises VendorError (permanent).

    A last day that was not exported a week after the end, on the day `asked`, never will be: it is after the end too.
    """
    state = read_export_state(venue, answer)
    bound = state.exported_until.date()
    if not state.is_delisted:
        return ExportBounds(bound, None)
    if state.available_until is None:
        return ExportBounds(bound, bound)
    ended = end_of_life(state.available_until)
    is_late = asked is not None and asked - ended > _LAST_EXPORT_TAKES
    return ExportBounds(bound, bound if is_late else max(bound, ended))


def _number(value: object) -> float | None:
    """Read a number that the vendor may send as text; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
