"""The source of generated files: the same seed gives the same bytes for a file, whatever else was asked before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import lru_cache, partial

import polars as pl

from market_data.model.data_types import DataType
from market_data.simulator.market.book_rows import incremental_rows, quote_rows, snapshot_rows, ticker_rows
from market_data.simulator.market.books import Touch, make_touch
from market_data.simulator.market.bulk_chain import chain_blocks
from market_data.simulator.market.event_rows import (
    derivative_ticker_rows,
    liquidation_rows,
    options_chain_rows,
    trade_rows,
)
from market_data.simulator.market.frames import encode, merge
from market_data.simulator.market.markets import Market
from market_data.simulator.vendor.catalogue import ExchangeCatalogue, exported_until_at
from market_data.simulator.venues.venues import EXCHANGE_IDS, build_exchange

_BOOK_ROWS: dict[DataType, Callable[[Market, Touch], pl.DataFrame]] = {
    DataType.INCREMENTAL_BOOK_L2: incremental_rows,
    DataType.QUOTES: quote_rows,
    DataType.BOOK_TICKER: ticker_rows,
    DataType.BOOK_SNAPSHOT_5: partial(snapshot_rows, data_type=DataType.BOOK_SNAPSHOT_5),
    DataType.BOOK_SNAPSHOT_25: partial(snapshot_rows, data_type=DataType.BOOK_SNAPSHOT_25),
}
_EVENT_ROWS: dict[DataType, Callable[[Market, Touch, float], pl.DataFrame]] = {
    DataType.TRADES: trade_rows,
    DataType.DERIVATIVE_TICKER: derivative_ticker_rows,
    DataType.LIQUIDATIONS: liquidation_rows,
    DataType.OPTIONS_CHAIN: options_chain_rows,
}


@lru_cache(maxsize=128)
def _touch(market: Market, scale: float) -> Touch:
    # Asked for by each data type of an instrument-day, mostly one after the other.
    return make_touch(market, scale)


def make_rows(market: Market, data_type: DataType, scale: float) -> pl.DataFrame:
    """Return one instrument's rows of one data type; `scale` multiplies their number."""
    touch = _touch(market, scale)
    make_book_rows = _BOOK_ROWS.get(data_type)
    return make_book_rows(market, touch) if make_book_rows else _EVENT_ROWS[data_type](market, touch, scale)


class GeneratedSource:
    """Exchanges and files made up from a seed; `scale` multiplies the number of rows in a file.

    `symbols` is how many symbols Deribit lists before the day `until` (0: the usual few thousand), `options_rows` how
    many rows an OPTIONS file of options_chain has (0: the usual few thousand); a file of that size is streamed.
    """

    def __init__(
        self, seed: int, scale: float, *, symbols: int = 0, until: date = date.min, options_rows: int = 0
    ) -> None:
        self._seed = seed
        self._scale = scale
        self._symbols = symbols
        self._until = until
        self._options_rows = options_rows
        deribit = self.exchange("deribit")
        if symbols and deribit is not None:
            deribit.find("")  # lists the symbols now: the first request would hold up all others for seconds

    def exchange_ids(self) -> list[str]:
        """Return the ids of the generated exchanges."""
        return list(EXCHANGE_IDS)

    def exchange(self, exchange_id: str) -> ExchangeCatalogue | None:
        """Return one exchange, None when it is not generated."""
        return build_exchange(exchange_id, self._symbols, self._until)

    def exported_until(self, exchange_id: str, now: datetime) -> date:
        """Return the first day that is not exported at `now` (UTC), or the end of a venue that has ended."""
        exchange = self.exchange(exchange_id)
        on_time = exported_until_at(now)
        return on_time if exchange is None or exchange.until is None else min(on_time, exchange.until)

    def read_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> bytes | None:
        """Return the csv.gz of one instrument or group; costs a few milliseconds of CPU an instrument."""
        markets = self._markets(exchange_id, data_type, symbol, day)
        if markets is None:
            return None
        return encode(merge([make_rows(market, data_type, self._scale) for market in markets]))

    def stream_file(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> Iterator[bytes] | None:
        """Return the pieces of an options chain of `options_rows` rows, None for every other file."""
        if not (self._options_rows and data_type is DataType.OPTIONS_CHAIN and symbol == "OPTIONS"):
            return None
        return self._stream_chain(exchange_id, day)

    def _stream_chain(self, exchange_id: str, day: date) -> Iterator[bytes]:
        markets = self._markets(exchange_id, DataType.OPTIONS_CHAIN, "OPTIONS", day) or []
        chains = [make_rows(market, DataType.OPTIONS_CHAIN, self._scale) for market in markets]
        yield from chain_blocks(markets, chains, self._options_rows)

    def _markets(self, exchange_id: str, data_type: DataType, symbol: str, day: date) -> list[Market] | None:
        exchange = self.exchange(exchange_id)
        listing = exchange.find(symbol) if exchange else None
        if exchange is None or listing is None:
            return None
        members = exchange.members(listing, data_type, day) if listing.is_group else [listing]
        return [Market(self._seed, exchange_id, member, day) for member in members]
