"""Readers while days are replaced: each read is the old day or the new one, or fails as what it names is gone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta

import polars as pl
import pytest

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.read import scan_ticks
from market_data.simulator.http.server import run_simulator
from market_data.universe.rules import Selection
from market_data_tests.ingesting import DAY, SIMULATOR_OPTIONS, TRADES, Vendor, plan_day, run_day
from market_data_tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("retries_without_waits")
WANTED = Selection((TRADES,), include=("BTCUSDT", "ETHUSDT", "ETHBTC"))
Fingerprint = tuple[int, int]


def scan(lake: TickLake | str) -> pl.LazyFrame:
    rows = scan_ticks("trades", venues="binance", start=DAY, end=DAY + timedelta(days=1), lake=lake)
    return rows.select(pl.len(), (pl.col("price") * 10_000).round().cast(pl.Int64).sum())  # sums of floats vary


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[Vendor, Vendor]]:
    """The vendor as it was, and after it has changed every file."""
    with ExitStack() as stack:
        old, new = (stack.enter_context(run_simulator(replace(SIMULATOR_OPTIONS, seed=seed))) for seed in (1, 2))
        yield Vendor(old), Vendor(new)


@dataclass
class Watched:
    """What readers saw: how often which day, and how often a file was gone."""

    days: Counter[Fingerprint] = field(default_factory=Counter)
    gone: int = 0
    failures: list[BaseException] = field(default_factory=list)

    @property
    def reads(self) -> int:
        return sum(self.days.values())


def read_again_and_again(lake_url: str, watched: Watched, is_over: Callable[[], bool], lock: threading.Lock) -> None:
    lake = open_lake(lake_url)
    while not is_over():
        try:
            seen = scan(lake).collect().row(0)
        except (FileNotFoundError, pl.exceptions.ComputeError) as error:
            with lock:
                watched.gone += 1
                if isinstance(error, pl.exceptions.ComputeError) and "not found" not in str(error).lower():
                    watched.failures.append(error)
        except BaseException as error:  # noqa: BLE001  told by the test
            with lock:
                watched.failures.append(error)
            return
        else:
            with lock:
                watched.days[seen] += 1


def watch(
    lake: TickLake, vendors: tuple[Vendor, Vendor], *, readers: int, reads: int
) -> tuple[Watched, set[Fingerprint]]:
    """Refresh the day to and fro while so many readers read; give what they saw, and the two days there are."""
    old, new = vendors
    run_day(lake, old, plan_day(lake, old, WANTED))
    plan = replace(plan_day(lake, old, WANTED), is_refresh=True)
    days = {scan(lake).collect().row(0)}
    watched, lock, over = Watched(), threading.Lock(), threading.Event()
    threads = [
        threading.Thread(target=read_again_and_again, args=(lake.url, watched, over.is_set, lock))
        for _ in range(readers)
    ]
    for thread in threads:
        thread.start()
    try:
        while watched.reads < reads and not watched.failures:
            for vendor in (new, old):
                (result,) = run_day(lake, vendor, plan).values()
                assert len(result.replaced) == len(result.receipt.files)
                days.add(scan(lake).collect().row(0))
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    return watched, days


def assert_whole(watched: Watched, days: set[Fingerprint]) -> None:
    assert watched.failures == []
    assert len(days) == 2
    assert set(watched.days) <= days, "neither the old day nor the new one"


def test_each_read_is_the_old_day_or_the_new_one(lake: TickLake, vendors: tuple[Vendor, Vendor]) -> None:
    assert_whole(*watch(lake, vendors, readers=4, reads=60))


@pytest.mark.long
def test_each_of_two_thousand_reads_by_thirty_readers_is_one_day(
    lake: TickLake, vendors: tuple[Vendor, Vendor]
) -> None:
    watched, days = watch(lake, vendors, readers=30, reads=2000)
    assert_whole(watched, days)


def test_a_frame_made_before_a_refresh_is_the_old_day_or_fails(lake: TickLake, vendors: tuple[Vendor, Vendor]) -> None:
    old, new = vendors
    run_day(lake, old, plan_day(lake, old, WANTED))
    before = scan(lake)
    run_day(lake, new, replace(plan_day(lake, old, WANTED), is_refresh=True))
    with pytest.raises((FileNotFoundError, pl.exceptions.ComputeError)):
        before.collect()
    assert scan(lake).collect().row(0)[0] > 0
