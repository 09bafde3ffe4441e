"""Huobi (HTX) spot, inverse futures and swaps, linear swaps and options.

Spot symbols have no separator and are split by the quotes Huobi has listed. `BTC_CW`, `BTC_NW`, `BTC_CQ`, `BTC_NQ`
(this week, next week, this quarter, next quarter) are rolling aliases, not fixed contracts: they keep the vendor's
form, with base and quote known and no expiry. Linear swaps may be dated `BTC-USDT-YYMMDD` or carry such an alias [U].
Options have the side before the strike. Dates are 08:00 UTC; amounts of derivatives are contracts. Source:
docs.tardis.dev, "Historical data details": Huobi Global, Huobi Futures, Huobi COIN Swaps, Huobi USDT Swaps, Huobi
Options.
"""

from __future__ import annotations

from market_data.model.instruments import FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    keep_vendor_form,
    option,
    parse_yymmdd,
    spot_pair,
)
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of("USDT USDC HUSD USDD TUSD BTC ETH HT TRX EUR EURT GBP RUB TRY UAH BRL AUD")
_ALIASES = ("CW", "NW", "CQ", "NQ")


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCHUSD` -> BTC-HUSD."""
    split = split_pair(vendor_symbol, _SPOT_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_alias(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC_CW` keeps its form: what trades under it changes every week."""
    base, _, alias = vendor_symbol.partition("_")
    is_rolling = alias in _ALIASES and instrument_type == FUTURE
    return keep_vendor_form(vendor_symbol, contract(base, "USD", base, "contracts")) if is_rolling else None


def parse_inverse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD` -> BTC-USD, settled in the coin."""
    base, _, quote = vendor_symbol.partition("-")
    return contract(base, quote, base, "contracts") if quote == "USD" and instrument_type == PERPETUAL else None


def parse_linear(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USDT` -> BTC-USDT, `BTC-USDT-220325` -> BTC-USDT-220325."""
    match vendor_symbol.split("-"):
        case [base, quote] if instrument_type == PERPETUAL:
            return contract(base, quote, quote, "contracts")
        case [base, quote, alias] if instrument_type == FUTURE and alias in _ALIASES:
            return keep_vendor_form(vendor_symbol, contract(base, quote, quote, "contracts"))
        case [base, quote, date_text] if instrument_type == FUTURE:
            expiry = parse_yymmdd(date_text)
            return contract(base, quote, quote, "contracts", expiry=expiry) if expiry else None
        case _:
            return None


def parse_option(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USDT-210625-C-87000` -> BTC-USDT-210625-87000-CALL."""
    match vendor_symbol.split("-"):
        case [base, quote, date_text, side, strike] if instrument_type == OPTION:
            return option(contract(base, quote, quote, "contracts", expiry=parse_yymmdd(date_text)), strike, side)
        case _:
            return None
