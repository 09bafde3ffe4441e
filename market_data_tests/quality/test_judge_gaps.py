"""Gaps of a venue's day in a lake: kept, named by receipts, told to readers, and what is ours keeps readers away."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_data.errors import ConfigurationError, LakeError, TicksIncomplete
from market_data.index.compact import compact_index
from market_data.lake.base import PARQUET_CONTENT, TickLake
from market_data.lake.keys import gaps_key, object_key, raw_key, rhythm_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import COVERAGE_SCHEMA, VERIFIABLE, describe_quality, measure_coverage
from market_data.quality.causes import Cause
from market_data.quality.gap_rules import GAP_RULES
from market_data.quality.gap_table import GAPS_SCHEMA, seconds_by_cause
from market_data.quality.gap_verdict import verdict_of_gaps
from market_data.quality.judge_agreement import judge_agreement
from market_data.quality.judge_gaps import judge_gaps
from market_data.read import (
    NothingMatchesWarning,
    clean_intervals,
    find_instruments,
    gaps,
    scan_ticks,
    verifiability,
    visible_from,
)
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data.universe.waivers import Waiver
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
    change_quotes(lake, lambda rows: rows.filter(~pl.col("local_timestamp").is_between(since, until)))


def change_quotes(lake: TickLake, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    receipt, _ = load_receipt(lake, QUOTES)
    assert receipt is not None
    (item,) = [it for it in receipt.objects if it.instrument_key == BTC]
    key = object_key(receipt.layouts[0], item.name(QUOTES))
    rows = pl.read_parquet(io.BytesIO(lake.get_bytes(key)[0]))
    sink = io.BytesIO()
    change(rows).write_parquet(sink)
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
    assert whole[:3] == (midnight, midnight + timedelta(days=1), 86_400.0)
    assert 0 < whole[3] < 3600  # shorter ones are not told from usual ones
    assert whole[3] == visible_from(BTC, start, end, data_types=TYPES, lake=lake)["visible_from_seconds"].max()
    since = datetime(2024, 8, 8, 10, tzinfo=UTC)
    take_rows_out(lake, since, since + timedelta(hours=1))
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    before, after = clean_intervals(BTC, TYPES, start, end, lake=lake, allow=["vendor_rollover"]).rows()
    assert before[1] <= since < since + timedelta(hours=1) <= after[0]
    assert clean_intervals(BTC, TYPES, start, end, min_length="20h", lake=lake, allow=["vendor_rollover"]).is_empty()
    for cut in (since + timedelta(minutes=40), since + timedelta(minutes=20)):
        # how long the gap is does not depend on where the question begins or ends
        for window in ((cut, end), (start, cut)):
            (found, *_) = clean_intervals(
                BTC, TYPES, *window, lake=lake, allow=["vendor_rollover"], max_gap="30min", min_length="1s"
            ).rows()
            assert found[0] >= since + timedelta(hours=1) or found[1] <= since
    nothing: list[str] = []
    for keys, types in ((nothing, TYPES), ([BTC], nothing)):
        with pytest.raises(ConfigurationError, match="at least one"):
            clean_intervals(keys, types, start, end, lake=lake)
        assert gaps(keys, start, end, data_types=types, lake=lake).is_empty()
    with pytest.raises(ConfigurationError, match="longer than all days"):
        clean_intervals(BTC, TYPES, start, end, min_length="9999999999999d", lake=lake)
    assert gaps(BTC, "9999-12-30", datetime.max.replace(tzinfo=UTC), lake=lake)["cause"].to_list() == ["ours", "ours"]
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
    with pytest.warns(NothingMatchesWarning, match="NOT-THERE .near: "):
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
            assert describe_quality(pl.DataFrame([row], schema=COVERAGE_SCHEMA))[1] == next(iter(worst["cause"]), "")
            assert row["verifiable_by_none"] is None
        assert max(rows[0]["missing"], key=lambda it: it["seconds"])["cause"] == "ours"
        if not index_is_read:
            list(compact_index(lake))
    judge_agreement(lake, "BINANCE", TYPES, DAY)
    judge_gaps(lake, "BINANCE", TYPES, DAY)  # keeps what was found since
    assert verifiability(keys, DAY, end, lake=lake)["evidence"].to_list() == ["ids", "ids"]
    found = {row["data_type"]: row for row in measure_coverage(lake, wanted, [DAY]).to_dicts()}
    for data_type, kind in (("trades", "ids"), ("quotes", "none")):  # ids of trades say nothing of quotes
        assert {it: found[data_type][column] for it, column in VERIFIABLE.items() if found[data_type][column]} == {
            kind: 2
        }


@pytest.mark.parametrize("step", [7, 97])
def test_rows_lost_one_by_one_are_ours_too(lake: TickLake, step: int) -> None:
    change_quotes(lake, lambda rows: rows.filter(pl.int_range(pl.len()) % step != 3))
    (_, quotes) = judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert quotes.gaps is not None
    assert BTC in set(quotes.gaps.filter(pl.col("cause") == "ours")["instrument_key"])
    with pytest.raises(TicksIncomplete, match="are in the lake"):
        scan_ticks("quotes", instruments=BTC, start=DAY, end=DAY + timedelta(days=1), lake=lake)


def test_rows_too_many_are_ours_too(lake: TickLake) -> None:
    change_quotes(lake, lambda rows: pl.concat([rows[:100], rows[50:]]))
    (_, quotes) = judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert quotes.gaps is not None
    assert "ours" in set(quotes.gaps["cause"])


@pytest.mark.parametrize("spoil", ["cut", "gone"])
def test_that_rows_are_ours_to_lack_is_said_though_the_vendors_bytes_are_spoilt_as_well(
    lake: TickLake, spoil: str
) -> None:
    change_quotes(lake, lambda rows: rows[200:])
    key = raw_key(QUOTES, "BTCUSDT")
    data, _ = lake.get_bytes(key)
    if spoil == "gone":
        lake.delete(key)
    else:
        lake.put_bytes(data[: len(data) // 2], key)
    (_, quotes) = judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert quotes.gaps is not None
    ours = quotes.gaps.filter(pl.col("cause") == "ours").sort("seconds").to_dicts()[-1]
    assert ours["seconds"] == 86_400
    assert "cannot be told" in ours["evidence"]


def test_a_published_object_that_is_damaged_is_told_by_its_name(lake: TickLake) -> None:
    receipt, _ = load_receipt(lake, QUOTES)
    assert receipt is not None
    key = object_key(receipt.layouts[0], receipt.objects[0].name(QUOTES))
    lake.put_bytes(lake.get_bytes(key)[0][:-9], key, content_type=PARQUET_CONTENT)
    with pytest.raises(LakeError, match=f"{key.rpartition('/')[2]}.*cannot be read.*run the day again"):
        judge_gaps(lake, "BINANCE", TYPES, DAY)


def test_a_table_of_gaps_that_is_damaged_is_made_again_by_the_next_look(lake: TickLake) -> None:
    """One of the same size is no better."""
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    receipt, _ = load_receipt(lake, QUOTES)
    assert receipt is not None
    assert receipt.gaps is not None
    key = gaps_key(QUOTES, receipt.gaps.content_id)
    data, _ = lake.get_bytes(key)
    lake.put_bytes(data[:40] + bytes(40) + data[80:], key)
    with pytest.raises(LakeError, match="run the job `recheck`"):
        gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)
    judge_gaps(lake, "BINANCE", TYPES, DAY)
    assert lake.get_bytes(key)[0] == data
    assert load_receipt(lake, QUOTES)[0] == receipt
    gaps(BTC, DAY, DAY + timedelta(days=1), lake=lake)


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


def test_what_lies_in_a_grouped_file_is_not_called_clean(vendor: RunningSimulator, tmp_path: Path) -> None:
    store = open_lake((tmp_path / "groups").as_uri())
    options = Selection(data_types=(DataType.TRADES,), instrument_types=("OPTION",))
    ingest_day(store, vendor, "DERIBIT", DAY, options)
    judge_gaps(store, "DERIBIT", options.data_types, DAY)
    (symbol, *_) = find_instruments(venues="deribit", types="option", on=DAY, lake=store)["instrument_key"]
    found = gaps(symbol, DAY, DAY + timedelta(days=1), lake=store)
    assert (Cause.NOT_JUDGED.value, 86_400.0) in set(found.select("cause", "seconds").iter_rows())
    assert clean_intervals(symbol, "trades", DAY, DAY + timedelta(days=1), lake=store).is_empty()


def test_a_waived_file_is_not_called_clean(vendor: RunningSimulator, tmp_path: Path) -> None:
    store = open_lake((tmp_path / "waived").as_uri())
    waiver = Waiver(DataType.QUOTES, "BTCUSDT", DAY, DAY, "the vendor will not mend it")
    ingest_day(store, vendor, "BINANCE", DAY, SPOT, waivers=(waiver,))
    judge_gaps(store, "BINANCE", TYPES, DAY)
    assert clean_intervals(BTC, "quotes", DAY, DAY + timedelta(days=1), lake=store).is_empty()
    (row,) = measure_coverage(store, {"BINANCE": (DataType.QUOTES,)}, [DAY]).to_dicts()
    assert row["missing_seconds"] >= 86_400
