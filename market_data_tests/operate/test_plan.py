"""A plan says what a backfill will do: its runs and files are those that the backfill then makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import stamina

from market_data.errors import ConfigurationError, VendorError, VendorUnavailable
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, receipt_key
from market_data.model.data_types import DataType
from market_data.operate.costs import Volume, cost_of
from market_data.operate.coverage import days_between
from market_data.operate.plan import Plan, find_stale, plan_backfill
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.decode import DECODER_VERSION
from market_data.universe.answers import VendorAnswer, learn_answer, load_newest_answer
from market_data.universe.rules import Selection
from market_data.vendor.client import TardisClient
from market_data_tests.filled_lake import CLOCK, TODAY, ingest_day, open_client

TRADES, QUOTES, OPTIONS_CHAIN = DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN
FIRST, SECOND, LAST = date(2024, 8, 8), date(2024, 8, 9), date(2024, 8, 10)
DAYS = [FIRST, SECOND, LAST]
SPOT = Selection(data_types=(TRADES, QUOTES), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
OPTIONS = Selection(data_types=(TRADES, OPTIONS_CHAIN))


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy_vendor(vendor: RunningSimulator) -> None:
    vendor.set_faults([])


def _learn(lake: TickLake, vendor: RunningSimulator, venue: str, today: date = TODAY) -> VendorAnswer:
    async def learn() -> VendorAnswer:
        async with open_client(vendor, key=None) as client:
            return await learn_answer(lake, client, venue, DAYS[-1], today)

    with stamina.set_testing(True, attempts=1):
        return asyncio.run(learn())


def _plan(lake: TickLake, vendor: RunningSimulator, wanted: dict[str, Selection], days: list[date] = DAYS) -> Plan:
    return plan_backfill(lake, wanted, days, {venue: _learn(lake, vendor, venue) for venue in wanted})


def _row(plan: Plan, data_type: DataType) -> dict[str, Any]:
    (row,) = plan.data_types.filter(data_type=data_type.value).to_dicts()
    return row


def test_the_first_backfill_of_an_empty_lake_is_planned_without_a_key(lake: TickLake, vendor: RunningSimulator) -> None:
    plan = _plan(lake, vendor, {"BINANCE": SPOT})
    assert plan.venues.to_dicts() == [
        {"venue": "BINANCE", "days": 3, "whole_days": 0, "runs": 3, "estimated_days": 0, "metadata_asked": TODAY}
    ]
    for data_type in SPOT.data_types:
        row = _row(plan, data_type)
        assert (row["expected"], row["held"], row["to_fetch"]) == (9, 0, 9)
        assert row["sized_from"] == {TRADES: "told sizes", QUOTES: "defaults"}[data_type]
        assert 0 < row["raw_bytes_low"] < row["raw_bytes_high"]
        assert 0 < row["published_bytes_low"] < row["published_bytes_high"]
    assert lake.list_objects("") == []


def test_the_busiest_pairs_of_a_venue_are_planned_within_a_range_that_a_person_can_use(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    leading = Selection(data_types=(TRADES, DataType.INCREMENTAL_BOOK_L2), include=("BTCUSDT", "ETHUSDT"))
    plan = _plan(lake, vendor, {"BINANCE": leading})
    low, high = (int(plan.data_types[f"raw_bytes_{bound}"].sum()) for bound in ("low", "high"))
    # 3 days of BTCUSDT alone were 3 x (17 + 112) MB in early 2024
    assert low < 387_000_000 < high
    assert high < 6 * low
    assert plan.data_types["published_bytes_high"].sum() < high


def test_a_backfill_fetches_exactly_the_planned_files(lake: TickLake, vendor: RunningSimulator) -> None:
    plan = _plan(lake, vendor, {"DERIBIT": OPTIONS}, [FIRST])
    receipts = ingest_day(lake, vendor, "DERIBIT", FIRST, OPTIONS)
    planned = {row["data_type"]: row["to_fetch"] for row in plan.data_types.to_dicts()}
    assert planned == {data_type.value: len(receipt.files) for data_type, receipt in receipts.items()}
    assert planned["options_chain"] == 1  # the grouped file


def test_what_is_held_is_not_fetched_again(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    vendor.set_faults([{"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
    plan = _plan(lake, vendor, {"BINANCE": SPOT})
    assert plan.venues.select("days", "whole_days", "runs").row(0) == (3, 1, 2)
    assert [_row(plan, TRADES)[name] for name in ("expected", "held", "to_fetch")] == [9, 5, 4]
    assert [_row(plan, QUOTES)[name] for name in ("expected", "held", "to_fetch")] == [9, 6, 3]


def test_a_wider_selection_needs_a_run_for_days_that_were_whole(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    wider = Selection(data_types=(TRADES, QUOTES))
    plan = _plan(lake, vendor, {"BINANCE": wider}, [FIRST])
    assert plan.venues["runs"].to_list() == [1]
    assert _row(plan, TRADES)["to_fetch"] == 1


def test_nothing_is_left_to_do_where_all_is_held(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    plan = _plan(lake, vendor, {"BINANCE": SPOT}, [FIRST])
    assert plan.venues["runs"].to_list() == [0]
    row = _row(plan, TRADES)
    assert (row["to_fetch"], row["raw_bytes_high"], row["sized_from"]) == (0, 0, "nothing to fetch")


def test_sizes_are_those_of_each_symbol_on_the_held_days(lake: TickLake, vendor: RunningSimulator) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)[TRADES]
    row = _row(_plan(lake, vendor, {"BINANCE": SPOT}), TRADES)
    raw_bytes = sum(file.size_bytes or 0 for file in receipt.files)
    published_bytes = sum(item.size_bytes for item in receipt.objects)
    assert (row["raw_bytes_low"], row["raw_bytes_high"]) == (2 * raw_bytes, 2 * raw_bytes)
    assert (row["published_bytes_low"], row["published_bytes_high"]) == (2 * published_bytes, 2 * published_bytes)
    assert row["sized_from"] == "held days"


def test_a_symbol_that_was_never_held_is_sized_as_the_others_of_its_type(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)[TRADES]
    wider = Selection(data_types=(TRADES,))
    row = _row(_plan(lake, vendor, {"BINANCE": wider}, [FIRST]), TRADES)
    mean = sum(file.size_bytes or 0 for file in receipt.files) / len(receipt.files)
    assert (row["to_fetch"], row["raw_bytes_low"], row["sized_from"]) == (1, round(mean), "held days")


def test_days_that_are_not_exported_yet_are_estimated_and_said_to_be(lake: TickLake, vendor: RunningSimulator) -> None:
    days = days_between(LAST, LAST + timedelta(days=4))
    plan = _plan(lake, vendor, {"BINANCE": SPOT}, days)
    assert plan.venues.select("days", "runs", "estimated_days").row(0) == (4, 4, 3)
    assert _row(plan, TRADES)["expected"] == 12


def test_days_before_a_venue_or_an_instrument_existed_expect_fewer_files(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    spot = Selection(data_types=(TRADES,), include=("1INCHUSDT", "BTCUSDT"))
    # 1INCH was listed on 2020-12-25; a range longer than what is looked at in one go
    days = days_between(date(2020, 12, 10), date(2021, 1, 10))
    assert _row(_plan(lake, vendor, {"BINANCE": spot}, days), TRADES)["expected"] == 31 + 16
    before = _plan(lake, vendor, {"BINANCE": spot}, [date(2019, 3, 1)])
    assert _row(before, TRADES)["expected"] == 0
    assert before.venues["runs"].to_list() == [1]


def test_the_kept_answer_is_used_where_it_knows_the_days(lake: TickLake, vendor: RunningSimulator) -> None:
    assert load_newest_answer(lake, "BINANCE") is None
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    vendor.clear_requests()
    answer = _learn(lake, vendor, "BINANCE", TODAY + timedelta(days=30))
    assert (answer.asked, answer.bounds.exported_until) == (TODAY, TODAY)
    assert vendor.requests() == []
    kept = load_newest_answer(lake, "BINANCE")
    assert kept == answer


def test_a_kept_answer_stands_in_for_a_vendor_that_fails(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    vendor.set_faults([{"match": "*/exchanges/*", "action": "status", "code": 503}])

    async def learn(venue: str) -> VendorAnswer:
        async with open_client(vendor) as client:
            return await learn_answer(lake, client, venue, TODAY + timedelta(days=9), TODAY + timedelta(days=9))

    with stamina.set_testing(True, attempts=1):
        assert asyncio.run(learn("BINANCE")).asked == TODAY
        with pytest.raises(VendorUnavailable, match="details of DERIBIT"):
            asyncio.run(learn("DERIBIT"))


def test_a_lake_of_another_vendor_is_planned_from_what_it_keeps_only(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    nobody: TardisClient | None = None
    assert asyncio.run(learn_answer(lake, nobody, "BINANCE", TODAY, TODAY)).asked == TODAY
    with pytest.raises(ConfigurationError, match=r"DERIBIT: the lake .* keeps no answer of its vendor"):
        asyncio.run(learn_answer(lake, nobody, "DERIBIT", TODAY, TODAY))


def test_an_answer_that_cannot_be_used_is_named(lake: TickLake, vendor: RunningSimulator) -> None:
    exchange = json.loads(json.dumps(_learn(lake, vendor, "BINANCE").exchange))
    exchange["datasets"]["exportedUntil"] = None
    with pytest.raises(VendorError, match="BINANCE: the vendor's details lack a usable 'exportedUntil'"):
        plan_backfill(lake, {"BINANCE": SPOT}, DAYS, {"BINANCE": VendorAnswer("BINANCE", TODAY, exchange)})


def test_a_plan_costs_more_with_each_layout_and_the_same_for_raw(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    plan = _plan(lake, vendor, {"BINANCE": SPOT})
    costs = plan.costs().to_dicts()
    assert [row["layouts"] for row in costs] == [1, 2, 3]
    totals = plan.data_types.sum().to_dicts()[0]
    volume = Volume(totals["raw_bytes_low"], totals["published_bytes_low"], files=12, units=4, runs=2)
    for row in costs:
        cost = cost_of(volume, row["layouts"])
        # sized from a held day: low is high
        assert (row["month_low"], row["month_high"], row["once"]) == (cost.month, cost.month, cost.once)


def test_a_plan_without_work_costs_nothing(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    costs = _plan(lake, vendor, {"BINANCE": SPOT}, [FIRST]).costs()
    assert costs.drop("layouts").sum().row(0) == (0, 0, 0)


def test_a_plan_of_no_day_is_refused(lake: TickLake) -> None:
    with pytest.raises(ConfigurationError, match="at least one day"):
        plan_backfill(lake, {}, [], {})


def _stale(lake: TickLake, decoder_version: str, layouts: tuple[str, ...] = LAYOUTS) -> list[dict[str, Any]]:
    wanted = {"BINANCE": SPOT.data_types}
    return find_stale(lake, wanted, DAYS, decoder_version=decoder_version, layouts=layouts).to_dicts()


def test_days_of_another_decoder_are_stale(lake: TickLake, vendor: RunningSimulator) -> None:
    receipts = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    vendor.set_faults([{"match": "*/quotes/*/ETHBTC.csv.gz", "action": "header_only"}])
    quotes = ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)[QUOTES]
    assert _stale(lake, DECODER_VERSION) == []
    older = quotes.model_copy(update={"decoder_version": "0"})
    lake.put_bytes(older.model_dump_json().encode(), receipt_key(older.unit))
    assert _stale(lake, DECODER_VERSION) == [
        {
            "venue": "BINANCE",
            "data_type": "quotes",
            "day": SECOND,
            "cause": "decoder",
            "reason": f"decoder 0; now {DECODER_VERSION}",
            "files": 2,  # the empty one has no rows to decode
            "raw_bytes": sum(f.size_bytes or 0 for f in quotes.files if f.outcome == "stored"),
            "published_bytes": sum(item.size_bytes for item in quotes.objects),
        }
    ]
    assert [(row["data_type"], row["day"]) for row in _stale(lake, "next")] == [
        ("quotes", FIRST),
        ("quotes", SECOND),
        ("trades", FIRST),
        ("trades", SECOND),
    ]
    assert _stale(lake, "next")[0]["files"] == len(receipts[QUOTES].files)


def test_days_in_other_layouts_are_stale(lake: TickLake, vendor: RunningSimulator) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    reasons = {row["reason"] for row in _stale(lake, DECODER_VERSION, ("by_date",))}
    assert reasons == {"layouts by_date, by_venue, by_type; now by_date"}


def test_what_was_never_published_is_not_stale(lake: TickLake, vendor: RunningSimulator) -> None:
    vendor.set_faults([{"match": "*.csv.gz", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    assert _stale(lake, "next") == []
