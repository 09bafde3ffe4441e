"""What `market-data status` prints, with and without a Dagster, and its exit codes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner, Result
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, SensorInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from market_data.cli.status import status_command
from market_data.defs.failed_days import FailedDaysCursor
from market_data.demo.local_dagster import prepare_home
from market_data.lake.keys import quota_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.operate.alerts import Kind, OpenDay
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

DAY = date(2024, 8, 8)
SINCE = datetime(2024, 8, 9, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """BINANCE is whole on one day; a quota is set; no Dagster has run."""
    directory = tmp_path_factory.mktemp("status")
    venue = {"data_types": ["trades"], "include": ["BTCUSDT"]}
    document = {"end_date": "2024-08-09", "venues": {"binance": venue}, "limits": {"daily_quota_gb": 10}}
    (directory / "venues.yaml").write_text(yaml.safe_dump(document))
    lake_url = (directory / "lake").as_uri()
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as vendor:
        selection = Selection(data_types=(DataType.TRADES,), include=("BTCUSDT",))
        ingest_day(open_lake(lake_url), vendor, "BINANCE", DAY, selection)
    return {
        "MARKET_DATA_CONFIG": str(directory / "venues.yaml"),
        "MARKET_DATA_LAKE_URL": lake_url,
        "MARKET_DATA_VENDOR": "simulator",
        "DAGSTER_HOME": str(directory / "dagster"),
        "COLUMNS": "80",
    }


def run(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(status_command, arguments, env=environment)


def test_where_no_dagster_has_run_the_lake_is_told_and_that_there_is_none(environment: dict[str, str]) -> None:
    result = run(environment)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Nothing is known to need a person, but nothing watches failed and late days.")
    assert f"Dagster: none has run in {environment['DAGSTER_HOME']}" in " ".join(result.stdout.split())
    document = json.loads(run(environment, "--json").stdout)
    assert (document["needs"], document["sensors"]) == ([], [])
    (venue,) = document["venues"]
    assert (venue["venue"], venue["latest_complete_day"]) == ("BINANCE", "2024-08-08")
    assert run(environment, "--nonsense").exit_code == 2
    assert not Path(environment["DAGSTER_HOME"]).exists()


@pytest.mark.parametrize(
    ("automation", "verdict"),
    [
        ("off", "Nothing is known to need a person, but nothing watches failed and late days."),
        ("on", "Nothing needs a person."),
    ],
)
def test_an_empty_list_is_a_verdict_where_sensors_look_alone(
    environment: dict[str, str], tmp_path: Path, automation: str, verdict: str
) -> None:
    prepare_home(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for name in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp(), name, "daemon", []))
    result = run(environment | {"DAGSTER_HOME": str(tmp_path), "MARKET_DATA_AUTOMATION": automation})
    assert result.stdout.startswith(verdict), result.output


def test_entries_are_told_with_their_next_step_and_end_with_1(environment: dict[str, str]) -> None:
    home = Path(environment["DAGSTER_HOME"])
    prepare_home(home)
    headline = (
        "trades 3 of 412 files failed (BTCUSDT, ETHUSDT, ADAUSDT: 3 vendor unavailable); nothing else was asked for"
    )
    days = [OpenDay(venue="BINANCE", day=DAY, kind=Kind.GIVEN_UP, since=SINCE, what=headline)]
    data = SensorInstigatorData(cursor=FailedDaysCursor(open_days=days).model_dump_json())
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("market_data"), "__repository__")
    origin = RemoteInstigatorOrigin(repository, "failed_venue_days")
    lake = open_lake(environment["MARKET_DATA_LAKE_URL"])
    used = json.dumps({"schema_version": 1, "bytes": 9 * 10**9}).encode()
    lake.put_bytes(used, quota_key(datetime.now(UTC).date(), "a run"), content_type="application/json")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))
    result = run(environment)
    assert result.exit_code == 1, result.output
    shown = result.stdout.splitlines()
    assert shown[0] == "2 entries need a person: 1 error, 1 warning."
    assert "ERROR   BINANCE 2024-08-08: given up, since 2024-08-09 07:00 UTC" in shown
    assert "  market-data backfill --venue binance --from 2024-08-08 --to 2024-08-08" in shown
    assert "1.0 of 10 GB of today are left: history waits" in result.stdout
    kinds = [it["kind"] for it in json.loads(run(environment, "--json").stdout)["needs"]]
    assert kinds == ["given up", "quota low"]
