"""Delta Exchange: options, perpetuals, dated futures and spot pairs.

Options put the side first and the date as DDMMYY, 12:00 UTC (the venue's settlement_time); they are keyed by their
strike currency, USD. `MV-…` are MOVE options (a straddle), which keep the vendor's form. `BTCUSDT` is a linear
perpetual; `BTCUSD` was inverse and is linear today [U], so its settlement is left open, as is that of options. A
dated future (`BTCUSDQ_29MAR` [U]) names no year: it keeps the vendor's form, and its expiry is read from the days it
was listed. Amounts of derivatives are contracts. Source: docs.tardis.dev, "Historical data details": Delta.
"""

from __future__ import annotations

import re
from datetime import UTC, date, time

from market_data.model.instruments import FUTURE, OPTION, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import (
    contract,
    keep_vendor_form,
    option,
    paid_in,
    parse_day_month,
    parse_ddmmyy,
    spot_pair,
)
from market_data.symbology.quotes import quotes_of, split_pair

_NOON = time(12, tzinfo=UTC)
_PERPETUAL_QUOTES = quotes_of("USDT USD BTC")
_OPTION = re.compile(r"(C|P|MV)-([^-]+)-([^-]+)-([0-9]{6})")
_DATED = re.compile(r"([^_]+?)(USDT|USD)Q?_([0-9]{1,2}[A-Z]{3})")


def parse(
    vendor_symbol: str, instrument_type: str, first_day: date | None, last_day: date | None
) -> ParsedSymbol | None:
    """`C-BTC-27700-010423` -> BTC-USD-230401-27700-CALL."""
    if instrument_type == SPOT_PAIR:
        base, _, quote = vendor_symbol.partition("_")
        return spot_pair(base, quote)
    if instrument_type == PERPETUAL:
        split = split_pair(vendor_symbol, _PERPETUAL_QUOTES)
        return contract(*split, None if split[1] == "USD" else split[1], "contracts") if split else None
    if instrument_type == FUTURE:
        match = _DATED.fullmatch(vendor_symbol)
        expiry = parse_day_month(match[3], first_day, last_day, _NOON) if match else None
        known = contract(match[1], match[2], None, "contracts", expiry=expiry) if match else None
        return keep_vendor_form(vendor_symbol, known)
    return _parse_option(vendor_symbol) if instrument_type == OPTION else None


def _parse_option(vendor_symbol: str) -> ParsedSymbol | None:
    match = _OPTION.fullmatch(vendor_symbol)
    expiry = parse_ddmmyy(match[4], _NOON) if match else None
    if match is None or expiry is None:
        return None
    side, base, strike, _ = match.groups()
    dated = contract(base, "USD", None, "contracts", expiry=expiry)
    # whether in dollars or in the coin
    return paid_in(None, keep_vendor_form(vendor_symbol, dated) if side == "MV" else option(dated, strike, side))
