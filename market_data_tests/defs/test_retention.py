"""Dagster forgets old runs, and what it shows of days stays as it is: in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from sqlalchemy import select

from market_data.defs.build import build_definitions
from market_data.defs.retention import Forgotten, forget_runs
from market_data.defs.runs import LOG_DELETED_TAG
from market_data.lake.keys import object_key
from market_data.model.data_types import DataType
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.in_process import Project, open_project
from market_data_tests.postgres import IS_INSTALLED, run_postgres
from market_data_tests.told import Told, told_by

FIRST, SECOND, FAILING, HEALED, LAST = (date(2024, 8, day) for day in (4, 5, 6, 7, 8))
VENUES = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}}


@dataclass(frozen=True)
class Shown:
    """What pages and sensors tell of days."""

    told: Told
    assets: dict[str, dict[str, Any]]
    jobs: dict[str, dict[str, str]]
    open_days: str

    @classmethod
    def by(cls, project: Project) -> Shown:
        instance, days = project.instance, dg.DailyPartitionsDefinition("2024-08-01", end_date="2024-08-10")
        graph = build_definitions(project.settings()).resolve_asset_graph()
        assets = {}
        for key in graph.get_all_asset_keys():
            instance.event_log_storage.wipe_asset_cached_status(key)  # what was reckoned before
            assets[key.to_user_string()] = dict(
                instance.get_status_by_partition(key, days.get_partition_keys(), days) or {}
            )
        jobs = {
            job: {
                str(it.partition): it.status.value
                for it in instance.get_run_partition_data(dg.RunsFilter(job_name=job))
            }
            for job in ("all_venues", "recheck")
        }
        found = project.look("failed_venue_days")
        return cls(told_by(project), assets, jobs, str(found))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def project(request: pytest.FixtureRequest, tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    home = tmp_path / "dagster"
    settings: dict[str, Any] = {"telemetry": {"enabled": False}}
    home.mkdir()
    shared_simulator.set_faults([])
    if request.param == "postgres" and not IS_INSTALLED:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    with run_postgres() if request.param == "postgres" else nullcontext() as url:
        if url:
            settings["storage"] = {"postgres": {"postgres_url": url}}
        (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        with open_project(tmp_path, shared_simulator, VENUES, {"first_wait_seconds": 0}, home=home) as project:
            yield project


@pytest.fixture
def in_memory(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    shared_simulator.set_faults([])
    with open_project(tmp_path, shared_simulator, VENUES) as project:
        yield project


def break_files(project: Project, *days: date) -> None:
    files = [f"*/binance/trades/{day:%Y/%m/%d}/*" for day in days]
    project.simulator.set_faults([{"match": match, "action": "status", "code": 503} for match in files])


def live(project: Project) -> dict[str, str]:
    """Run days and checks in every way; return the runs by name."""
    runs = {"range": project.materialize("BINANCE", FIRST, SECOND).run_id}
    break_files(project, FAILING, HEALED)
    runs |= {
        "failed": project.materialize("BINANCE", FAILING).run_id,
        "healed": project.materialize("BINANCE", HEALED).run_id,
    }
    break_files(project)
    runs |= {"healing": project.run("all_venues", HEALED).run_id}
    runs |= {"first recheck": project.run("recheck", FIRST).run_id, "recheck": project.run("recheck", FIRST).run_id}
    runs |= {"last": project.materialize("BINANCE", LAST).run_id}
    receipt = project.receipt("BINANCE", DataType.TRADES, LAST)
    project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
    return runs | {"failed check": project.run("recheck", LAST).run_id}


def forget(project: Project) -> Forgotten:
    return forget_runs(project.instance, project.settings(), datetime.now(UTC) + timedelta(minutes=1))


def events_of(project: Project, run_id: str) -> set[str | None]:
    """The kinds of events that are kept of a run."""
    kind = SqlEventLogStorageTable.c.dagster_event_type
    with project.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        found = connection.execute(select(kind).where(SqlEventLogStorageTable.c.run_id == run_id))
        return {row[0] for row in found}


def test_old_runs_go_and_what_is_shown_of_days_stays(project: Project) -> None:
    runs = live(project)
    before = Shown.by(project)
    assert forget(project).runs == 5
    assert Shown.by(project) == before
    assert forget(project) == Forgotten()

    known = {run.run_id: run for run in project.instance.get_runs()}
    gone = {name for name, run_id in runs.items() if run_id not in known}
    assert gone == {"range", "healed", "first recheck"}
    assert [path for name in gone for path in project.directory.glob(f"dagster/**/{runs[name]}*")] == []
    marked = {name for name, run_id in runs.items() if run_id in known and LOG_DELETED_TAG in known[run_id].tags}
    assert marked == {"healing", "recheck"}
    assert events_of(project, runs["range"]) == {"ASSET_MATERIALIZATION"}
    assert events_of(project, runs["healed"]) == {"ASSET_MATERIALIZATION", "ASSET_OBSERVATION"}
    assert events_of(project, runs["recheck"]) == set()
    assert {"ASSET_MATERIALIZATION_PLANNED", "PIPELINE_FAILURE"} <= events_of(project, runs["failed"])


def test_the_job_forgets_no_run_that_ended_a_moment_ago(in_memory: Project) -> None:
    run_id = in_memory.materialize("BINANCE", FIRST).run_id
    job = build_definitions(in_memory.settings()).resolve_job_def("tidy_lake")
    assert job.execute_in_process(instance=in_memory.instance).success
    assert in_memory.instance.get_run_by_id(run_id) is not None


@pytest.mark.dagster
def test_dagsters_own_deletion_of_a_run_takes_the_status_of_its_days(in_memory: Project) -> None:
    """Where it keeps that, `defs/retention.py` is needed no more, nor the parts of Dagster's storage that it uses."""
    in_memory.instance.delete_run(in_memory.materialize("BINANCE", FIRST).run_id)
    assert in_memory.instance.get_materialized_partitions(dg.AssetKey(["binance", "by_date"])) == set()
