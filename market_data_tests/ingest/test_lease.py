"""A run whose unit another one took over waits while that one lives, and goes on when it is dead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from market_data.ingest import lease
from market_data.ingest.lease import LeaseWatch
from market_data.lake.base import TickLake
from market_data.lake.keys import LEASE_PREFIX, lease_key, receipt_key
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.store import load_receipt, save_receipt
from market_data.universe.rules import Selection
from market_data_tests.fakes import MemoryLake, SteppedLake
from market_data_tests.ingesting import DAY, TRADES, Vendor, plan_day, run_day

pytestmark = pytest.mark.usefixtures("retries_without_waits", "short_waits")
UNIT = DataTypeDay("BINANCE", TRADES, DAY)
WANTED = Selection((TRADES,), include=("BTCUSDT",))


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_data.ingest.venue_day._OTHER_WRITER_POLL_SECONDS", 0.02)
    monkeypatch.setattr(lease, "_RENEWED_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(lease, "_DEAD_AFTER_SECONDS", 0.5)


def run_taken_over(vendor: Vendor, meanwhile: Callable[[TickLake], None]) -> tuple[bool, TickLake]:
    """Run a day whose claim another writer takes once, before the first object is written; then `meanwhile` happens."""
    lake, taken = MemoryLake(), threading.Event()

    def take_over() -> None:
        receipt, generation = load_receipt(lake, UNIT)
        if not taken.is_set() and receipt is not None and receipt.claim is not None:
            taken.set()
            save_receipt(lake, receipt.changed(claim="the other"), generation)
            meanwhile(lake)

    (result,) = run_day(SteppedLake(lake, take_over), vendor, plan_day(lake, vendor, WANTED)).values()
    assert taken.is_set()
    return result.receipt.is_complete, lake


@pytest.mark.parametrize("has_lease", [False, True], ids=["killed before it said so", "killed later"])
def test_of_two_runs_of_which_the_second_is_killed_the_first_goes_on(vendor: Vendor, *, has_lease: bool) -> None:
    def die(lake: TickLake) -> None:
        if has_lease:
            lake.put_bytes(b"{}", lease_key("the other"))

    is_complete, lake = run_taken_over(vendor, die)
    assert is_complete
    assert [stat.key for stat in lake.list_objects(LEASE_PREFIX)] == [lease_key("the other")] * has_lease


def test_a_run_waits_for_one_that_lives_longer_than_the_dead_are_waited_for(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes with the renewals alone: ten seconds with each, ten minutes in all."""
    now = [0.0]
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(lease, "_DEAD_AFTER_SECONDS", 40.0)
    claims: set[str | None] = set()

    def live_on(lake: TickLake) -> None:
        def renew() -> None:
            for number in range(60):
                lake.put_bytes(str(number).encode(), lease_key("the other"))
                now[0] += 10
                receipt, _ = load_receipt(lake, UNIT)
                assert receipt is not None
                claims.add(receipt.claim)
                threading.Event().wait(0.02)
            receipt, generation = load_receipt(lake, UNIT)
            assert receipt is not None
            save_receipt(lake, receipt.released(), generation)

        threading.Thread(target=renew).start()

    is_complete, _ = run_taken_over(vendor, live_on)
    assert is_complete
    assert claims == {"the other"}


def test_a_lease_is_judged_by_the_observers_clock_alone() -> None:
    lake = MemoryLake()
    watch = LeaseWatch(lake, "other")
    lake.put_bytes(b"of the year 1970", lease_key("other"))
    assert not watch.is_dead()
    lake.put_bytes(b"of the year 2999", lease_key("other"))
    assert not watch.is_dead()


def test_a_run_that_has_nothing_to_do_writes_no_lease_and_one_that_ends_leaves_none(vendor: Vendor) -> None:
    lake = MemoryLake()
    plan = plan_day(lake, vendor, WANTED)
    run_day(lake, vendor, plan)
    assert lake.list_objects(LEASE_PREFIX) == []
    mutations = lake.mutations
    run_day(lake, vendor, plan)
    assert lake.mutations == mutations
    assert lake.stat(receipt_key(UNIT)) is not None


def test_leases_of_runs_that_were_killed_days_ago_are_taken_away(vendor: Vendor) -> None:
    lake = MemoryLake()
    lake.put_bytes(b'{"renewed": "2024-01-01T00:00:00+00:00"}', lease_key("long dead"))
    lake.put_bytes(b"of another version", lease_key("unknown"))
    run_day(lake, vendor, plan_day(lake, vendor, WANTED))
    assert [stat.key for stat in lake.list_objects(LEASE_PREFIX)] == [lease_key("unknown")]
