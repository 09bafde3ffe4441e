"""Binance spot (also US, Jersey, DEX), USD-margined futures, coin-margined futures and options.

Spot symbols have no separator and are split by the quotes Binance has ever listed. Dated contracts end in `_YYMMDD`,
08:00 UTC. Leading digits (`1000SHIB`, `1INCH`) belong to the base. Options are quoted and settled in USDT. The suffix
of a DEX token (`PHB-2DF`) is part of its identity, as two tokens may share a ticker: the base is `PHB.2DF`. Aster's
futures have the form of Binance's. Source: docs.tardis.dev, "Historical data details": Binance Spot, Binance USDT
Futures, Binance COIN Futures, Binance European Options, Binance Options, Binance US, Binance Jersey, Binance DEX.
"""

from __future__ import annotations

import re

from market_data.model.instruments import FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    option,
    parse_yymmdd,
    spot_pair,
)
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of(
    """
    USDT USDC FDUSD BUSD TUSD USDP PAX USDS USDSB USD1 USDE XUSD BFUSD RLUSD U DAI UST VAI EURI AEUR
    BTC ETH BNB XRP TRX DOGE DOT SOL EUR GBP TRY RUB AUD BRL NGN UAH ZAR PLN RON ARS JPY MXN COP CZK IDRT BIDR BKRW BVND
    """,
    only={"AEUR": "BTC ETH EUR"},  # of 2023-12; no other base has been listed in it
)
_US_QUOTES = quotes_of("USDT USDC BUSD USD DAI BTC ETH BNB")  # no TUSD: `BATUSD` is BAT-USD
_JERSEY_QUOTES = quotes_of("EUR GBP BGBP BTC ETH BNB")
_LINEAR_QUOTES = quotes_of("USDT USDC BUSD FDUSD USD1 BTC")
_INVERSE_QUOTES = quotes_of("USD")
_DEX_TOKEN = re.compile(r"[A-Z0-9]+(\.B)?(-[0-9A-F]{3}M?)?")


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSDT` -> BTC-USDT, `ADAEUR` -> ADA-EUR; amounts are in the base asset."""
    split = split_pair(vendor_symbol, _SPOT_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_us(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BNBUSD` -> BNB-USD, `BNBBUSD` -> BNB-BUSD."""
    split = split_pair(vendor_symbol, _US_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_jersey(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCGBP` -> BTC-GBP."""
    split = split_pair(vendor_symbol, _JERSEY_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_dex(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`PHB-2DF_BNB` -> PHB.2DF-BNB."""
    match [_DEX_TOKEN.fullmatch(token) for token in vendor_symbol.split("_")]:
        case [re.Match() as base, re.Match() as quote] if instrument_type == SPOT_PAIR:
            return spot_pair(base[0].replace("-", "."), quote[0].replace("-", "."))
        case _:
            return None


def parse_linear(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`1000SHIBUSDT` -> 1000SHIB-USDT, `BTCUSDT_240329` -> BTC-USDT-240329; settled in the quote, amounts in base."""
    pair, separator, suffix = vendor_symbol.partition("_")
    split = split_pair(pair, _LINEAR_QUOTES)
    expiry = parse_yymmdd(suffix)
    if split is None or not _fits(instrument_type, is_perpetual=not separator, is_dated=expiry is not None):
        return None
    base, quote = split
    return contract(base, quote, quote, "base", expiry=expiry)


def parse_inverse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSD_PERP` -> BTC-USD, `BTCUSD_200925` -> BTC-USD-200925; settled in the base, amounts in contracts."""
    pair, _, suffix = vendor_symbol.partition("_")
    split = split_pair(pair, _INVERSE_QUOTES)
    expiry = parse_yymmdd(suffix)
    if split is None or not _fits(instrument_type, is_perpetual=suffix == "PERP", is_dated=expiry is not None):
        return None
    base, quote = split
    return contract(base, quote, base, "contracts", expiry=expiry)


def parse_option(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`XRP-251219-2.05-P` -> XRP-USDT-251219-2.05-PUT."""
    match vendor_symbol.split("-"):
        case [base, date_text, strike, side] if instrument_type == OPTION:
            return option(contract(base, "USDT", "USDT", "contracts", expiry=parse_yymmdd(date_text)), strike, side)
        case _:
            return None


def _fits(instrument_type: str, *, is_perpetual: bool, is_dated: bool) -> bool:
    return (instrument_type == PERPETUAL and is_perpetual) or (instrument_type == FUTURE and is_dated)
