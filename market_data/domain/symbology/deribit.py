"""Deribit: perpetuals, dated futures, options, spot pairs and combos.

`BTC-…` is inverse (settled in the coin, quoted in USD), `BTC_USDC-…` is linear (settled in the quote). Options of the
inverse family are keyed by their strike currency, USD. `1d14` is a strike of 1.14. Expiry is 08:00 UTC.
"""

from __future__ import annotations

import re
from dataclasses import replace

from market_data.domain.instruments import COMBO, FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.domain.symbology.grammar import parse_day_month_year

_STRIKE = re.compile(r"\d+(D\d+)?")
_OPTION_TYPES = {"C": "CALL", "P": "PUT"}


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """Parse any Deribit symbol; combos keep the vendor's form with their base known."""
    underlying, _, rest = vendor_symbol.partition("-")
    base, _, linear_quote = underlying.partition("_")
    if not base:
        return None
    if instrument_type == COMBO:
        return ParsedSymbol(vendor_symbol, base, None, None, is_inverse=None, amount_unit=None)
    if instrument_type == SPOT_PAIR:
        is_pair = not rest and linear_quote
        return ParsedSymbol(f"{base}-{linear_quote}", base, linear_quote, None, None, "base") if is_pair else None
    future_unit = "base" if linear_quote else "quote"
    quote, settlement = (linear_quote, linear_quote) if linear_quote else ("USD", base)
    perpetual = ParsedSymbol(f"{base}-{quote}", base, quote, settlement, not linear_quote, future_unit)
    if instrument_type == PERPETUAL:
        return perpetual if rest == "PERPETUAL" else None
    return _parse_dated(perpetual, rest, instrument_type)


def _parse_dated(underlying: ParsedSymbol, rest: str, instrument_type: str) -> ParsedSymbol | None:
    expiry_text, _, option_text = rest.partition("-")
    expiry = parse_day_month_year(expiry_text)
    if expiry is None:
        return None
    symbol = f"{underlying.symbol}-{expiry:%y%m%d}"
    if instrument_type == FUTURE and not option_text:
        return replace(underlying, symbol=symbol, expiry=expiry)
    strike_text, _, side = option_text.partition("-")
    option_type = _OPTION_TYPES.get(side)
    if instrument_type != OPTION or option_type is None or not _STRIKE.fullmatch(strike_text):
        return None
    strike = strike_text.replace("D", ".")
    return replace(
        underlying,
        symbol=f"{symbol}-{strike}-{option_type}",
        amount_unit="base",
        expiry=expiry,
        strike=strike,
        option_type=option_type,
    )
