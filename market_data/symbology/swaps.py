"""Venues of perpetuals and a few other forms, one line of grammar each.

- Ascendex: `BTC-PERP` quoted and settled in USDT; spot dashed.
- bitFlyer: `FX_BTC_JPY` is a perpetual settled in JPY; a future is `BTCJPY27SEP2019`, settled at 11:00 in Tokyo,
  02:00 UTC [U]; `BTCJPY_MAT1WK` and the like are rolling aliases and keep the vendor's form.
- Bitnomial: `BUIH23`, `BUSZ2`: bitcoin on US dollars; the day of settlement is unknown, one digit of the year is no
  date, so the vendor's form is kept.
- Coinbase International, Mango: `SOL-PERP` quoted and settled in USDC; spot dashed.
- dYdX: quoted in USD, settled in USDC. Version 4's long ids (`TOKEN,DEX,ADDRESS-USD`) keep the vendor's form.
- Gate.io futures: on USDT linear; on USD settled in BTC, so inverse for BTC and quanto for others [U].
- Hyperliquid: a perpetual is its base (`KPEPE`: a thousand PEPE, an asset of its own), on USDC. Builders' perpetuals
  (HIP-3, `XYZ-TSLA`) and spot index numbers (`@162`) keep the vendor's form.
- MEXC futures: `BTC_USDT` linear, `BTC_USD` inverse [U].
- WOO X: `PERP_BTC_USDT`, `SPOT_ETH_USDT`.

Amounts are in base, on Bitnomial, Gate.io and MEXC in contracts. Source: docs.tardis.dev, "Historical data details":
the page of each venue.
"""

from __future__ import annotations

import re
from datetime import UTC, time

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    keep_vendor_form,
    parse_day_month_year,
    parse_yyyymmdd,
    spot_pair,
    vendor_form_of_base,
)
from market_data.symbology.pairs import parse_dashed, parse_underscored

_USDC = "USDC"
_TOKYO_ELEVEN = time(2, tzinfo=UTC)
_BITFLYER_DATED = re.compile(r"([A-Z]{3,4})(JPY)([0-9]{2}[A-Z]{3}[0-9]{4}|_MAT[0-9A-Z]{1,4})")
_BITNOMIAL = re.compile(r"BU[A-Z]([FGHJKMNQUVXZ])[0-9]{1,2}")


def parse_ascendex(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-PERP` -> BTC-USDT."""
    return _dashed_or_perp(vendor_symbol, instrument_type, "USDT")


def parse_usdc_perpetual(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`SOL-PERP` -> SOL-USDC."""
    return _dashed_or_perp(vendor_symbol, instrument_type, _USDC)


def _dashed_or_perp(vendor_symbol: str, instrument_type: str, quote: str) -> ParsedSymbol | None:
    base, _, suffix = vendor_symbol.partition("-")
    if suffix == "PERP" and instrument_type == PERPETUAL:
        return contract(base, quote, quote, "base")
    return parse_dashed(vendor_symbol, instrument_type)


def parse_bitflyer(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`FX_BTC_JPY` -> BTC-JPY, `BTCJPY27SEP2019` -> BTC-JPY-190927."""
    if instrument_type == PERPETUAL:
        base, _, quote = vendor_symbol.removeprefix("FX_").partition("_")
        return contract(base, quote, quote, "base") if vendor_symbol.startswith("FX_") else None
    match = _BITFLYER_DATED.fullmatch(vendor_symbol)
    if match is None or instrument_type != FUTURE:
        return parse_underscored(vendor_symbol, instrument_type)
    base, quote, suffix = match.groups()
    if suffix.startswith("_"):
        return keep_vendor_form(vendor_symbol, contract(base, quote, quote, "base"))
    day, month, century, year = suffix[:2], suffix[2:5], suffix[5:7], suffix[7:]
    expiry = parse_day_month_year(day + month + year, _TOKYO_ELEVEN, zeros=True)
    return contract(base, quote, quote, "base", expiry=expiry) if expiry and century == "20" else None


def parse_bitnomial(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BUIH23` keeps its form, with base and quote known."""
    is_bitcoin = instrument_type == FUTURE and _BITNOMIAL.fullmatch(vendor_symbol)
    return keep_vendor_form(vendor_symbol, contract("BTC", "USD", None, "contracts")) if is_bitcoin else None


def parse_dydx(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`1INCH-USD` -> 1INCH-USD, settled in USDC."""
    base, _, quote = vendor_symbol.partition("-")
    return contract(base, quote, _USDC, "base") if quote == "USD" and instrument_type == PERPETUAL else None


def parse_gate_io_futures(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC_USDT` -> BTC-USDT, `BTC_USD` -> BTC-USD, `BTC_USDT_20210924` -> BTC-USDT-210924."""
    base, _, rest = vendor_symbol.partition("_")
    quote, separator, date_text = rest.partition("_")
    expiry = parse_yyyymmdd(date_text)
    is_perpetual = instrument_type == PERPETUAL and not separator
    is_dated = instrument_type == FUTURE and expiry is not None
    settlement = "BTC" if quote == "USD" else quote
    return contract(base, quote, settlement, "contracts", expiry=expiry) if is_perpetual or is_dated else None


def parse_hyperliquid(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`KPEPE` -> KPEPE-USDC, `XYZ-TSLA` and `@162` keep their form, `PURR-USDC` is a spot pair."""
    if instrument_type == PERPETUAL:
        _, builders, base = vendor_symbol.partition("-")
        return vendor_form_of_base(vendor_symbol, base) if builders else contract(vendor_symbol, _USDC, _USDC, "base")
    return parse_dashed(vendor_symbol, instrument_type)


def parse_mexc_futures(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC_USDT` -> BTC-USDT, `BTC_USD` -> BTC-USD."""
    base, _, quote = vendor_symbol.partition("_")
    settlement = base if quote == "USD" else quote
    return contract(base, quote, settlement, "contracts") if instrument_type == PERPETUAL else None


def parse_woo_x(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`PERP_BTC_USDT` -> BTC-USDT (perpetual), `SPOT_ETH_USDT` -> ETH-USDT (spot)."""
    kind, _, rest = vendor_symbol.partition("_")
    base, _, quote = rest.partition("_")
    if kind == "PERP" and instrument_type == PERPETUAL:
        return contract(base, quote, quote, "base")
    return spot_pair(base, quote) if kind == "SPOT" and instrument_type == SPOT_PAIR else None
