"""`retention`: Dagster's database of 365 days of 4 venues, before and after its runs are forgotten.

Ten days of one venue with four data types are true runs (in this process: without the few events of queue and daemon).
Their events, runs and check results are copied for the other days, by SQL: other ids, other days, the same texts. So
four venues' year is one venue's four years. In SQLite (files) and PostgreSQL (its database), with one and with ten days
in a run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import sqlalchemy as db
import yaml
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

from market_data.defs.retention import forget_runs
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder
from market_data_tests.in_process import Project, open_project
from market_data_tests.postgres import IS_INSTALLED, run_postgres

_VENUES = {"binance": {"data_types": ["trades", "quotes", "book_ticker", "book_snapshot_5"], "include": ["BTCUSDT"]}}
_FIRST, _DAYS = date(2024, 8, 1), 10
_VENUE_DAYS = 4 * 365
_EVENTS, _CHECKS = SqlEventLogStorageTable, AssetCheckExecutionsTable


def measure(options: Options) -> Results:
    """Give megabytes, events and runs before and after, and the seconds that it took."""
    results: Results = {}
    copies = 3 if options.quick else _VENUE_DAYS // _DAYS - 1
    for storage in ("sqlite", "postgres"):
        if storage == "postgres" and not IS_INSTALLED:
            continue
        for days_per_run in (10, 1):
            found = _measure(storage, days_per_run, copies)
            results |= {f"retention.{storage}.{days_per_run}_days_a_run.{name}": it for name, it in found.items()}
    return results


def _measure(storage: str, days_per_run: int, copies: int) -> Results:
    with _project(storage) as project:
        _run_template(project, days_per_run)
        _copy(project.instance, copies)
        before, started = _sizes(project), time.perf_counter()
        forget_runs(project.instance, project.settings(), datetime.now(UTC) + timedelta(days=1))
        seconds, after = time.perf_counter() - started, _sizes(project)
        pairs = {f"{name}.before": it for name, it in before.items()} | {f"{n}.after": it for n, it in after.items()}
        return pairs | {"seconds": Measured((seconds,), "s", f"{_DAYS * (copies + 1):,} venue-days")}


@contextmanager
def _project(storage: str) -> Iterator[Project]:
    options = SimulatorOptions(clock="2024-08-12T07:00:00Z", scale=0.02)
    with disk_folder() as home, run_simulator(options) as simulator:
        (home / "dagster").mkdir()
        with run_postgres() if storage == "postgres" else nullcontext() as url:
            settings: dict[str, Any] = {"telemetry": {"enabled": False}}
            if url:
                settings["storage"] = {"postgres": {"postgres_url": url}}
            (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(settings))
            with open_project(home, simulator, _VENUES, home=home / "dagster") as project:
                yield project


def _run_template(project: Project, days_per_run: int) -> None:
    for offset in range(0, _DAYS, days_per_run):
        first = _FIRST + timedelta(days=offset)
        last = first + timedelta(days=days_per_run - 1)
        assert project.materialize("BINANCE", first, last if days_per_run > 1 else None).success


def _copy(instance: dg.DagsterInstance, copies: int) -> None:
    """Copy what the instance knows so many times, each time ten days earlier."""
    storage, runs = instance.event_log_storage, instance.run_storage
    assert isinstance(storage, SqlEventLogStorage)
    assert isinstance(runs, SqlRunStorage)
    for run in instance.get_runs():
        with runs.connect() as connection:
            of_runs = {table: _rows(connection, table, run.run_id) for table in (RunsTable, RunTagsTable)}
        with storage.index_connection() as connection:
            of_events = {table: _rows(connection, table, run.run_id) for table in (_EVENTS, _CHECKS)}
        for number in range(1, copies + 1):
            other, shift = str(uuid4()), timedelta(days=number * _DAYS)
            for connect, tables in ((runs.connect, of_runs), (storage.index_connection, of_events)):
                with connect() as connection:
                    for table, rows in tables.items():
                        moved = [
                            {name: _moved(it, run.run_id, other, shift) for name, it in row.items()} for row in rows
                        ]
                        connection.execute(table.insert(), moved)
            if isinstance(storage, SqliteEventLogStorage):
                shutil.copyfile(storage.path_for_shard(run.run_id), storage.path_for_shard(other))


def _rows(connection: db.Connection, table: db.Table, run_id: str) -> list[dict[str, object]]:
    found = connection.execute(table.select().where(table.c.run_id == run_id)).mappings()
    return [{name: value for name, value in row.items() if name != "id"} for row in found]


def _moved(value: object, run_id: str, other: str, shift: timedelta) -> object:
    if not isinstance(value, str):
        return value
    text = value.replace(run_id, other)
    for offset in range(_DAYS):
        day = _FIRST + timedelta(days=offset)
        text = text.replace(f"{day}", f"{day - shift}")
    return text


def _sizes(project: Project) -> Results:
    instance = project.instance
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as connection:
        events = connection.execute(db.select(db.func.count()).select_from(_EVENTS)).scalar()
        if isinstance(storage, SqliteEventLogStorage):
            files = [path for path in (project.directory / "dagster" / "history").rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in files)
        else:
            connection.execute(db.text("vacuum full"))  # what is in use; else space is free for later events
            size = int(connection.execute(db.text("select pg_database_size(current_database())")).scalar() or 0)
    found = {"mb": (size / 1e6, "MB"), "events": (events, "events"), "runs": (instance.get_runs_count(), "runs")}
    return {name: Measured((float(value or 0),), unit) for name, (value, unit) in found.items()}
