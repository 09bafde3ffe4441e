"""The daily job `tidy_lake`: the index is compacted, and what was replaced goes when it was kept long enough."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from market_data.defs.build import build_definitions
from market_data.index.compact import compact_index
from market_data.lake.keys import object_key
from market_data.model.data_types import DataType
from market_data.receipts.store import load_receipt, save_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.in_process import Project, open_project

DAY = date(2024, 8, 8)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, simulator: RunningSimulator) -> Iterator[Project]:
    venues = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}}
    with open_project(tmp_path, simulator, venues) as project:
        assert project.run("all_venues", DAY).success
        yield project


def tidy(project: Project) -> None:
    job = build_definitions(project.settings()).resolve_job_def("tidy_lake")
    assert job.execute_in_process(instance=project.instance).success


def leave_a_replaced_file(project: Project, committed_at: datetime) -> str:
    """Give the key of what a publication left that replaced it at that time."""
    receipt = project.receipt("BINANCE", DataType.TRADES, DAY)
    name = receipt.objects[0].changed(content_id="0" * 16).name(receipt.unit)
    key = object_key("by_date", name)
    project.lake.put_bytes(b"replaced", key)
    _, generation = load_receipt(project.lake, receipt.unit)
    save_receipt(project.lake, receipt.changed(committed_at=committed_at), generation)
    return key


def test_the_job_compacts_the_index(project: Project) -> None:
    tidy(project)
    assert list(compact_index(project.lake)) == []


@pytest.mark.parametrize(("hours", "is_gone"), [(3, True), (1, False)])
def test_what_was_replaced_goes_when_it_was_kept_long_enough(project: Project, hours: int, *, is_gone: bool) -> None:
    project.limits["keep_replaced_hours"] = 2
    key = leave_a_replaced_file(project, datetime.now(UTC) - timedelta(hours=hours))
    tidy(project)
    assert (project.lake.stat(key) is None) is is_gone


def test_a_run_keeps_what_it_replaces_where_that_is_asked_for(project: Project) -> None:
    project.limits["keep_replaced_hours"] = 2
    key = leave_a_replaced_file(project, datetime.now(UTC))
    assert project.run("refresh", DAY).success
    assert project.lake.stat(key) is not None
    project.limits.clear()
    assert project.run("all_venues", DAY).success
    assert project.lake.stat(key) is None


def test_it_runs_daily_where_automation_is_on(project: Project) -> None:
    definitions = build_definitions(project.settings())
    (schedule,) = (item for item in definitions.schedules or () if item.name == "tidy_lake_daily")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
