"""CoinFLEX: `BTC-USD-SWAP-LIN` perpetuals, `BTC-USD-200925-LIN` futures, plain spot pairs.

Contracts are linear, settled in the quote; the unit of amounts is unknown. Futures ended at noon UTC in the first
version of the venue, taken as true of the later one [U]. Calendar spreads (`-SPR-…`) and repos (`-REPO-…`) keep the
vendor's form. Source: docs.tardis.dev, "Historical data details": CoinFLEX.
"""

from __future__ import annotations

from datetime import UTC, time

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, keep_vendor_form, parse_yymmdd, spot_pair

_NOON = time(12, tzinfo=UTC)


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD-SWAP-LIN` -> BTC-USD; `BTC-USD-SPR-QP-LIN` keeps its form, with base and quote known."""
    match vendor_symbol.split("-"):
        case [base, quote] if instrument_type == SPOT_PAIR:
            return spot_pair(base, quote)
        case [base, quote, "SWAP", "LIN"] if instrument_type == PERPETUAL:
            return contract(base, quote, quote, None)
        case [base, quote, "SPR" | "REPO", *_, "LIN"]:
            return keep_vendor_form(vendor_symbol, contract(base, quote, quote, None))
        case [base, quote, date_text, "LIN"] if instrument_type == FUTURE:
            expiry = parse_yymmdd(date_text, _NOON)
            return contract(base, quote, quote, None, expiry=expiry) if expiry else None
        case _:
            return None
