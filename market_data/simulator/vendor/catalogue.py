"""What a vendor lists: exchanges, their symbols and groups, as plain data, and the interface that serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Protocol

from market_data.model.data_types import DataType

DAY = timedelta(days=1)

# Group files of the vendor: the id of the row in `datasets.symbols` and the instrument type it gathers.
GROUP_TYPES: dict[str, str] = {
    "SPOT": "spot",
    "PERPETUALS": "perpetual",
    "FUTURES": "future",
    "OPTIONS": "option",
    "COMBOS": "combo",
}


@dataclass(frozen=True, slots=True)
class Increment:
    """A step of a price or an amount: `units / 10**decimals`, so that each multiple is the nearest double."""

    units: int
    decimals: int

    @classmethod
    def of(cls, text: str) -> Increment:
        """Return the step that a decimal text names."""
        _, _, fraction = text.partition(".")
        return cls(int(text.replace(".", "")), len(fraction))

    @classmethod
    def power_of_ten(cls, exponent: int) -> Increment:
        """Return 10 to the power of `exponent`."""
        return cls(10 ** max(exponent, 0), max(-exponent, 0))

    @property
    def value(self) -> float:
        """The step as a number."""
        return self.units / float(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Terms:
    """The contract behind a symbol: what its prices follow and what `/instruments` says about it."""

    base: str
    quote: str
    tick: Increment
    lot: Increment
    contract_type: str = ""  # empty for spot and predictions
    underlying_type: str = "native"
    price_base: str = ""  # underlying whose price path it follows; empty: `base`
    price_factor: float = 1.0  # 1000 for 1000SHIBUSDT
    lot_value: float | None = None  # quote currency per lot; None: one lot is `lot` coins
    settlement: str = ""
    listing: datetime | None = None
    expiry: datetime | None = None
    strike: float | None = None
    liquidity: float = 1.0  # 1.0: the busiest instruments; scales the number of rows

    @property
    def underlying(self) -> str:
        """The name of the price path."""
        return self.price_base or self.base

    @property
    def is_inverse(self) -> bool:
        """Whether the contract settles in its base coin."""
        return self.settlement == self.base

    @property
    def option_type(self) -> str:
        """`call`, `put`, or empty."""
        return self.contract_type.removesuffix("_option") if self.contract_type.endswith("_option") else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of `datasets.symbols`: an instrument or a group; `until` is exclusive, None while it is listed."""

    symbol: str  # file-name form
    api_id: str  # casing of availableSymbols and /instruments
    instrument_type: str
    data_types: tuple[DataType, ...]
    since: date
    until: date | None = None
    terms: Terms | None = None  # None for groups and for real files

    @property
    def cell(self) -> str:
        """What stands in the CSV: as the venue writes it, in upper case, with its `/` or `:`."""
        return self.api_id.upper()

    @property
    def is_group(self) -> bool:
        """Whether the row gathers the instruments of one type."""
        return self.symbol in GROUP_TYPES

    def is_listed_on(self, day: date) -> bool:
        """Whether a file of this day exists, when the day is exported."""
        return self.since <= day and (self.until is None or day < self.until)


class ExchangeCatalogue:
    """One exchange id with all its symbols and groups, which are made when they are first asked for.

    `until` is the first day without files of a venue that has ended.
    """

    def __init__(
        self,
        exchange_id: str,
        name: str,
        since: date,
        until: date | None,
        list_symbols: Callable[[], Iterable[Listing]],
    ) -> None:
        self.exchange_id = exchange_id
        self.name = name
        self.since = since
        self.until = until
        self._list_symbols = list_symbols

    @cached_property
    def listings(self) -> tuple[Listing, ...]:
        """All rows of `datasets.symbols`, whatever their days."""
        return tuple(self._list_symbols())

    @cached_property
    def _by_symbol(self) -> dict[str, Listing]:
        return {listing.symbol: listing for listing in self.listings}

    def find(self, symbol: str) -> Listing | None:
        """Return the row of a file-name symbol or group id."""
        return self._by_symbol.get(symbol)

    def members(self, group: Listing, data_type: DataType, day: date) -> list[Listing]:
        """Return the instruments whose rows a group file of this data type and day holds."""
        return [
            listing
            for listing in self.listings
            if not listing.is_group
            and listing.instrument_type == group.instrument_type
            and listing.is_listed_on(day)
            and (data_type in listing.data_types or data_type is DataType.OPTIONS_CHAIN)
        ]


class Source(Protocol):
    """Where the server takes its answers from: generated data or a directory of files."""

    def exchange_ids(self) -> list[str]:
        """Return the exchange ids it serves."""
        ...

    def exchange(self, exchange_id: str) -> ExchangeCatalogue | None:
        """Return one exchange, None when it is not served."""
        ...

    def exported_until(self, exchange_id: str, now: datetime) -> date:
        """Return the first day that is not exported at `now` (UTC)."""
        ...

    def read_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> bytes | None:
        """Return the gzip of one listed file, None when it does not exist after all; blocking."""
        ...

    def stream_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> Iterator[bytes] | None:
        """Return the pieces of a gzip that is too large for memory, None for the files of `read_file`."""
        ...


EXPORT_TIME = time(6)


def exported_until_at(now: datetime) -> date:
    """Return the first day not exported at `now`: yesterday's files are ready at 06:00 UTC."""
    now = now.astimezone(UTC)
    return now.date() if now.time() >= EXPORT_TIME else now.date() - DAY
