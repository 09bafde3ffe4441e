"""Agreement of a venue's day in a lake: kept as a table, findings in the receipts, an error keeps readers away."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_data.errors import LakeError, TicksIncomplete
from market_data.ingest.deletion import Deleter
from market_data.lake.base import PARQUET_CONTENT, TickLake
from market_data.lake.keys import agreement_key, object_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.agreement_rules import AGREEMENT_RULE_NAMES
from market_data.quality.agreement_table import VERIFIABILITY, JudgedAgreement, load_agreement
from market_data.quality.agreement_verdict import verdict_of_agreement
from market_data.quality.judge_agreement import judge_agreement
from market_data.read import scan_ticks, verifiability
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.gcs_server import GcsServer

FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
L2, QUOTES, TRADES = DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.TRADES
TYPES = (L2, QUOTES, TRADES, DataType.BOOK_SNAPSHOT_25, DataType.BOOK_SNAPSHOT_5, DataType.BOOK_TICKER)
SPOT = Selection(data_types=TYPES, include=("BTCUSDT", "ETHBTC"))
BTC = "BINANCE:SPOT_PAIR:BTC-USDT"


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK)) as running:
        yield running


@pytest.fixture(params=["local", "gcs"])
def lake(request: pytest.FixtureRequest, vendor: RunningSimulator, tmp_path: Path) -> TickLake:
    url = (tmp_path / "lake").as_uri()
    if request.param == "gcs":
        server: GcsServer = request.getfixturevalue("gcs_server")
        bucket = f"agreement-{uuid.uuid4().hex}"
        server.create_bucket(bucket)
        url = f"gs://{bucket}"
    store = open_lake(url)
    for day in (FIRST, SECOND):
        ingest_day(store, vendor, "BINANCE", day, SPOT)
    return store


def change_rows(lake: TickLake, unit: DataTypeDay, change: pl.Expr, column: str) -> None:
    """Publish other values of the same rows, as if the vendor had sent them."""
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    (item,) = [it for it in receipt.objects if it.instrument_key == BTC]
    key = object_key(receipt.layouts[0], item.name(unit))
    sink = io.BytesIO()
    pl.read_parquet(io.BytesIO(lake.get_bytes(key)[0])).with_columns(change.alias(column)).write_parquet(sink)
    lake.put_bytes(sink.getvalue(), key, content_type=PARQUET_CONTENT)


def findings(lake: TickLake, data_type: DataType, day: date) -> set[str]:
    receipt, _ = load_receipt(lake, DataTypeDay("BINANCE", data_type, day))
    assert receipt is not None
    return {it.rule for file in receipt.files for it in file.findings if it.rule in AGREEMENT_RULE_NAMES}


def verdicts(judged: JudgedAgreement, name: str) -> set[str]:
    return set(judged.table.filter(pl.col("comparison") == name)["verdict"])


def test_days_that_agree_are_seen_to_over_midnight_too(lake: TickLake) -> None:
    first = judge_agreement(lake, "BINANCE", TYPES, FIRST)
    for name in ("mid_over_midnight", "unknown_removals", "median_delay_seconds trades", "rows quotes"):
        assert verdicts(first, name) == {"not_judged"}
    second = judge_agreement(lake, "BINANCE", TYPES, SECOND)
    table = load_agreement(lake, "BINANCE", SECOND)
    assert table is not None
    assert table.equals(second.table.sort("instrument_key", "comparison"))
    for name in ("quotes_unlike_book", "snapshot_25_unlike_book", "snapshot_5_unlike_book"):
        assert verdicts(second, name) == {"ok"}
    assert "ok" in verdicts(second, "mid_over_midnight")
    assert set(second.table.filter(pl.col("comparison") == VERIFIABILITY)["told"]) == {"second stream"}
    assert not verdict_of_agreement(second).is_error


def test_prices_of_another_scale_keep_readers_away_until_they_are_right(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    unit = DataTypeDay("BINANCE", TRADES, FIRST)
    change_rows(lake, unit, pl.col("price") * 1000, "price")
    judged = judge_agreement(lake, "BINANCE", TYPES, FIRST)
    verdict = verdict_of_agreement(judged)
    assert (verdict.is_passed, verdict.is_error) == (False, True)
    assert verdict.worst[0]["instrument"] == BTC
    assert "trades_of_other_prices" in findings(lake, TRADES, FIRST)
    with pytest.raises(TicksIncomplete, match="trades_of_other_prices: 1 "):
        scan_ticks("trades", instruments=BTC, start=FIRST, end=SECOND, lake=lake)
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    judge_agreement(lake, "BINANCE", TYPES, FIRST)
    assert findings(lake, TRADES, FIRST) == set()
    assert scan_ticks("trades", instruments=BTC, start=FIRST, end=SECOND, lake=lake).collect().height


def test_a_damaged_object_is_told_by_its_name(lake: TickLake) -> None:
    receipt, _ = load_receipt(lake, DataTypeDay("BINANCE", L2, FIRST))
    assert receipt is not None
    key = object_key(receipt.layouts[0], receipt.objects[0].name(receipt.unit))
    lake.put_bytes(lake.get_bytes(key)[0][:-9], key, content_type=PARQUET_CONTENT)
    with pytest.raises(LakeError, match=f"{key.rpartition('/')[2]}.*cannot be read.*run the day again"):
        judge_agreement(lake, "BINANCE", TYPES, FIRST)


def test_a_gap_of_one_stream_keeps_nobody_from_another(lake: TickLake) -> None:
    """It is told as a gap; the last word of a stream that is silent disagrees with nothing."""
    for data_type in (QUOTES, DataType.BOOK_TICKER):
        receipt, _ = load_receipt(lake, DataTypeDay("BINANCE", data_type, FIRST))
        assert receipt is not None
        item = next(it for it in receipt.objects if it.instrument_key == BTC)
        key = object_key(receipt.layouts[0], item.name(receipt.unit))
        rows, sink = pl.read_parquet(io.BytesIO(lake.get_bytes(key)[0])), io.BytesIO()
        rows.filter(~pl.col("local_timestamp").dt.hour().is_between(5, 8)).write_parquet(sink)
        lake.put_bytes(sink.getvalue(), key, content_type=PARQUET_CONTENT)
    judge_agreement(lake, "BINANCE", TYPES, FIRST)
    assert findings(lake, L2, FIRST) <= {"quotes_unlike_book", "book_ticker_apart"}
    scan_ticks("incremental_book_L2", instruments=BTC, start=FIRST, end=SECOND, lake=lake)


def test_of_a_day_that_was_published_anew_nothing_is_verified(lake: TickLake, vendor: RunningSimulator) -> None:
    judge_agreement(lake, "BINANCE", TYPES, FIRST)
    assert verifiability(BTC, FIRST, SECOND, lake=lake)["evidence"].to_list() == ["second stream"]
    unit = DataTypeDay("BINANCE", TRADES, FIRST)
    Deleter(lake, "ops", "wrong").delete(unit, datetime(2026, 1, 1, tzinfo=UTC))
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    assert verifiability(BTC, FIRST, SECOND, lake=lake).is_empty()


def test_what_is_not_whole_is_left_alone_and_said_so(lake: TickLake) -> None:
    judged = judge_agreement(lake, "BINANCE", TYPES, FIRST - timedelta(days=5))
    assert set(judged.left_alone.values()) == {"not run"}
    assert judged.table.is_empty()
    assert lake.stat(agreement_key("BINANCE", FIRST - timedelta(days=5))) is None
