"""FTX (2019-08 to 2022-11): spot pairs, perpetuals, dated futures and MOVE contracts.

A dated id is `MMDD` without a year (`BTC-1227`), and ids came back every year: the year is that of the first such
date on or after the symbol's first day with files. Without these days, or when files run on long after that date (the
id was reused), the vendor's form is kept. Derivatives are linear, quoted and settled in USD; dated ones end at 03:00
UTC. MOVE contracts pay the day's (`BTC-MOVE-0512`) or week's (`BTC-MOVE-WK-0515`) absolute change and end when their
date ends; their key's base is `BTC.MOVE` or `BTC.MOVE.WK`. Quarterly MOVE and event contracts keep the vendor's form.
Source: docs.tardis.dev, "Historical data details": FTX.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, time, timedelta

from market_data.model.instruments import PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, keep_vendor_form, parse_month_day, spot_pair

_EXPIRY_TIME = time(3, tzinfo=UTC)
_MIDNIGHT = time(tzinfo=UTC)
_DATED = re.compile(r"([^-.]+)-(?:(MOVE|MOVE-WK)-)?([0-9]{4})")


def parse(
    vendor_symbol: str, instrument_type: str, first_day: date | None, last_day: date | None
) -> ParsedSymbol | None:
    """`BTC-PERP` -> BTC-USD, `BTC-1227` listed in 2019 -> BTC-USD-191227."""
    base, _, suffix = vendor_symbol.partition("-")
    if instrument_type == SPOT_PAIR:
        return spot_pair(base, suffix)
    if instrument_type == PERPETUAL:
        return contract(base, "USD", "USD", "base") if suffix == "PERP" else None
    match = _DATED.fullmatch(vendor_symbol)
    if match is None:
        is_quarterly_move = suffix.startswith("MOVE-")
        return keep_vendor_form(vendor_symbol, contract(base, "USD", "USD", "base")) if is_quarterly_move else None
    move = match[2]
    expiry = parse_month_day(match[3], first_day, last_day, _MIDNIGHT if move else _EXPIRY_TIME)
    name = f"{base}.{move.replace('-', '.')}" if move else base
    dated = contract(name, "USD", "USD", "base", expiry=expiry)
    if dated is None or expiry is None:
        return keep_vendor_form(vendor_symbol, contract(base, "USD", "USD", "base"))
    return replace(dated, base=base, expiry=expiry + timedelta(days=1)) if move else dated
