"""A refresh: the vendor is asked about every file that is held, and what it changed is replaced."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from market_data.ingest.venue_day import UnitResult, VenueDay
from market_data.lake.base import TickLake
from market_data.lake.keys import raw_key
from market_data.lake.open import open_lake
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.store import load_receipt
from market_data.universe.rules import Selection
from market_data_tests.fakes import SteppedLake
from market_data_tests.ingesting import (
    DAY,
    QUOTES,
    SPOT,
    TRADES,
    Vendor,
    contents_of,
    file_of,
    find_falsehoods,
    is_proven,
    plan_day,
    published_keys,
    run_day,
    stats_of,
)

pytestmark = pytest.mark.usefixtures("retries_without_waits")


@pytest.fixture
def plan(lake: TickLake, vendor: Vendor) -> VenueDay:
    """A day that is held whole, to be refreshed."""
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    vendor.recover()
    return replace(plan, is_refresh=True)


def _refresh(lake: TickLake, vendor: Vendor, plan: VenueDay) -> UnitResult:
    results = run_day(lake, vendor, plan)
    assert all(result.receipt.is_complete for result in results.values())
    assert find_falsehoods(lake) == []
    assert is_proven(lake, plan)
    return results[TRADES]


def test_what_has_not_changed_is_asked_for_and_not_fetched(lake: TickLake, vendor: Vendor, plan: VenueDay) -> None:
    before = {stat.key: stat for stat in stats_of(lake) if not stat.key.startswith("receipt/")}
    result = _refresh(lake, vendor, plan)
    assert vendor.asked_files() == sorted(f"{kind} {symbol}" for kind in (TRADES, QUOTES) for symbol in SPOT)
    assert (result.downloads, result.replaced, result.not_refreshed) == (0, (), ())
    assert {stat.key: stat for stat in stats_of(lake) if not stat.key.startswith("receipt/")} == before


def test_what_has_changed_is_replaced_and_its_old_facts_are_kept(
    lake: TickLake, vendor: Vendor, plan: VenueDay
) -> None:
    vendor.spoil("header_only", match="*/trades/*/BTCUSDT.csv.gz")
    before = file_of(run_day(lake, vendor, replace(plan, is_refresh=False))[TRADES].receipt, "BTCUSDT")
    result = _refresh(lake, vendor, plan)
    assert result.downloads == 1
    (replaced,) = result.replaced
    assert (replaced.vendor_symbol, replaced.outcome, replaced.rows) == ("BTCUSDT", Outcome.VENDOR_EMPTY, 0)
    (past,) = replaced.previous
    assert (past.rows, past.crc32c, past.size_bytes) == (before.rows, before.crc32c, before.size_bytes)
    assert not any("BTC-USDT" in key for key in published_keys(result.receipt))
    vendor.recover()
    again = _refresh(lake, vendor, plan)
    assert [file.rows for file in again.replaced] == [before.rows]
    assert [past.rows for past in again.replaced[0].previous] == [before.rows, 0]


def test_other_bytes_of_the_same_rows_replace_the_raw_file_and_no_published_one(
    lake: TickLake, vendor: Vendor, plan: VenueDay
) -> None:
    vendor.spoil("two_members", match="*/trades/*/BTCUSDT.csv.gz")
    published = {stat.key: stat for stat in stats_of(lake) if stat.key.startswith("ticks/")}
    result = _refresh(lake, vendor, plan)
    (replaced,) = result.replaced
    assert replaced.previous[0].crc32c != replaced.crc32c
    stat = lake.stat(raw_key(result.receipt.unit, "BTCUSDT", replaced.raw_id))
    assert stat is not None
    assert stat.crc32c == replaced.crc32c
    assert lake.stat(raw_key(result.receipt.unit, "BTCUSDT")) is None  # the former bytes
    assert {stat.key: stat for stat in stats_of(lake) if stat.key.startswith("ticks/")} == published


class Killed(BaseException):
    """Nothing in the product catches it."""


def test_a_refresh_that_dies_at_any_moment_keeps_the_old_day_and_later_its_facts(
    tmp_path: Path, vendor: Vendor
) -> None:
    """Every call to the lake is the last one of some run."""

    def held_day(name: str) -> tuple[TickLake, VenueDay, FileEvidence]:
        lake = open_lake((tmp_path / name).as_uri())
        vendor.recover()
        plan = plan_day(lake, vendor, Selection((TRADES,), include=("BTCUSDT", "ETHUSDT")))
        before = file_of(run_day(lake, vendor, plan)[TRADES].receipt, "BTCUSDT")
        vendor.spoil("two_members", match="*/trades/*/BTCUSDT.csv.gz")
        return lake, replace(plan, is_refresh=True), before

    lake, plan, before = held_day("undisturbed")
    (past,) = file_of(run_day(lake, vendor, plan)[TRADES].receipt, "BTCUSDT").previous
    assert past.crc32c == before.crc32c
    wanted = contents_of(lake)
    for calls in itertools.count(1):
        lake, plan, before = held_day(f"killed after {calls}")
        left = itertools.count(calls, -1)

        def die(left: Iterator[int] = left) -> None:
            if next(left) <= 0:
                raise Killed

        try:
            run_day(SteppedLake(lake, die), vendor, plan)
        except Killed:
            assert find_falsehoods(lake) == []
            receipt, _ = load_receipt(lake, DataTypeDay("BINANCE", TRADES, DAY))
            assert receipt is not None
            assert receipt.is_complete  # read as it was, or as it is now
            run_day(lake, vendor, plan)
            assert contents_of(lake) == wanted, f"after {calls} calls"
        else:
            break
    assert calls > 10


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"action": "wrong_header"}, "the header is"),
        ({"action": "status", "code": 404}, "though the vendor does not offer it any more"),
        ({"action": "status", "code": 503}, "answered 503"),
        ({"action": "status", "code": 401}, "answered 401"),
    ],
    ids=["damaged", "withdrawn", "unavailable", "key refused"],
)
def test_what_cannot_be_replaced_stays_as_it_is_and_is_told(
    lake: TickLake, vendor: Vendor, plan: VenueDay, fault: dict[str, object], words: str
) -> None:
    before = {stat.key: stat for stat in stats_of(lake) if stat.key.startswith(("ticks/", "raw/"))}
    vendor.simulator.set_faults([{"match": "*/trades/*/BTCUSDT.csv.gz", **fault}])
    result = _refresh(lake, vendor, plan)
    assert result.replaced == ()
    assert any("BTCUSDT" in why and words in why for why in result.not_refreshed)
    assert file_of(result.receipt, "BTCUSDT").outcome is Outcome.STORED
    assert {stat.key: stat for stat in stats_of(lake) if stat.key.startswith(("ticks/", "raw/"))} == before
