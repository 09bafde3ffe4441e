"""Judging days again: limits changed in the settings reach receipts and checks without the vendor and without a write
to any object but the receipt."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_data.defs.build import build_definitions
from market_data.lake.keys import receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.in_process import Project, open_project

DAY, OTHER_DAY, NEVER_RUN = date(2024, 8, 8), date(2024, 8, 9), date(2024, 8, 7)
QUOTES_KEY = "binance/raw/quotes"
TIMING = "ticks_timing"
# the simulator's small files are sparse
TOLERANT = {"quotes": {name: {"limit": 86400} for name in ("silence", "late_start", "early_end")}}
STRICT = {"quotes": {"silence": {"limit": 0, "severity": "error"}}}


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, simulator: RunningSimulator) -> Iterator[Project]:
    """A project whose venue holds one day, published under tolerant limits."""
    venues = {"binance": {"data_types": ["trades", "quotes"], "include": ["BTCUSDT"], "quality": TOLERANT}}
    with open_project(tmp_path, simulator, venues) as project:
        assert project.run("all_venues", DAY).success
        simulator.clear_requests()
        yield project


def verdict(project: Project, data_type: DataType = DataType.QUOTES) -> str:
    return project.receipt("BINANCE", data_type, DAY).verdict


def generations(project: Project) -> dict[str, int]:
    """Every object of the lake with its generation, but the receipts."""
    objects = project.lake.list_objects("")
    return {stat.key: stat.generation for stat in objects if not stat.key.startswith("receipt/")}


def statuses(project: Project, check: str = TIMING, day: date = DAY) -> list[str]:
    return [record.status.value for record in project.check_results(QUOTES_KEY, check, day)]


def test_the_job_brings_changed_limits_to_receipt_and_checks_of_its_day(project: Project) -> None:
    assert (verdict(project), statuses(project)) == ("ok", ["SUCCEEDED"])
    before = generations(project)
    project.venues["binance"]["quality"] = STRICT
    result = project.run("recheck", DAY)
    assert result.success
    assert (verdict(project), verdict(project, DataType.TRADES)) == ("error", "ok")
    (newest, oldest) = project.check_results(QUOTES_KEY, TIMING, DAY)
    assert (newest.status.value, oldest.status.value) == ("FAILED", "SUCCEEDED")
    assert (newest.partition, newest.run_id) == (DAY.isoformat(), result.run_id)
    assert statuses(project, "coverage") == ["SUCCEEDED", "SUCCEEDED"]  # every other check is executed too
    assert project.simulator.requests() == []
    assert generations(project) == before
    assert result.get_asset_materialization_events() == []


def test_every_day_of_the_project_can_be_chosen(project: Project) -> None:
    job = build_definitions(project.settings()).resolve_job_def("recheck")
    assert job.partitions_def == dg.DailyPartitionsDefinition("2019-03-30", timezone="UTC")


def test_limits_taken_back_give_the_receipt_back_as_it_was(project: Project) -> None:
    before = project.receipt("BINANCE", DataType.QUOTES, DAY)
    project.venues["binance"]["quality"] = STRICT
    project.run("recheck", DAY)
    project.venues["binance"]["quality"] = TOLERANT
    project.run("recheck", DAY)
    assert project.receipt("BINANCE", DataType.QUOTES, DAY) == before
    assert statuses(project) == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_a_check_executed_alone_judges_anew_what_it_tells_of(project: Project) -> None:
    project.venues["binance"]["quality"] = STRICT | {"trades": {"repeated_id": {"limit": 0, "severity": "error"}}}
    trades = project.receipt("BINANCE", DataType.TRADES, DAY)
    project.execute_checks(DAY, (QUOTES_KEY, TIMING))
    assert (verdict(project), statuses(project)) == ("error", ["FAILED", "SUCCEEDED"])
    assert project.receipt("BINANCE", DataType.TRADES, DAY) == trades
    assert project.simulator.requests() == []


def test_a_check_that_does_not_tell_of_ticks_changes_no_receipt(project: Project) -> None:
    project.venues["binance"]["quality"] = STRICT
    project.execute_checks(DAY, (QUOTES_KEY, "coverage"))
    assert verdict(project) == "ok"


def test_a_day_that_is_materialised_again_is_judged_by_the_new_limits_too(project: Project) -> None:
    project.venues["binance"]["quality"] = STRICT
    result = project.run("all_venues", DAY)
    assert (verdict(project), statuses(project)) == ("error", ["FAILED", "SUCCEEDED"])
    events = result.asset_materializations_for_node("binance__venue_day")
    (shown,) = (event for event in events if event.asset_key.to_user_string() == QUOTES_KEY)
    told: dict[str, Any] = {name: value.value for name, value in shown.metadata.items()}
    assert (told["verdict on the ticks"], told["already current"]) == ("error", True)
    assert not [entry for entry in project.simulator.requests() if entry["path"].endswith(".csv.gz")]


def test_a_unit_that_a_run_is_at_work_on_keeps_its_verdict_and_the_log_says_so(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    key = receipt_key(DataTypeDay("BINANCE", DataType.QUOTES, DAY))
    document = json.loads(project.lake.get_bytes(key)[0]) | {"claim": "another run"}
    project.lake.put_bytes(json.dumps(document).encode(), key)
    before = project.lake.stat(key)
    project.venues["binance"]["quality"] = STRICT
    assert project.run("recheck", DAY).success
    assert project.lake.stat(key) == before
    assert "BINANCE quotes 2024-08-08: its verdict stays, for a run is at work on it" in capfd.readouterr().err


def test_a_day_that_was_never_run_is_told_as_such_and_nothing_is_written(project: Project) -> None:
    before = {stat.key for stat in project.lake.list_objects("")}
    assert project.run("recheck", NEVER_RUN).success
    (record,) = project.check_results(QUOTES_KEY, "coverage", NEVER_RUN)
    assert record.status.value == "FAILED"
    assert {stat.key for stat in project.lake.list_objects("")} == before
