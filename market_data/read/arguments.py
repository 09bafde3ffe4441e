"""What people write as an argument (one name or several, a date or its text), understood. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time

from market_data.errors import ConfigurationError
from market_data.model.instruments import (
    INSTRUMENT_TYPES,
    format_instrument_key,
    instrument_type_of,
    parse_instrument_key,
)
from market_data.model.venues import parse_venue


def names_of(value: str | Iterable[str] | None) -> list[str]:
    """Return the names of an argument that takes one, several or None; raises ConfigurationError (permanent)."""
    if value is None:
        return []
    try:
        names = [value] if isinstance(value, str) else list(value)
    except TypeError:
        names = [value]  # type: ignore[list-item]
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(f"{name!r} is no name: give a text, or several in a list")
    return names


def upper_names_of(value: str | Iterable[str] | None) -> frozenset[str] | None:
    """Return the names of such an argument in upper case, None for None."""
    return None if value is None else frozenset(text.upper() for text in names_of(value))


def to_instrument_key(text: str) -> str:
    """Return an instrument key as the lake spells it; raises ConfigurationError (permanent) for what is none."""
    try:
        venue, instrument_type, symbol = parse_instrument_key(text.upper())
    except ValueError as error:
        raise ConfigurationError(f"{error}, such as BINANCE:SPOT_PAIR:BTC-USDT") from error
    return format_instrument_key(parse_venue(venue), instrument_type, symbol)


def to_instrument_type(text: str) -> str:
    """Return an instrument type as the lake spells it: `perpetual`, `spot` and `spot-pair` are accepted."""
    return instrument_type_of(text.strip().lower().replace("-", "_"))


def refuse_unknown_types(types: Collection[str], seen: Collection[str]) -> None:
    """Raise ConfigurationError (permanent) for a type that is neither known nor seen: the vendor adds some."""
    known = {*INSTRUMENT_TYPES, *seen}
    if unknown := sorted(set(types) - known):
        raise ConfigurationError(f"unknown instrument type {unknown[0]!r}. Known: {', '.join(sorted(known))}")


def to_instant(value: str | date | datetime) -> datetime:
    """Return the instant in UTC; a date is its beginning. Raises ConfigurationError (permanent) for other text."""
    if not isinstance(value, str | date) or value != value:  # noqa: PLR0124  pandas' NaT is a datetime
        raise ConfigurationError(f"{value!r} is not a day or an instant: give a date, a datetime or ISO 8601 text")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ConfigurationError(f"{value!r} is not an ISO 8601 date or time, such as 2024-08-08") from error
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise ConfigurationError(f"{value} is outside of all days that there are") from error


def to_day(value: str | date) -> date:
    """Return the UTC day; raises ConfigurationError (permanent) for text that is no date."""
    return to_instant(value).date()
