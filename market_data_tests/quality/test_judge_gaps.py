"""Gaps of a venue's day in a lake: kept, named by receipts, told to readers, and what is ours keeps readers away."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_data.errors import ConfigurationError, LakeError, TicksIncomplete
from market_data.index.compact import compact_index
from market_data.lake.base import PARQUET_CONTENT, TickLake
from market_data.lake.keys import gaps_key, object_key, rhythm_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import VERIFIABLE, measure_coverage
from market_data.quality.causes import Cause
from market_data.quality.gap_rules import GAP_RULES
from market_data.quality.gap_table import GAPS_SCHEMA, seconds_by_cause
from market_data.quality.gap_verdict import verdict_of_gaps
from market_data.quality.judge_agreement import judge_agreement
from market_data.quality.judge_gaps import judge_gaps
from market_data.read import clean_intervals, gaps, scan_ticks, verifiability
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

DAY = date(2024, 8, 8)
TYPES = (DataType.TRADES, DataType.QUOTES)
SPOT = Selection(data_types=TYPES, include=("BTCUSDT", "ETHBTC"))
BTC = "BINANCE:SPOT_PAIR:BTC-USDT"
QUOTES = DataTypeDay("BINANCE", DataType.QUOTES, DAY)


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=4)) as running:
        yield running


@pytest.fixture
def lake(vendor: RunningSimulator, tmp_path: Path) -> TickLake:
    store = open_lake((tmp_path / "lake").as_uri())
    ingest_day(store, vendor, "BINANCE", DAY, SPOT)
    return store


def take_rows_out(lake: TickLake, since: datetime, until: datetime) -> None:
    """Take rows out of the published quotes of BTC, as nobody should; the receipt goes on saying what was sent."""
    receipt, _ = load_receipt(lake, QUOTES)
    assert receipt is not None
    (item,) = [it for it in receipt.objects if it.instrument_key == BTC]
    key = object_key(receipt.layouts[0], item.name(QUOTES))
    rows = pl.read_parquet(io.BytesIO(lake.get_bytes(key)[0]))
    sink = io.BytesIO()
    rows.filter(~pl.col("local_timestamp").is_between(since, until)).write_parquet(sink)
    lake.put_bytes(sink.getvalue(), key, content_type=PARQUET_CONTENT)
    if lake.stat(rhythm_key(QUOTES)):
        lake.delete(rhythm_key(QUOTES))  # it would be kept as long as nothing is published anew


def test_gaps_are_named_by_the_receipt_and_read_with_their_causes(lake: TickLake) -> None:
    assert gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)["cause"].unique().to_list() == [Cause.NOT_JUDGED]
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    receipt, generation = load_receipt(lake, QUOTES)
    assert receipt is not None
    assert receipt.gaps_in_force is not None
    assert lake.stat(gaps_key(QUOTES, receipt.gaps_in_force.content_id)) is not None
    assert set(gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)["cause"]) <= {Cause.VENDOR_ROLLOVER}
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert load_receipt(lake, QUOTES)[1] == generation  # nothing has changed
    list(compact_index(lake))
    assert set(gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)["cause"]) <= {Cause.VENDOR_ROLLOVER}


def test_rows_that_the_lake_has_lost_are_ours_and_keep_readers_away_until_the_day_is_run_again(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    since = datetime(2024, 8, 8, 10, tzinfo=UTC)
    take_rows_out(lake, since, since + timedelta(hours=1))
    (trades, quotes) = judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert trades.gaps is not None
    assert Cause.OURS not in set(trades.gaps["cause"])
    verdict = verdict_of_gaps(quotes, GAP_RULES)
    assert (verdict.is_passed, verdict.is_error) == (False, True)
    assert "rows of BTCUSDT" in verdict.worst[0]["evidence"]
    found = gaps(BTC, DAY, DAY + timedelta(days=1), data_types="quotes", lake=lake).filter(pl.col("cause") == "ours")
    assert found["start"][0] <= since
    assert found["end"][0] >= since + timedelta(hours=1)
    with pytest.raises(TicksIncomplete, match="are in the lake"):
        scan_ticks("quotes", instruments=BTC, start=DAY, end=DAY + timedelta(days=1), lake=lake)
    ingest_day(lake, vendor, "BINANCE", DAY, SPOT)
    assert scan_ticks("quotes", instruments=BTC, start=DAY, end=DAY + timedelta(days=1), lake=lake).collect().height
    (_, quotes) = judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert quotes.gaps is not None
    assert Cause.OURS not in set(quotes.gaps["cause"])


def test_clean_intervals_are_what_no_gap_is_in(lake: TickLake) -> None:
    start, end = datetime(2024, 8, 7, tzinfo=UTC), datetime(2024, 8, 10, tzinfo=UTC)
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    (whole,) = clean_intervals(BTC, TYPES, start, end, lake=lake, allow=["vendor_rollover"]).rows()
    midnight = datetime(2024, 8, 8, tzinfo=UTC)
    assert whole == (midnight, midnight + timedelta(days=1), 86_400.0)
    since = datetime(2024, 8, 8, 10, tzinfo=UTC)
    take_rows_out(lake, since, since + timedelta(hours=1))
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    before, after = clean_intervals(BTC, TYPES, start, end, lake=lake, allow=["vendor_rollover"]).rows()
    assert before[1] <= since < since + timedelta(hours=1) <= after[0]
    assert clean_intervals(BTC, TYPES, start, end, min_length="20h", lake=lake, allow=["vendor_rollover"]).is_empty()
    with pytest.raises(ConfigurationError, match="Known causes: ours"):
        clean_intervals(BTC, TYPES, start, end, lake=lake, allow=["weather"])
    with pytest.raises(ConfigurationError, match="max_gap is 'long'"):
        clean_intervals(BTC, TYPES, start, end, max_gap="long", lake=lake)


def test_what_the_receipt_names_and_is_gone_is_told_with_the_remedy(lake: TickLake) -> None:
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    receipt, _ = load_receipt(lake, QUOTES)
    assert receipt is not None
    assert receipt.gaps is not None
    lake.delete(gaps_key(QUOTES, receipt.gaps.content_id))
    with pytest.raises(LakeError, match="run the job `recheck` of 2024-08-08"):
        gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert gaps(BTC, DAY, DAY + timedelta(days=1), data_types="quotes", lake=lake).height <= 1


def test_of_days_and_instruments_that_are_not_held_the_reason_is_told(lake: TickLake) -> None:
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    found = gaps([BTC, "BINANCE:SPOT_PAIR:NOT-THERE"], DAY, DAY + timedelta(days=2), data_types="trades", lake=lake)
    told = {(row["instrument_key"], row["start"].day): (row["cause"], row["evidence"]) for row in found.to_dicts()}
    assert told[BTC, 9] == ("ours", "not run")
    assert told["BINANCE:SPOT_PAIR:NOT-THERE", 8][0] == "not_trading"


def test_coverage_counts_the_same_seconds_and_evidence_as_the_tables(lake: TickLake) -> None:
    since, end = datetime(2024, 8, 8, 10, tzinfo=UTC), DAY + timedelta(days=1)
    wanted, keys = {"BINANCE": TYPES}, [BTC, "BINANCE:SPOT_PAIR:ETH-BTC"]
    take_rows_out(lake, since, since + timedelta(hours=1))
    assert measure_coverage(lake, wanted, [DAY])["judged_seconds"].to_list() == [None, None]
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    for index_is_read in (False, True):
        rows = measure_coverage(lake, wanted, [DAY]).to_dicts()
        for row in rows:
            assert row["judged_seconds"] == 2 * 86_400
            own = gaps(keys, DAY, end, data_types=row["data_type"], lake=lake)
            lacking = own.filter(~pl.col("cause").is_in(["not_trading", "thin_market"]))
            assert row["missing_seconds"] == pytest.approx(lacking["seconds"].sum())
            worst = lacking.group_by("cause").agg(pl.col("seconds").sum()).sort("seconds", descending=True)
            assert row["worst_cause"] == next(iter(worst["cause"]), None)
            assert row["verifiable_by_none"] is None
        assert rows[0]["worst_cause"] == "ours"
        if not index_is_read:
            list(compact_index(lake))
    judge_agreement(lake, "BINANCE", TYPES, DAY)
    judge_gaps(lake, "BINANCE", TYPES, DAY)  # keeps what was found since
    told = verifiability(keys, DAY, end, lake=lake)["evidence"].value_counts()
    for row in measure_coverage(lake, wanted, [DAY]).to_dicts():
        found = {kind: row[column] for kind, column in VERIFIABLE.items() if row[column]}
        assert found == dict(told.iter_rows())


def test_a_moment_of_two_causes_counts_once() -> None:
    start = datetime(2024, 8, 8, tzinfo=UTC)
    spans = [("a", 0, 100, "unknown"), ("a", 10, 40, "ours"), ("a", 90, 130, "ours"), ("b", 0, 10, "not_judged")]
    rows = [
        dict.fromkeys(GAPS_SCHEMA)
        | {
            "instrument_key": key,
            "start": start + timedelta(seconds=since),
            "end": start + timedelta(seconds=until),
            "cause": cause,
        }
        for key, since, until, cause in spans
    ]
    assert seconds_by_cause(pl.DataFrame(rows, schema=GAPS_SCHEMA)) == {"unknown": 100, "ours": 30}
