"""What the venues file and a run's tags say about acquisition reaches the step, and the sensors heed its limits."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from market_data.lake.keys import quota_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import Outcome
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.in_process import Project, open_project

DAY = date(2024, 8, 8)
FILE = "*/binance/trades/2024/08/08/BTCUSDT.csv.gz"
WAIVER = {"data_type": "trades", "symbol": "btc*", "day": "2024-08-08", "reason": "the vendor will not mend it"}


@pytest.fixture
def project(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    shared_simulator.set_faults([])
    shared_simulator.clear_requests()
    venues = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT", "ETHUSDT"]}}
    with open_project(tmp_path, shared_simulator, venues, {"first_wait_seconds": 0}) as project:
        yield project


def reason(found: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def asked_files(project: Project) -> list[str]:
    paths = [entry["path"] for entry in project.simulator.requests() if entry["path"].endswith(".csv.gz")]
    return sorted(path.rpartition("/")[2].removesuffix(".csv.gz") for path in paths)


def test_a_waiver_of_the_venues_file_lets_a_day_stand(project: Project) -> None:
    project.simulator.set_faults([{"match": FILE, "action": "wrong_header"}])
    assert not project.run("all_venues", DAY).success
    project.venues["binance"]["waivers"] = [WAIVER]
    assert project.run("all_venues", DAY).success
    outcomes = {item.vendor_symbol: item.outcome for item in project.receipt("BINANCE", DataType.TRADES, DAY).files}
    assert outcomes == {"BTCUSDT": Outcome.WAIVED, "ETHUSDT": Outcome.STORED}


def test_the_job_refresh_and_the_tag_ask_about_every_file_and_fetch_what_changed(project: Project) -> None:
    assert project.run("all_venues", DAY).success
    project.simulator.clear_requests()
    assert project.run("all_venues", DAY).success
    assert asked_files(project) == []
    assert project.run("refresh", DAY).success
    assert asked_files(project) == ["BTCUSDT", "ETHUSDT"]
    project.simulator.set_faults([{"match": FILE, "action": "two_members"}])
    result = project.run("all_venues", DAY, {"market_data/refresh": "true"})
    events = result.asset_materializations_for_node("binance__venue_day")
    (materialized,) = (event for event in events if event.asset_key.to_user_string() == "binance/raw/trades")
    assert materialized.metadata["files downloaded"].value == 1
    assert "replaced by a refresh" in materialized.metadata


def test_a_day_stopped_by_the_vendor_is_run_again_when_the_vendor_said(project: Project) -> None:
    project.simulator.set_faults([{"match": FILE, "action": "status", "code": 429, "retry_after": 16_912}])
    before = datetime.now(UTC) + timedelta(seconds=16_912)
    assert not project.run("all_venues", DAY).success
    after = datetime.now(UTC) + timedelta(seconds=16_912)
    text = reason(project.look("failed_venue_days"))
    assert "BINANCE 2024-08-08: re-run 1 of 5 is due at" in text
    due = datetime.strptime(text.partition("due at ")[2][:16], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert before - timedelta(minutes=1) <= due <= after + timedelta(minutes=1)  # told in whole minutes


def test_nothing_is_launched_once_the_bytes_of_the_day_are_used_up(project: Project) -> None:
    project.limits["daily_quota_gb"] = 1
    project.lake.put_bytes(b'{"bytes": 2000000000}', quota_key(datetime.now(UTC).date(), "another run"))
    for sensor in ("new_days", "failed_venue_days"):
        text = reason(project.look(sensor))
        assert "2.0 of 1 GB (limits.daily_quota_gb) were fetched from the vendor today" in text
        assert "The account may go on after" in text
