"""A run of several days shows what a run of each of them shows, and none that fails stops another.

The project's own assets on real instances in this process; the last tests run days of their own through `run_days`.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from market_data.defs.build import build_definitions
from market_data.defs.day_step import DayEvent
from market_data.defs.many_days import ToldEvent, run_days
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.in_process import Project, open_project

FIRST, SECOND, LAST = date(2024, 8, 6), date(2024, 8, 7), date(2024, 8, 8)
DAYS = (FIRST, SECOND, LAST)
VENUES: dict[str, dict[str, Any]] = {
    "binance": {"data_types": ["trades", "quotes"], "include": ["BTCUSDT", "ETHUSDT"]},
    "binance-futures": {"data_types": ["trades"], "include": ["BTCUSDT"]},
}
SECOND_FILE = "*/binance/trades/2024/08/07/BTCUSDT.csv.gz"
UNAVAILABLE = {"match": SECOND_FILE, "action": "status", "code": 503}
PACKAGE = Path(__file__).parents[2] / "market_data"
OpenEmpty: TypeAlias = Callable[[], AbstractContextManager[Project]]
REFUSED = {"match": "*/binance/*/2024/08/07/*", "action": "status", "code": 401, "error_code": 11}


@pytest.fixture
def open_empty(tmp_path: Path, shared_simulator: RunningSimulator) -> OpenEmpty:
    """Opens a project on an empty lake, each time in the same place; the vendor has no faults at first."""
    shared_simulator.set_faults([])
    place = tmp_path / "project"

    @contextmanager
    def open_it() -> Iterator[Project]:
        place.mkdir()
        with open_project(place, shared_simulator, VENUES, {"first_wait_seconds": 0}) as opened:
            yield opened
        shutil.rmtree(place)

    return open_it


@pytest.fixture
def project(open_empty: OpenEmpty) -> Iterator[Project]:
    with open_empty() as opened:
        yield opened


def statuses(project: Project, key: dg.AssetKey) -> list[str | None]:
    """What the partition bar of an asset shows of each day."""
    partitions = dg.DailyPartitionsDefinition("2019-03-30", timezone="UTC")
    found = project.instance.get_status_by_partition(key, [str(day) for day in DAYS], partitions) or {}
    return [status.value if (status := found.get(str(day))) else None for day in DAYS]


def shown_check(record: AssetCheckExecutionRecord) -> tuple[Any, ...]:
    """What the page of a check shows of a day; whether it is of what was materialised last, too."""
    evaluation = record.evaluation
    told = evaluation and (
        *(evaluation.passed, evaluation.severity, evaluation.description, evaluation.partition),
        *(evaluation.metadata, evaluation.target_materialization_data is not None),
    )
    return record.status.value, record.partition, told


def shown(project: Project) -> dict[str, Any]:
    """All that Dagster shows of the days, but when it was and how long it took."""
    found: dict[str, Any] = {}
    for key in project.instance.get_asset_keys():
        name = key.to_user_string()
        found[name] = statuses(project, key)
        for day in map(str, DAYS):
            wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day])
            events = [
                record.asset_materialization for record in project.instance.fetch_materializations(wanted, 9).records
            ]
            found[f"{name} {day}"] = [
                {what: value for what, value in event.metadata.items() if what != "seconds"}
                for event in events
                if event is not None
            ]
            seen = project.instance.fetch_observations(wanted, 9).records
            found[f"{name} {day} observed"] = [
                (event.description, dict(event.metadata)) for record in seen if (event := record.asset_observation)
            ]
    graph = definitions_of(project).resolve_asset_graph()
    for check in graph.asset_check_keys:
        checked = check.asset_key.to_user_string()
        for a_day in DAYS:
            records = project.check_results(checked, check.name, a_day)
            found[f"{checked} {check.name} {a_day}"] = list(map(shown_check, records))
    return found


def definitions_of(project: Project) -> dg.Definitions:
    return build_definitions(project.settings())


def requested(found: dg.SensorResult | dg.SkipReason) -> list[tuple[str, str | None]]:
    requests = found.run_requests or [] if isinstance(found, dg.SensorResult) else []
    return [(request.tags["venue"], request.partition_key) for request in requests]


@pytest.mark.parametrize("faults", [[], [UNAVAILABLE]], ids=["all days done", "a day fails"])
def test_a_run_of_several_days_shows_what_a_run_of_each_shows(
    open_empty: OpenEmpty, faults: list[dict[str, Any]]
) -> None:
    told: dict[str, dict[str, Any]] = {}
    for way in ("range", "alone"):
        with open_empty() as project:
            project.simulator.set_faults(faults)
            if way == "range":
                assert project.run_range("all_venues", FIRST, LAST).success is not bool(faults)
            else:
                assert [project.run("all_venues", day).success for day in DAYS] == [True, not faults, True]
            told[way] = shown(project)
    assert told["range"] == told["alone"]
    assert told["range"]["binance/raw/trades"] == [
        "MATERIALIZED",
        "FAILED" if faults else "MATERIALIZED",
        "MATERIALIZED",
    ]
    assert told["range"]["binance/raw/quotes"] == ["MATERIALIZED"] * 3
    assert told["range"]["binance_futures/by_date"] == ["MATERIALIZED"] * 3


def reasons(project: Project, key: str, day: date) -> list[tuple[str, str]]:
    """The headline and the class of what the page of an asset says of a failed day."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(key.split("/")), asset_partitions=[str(day)])
    records = project.instance.fetch_observations(wanted, 9).records
    told = [event.metadata for record in records if (event := record.asset_observation)]
    return [(str(item["why it failed"].value), str(item["error"].value)) for item in told]


@pytest.mark.parametrize("way", ["range", "alone"])
def test_each_asset_that_a_failed_day_left_says_why_on_its_own_page(project: Project, way: str) -> None:
    project.simulator.set_faults([UNAVAILABLE])
    if way == "range":
        project.run_range("all_venues", FIRST, LAST)
    else:
        project.run("all_venues", SECOND)
    headline = "BINANCE 2024-08-07: trades 1 of 2 files failed (BTCUSDT: 1 vendor unavailable); quotes complete"
    for name in ("raw/trades", "by_date"):
        assert reasons(project, f"binance/{name}", SECOND) == [(headline, "VendorUnavailable")]
        assert statuses(project, dg.AssetKey(["binance", *name.split("/")]))[1] == "FAILED"
    assert reasons(project, "binance/raw/quotes", SECOND) == []
    assert reasons(project, "binance/by_date", FIRST) == []


def test_a_failed_run_of_several_days_names_the_days_and_sensors_run_those_alone_again(project: Project) -> None:
    project.simulator.set_faults([UNAVAILABLE])
    result = project.run_range("all_venues", FIRST, LAST)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    description = failure.user_failure_data.description or ""
    assert description.startswith("BINANCE: 1 of 3 days failed (2024-08-07); the others are done\n")
    assert (
        "- BINANCE 2024-08-07: trades 1 of 2 files failed (BTCUSDT: 1 vendor unavailable); quotes complete"
        in description
    )
    (run,) = project.instance.get_runs()
    assert run.tags["venue"] == "BINANCE,BINANCE-FUTURES"
    failed = {tag: text for tag, text in run.tags.items() if tag.startswith("market_data/failed/")}
    assert failed.keys() == {"market_data/failed/BINANCE", "market_data/failed/BINANCE/2024-08-07"}
    assert set(failed.values()) == {f"VendorUnavailable, transient, in run {run.run_id[:8]}"}
    assert requested(project.look("failed_venue_days")) == [("BINANCE", str(SECOND))]
    project.simulator.set_faults([])
    assert project.run("all_venues", SECOND, {"venue": "BINANCE"}).success
    assert requested(project.look("failed_venue_days")) == []


def test_a_refused_key_stops_the_run_and_the_days_left_are_marked_as_not_tried(project: Project) -> None:
    project.simulator.set_faults([REFUSED])
    project.simulator.clear_requests()
    result = project.run_range("all_venues", FIRST, LAST)
    assert not result.success
    asked = {entry["path"] for entry in project.simulator.requests() if "/binance/" in entry["path"]}
    assert any("/2024/08/07/" in path for path in asked)
    assert not any("/2024/08/08/" in path for path in asked)
    keys = [dg.AssetKey(["binance", *name.split("/")]) for name in ("instruments", "raw/quotes", "by_date")]
    assert [statuses(project, key)[::2] for key in keys] == [["MATERIALIZED", "FAILED"]] * 3
    assert statuses(project, dg.AssetKey(["binance_futures", "by_date"])) == ["MATERIALIZED"] * 3
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    (failure,) = filter(None, failures)
    assert "- BINANCE 2024-08-08: not tried, for the run stopped: BINANCE 2024-08-07: " in (failure.description or "")
    (run,) = project.instance.get_runs()
    for day in (SECOND, LAST):
        told = run.tags[f"market_data/failed/BINANCE/{day}"]
        assert told == f"VendorAccessDenied, permanent, in run {run.run_id[:8]}"
        assert [error for _, error in reasons(project, "binance/by_date", day)] == ["VendorAccessDenied"]
    found = project.look("failed_venue_days")
    assert isinstance(found, dg.SkipReason)
    assert all(f"BINANCE {day}: permanent fault" in str(found.skip_message) for day in (SECOND, LAST))


def test_a_range_of_instruments_alone_asks_for_no_tick_file(project: Project) -> None:
    assets = definitions_of(project).assets or ()
    project.simulator.clear_requests()
    bounds = {"dagster/asset_partition_range_start": str(FIRST), "dagster/asset_partition_range_end": str(LAST)}
    key = dg.AssetKey(["binance", "instruments"])
    done = dg.materialize(
        [item for item in assets if isinstance(item, dg.AssetsDefinition)],
        selection=[key],
        instance=project.instance,
        resources=dict(definitions_of(project).resources or {}),
        tags=bounds,
    )
    assert done.success
    assert statuses(project, key) == ["MATERIALIZED"] * 3
    assert [entry for entry in project.simulator.requests() if entry["path"].endswith(".csv.gz")] == []


def test_a_range_is_refreshed_as_its_days_are(project: Project) -> None:
    assert project.run_range("all_venues", FIRST, LAST).success
    project.simulator.clear_requests()
    assert project.run_range("all_venues", FIRST, LAST).success
    assert [entry for entry in project.simulator.requests() if entry["path"].endswith(".csv.gz")] == []
    assert project.run_range("refresh", FIRST, LAST).success
    asked = [entry["path"] for entry in project.simulator.requests() if entry["path"].endswith(".csv.gz")]
    assert len(set(asked)) == 3 * 5


def test_what_a_check_is_pointed_at_is_where_dagster_had_it() -> None:
    """The only private name that telling of days by hand needs: the target of a check's result."""
    place = "dagster._core.definitions.asset_checks.asset_check_evaluation"
    name = "AssetCheckEvaluationTargetMaterializationData"
    users = [path.name for path in PACKAGE.rglob("*.py") if name in path.read_text(encoding="utf-8")]
    assert users == ["known.py"]
    assert hasattr(importlib.import_module(place), name), f"Dagster moved {name}: {users[0]} has to follow"


# days of our own

TOY = dg.AssetKey(["binance", "raw", "trades"])


def run_toy(
    instance: dg.DagsterInstance, run_day: Callable[[date], Iterator[DayEvent]], first: date = FIRST
) -> dg.ExecuteInProcessResult:
    spec = dg.AssetSpec(TOY, skippable=True)

    @dg.multi_asset(specs=[spec], partitions_def=dg.DailyPartitionsDefinition("2024-08-01"))
    def toy(context: dg.AssetExecutionContext) -> Iterator[ToldEvent]:
        yield from run_days(context, "BINANCE", run_day)

    bounds = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(LAST)}
    return dg.materialize([toy], instance=instance, tags=bounds, raise_on_error=False)


def test_an_error_that_nobody_foresaw_stops_no_other_day(tmp_path: Path) -> None:
    def run_day(day: date) -> Iterator[DayEvent]:
        if day == SECOND:
            raise KeyError("a fault of ours")
        yield dg.MaterializeResult(TOY)

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = run_toy(instance, run_day)
        assert instance.get_materialized_partitions(TOY) == {str(FIRST), str(LAST)}
        (run,) = instance.get_runs()
        assert run.tags[f"market_data/failed/BINANCE/{SECOND}"].startswith("KeyError, transient, in run ")
        log = "\n".join(entry.user_message for entry in instance.all_logs(run.run_id))
    assert not result.success
    assert "Traceback" in log
    assert "BINANCE 2024-08-07: KeyError: 'a fault of ours'" in log


def test_a_cancellation_ends_the_run_at_once_and_keeps_the_days_that_are_done() -> None:
    tried: list[date] = []

    def run_day(day: date) -> Iterator[DayEvent]:
        tried.append(day)
        if day == SECOND:
            raise DagsterExecutionInterruptedError
        yield dg.MaterializeResult(TOY)

    with dg.DagsterInstance.ephemeral() as instance:
        assert not run_toy(instance, run_day).success
        assert instance.get_materialized_partitions(TOY) == {str(FIRST)}
    assert tried == [FIRST, SECOND]


def test_each_day_of_a_run_is_given_as_long_as_a_run_of_it_alone(tmp_path: Path) -> None:
    granted: list[int] = []

    def run_day(_: date) -> Iterator[DayEvent]:
        (run,) = instance.get_runs()
        granted.append(int(run.tags["dagster/max_runtime"]))
        yield dg.MaterializeResult(TOY)

    monitoring = {"run_monitoring": {"enabled": True, "max_runtime_seconds": 21600}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=monitoring) as instance:
        assert run_toy(instance, run_day).success
    assert len(granted) == 3
    assert granted == sorted(granted)
    assert min(granted) >= 21600


def test_a_range_of_one_day_fails_as_that_day_does() -> None:
    def run_day(day: date) -> Iterator[DayEvent]:
        yield from ()
        raise dg.Failure(f"{day}: its own words", metadata={"error": "X", "is_transient": False})

    with dg.DagsterInstance.ephemeral() as instance:
        result = run_toy(instance, run_day, first=LAST)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == f"{LAST}: its own words"
