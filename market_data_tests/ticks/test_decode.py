"""Decoding of small hand-made tick files: every data type as it is, and every corrupt form refused by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from market_data.errors import TickFileInvalid
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, DataType
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.ticks import decode
from market_data.ticks.decode import DecodedFile, decode_tick_file
from market_data.ticks.gzip import TickText

DAY = date(2024, 8, 8)
MIDNIGHT_US = 1_723_075_200_000_000
SAMPLES = Path(__file__).parents[3] / "shared/samples/vendor_rows"
TRADES_HEADER = TABLES[DataType.TRADES].csv_header
TRADES_FILE = TickFile(
    DataTypeDay("BINANCE", DataType.TRADES, DAY), "BTCUSDT", "SPOT_PAIR", "BINANCE:SPOT_PAIR:BTC-USDT"
)
GROUP_FILE = TickFile(DataTypeDay("DERIBIT", DataType.OPTIONS_CHAIN, DAY), "OPTIONS", "OPTION", None)


# Ten rows of invented trades, a minute apart; the venue's time is 100 ms before the arrival.
def _trade(number: int) -> str:
    seen = MIDNIGHT_US + number * 60_000_000
    return f"binance,BTCUSDT,{seen - 100_000},{seen},{900 + number},buy,55000.{number},0.0{number}1"


TRADES = [_trade(number) for number in range(10)]


def _text(rows: list[str], header: str = TRADES_HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def _with_cell(column: str, cell: str, row: int = 4) -> bytes:
    place = TRADES_HEADER.split(",").index(column)
    cells = TRADES[row].split(",")
    cells[place] = cell
    return _text([*TRADES[:row], ",".join(cells), *TRADES[row + 1 :]])


def _with_column(column: str, change: Callable[[str], str]) -> bytes:
    place = TRADES_HEADER.split(",").index(column)
    rows = [line.split(",") for line in TRADES]
    return _text([",".join([*cells[:place], change(cells[place]), *cells[place + 1 :]]) for cells in rows])


class Bench:
    """Verifies and decodes bytes in an empty folder each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def verify(self, body: bytes, file: TickFile = TRADES_FILE) -> int:
        path = self._new_folder() / "body.csv.gz"
        path.write_bytes(body)
        return TickText(path, file).prove()

    def decode(self, body: bytes, file: TickFile = TRADES_FILE, **known_keys: str) -> tuple[DecodedFile, pl.DataFrame]:
        folder = self._new_folder()
        path = folder / "body.csv.gz"
        path.write_bytes(body)
        decoded = decode_tick_file(TickText(path, file), known_keys, self._new_folder() / "decoded")
        assert decoded is not None
        assert decoded.rows == self.verify(body, file) == sum(item.rows for item in decoded.objects)
        (first, *others) = decoded.objects
        frame = pl.read_parquet(first.path, glob=False) if not others else pl.DataFrame()
        return decoded, frame

    def _new_folder(self) -> Path:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


T0 = MIDNIGHT_US + 1_000_001
SENT, SEEN = _at(T0 - 2_000_000), _at(T0)
SNAPSHOT_5 = "55000.1,0.5,55000,1.25,55000.2,3,54999.9,0.001,55001,2,,,55002,1,,,,,,"
CASES: list[tuple[DataType, str, dict[str, Any]]] = [
    (
        DataType.TRADES,
        "f7e6d5c4-aaaa-bbbb-cccc-0123456789ab,sell,55000.5,1200",
        {"id": "f7e6d5c4-aaaa-bbbb-cccc-0123456789ab", "side": "sell", "price": 55000.5, "amount": 1200.0},
    ),
    (
        DataType.TRADES,
        ",unknown,-0.5,4.245e-8",
        {"id": None, "side": "unknown", "price": -0.5, "amount": 4.245e-08},
    ),
    (
        DataType.INCREMENTAL_BOOK_L2,
        "true,ask,55000,0",
        {"is_snapshot": True, "side": "ask", "price": 55000.0, "amount": 0.0},
    ),
    (
        DataType.INCREMENTAL_BOOK_L2,
        "false,bid,1.7976931348623157e308,5e-324",
        {"is_snapshot": False, "side": "bid", "price": 1.7976931348623157e308, "amount": 5e-324},
    ),
    (
        DataType.QUOTES,
        "1,2,3,4",
        {"ask_amount": 1.0, "ask_price": 2.0, "bid_price": 3.0, "bid_amount": 4.0},
    ),
    (
        DataType.BOOK_TICKER,
        "7.5,0.1,,",
        {"ask_amount": 7.5, "ask_price": 0.1, "bid_price": None, "bid_amount": None},
    ),
    (
        DataType.DERIVATIVE_TICKER,
        f"{MIDNIGHT_US + 28_800_000_000},-0.0000125,,1e6,,55000.123456789,",
        {
            "funding_timestamp": datetime(2024, 8, 8, 8, tzinfo=UTC),
            "funding_rate": -0.0000125,
            "predicted_funding_rate": None,
            "open_interest": 1_000_000.0,
            "last_price": None,
            "index_price": 55000.123456789,
            "mark_price": None,
        },
    ),
    (
        DataType.DERIVATIVE_TICKER,
        ",,,,55000,,",
        dict.fromkeys(("funding_timestamp", "funding_rate", "open_interest", "mark_price")) | {"last_price": 55000.0},
    ),
    (
        DataType.LIQUIDATIONS,
        ",buy,55000,0.25",
        {"id": None, "side": "buy", "price": 55000.0, "amount": 0.25},
    ),
    (
        DataType.BOOK_SNAPSHOT_5,
        SNAPSHOT_5,
        {
            "ask_price_0": 55000.1,
            "ask_amount_0": 0.5,
            "bid_price_0": 55000.0,
            "bid_amount_0": 1.25,
            "ask_price_2": 55001.0,
            "bid_price_2": None,
            "ask_price_4": None,
            "bid_amount_4": None,
        },
    ),
    (
        DataType.BOOK_SNAPSHOT_25,
        ",".join(str(number) for number in range(100)),
        {"ask_price_0": 0.0, "ask_amount_0": 1.0, "bid_price_0": 2.0, "ask_price_24": 96.0, "bid_amount_24": 99.0},
    ),
    (
        DataType.OPTIONS_CHAIN,
        "call,60000,1725004800000000,0.1,,0.02,15,55.9,,,,0.0221,62.9,SYN.BTC-30AUG24,55001.5,0.6,0.001,2.2,-53,-0.2",
        {
            "type": "call",
            "strike_price": 60000.0,
            "expiration": datetime(2024, 8, 30, 8, tzinfo=UTC),
            "last_price": None,
            "ask_iv": None,
            "underlying_index": "SYN.BTC-30AUG24",
            "theta": -53.0,
            "rho": -0.2,
        },
    ),
]


@pytest.mark.parametrize(("data_type", "cells", "wanted"), CASES)
def test_a_row_of_every_data_type_is_decoded_cell_by_cell(
    bench: Bench, data_type: DataType, cells: str, wanted: dict[str, Any]
) -> None:
    key, symbol = "BITMEX:PERPETUAL:XBT-USD", "XBTUSD"
    venue, instrument_type, _ = key.split(":")
    file = TickFile(DataTypeDay(venue, data_type, DAY), symbol, instrument_type, key)
    row = f"{venue.lower()},{symbol},{T0 - 2_000_000},{T0},{cells}"
    decoded, frame = bench.decode(gzip.compress(_text([row], TABLES[data_type].csv_header)), file)
    assert frame.schema == TABLES[data_type].published_schema
    head = {"instrument_key": key, "exchange": venue.lower(), "symbol": symbol}
    found = frame.row(0, named=True)
    assert found == found | head | {"timestamp": SENT, "local_timestamp": SEEN} | wanted
    assert (decoded.first_local_timestamp, decoded.last_local_timestamp) == (SEEN, SEEN)
    (item,) = decoded.objects
    assert (item.stem, item.instrument_key, item.rows) == (key.split(":", 2)[2], key, 1)
    assert item.size_bytes == item.path.stat().st_size
    assert _described_columns(item.path) == [
        (column.name, column.unit, column.description) for column in (INSTRUMENT_KEY, *TABLES[data_type].vendor_columns)
    ]


def _described_columns(path: Path) -> list[tuple[str, str, str]]:
    """What a file says of its columns to whoever opens it alone."""
    described = []
    for field in pq.read_schema(path):
        metadata = field.metadata or {}
        described.append((field.name, metadata[b"unit"].decode(), metadata[b"description"].decode()))
    return described


def test_the_order_of_rows_is_the_vendors_even_where_times_go_backwards(bench: Bench) -> None:
    prices = [(number * 7919) % 10_007 for number in range(30_000)]
    rows = [
        f"binance,BTCUSDT,{MIDNIGHT_US + price},{MIDNIGHT_US + number // 3},{number},buy,{price},1"
        for number, price in enumerate(prices)
    ]
    _, frame = bench.decode(gzip.compress(_text(rows)))
    assert frame["price"].to_list() == prices
    assert frame["id"].to_list() == [str(number) for number in range(30_000)]


@pytest.mark.parametrize(
    "text",
    ["1" * 76, "9" * 78, "00042", "1e5", "-1", "18446744073709551616", "true", "a b'c", "Ünïcode-币安", " "],
)
def test_an_id_is_opaque_text(bench: Bench, text: str) -> None:
    _, frame = bench.decode(gzip.compress(_with_cell("id", text)))
    assert frame["id"][4] == text
    assert frame["id"][3] == "903"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.1", 0.1),
        ("6422", 6422.0),
        ("4.245e-8", 4.245e-8),
        ("1E+3", 1000.0),
        ("-0.0001", -0.0001),
        ("0.30000000000000004", 0.1 + 0.2),
        ("123456789.123456789", 123456789.123456789),
        ("9007199254740993", 9007199254740992.0),
        ("0.1000000000000000055511151231257827", 0.1),
    ],
)
def test_a_number_is_the_nearest_double_of_its_text(bench: Bench, text: str, number: float) -> None:
    _, frame = bench.decode(gzip.compress(_with_cell("price", text)))
    assert frame["price"][4] == number == float(text)


@pytest.mark.parametrize(
    ("vendor_symbol", "cell"),
    [("币安人生USDT", "币安人生USDT"), ("BTC-USD", "BTC/USD"), ("XYZ-TSLA", "xyz:TSLA"), ("KPEPE", "kPEPE")],
)
def test_a_symbol_may_be_unicode_and_keep_its_separators(bench: Bench, vendor_symbol: str, cell: str) -> None:
    file = replace(TRADES_FILE, vendor_symbol=vendor_symbol)
    _, frame = bench.decode(gzip.compress(_with_column("symbol", lambda _: cell)), file)
    assert frame["symbol"].unique().to_list() == [cell]


def test_the_venues_own_time_may_lie_on_the_day_before(bench: Bench) -> None:
    decoded, frame = bench.decode(gzip.compress(_text(TRADES)))
    assert frame["timestamp"].min() == _at(MIDNIGHT_US - 100_000)
    assert decoded.first_local_timestamp == datetime(2024, 8, 8, tzinfo=UTC)
    assert decoded.last_local_timestamp == datetime(2024, 8, 8, 0, 9, tzinfo=UTC)


def test_the_last_microsecond_of_the_day_belongs_to_it(bench: Bench) -> None:
    last = MIDNIGHT_US + 86_400_000_000 - 1
    decoded, _ = bench.decode(gzip.compress(_with_cell("local_timestamp", str(last), row=9)))
    assert decoded.last_local_timestamp == _at(last)


def test_the_same_file_always_becomes_the_same_bytes(bench: Bench) -> None:
    body = gzip.compress(_text(TRADES))
    one, other = (bench.decode(packed)[0].objects[0] for packed in (body, gzip.compress(_text(TRADES), 1, mtime=0)))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert (one.crc32c, one.size_bytes) == (other.crc32c, other.size_bytes)


@pytest.mark.parametrize("split", [0, 40, 700, 10_000])
def test_a_file_of_several_gzip_members_is_one_file(bench: Bench, split: int) -> None:
    text = _text(TRADES)
    _, frame = bench.decode(gzip.compress(text[:split]) + gzip.compress(text[split:]))
    assert frame.height == len(TRADES)


@pytest.mark.parametrize("body", [gzip.compress(b""), gzip.compress(_text([]))], ids=["empty gzip", "header only"])
def test_a_file_without_rows_is_valid_and_holds_none(bench: Bench, body: bytes) -> None:
    assert bench.verify(body) == 0


def _flip_last_byte_of_crc(body: bytes) -> bytes:
    return body[:-5] + bytes([body[-5] ^ 1]) + body[-4:]


GOOD = gzip.compress(_text(TRADES))
SHORT_ROW = [*TRADES[:4], TRADES[4].rsplit(",", 1)[0], *TRADES[5:]]
LONG_ROW = [*TRADES[:4], f"{TRADES[4]},1", *TRADES[5:]]
COMPENSATED = [*TRADES[:4], TRADES[4].rsplit(",", 1)[0], f"{TRADES[5]},1", *TRADES[6:]]
CORRUPT: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "not a gzip file; it starts with b''"),
    "cut short": (GOOD[: len(GOOD) * 2 // 3], "the gzip stream is damaged or cut short"),
    "cut in the checksum": (GOOD[:-4], "the gzip stream is damaged or cut short"),
    "cut in the header": (GOOD[:6], "the gzip stream is damaged or cut short"),
    "wrong checksum": (_flip_last_byte_of_crc(GOOD), "the gzip stream is damaged or cut short"),
    "second member cut short": (GOOD + GOOD[:-9], "the gzip stream is damaged or cut short"),
    "trailing garbage": (GOOD + b"garbage", "the gzip stream is damaged or cut short"),
    "page with 200": (b"<!DOCTYPE html><html>Just a moment", "not a gzip file; it starts with b'<!DOCTYPE html>"),
    "document with 200": (b'{"message": "not now"}', 'not a gzip file; it starts with b\'{"message"'),
    "plain text": (_text(TRADES), "not a gzip file; it starts with b'exchange,symbol"),
    "renamed column": (gzip.compress(_text(TRADES).replace(b",amount\n", b",size\n")), "the header is '"),
    "columns swapped": (gzip.compress(_text(TRADES).replace(b"price,amount", b"amount,price")), "the header is '"),
    "header missing": (gzip.compress(_text(TRADES)[len(TRADES_HEADER) + 1 :]), "the header is 'binance,BTCUSDT,"),
    "byte order mark": (gzip.compress(b"\xef\xbb\xbf" + _text(TRADES)), "the header is '\\ufeffexchange"),
    "Windows line ends": (gzip.compress(_text(TRADES).replace(b"\n", b"\r\n")), "amount\\r' where the format says"),
    "a carriage return in a cell": (gzip.compress(_with_cell("id", "7\r")), "a cell holds a carriage return"),
    "a carriage return for a cell": (gzip.compress(_with_cell("amount", "\r")), "a cell holds a carriage return"),
    "a time before 1970": (gzip.compress(_with_cell("timestamp", "-172307520000000")), "has 15 digits"),
    "zeros behind the gzip": (GOOD + bytes(512), "the gzip stream is damaged or cut short"),
    "zeros between two members": (GOOD + bytes(8) + GOOD, "the gzip stream is damaged or cut short"),
    "header cut short": (gzip.compress(TRADES_HEADER.encode()[:-3]), "the header is 'exchange"),
    "header without line end": (gzip.compress(TRADES_HEADER.encode()), "the last line is cut short (no line end)"),
    "extra column": (gzip.compress(_text([f"{row},1" for row in TRADES], f"{TRADES_HEADER},extra")), "the header is '"),
    "extra cells": (gzip.compress(_text([f"{row},1" for row in TRADES])), "a row is short or long"),
    "short row": (gzip.compress(_text(SHORT_ROW)), "11 lines hold 76 commas where 8 columns need 77: a row is short"),
    "long row": (gzip.compress(_text(LONG_ROW)), "11 lines hold 78 commas where 8 columns need 77: a row is short"),
    "short row beside a long one": (gzip.compress(_text(COMPENSATED)), "a cell is not what its column holds"),
    "empty line": (gzip.compress(_text([*TRADES, ""])), "a row is short or long"),
    "no final line end": (gzip.compress(_text(TRADES)[:-1]), "the last line is cut short (no line end)"),
    "other symbol": (gzip.compress(_with_column("symbol", lambda _: "ETHUSDT")), "rows are of symbol ETHUSDT, not BTC"),
    "one row of another symbol": (gzip.compress(_with_cell("symbol", "ETHUSDT")), "of symbol BTCUSDT and ETHUSDT, not"),
    "other venue": (
        gzip.compress(_with_cell("exchange", "binance-us")),
        "rows are of exchange 'binance-us', not 'binance'",
    ),
    "day before": (
        gzip.compress(_with_column("local_timestamp", lambda cell: str(int(cell) - 86_400_000_000))),
        "rows are of 2024-08-07 00:00:00 to 2024-08-07 00:09:00 UTC by local_timestamp, outside the day 2024-08-08",
    ),
    "one row of the next day": (
        gzip.compress(_with_cell("local_timestamp", str(MIDNIGHT_US + 86_400_000_000), row=9)),
        "to 2024-08-09 00:00:00 UTC by local_timestamp, outside the day 2024-08-08",
    ),
    "milliseconds": (
        gzip.compress(_with_column("local_timestamp", lambda cell: str(int(cell) // 1000))),
        "local_timestamp 1723075200000 has 13 digits, as milliseconds have; the format's times are microseconds",
    ),
    "nanoseconds": (
        gzip.compress(_with_column("timestamp", lambda cell: f"{cell}000")),
        "timestamp 1723075199900000000 has 19 digits, as nanoseconds have; the format's times are microseconds",
    ),
    "one row in nanoseconds": (gzip.compress(_with_cell("timestamp", f"{MIDNIGHT_US}000")), "has 19 digits"),
    "ISO times": (
        gzip.compress(_with_cell("timestamp", "2024-08-08T00:00:00Z")),
        "a cell is not what its column holds",
    ),
    "fractional time": (gzip.compress(_with_cell("timestamp", f"{MIDNIGHT_US}.5")), "a cell is not what its column"),
    "number without a price": (gzip.compress(_with_cell("price", "")), "1 rows have no price"),
    "rows without a side": (gzip.compress(_with_column("side", lambda _: "")), "10 rows have no side"),
    "row without a time": (gzip.compress(_with_cell("local_timestamp", "")), "1 rows have no local_timestamp"),
    "row without a symbol": (gzip.compress(_with_cell("symbol", "")), "1 rows have no symbol"),
    "text in a number column": (gzip.compress(_with_cell("price", "n/a")), "(could not parse `n/a` as dtype `f64`"),
    "thousands separator": (gzip.compress(_with_cell("price", "55_000")), "a cell is not what its column holds"),
    "space after a number": (gzip.compress(_with_cell("amount", "0.5 ")), "a cell is not what its column holds"),
    "quoted cell": (gzip.compress(_with_cell("id", '"904"')), "a cell holds a double quote; the format has none"),
    "quoted comma": (gzip.compress(_with_cell("id", '"9,04"')), "a cell holds a double quote; the format has none"),
    "not UTF-8": (gzip.compress(_with_cell("id", "x").replace(b",x,", b",\xff\xfe,")), "a cell is not what its column"),
}


@pytest.mark.parametrize("form", CORRUPT)
def test_a_corrupt_file_is_refused_with_its_name_and_the_reason(bench: Bench, form: str) -> None:
    body, reason = CORRUPT[form]
    with pytest.raises(TickFileInvalid) as caught:
        bench.decode(body)
    message = str(caught.value)
    assert message.startswith("BINANCE trades 2024-08-08 BTCUSDT: ")
    assert reason in message
    assert "\n" not in message
    assert not caught.value.is_transient


@pytest.mark.parametrize("flag", ["true ", "1", "TRU", "t"])
def test_a_flag_that_is_neither_true_nor_false_is_refused(bench: Bench, flag: str) -> None:
    file = replace(TRADES_FILE, unit=replace(TRADES_FILE.unit, data_type=DataType.INCREMENTAL_BOOK_L2))
    row = f"binance,BTCUSDT,{T0},{T0},{flag},ask,55000,1"
    with pytest.raises(TickFileInvalid, match=r"a cell is not what its column holds .*is_snapshot"):
        bench.decode(gzip.compress(_text([row], TABLES[DataType.INCREMENTAL_BOOK_L2].csv_header)), file)


def test_an_expiry_in_another_unit_is_refused(bench: Bench) -> None:
    row = f"deribit,BTC-30AUG24-60000-C,{T0},{T0},call,60000,1725004800000,{',' * 16}"
    words = "13 digits, as milliseconds have"
    with pytest.raises(TickFileInvalid, match=f"DERIBIT options_chain 2024-08-08 OPTIONS: .*{words}"):
        bench.decode(gzip.compress(_text([row], TABLES[DataType.OPTIONS_CHAIN].csv_header)), GROUP_FILE)


@pytest.mark.parametrize("terms", [",60000,1725004800000000", "call,,1725004800000000", "call,60000,", ",,"])
def test_an_option_without_its_terms_is_kept_and_counted(bench: Bench, terms: str) -> None:
    rows = [
        f"deribit,BTC-30AUG24-60000-C,{T0},{T0},{those},{',' * 16}"
        for those in (terms, "call,60000,1725004800000000", terms)
    ]
    decoded, _ = bench.decode(gzip.compress(_text(rows, TABLES[DataType.OPTIONS_CHAIN].csv_header)), GROUP_FILE)
    (item,) = decoded.objects
    assert pl.read_parquet(item.path).height == decoded.stats.rows == 3
    assert decoded.stats.counts["rows_without_terms"] == 2


@pytest.mark.parametrize(
    "far", ["32503680000000000", "253402214400000000", "9223372036854775807", "0", "1725004800000"]
)
def test_one_expiry_of_another_millennium_or_unit_is_kept(bench: Bench, far: str) -> None:
    rows = [
        f"deribit,BTC-30AUG24-60000-C,{T0},{T0},call,60000,{expiration},{',' * 16}"
        for expiration in ("1725004800000000", far)
    ]
    decoded, _ = bench.decode(gzip.compress(_text(rows, TABLES[DataType.OPTIONS_CHAIN].csv_header)), GROUP_FILE)
    (item,) = decoded.objects
    assert pl.read_parquet(item.path)["expiration"].to_physical().to_list() == [1725004800000000, int(far)]
    assert decoded.stats.counts["rows_after_expiry"] == (far == "1725004800000")
    assert decoded.stats.counts["rows_without_terms"] == (far == "0")


def test_a_damaged_deflate_stream_is_refused(bench: Bench) -> None:
    body = gzip.compress(_text(TRADES * 500), mtime=0)
    for place in range(10, len(body) - 4, len(body) // 100):
        flipped = body[:place] + bytes([body[place] ^ 0x10]) + body[place + 1 :]
        with pytest.raises(TickFileInvalid, match="BINANCE trades 2024-08-08 BTCUSDT: "):
            bench.verify(flipped)


def _option_row(symbol: str, number: int) -> str:
    return f"deribit,{symbol},{T0 + number},{T0 + number},{number},buy,0.0{number + 1},1"


def test_a_grouped_file_is_split_by_base_and_keeps_unknown_symbols(bench: Bench) -> None:
    file = replace(GROUP_FILE, unit=replace(GROUP_FILE.unit, data_type=DataType.TRADES))
    symbols = [
        "BTC-30AUG24-60000-C",
        "ETH-30AUG24-3000-P",
        "NEW-THING",
        "BTC-30AUG24-60000-P",
        "XRP_USDC-30AUG24-0D55-C",
        "BTC-30AUG24-60000-C",
        "??",
    ]
    known = {symbol: f"DERIBIT:OPTION:KEY-OF-{symbol}" for symbol in symbols[:2]}
    rows = [_option_row(symbol, number) for number, symbol in enumerate(symbols)]
    decoded, _ = bench.decode(gzip.compress(_text(rows)), file, **known)
    frames = {item.stem: pl.read_parquet(item.path, glob=False) for item in decoded.objects}
    found = {stem: frame.select("id", "instrument_key").rows() for stem, frame in frames.items()}
    assert found == {
        "BTC~OPTIONS": [
            ("0", "DERIBIT:OPTION:KEY-OF-BTC-30AUG24-60000-C"),
            ("3", "DERIBIT:OPTION:BTC-USD-240830-60000-PUT"),
            ("5", "DERIBIT:OPTION:KEY-OF-BTC-30AUG24-60000-C"),
        ],
        "ETH~OPTIONS": [("1", "DERIBIT:OPTION:KEY-OF-ETH-30AUG24-3000-P")],
        "XRP~OPTIONS": [("4", "DERIBIT:OPTION:XRP-USDC-240830-0.55-CALL")],
        "~OPTIONS": [("2", "DERIBIT:OPTION:~NEW-THING"), ("6", "DERIBIT:OPTION:??")],
    }
    assert set(decoded.unknown_symbols) == {symbols[2], symbols[3], symbols[4], symbols[6]}
    assert all(frame.schema == TABLES[DataType.TRADES].published_schema for frame in frames.values())
    assert {item.instrument_key for item in decoded.objects} == {None}
    assert all(_described_columns(item.path)[0][2] == INSTRUMENT_KEY.description for item in decoded.objects)


def test_a_large_grouped_file_keeps_its_order_and_always_becomes_the_same_bytes(bench: Bench) -> None:
    file = replace(GROUP_FILE, unit=replace(GROUP_FILE.unit, data_type=DataType.TRADES))
    bases = ["BTC", "ETH", "SOL_USDC", "XRP_USDC"]
    rows = [
        f"deribit,{bases[number * 7 % 4]}-30AUG24-{1000 + number % 11}-C,{T0},{T0 + number // 5},{number},buy,1,1"
        for number in range(300_000)
    ]
    body = gzip.compress(_text(rows), 1)
    one, other = (bench.decode(body, file)[0].objects for _ in range(2))
    assert [item.stem for item in one] == ["BTC~OPTIONS", "ETH~OPTIONS", "SOL~OPTIONS", "XRP~OPTIONS"]
    assert [item.crc32c for item in one] == [item.crc32c for item in other]
    for item in one:
        ids = pl.read_parquet(item.path, columns=["id"], glob=False)["id"].cast(pl.Int64)
        assert ids.is_sorted()
        assert len(ids) == 75_000


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (
            "crate_deltas_1.csv",
            TickFile(
                DataTypeDay("DERIBIT", DataType.INCREMENTAL_BOOK_L2, date(2020, 4, 1)),
                "BTC-PERPETUAL",
                "PERPETUAL",
                "DERIBIT:PERPETUAL:BTC-USD",
            ),
        ),
        (
            "crate_trades_1.csv",
            TickFile(
                DataTypeDay("BITMEX", DataType.TRADES, date(2020, 3, 1)),
                "XBTUSD",
                "PERPETUAL",
                "BITMEX:PERPETUAL:BTC-USD",
            ),
        ),
    ],
)
def test_public_fixtures_in_nanoseconds_are_refused_by_name(bench: Bench, name: str, file: TickFile) -> None:
    if not (path := SAMPLES / name).is_file():
        pytest.skip(f"{path.name} is not there: the vendor's samples are kept beside the repository, in shared/samples")
    text = path.read_bytes().rstrip(b"\n") + b"\n"
    with pytest.raises(TickFileInvalid, match=rf"{file}: timestamp \d+ has 19 digits, as nanoseconds have"):
        bench.decode(gzip.compress(text), file)


def test_a_long_row_beside_a_short_one_is_refused_where_the_last_cell_may_be_empty(bench: Bench) -> None:
    """The commas add up, and an empty last cell is legitimate: only reading every column shows the long row."""
    rows = [f"binance,BTCUSDT,{MIDNIGHT_US + n},{MIDNIGHT_US + n},1,2,3,4" for n in range(10)]
    rows[3], rows[7] = rows[3].rpartition(",")[0], rows[7] + ",5"
    header = TABLES[DataType.QUOTES].csv_header
    file = replace(TRADES_FILE, unit=DataTypeDay("BINANCE", DataType.QUOTES, DAY))
    body = gzip.compress(_text(rows, header))
    assert bench.verify(body, file) == 10
    with pytest.raises(TickFileInvalid, match="a cell is not what its column holds"):
        bench.decode(body, file)


@pytest.mark.parametrize("large_bytes", [1, 1 << 24], ids=["large", "small"])
@pytest.mark.parametrize("block_bytes", [100, 173, 1 << 23])
def test_the_same_rows_become_the_same_bytes_however_they_are_packed_and_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, block_bytes: int, large_bytes: int
) -> None:
    text = _text(TRADES)
    whole, _ = bench.decode(gzip.compress(text))
    monkeypatch.setattr("market_data.ticks.gzip._BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(decode, "LARGE_BYTES", large_bytes)
    cut, _ = bench.decode(gzip.compress(text[:333], 1) + gzip.compress(text[333:], 9))
    assert cut.objects[0].content_id == whole.objects[0].content_id
    assert cut.stats == whole.stats


def test_a_file_may_spell_its_symbol_in_several_ways(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_data.ticks.gzip._BLOCK_BYTES", 200)
    symbols = ["BTC/USDT"] * 5 + ["btc/usdt", "BTC:USDT", "BTC/USDT", "BTC:USDT", "BTC/USDT"]
    rows = [row.replace("BTCUSDT", symbol) for row, symbol in zip(TRADES, symbols, strict=True)]
    _, frame = bench.decode(gzip.compress(_text(rows)), replace(TRADES_FILE, vendor_symbol="BTC-USDT"))
    assert frame["symbol"].to_list() == symbols
    assert frame["price"].to_list() == [float(row.split(",")[6]) for row in rows]


@pytest.mark.parametrize("large_bytes", [1, 1 << 24], ids=["large", "small"])
def test_a_fault_behind_the_first_block_is_told_as_one_of_the_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, large_bytes: int
) -> None:
    monkeypatch.setattr("market_data.ticks.gzip._BLOCK_BYTES", 200)
    monkeypatch.setattr(decode, "LARGE_BYTES", large_bytes)
    bad_cell = gzip.compress(_with_cell("price", "x", row=7))
    with pytest.raises(TickFileInvalid, match="a cell is not what its column holds"):
        bench.decode(bad_cell)
    with pytest.raises(TickFileInvalid, match="the gzip stream is damaged"):  # which explains the cell
        bench.decode(bad_cell[:-4] + b"\0\0\0\0")
    quotes = [f"binance,BTCUSDT,{MIDNIGHT_US + n},{MIDNIGHT_US + n},1,2,3," for n in range(10)]
    quotes[2], quotes[8] = quotes[2] + ",5", quotes[8].rpartition(",")[0]
    file = replace(TRADES_FILE, unit=DataTypeDay("BINANCE", DataType.QUOTES, DAY))
    with pytest.raises(TickFileInvalid, match="a row is short or long"):
        bench.decode(gzip.compress(_text(quotes, TABLES[DataType.QUOTES].csv_header)), file)


MARKS = [
    b"\xef\xbb\xbf",  # UTF-8
    b"\xff\xfe",
    b"\x1f\x8b\x08\x00",  # gzip
    b"\x78\x01",  # zlib
    b"\x78\x9c",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"BZh9",
    gzip.compress(b"binance,BTCUSDT,1,1,1,buy,1,1\n", mtime=0).replace(b"\n", b" "),
    gzip.compress(b"0" * 10_000_000, mtime=0).replace(b"\n", b" "),
    b"\n",
    b"#",
]


@pytest.mark.parametrize("row", [0, 2, 5])
@pytest.mark.parametrize("mark", MARKS)
def test_what_begins_a_block_is_text_whatever_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, mark: bytes, row: int
) -> None:
    """The parser would skip a mark at the start of what it is given, or unpack what follows."""
    lines = _text(TRADES).splitlines(keepends=True)
    # blocks of two rows
    monkeypatch.setattr("market_data.ticks.gzip._BLOCK_BYTES", 2 * len(lines[1]) + 2)
    lines[1 + row] = mark + lines[1 + row]
    with pytest.raises(TickFileInvalid):
        bench.decode(gzip.compress(b"".join(lines)))


def test_a_file_of_blank_lines_is_refused(bench: Bench) -> None:
    with pytest.raises(TickFileInvalid, match="3 lines hold 7 commas where 8 columns need 21"):
        bench.decode(gzip.compress(_text(["", ""])))


def test_a_line_without_an_end_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_data.ticks.gzip._BLOCK_BYTES", 100)
    with pytest.raises(TickFileInvalid, match=f"{TRADES_FILE}: a line is longer than 100 bytes"):
        bench.decode(gzip.compress(_with_cell("id", "7" * 300)))


def test_a_part_with_very_many_rows_becomes_several_objects_in_their_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_PART_ROWS", 20_000)
    file = replace(GROUP_FILE, unit=replace(GROUP_FILE.unit, data_type=DataType.TRADES))
    rows = [
        f"deribit,{'BTC' if number % 3 else 'ETH'}-30AUG24-1000-C,{T0},{T0 + number},{number},buy,1,1"
        for number in range(75_000)
    ]
    decoded, _ = bench.decode(gzip.compress(_text(rows), 1), file)
    parts = {item.stem: pl.read_parquet(item.path, glob=False)["id"].cast(pl.Int64) for item in decoded.objects}
    assert list(parts) == ["BTC~OPTIONS", "BTC~OPTIONS~2", "BTC~OPTIONS~3", "ETH~OPTIONS", "ETH~OPTIONS~2"]
    assert max(ids.len() for ids in parts.values()) <= 20_000
    for base, remainder in (("BTC", {1, 2}), ("ETH", {0})):
        together = pl.concat([ids for stem, ids in parts.items() if stem.startswith(base)])
        assert together.to_list() == [number for number in range(75_000) if number % 3 in remainder]
