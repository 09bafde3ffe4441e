"""Gemini: spot pairs without separator, and perpetuals `BTCGUSDPERP`.

Quotes GUSD and RLUSD end in USD: they are tried first, so `XRPGUSD` is XRP-GUSD, but `PAXGUSD` is PAXG-USD.
Perpetuals are linear, settled in their quote. Source: docs.tardis.dev, "Historical data details": Gemini.
"""

from __future__ import annotations

from market_data.domain.instruments import PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.domain.symbology.grammar import contract, exceptions_for, split_quote, spot_pair

_QUOTES = tuple("USD GUSD RLUSD USDC USDT DAI BTC ETH BCH LTC FIL SOL EUR GBP SGD HKD AUD CAD".split())
_EXCEPTIONS = exceptions_for("USD", "PAXG")
_PERPETUAL = "PERP"


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCRLUSD` -> BTC-RLUSD."""
    if instrument_type == SPOT_PAIR:
        split = split_quote(vendor_symbol, _QUOTES, _EXCEPTIONS)
        return spot_pair(*split) if split else None
    split = split_quote(vendor_symbol.removesuffix(_PERPETUAL), _QUOTES, _EXCEPTIONS)
    if split is None or instrument_type != PERPETUAL or not vendor_symbol.endswith(_PERPETUAL):
        return None
    base, quote = split
    return contract(base, quote, quote, "base")
