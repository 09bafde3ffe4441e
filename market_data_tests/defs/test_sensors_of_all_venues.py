"""The sensors under the real daemon with every venue there is: one venue never answers, 2,000 venue-days have failed.

Dagster ends a look after 60 s: a look that takes longer is a failed tick.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from market_data.model.venues import EXCHANGE_IDS
from market_data.settings.environment import Settings, load_settings
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.benchmarks.many_failed_days import add_failed_runs
from market_data_tests.daemon import House, start_daemon
from market_data_tests.patience import wait_until
from market_data_tests.simulated import simulated_environment

PROJECT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()
LATEST = TODAY - timedelta(days=5)
LOOKS = 4

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Settings]]:
    directory = tmp_path_factory.mktemp("sensors")
    venues_file = directory / "venues.yaml"
    venues = {exchange: {"data_types": ["trades"], "max_instruments": 1} for exchange in EXCHANGE_IDS}
    automation = {"check_every_seconds": 5, "days_per_check": 1, "first_wait_seconds": 3600}
    venues_file.write_text(yaml.safe_dump({"venues": venues, "automation": automation}))
    stall = {"match": "*/exchanges/deribit", "action": "stall", "after_bytes": 0, "seconds": 600}
    clock = datetime.combine(LATEST + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
    with run_simulator(SimulatorOptions(scale=0.01, latency_ms=500, clock=clock, faults=[stall])) as simulator:
        environment = simulated_environment(directory, simulator, MARKET_DATA_AUTOMATION="on")
        settings = load_settings(environment)
        with start_daemon("market_data.definitions", environment, project=PROJECT) as house:
            add_failed_runs(
                house.instance, settings, [date(2024, 1, 1) + timedelta(days=number) for number in range(31)]
            )
            yield house, settings


def ticks(house: House, sensor: str) -> list[InstigatorTick]:
    """The looks that have ended, newest first."""
    found = [
        tick
        for state in house.instance.all_instigator_state()
        if state.name == sensor
        for tick in house.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=100)
    ]
    return [tick for tick in found if tick.status is not TickStatus.STARTED]


@pytest.mark.parametrize("sensor", ["new_days", "failed_venue_days"])
def test_every_look_ends_in_time(deployment: tuple[House, Settings], sensor: str) -> None:
    house, _ = deployment
    wait_until(lambda: len(ticks(house, sensor)) >= LOOKS, f"{sensor} has looked {LOOKS} times")
    for tick in ticks(house, sensor):
        assert tick.status in {TickStatus.SUCCESS, TickStatus.SKIPPED}, json.dumps(str(tick.error))[:2000]


def test_all_venues_but_the_one_that_never_answers_are_launched(deployment: tuple[House, Settings]) -> None:
    house, settings = deployment

    def launched() -> set[str]:
        runs = house.instance.get_runs(dg.RunsFilter(tags={"dagster/priority": "2"}))
        return {run.tags["venue"] for run in runs}

    wait_until(lambda: len(launched()) == len(settings.config.venues) - 1, "65 venues are launched")
    assert set(settings.config.venues) - launched() == {"DERIBIT"}
