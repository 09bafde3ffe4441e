"""OKX perpetual swaps, dated futures, options and spreads (vendor ids `okex-…`); its spot pairs are plain.

`BTC-USD-…` is inverse (settled in the coin), `BTC-USDT-…` linear (settled in the quote). The family `USD_UM` is
linear and margined in US dollars: its keys carry `@USD`, so they differ from the inverse contract of the same date.
An X-Perp (`USD_UM_XPERP-310404`: a perpetual with a far nominal date) shares pair, margin and, one day, date with a
plain future: it keeps the vendor's form. Dates are YYMMDD, 08:00 UTC; amounts are contracts. Options are priced in
what they are settled in: the coin on `BTC-USD-…`. A spread (two ids joined
by `_`) keeps the vendor's form. Source: docs.tardis.dev, "Historical data details": OKX Swap, OKX Futures, OKX
Options, OKX Spreads.
"""

from __future__ import annotations

from datetime import datetime

from market_data.model.instruments import COMBO, FUTURE, OPTION, PERPETUAL, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    keep_vendor_form,
    option,
    paid_in,
    parse_yymmdd,
    vendor_form_of_base,
)

_XPERP = "_XPERP"


def parse_swap(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD-SWAP` -> BTC-USD, `BTC-USD_UM-SWAP` -> BTC-USD@USD."""
    match vendor_symbol.split("-"):
        case [base, family, "SWAP"] if instrument_type == PERPETUAL:
            return _contract(base, family)
        case _:
            return None


def parse_future(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD-240329` -> BTC-USD-240329, `BTC-USD_UM-260710` -> BTC-USD@USD-260710."""
    underlying, _, date_text = vendor_symbol.rpartition("-")
    base, _, family = underlying.partition("-")
    expiry = parse_yymmdd(date_text)
    if expiry is None:
        return None
    dated = _contract(base, family.removesuffix(_XPERP), expiry)
    if family.endswith(_XPERP):  # the vendor may call it a future or a perpetual [U]
        return keep_vendor_form(vendor_symbol, dated) if instrument_type in {FUTURE, PERPETUAL} else None
    return dated if instrument_type == FUTURE else None


def parse_option(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD-200605-9250-P` -> BTC-USD-200605-9250-PUT."""
    match vendor_symbol.split("-"):
        case [base, family, date_text, strike, side] if instrument_type == OPTION:
            dated = _contract(base, family, parse_yymmdd(date_text))
            return paid_in(dated.settlement_asset if dated else None, option(dated, strike, side))
        case _:
            return None


def parse_spread(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD-SWAP_BTC-USD-231229` keeps its form, with its base known."""
    base, _, _ = vendor_symbol.partition("-")
    return vendor_form_of_base(vendor_symbol, base) if instrument_type == COMBO else None


def _contract(base: str, family: str, expiry: datetime | None = None) -> ParsedSymbol | None:
    if family == "USD":
        return contract(base, "USD", base, "contracts", expiry=expiry)
    quote, separator, margin = family.partition("_")
    if not separator:
        return contract(base, quote, quote, "contracts", expiry=expiry)
    return contract(base, quote, quote, "contracts", expiry=expiry, margin=quote) if margin == "UM" else None
