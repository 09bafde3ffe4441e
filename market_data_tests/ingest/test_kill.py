"""A run killed with `kill -9` at any moment: the next run makes the lake that an undisturbed run makes."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from market_data.lake.base import TickLake
from market_data.lake.local import LocalLake
from market_data.lake.open import open_lake
from market_data_tests.ingester import WHOLE, Ingester, start_ingester
from market_data_tests.ingesting import (
    ALL_THREE,
    Vendor,
    contents_of,
    find_falsehoods,
    is_proven,
    plan_day,
    receipts_of,
    run_day,
)
from market_data_tests.patience import wait_until

pytestmark = pytest.mark.usefixtures("retries_without_waits")

SCRATCH_DIRECTORIES = "market_data-*"
REQUESTS_BEFORE_FILES = 2  # details and instruments
REQUESTS_OF_A_RUN = 14  # these and 12 tick files
HELD_FILE = "*/quotes/*/ETHUSDT.csv.gz"


@dataclass(frozen=True)
class Moment:
    """When to kill: once the vendor was asked so often, and then some share of a whole run's duration later.

    `is_held`: the vendor never sends the end of one file, so that the run is certain to be at work at that moment.
    """

    requests: int
    share: float
    is_held: bool = False

    def wait_in(self, ingester: Ingester, vendor: Vendor, run_seconds: float) -> None:
        wait_until(
            lambda: len(vendor.simulator.requests()) >= self.requests or ingester.has_ended,
            f"the vendor is asked {self.requests} times",
            look_every_seconds=0.001,
        )
        time.sleep(self.share * run_seconds)


def moments(count: int, seed: int) -> Iterator[Moment]:
    """Yield random moments by turns: of the whole duration, after some requests, and after the last request."""
    rng = random.Random(seed)
    for number in range(count):
        kind = number % 3
        if kind == 0:
            yield Moment(0, rng.uniform(0, 1.1))
        elif kind == 1:
            yield Moment(rng.randint(REQUESTS_BEFORE_FILES + 1, REQUESTS_OF_A_RUN), rng.uniform(0, 0.1), is_held=True)
        else:
            yield Moment(REQUESTS_OF_A_RUN, rng.uniform(0, 0.6))


class Killer:
    """Lets runs go and kills them, all with one scratch directory, which the run afterwards shares."""

    def __init__(
        self, vendor: Vendor, wanted: dict[str, object], scratch: Path, make_lake_url: Callable[[], str]
    ) -> None:
        self._vendor = vendor
        self._wanted = wanted
        self._scratch = scratch
        self._make_lake_url = make_lake_url
        self.run_seconds = self._measure()
        self.interrupted = 0  # runs whose claims were found

    def _measure(self) -> float:
        """Let one run end, which must be as the undisturbed one in this process."""
        lake_url = self._make_lake_url()
        with start_ingester(lake_url, self._vendor, self._scratch) as ingester:
            started = time.monotonic()
            ingester.go()
            assert ingester.wait() == WHOLE
            run_seconds = time.monotonic() - started
        assert len(self._vendor.simulator.requests()) == REQUESTS_OF_A_RUN
        assert contents_of(open_lake(lake_url)) == self._wanted
        return run_seconds

    def kill_at(self, moment: Moment) -> TickLake:
        """Kill a run of a fresh lake at a moment and run again, in this process; give the lake."""
        lake_url = self._make_lake_url()
        self._vendor.recover()
        if moment.is_held:
            self._vendor.spoil("stall", match=HELD_FILE)
        with start_ingester(lake_url, self._vendor, self._scratch) as ingester:
            ingester.go()
            moment.wait_in(ingester, self._vendor, self.run_seconds)
            ingester.kill()
        self._vendor.recover()
        lake = open_lake(lake_url)
        assert find_falsehoods(lake) == []
        self.interrupted += any(receipt.claim for receipt in receipts_of(lake))
        plan = plan_day(lake, self._vendor, ALL_THREE)
        run_day(lake, self._vendor, plan)
        assert contents_of(lake) == self._wanted
        assert is_proven(lake, plan)
        assert list(self._scratch.glob(SCRATCH_DIRECTORIES)) == []
        return lake


@pytest.fixture
def killer(
    vendor: Vendor,
    undisturbed: Callable[..., dict[str, object]],
    tmp_path: Path,
    make_lake_url: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Killer:
    wanted = undisturbed(ALL_THREE)
    scratch = tmp_path / "scratch"
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return Killer(vendor, wanted, scratch, make_lake_url)


@pytest.mark.parametrize("make_lake_url", ["local"], indirect=True)
def test_a_run_killed_at_any_moment_is_healed_by_the_next(killer: Killer, monkeypatch: pytest.MonkeyPatch) -> None:
    lakes = [killer.kill_at(moment) for moment in moments(5, seed=1)]
    assert killer.interrupted
    assert_left_overs_go_after_an_hour(lakes, monkeypatch)


@pytest.mark.long
def test_many_runs_killed_at_any_moment_are_healed_by_the_next(killer: Killer) -> None:
    for moment in moments(50, seed=2):
        killer.kill_at(moment)
    assert killer.interrupted > 15


def assert_left_overs_go_after_an_hour(lakes: list[TickLake], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a killed run left half-written in a local lake is in one place, and a later write removes it."""
    later = time.time() + 3700
    monkeypatch.setattr(time, "time", lambda: later)
    for lake in lakes:
        root = Path(lake.uri("x")).parent
        assert {path.name for path in root.glob(".*")} <= {".incoming", ".locks"}
        open_lake(lake.url).put_bytes(b"", "an-hour-later")
        assert isinstance(lake, LocalLake)
        assert list((root / ".incoming").iterdir()) == []
