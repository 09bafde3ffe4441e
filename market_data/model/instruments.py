"""Instruments and their keys.

An instrument key is `VENUE:TYPE:SYMBOL` in upper case. SYMBOL is `BASE-QUOTE[-YYMMDD[-STRIKE-CALL|PUT]]`, strikes keep
their decimals. A symbol that no parser knows keeps the vendor's form; where that form could be read as a canonical
symbol it is prefixed with `~`, so a key never depends on what else is listed and two instruments never share one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from market_data.model.data_types import DataType

SPOT_PAIR = "SPOT_PAIR"
PERPETUAL = "PERPETUAL"
FUTURE = "FUTURE"
OPTION = "OPTION"
COMBO = "COMBO"
PREDICTION = "PREDICTION"
# The types known today; an instrument of a type the vendor adds later gets that type's name in upper case.
INSTRUMENT_TYPES: tuple[str, ...] = (SPOT_PAIR, PERPETUAL, FUTURE, OPTION, COMBO, PREDICTION)

# How a contract pays: `linear` in the currency of its price, `inverse` in its base, `quanto` in a third asset.
LINEAR, INVERSE, QUANTO = "linear", "inverse", "quanto"
CONTRACT_KINDS = (LINEAR, INVERSE, QUANTO)
# A contract on one of them that is settled in another is linear: it pays dollars for dollars.
_DOLLARS = frozenset({"USD", "USDC", "USDT", "BUSD", "USDE", "FDUSD"})

_CANONICAL_SYMBOL = re.compile(r"[^-]+-[^-]+(-\d{6}(-[^-]+-(CALL|PUT))?)?")


def instrument_type_of(vendor_type: str) -> str:
    """Return the instrument type of the vendor's `type` field (`spot` -> `SPOT_PAIR`)."""
    return SPOT_PAIR if vendor_type == "spot" else vendor_type.upper()


def file_symbol(vendor_id: str) -> str:
    """Return a vendor id in file-name form: upper case, `/` and `:` as `-` (reference: vendor's client, §1.6)."""
    return vendor_id.replace("/", "-").replace(":", "-").upper()


class KeySource(StrEnum):
    """Where an instrument's key and attributes come from.

    A key comes from the symbol alone (see `vendor/instrument_definitions.py`).
    """

    SYMBOLOGY = "symbology"  # a parser of this project read the vendor symbol
    VENDOR_SYMBOL = "vendor_symbol"  # no parser knows the symbol: the key holds the vendor's form
    VENDOR_DEFINITION = "vendor_definition"  # the same, with the attributes of the vendor's `/instruments` answer


@dataclass(frozen=True, slots=True)
class ParsedSymbol:
    """What a venue's parser reads from a vendor symbol; `symbol` is the symbol part of the instrument key.

    `price_currency` is that of the price columns: the quote, or the coin of an option whose premium is paid in it.
    `amount_unit` is the unit of the `amount` columns: `base`, `quote` or `contracts`. `contract_kind` is one of
    CONTRACT_KINDS, None on spot. `expiry` is an exact UTC instant. None says everywhere that it is not known.
    """

    symbol: str
    base: str | None
    quote: str | None
    settlement_asset: str | None
    is_inverse: bool | None
    amount_unit: str | None
    expiry: datetime | None = None
    strike: str | None = None
    option_type: str | None = None
    price_currency: str | None = None
    contract_kind: str | None = None


def contract_kind_of(base: str | None, quote: str | None, settlement_asset: str | None) -> str | None:
    """Return how a contract pays, as far as its assets tell."""
    if base is None or quote is None or settlement_asset is None:
        return None
    if settlement_asset == base:
        return INVERSE
    return LINEAR if settlement_asset == quote or {settlement_asset, quote} <= _DOLLARS else QUANTO


def unparsed_symbol(vendor_symbol: str) -> ParsedSymbol:
    """Return the parsed form of a symbol that no parser knows: the vendor's form and nothing else."""
    looks_canonical = _CANONICAL_SYMBOL.fullmatch(vendor_symbol) is not None
    return ParsedSymbol(f"~{vendor_symbol}" if looks_canonical else vendor_symbol, None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One attribute in an instrument's key that the vendor's definition tells otherwise; the key stays as it is."""

    attribute: str
    of_symbol: str
    of_vendor: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument of a venue as it was listed on a day.

    `first_day` and `last_day` are the first and last UTC day with tick files (both inclusive); `tick_size` and
    `contract_multiplier` are None where the vendor's instruments answer was not available.
    """

    venue: str
    vendor_symbol: str
    instrument_type: str
    parsed: ParsedSymbol
    key_source: KeySource
    data_types: tuple[DataType, ...]
    first_day: date
    last_day: date
    contract_multiplier: float | None = None
    tick_size: float | None = None
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def instrument_key(self) -> str:
        """`VENUE:TYPE:SYMBOL`."""
        return format_instrument_key(self.venue, self.instrument_type, self.parsed.symbol)


def format_instrument_key(venue: str, instrument_type: str, symbol: str) -> str:
    """Return `VENUE:TYPE:SYMBOL`."""
    return f"{venue}:{instrument_type}:{symbol}"


def _check_instrument_key(text: str) -> str:
    parse_instrument_key(text)
    return text


InstrumentKey = Annotated[str, AfterValidator(_check_instrument_key)]


def parse_instrument_key(instrument_key: str) -> tuple[str, str, str]:
    """Return (venue, instrument type, symbol) of a key; raises ValueError for what is not a key."""
    venue, separator, rest = instrument_key.partition(":")
    instrument_type, second_separator, symbol = rest.partition(":")
    if not (separator and second_separator and venue and instrument_type and symbol):
        raise ValueError(f"{instrument_key!r} is not an instrument key; expected VENUE:TYPE:SYMBOL")
    return venue, instrument_type, symbol
