"""KuCoin futures; KuCoin spot pairs are plain.

A perpetual is `BASEQUOTEM`, a dated future `BASEM` with a month letter and year (`XBTMU25`: inverse, quoted in USD,
last Friday of the month, 08:00 UTC [U]). USD contracts are inverse, USDT and USDC ones linear. XBT is BTC, in the
base and in the key. Amounts are contracts. Source: docs.tardis.dev, "Historical data details": KuCoin Futures.
"""

from __future__ import annotations

import re

from market_data.model.instruments import FUTURE, PERPETUAL, ParsedSymbol
from market_data.symbology.grammar import ASSET_CODES, contract, parse_last_friday
from market_data.symbology.quotes import quotes_of, split_pair

_DATED = re.compile(r"(.+)M([FGHJKMNQUVXZ][0-9]{2})")
_QUOTES = quotes_of("USD USDT USDC")


def parse_futures(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`XBTUSDTM` -> BTC-USDT, `XBTUSDM` -> BTC-USD, `XBTMU25` -> BTC-USD-250926."""
    if instrument_type == FUTURE:
        match = _DATED.fullmatch(vendor_symbol)
        expiry = parse_last_friday(match[2]) if match else None
        if match is None or expiry is None or split_pair(match[1], _QUOTES):
            return None
        base = ASSET_CODES.get(match[1], match[1])
        return contract(base, "USD", base, "contracts", expiry=expiry)
    split = split_pair(vendor_symbol.removesuffix("M"), _QUOTES)
    if split is None or instrument_type != PERPETUAL or not vendor_symbol.endswith("M"):
        return None
    base, quote = ASSET_CODES.get(split[0], split[0]), split[1]
    return contract(base, quote, base if quote == "USD" else quote, "contracts")
