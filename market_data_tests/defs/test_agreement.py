"""The asset `agreement/<venue>` in Dagster: a day, a range, what its page and its check show."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.in_process import Project, open_project

# the sensor looks at the last weeks
DAY = (datetime.now(UTC) - timedelta(days=3)).date()
NEVER_RUN = DAY - timedelta(days=9)
KEY, CHECK = "agreement/binance", "data_types_agree"


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(scale=0.2)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, simulator: RunningSimulator) -> Iterator[Project]:
    types = ["trades", "quotes", "incremental_book_L2", "book_snapshot_5"]
    with open_project(tmp_path, simulator, {"binance": {"data_types": types, "include": ["BTCUSDT"]}}) as project:
        assert project.run("all_venues", DAY).success
        simulator.clear_requests()
        yield project


def test_a_day_is_judged_without_the_vendor_and_shows_what_was_compared(project: Project) -> None:
    result = project.run("judge_agreement", DAY)
    assert result.success
    (shown,) = (event for event in result.get_asset_materialization_events() if event.asset_key is not None)
    assert shown.asset_key is not None
    assert shown.asset_key.to_user_string() == KEY
    metadata: dict[str, Any] = {name: value.value for name, value in shown.materialization.metadata.items()}
    assert metadata["equal share"] == 1.0
    assert metadata["instants compared"] > 0
    assert "agree where they can be compared" in metadata["verdict"]
    (checked,) = project.check_results(KEY, CHECK, DAY)
    assert (checked.status.value, checked.partition) == ("SUCCEEDED", DAY.isoformat())
    assert project.simulator.requests() == []


def test_a_day_that_was_not_run_is_not_judged_and_no_fault(project: Project) -> None:
    assert project.run("judge_agreement", NEVER_RUN).success
    (checked,) = project.check_results(KEY, CHECK, NEVER_RUN)
    assert checked.status.value == "SUCCEEDED"


def test_the_run_of_a_venue_day_looks_for_gaps_and_leaves_agreement_to_its_own_job(project: Project) -> None:
    (gaps,) = project.check_results("binance/raw/trades", "ticks_gaps", DAY)
    assert gaps.status.value == "SUCCEEDED"
    assert project.check_results(KEY, CHECK, DAY) == []


def requested(project: Project) -> list[tuple[str | None, str | None]]:
    """Return partition and run key of each run that the sensor asks for."""
    found = project.look("agreement_due")
    return (
        [(it.partition_key, it.run_key) for it in found.run_requests or ()]
        if isinstance(found, dg.SensorResult)
        else []
    )


def test_the_sensor_asks_once_for_a_day_that_is_there_and_again_once_the_day_before_is(project: Project) -> None:
    ((day, key),) = requested(project)
    assert day == str(DAY)
    assert requested(project) == [(day, key)]  # Dagster launches a run key once
    project.run("judge_agreement", DAY)
    assert requested(project) == []
    project.run("all_venues", DAY - timedelta(days=1))
    ((before, _),) = requested(project)
    assert before == str(DAY - timedelta(days=1))
    project.run("judge_agreement", DAY - timedelta(days=1))
    ((again, other),) = requested(project)
    assert (again, other != key) == (str(DAY), True)
    project.run("judge_agreement", DAY)
    assert requested(project) == []


def test_runs_that_compare_nothing_do_not_load_the_compiler() -> None:
    script = "import sys, market_data.defs.build; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
