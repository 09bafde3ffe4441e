"""The calendar of dated contracts: Fridays, last Fridays of a quarter, and when a contract is listed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from market_data.simulator.catalogue import DAY

HORIZON = date(2031, 12, 31)  # no contract expires later: the clock of a simulator stays before it
_FRIDAY = 4
_QUARTER_MONTHS = frozenset({3, 6, 9, 12})


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


def quarterly_expiries(since: date) -> list[date]:
    """Return the quarter ends after `since`."""
    return [day for day in days_from(since + DAY) if is_quarter_end(day)]


def quarterly_listing_day(expiry: date) -> date:
    """Return the quarter end two quarters before `expiry`: two quarterly contracts are listed at any time."""
    day = expiry
    for _ in range(2):
        day -= timedelta(weeks=1)
        while not is_quarter_end(day):
            day -= timedelta(weeks=1)
    return day
