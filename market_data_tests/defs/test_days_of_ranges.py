"""What sensors make of runs of several days: starting, at work, done, failed in part, cancelled, killed."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from market_data.defs.known import KnownDay
from market_data.defs.runs import days_of, is_live
from market_data.lake.keys import object_key
from market_data.model.data_types import DataType
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.in_process import Project, open_project

FIRST, SECOND, LAST = date(2024, 8, 7), date(2024, 8, 8), date(2024, 8, 9)
SECOND_FILE = "*/binance/trades/2024/08/08/BTCUSDT.csv.gz"
RANGE = {"dagster/asset_partition_range_start": str(FIRST), "dagster/asset_partition_range_end": str(LAST)}
STARTING, STARTED, FAILURE, CANCELED = (
    *(dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED),
    *(dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED),
)


@pytest.fixture
def project(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    shared_simulator.set_faults([])
    venues = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}}
    with open_project(tmp_path, shared_simulator, venues, {"first_wait_seconds": 0, "max_attempts": 2}) as project:
        yield project


def add_run(project: Project, status: dg.DagsterRunStatus, tags: Mapping[str, str]) -> dg.DagsterRun:
    """Remember a run as a backfill launches one; what it did is what the lake says."""
    run = dg.DagsterRun(
        job_name="all_venues", run_id=make_new_run_id(), status=status, tags={"venue": "BINANCE", **RANGE, **tags}
    )
    return project.instance.add_run(run)


def fail_second(project: Project) -> None:
    project.simulator.set_faults([{"match": SECOND_FILE, "action": "status", "code": 503}])


def requested(found: dg.SensorResult | dg.SkipReason) -> list[str | None]:
    requests = found.run_requests or [] if isinstance(found, dg.SensorResult) else []
    return [request.partition_key for request in requests]


def reason(found: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


@pytest.mark.parametrize("status", [STARTING, STARTED])
def test_a_day_of_a_range_that_begins_or_is_at_work_is_launched_by_nobody_else(
    project: Project, status: dg.DagsterRunStatus
) -> None:
    fail_second(project)
    assert not project.run("all_venues", SECOND).success
    assert requested(project.look("failed_venue_days")) == [str(SECOND)]
    add_run(project, status, {})
    assert requested(project.look("failed_venue_days")) == []
    assert "all of them were launched" in reason(project.look("new_days"))
    assert [KnownDay(project.instance, "BINANCE", day).is_at_work() for day in (FIRST, SECOND, LAST)] == [True] * 3
    beside = [FIRST - timedelta(days=1), LAST + timedelta(days=1)]
    assert [KnownDay(project.instance, "BINANCE", day).is_at_work() for day in beside] == [False] * 2


def test_of_a_range_that_was_killed_the_days_that_the_lake_lacks_are_run_again(project: Project) -> None:
    assert project.run("all_venues", FIRST).success
    add_run(project, FAILURE, {})
    assert requested(project.look("failed_venue_days")) == [str(SECOND), str(LAST)]


def test_a_day_that_was_done_before_its_range_was_cancelled_is_done_and_the_others_are_left_to_people(
    project: Project,
) -> None:
    fail_second(project)
    for day in (SECOND, LAST):
        project.run("all_venues", day)
    project.simulator.set_faults([])
    assert requested(project.look("failed_venue_days")) == [str(SECOND)]
    add_run(project, CANCELED, {})
    assert reason(project.look("failed_venue_days")) == (
        "BINANCE 2024-08-08: its newest run was cancelled; it is left to people"
    )
    assert project.run("all_venues", SECOND).success
    add_run(project, CANCELED, {})
    assert reason(project.look("failed_venue_days")) == "nothing to do"


def test_only_the_day_whose_check_failed_in_a_successful_range_is_run_again(project: Project) -> None:
    assert project.run_range("all_venues", FIRST, LAST).success
    receipt = project.receipt("BINANCE", DataType.TRADES, SECOND)
    project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
    assert project.run("recheck", SECOND).success
    assert requested(project.look("failed_venue_days")) == [str(SECOND)]


def test_a_failed_check_of_a_day_that_its_failed_range_has_done_is_healed_too(project: Project) -> None:
    assert project.run("all_venues", FIRST).success
    receipt = project.receipt("BINANCE", DataType.TRADES, FIRST)
    fail_second(project)
    assert not project.run_range("all_venues", FIRST, LAST).success
    project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
    assert project.run("recheck", FIRST).success
    assert set(requested(project.look("failed_venue_days"))) == {str(FIRST), str(SECOND)}


def test_a_range_that_has_done_a_day_ends_the_count_of_its_re_runs_though_another_day_of_it_failed(
    project: Project,
) -> None:
    fail_second(project)
    for number in ("1", "2"):
        project.run("all_venues", SECOND, {"venue": "BINANCE", "market_data/rerun": number})
    assert "BINANCE 2024-08-08: given up after 2 re-runs" in reason(project.look("failed_venue_days"))
    project.simulator.set_faults([{"match": SECOND_FILE.replace("08/08", "08/07"), "action": "status", "code": 503}])
    assert not project.run_range("all_venues", FIRST, LAST).success
    fail_second(project)
    receipt = project.receipt("BINANCE", DataType.TRADES, SECOND)
    project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
    project.run("recheck", SECOND)
    found = project.look("failed_venue_days")
    assert isinstance(found, dg.SensorResult)
    numbers = {item.partition_key: item.tags["market_data/rerun"] for item in found.run_requests or []}
    assert numbers == {str(FIRST): "1", str(SECOND): "1"}


def test_a_range_that_failed_before_its_days_has_done_none_of_them(project: Project) -> None:
    assert project.run("all_venues", FIRST).success
    origin, _ = project.lake.get_bytes("origin.json")
    project.lake.put_bytes(origin.replace(b"simulator", b"elsewhere"), "origin.json")
    assert not project.run_range("all_venues", FIRST, LAST).success
    project.lake.put_bytes(origin, "origin.json")
    told = reason(project.look("failed_venue_days"))
    assert [f"BINANCE {day}: permanent fault" in told for day in (FIRST, SECOND, LAST)] == [False, True, True]


@pytest.mark.parametrize(
    ("tags", "hours_ago", "lives"),
    [
        ({}, 6, True),
        ({}, 8, False),
        ({"dagster/max_runtime": "72000"}, 19, True),
        ({"dagster/max_runtime": "72000"}, 22, False),
        ({"dagster/max_runtime": "nonsense"}, 8, False),
        ({"dagster/max_runtime": "60"}, 6, True),
    ],
)
def test_a_run_lives_as_long_as_the_daemon_lets_it(
    project: Project, tags: dict[str, str], hours_ago: int, *, lives: bool
) -> None:
    run = add_run(project, STARTED, tags)
    (record,) = project.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    now = datetime.now(UTC)
    started = record._replace(start_time=(now - timedelta(hours=hours_ago)).timestamp())
    assert is_live(started, now) is lives


@pytest.mark.parametrize(
    ("tags", "days"),
    [
        (RANGE, [str(FIRST), str(SECOND), str(LAST)]),
        ({"dagster/partition": "2024-08-08"}, ["2024-08-08"]),
        ({"dagster/partition": "eu-west"}, []),
        ({"dagster/asset_partition_range_start": "2024-08-08"}, []),
        ({"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}, []),
        ({}, []),
    ],
)
def test_the_days_of_a_run_are_those_of_its_tags(tags: dict[str, Any], days: list[str]) -> None:
    assert days_of(dg.DagsterRun(job_name="all_venues", run_id=make_new_run_id(), tags=tags)) == days
