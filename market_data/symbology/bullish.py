"""Bullish: spot pairs without separator, `-PERP`, and 8-digit dates on futures and options.

AUSD, PYUSD and RLUSD end in USD: `AAVEAUSD` is AAVE-AUSD. Contracts are linear, settled in their quote, amounts in
base; 08:00 UTC [U]. `BONK1M` is a base of its own (a million BONK). Source: docs.tardis.dev, "Historical
data details": Bullish.
"""

from __future__ import annotations

from market_data.model.instruments import FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, option, parse_yyyymmdd, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of("USDC USDT USD AUSD PYUSD RLUSD USDG USD1 EURC EUR BTC ETH")


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USDC-20260425-70000-C` -> BTC-USDC-260425-70000-CALL."""
    if instrument_type == SPOT_PAIR:
        split = split_pair(vendor_symbol, _SPOT_QUOTES)
        return spot_pair(*split) if split else None
    match vendor_symbol.split("-"):
        case [base, quote, "PERP"] if instrument_type == PERPETUAL:
            return contract(base, quote, quote, "base")
        case [base, quote, date_text] if instrument_type == FUTURE:
            expiry = parse_yyyymmdd(date_text)
            return contract(base, quote, quote, "base", expiry=expiry) if expiry else None
        case [base, quote, date_text, strike, side] if instrument_type == OPTION:
            return option(contract(base, quote, quote, "base", expiry=parse_yyyymmdd(date_text)), strike, side)
        case _:
            return None
