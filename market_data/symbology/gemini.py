"""Gemini: spot pairs without separator, and perpetuals `BTCGUSDPERP`.

Quotes GUSD and RLUSD end in USD: `XRPGUSD` is XRP-GUSD, but `PAXGUSD` is PAXG-USD and `PAXGGUSD` PAXG-GUSD.
Perpetuals are linear, settled in their quote. Source: docs.tardis.dev, "Historical data details": Gemini.
"""

from __future__ import annotations

from market_data.model.instruments import PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_QUOTES = quotes_of("USD GUSD RLUSD USDC USDT DAI BTC ETH BCH LTC FIL SOL EUR GBP SGD HKD AUD CAD")
_PERPETUAL_QUOTES = quotes_of("GUSD RLUSD USDC USDT")
_PERPETUAL = "PERP"


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCRLUSD` -> BTC-RLUSD."""
    if instrument_type == SPOT_PAIR:
        split = split_pair(vendor_symbol, _QUOTES)
        return spot_pair(*split) if split else None
    split = split_pair(vendor_symbol.removesuffix(_PERPETUAL), _PERPETUAL_QUOTES)
    if split is None or instrument_type != PERPETUAL or not vendor_symbol.endswith(_PERPETUAL):
        return None
    base, quote = split
    return contract(base, quote, quote, "base")
