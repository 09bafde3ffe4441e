"""Workers of the broker share a backfill, one of them dies in mid-run, the code server dies while runs are at work, and
the lake is that of a single machine.

Real: Redis, PostgreSQL, Celery workers, a GCS server, the command `market-data backfill` with its daemon, code server
and webserver. The runs' launcher and its settings are the deployment's own (docker/launcher_workers.yaml).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from market_data.defs.celery_launcher import WorkerRunLauncher
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.copied import clean_environment
from market_data_tests.gcs_server import GcsServer
from market_data_tests.ingesting import contents_of
from market_data_tests.patience import PATIENCE_SECONDS, wait_until
from market_data_tests.postgres import IS_INSTALLED, run_postgres
from market_data_tests.simulated import simulated_environment
from market_data_tests.workers import HAS_REDIS, PROJECT, run_redis, run_workers, write_instance

BACKFILL = ["backfill", "--venue", "binance", "--venue", "deribit", "--from", "2024-08-05", "--to", "2024-08-08"]
VENUES = {venue: {"data_types": ["trades", "quotes"]} for venue in ("binance", "deribit")}

WORKERS = ("worker@first", "worker@second")
SLOW_DAY, SLOW_FILES = "2024-08-07", "*/deribit/trades/2024/08/07/*"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not HAS_REDIS, reason="needs the program redis-server"),
]


@dataclass
class Machine:
    """A working directory with a Dagster home and a lake of its own."""

    directory: Path
    environment: dict[str, str]

    @property
    def log_path(self) -> Path:
        return self.directory / "backfill.log"

    @property
    def home(self) -> Path:
        return Path(self.environment["DAGSTER_HOME"])

    @property
    def contents(self) -> dict[str, object]:
        return contents_of(open_lake(self.environment["MARKET_DATA_LAKE_URL"]))

    def is_complete(self, unit: DataTypeDay) -> bool:
        receipt, _ = load_receipt(open_lake(self.environment["MARKET_DATA_LAKE_URL"]), unit)
        return receipt is not None and receipt.is_complete

    @contextmanager
    def backfill(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "market_data", *BACKFILL, *options]
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(command, cwd=self.directory, env=self.environment, stdout=log, stderr=log)
        try:
            yield process
            process.wait(PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait()


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


def machine(directory: Path, simulator: RunningSimulator, **more: str) -> Machine:
    directory.mkdir()
    (directory / "dagster").mkdir()
    venues_file = directory / "venues.yaml"
    venues_file.write_text(yaml.safe_dump({"venues": VENUES, "limits": {"days_per_run": 1}}))
    environment = {
        **simulated_environment(directory, simulator),
        "DAGSTER_HOME": str(directory / "dagster"),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "no_proxy": "127.0.0.1",
        **more,
    }
    return Machine(directory, clean_environment() | environment)


def code_servers_below(pid: int) -> list[int]:
    """Give the processes that serve the definitions to a Dagster that this process started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    waiting, found = [pid], []
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += [it for it in below if b"api\0grpc" in Path(f"/proc/{it}/cmdline").read_bytes()]
    return found


def worker_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    launcher = instance.run_launcher
    assert isinstance(launcher, WorkerRunLauncher)
    return str(launcher.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG]).info["hostname"])


def run_of_slow_day(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (run,) = [
        run
        for run in instance.get_runs()
        if SLOW_DAY in run.tags.values() and {key.path[0] for key in run.asset_selection or ()} == {"deribit"}
    ]
    return run


@dataclass(frozen=True)
class Where:
    """Where Dagster's records and the lake are kept."""

    environment: dict[str, str]

    @property
    def has_postgres(self) -> bool:
        return "DAGSTER_POSTGRES_URL" in self.environment


@pytest.fixture(params=["on one disk", "PostgreSQL and a bucket"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Where]:
    if request.param == "on one disk":
        yield Where({})
        return
    if not IS_INSTALLED:
        pytest.skip("needs the programs of PostgreSQL")
    server: GcsServer = request.getfixturevalue("gcs_server")
    server.create_bucket("workers")
    server.create_bucket("single")
    with run_postgres() as url:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
        yield Where({"DAGSTER_POSTGRES_URL": url, "STORAGE_EMULATOR_HOST": server.url})


def test_a_worker_dies_in_mid_run_and_the_lake_is_that_of_a_single_machine(
    simulator: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Where
) -> None:
    lakes = {
        name: {"MARKET_DATA_LAKE_URL": f"gs://{name}"} if where.has_postgres else {} for name in ("workers", "single")
    }
    several = machine(tmp_path / "several", simulator, **where.environment, **lakes["workers"])
    write_instance(several.home, has_postgres=where.has_postgres)
    with ExitStack() as stack:
        several.environment["DAGSTER_REDIS_URL"] = stack.enter_context(run_redis(tmp_path))
        monkeypatch.setenv("DAGSTER_REDIS_URL", several.environment["DAGSTER_REDIS_URL"])
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(several.home)))
        workers = stack.enter_context(run_workers(tmp_path, several.environment, WORKERS))

        # this file comes so slowly that its worker is there to be killed
        simulator.set_faults([{"match": SLOW_FILES, "action": "slow", "bytes_per_second": 1}])
        with several.backfill() as process:
            quotes = DataTypeDay("DERIBIT", DataType.QUOTES, date.fromisoformat(SLOW_DAY))
            wait_until(lambda: several.is_complete(quotes), "the other data type of the slow day is published")
            for server in code_servers_below(process.pid):  # as a deploy does; runs are not its children
                os.kill(server, signal.SIGKILL)
            killed_run = run_of_slow_day(instance)
            assert not killed_run.is_finished
            killed = worker_of(instance, killed_run)
            os.killpg(workers[killed].pid, signal.SIGKILL)
            wait_until(lambda: run_of_slow_day(instance).is_finished, "the dead worker is noticed")
            simulator.set_faults([])
        said = several.log_path.read_text()
        assert (process.returncode, run_of_slow_day(instance).status.value) == (1, "FAILURE"), said
        ended = Counter(run.status.value for run in instance.get_runs())
        assert ended == {"SUCCESS": 7, "FAILURE": 1}, said
        told = [entry.message for entry in instance.all_logs(killed_run.run_id)]
        assert any(f"the worker {killed} died, or does not answer" in message for message in told), told
        for worker in workers.values():  # each had its part
            assert any(run.run_id in worker.log_path.read_text() for run in instance.get_runs())
        with several.backfill("--only-missing") as process:
            pass
        assert process.returncode == 0, several.log_path.read_text()

    emulator = {name: url for name, url in where.environment.items() if name == "STORAGE_EMULATOR_HOST"}
    single = machine(tmp_path / "single", simulator, **emulator, **lakes["single"])
    with single.backfill() as process:
        pass
    assert process.returncode == 0, single.log_path.read_text()
    assert several.contents == single.contents
