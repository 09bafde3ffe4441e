"""Each data type from several venues through the whole ingestion: every cell as the vendor wrote it, in every layout.

The vendor's bytes are asked for a second time, beside the client of the project, and read by `vendor_csv.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date

import httpx
import polars as pl
import pytest

from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, object_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.model.venues import exchange_id_of
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.patience import PATIENCE_SECONDS
from market_data_tests.vendor_csv import in_vendor_names, read_csv

DAY = date(2024, 8, 8)
BOOKS = (
    DataType.TRADES,
    DataType.INCREMENTAL_BOOK_L2,
    DataType.BOOK_SNAPSHOT_5,
    DataType.BOOK_SNAPSHOT_25,
    DataType.QUOTES,
    DataType.BOOK_TICKER,
)
SWAPS = (*BOOKS, DataType.DERIVATIVE_TICKER, DataType.LIQUIDATIONS)
WANTED = {
    "BINANCE": Selection(BOOKS, include=("BTCUSDT", "1INCHUSDT")),
    "BINANCE-DELIVERY": Selection(SWAPS, include=("BTCUSD_*",)),
    "BITMEX": Selection(SWAPS, include=("XBT*",)),
    # grouped files, split by base asset
    "DERIBIT": Selection((DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN), instrument_types=("OPTION",)),
}
UNITS = [(venue, data_type) for venue, wanted in WANTED.items() for data_type in wanted.data_types]
IDS = [f"{venue}-{data_type}" for venue, data_type in UNITS]


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture(scope="module")
def lake(simulator: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> TickLake:
    filled = open_lake((tmp_path_factory.mktemp("every_data_type") / "lake").as_uri())
    for venue, wanted in WANTED.items():
        ingest_day(filled, simulator, venue, DAY, wanted)
    return filled


def receipt_of(lake: TickLake, venue: str, data_type: DataType) -> Receipt:
    receipt, _ = load_receipt(lake, DataTypeDay(venue, data_type, DAY))
    assert receipt is not None
    return receipt


def ask_vendor(simulator: RunningSimulator, receipt: Receipt, symbol: str) -> bytes:
    path = f"{exchange_id_of(receipt.venue)}/{receipt.data_type}/{DAY:%Y/%m/%d}/{symbol}.csv.gz"
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
    return (
        httpx.get(f"{simulator.datasets_url}/{path}", headers=headers, timeout=PATIENCE_SECONDS)
        .raise_for_status()
        .content
    )


def read_object(lake: TickLake, receipt: Receipt, item: PublishedObject, layout: str) -> bytes:
    return lake.get_bytes(object_key(layout, item.name(receipt.unit)))[0]


def compare(file: FileEvidence, frames: list[pl.DataFrame], wanted: pl.DataFrame) -> None:
    """Compare what a file became with the vendor's rows; each object holds whole symbols, in the vendor's order."""
    assert sum(frame.height for frame in frames) == wanted.height == file.rows
    for frame in frames:
        pairs = frame.select("symbol", "instrument_key").unique()
        assert pairs.height == pairs["symbol"].n_unique() == pairs["instrument_key"].n_unique()
        if file.instrument_key is not None:
            assert pairs["instrument_key"].to_list() == [file.instrument_key]
        cells = in_vendor_names(frame.drop("instrument_key"))
        rows = wanted.filter(pl.col("symbol").is_in(pairs["symbol"].implode()))
        assert cells.schema == rows.schema
        assert cells.equals(rows)


def test_every_data_type_is_compared() -> None:
    assert {data_type for _, data_type in UNITS} == set(DataType)


@pytest.mark.parametrize(("venue", "data_type"), UNITS, ids=IDS)
def test_rows_and_cells_are_the_vendors_and_the_layouts_hold_the_same_bytes(
    lake: TickLake, simulator: RunningSimulator, venue: str, data_type: DataType
) -> None:
    receipt = receipt_of(lake, venue, data_type)
    assert receipt.is_complete
    assert receipt.layouts == LAYOUTS
    stored = [file for file in receipt.files if file.outcome is Outcome.STORED]
    assert stored
    for file in stored:
        frames = []
        for item in (item for item in receipt.objects if item.vendor_symbol == file.vendor_symbol):
            first, *copies = (read_object(lake, receipt, item, layout) for layout in LAYOUTS)
            assert copies == [first, first]
            frames.append(pl.read_parquet(io.BytesIO(first)))
        compare(file, frames, read_csv(ask_vendor(simulator, receipt, file.vendor_symbol)))


@pytest.mark.parametrize(("venue", "data_type"), UNITS, ids=IDS)
def test_every_stored_file_has_statistics_and_the_unit_a_verdict(
    lake: TickLake, venue: str, data_type: DataType
) -> None:
    receipt = receipt_of(lake, venue, data_type)
    assert receipt.verdict in {"ok", "warn"}
    assert all(file.stats and file.stats.rows == file.rows for file in receipt.files if file.rows)
