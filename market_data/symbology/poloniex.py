"""Poloniex spot: `QUOTE_BASE` until 2022-08-01, `BASE_QUOTE` since.

The vendor's client switches at 2022-08-02 00:00 UTC. Which side is the quote needs no date: of the two assets it is
the one that ranks first among the venue's quotes, in both forms. So `USDT_BTC` and the later `BTC_USDT`, which never
overlap in time, are one instrument with one key, as on Kraken. Source: docs.tardis.dev, "Historical data details":
Poloniex.
"""

from __future__ import annotations

from market_data.model.instruments import SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import spot_pair

_QUOTES_BY_RANK = tuple("USDT USDC USDD BUSD TUSD DAI PAX USDJ BTC ETH BNB XMR TRX".split())
_RANK = {quote: rank for rank, quote in enumerate(_QUOTES_BY_RANK)}


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC_XMR` -> XMR-BTC, `AAVE_BTC` -> AAVE-BTC."""
    assets = vendor_symbol.split("_")
    match sorted(assets, key=lambda asset: _RANK.get(asset, len(_RANK))):
        case [quote, base] if quote in _RANK and quote != base and instrument_type == SPOT_PAIR:
            return spot_pair(base, quote)
        case _:
            return None
