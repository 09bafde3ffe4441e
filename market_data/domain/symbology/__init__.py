"""Vendor symbol -> instrument: one small parser for each venue family.

A parser is a pure function of the vendor symbol in file-name form and the instrument type. It returns None for what it
does not know; the symbol then keeps the vendor's form. Source: docs.tardis.dev, "Historical data details", and the
venues' own contract specifications.
"""

from __future__ import annotations

from collections.abc import Callable

from market_data.domain.instruments import KeySource, ParsedSymbol, unparsed_symbol
from market_data.domain.symbology import binance, deribit

SymbolParser = Callable[[str, str], ParsedSymbol | None]

_PARSERS: dict[str, SymbolParser] = {
    "BINANCE": binance.parse_spot,
    "BINANCE-FUTURES": binance.parse_linear,
    "BINANCE-DELIVERY": binance.parse_inverse,
    "DERIBIT": deribit.parse,
}


def parse_symbol(venue: str, instrument_type: str, vendor_symbol: str) -> tuple[ParsedSymbol, KeySource]:
    """Return what a vendor symbol means on a venue, and whether a parser knew it."""
    parser = _PARSERS.get(venue)
    parsed = parser(vendor_symbol, instrument_type) if parser else None
    if parsed is None:
        return unparsed_symbol(vendor_symbol), KeySource.VENDOR_SYMBOL
    return parsed, KeySource.SYMBOLOGY
