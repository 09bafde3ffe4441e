"""The calendar of dated contracts: ends of weeks and quarters, when a contract is listed, how dates are spelt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache

from market_data.simulator.vendor.catalogue import DAY

HORIZON = date(2031, 12, 31)  # no contract expires later: the clock of a simulator stays before it
_FRIDAY = 4
_QUARTER_MONTHS = frozenset({3, 6, 9, 12})
_MONTH_LETTERS = "FGHJKMNQUVXZ"


def is_friday(day: date) -> bool:
    """Say whether weekly contracts may expire on a day."""
    return day.weekday() == _FRIDAY


def is_quarter_end(day: date) -> bool:
    """Say whether a day is the last Friday of March, June, September or December."""
    return is_friday(day) and day.month in _QUARTER_MONTHS and (day + timedelta(days=7)).month != day.month


def days_from(first: date) -> Iterator[date]:
    """Yield each day from `first` to the horizon."""
    while first <= HORIZON:
        yield first
        first += DAY


@cache
def quarterly_expiries(since: date) -> list[date]:
    """Return the quarter ends after `since`."""
    return [day for day in days_from(since + DAY) if is_quarter_end(day)]


@cache
def quarterly_listing_day(expiry: date) -> date:
    """Return the quarter end two quarters before `expiry`: two quarterly contracts are listed at any time."""
    day = expiry
    for _ in range(2):
        day -= timedelta(weeks=1)
        while not is_quarter_end(day):
            day -= timedelta(weeks=1)
    return day


@lru_cache(maxsize=20_000)
def instant_at(day: date, hour: int) -> datetime:
    """Return an hour of a day, UTC; hour 24 is the next midnight."""
    return datetime.combine(day, time(), UTC) + timedelta(hours=hour)


@lru_cache(maxsize=20_000)
def short_date(day: date) -> str:
    """Return `5JAN24`: no zero pad."""
    return f"{day.day}{day:%b%y}".upper()


def expiry_texts(day: date) -> dict[str, str]:
    """Return the ways in which venues spell an expiry in a symbol."""
    letter = _MONTH_LETTERS[day.month - 1]
    return {
        "ymd": f"{day:%y%m%d}",
        "long": f"{day:%Y%m%d}",
        "dmy": f"{day:%d%m%y}",
        "mmdd": f"{day:%m%d}",
        "short": short_date(day),
        "dmon": f"{day:%d%b}".upper(),
        "dmonyyyy": f"{day:%d%b%Y}".upper(),
        "letter": f"{letter}{day:%y}",
        "digit": f"{letter}{day.year % 10}",
    }
