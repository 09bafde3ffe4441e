"""Fixtures that several rooms of tests share."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import stamina
from alembic.config import Config
from alembic.script import ScriptDirectory

from market_data.ingest import decoders
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.simulator.http.server import RunningSimulator, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.gcs_server import GcsServer
from market_data_tests.gcs_server import gcs_server as start_gcs_server
from market_data_tests.ingesting import SIMULATOR_OPTIONS, Vendor, contents_of, plan_day, run_day

# One profile for everyone, whatever else a machine has to do: no example has a deadline, making them may take long, and
# the examples are the same each time (a test that is to find others says so).
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")

# The Dagster whose behaviour the tests marked `dagster` were last seen to describe. They run by themselves as long as
# another one is installed: when they pass with it, write its version here.
DAGSTER_SEEN = "1.13.27"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what describes Dagster itself, unless Dagster is another one or `-m` speaks of these tests."""
    # the files that wait most for other processes come first, so that there is something else to do meanwhile
    first = ("test_demo.py", "test_launches.py")
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))
    if version("dagster") != DAGSTER_SEEN or "dagster" in config.option.markexpr:
        return
    described = [item for item in items if item.get_closest_marker("dagster")]
    config.hook.pytest_deselected(items=described)
    items[:] = [item for item in items if item not in described]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why the suite takes longer than usual."""
    if (installed := version("dagster")) != DAGSTER_SEEN:
        terminalreporter.write_line(
            f"Dagster is {installed}, and what it does was last looked at with {DAGSTER_SEEN}: the tests marked "
            f"`dagster` run too. When they pass, write {installed} as DAGSTER_SEEN into {__file__}."
        )


@pytest.fixture(scope="session", autouse=True)
def _decoded_on_threads() -> Iterator[None]:
    """Let no test decode in other processes because of how much those before it decoded; who wants them asks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoders, "_WORTH_BYTES", math.inf)
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Each new instance of Dagster is stamped with its newest migration, for which alembic reads some hundred files."""
    read = ScriptDirectory.from_config
    kept: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in kept:
            kept[location] = read(config)
        return kept[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """A GCS server for the whole session; every Google client of this process and its children finds it."""
    with start_gcs_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(params=["local", "gcs"])
def make_lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the URL of an empty lake at each call: a directory that does not exist yet, or a fresh bucket."""
    names = (f"lake-{number}" if number else "lake" for number in count())

    def make() -> str:
        if request.param == "local":
            return (tmp_path / next(names)).as_uri()
        server: GcsServer = request.getfixturevalue("gcs_server")
        bucket = f"lake-{uuid.uuid4().hex}"
        server.create_bucket(bucket)
        return f"gs://{bucket}/some/prefix"

    return make


@pytest.fixture
def lake_url(make_lake_url: Callable[[], str]) -> str:
    """The URL of an empty lake of each kind."""
    return make_lake_url()


@pytest.fixture
def lake(lake_url: str) -> TickLake:
    """An empty lake of each kind."""
    return open_lake(lake_url)


@pytest.fixture
def retries_without_waits() -> Iterator[None]:
    """As many attempts as in production, with no wait between them."""
    with stamina.set_testing(True, attempts=5):
        yield


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[RunningSimulator]:
    """One vendor for all tests of whole runs: it makes each file once."""
    with run_simulator(SIMULATOR_OPTIONS) as running:
        yield running


@pytest.fixture
def vendor(shared_simulator: RunningSimulator) -> Vendor:
    """The vendor without faults, at its clock, asked nothing so far."""
    vendor = Vendor(shared_simulator)
    vendor.recover()
    return vendor


@pytest.fixture(scope="session")
def undisturbed(
    shared_simulator: RunningSimulator, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, object]]:
    """Takes what `plan_day` takes; gives what a lake holds after one run of it without any fault.

    Ask before the vendor is spoilt: it forgets its faults and its requests.
    """

    @cache
    def run(selection: Selection, **of_what: Any) -> dict[str, object]:
        vendor = Vendor(shared_simulator)
        vendor.recover()
        lake = open_lake(tmp_path_factory.mktemp("undisturbed").as_uri())
        run_day(lake, vendor, plan_day(lake, vendor, selection, **of_what))
        vendor.recover()
        return contents_of(lake)

    return run
