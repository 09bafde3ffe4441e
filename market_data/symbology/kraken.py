"""Kraken spot and Kraken Futures (vendor id `cryptofacilities`).

Kraken's codes XBT and XDG are BTC and DOGE, in the base and in the key. On 2026-07-10 Kraken's pairs were renamed
with the vendor's move to feed v2 (the vendor's own client switches at 00:00 UTC of that day): `XBT-USD` ends,
`BTC-USD` begins. The two are one instrument and never overlap in time, so they share one key and a series read by key
runs through the rename. Should the files of an `XBT-…` symbol reach that day after all, it keeps XBT in its key (base
BTC), so that no day ever holds one key twice.

Kraken Futures: `PI`/`FI` are inverse (settled in the coin), `PV`/`FV` vanilla (settled in the quote), `PF`/`FF`
linear and multi-collateral: these share underlying and expiry with `PI`/`FI`, so their keys carry `@` and the quote.
Settlement is not documented: `FI` is recorded at 15:00 UTC (2018-09-28, 2021-09-24) and at 16:00 (2018-06-06), so
`FI` and `FV` are taken as 15:00 [U]; `FF` at 08:00 UTC [U]. Source: docs.tardis.dev, "Historical data details":
Kraken, Kraken Futures (Crypto Facilities).
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, time

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    ASSET_CODES,
    EXPIRY_TIME,
    contract,
    parse_yymmdd,
    spot_pair,
)
from market_data.symbology.quotes import quotes_of, split_pair

RENAMED_ON = date(2026, 7, 10)
_FUTURES = re.compile(r"([PF])([IVF])_([^_]+)(?:_([0-9]{6}))?")
_FUTURES_QUOTES = quotes_of("USD XBT EUR")
_MID_AFTERNOON = time(15, tzinfo=UTC)


def parse_spot(
    vendor_symbol: str, instrument_type: str, first_day: date | None, last_day: date | None
) -> ParsedSymbol | None:
    """`XBT-EUR` -> BTC-EUR, `LTC-XBT` -> LTC-BTC, `AAPLX-USD` -> AAPLX-USD."""
    del first_day
    base_code, _, quote_code = vendor_symbol.partition("-")
    base, quote = ASSET_CODES.get(base_code, base_code), ASSET_CODES.get(quote_code, quote_code)
    pair = spot_pair(base, quote) if instrument_type == SPOT_PAIR else None
    has_overlap = last_day is not None and last_day >= RENAMED_ON
    return replace(pair, symbol=f"{base_code}-{quote_code}") if pair and has_overlap else pair


def parse_futures(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`FI_XBTUSD_190927` -> BTC-USD-190927, `PF_XBTUSD` -> BTC-USD@USD, `PV_XRPXBT` -> XRP-BTC."""
    match = _FUTURES.fullmatch(vendor_symbol)
    if match is None:
        return None
    term, family, underlying, date_text = match.groups()
    split = split_pair(underlying, _FUTURES_QUOTES)
    expiry = parse_yymmdd(date_text, EXPIRY_TIME if family == "F" else _MID_AFTERNOON) if date_text else None
    is_perpetual = term == "P" and date_text is None and instrument_type == PERPETUAL
    is_dated = term == "F" and expiry is not None and instrument_type == FUTURE
    if split is None or not (is_perpetual or is_dated):
        return None
    base, quote = (ASSET_CODES.get(code, code) for code in split)
    if family == "F":
        return contract(base, quote, quote, "base", expiry=expiry, margin=quote)
    is_inverse = family == "I"
    if is_inverse != (quote == "USD"):  # the two families never meet on one pair
        return None
    return contract(base, quote, base if is_inverse else quote, "contracts", expiry=expiry)
