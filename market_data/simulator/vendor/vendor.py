"""The vendor's mind: its clock, its keys, and what it answers to a request for a file; no HTTP here."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache

from market_data.errors import ConfigurationError
from market_data.model.data_types import DataType
from market_data.simulator.vendor.catalogue import ExchangeCatalogue, Listing, Source


class KeyState(Enum):
    """What a request says about its key."""

    MISSING = "missing"
    WRONG = "wrong"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not data: HTTP status, the vendor's error code (None where it sends none), and its text."""

    status: int
    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A request for one tick file, as far as its path says."""

    exchange_id: str
    data_type: DataType
    symbol: str
    day: date


NO_KEY = Refusal(
    401,
    None,
    "Unauthorized access: without an API key only the data of the first day of each month is available.",
)
WRONG_KEY = Refusal(401, 11, "The API key is invalid or expired.")


def parse_instant(text: str) -> datetime:
    """Return an aware UTC instant from ISO 8601; a text without a zone is UTC. Raises ConfigurationError."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"clock {text!r} is not ISO 8601, such as 2024-08-09T06:30:00Z") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


@lru_cache(maxsize=20_000)
def to_iso(day: date) -> str:
    """Return a day as the vendor writes instants."""
    return f"{day:%Y-%m-%d}T00:00:00.000Z"


class Vendor:
    """Answers from a source at a clock; the clock is real UTC until it is set, and stands still once it is."""

    def __init__(self, source: Source, keys: tuple[str, ...], clock: datetime | None = None) -> None:
        self.source = source
        self._keys = frozenset(keys)
        self._clock = clock
        self._late: Mapping[str, date] = {}

    def now(self) -> datetime:
        """Return the simulated time, UTC."""
        return self._clock or datetime.now(UTC)

    def set_clock(self, now: datetime | None, late: Mapping[str, date] | None = None) -> None:
        """Fix the time (None: real UTC again); `late` names exchanges whose export stopped before a day."""
        self._clock = now
        self._late = dict(late or {})

    def exported_until(self, exchange_id: str) -> date:
        """Return the first day that is not exported yet."""
        on_time = self.source.exported_until(exchange_id, self.now())
        return min(on_time, self._late.get(exchange_id, on_time))

    def find_exchange(self, exchange_id: str) -> ExchangeCatalogue | Refusal:
        """Return an exchange; one whose first day is not exported yet does not exist."""
        exchange = self.source.exchange(exchange_id)
        if exchange is None or exchange.since >= self.exported_until(exchange_id):
            return Refusal(400, 300, f"Invalid exchange: '{exchange_id}'.")
        return exchange

    def exchanges(self) -> list[ExchangeCatalogue]:
        """Return the exchanges there are at this time, the ended ones too."""
        found = map(self.find_exchange, self.source.exchange_ids())
        return [exchange for exchange in found if isinstance(exchange, ExchangeCatalogue)]

    def judge_key(self, authorization: str | None) -> KeyState:
        """Say what an Authorization header is worth."""
        if not authorization:
            return KeyState.MISSING
        scheme, _, key = authorization.partition(" ")
        return KeyState.GOOD if scheme.lower() == "bearer" and key.strip() in self._keys else KeyState.WRONG

    def find_file(self, path: Mapping[str, str], key: KeyState) -> FileRequest | Refusal:
        """Return the file that a request's path names, or why it gets none."""
        if key is KeyState.WRONG:
            return WRONG_KEY
        day = _parse_day(path)
        if day is None:
            return Refusal(400, 140, "The date of the path is not a day of the calendar.")
        if key is KeyState.MISSING and day.day != 1:
            return NO_KEY
        return self._find_offered(path, day)

    def _find_offered(self, path: Mapping[str, str], day: date) -> FileRequest | Refusal:
        exchange_id, symbol, name = path["exchange"], path["symbol"], path["data_type"]
        exchange = self.find_exchange(exchange_id)
        if isinstance(exchange, Refusal):
            return exchange
        listing = exchange.find(symbol)
        offered = [str(data_type) for data_type in listing.data_types] if listing else []
        until = self.exported_until(exchange_id)
        if listing is None or listing.since >= until:
            return Refusal(400, 300, f"Invalid 'symbol' param: '{symbol}' is not offered for '{exchange_id}'.")
        if name not in offered:
            return Refusal(400, 300, f"Invalid 'dataType' param: '{name}'. {symbol} offers: {', '.join(offered)}.")
        refusal = _refuse_day(exchange, listing, until, day)
        return refusal or FileRequest(exchange_id, DataType(name), symbol, day)


def no_file(request: FileRequest) -> Refusal:
    """Return the answer for a day inside the bounds for which there is no file after all."""
    return Refusal(400, 140, f"There is no {request.data_type} dataset of {request.symbol} for {request.day}.")


def _refuse_day(exchange: ExchangeCatalogue, listing: Listing, until: date, day: date) -> Refusal | None:
    since = max(listing.since, exchange.since)
    if day < since:
        return Refusal(400, 140, f"{listing.symbol} datasets are available since {to_iso(since)}.")
    end = until if listing.until is None else min(listing.until, until)
    if day >= end:
        return Refusal(400, 140, f"{listing.symbol} datasets are available until {to_iso(end)} (exclusive).")
    return None


def _parse_day(path: Mapping[str, str]) -> date | None:
    year, month, number = int(path["year"]), int(path["month"]), int(path["day"])
    is_month = year >= 1 and 1 <= month <= 12  # noqa: PLR2004
    is_day = is_month and 1 <= number <= calendar.monthrange(year, month)[1]
    return date(year, month, number) if is_day else None
