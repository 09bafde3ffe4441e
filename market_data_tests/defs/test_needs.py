"""What needs a person, under the real daemon with the simulator's faults: on the asset page, at an address, in a shell.

The sensors look every two seconds here, so that the timeline takes a minute.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData, TickStatus

from market_data.cli.status import status_command
from market_data.defs.needs import NEEDS_CHECK, NEEDS_KEY, NEEDS_SENSOR
from market_data.operate.alert_memory import AlertMemory
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.daemon import House, start_daemon
from market_data_tests.patience import wait_until
from market_data_tests.receiver import TOKEN, Receiver, receive
from market_data_tests.simulated import simulated_environment

PROJECT = Path(__file__).parents[2]
FIRST_DAY = datetime.now(UTC).date() - timedelta(days=20)
REFUSED, QUOTA, DAMAGED, GIVEN_UP = (FIRST_DAY + timedelta(days=number) for number in (1, 2, 3, 4))
BTC = "*/binance/trades/{day:%Y/%m/%d}/BTCUSDT.csv.gz"
KEYS = ["binance/instruments", "binance/raw/trades", "binance/by_date", "binance/by_venue", "binance/by_type"]
FAULTS: dict[date, dict[str, Any]] = {
    REFUSED: {"action": "status", "code": 401, "error_code": 11},
    QUOTA: {"action": "status", "code": 429, "retry_after": 16_912},
    DAMAGED: {"action": "html_200"},
    GIVEN_UP: {"action": "status", "code": 503},
}

pytestmark = pytest.mark.long


@dataclass
class Deployment:
    """A running deployment, its vendor, and whoever is told."""

    house: House
    simulator: RunningSimulator
    receiver: Receiver
    environment: dict[str, str]

    def export(self, newest: date) -> None:
        """Let the vendor's clock be at 07:00 UTC of the day after the newest exported one."""
        instant = datetime.combine(newest + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
        self.simulator.set_clock(instant)

    def page(self) -> list[str]:
        """The entries on the asset page, none where nothing needs a person; before the first look, one word."""
        event = self.house.instance.get_latest_materialization_event(NEEDS_KEY)
        shown = event.asset_materialization if event else None
        if shown is None:
            return ["never shown"]
        entries = [name for name in shown.metadata if name not in {"verdict", "entries"}]
        assert shown.metadata["entries"].value == len(entries)
        return entries

    def wait_for_page(self, *told: str) -> None:
        """Wait until the page has just these entries."""
        wait_until(
            lambda: sorted(self.page()) == sorted(told), lambda: f"the page tells {told}; it tells {self.page()}"
        )

    def status(self) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(status_command, ["--json"], env=self.environment)
        return result.exit_code, json.loads(result.stdout)

    def latest_complete(self) -> list[str | None]:
        return [it["latest_complete_day"] for it in self.status()[1]["venues"]]

    def state(self) -> InstigatorState:
        (state,) = (it for it in self.house.instance.all_instigator_state() if it.name == NEEDS_SENSOR)
        return state

    def wait_for_looks(self, count: int) -> None:
        state, instance = self.state(), self.house.instance

        def looks() -> int:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=500)
            assert all(tick.status is not TickStatus.FAILURE for tick in ticks), [tick.error for tick in ticks]
            return len(ticks)

        before = looks()
        wait_until(lambda: looks() >= before + count, f"{NEEDS_SENSOR} has looked {count} more times")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("needs")
    venues_file = directory / "venues.yaml"
    document = {
        "start_date": FIRST_DAY.isoformat(),
        "end_date": GIVEN_UP.isoformat(),
        "venues": {"binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}},
        "automation": {"check_every_seconds": 2, "days_per_check": 4, "first_wait_seconds": 0, "max_attempts": 1},
    }
    venues_file.write_text(yaml.safe_dump(document))
    with run_simulator(SimulatorOptions(scale=0.05)) as simulator, receive() as receiver:
        environment = simulated_environment(
            directory, simulator, MARKET_DATA_AUTOMATION="on", MARKET_DATA_ALERT_URL=receiver.url
        )
        simulator.set_faults([{"match": BTC.format(day=day), "attempts": "all", **it} for day, it in FAULTS.items()])
        simulator.set_clock(
            datetime.combine(FIRST_DAY + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
        )
        with start_daemon("market_data.definitions", environment, project=PROJECT) as house:
            yield Deployment(house, simulator, receiver, {**environment, "DAGSTER_HOME": str(house.home)})


def test_entries_come_are_told_once_and_go_when_they_are_mended(deployment: Deployment) -> None:
    late = f"BINANCE {REFUSED} to {GIVEN_UP}: venue late"
    deployment.wait_for_page(late)
    # a venue without any day begins with its latest exported one, so the first is to be there before others are
    wait_until(lambda: deployment.latest_complete() == [str(FIRST_DAY)], f"{FIRST_DAY} is in the lake")
    deployment.export(GIVEN_UP)
    deployment.wait_for_page(
        f"BINANCE {REFUSED}: key refused",
        f"BINANCE {QUOTA}: quota used up",
        f"BINANCE {DAMAGED}: permanent fault",
        f"BINANCE {GIVEN_UP}: given up",
    )
    code, told = deployment.status()
    assert (code, [it["kind"] for it in told["needs"]]) == (
        1,
        ["key refused", "permanent fault", "given up", "quota used up"],
    )
    assert deployment.latest_complete() == [str(FIRST_DAY)]
    assert {it["name"]: it["is_on"] for it in told["sensors"]}["failed_venue_days"] is True

    deployment.wait_for_looks(1)  # the look that told the last entry has saved so
    deployment.house.daemon.stop()
    deployment.house.daemon.start()
    deployment.wait_for_looks(2)
    assert [message["kind"] for message in deployment.receiver.messages] == ["new"] * len(deployment.receiver.bodies)

    a_day_passes(deployment)
    deployment.wait_for_looks(3)
    digests = [message for message in deployment.receiver.messages if message["kind"] == "digest"]
    assert [len(message["entries"]) for message in digests] == [4]

    deployment.simulator.set_faults([])
    days = [day.isoformat() for day in FAULTS]
    assert deployment.house.backfill(KEYS, days) == "COMPLETED_SUCCESS"
    deployment.wait_for_page()
    assert deployment.status()[0] == 0
    checks = deployment.house.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(NEEDS_KEY, NEEDS_CHECK), limit=50
    )
    assert [check.status.value for check in checks[:2]] == ["SUCCEEDED", "FAILED"]


def a_day_passes(deployment: Deployment) -> None:
    """Let the sensor believe that it told all entries 25 hours ago."""
    house = deployment.house
    house.daemon.stop()  # a look that is under way would write its own memory over this one
    state = deployment.state()
    data = state.instigator_data
    assert isinstance(data, SensorInstigatorData)
    memory = AlertMemory.parse(data.cursor)
    assert memory.digest_at is not None
    memory.digest_at -= timedelta(hours=25)
    house.instance.update_instigator_state(state.with_data(data._replace(cursor=memory.model_dump_json())))
    house.daemon.start()


def test_each_entry_was_told_once_and_nobody_was_told_the_key_or_the_address(deployment: Deployment) -> None:
    new = [message for message in deployment.receiver.messages if message["kind"] == "new"]
    told = Counter((it["kind"], day) for message in new for it in message["entries"] for day in it["days"])
    expected = {("venue late", str(day)) for day in FAULTS}
    kinds = ("key refused", "quota used up", "permanent fault", "given up")
    expected |= {(kind, str(day)) for kind, day in zip(kinds, FAULTS, strict=True)}
    assert told == dict.fromkeys(expected, 1)
    assert [body for body in deployment.receiver.bodies if DEFAULT_KEY in body] == []
    home = deployment.house.home
    assert [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_the_list_is_shown_when_it_changes_and_not_at_each_look(deployment: Deployment) -> None:
    deployment.wait_for_looks(3)
    records = deployment.house.instance.fetch_materializations(NEEDS_KEY, limit=200).records
    shown = [
        record.asset_materialization.metadata["entries"].value for record in records if record.asset_materialization
    ]
    assert shown[0] == 0
    assert len(shown) <= 12
