"""What the vendor's instrument definitions may decide: attributes, and never a key.

The vendor defines base, quote, expiry, strike and option type of each instrument (docs.tardis.dev, HTTP API,
`/instruments/:exchange`), but to keys with a Pro or Business plan only, and as it knows them today. An instrument key
must not change during an instrument's life: with another plan, or a corrected definition, rows of two days would cease
to be one series, and objects would be published under a second name. So keys come from the symbol alone (`symbology`),
which is the same for every plan and on every day, and a definition wins only where that changes no key:

- Where no parser knows the symbol, the key keeps the vendor's form and the attributes are the vendor's
  (`key_source` is then `vendor_definition`).
- Where a parser knows it, what the parser leaves open is filled in, and the instant of expiry is the vendor's if it
  lies on the parser's day: the settlement hour of some venues is not known to us. An expiry that the parser leaves
  open stays open: a rolling alias has another one each week.
- A venue's own code of an asset (`UST` of Bitfinex) is that asset, whether the vendor translates it or not.
- Where both speak of what stands in the key and differ, the parser's stays, and the difference is told: it is a fault
  of ours or of the vendor's, for people to look at before anything is renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from market_data.model.instruments import (
    CONTRACT_KINDS,
    INVERSE,
    OPTION,
    QUANTO,
    SPOT_PAIR,
    Disagreement,
    KeySource,
    ParsedSymbol,
    contract_kind_of,
    instrument_type_of,
)
from market_data.symbology import asset_name

_MOST_DIGITS = 40
_OPTION_TYPES = {"call": "CALL", "put": "PUT"}
_IN_KEYS = ("base", "quote", "expiry", "strike", "option_type")
_TOLD_OF = (*_IN_KEYS, "contract_kind")
_LEFT_OPEN_BY_SYMBOLS = ("base", "quote", "settlement_asset", "is_inverse", "price_currency", "contract_kind")


@dataclass(frozen=True, slots=True)
class Defined:
    """A symbol with what its definition adds, where its attributes come from, and where the two disagree."""

    parsed: ParsedSymbol
    source: KeySource
    disagreements: tuple[Disagreement, ...] = ()


def apply_definition(
    parsed: ParsedSymbol, source: KeySource, venue: str, instrument_type: str, definition: Mapping[str, Any]
) -> Defined:
    """Let the vendor's definition decide what it may; see the module. A field that cannot be read counts as absent."""
    told = _read(definition, venue, instrument_type)
    if not told:
        return Defined(parsed, source)
    if source is KeySource.VENDOR_SYMBOL:
        return Defined(_with_kind(replace(parsed, **told), instrument_type), KeySource.VENDOR_DEFINITION)
    wins = {name: told[name] for name in _LEFT_OPEN_BY_SYMBOLS if name in told and getattr(parsed, name) is None}
    if parsed.expiry and "expiry" in told and told["expiry"].date() == parsed.expiry.date():
        wins["expiry"] = told["expiry"]
    decided = _with_kind(replace(parsed, **wins), instrument_type)
    pairs = {name: (getattr(decided, name), told[name]) for name in _TOLD_OF if name in told}
    disagreements = tuple(
        Disagreement(name, str(ours), str(theirs))
        for name, (ours, theirs) in pairs.items()
        if ours is not None and ours != theirs
    )
    return Defined(decided, source, disagreements)


def _read(definition: Mapping[str, Any], venue: str, instrument_type: str) -> dict[str, Any]:
    """Return the attributes that a definition tells, by their name in `ParsedSymbol`."""
    if instrument_type_of(str(definition.get("type", ""))) not in {instrument_type, ""}:
        return {}  # of another instrument under the same id
    base, quote = (_asset(definition.get(field), venue) for field in ("baseCurrency", "quoteCurrency"))
    price_currency = quote
    if instrument_type == OPTION and quote == base:
        quote = None  # of an option paid in the coin the vendor names the premium's currency, not the strike's
    is_inverse = definition.get("inverse")
    told = {
        "base": base,
        "quote": quote,
        "settlement_asset": _asset(definition.get("settlementCurrency"), venue),
        "is_inverse": is_inverse if isinstance(is_inverse, bool) else None,
        "price_currency": price_currency,
        "contract_kind": _contract_kind(definition, instrument_type),
        "expiry": _instant(definition.get("expiry")),
        "strike": _decimal(definition.get("strikePrice")),
        "option_type": _OPTION_TYPES.get(str(definition.get("optionType")).lower()),
    }
    return {name: value for name, value in told.items() if value is not None}


def _with_kind(parsed: ParsedSymbol, instrument_type: str) -> ParsedSymbol:
    """Let the assets tell how a contract pays, where neither the symbol nor the vendor says it."""
    if parsed.contract_kind is not None or instrument_type == SPOT_PAIR:
        return parsed
    return replace(parsed, contract_kind=contract_kind_of(parsed.base, parsed.quote, parsed.settlement_asset))


def _contract_kind(definition: Mapping[str, Any], instrument_type: str) -> str | None:
    """Return how a contract pays: the vendor says it in `contractType` (`quanto_perpetual`), `quanto` and `inverse`."""
    if instrument_type == SPOT_PAIR:
        return None
    kind = str(definition.get("contractType", "")).partition("_")[0]
    if definition.get("quanto") is True:
        return QUANTO
    if kind in CONTRACT_KINDS:
        return kind
    return INVERSE if definition.get("inverse") is True else None


def _asset(value: object, venue: str) -> str | None:
    return asset_name(venue, value.upper()) if isinstance(value, str) and value else None


def _instant(value: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        return instant.astimezone(UTC) if instant and instant.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _decimal(value: object) -> str | None:
    """Return a strike as symbols spell it: all its decimals, no exponent, no zeros behind them."""
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | str) else None
    except InvalidOperation:
        return None
    is_usable = number is not None and number.is_finite() and abs(number.adjusted()) <= _MOST_DIGITS
    return f"{number.normalize():f}" if number is not None and is_usable else None
