"""Bybit perpetuals and dated futures, spot and options.

`BTCUSDT` is USDT-linear, `BTCUSD` inverse, `BTCPERP` the linear contract on BTC-USDC. Should a perpetual `BTCUSDC`
exist beside it, it keeps the vendor's form. Dated: `BTCUSDM21` is the inverse quarterly of a month letter (last
Friday, 08:00 UTC), `BTC-29MAR24` USDC-linear (one third party calls it inverse [U]), `BTCUSDT-25DEC26` USDT-linear;
all 08:00 UTC. A day of one digit has a zero before it on futures (`BTCUSDT-07AUG26`) and none on options (`4APR25`);
both are read on both. Options without suffix are USDC, `-USDT` ones are USDT. Inverse amounts are US dollars (contracts
of 1 USD). Source: docs.tardis.dev, "Historical data details": Bybit Derivatives, Bybit Spot, Bybit Options.
"""

from __future__ import annotations

import re

from market_data.model.instruments import FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    keep_vendor_form,
    option,
    parse_day_month_year,
    parse_last_friday,
    spot_pair,
)
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of("USDT USDC USDE USD1 USDQ USDR RLUSD XUSD DAI BTC ETH MNT BIT SOL EUR GBP BRL BRZ PLN TRY")
_PERPETUAL_QUOTES = quotes_of("USDT USDC USD PERP")
_DATED_QUOTES = quotes_of("USDT USDC USD")
_QUARTERLY = re.compile(r"(.+)USD([FGHJKMNQUVXZ][0-9]{2})")
_USDC = "USDC"


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC3LUSDT` -> BTC3L-USDT: leveraged tokens are assets of their own."""
    split = split_pair(vendor_symbol, _SPOT_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_derivative(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCPERP` -> BTC-USDC, `BTCUSDH26` -> BTC-USD-260327."""
    if instrument_type == PERPETUAL:
        return _parse_perpetual(vendor_symbol)
    if instrument_type != FUTURE:
        return None
    quarterly = _QUARTERLY.fullmatch(vendor_symbol)
    if quarterly:
        base, expiry = quarterly[1], parse_last_friday(quarterly[2])
        return contract(base, "USD", base, "quote", expiry=expiry) if expiry else None
    underlying, _, date_text = vendor_symbol.partition("-")
    expiry = parse_day_month_year(date_text, zeros=True)
    base, quote = split_pair(underlying, _DATED_QUOTES) or (underlying, _USDC)
    if expiry is None or (base != underlying and quote != "USDT"):
        return None  # a form never seen: USDC contracts leave their quote out
    return contract(base, quote, quote, "base", expiry=expiry)


def _parse_perpetual(vendor_symbol: str) -> ParsedSymbol | None:
    split = split_pair(vendor_symbol, _PERPETUAL_QUOTES)
    if split is None:
        return None
    base, quote = split
    if quote == "USD":
        return contract(base, quote, base, "quote")
    if quote == _USDC:
        return keep_vendor_form(vendor_symbol, contract(base, quote, quote, "base"))
    quote = _USDC if quote == "PERP" else quote
    return contract(base, quote, quote, "base")


def parse_option(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-28APR23-29500-C` -> BTC-USDC-230428-29500-CALL, `BTC-4APR25-84000-P-USDT` -> BTC-USDT-250404-84000-PUT."""
    if instrument_type != OPTION:
        return None
    match vendor_symbol.split("-"):
        case [base, date_text, strike, side]:
            quote = _USDC
        case [base, date_text, strike, side, "USDT" as quote]:
            pass
        case _:
            return None
    expiry = parse_day_month_year(date_text, zeros=True)
    return option(contract(base, quote, quote, "base", expiry=expiry), strike, side)
