"""Deribit: perpetuals, dated futures, options, spot pairs and combos.

`BTC-…` is inverse (settled in the coin, quoted in USD), `BTC_USDC-…` is linear (settled in the quote). Options of the
inverse family are keyed by their strike currency, USD, and priced in the coin. `1d14` is a strike of 1.14. Expiry is
08:00 UTC. Combos keep the vendor's form. Source: docs.tardis.dev, "Historical data details": Deribit.
"""

from __future__ import annotations

import re

from market_data.model.instruments import COMBO, FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    option,
    paid_in,
    parse_day_month_year,
    spot_pair,
    vendor_form_of_base,
)

_STRIKE = re.compile(r"[0-9]+(D[0-9]+)?")


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """Parse any Deribit symbol; combos keep the vendor's form with their base known."""
    underlying, *rest = vendor_symbol.split("-")
    base, separator, linear_quote = underlying.partition("_")
    if separator and not linear_quote:
        return None
    if instrument_type == COMBO:
        return vendor_form_of_base(vendor_symbol, base)
    if instrument_type == SPOT_PAIR:
        return spot_pair(base, linear_quote) if not rest else None
    quote, settlement = (linear_quote, linear_quote) if linear_quote else ("USD", base)
    unit = "base" if linear_quote or instrument_type == OPTION else "quote"
    if instrument_type == PERPETUAL:
        return contract(base, quote, settlement, unit) if rest == ["PERPETUAL"] else None
    expiry = parse_day_month_year(rest[0]) if rest else None
    dated = contract(base, quote, settlement, unit, expiry=expiry)
    return _parse_dated(dated, rest[1:], instrument_type) if expiry else None


def _parse_dated(dated: ParsedSymbol | None, rest: list[str], instrument_type: str) -> ParsedSymbol | None:
    match rest:
        case [] if instrument_type == FUTURE:
            return dated
        case [strike, side] if instrument_type == OPTION and _STRIKE.fullmatch(strike):
            premium = dated.settlement_asset if dated else None
            return paid_in(premium, option(dated, strike.replace("D", "."), side))
        case _:
            return None
