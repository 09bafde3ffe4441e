"""Which venue-days the sensors launch, on a real instance in this process: runs of several venues, runs of checks."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_data.lake.keys import object_key
from market_data.model.data_types import DataType
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.in_process import Project, open_project

DAY, LATEST = date(2024, 8, 8), date(2024, 8, 9)
PAIR = {"data_types": ["trades"], "include": ["BTCUSDT*"]}
SPOT_FILE = "*/binance/trades/2024/08/08/BTCUSDT.csv.gz"


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    """Two venues; a failed day is due at once, and left to people after two re-runs."""
    shared_simulator.set_faults([])
    automation = {"first_wait_seconds": 0, "max_attempts": 2}
    with open_project(tmp_path, shared_simulator, {"binance": PAIR, "binance-futures": PAIR}, automation) as project:
        yield project


def fail(project: Project, **fault: Any) -> None:
    project.simulator.set_faults([{"match": SPOT_FILE, "action": "status", **fault}])


def requested(found: dg.SensorResult | dg.SkipReason) -> list[tuple[str, str | None]]:
    requests = found.run_requests or [] if isinstance(found, dg.SensorResult) else []
    return [(request.tags["venue"], request.partition_key) for request in requests]


def reason(found: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def lose_an_object(project: Project, venue: str) -> None:
    receipt = project.receipt(venue, DataType.TRADES, DAY)
    project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))


def test_of_a_run_of_two_venues_only_the_one_that_failed_is_run_again(project: Project) -> None:
    fail(project, code=503)
    assert not project.run("all_venues", DAY).success
    assert project.receipt("BINANCE-FUTURES", DataType.TRADES, DAY).is_complete
    assert requested(project.look("failed_venue_days")) == [("BINANCE", str(DAY))]


def test_of_a_successful_run_of_two_venues_only_the_one_with_the_failed_check_is_run_again(project: Project) -> None:
    assert project.run("all_venues", DAY).success
    lose_an_object(project, "BINANCE-FUTURES")
    assert project.run("recheck", DAY).success
    assert requested(project.look("failed_venue_days")) == [("BINANCE-FUTURES", str(DAY))]


def test_re_runs_are_counted_since_the_last_success_whatever_was_checked_in_between(project: Project) -> None:
    fail(project, code=503)
    for number in ("1", "2"):
        project.run("all_venues", DAY, {"venue": "BINANCE", "market_data/rerun": number})
    assert "BINANCE 2024-08-08: given up after 2 re-runs" in reason(project.look("failed_venue_days"))
    project.execute_checks(DAY, ("binance/raw/trades", "schema"))
    assert "BINANCE 2024-08-08: given up after 2 re-runs" in reason(project.look("failed_venue_days"))
    project.simulator.set_faults([])
    assert project.run("all_venues", DAY).success
    lose_an_object(project, "BINANCE")
    project.run("recheck", DAY)
    found = project.look("failed_venue_days")
    assert isinstance(found, dg.SensorResult)
    assert [request.tags["market_data/rerun"] for request in found.run_requests or []] == ["1"]


def test_checks_executed_on_a_healthy_part_do_not_hide_a_failed_one(project: Project) -> None:
    assert project.run("all_venues", DAY).success
    lose_an_object(project, "BINANCE")
    project.execute_checks(DAY, ("binance/by_type", "matches_receipts"))
    project.execute_checks(DAY, ("binance/by_date", "matches_receipts"))
    assert requested(project.look("failed_venue_days")) == [("BINANCE", str(DAY))]


def test_checks_do_not_turn_a_permanent_fault_into_one_worth_another_attempt(project: Project) -> None:
    fail(project, code=401, error_code=11)
    assert not project.run("all_venues", DAY).success
    assert project.run("recheck", DAY).success
    assert "BINANCE 2024-08-08: permanent fault" in reason(project.look("failed_venue_days"))


def test_a_day_that_was_only_checked_is_launched_as_a_new_day_and_not_as_a_failed_one(project: Project) -> None:
    assert project.run("recheck", LATEST).success
    assert requested(project.look("failed_venue_days")) == []
    assert requested(project.look("new_days")) == [("BINANCE", str(LATEST)), ("BINANCE-FUTURES", str(LATEST))]
