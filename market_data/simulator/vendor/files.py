"""The source of `--files`: a directory of real tick files; what is listed is what is there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

from market_data.errors import ConfigurationError
from market_data.model.data_types import DataType
from market_data.simulator.vendor.catalogue import DAY, GROUP_TYPES, ExchangeCatalogue, Listing

_FILE_NAME = re.compile(
    rf"(?P<exchange>[a-z0-9-]+)_(?P<data_type>{'|'.join(DataType)})_(?P<day>\d{{4}}-\d{{2}}-\d{{2}})_(?P<symbol>.+)\.csv\.gz"
)
_PERPETUAL = re.compile(r"PERP|SWAP")
_OPTION = re.compile(r"-[CP](-USDT)?$")
_DATED = re.compile(r"[_-]\d{6}$|-\d{1,2}[A-Z]{3}\d{2}$|[FGHJKMNQUVXZ]\d{2}$|_[CN][WQ]$")
_PERPETUAL_VENUES = re.compile(r"-futures$|-swap$|-derivatives$|-delivery$|^hyperliquid$|^bybit$|^bitmex$|^dydx")
_LOWER_CASE_IDS = ("binance", "bitstamp", "huobi")

_FileKey = tuple[str, DataType, str, date]


def instrument_type_of(exchange_id: str, symbol: str) -> str:
    """Return the vendor's `type` of a symbol by its form; a guess, good enough to serve files."""
    if symbol in GROUP_TYPES:
        return GROUP_TYPES[symbol]
    for pattern, instrument_type in ((_OPTION, "option"), (_PERPETUAL, "perpetual"), (_DATED, "future")):
        if exchange_id != "binance" and pattern.search(symbol):
            return instrument_type
    return "perpetual" if _PERPETUAL_VENUES.search(exchange_id) else "spot"


def find_files(directory: Path) -> dict[_FileKey, Path]:
    """Return the tick files of a directory by what they hold; raises ConfigurationError when there is none."""
    files: dict[_FileKey, Path] = {}
    for path in sorted(directory.glob("*.csv.gz")):
        if match := _FILE_NAME.fullmatch(path.name):
            day = date.fromisoformat(match["day"])
            files[match["exchange"], DataType(match["data_type"]), match["symbol"].upper(), day] = path
    if not files:
        raise ConfigurationError(
            f"no tick files in {directory}: expected <exchange>_<data_type>_<YYYY-MM-DD>_<SYMBOL>.csv.gz"
        )
    return files


def _list_exchange(exchange_id: str, keys: Iterable[_FileKey]) -> ExchangeCatalogue:
    days: dict[str, list[date]] = defaultdict(list)
    data_types: dict[str, set[DataType]] = defaultdict(set)
    for _, data_type, symbol, day in keys:
        days[symbol].append(day)
        data_types[symbol].add(data_type)
    listings = [
        Listing(
            symbol,
            symbol.lower() if exchange_id.startswith(_LOWER_CASE_IDS) else symbol,
            instrument_type_of(exchange_id, symbol),
            tuple(data_type for data_type in DataType if data_type in data_types[symbol]),
            min(days[symbol]),
            max(days[symbol]) + DAY,
        )
        for symbol in sorted(days)
    ]
    return ExchangeCatalogue(exchange_id, exchange_id, min(map(min, days.values())), None, lambda: listings)


class FilesSource:
    """Serves the files of a directory; the export of an exchange ends with its last file, whatever the clock says."""

    def __init__(self, directory: Path) -> None:
        self._files = find_files(directory)
        ids = sorted({key[0] for key in self._files})
        self._exchanges = {
            exchange_id: _list_exchange(exchange_id, (key for key in self._files if key[0] == exchange_id))
            for exchange_id in ids
        }

    def exchange_ids(self) -> list[str]:
        """Return the exchange ids that have files."""
        return list(self._exchanges)

    def exchange(self, exchange_id: str) -> ExchangeCatalogue | None:
        """Return one exchange, None when it has no file."""
        return self._exchanges.get(exchange_id)

    def exported_until(self, exchange_id: str, now: datetime) -> date:  # noqa: ARG002 - the files are the clock
        """Return the day after the exchange's last file."""
        return max(day for exchange, _, _, day in self._files if exchange == exchange_id) + DAY

    def read_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> bytes | None:
        """Return the bytes of one file as they are, None when the day has none."""
        path = self._files.get((exchange_id, data_type, symbol, day))
        return path.read_bytes() if path else None

    def stream_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> Iterator[bytes] | None:  # noqa: ARG002
        """Return None: files are read whole."""
        return None
