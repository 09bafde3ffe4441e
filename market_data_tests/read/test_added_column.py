"""The vendor adds a column: this version refuses the file and loses nothing, a later one reads old and new days as one.

What `lake/FORMAT.md` says about it, tried on files whose header has one more column from the second day on.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, failed_key
from market_data.lake.open import open_lake
from market_data.model.data_types import TABLES
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.operate.plan import find_stale
from market_data.read import scan_ticks
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.ticks.decode import DECODER_VERSION
from market_data_tests.ingesting import Address, file_of, plan_day, receipts_of, run_day
from market_data_tests.later_version import ADDED, DAYS, SELECTION, TRADES, ask_later_version

BEFORE, AFTER = DAYS
END = AFTER + timedelta(days=1)
COLUMNS = ["date", "venue", "instrument_type", *TABLES[TRADES].published_schema]
ROWS = 3


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A vendor whose file of the second day has one more column."""
    folder = tmp_path_factory.mktemp("files")
    header = TABLES[TRADES].csv_header
    for day, first, end in ((BEFORE, header, ""), (AFTER, f"{header},{ADDED.csv_name}", ",0.5")):
        noon = int(datetime.combine(day, time(12), UTC).timestamp()) * 1_000_000
        rows = [f"binance,BTCUSDT,{noon},{noon + n},{n},buy,50000,{n + 1}{end}" for n in range(ROWS)]
        text = "\n".join([first, *rows, ""])
        (folder / f"binance_trades_{day}_BTCUSDT.csv.gz").write_bytes(gzip.compress(text.encode()))
    with run_simulator(SimulatorOptions(files=folder)) as running:
        yield Address(running.api_url)


@pytest.fixture
def lake(tmp_path: Path, vendor: Address) -> TickLake:
    """A lake in which this version ran the day before the change."""
    lake = open_lake((tmp_path / "lake").as_uri())
    assert run_day(lake, vendor, plan_day(lake, vendor, SELECTION, day=BEFORE))[TRADES].receipt.is_complete
    return lake


def test_a_file_with_another_header_fails_loudly_and_nothing_is_lost(lake: TickLake, vendor: Address) -> None:
    receipt = run_day(lake, vendor, plan_day(lake, vendor, SELECTION, day=AFTER))[TRADES].receipt
    file = file_of(receipt, "BTCUSDT")
    header = TABLES[TRADES].csv_header
    assert file.outcome is Outcome.FAILED
    assert f"the header is '{header}," in str(file.error)
    assert f"where the format says '{header}'" in str(file.error)
    kept, _ = lake.get_bytes(failed_key(DataTypeDay("BINANCE", TRADES, AFTER), "BTCUSDT"))
    assert gzip.decompress(kept).startswith(f"{header},{ADDED.csv_name}\n".encode())
    assert scan_ticks("trades", start=BEFORE, end=AFTER, lake=lake).collect().height == ROWS


def test_a_later_version_reads_days_before_and_after_the_change_as_one(lake: TickLake, vendor: Address) -> None:
    (before,) = receipts_of(lake)
    # this version refused the day; the later one takes it
    run_day(lake, vendor, plan_day(lake, vendor, SELECTION, day=AFTER))
    rows = ask_later_version(lake.url, vendor.url, AFTER, BEFORE)
    assert rows.columns == [*COLUMNS, ADDED.name]
    assert rows.select("date", ADDED.name).rows() == [(BEFORE, None)] * ROWS + [(AFTER, 0.5)] * ROWS
    # the day before was run again, and is what it was: nothing is stale, nothing was rewritten
    assert find_stale(lake, {"BINANCE": [TRADES]}, DAYS, decoder_version=DECODER_VERSION, layouts=LAYOUTS).is_empty()
    assert next(item for item in receipts_of(lake) if item.day == BEFORE).objects == before.objects


def test_this_version_reads_days_of_the_later_one_without_the_column(lake: TickLake, vendor: Address) -> None:
    ask_later_version(lake.url, vendor.url, AFTER)
    rows = scan_ticks("trades", start=BEFORE, end=END, lake=lake).collect()
    assert rows.columns == COLUMNS
    assert rows.group_by("date").len().sort("date").rows() == [(BEFORE, ROWS), (AFTER, ROWS)]
    assert scan_ticks("trades", start=BEFORE, end=END, lake=lake).select(pl.len()).collect().item() == 2 * ROWS


def test_engines_that_glob_unite_columns_by_name(lake: TickLake, vendor: Address, tmp_path: Path) -> None:
    ask_later_version(lake.url, vendor.url, AFTER)
    files = f"{tmp_path}/lake/ticks/by_date/date=*/venue=*/data_type=trades/instrument_type=*/*.parquet"
    query = f"select date, {ADDED.name} from read_parquet('{files}', union_by_name = true) order by all"  # noqa: S608  our own path
    with duckdb.connect() as engine:
        found = engine.execute(query).fetchall()
    assert found == [(BEFORE, None)] * ROWS + [(AFTER, 0.5)] * ROWS
