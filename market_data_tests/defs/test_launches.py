"""New days and failed venue-days under the real daemon, with the simulator's clock and faults.

The sensors look every two seconds here, and a re-run waits for nothing, so that the timelines take seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from market_data.defs.agreement import AGREEMENT_JOB
from market_data.lake.keys import object_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.daemon import House, start_daemon
from market_data_tests.patience import wait_until
from market_data_tests.simulated import simulated_environment

PROJECT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()
FIRST_DAY = TODAY - timedelta(days=20)
HISTORY = [FIRST_DAY - timedelta(days=number) for number in (9, 8, 7)]
BTC, ETH = "*/binance/trades/{day:%Y/%m/%d}/BTCUSDT.csv.gz", "*/binance/trades/{day:%Y/%m/%d}/ETHUSDT.csv.gz"


@dataclass
class Deployment:
    """A running deployment of the product, its vendor, and what a test asks of it."""

    house: House
    simulator: RunningSimulator
    lake_url: str
    newest: date = FIRST_DAY + timedelta(days=1)

    def next_days(self, count: int) -> list[date]:
        """Days that no test had so far, right after those: whatever is exported is caught up from there."""
        return [self.newest + timedelta(days=number) for number in range(1, count + 1)]

    def runs(self, day: date) -> list[dg.DagsterRun]:
        return self.house.runs(day.isoformat())

    def statuses(self, day: date) -> list[str]:
        return [run.status.value for run in self.runs(day)]

    def export(self, newest: date) -> None:
        """Let the vendor's clock be at 07:00 UTC of the day after the newest exported one."""
        instant = datetime.combine(newest + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
        self.simulator.set_clock(instant)
        self.newest = newest

    def begin(self) -> None:
        """Have a day in the lake: a venue without any starts at its latest, and catches nothing up."""
        if not self.runs(self.newest):
            self.export(self.newest)
            self.wait_for_runs(self.newest, "SUCCESS")

    def wait_for_runs(self, day: date, *statuses: str) -> None:
        wait_until(
            lambda: self.statuses(day) == list(statuses),
            lambda: f"runs of {day} are {statuses}; they are {self.statuses(day)}",
        )

    def wait_for_looks(self, sensor: str, count: int) -> None:
        """Wait until a sensor has looked so many more times."""
        # of all looks only the newest are read: on a busy machine there are more of them than that
        since = max((tick.timestamp for tick in self.ticks(sensor)), default=0.0)
        wait_until(
            lambda: sum(tick.timestamp > since for tick in self.ticks(sensor)) >= count,
            f"{sensor} has looked {count} more times",
        )

    def switch_off(self, sensor: str) -> None:
        """Switch a sensor off, again where need be: Dagster writes back the state that it read before a look."""

        def is_off() -> bool:
            self.house.switch("Sensor", sensor, is_on=False)
            self.wait_for_looks("new_days", 2)  # what was under way is over
            states = [state for state in self.house.instance.all_instigator_state() if state.name == sensor]
            is_looking = any(tick.status is TickStatus.STARTED for tick in self.ticks(sensor))
            return not is_looking and not any(state.is_running for state in states)

        wait_until(is_off, f"{sensor} is off and does not look any more")

    def ticks(self, sensor: str) -> list[InstigatorTick]:
        states = [state for state in self.house.instance.all_instigator_state() if state.name == sensor]
        return [
            tick
            for state in states
            for tick in self.house.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=100)
        ]

    def wait_for_comparison(self, day: date) -> None:
        """Wait until a day was compared once its ticks are there; then switch off what no test here asks for more."""
        of_day = dg.RunsFilter(job_name=AGREEMENT_JOB, tags={"dagster/partition": day.isoformat()})
        wait_until(
            lambda: [run.status.value for run in self.house.instance.get_runs(of_day)] == ["SUCCESS"],
            f"the data types of {day} are compared",
        )
        self.wait_for_looks("needs_a_person", 1)
        for sensor in ("agreement_due", "needs_a_person"):
            assert {tick.status for tick in self.ticks(sensor)} <= {
                TickStatus.STARTED,
                TickStatus.SKIPPED,
                TickStatus.SUCCESS,
            }
            self.house.switch("Sensor", sensor, is_on=False)

    def skip_reasons(self, sensor: str) -> str:
        return " | ".join(tick.skip_reason or "" for tick in self.ticks(sensor)[:3])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("launches")
    venues_file = directory / "venues.yaml"
    document = {
        "start_date": HISTORY[0].isoformat(),
        "venues": {"binance": {"data_types": ["trades"], "include": ["BTCUSDT", "ETHUSDT"]}},
        "automation": {"check_every_seconds": 2, "days_per_check": 3, "first_wait_seconds": 0, "max_attempts": 3},
    }
    venues_file.write_text(yaml.safe_dump(document))
    with run_simulator(SimulatorOptions(scale=0.05)) as simulator:
        environment = simulated_environment(directory, simulator, MARKET_DATA_AUTOMATION="on")
        simulator.set_clock(datetime.combine(HISTORY[0], datetime.min.time(), UTC))
        with start_daemon("market_data.definitions", environment, project=PROJECT) as house:
            yield Deployment(house, simulator, environment["MARKET_DATA_LAKE_URL"])


def test_a_new_venue_starts_at_its_latest_exported_day_and_a_late_export_is_awaited(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    deployment.simulator.set_clock(
        datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7),
        late={"binance": day},
    )
    # the vendor is late with that day: the one before is the latest exported
    deployment.wait_for_runs(day - timedelta(days=1), "SUCCESS")
    deployment.wait_for_comparison(day - timedelta(days=1))
    deployment.wait_for_looks("new_days", 2)
    assert deployment.runs(day) == []
    assert deployment.runs(day - timedelta(days=2)) == []  # history is launched by people only
    deployment.export(day)
    deployment.wait_for_runs(day, "SUCCESS")


@pytest.mark.long
def test_three_days_of_downtime_are_caught_up_oldest_first(deployment: Deployment) -> None:
    deployment.begin()
    days = deployment.next_days(3)
    deployment.export(days[-1])
    for day in days:
        deployment.wait_for_runs(day, "SUCCESS")
    launched = [deployment.runs(day)[0] for day in days]
    records = [deployment.house.instance.get_run_record_by_id(run.run_id) for run in launched]
    created = [record.create_timestamp for record in records if record]
    assert created == sorted(created)


def test_a_venue_that_fails_twice_is_re_run_until_it_returns(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    # a run gives a request up after five attempts: two runs fail
    deployment.simulator.set_faults(
        [{"match": BTC.format(day=day), "attempts": "1-10", "action": "status", "code": 503}]
    )
    deployment.export(day)
    deployment.wait_for_runs(day, "FAILURE", "FAILURE", "SUCCESS")
    tags = [run.tags.get("market_data/rerun") for run in deployment.runs(day)]
    assert tags == [None, "1", "2"]
    deployment.wait_for_looks("failed_venue_days", 2)
    assert len(deployment.runs(day)) == 3


@pytest.mark.long
def test_a_permanent_fault_is_not_repeated_but_listed_and_a_persons_success_ends_it(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    fault = {"match": ETH.format(day=day), "attempts": "all", "action": "status", "code": 401, "error_code": 11}
    deployment.simulator.set_faults([fault])
    deployment.export(day)
    deployment.wait_for_runs(day, "FAILURE")
    deployment.wait_for_looks("failed_venue_days", 3)
    assert deployment.statuses(day) == ["FAILURE"]
    assert f"BINANCE {day}: permanent fault" in deployment.skip_reasons("failed_venue_days")
    deployment.simulator.set_faults([])
    deployment.house.launch_backfill(
        ["binance/instruments", "binance/raw/trades", "binance/by_date"], [day.isoformat()]
    )
    deployment.wait_for_runs(day, "FAILURE", "SUCCESS")
    deployment.wait_for_looks("failed_venue_days", 2)
    assert str(day) not in deployment.skip_reasons("failed_venue_days").rpartition("|")[0]


@pytest.mark.long
def test_a_failed_check_on_a_leaf_is_healed_by_a_re_run(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    deployment.export(day)
    deployment.wait_for_runs(day, "SUCCESS")
    lake = open_lake(deployment.lake_url)
    unit = DataTypeDay("BINANCE", DataType.TRADES, day)
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    lost = object_key("by_type", receipt.objects[0].name(unit))
    lake.delete(lost)
    deployment.house.launch_checks([("binance/by_type", "matches_receipts")], day.isoformat())
    deployment.wait_for_runs(day, "SUCCESS", "SUCCESS", "SUCCESS")  # the day, the check that failed, the re-run
    assert deployment.runs(day)[-1].tags["market_data/rerun"] == "1"
    assert lake.stat(lost) is not None
    deployment.wait_for_looks("failed_venue_days", 2)
    assert len(deployment.runs(day)) == 3


def test_a_range_of_days_is_judged_again_by_a_backfill_of_the_job_that_asks_the_vendor_for_nothing(
    deployment: Deployment,
) -> None:
    never_run = FIRST_DAY
    day = FIRST_DAY + timedelta(days=1)  # the first day that this deployment ran
    deployment.simulator.clear_requests()
    house = deployment.house
    assert house.wait_for_backfill(house.launch_job_backfill("recheck", [str(never_run), str(day)])) == (
        "COMPLETED_SUCCESS"
    )
    assert deployment.statuses(never_run) == ["SUCCESS"]
    assert deployment.statuses(day) == ["SUCCESS", "SUCCESS"]
    assert [run.job_name for run in deployment.runs(day)] == ["all_venues", "recheck"]
    (execution, _) = house.check_executions("binance/raw/trades", str(day))
    assert (execution["runId"], execution["partition"]) == (deployment.runs(day)[-1].run_id, str(day))
    (execution,) = house.check_executions("binance/raw/trades", str(never_run))
    assert (execution["status"], execution["evaluation"]["success"]) == ("FAILED", False)
    assert [entry["path"] for entry in deployment.simulator.requests() if entry["path"].endswith(".csv.gz")] == []
    deployment.wait_for_looks("failed_venue_days", 2)
    assert len(deployment.runs(never_run)) == 1  # history is launched by people only


@pytest.mark.long
def test_a_cancelled_day_is_left_to_people(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    deployment.simulator.set_faults(
        [{"match": BTC.format(day=day), "attempts": "all", "action": "stall", "seconds": 600}]
    )
    deployment.export(day)
    deployment.wait_for_runs(day, "STARTED")
    wait_until(
        lambda: any(str(f"{day:%Y/%m/%d}") in entry["path"] for entry in deployment.simulator.requests()),
        "the run asks for the file",
    )
    deployment.house.cancel(deployment.runs(day)[0].run_id)
    deployment.wait_for_runs(day, "CANCELED")
    deployment.simulator.set_faults([])
    deployment.wait_for_looks("failed_venue_days", 3)
    deployment.wait_for_looks("new_days", 2)
    assert deployment.statuses(day) == ["CANCELED"]


@pytest.mark.long
def test_what_is_due_survives_a_restart_of_the_daemon(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    deployment.simulator.set_faults(
        [{"match": ETH.format(day=day), "attempts": "1-5", "action": "status", "code": 502}]
    )
    deployment.export(day)
    wait_until(lambda: "FAILURE" in deployment.statuses(day) or "STARTED" in deployment.statuses(day), "it is tried")
    deployment.house.daemon.stop()
    deployment.house.daemon.start()
    deployment.wait_for_runs(day, "FAILURE", "SUCCESS")


def test_schedule_and_sensor_together_launch_one_run(deployment: Deployment) -> None:
    (day,) = deployment.next_days(1)
    deployment.export(day)
    answer = deployment.house.try_schedule("new_days_daily")
    assert answer == "the sensor `new_days` is running and launches new days by itself"
    deployment.wait_for_runs(day, "SUCCESS")
    deployment.wait_for_looks("new_days", 2)
    assert len(deployment.runs(day)) == 1


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated")  # Dagster's own call
def test_a_backfill_of_several_days_is_one_run_that_shows_each_of_them_and_the_sensor_heals_the_failed_one(
    deployment: Deployment,
) -> None:
    house, keys = deployment.house, ["instruments", "raw/trades", "by_date", "by_venue", "by_type"]
    days = [str(day) for day in HISTORY]
    faults = {"match": BTC.format(day=HISTORY[1]), "attempts": "1-5", "action": "status", "code": 503}
    deployment.simulator.set_faults([faults])
    deployment.switch_off("failed_venue_days")
    assert house.backfill([*(f"binance/{key}" for key in keys), "universe"], days) == "COMPLETED_FAILED"
    own = frozenset(dg.AssetKey(["binance", *key.split("/")]) for key in keys)
    runs = house.instance.get_runs()
    (run,) = (run for run in runs if run.asset_selection == own and "dagster/partition" not in run.tags)
    assert run.status is dg.DagsterRunStatus.FAILURE
    bounds = [run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert bounds == [days[0], days[-1]]
    of_all = [run.asset_selection for run in runs if dg.AssetKey("universe") in (run.asset_selection or ())]
    assert set(of_all) == {frozenset({dg.AssetKey("universe")})}  # runs of its own, once a venue's day is known
    done = "MATERIALIZED"
    for key in keys:
        expected = [done, done if key == "instruments" else "FAILED", done]
        assert house.asset_statuses_in_ui(f"binance/{key}", days) == expected, [
            (it.status, dict(it.tags)) for it in house.instance.get_runs()
        ]
    assert house.asset_statuses_in_ui("universe", days) == [done] * 3
    shown = [[found["evaluation"]["success"] for found in told] for told in executions(house, days)]
    assert shown == [[True], [False], [True]]
    house.switch("Sensor", "failed_venue_days", is_on=True)
    deployment.wait_for_runs(HISTORY[1], "SUCCESS")
    deployment.wait_for_looks("failed_venue_days", 2)
    assert [len(deployment.runs(day)) for day in HISTORY] == [0, 1, 0]
    assert house.asset_statuses_in_ui("binance/by_type", days) == [done] * 3
    shown = [[found["evaluation"]["success"] for found in told] for told in executions(house, days)]
    assert shown == [[True], [True, False], [True]]


def executions(house: House, days: list[str]) -> list[list[dict[str, Any]]]:
    return [house.check_executions("binance/raw/trades", day) for day in days]
