"""Crypto.com Exchange, and its derivatives of 2022 under their own vendor id.

Spot is `BTC_USDT`, a perpetual `BTCUSD-PERP`, a dated future `BTCUSD-220930` (08:00 UTC [U]). Derivatives are linear
and quoted in USD; they settle in dollars of the margin account [U]. Source: docs.tardis.dev, "Historical data
details": Crypto.com Exchange, Crypto.com Derivatives.
"""

from __future__ import annotations

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, parse_yymmdd, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_QUOTES = quotes_of("USD USDT USDC")


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC_USDT` -> BTC-USDT, `BTCUSD-PERP` -> BTC-USD, `BTCUSD-220930` -> BTC-USD-220930."""
    if instrument_type == SPOT_PAIR:
        base, _, quote = vendor_symbol.partition("_")
        return spot_pair(base, quote)
    underlying, _, suffix = vendor_symbol.partition("-")
    split = split_pair(underlying, _QUOTES)
    expiry = parse_yymmdd(suffix)
    is_perpetual = suffix == "PERP" and instrument_type == PERPETUAL
    is_dated = expiry is not None and instrument_type == FUTURE
    if split is None or not (is_perpetual or is_dated):
        return None
    base, quote = split
    return contract(base, quote, quote, "base", expiry=expiry)
