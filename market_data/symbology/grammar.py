"""Pieces that vendor symbols of several venues are made of: assets, expiry dates, contracts.

The constructors `spot_pair`, `contract` and `option` return None where an asset could not stand in a canonical
symbol, so whatever a parser returns is either canonical or the vendor's form (`keep_vendor_form`); the two never
collide.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from market_data.model.instruments import ParsedSymbol, contract_kind_of, unparsed_symbol

_MONTHS = {
    name: number for number, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), start=1)
}
_MONTH_LETTERS = {letter: number for number, letter in enumerate("FGHJKMNQUVXZ", start=1)}
_FRIDAY = 4
# Deribit, Binance, OKX, Bybit and Huobi dated products expire at 08:00 UTC.
EXPIRY_TIME = time(8, tzinfo=UTC)
OPTION_TYPES = {"C": "CALL", "P": "PUT"}
# Codes that a few venues use for an asset all others call by another name.
ASSET_CODES = {"XBT": "BTC", "XDG": "DOGE"}

_LONGEST_ASSET = 40
# An availability may end some days after the expiry; a reused id has files for most of a year more.
_LATE_FILES = timedelta(days=30)
# `-` and `@` separate the parts of a key's symbol, `~` marks a vendor form, `_` separates in vendors' symbols.
_NOT_IN_ASSETS = re.compile(r"[-@~_:/\\,|*?\"'<>%\s]")
_STRIKE = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def is_asset(text: str) -> bool:
    """Say whether a text can be an asset in a canonical symbol; any script, leading digits and `$` are allowed."""
    return 0 < len(text) <= _LONGEST_ASSET and text.isprintable() and not _NOT_IN_ASSETS.search(text)


def keep_vendor_form(vendor_symbol: str, known: ParsedSymbol | None) -> ParsedSymbol | None:
    """Return a contract with its attributes, but with the vendor's form in the key."""
    return replace(known, symbol=unparsed_symbol(vendor_symbol).symbol) if known else None


def vendor_form_of_base(vendor_symbol: str, base: str) -> ParsedSymbol | None:
    """Return a symbol that keeps the vendor's form in the key and of which only the base is known."""
    return replace(unparsed_symbol(vendor_symbol), base=base) if is_asset(base) else None


def spot_pair(base: str, quote: str) -> ParsedSymbol | None:
    """Return a spot pair, amounts in the base asset."""
    if not (is_asset(base) and is_asset(quote)):
        return None
    return ParsedSymbol(f"{base}-{quote}", base, quote, None, is_inverse=None, amount_unit="base", price_currency=quote)


def contract(
    base: str,
    quote: str,
    settlement: str | None,
    amount_unit: str | None,
    *,
    expiry: datetime | None = None,
    margin: str | None = None,
) -> ParsedSymbol | None:
    """Return a perpetual, or with an expiry a dated contract; `margin` is appended to the key's pair as `@MARGIN`.

    Inverse = settled in the base asset; a contract settled in a third asset (quanto) is not inverse.
    """
    if not (is_asset(base) and is_asset(quote) and (margin is None or is_asset(margin))):
        return None
    symbol = f"{base}-{quote}" + (f"@{margin}" if margin else "") + (f"-{expiry:%y%m%d}" if expiry else "")
    is_inverse = None if settlement is None else settlement == base
    return ParsedSymbol(
        symbol,
        base,
        quote,
        settlement,
        is_inverse,
        amount_unit,
        expiry,
        price_currency=quote,
        contract_kind=contract_kind_of(base, quote, settlement),
    )


def paid_in(currency: str | None, priced: ParsedSymbol | None) -> ParsedSymbol | None:
    """Return an option whose premium is paid in that currency, not in that of its strike; None: not known in which."""
    return replace(priced, price_currency=currency) if priced else None


def option(dated: ParsedSymbol | None, strike: str, side: str) -> ParsedSymbol | None:
    """Return the option on a dated contract; the strike keeps its decimals, the side is `C` or `P`."""
    option_type = OPTION_TYPES.get(side)
    if dated is None or dated.expiry is None or option_type is None or not _STRIKE.fullmatch(strike):
        return None
    return replace(dated, symbol=f"{dated.symbol}-{strike}-{option_type}", strike=strike, option_type=option_type)


def parse_yymmdd(text: str, at: time = EXPIRY_TIME) -> datetime | None:
    """Return the instant of a `YYMMDD` date, 08:00 UTC unless told; None for what is not one."""
    return _instant(text[:2], text[2:4], text[4:], at) if len(text) == len("YYMMDD") else None


def parse_yyyymmdd(text: str, at: time = EXPIRY_TIME) -> datetime | None:
    """Return the instant of a `20YYMMDD` date; None for what is not one."""
    return parse_yymmdd(text[2:], at) if text.startswith("20") else None


def parse_ddmmyy(text: str, at: time = EXPIRY_TIME) -> datetime | None:
    """Return the instant of a `DDMMYY` date; None for what is not one."""
    return _instant(text[4:], text[2:4], text[:2], at) if len(text) == len("DDMMYY") else None


def parse_day_month_year(text: str, at: time = EXPIRY_TIME, *, zeros: bool = False) -> datetime | None:
    """Return the instant of a `5JAN24` or `14FEB25` date; None for what is not one.

    `zeros`: the venue also writes `05JAN24`. On others that is another id, and no two ids may share a key.
    """
    day, month = text[:-5], _MONTHS.get(text[-5:-2], 0)
    if len(day) not in {1, 2} or (day.startswith("0") and not zeros):
        return None
    return _instant(text[-2:], f"{month:02}", day.zfill(2), at)


def parse_last_friday(text: str, at: time = EXPIRY_TIME) -> datetime | None:
    """Return the instant of the last Friday of a month letter and year (`Z21`); None for what is not one."""
    month = _MONTH_LETTERS.get(text[:1], 0)
    first = _instant(text[1:], f"{month:02}", "01", at) if len(text) == len("Z21") else None
    if first is None:
        return None
    last_day = first.replace(year=first.year + month // 12, month=month % 12 + 1) - timedelta(days=1)
    return last_day - timedelta(days=(last_day.weekday() - _FRIDAY) % 7)


def parse_month_day(text: str, first_day: date | None, last_day: date | None, at: time) -> datetime | None:
    """Return the instant of a `MMDD` date whose year is read from the availability of the symbol.

    It is the first such date on or after the first day with files. None without availability, and for an id that had
    files long after that date: the venue has reused it, and its files are of several contracts.
    """
    if first_day is None or last_day is None or len(text) != len("MMDD"):
        return None
    for year in range(first_day.year, first_day.year + 2):
        expiry = _instant(f"{year % 100:02}", text[:2], text[2:], at)
        if expiry is not None and expiry.date() >= first_day:
            return expiry if last_day <= expiry.date() + _LATE_FILES else None
    return None


def parse_day_month(text: str, first_day: date | None, last_day: date | None, at: time) -> datetime | None:
    """Return the instant of a `29MAR` date whose year is read from the availability, as `parse_month_day` does."""
    return parse_month_day(f"{_MONTHS.get(text[-3:], 0):02}{text[:-3].zfill(2)}", first_day, last_day, at)


def _instant(year: str, month: str, day: str, at: time) -> datetime | None:
    """Return an instant of this century from three pairs of ASCII digits."""
    if not all(len(part) == 2 and part.isascii() and part.isdigit() for part in (year, month, day)):  # noqa: PLR2004
        return None
    try:
        return datetime.combine(date(2000 + int(year), int(month), int(day)), at)
    except ValueError:  # e.g. 31 February: not a date, so not this form
        return None
