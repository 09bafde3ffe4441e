"""What one run may take: scratch disk, the account's bytes of a day, slots for files; and the files it may miss."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_data.errors import ConfigurationError
from market_data.ingest.scratch import Budget, open_scratch
from market_data.ingest.slots import Slots
from market_data.lake.base import TickLake
from market_data.lake.keys import quota_key
from market_data.model.data_types import DataType
from market_data.model.limits import RunLimits
from market_data.model.tick_file import Outcome
from market_data.read import WaivedTicksWarning, scan_ticks
from market_data.universe.waivers import Waiver
from market_data.vendor.quota import bytes_used_on
from market_data_tests.fakes import MemoryLake
from market_data_tests.ingesting import (
    BOTH,
    DAY,
    TRADES,
    Vendor,
    contents_of,
    file_of,
    is_proven,
    outcomes_of,
    plan_day,
    run_day,
)
from market_data_tests.lake.test_lake import start_python
from market_data_tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("retries_without_waits")


@pytest.fixture
def scratch_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "scratch"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    return root


def test_a_run_with_next_to_no_scratch_gives_the_same_lake(lake: TickLake, vendor: Vendor, scratch_root: Path) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, replace(plan, limits=RunLimits(scratch_bytes=1000)))
    assert is_proven(lake, plan)
    assert lake.list_objects("staging/") == []
    assert list(scratch_root.iterdir()) == []
    roomy = MemoryLake()
    run_day(roomy, vendor, plan_day(roomy, vendor))
    ticks = {key: data for key, data in contents_of(lake).items() if key.startswith(("ticks/", "raw/", "receipt/"))}
    assert ticks == {key: data for key, data in contents_of(roomy).items() if key in ticks}


def test_less_free_disk_than_the_limit_is_told_before_any_request(
    lake: TickLake, vendor: Vendor, scratch_root: Path
) -> None:
    plan = plan_day(lake, vendor)
    vendor.recover()
    limit_bytes = 2 * shutil.disk_usage(scratch_root).free
    with pytest.raises(ConfigurationError, match=r"limits.scratch_gb is .*, but .* free: lower the limit"):
        run_day(lake, vendor, replace(plan, limits=RunLimits(scratch_bytes=limit_bytes)))
    assert vendor.asked_files() == []


def test_scratch_of_a_dead_run_is_removed_and_that_of_a_living_one_stays(scratch_root: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, tempfile, time\n"
        "from market_data.ingest.scratch import open_scratch\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "with open_scratch(None) as (folder, _):\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    with start_python(script, str(scratch_root)) as dead:
        assert dead.stdout is not None
        left = Path(dead.stdout.readline().strip())
        (left / "body.csv.gz").write_bytes(b"half a file")
        with open_scratch(None) as (living, _):
            os.kill(dead.pid, signal.SIGSTOP)  # at work, as far as anybody can tell
            assert left.exists()
            os.kill(dead.pid, signal.SIGKILL)
            dead.wait(PATIENCE_SECONDS)
            with open_scratch(None):
                assert not left.exists()
                assert living.exists()


def test_a_budget_is_never_overdrawn_and_what_is_larger_than_all_of_it_is_taken_alone() -> None:
    async def use() -> list[str]:
        budget, told = Budget(100), []

        async def take(name: str, size_bytes: int) -> None:
            await budget.take(size_bytes, name)
            told.append(name)

        await take("first", 60)
        async with asyncio.TaskGroup() as group:
            group.create_task(take("too large", 1000))
            await asyncio.sleep(0)
            assert not budget.try_take(41)
            assert budget.try_take(40)
            told.append("second")
            budget.give_back(100)
        budget.give_back(1000)
        assert budget.try_take(100)
        return told

    assert asyncio.run(use()) == ["first", "second", "too large"]


def test_slots_go_round_by_data_type_and_heavy_ones_leave_a_quarter() -> None:
    light, heavy, other = DataType.TRADES, DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES

    async def run() -> tuple[list[DataType], list[DataType]]:
        slots, started = Slots(4, (heavy, other, light)), []
        first: list[DataType] = []

        async def work(data_type: DataType, gate: asyncio.Event) -> None:
            async with slots.hold(data_type):
                started.append(data_type)
                await gate.wait()

        gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for data_type in (heavy, other, light):
                for _ in range(4):
                    group.create_task(work(data_type, gate))
            for _ in range(20):
                await asyncio.sleep(0)
            first = list(started)
            gate.set()
        return first, started

    first, started = asyncio.run(run())
    assert first[-1] is light
    assert len(first) == 4
    assert len(started) == 12


def test_a_cancelled_wait_for_a_slot_loses_none() -> None:
    async def run() -> None:
        slots = Slots(1, (TRADES,))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(slots.hold(TRADES))
            waiting = asyncio.create_task(slots.hold(TRADES).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_SECONDS), slots.hold(TRADES):
            pass

    asyncio.run(run())


def test_the_bytes_of_a_day_are_counted_for_all_runs_and_end_them_with_the_time_to_go_on(
    lake: TickLake, vendor: Vendor
) -> None:
    limits = RunLimits(daily_quota_bytes=10**9)
    plan = replace(plan_day(lake, vendor), limits=limits)
    now = datetime.now(UTC)
    results = run_day(lake, vendor, replace(plan, data_types=(TRADES,)))
    used = bytes_used_on(lake, now.date())
    assert used == results[TRADES].downloaded_bytes > 0
    lake.put_bytes(b'{"bytes": 1000000000}', quota_key(now.date(), "another run"))
    vendor.recover()
    results = run_day(lake, vendor, plan)
    assert results[TRADES].receipt.is_complete
    quotes = results[DataType.QUOTES].receipt
    assert set(outcomes_of(quotes).values()) == {Outcome.FAILED}
    failed = quotes.files[0]
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    assert (failed.error_class, failed.is_transient, failed.not_before) == ("VendorQuotaExceeded", True, midnight)
    assert failed.error is not None
    assert "1.0 of 1 GB (limits.daily_quota_gb) were fetched from the vendor today" in failed.error
    assert vendor.asked_files() == []


def test_history_leaves_the_last_tenth_of_the_day_to_new_days(lake: TickLake, vendor: Vendor) -> None:
    lake.put_bytes(b'{"bytes": 950000000}', quota_key(datetime.now(UTC).date(), "another run"))
    plan = replace(plan_day(lake, vendor), data_types=(TRADES,), limits=RunLimits(daily_quota_bytes=10**9))
    assert not plan.is_near_bound
    assert not run_day(lake, vendor, plan)[TRADES].receipt.is_complete
    new = replace(plan, universe=replace(plan.universe, exported_until=DAY + timedelta(days=1)))
    assert run_day(lake, vendor, new)[TRADES].receipt.is_complete


def test_a_waived_file_is_not_asked_for_its_day_stands_and_readers_are_told(lake: TickLake, vendor: Vendor) -> None:
    vendor.spoil("wrong_header", match="*/trades/*/ETHBTC.csv.gz")
    waiver = Waiver(TRADES, "ethb*", DAY, DAY, "the vendor will not mend it")
    plan = replace(plan_day(lake, vendor, BOTH), waivers=(waiver,))
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    assert receipt.is_complete
    assert (file_of(receipt, "ETHBTC").outcome, file_of(receipt, "ETHBTC").error) == (Outcome.WAIVED, waiver.reason)
    assert "trades ETHBTC" not in vendor.asked_files()
    with pytest.warns(WaivedTicksWarning, match="BINANCE trades 2024-08-08 ETHBTC: the vendor will not mend it"):
        assert _symbols(scan_ticks("trades", venues="binance", start="2024-08-08", end="2024-08-09", lake=lake)) == 3
    vendor.recover()
    assert run_day(lake, vendor, replace(plan, waivers=()))[TRADES].receipt.counts()["stored"] == 4
    assert vendor.asked_files() == ["trades ETHBTC"]


def _symbols(rows: pl.LazyFrame) -> int:
    return rows.select("symbol").unique().collect().height


@pytest.mark.parametrize(
    ("change", "is_covered"),
    [
        ({}, True),
        ({"symbol": "BTC*"}, False),
        ({"data_type": DataType.QUOTES}, False),
        ({"first_day": DAY + timedelta(days=1), "last_day": DAY + timedelta(days=2)}, False),
        ({"first_day": DAY - timedelta(days=9), "last_day": DAY}, True),
    ],
)
def test_a_waiver_covers_its_type_days_and_symbols(
    lake: TickLake, vendor: Vendor, change: dict[str, object], *, is_covered: bool
) -> None:
    plan = plan_day(lake, vendor)
    waiver = replace(Waiver(TRADES, "ETHBTC", DAY, DAY, "why"), **change)  # type: ignore[arg-type]
    vendor.spoil("status", code=503)
    receipt = run_day(lake, vendor, replace(plan, data_types=(TRADES,), waivers=(waiver,)))[TRADES].receipt
    assert (file_of(receipt, "ETHBTC").outcome is Outcome.WAIVED) is is_covered
