"""Pieces that vendor symbols of several venues are made of: quotes without separator, expiry dates, strikes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time

_MONTHS = {
    name: number for number, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), start=1)
}
# Deribit, Binance, OKX, Bybit and Huobi dated products expire at 08:00 UTC.
EXPIRY_TIME = time(8, tzinfo=UTC)


def split_quote(text: str, quotes: Sequence[str]) -> tuple[str, str] | None:
    """Split `BTCUSDT` into (BTC, USDT) by the longest known quote that leaves a base; None when none fits."""
    for quote in sorted(quotes, key=len, reverse=True):
        if text.endswith(quote) and len(text) > len(quote):
            return text[: -len(quote)], quote
    return None


def parse_yymmdd(text: str) -> datetime | None:
    """Return 08:00 UTC of a `YYMMDD` date; None for what is not one."""
    if len(text) != len("YYMMDD") or not (text.isascii() and text.isdigit()):
        return None
    return _expiry(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))


def parse_day_month_year(text: str) -> datetime | None:
    """Return 08:00 UTC of a `5JAN24` or `14FEB25` date (no zero padding); None for what is not one."""
    day, month, year = text[:-5], text[-5:-2], text[-2:]
    is_form = day.isascii() and day.isdigit() and not day.startswith("0") and year.isascii() and year.isdigit()
    if not is_form or month not in _MONTHS:
        return None
    return _expiry(2000 + int(year), _MONTHS[month], int(day))


def _expiry(year: int, month: int, day: int) -> datetime | None:
    try:
        return datetime.combine(datetime(year, month, day, tzinfo=UTC).date(), EXPIRY_TIME)
    except ValueError:  # e.g. 31 February: not a date, so not this form
        return None
