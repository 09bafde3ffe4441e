"""Coverage counts every expected file exactly once, in lakes of both kinds."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl
import pytest

from market_data.errors import LakeError
from market_data.lake.base import TickLake
from market_data.lake.keys import receipt_key
from market_data.model.data_types import DataType
from market_data.operate.coverage import (
    COVERAGE_SCHEMA,
    FILE_COUNTS,
    SIZES,
    STATES,
    days_between,
    measure_coverage,
    summarize_data_types,
    summarize_venue_days,
)
from market_data.receipts.receipt import State
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

TRADES, QUOTES = DataType.TRADES, DataType.QUOTES
WHOLE, BROKEN, UNTRIED = date(2024, 8, 8), date(2024, 8, 9), date(2024, 8, 10)
DAYS = [WHOLE, BROKEN, UNTRIED]
SPOT = Selection(data_types=(TRADES, QUOTES), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
WANTED = {"BINANCE": SPOT.data_types}


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy_vendor(vendor: RunningSimulator) -> None:
    vendor.set_faults([])


def _unit(frame: pl.DataFrame, data_type: DataType, day: date) -> dict[str, object]:
    (row,) = frame.filter(pl.col("data_type") == data_type.value, pl.col("day") == day).to_dicts()
    return row


def _raw_rows(lake: TickLake, data_type: DataType, day: date) -> tuple[int, int]:
    """Count the rows and bytes of the vendor's files in the lake."""
    stats = [
        stat
        for stat in lake.list_objects("raw/")
        if f"data_type={data_type}/" in stat.key and f"date={day}/" in stat.key
    ]
    lines = sum(len(gzip.decompress(lake.get_bytes(stat.key)[0]).splitlines()) - 1 for stat in stats)
    return lines, sum(stat.size_bytes for stat in stats)


def _published_bytes(lake: TickLake, data_type: DataType, day: date) -> int:
    stats = lake.list_objects("ticks/by_date/")
    return sum(s.size_bytes for s in stats if f"data_type={data_type}/" in s.key and f"date={day}/" in s.key)


def test_every_expected_file_is_counted_by_what_became_of_it(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)
    vendor.set_faults(
        [
            {"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"},
            {"match": "*/quotes/*/ETHBTC.csv.gz", "action": "header_only"},
            {"match": "*/quotes/*/ETHUSDT.csv.gz", "action": "status", "code": 400, "error_code": 140},
        ]
    )
    ingest_day(lake, vendor, "BINANCE", BROKEN, SPOT)
    frame = measure_coverage(lake, WANTED, DAYS)
    assert frame.schema == COVERAGE_SCHEMA
    assert [(row["data_type"], row["day"], row["state"]) for row in frame.to_dicts()] == [
        ("quotes", WHOLE, "complete"),
        ("quotes", BROKEN, "complete"),
        ("quotes", UNTRIED, "not_run"),
        ("trades", WHOLE, "complete"),
        ("trades", BROKEN, "incomplete"),
        ("trades", UNTRIED, "not_run"),
    ]
    none = dict.fromkeys(FILE_COUNTS, 0)
    counts = {key: {name: row[name] for name in FILE_COUNTS} for key, row in _by_unit(frame).items()}
    assert counts == {
        ("quotes", WHOLE): none | {"expected": 3, "stored": 3},
        ("quotes", BROKEN): none | {"expected": 3, "stored": 1, "vendor_empty": 1, "not_offered": 1},
        ("quotes", UNTRIED): none,
        ("trades", WHOLE): none | {"expected": 3, "stored": 3},
        ("trades", BROKEN): none | {"expected": 3, "stored": 2, "failed": 1},
        ("trades", UNTRIED): none,
    }


def _by_unit(frame: pl.DataFrame) -> dict[tuple[str, date], dict[str, int]]:
    return {(row["data_type"], row["day"]): row for row in frame.to_dicts()}


def test_rows_and_bytes_are_those_of_the_objects_in_the_lake(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)
    vendor.set_faults([{"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", BROKEN, SPOT)
    frame = measure_coverage(lake, WANTED, DAYS)
    for data_type in SPOT.data_types:
        for day in DAYS:
            row = _unit(frame, data_type, day)
            assert (row["rows"], row["raw_bytes"]) == _raw_rows(lake, data_type, day)
            assert row["published_bytes"] == _published_bytes(lake, data_type, day)
    assert _unit(frame, TRADES, WHOLE)["published_bytes"] != 0
    # what failed is not published, but what was fetched is kept
    broken = _unit(frame, TRADES, BROKEN)
    assert (broken["published_bytes"], broken["raw_bytes"] == 0) == (0, False)


def test_what_is_not_complete_says_why(lake: TickLake, vendor: RunningSimulator) -> None:
    vendor.set_faults([{"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", BROKEN, SPOT)
    frame = measure_coverage(lake, WANTED, DAYS)
    cause = _unit(frame, TRADES, BROKEN)["cause"]
    assert str(cause).startswith("BINANCE trades 2024-08-09 ETHBTC: not a gzip file")
    assert frame.filter(pl.col("state") != "incomplete")["cause"].null_count() == frame.height - 1


def test_a_publication_that_is_being_replaced_is_neither_complete_nor_incomplete(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)[TRADES]
    lake.put_bytes(receipt.changed(state=State.REPLACING).model_dump_json().encode(), receipt_key(receipt.unit))
    row = _unit(measure_coverage(lake, WANTED, [WHOLE]), TRADES, WHOLE)
    assert (row["state"], row["expected"], row["stored"]) == ("replacing", 3, 3)
    assert row["cause"] == "its files are being rewritten, or a run died while it did; run the day again"


def test_a_run_that_was_stopped_leaves_open_files(lake: TickLake, vendor: RunningSimulator) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)[TRADES]
    stopped = receipt.model_copy(
        update={
            "state": State.OPEN,
            "objects": (),
            "files": tuple(file.model_copy(update={"outcome": None}) for file in receipt.files),
        }
    )
    lake.put_bytes(stopped.model_dump_json().encode(), receipt_key(receipt.unit))
    row = _unit(measure_coverage(lake, WANTED, [WHOLE]), TRADES, WHOLE)
    assert (row["state"], row["open"], row["stored"]) == ("incomplete", 3, 0)
    assert row["cause"] == "a run is at work, or was stopped before it ended; run the day again"


def test_an_empty_lake_was_not_run(lake: TickLake) -> None:
    frame = measure_coverage(lake, WANTED, DAYS)
    assert frame["state"].to_list() == ["not_run"] * 6
    assert frame.select(pl.col(*FILE_COUNTS, *SIZES).sum()).row(0) == (0,) * (len(FILE_COUNTS) + len(SIZES))


def test_a_damaged_receipt_is_named(lake: TickLake, vendor: RunningSimulator) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)[TRADES]
    lake.put_bytes(b"{}", receipt_key(receipt.unit))
    with pytest.raises(LakeError, match=r"date=2024-08-08\.json is not a receipt"):
        measure_coverage(lake, WANTED, DAYS)


def test_days_end_before_the_end() -> None:
    assert days_between(WHOLE, WHOLE) == []
    assert days_between(WHOLE, UNTRIED + timedelta(days=1)) == DAYS


def _frame(states: dict[tuple[str, str, date], str]) -> pl.DataFrame:
    counts = dict.fromkeys((*FILE_COUNTS, *SIZES), 1)
    rows = [
        {"venue": venue, "data_type": data_type, "day": day, "state": state, **counts, "cause": None}
        for (venue, data_type, day), state in states.items()
    ]
    return pl.DataFrame(rows, schema=COVERAGE_SCHEMA)


@pytest.mark.parametrize(
    ("states", "together"),
    [
        (("complete", "complete"), "complete"),
        (("complete", "not_run"), "incomplete"),
        (("complete", "replacing"), "incomplete"),
        (("not_run", "not_run"), "not_run"),
        (("replacing", "replacing"), "replacing"),
        (("incomplete", "complete"), "incomplete"),
    ],
)
def test_a_venue_day_is_what_all_of_its_data_types_are(states: tuple[str, str], together: str) -> None:
    summary = summarize_venue_days(_frame({("BINANCE", name, WHOLE): s for name, s in zip("ab", states, strict=True)}))
    assert summary["state"].to_list() == [together]
    assert {state: summary[state].item() for state in STATES} == {state: states.count(state) for state in STATES}


def test_summaries_add_up_to_the_whole(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", WHOLE, SPOT)
    frame = measure_coverage(lake, WANTED, DAYS)
    for summary, height in ((summarize_data_types(frame), 2), (summarize_venue_days(frame), 3)):
        assert summary.height == height
        for name in (*FILE_COUNTS, *SIZES):
            assert summary[name].sum() == frame[name].sum()
        for state in STATES:
            assert summary[state].sum() == (frame["state"] == state).sum()
