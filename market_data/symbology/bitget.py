"""Bitget spot and futures.

`BTCUSDT` is USDT-linear, `BTCUSD` inverse, `BTCPERP` the linear contract on BTC-USDC [U]; should a perpetual
`BTCUSDC` exist beside it, it keeps the vendor's form. `BTCUSDZ24` is the inverse quarterly of a month letter: last
Friday of the month, 08:00 UTC [U]. The unit of inverse amounts is unknown. Source: docs.tardis.dev, "Historical data
details": Bitget Spot, Bitget Futures.
"""

from __future__ import annotations

import re

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, keep_vendor_form, parse_last_friday, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of("USDT USDC USDE BTC ETH BGB EUR BRL GBP TRY")
_PERPETUAL_QUOTES = quotes_of("USDT USDC USD PERP")
_QUARTERLY = re.compile(r"(.+)USD([FGHJKMNQUVXZ][0-9]{2})")


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSDT` -> BTC-USDT."""
    split = split_pair(vendor_symbol, _SPOT_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_futures(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSD` -> BTC-USD, `BTCUSDZ24` -> BTC-USD-241227."""
    quarterly = _QUARTERLY.fullmatch(vendor_symbol)
    if instrument_type == FUTURE and quarterly:
        base, expiry = quarterly[1], parse_last_friday(quarterly[2])
        return contract(base, "USD", base, None, expiry=expiry) if expiry else None
    split = split_pair(vendor_symbol, _PERPETUAL_QUOTES)
    if split is None or instrument_type != PERPETUAL:
        return None
    base, quote = split
    if quote == "USD":
        return contract(base, quote, base, None)
    settlement = "USDC" if quote == "PERP" else quote
    linear = contract(base, settlement, settlement, "base")
    return keep_vendor_form(vendor_symbol, linear) if quote == "USDC" else linear
