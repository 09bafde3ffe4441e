"""What the golden files of this folder hold, written by hand from the vendor's description of its CSV files.

Nothing here is taken from the product's tables: decoder, simulator and statistics are held to a reading of their own.
Every value is invented. Times are of 2025-03-14 UTC unless they say otherwise; a cell that is not named is empty.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

FOLDER = Path(__file__).parent
DAY = date(2025, 3, 14)

Cell = str | float | bool | datetime | None
Row = Mapping[str, Cell]

PRICE, AMOUNT = "see instruments.price_currency", "see instruments.amount_unit"
RATE, IV = "fraction per funding interval", "percent or fraction, by venue"


@dataclass(frozen=True)
class Column:
    """One column: its name in the vendor's header and as published, what it holds, its unit, whether it may be empty.

    `kind`: text, time (integer microseconds since epoch in the file), number, or flag (true or false).
    """

    header: str
    name: str
    kind: str
    unit: str = ""
    may_be_empty: bool = False
    words: frozenset[str] = frozenset()  # the only ones that the vendor describes, where it describes them


def text(name: str, *words: str, may_be_empty: bool = False) -> Column:
    return Column(name, name, "text", "", may_be_empty, frozenset(words))


def time(name: str, *, may_be_empty: bool = False) -> Column:
    return Column(name, name, "time", "us UTC", may_be_empty)


def number(name: str, unit: str, *, may_be_empty: bool = True) -> Column:
    return Column(name, name, "number", unit, may_be_empty)


def _level(number_: int) -> tuple[Column, ...]:
    """One level of a book snapshot: ask before bid, price before amount; level 0 is the best."""
    return (
        Column(f"asks[{number_}].price", f"ask_price_{number_}", "number", PRICE, may_be_empty=True),
        Column(f"asks[{number_}].amount", f"ask_amount_{number_}", "number", AMOUNT, may_be_empty=True),
        Column(f"bids[{number_}].price", f"bid_price_{number_}", "number", PRICE, may_be_empty=True),
        Column(f"bids[{number_}].amount", f"bid_amount_{number_}", "number", AMOUNT, may_be_empty=True),
    )


HEAD = (text("exchange"), text("symbol"), time("timestamp"), time("local_timestamp"))
TAKEN = (
    *HEAD,
    text("id", may_be_empty=True),
    text("side", "buy", "sell", "unknown"),
    number("price", PRICE, may_be_empty=False),
    number("amount", AMOUNT, may_be_empty=False),
)
TOP_OF_BOOK = (
    *HEAD,
    number("ask_amount", AMOUNT),
    number("ask_price", PRICE),
    number("bid_price", PRICE),
    number("bid_amount", AMOUNT),
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "trades": TAKEN,
    "liquidations": TAKEN,
    "incremental_book_L2": (
        *HEAD,
        Column("is_snapshot", "is_snapshot", "flag"),
        text("side", "bid", "ask"),
        number("price", PRICE, may_be_empty=False),
        number("amount", AMOUNT, may_be_empty=False),
    ),
    "book_snapshot_5": (*HEAD, *(column for level in range(5) for column in _level(level))),
    "book_snapshot_25": (*HEAD, *(column for level in range(25) for column in _level(level))),
    "quotes": TOP_OF_BOOK,
    "book_ticker": TOP_OF_BOOK,
    "derivative_ticker": (
        *HEAD,
        time("funding_timestamp", may_be_empty=True),
        number("funding_rate", RATE),
        number("predicted_funding_rate", RATE),
        number("open_interest", "not known (contracts, base or quote, by venue)"),
        number("last_price", PRICE),
        number("index_price", PRICE),
        number("mark_price", PRICE),
    ),
    "options_chain": (
        *HEAD,
        text("type", "call", "put", may_be_empty=True),
        number("strike_price", "see instruments.quote"),
        time("expiration", may_be_empty=True),
        number("open_interest", "not known (contracts, base or quote, by venue)"),
        number("last_price", PRICE),
        number("bid_price", PRICE),
        number("bid_amount", AMOUNT),
        number("bid_iv", IV),
        number("ask_price", PRICE),
        number("ask_amount", AMOUNT),
        number("ask_iv", IV),
        number("mark_price", PRICE),
        number("mark_iv", IV),
        text("underlying_index", may_be_empty=True),
        number("underlying_price", "quote currency of the underlying"),
        number("delta", "1"),
        number("gamma", "1 / price"),
        number("vega", "price / volatility point"),
        number("theta", "price / day"),
        number("rho", "price / percent"),
    ),
}


@dataclass(frozen=True)
class Golden:
    """One file: whose it is, its rows by published name, and its statistics, counted by hand."""

    data_type: str
    exchange: str
    venue: str
    vendor_symbol: str  # of the file's name
    symbol: str | None  # of its rows; None where they differ
    instrument_type: str
    instrument_key: str | None
    rows: Sequence[Row]
    counts: Mapping[str, int]
    measures: Mapping[str, float]
    nulls: Mapping[str, int] = field(default_factory=dict)

    @property
    def csv_bytes(self) -> bytes:
        return (FOLDER / f"{self.data_type}.csv").read_bytes()

    @property
    def header(self) -> str:
        return self.csv_bytes.decode().partition("\n")[0]

    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS[self.data_type]

    @property
    def cells(self) -> list[dict[str, Cell]]:
        """All cells of all rows, the empty ones as None, in the order of the published columns."""
        common: dict[str, Cell] = {"instrument_key": self.instrument_key, "exchange": self.exchange}
        names = ["instrument_key", *(column.name for column in self.columns)]
        rows = [common | {"symbol": self.symbol} | dict(row) for row in self.rows]
        assert all(set(row) <= set(names) for row in rows)
        return [{name: row.get(name) for name in names} for row in rows]


def read_cells(line: str) -> list[str]:
    return next(csv.reader([line]))


def at(clock: str) -> datetime:
    """A moment of the day, or `<ISO date> <clock>` of another."""
    return datetime.fromisoformat(clock if " " in clock else f"{DAY} {clock}").replace(tzinfo=UTC)


def _seen(sent: str, arrived: str) -> dict[str, Cell]:
    return {"timestamp": at(sent), "local_timestamp": at(arrived)}


def _book(asks: Sequence[tuple[int, float, float]], bids: Sequence[tuple[int, float, float]]) -> dict[str, Cell]:
    """Levels of a snapshot as (level, price, amount)."""
    cells: dict[str, Cell] = {}
    for side, levels in (("ask", asks), ("bid", bids)):
        for level, price, amount in levels:
            cells |= {f"{side}_price_{level}": price, f"{side}_amount_{level}": amount}
    return cells


def _counts(**counts: int) -> dict[str, int]:
    return {"arrival_steps_back": 0, "rows_repeated": 0, "cells_not_finite": 0, **counts}


def _level_nulls(level: int, ask: int, bid: int) -> dict[str, int]:
    counts = {f"ask_price_{level}": ask, f"ask_amount_{level}": ask}
    return counts | {f"bid_price_{level}": bid, f"bid_amount_{level}": bid}


_REPEATED_TRADE: Row = {
    **_seen("00:01:00.1", "00:01:00.3"),
    "id": "0007",
    "side": "sell",
    "price": 0.30000000000000004,
    "amount": 1000.0,
}
TRADES = Golden(
    "trades",
    "okex-swap",
    "OKX-SWAP",
    "ETH-USDT-SWAP",
    "ETH-USDT-SWAP",
    "PERPETUAL",
    "OKX-SWAP:PERPETUAL:ETH-USDT",
    rows=[
        {  # left the venue on the day before, arrived on the day
            **_seen("2025-03-13 23:59:59.874", "00:00:00.012345"),
            "id": "9f8b7c6d-1234-4abc-8def-00112233aabb",
            "side": "buy",
            "price": 1893.4,
            "amount": 12.0,
        },
        {
            **_seen("00:00:00.25", "00:00:00.25"),
            "id": "340282366920938463463374607431768211456",
            "side": "sell",
            "price": 1893.0,
            "amount": 0.5,
        },
        {**_seen("00:01:00", "00:01:00.3"), "side": "unknown", "price": -2.75, "amount": 0.000000042},
        _REPEATED_TRADE,
        _REPEATED_TRADE,
        {
            **_seen("23:59:59.5", "23:59:59.999999"),
            "id": "0xdeadbeef",
            "side": "buy",
            "price": 1901.25,
            "amount": 3.0,
        },
    ],
    counts=_counts(rows_repeated=1, ids_repeated=1, sides_unknown=0, prices_not_positive=1, amounts_negative=0),
    measures={
        "first_row_seconds": 0.012345,
        "last_row_seconds": 86_399.999999,
        "median_delay_seconds": 0.2,  # of 0.138345, 0.3, 0.2, 0.2 and 0.499999: equal times are none
        "longest_silence_seconds": 86_339.699999,
        "lowest_price": -2.75,
        "highest_price": 1901.25,
    },
    nulls={"id": 1},
)

_OPENING, _NOON = _seen("00:00:00.18", "00:00:00.431"), _seen("12:00:00", "12:00:00.15")
_CHANGE = _seen("00:00:01", "00:00:01.02")
INCREMENTAL_BOOK_L2 = Golden(
    "incremental_book_L2",
    "deribit",
    "DERIBIT",
    "SOL_USDC-PERPETUAL",
    "SOL_USDC-PERPETUAL",
    "PERPETUAL",
    "DERIBIT:PERPETUAL:SOL-USDC",
    rows=[
        {**_OPENING, "is_snapshot": True, "side": "ask", "price": 128.45, "amount": 310.0},
        {**_OPENING, "is_snapshot": True, "side": "bid", "price": 128.4, "amount": 25.5},
        {**_OPENING, "is_snapshot": True, "side": "ask", "price": 128.5, "amount": 0.0},
        {**_OPENING, "is_snapshot": True, "side": "bid", "price": 128.35, "amount": 700.0},
        {**_CHANGE, "is_snapshot": False, "side": "bid", "price": 128.4, "amount": 0.0},
        {**_CHANGE, "is_snapshot": False, "side": "ask", "price": 128.44, "amount": 1.25},
        {**_NOON, "is_snapshot": True, "side": "bid", "price": 127.9, "amount": 40.0},
        {**_NOON, "is_snapshot": True, "side": "ask", "price": 128.0, "amount": 55.5},
    ],
    counts=_counts(opens_without_snapshot=0, sides_unknown=0, prices_not_positive=0, amounts_negative=0),
    measures={
        "first_row_seconds": 0.431,
        "last_row_seconds": 43_200.15,
        "median_delay_seconds": 0.2005,  # between 0.15 and 0.251
        "longest_silence_seconds": 43_199.13,
        "lowest_price": 127.9,
        "highest_price": 128.5,
    },
)

BOOK_SNAPSHOT_5 = Golden(
    "book_snapshot_5",
    "binance-futures",
    "BINANCE-FUTURES",
    "1000PEPEUSDT",
    "1000PEPEUSDT",
    "PERPETUAL",
    "BINANCE-FUTURES:PERPETUAL:1000PEPE-USDT",
    rows=[
        {
            **_seen("00:00:00.6", "00:00:00.7"),
            "ask_price_0": 0.0071201,
            "ask_amount_0": 1000.0,
            "bid_price_0": 0.00712,
            "bid_amount_0": 900.0,
            "ask_price_1": 0.0071202,
            "ask_amount_1": 2500.5,
            "bid_price_1": 0.0071199,
            "bid_amount_1": 800.0,
            "ask_price_2": 0.0071203,
            "ask_amount_2": 3000.0,
            "bid_price_2": 0.0071198,
            "bid_amount_2": 700.0,
            "ask_price_3": 0.0071204,
            "ask_amount_3": 40.0,
            "bid_price_3": 0.0071197,
            "bid_amount_3": 600.0,
            "ask_price_4": 0.0071205,
            "ask_amount_4": 5.0,
            "bid_price_4": 0.0071196,
            "bid_amount_4": 500.0,
        },
        {
            **_seen("00:00:01.6", "00:00:01.65"),
            **_book(
                asks=[(0, 0.0071202, 10.0), (1, 0.0071206, 11.0)],
                bids=[(0, 0.00712, 20.0), (1, 0.0071199, 21.0), (2, 0.0071198, 22.0)],
            ),
        },
        {**_seen("00:00:02.6", "00:00:02.8"), "bid_price_0": 0.0071, "bid_amount_0": 1.0},
        _seen("00:00:03.6", "00:00:03.9"),
    ],
    counts=_counts(
        rows_crossed=0, rows_locked=0, rows_one_sided=1, rows_without_value=1, prices_not_positive=0, amounts_negative=0
    ),
    measures={
        "first_row_seconds": 0.7,
        "last_row_seconds": 3.9,
        "median_delay_seconds": 0.15,  # between 0.1 and 0.2
        "longest_silence_seconds": 1.15,
        "lowest_bid_price_0": 0.0071,
        "highest_bid_price_0": 0.00712,
    },
    nulls={
        **_level_nulls(0, ask=2, bid=1),
        **_level_nulls(1, ask=2, bid=2),
        **_level_nulls(2, ask=3, bid=2),
        **_level_nulls(3, ask=3, bid=3),
        **_level_nulls(4, ask=3, bid=3),
    },
)

# fmt: off
_ASKS_25 = (
    128.01, 128.02, 128.03, 128.04, 128.05, 128.06, 128.07, 128.08, 128.09, 128.1, 128.11, 128.12, 128.13,
    128.14, 128.15, 128.16, 128.17, 128.18, 128.19, 128.2, 128.21, 128.22, 128.23, 128.24, 128.25,
)
_BIDS_25 = (
    128.0, 127.99, 127.98, 127.97, 127.96, 127.95, 127.94, 127.93, 127.92, 127.91, 127.9, 127.89, 127.88,
    127.87, 127.86, 127.85, 127.84, 127.83, 127.82, 127.81, 127.8, 127.79, 127.78, 127.77, 127.76,
)
# fmt: on
BOOK_SNAPSHOT_25 = Golden(
    "book_snapshot_25",
    "binance-delivery",
    "BINANCE-DELIVERY",
    "SOLUSD_PERP",
    "SOLUSD_PERP",
    "PERPETUAL",
    "BINANCE-DELIVERY:PERPETUAL:SOL-USD",
    rows=[
        {  # amounts tell the level: 1 to 25 of the asks, 101 to 125 of the bids
            **_seen("00:00:00.9", "00:00:01"),
            **_book(
                asks=[(level, price, 1.0 + level) for level, price in enumerate(_ASKS_25)],
                bids=[(level, price, 101.0 + level) for level, price in enumerate(_BIDS_25)],
            ),
        },
        {
            **_seen("00:00:01.9", "00:00:02.05"),
            **_book(asks=[(0, 128.02, 2.0), (1, 128.06, 3.5), (2, 128.07, 4.0)], bids=[(0, 127.5, 9.0)]),
        },
        {  # crossed
            **_seen("00:00:02.9", "00:00:03.3"),
            **_book(asks=[(0, 127.4, 6.0)], bids=[(0, 127.45, 8.0), (1, 127.3, 7.0)]),
        },
    ],
    counts=_counts(
        rows_crossed=1, rows_locked=0, rows_one_sided=0, rows_without_value=0, prices_not_positive=0, amounts_negative=0
    ),
    measures={
        "first_row_seconds": 1.0,
        "last_row_seconds": 3.3,
        "median_delay_seconds": 0.15,
        "longest_silence_seconds": 1.25,
        "lowest_bid_price_0": 127.45,
        "highest_bid_price_0": 128.0,
    },
    nulls={
        **_level_nulls(1, ask=1, bid=1),
        **_level_nulls(2, ask=1, bid=2),
        **{name: count for level in range(3, 25) for name, count in _level_nulls(level, ask=2, bid=2).items()},
    },
)

QUOTES = Golden(
    "quotes",
    "kraken",
    "KRAKEN",
    "SOL-EUR",
    "SOL/EUR",
    "SPOT_PAIR",
    "KRAKEN:SPOT_PAIR:SOL-EUR",
    rows=[
        {
            **_seen("00:00:02", "00:00:02"),
            "ask_amount": 17.5,
            "ask_price": 118.02,
            "bid_price": 118.0,
            "bid_amount": 3.25,
        },
        {**_seen("00:00:03.1", "00:00:03.45"), "bid_price": 117.99, "bid_amount": 8.0},
        {**_seen("00:00:04", "00:00:04.1"), "ask_amount": 0.75, "ask_price": 118.03},
        {  # locked
            **_seen("00:00:05", "00:00:05.2"),
            "ask_amount": 0.0000001,
            "ask_price": 118.01,
            "bid_price": 118.01,
            "bid_amount": 250.0,
        },
        {  # crossed
            **_seen("00:00:06", "00:00:06.3"),
            "ask_amount": 5.0,
            "ask_price": 118.0,
            "bid_price": 118.04,
            "bid_amount": 6.0,
        },
        _seen("00:00:07", "00:00:07.4"),
    ],
    counts=_counts(
        rows_crossed=1, rows_locked=1, rows_one_sided=2, rows_without_value=1, prices_not_positive=0, amounts_negative=0
    ),
    measures={
        "first_row_seconds": 2.0,
        "last_row_seconds": 7.4,
        "median_delay_seconds": 0.3,
        "longest_silence_seconds": 1.45,
        "lowest_bid_price": 117.99,
        "highest_bid_price": 118.04,
    },
    nulls={"ask_amount": 2, "ask_price": 2, "bid_price": 2, "bid_amount": 2},
)

_BEST: Row = {"ask_amount": 41.2, "ask_price": 128.46, "bid_price": 128.45, "bid_amount": 19.0}
BOOK_TICKER = Golden(
    "book_ticker",
    "bybit",
    "BYBIT",
    "SOLUSDT",
    "SOLUSDT",
    "PERPETUAL",
    "BYBIT:PERPETUAL:SOL-USDT",
    rows=[
        {**_seen("00:00:00.001", "00:00:00.003"), **_BEST},
        {**_seen("00:00:00.001", "00:00:00.004"), **_BEST},
        {**_seen("00:00:01", "00:00:01.002"), "bid_price": 128.44, "bid_amount": 0.0},
        {
            **_seen("00:00:02", "00:00:02.0025"),
            "ask_amount": 0.001,
            "ask_price": 128.47,
            "bid_price": 0.0,
            "bid_amount": 12.0,
        },
    ],
    counts=_counts(
        rows_repeated=1,
        rows_crossed=0,
        rows_locked=0,
        rows_one_sided=1,
        rows_without_value=0,
        prices_not_positive=1,
        amounts_negative=0,
    ),
    measures={
        "first_row_seconds": 0.003,
        "last_row_seconds": 2.0025,
        "median_delay_seconds": 0.00225,  # between 0.002 and 0.0025
        "longest_silence_seconds": 1.0005,
        "lowest_bid_price": 0.0,
        "highest_bid_price": 128.45,
    },
    nulls={"ask_amount": 1, "ask_price": 1},
)

DERIVATIVE_TICKER = Golden(
    "derivative_ticker",
    "bitmex",
    "BITMEX",
    "SOLUSD",
    "SOLUSD",
    "PERPETUAL",
    "BITMEX:PERPETUAL:SOL-USD",
    rows=[
        {**_seen("00:00:00.5", "00:00:00.62"), "last_price": 128.4},
        {
            **_seen("00:00:01", "00:00:01.2"),
            "funding_timestamp": at("04:00:00"),
            "funding_rate": -0.000125,
            "predicted_funding_rate": 0.0001,
            "open_interest": 48_200.0,
            "last_price": 128.45,
            "index_price": 128.41,
            "mark_price": 128.43,
        },
        {
            **_seen("00:00:02", "00:00:02.1"),
            "funding_timestamp": at("04:00:00"),
            "funding_rate": -0.0000125,
            "open_interest": 48_201.5,
            "last_price": 128.5,
            "mark_price": 128.44,
        },
        _seen("00:00:03", "00:00:03.05"),
    ],
    counts=_counts(rows_without_value=1),
    measures={
        "first_row_seconds": 0.62,
        "last_row_seconds": 3.05,
        "median_delay_seconds": 0.11,  # between 0.1 and 0.12
        "longest_silence_seconds": 0.95,
        "lowest_last_price": 128.4,
        "highest_last_price": 128.5,
    },
    nulls={
        "funding_timestamp": 2,
        "funding_rate": 2,
        "predicted_funding_rate": 3,
        "open_interest": 2,
        "last_price": 1,
        "index_price": 3,
        "mark_price": 2,
    },
)

LIQUIDATIONS = Golden(
    "liquidations",
    "binance-futures",
    "BINANCE-FUTURES",
    "1000PEPEUSDT",
    "1000PEPEUSDT",
    "PERPETUAL",
    "BINANCE-FUTURES:PERPETUAL:1000PEPE-USDT",
    rows=[
        {  # told more than a minute late, on the day after
            **_seen("2025-03-13 23:58:50", "00:00:01.5"),
            "side": "buy",
            "price": 0.0071234,
            "amount": 250_000.0,
        },
        {
            **_seen("00:00:02", "00:00:02.4"),
            "id": "5b1d2c3e-0000-4fff-8aaa-123456789abc",
            "side": "sell",
            "price": 0.0071,
            "amount": 100_000.0,
        },
        {**_seen("00:00:03", "00:00:03.2"), "side": "unknown", "price": 0.00712, "amount": 40.0},
    ],
    counts=_counts(sides_unknown=0, prices_not_positive=0, amounts_negative=0),
    measures={
        "first_row_seconds": 1.5,
        "last_row_seconds": 3.2,
        "median_delay_seconds": 0.4,
        "longest_silence_seconds": 0.9,
        "lowest_price": 0.0071,
        "highest_price": 0.0071234,
    },
    nulls={"id": 2},
)

_CALL: Row = {
    "instrument_key": "DERIBIT:OPTION:SOL-USDC-250328-142.5-CALL",
    "symbol": "SOL_USDC-28MAR25-142D5-C",
    "type": "call",
    "strike_price": 142.5,
    "expiration": at("2025-03-28 08:00:00"),
    "underlying_index": "SYN.SOL_USDC-28MAR25",
}
_PUT: Row = {
    "instrument_key": "DERIBIT:OPTION:ETH-USD-250328-2100-PUT",
    "symbol": "ETH-28MAR25-2100-P",
    "type": "put",
    "strike_price": 2100.0,
    "expiration": at("2025-03-28 08:00:00"),
}
OPTIONS_CHAIN = Golden(
    "options_chain",
    "deribit",
    "DERIBIT",
    "OPTIONS",
    None,
    "OPTION",
    None,
    rows=[
        {
            **_seen("2025-03-13 23:59:59.8", "00:00:00.1"),
            **_CALL,
            "open_interest": 12.5,
            "last_price": 3.1,
            "bid_price": 2.95,
            "bid_amount": 40.0,
            "bid_iv": 61.25,
            "ask_price": 3.3,
            "ask_amount": 35.0,
            "ask_iv": 66.5,
            "mark_price": 3.1225,
            "mark_iv": 63.9,
            "underlying_price": 128.44,
            "delta": 0.31874,
            "gamma": 0.01912,
            "vega": 0.07813,
            "theta": -0.21551,
            "rho": 0.01544,
        },
        {**_seen("00:00:00.2", "00:00:00.25"), **_PUT},
        {
            **_seen("00:00:01", "00:00:01.03"),
            **_PUT,
            "open_interest": 881.0,
            "last_price": 0.1185,
            "bid_price": 0.1165,
            "bid_amount": 25.0,
            "bid_iv": 0.0,
            "mark_price": 0.1174,
            "mark_iv": 64.02,
            "underlying_index": "ETH-28MAR25",
            "underlying_price": 1893.7,
            "delta": -0.78214,
            "gamma": 0.00071,
            "vega": 1.10235,
            "theta": -2.1,
            "rho": -0.70112,
        },
        {
            **_seen("00:00:02", "00:00:02.01"),
            **_CALL,
            "open_interest": 12.75,
            "last_price": 3.2,
            "ask_price": 3.35,
            "ask_amount": 12.0,
            "ask_iv": 67.1,
            "mark_price": 3.13,
            "mark_iv": 64.0,
            "underlying_price": 128.5,
            "delta": 1.25,  # out of range
            "gamma": 0.019,
            "vega": 0.078,
            "theta": -0.216,
            "rho": 0.0154,
        },
    ],
    counts=_counts(deltas_out_of_range=1, volatilities_negative=0, rows_without_terms=0, rows_after_expiry=0),
    measures={
        "first_row_seconds": 0.1,
        "last_row_seconds": 2.01,
        "median_delay_seconds": 0.04,  # between 0.03 and 0.05
        "longest_silence_seconds": 0.98,
        "lowest_last_price": 0.1185,
        "highest_last_price": 3.2,
    },
    nulls={
        "open_interest": 1,
        "last_price": 1,
        "bid_price": 2,
        "bid_amount": 2,
        "bid_iv": 2,
        "ask_price": 2,
        "ask_amount": 2,
        "ask_iv": 2,
        "mark_price": 1,
        "mark_iv": 1,
        "underlying_index": 1,
        "underlying_price": 1,
        "delta": 1,
        "gamma": 1,
        "vega": 1,
        "theta": 1,
        "rho": 1,
    },
)

GOLDEN = (
    TRADES,
    INCREMENTAL_BOOK_L2,
    BOOK_SNAPSHOT_5,
    BOOK_SNAPSHOT_25,
    QUOTES,
    BOOK_TICKER,
    DERIVATIVE_TICKER,
    LIQUIDATIONS,
    OPTIONS_CHAIN,
)
