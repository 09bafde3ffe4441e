"""What the vendor's details of a venue say of a day: up to when it is exported, and what was listed.

Source: docs.tardis.dev, HTTP API, `/exchanges/:exchange`, `datasets` (availableTo and exportedUntil are exclusive).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
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
    file_symbol,
    instrument_type_of,
)
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

    `why_nothing` is a sentence where there is no instrument.
    """

    instruments: tuple[Instrument, ...]
    group_data_types: Mapping[str, tuple[DataType, ...]]
    why_nothing: str | None


def list_day(
    venue: str,
    answer: Mapping[str, Any],
    day: date,
    bounds: ExportBounds,
    definitions: Mapping[str, Mapping[str, Any]],
) -> Listing:
    """Return what a venue listed on a day; `definitions` are the vendor's, by vendor symbol.

    Raises VendorError (permanent) when the answer lacks what is needed, or two instruments would share a key.
    """
    listed: dict[tuple[str, str], Instrument] = {}
    groups: dict[str, tuple[DataType, ...]] = {}
    lives: list[tuple[date, date]] = []
    for row in _needed(venue, answer["datasets"], "symbols", list):
        since, to = _day(venue, row, "availableSince"), _day(venue, row, "availableTo")
        if row.get("id") not in GROUP_TYPES:
            lives.append((since, to))
        if not since <= day < min(to, bounds.exported_until):
            continue
        symbol = _symbol(venue, row)
        if symbol in GROUP_TYPES:
            groups[symbol] = _data_types(venue, row)
            continue
        instrument = _instrument(venue, row, symbol, (since, to), definitions.get(symbol, {}))
        twin = listed.get((symbol, instrument.instrument_type))
        listed[symbol, instrument.instrument_type] = _merged(twin, instrument) if twin else instrument
    instruments = tuple(sorted(listed.values(), key=lambda instrument: instrument.vendor_symbol))
    _refuse_shared_keys(instruments)
    return Listing(instruments, groups, None if instruments else _why_nothing_listed(day, lives, bounds))


def _instrument(
    venue: str, row: Mapping[str, Any], symbol: str, life: tuple[date, date], definition: Mapping[str, Any]
) -> Instrument:
    instrument_type = instrument_type_of(_needed(venue, row, "type", str))
    first_day, last_day = life[0], life[1] - timedelta(days=1)
    parsed, source = parse_symbol(venue, instrument_type, symbol, first_day, last_day)
    defined = apply_definition(parsed, source, venue, instrument_type, definition)
    return Instrument(
        venue=venue,
        vendor_symbol=symbol,
        instrument_type=instrument_type,
        parsed=defined.parsed,
        key_source=defined.source,
        data_types=_data_types(venue, row),
        first_day=first_day,
        last_day=last_day,
        contract_multiplier=_number(definition.get("contractMultiplier")),
        tick_size=_number(definition.get("priceIncrement")),
        disagreements=defined.disagreements,
    )


def _data_types(venue: str, row: Mapping[str, Any]) -> tuple[DataType, ...]:
    offered = _needed(venue, row, "dataTypes", list)
    return tuple(data_type for data_type in DataType if data_type in offered)


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
