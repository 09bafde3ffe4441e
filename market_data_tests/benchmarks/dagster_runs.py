"""`dagster_overhead_seconds`: what a day's run costs beyond the use case, with its checks kept by day.

A day of two tiny files, each day a run of its own: in this warm process (`warm`; `without_storage` keeps nothing), in a
new process as a run launcher starts one (`new_process`), and with --full through queue and daemon (`daemon`: from the
first run's start to the last one's end, two at once, by day; `daemon_range`: the same days in one run).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from market_data.demo.local_dagster import prepare_home, run_dagster
from market_data.demo.runs import split_days
from market_data.lake.open import open_lake
from market_data_tests.benchmarks.growth import many_days, run_day
from market_data_tests.benchmarks.measured import Measured, Options, Results, Side, disk_folder, measure_in_turn
from market_data_tests.benchmarks.static_vendor import static_vendor

_VENUES = {"start_date": "2024-08-01", "venues": {"binance": {"data_types": ["trades", "quotes"]}}}
_ASSETS = ("instruments", "raw/trades", "raw/quotes", "by_date", "by_venue", "by_type")
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_DAEMON_DAYS = 8
_POLL_SECONDS = 0.5
_LONGEST_SECONDS = 600


def measure(options: Options) -> Results:
    """Give the overhead of each way by day."""
    folder, days = many_days(40 + _DAEMON_DAYS)
    upcoming = iter(days)
    with static_vendor(folder) as url, disk_folder() as home, _environment(url, home):
        with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as kept, dg.DagsterInstance.ephemeral() as none:
            lake = open_lake((home / "use-case").as_uri())
            sides: dict[str, Side] = {
                "use_case": lambda _: run_day(lake, url, next(upcoming)),
                "warm": lambda _: _run_here(kept, next(upcoming)),
                "without_storage": lambda _: _run_here(none, next(upcoming)),
                "new_process": lambda _: _run_in_new_process(next(upcoming)),
            }
            measure_in_turn(1, sides)
            spent = measure_in_turn(min(options.rounds, 5), sides)
        results: Results = {}
        for way in ("warm", "without_storage", "new_process"):
            pairs = zip(spent[way].seconds, spent["use_case"].seconds, strict=True)
            results[f"dagster_overhead_seconds.{way}"] = Measured(tuple(whole - alone for whole, alone in pairs), "s")
        if options.full:
            for way, days_per_run in (("daemon", 1), ("daemon_range", _DAEMON_DAYS)):
                seconds = _run_through_daemon(home, [next(upcoming) for _ in range(_DAEMON_DAYS)], days_per_run)
                results[f"dagster_overhead_seconds.{way}"] = Measured((seconds,), "s")
    return results


@contextmanager
def _environment(url: str, home: Path) -> Iterator[None]:
    """Point the project at a lake, a vendor and a Dagster home of its own."""
    (home / "venues.yaml").write_text(yaml.safe_dump(_VENUES))
    prepare_home(home / "dagster")
    wanted = {
        "MARKET_DATA_CONFIG": str(home / "venues.yaml"),
        "MARKET_DATA_LAKE_URL": (home / "lake").as_uri(),
        "MARKET_DATA_VENDOR": "simulator",
        "TARDIS_API_URL": url,
        "TARDIS_DATASETS_URL": url,
        "DAGSTER_HOME": str(home / "dagster"),
    }
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run_here(instance: dg.DagsterInstance, day: date) -> None:
    from market_data.definitions import defs  # noqa: PLC0415  reads the environment when it is imported

    job = defs.resolve_job_def("all_venues")
    assert job.execute_in_process(instance=instance, partition_key=f"{day}", run_config=_SILENT).success


def _run_in_new_process(day: date) -> None:
    command = ["-m", "dagster", "asset", "materialize", "-m", "market_data.definitions", "--select", "group:binance"]
    subprocess.run([sys.executable, *command, "--partition", f"{day}"], check=True, capture_output=True)


def _run_through_daemon(home: Path, days: list[date], days_per_run: int) -> float:
    """Run the days as a person at the shell does; give the seconds by day, without the daemon's first look."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("MARKET_DATA_", "TARDIS_"))}
    keys = [f"binance/{name}" for name in _ASSETS]
    with run_dagster(home / "dagster", environment, port=0, log=home / "daemon.log") as dagster:
        pieces = split_days(days, days_per_run)
        run_ids = [dagster.launch_days(keys, f"{some[0]}", f"{some[-1]}", {}) for some in pieces]
        with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
            records = _wait_for_runs(instance, run_ids)
    first = min(float(record.start_time) for record in records)
    return (max(float(record.end_time) for record in records) - first) / len(days)


def _wait_for_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> list[Any]:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        records: list[Any] = list(instance.get_run_records(dg.RunsFilter(run_ids=run_ids)))
        if len(records) == len(run_ids) and all(record.dagster_run.is_finished for record in records):
            assert all(record.dagster_run.is_success for record in records)
            return records
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{len(run_ids)} runs were not done after {_LONGEST_SECONDS} s")
