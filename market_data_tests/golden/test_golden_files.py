"""Decoder, statistics and simulator against files written by hand: none of them is asked what the format is."""

from __future__ import annotations

import gzip
import io
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow.parquet as pq
import pytest

from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, object_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.simulator.vendor.generated import GeneratedSource
from market_data.ticks.decode import DecodedFile, decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.ticks.rules import TickStats
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import ingest_day
from market_data_tests.golden.expected import COLUMNS, DAY, GOLDEN, Column, Golden, read_cells

golden_files = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.data_type)
DTYPES = {
    "text": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
}


def test_there_is_a_file_of_every_data_type() -> None:
    assert {golden.data_type for golden in GOLDEN} == set(COLUMNS) == set(DataType)


@golden_files
def test_the_header_is_the_one_that_the_columns_are_described_for(golden: Golden) -> None:
    assert read_cells(golden.header) == [column.header for column in golden.columns]


def tick_file(golden: Golden) -> TickFile:
    unit = DataTypeDay(golden.venue, DataType(golden.data_type), DAY)
    return TickFile(unit, golden.vendor_symbol, golden.instrument_type, golden.instrument_key)


def decode(golden: Golden, folder: Path) -> DecodedFile:
    body = folder / "body.csv.gz"
    body.write_bytes(gzip.compress(golden.csv_bytes))
    decoded = decode_tick_file(TickText(body, tick_file(golden)), {}, folder / "decoded")
    assert decoded is not None
    return decoded


def assert_holds(parts: list[bytes], golden: Golden) -> None:
    """Hold Parquet files to the cells written by hand; the parts of a grouped file have whole instruments each."""
    frames = [pl.read_parquet(io.BytesIO(part)) for part in parts]
    schema = {"instrument_key": pl.String()} | {column.name: DTYPES[column.kind] for column in golden.columns}
    for frame in frames:
        assert list(frame.schema.items()) == list(schema.items())
        keys = frame["instrument_key"].unique()
        assert frame.rows(named=True) == [row for row in golden.cells if row["instrument_key"] in keys]
    assert sum(frame.height for frame in frames) == len(golden.cells)
    units = {column.name: column.unit for column in golden.columns}
    for part in parts:
        told = {field.name: field.metadata[b"unit"].decode() for field in pq.read_schema(io.BytesIO(part))}
        assert told == {"instrument_key": ""} | units


def assert_measured(stats: TickStats | None, golden: Golden) -> None:
    assert stats is not None
    assert stats.rows == len(golden.rows)
    assert dict(stats.counts) == dict(golden.counts)
    assert dict(stats.nulls) == dict(golden.nulls)
    assert set(stats.measures) == set(golden.measures)
    for name, value in golden.measures.items():
        # a moment since epoch in a double is exact to a quarter of a microsecond
        assert stats.measures[name] == pytest.approx(value, rel=0, abs=5e-7), name


@golden_files
def test_a_golden_file_is_decoded_to_exactly_its_cells(golden: Golden, tmp_path: Path) -> None:
    decoded = decode(golden, tmp_path)
    assert_holds([item.path.read_bytes() for item in decoded.objects], golden)
    arrivals = [row["local_timestamp"] for row in golden.cells]
    assert (decoded.first_local_timestamp, decoded.last_local_timestamp) == (arrivals[0], arrivals[-1])


@golden_files
def test_the_statistics_of_a_golden_file_are_those_counted_by_hand(golden: Golden, tmp_path: Path) -> None:
    assert_measured(decode(golden, tmp_path).stats, golden)


def test_a_grouped_golden_file_is_split_by_base(tmp_path: Path) -> None:
    (group,) = (golden for golden in GOLDEN if golden.instrument_key is None)
    decoded = decode(group, tmp_path)
    assert [item.stem for item in decoded.objects] == ["ETH~OPTIONS", "SOL~OPTIONS"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> TickLake:
    """A lake into which the golden files came as the vendor's: asked for, proven, decoded and published."""
    folder = tmp_path_factory.mktemp("golden")
    for golden in GOLDEN:
        name = f"{golden.exchange}_{golden.data_type}_{DAY}_{golden.vendor_symbol}.csv.gz"
        (folder / name).write_bytes(gzip.compress(golden.csv_bytes))
    # a grouped file is expected where an instrument of its type is listed: one of its two, so the other is unknown
    (folder / f"deribit_trades_{DAY}_ETH-28MAR25-2100-P.csv.gz").write_bytes(gzip.compress(b""))
    filled = open_lake((folder / "lake").as_uri())
    with run_simulator(SimulatorOptions(files=folder)) as vendor:
        for venue in sorted({golden.venue for golden in GOLDEN}):
            data_types = tuple(DataType(golden.data_type) for golden in GOLDEN if golden.venue == venue)
            ingest_day(filled, vendor, venue, DAY, Selection(data_types))
    return filled


@golden_files
def test_a_golden_file_is_published_with_exactly_its_cells_and_statistics(golden: Golden, lake: TickLake) -> None:
    receipt, _ = load_receipt(lake, DataTypeDay(golden.venue, DataType(golden.data_type), DAY))
    assert receipt is not None
    file = next(file for file in receipt.files if file.vendor_symbol == golden.vendor_symbol)
    objects = [item for item in receipt.objects if item.vendor_symbol == golden.vendor_symbol]
    for layout in LAYOUTS:
        parts = [lake.get_bytes(object_key(layout, item.name(receipt.unit)))[0] for item in objects]
        assert_holds(parts, golden)
    assert file.rows == len(golden.rows)
    assert_measured(file.stats, golden)


GENERATED_DAY = date(2024, 8, 8)
GENERATED = [("binance-futures", "BTCUSDT", data_type) for data_type in COLUMNS if data_type != "options_chain"]
GENERATED += [("deribit", "BTC-PERPETUAL", data_type) for data_type in COLUMNS if data_type != "options_chain"]
GENERATED += [("deribit", "OPTIONS", data_type) for data_type in ("options_chain", "quotes", "trades")]
GENERATED += [("binance", "ETHBTC", "book_snapshot_25"), ("bitmex", "XBTUSD", "derivative_ticker")]


def generated_lines(exchange: str, symbol: str, data_type: str) -> list[str]:
    body = GeneratedSource(seed=7, scale=0.5).read_file(exchange, DataType(data_type), symbol, GENERATED_DAY)
    assert body is not None, f"{exchange} offers no {data_type} of {symbol}"
    return gzip.decompress(body).decode().splitlines()


def streamed_lines() -> list[str]:
    source = GeneratedSource(seed=7, scale=0.5, options_rows=3_000)
    pieces = cast("Iterator[bytes]", source.stream_file("deribit", DataType.OPTIONS_CHAIN, "OPTIONS", GENERATED_DAY))
    return gzip.decompress(b"".join(pieces)).decode().splitlines()


def header_of(data_type: str) -> str:
    return next(golden.header for golden in GOLDEN if golden.data_type == data_type)


_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
# 2001 to 2286, in microseconds
_MICROSECONDS = re.compile(r"[1-9]\d{15}")


def is_a(cell: str, column: Column) -> bool:
    """Whether a cell is what the hand-written column says."""
    if not cell:
        return column.may_be_empty
    if column.kind == "number":
        return bool(_NUMBER.fullmatch(cell)) and math.isfinite(float(cell))
    if column.kind == "time":
        return bool(_MICROSECONDS.fullmatch(cell))
    if column.kind == "flag":
        return cell in {"true", "false"}
    return not column.words or cell in column.words


def assert_is_in_the_format(lines: list[str], data_type: str) -> None:
    header, *rows = lines
    assert header == header_of(data_type)
    assert rows
    columns = COLUMNS[data_type]
    for line in rows:
        cells = line.split(",")
        assert len(cells) == len(columns), line
        wrong = [column.header for cell, column in zip(cells, columns, strict=True) if not is_a(cell, column)]
        assert wrong == [], line
    for column, held in zip(columns, zip(*(line.split(",") for line in rows), strict=True), strict=True):
        assert any(held) or column.may_be_empty, column.header
    if "bid_price" in header or "bids[0].price" in header:
        assert_bids_are_below_asks(lines)


def assert_bids_are_below_asks(lines: list[str]) -> None:
    """In the simulator's markets the best ask is above the best bid: at the places that the header gives them."""
    header, *rows = lines
    names = header.split(",")
    ask, bid = (
        names.index(plain if plain in names else levelled)
        for plain, levelled in (("ask_price", "asks[0].price"), ("bid_price", "bids[0].price"))
    )
    pairs = [(cells[ask], cells[bid]) for cells in (line.split(",") for line in rows)]
    both = [(float(one), float(other)) for one, other in pairs if one and other]
    assert both
    assert all(one > other for one, other in both)


@pytest.mark.parametrize(("exchange", "symbol", "data_type"), GENERATED)
def test_the_simulators_files_are_in_the_format_written_by_hand(exchange: str, symbol: str, data_type: str) -> None:
    assert_is_in_the_format(generated_lines(exchange, symbol, data_type), data_type)


def test_the_simulators_streamed_file_is_in_the_format_written_by_hand() -> None:
    lines = streamed_lines()
    assert len(lines) == 3_001
    assert_is_in_the_format(lines, "options_chain")
