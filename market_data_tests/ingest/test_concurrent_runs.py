"""Two runs of one venue-day at once: whoever wins, the lake ends as after one run, and nothing is lost.

In the default suite the runs are two threads with an event loop each; in the long form they are two processes, which
wait two seconds between two looks at the other one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from market_data.errors import LakeConflict
from market_data.ingest.venue_day import VenueDay
from market_data.lake.open import open_lake
from market_data_tests.ingester import GAVE_WAY, WHOLE, start_ingester
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

pytestmark = pytest.mark.usefixtures("retries_without_waits")

HEAD_STARTS_SECONDS = (0.0, 0.0, 0.05)  # of one run before the other


def assert_one_whole_lake(lake_url: str, wanted: dict[str, object], plan: VenueDay) -> None:
    lake = open_lake(lake_url)
    assert find_falsehoods(lake) == []
    assert {(receipt.state, receipt.claim) for receipt in receipts_of(lake)} == {("committed", None)}
    assert contents_of(lake) == wanted
    assert is_proven(lake, plan)


@pytest.mark.parametrize("round_number", range(3))
def test_two_runs_at_once_leave_the_lake_of_one(
    lake_url: str,
    vendor: Vendor,
    undisturbed: Callable[..., dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    round_number: int,
) -> None:
    monkeypatch.setattr("market_data.ingest.venue_day._OTHER_WRITER_POLL_SECONDS", 0.02)
    wanted = undisturbed(ALL_THREE)
    plan = plan_day(open_lake(lake_url), vendor, ALL_THREE)
    together = Barrier(2)

    def run(head_start_seconds: float) -> bool:
        lake = open_lake(lake_url)
        together.wait()
        time.sleep(head_start_seconds)
        try:
            return all(result.receipt.is_complete for result in run_day(lake, vendor, plan).values())
        except LakeConflict:
            return False  # it gave way to the other one

    with ThreadPoolExecutor(2) as pool:
        is_whole = list(pool.map(run, (0.0, HEAD_STARTS_SECONDS[round_number])))
    assert any(is_whole)
    assert_one_whole_lake(lake_url, wanted, plan)


@pytest.mark.long
def test_many_pairs_of_processes_leave_the_lake_of_one(
    make_lake_url: Callable[[], str], vendor: Vendor, undisturbed: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    wanted = undisturbed(ALL_THREE)
    plan = plan_day(open_lake(make_lake_url()), vendor, ALL_THREE)
    rng = random.Random(3)
    for _ in range(20):
        lake_url = make_lake_url()
        with ExitStack() as stack:
            first, second = (
                stack.enter_context(start_ingester(lake_url, vendor, tmp_path / name)) for name in ("one", "two")
            )
            first.go()
            time.sleep(rng.choice((0.0, rng.uniform(0, 0.5))))
            second.go()
            statuses = {first.wait(), second.wait()}
        assert WHOLE in statuses
        assert statuses <= {WHOLE, GAVE_WAY}
        assert_one_whole_lake(lake_url, wanted, plan)
