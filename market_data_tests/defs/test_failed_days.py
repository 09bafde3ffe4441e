"""Which venue-days the sensors launch, on a real instance in this process: runs of several venues, runs of checks."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from market_data.defs.failed_days import FailedDays, FailedDaysCursor
from market_data.defs.new_days import NewDays, NewDaysCursor
from market_data.defs.resources import VendorResource
from market_data.ingest.deletion import Deleter
from market_data.lake.keys import object_key, receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.benchmarks.many_failed_days import add_failed_runs
from market_data_tests.in_process import Project, open_project
from market_data_tests.patience import wait_until

DAY, LATEST = date(2024, 8, 8), date(2024, 8, 9)
PAIR = {"data_types": ["trades"], "include": ["BTCUSDT*"]}
SPOT_FILE = "*/binance/trades/2024/08/08/BTCUSDT.csv.gz"


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


def test_a_run_that_a_person_launched_is_tagged_with_its_venues_and_with_how_each_failed(project: Project) -> None:
    fail(project, code=401, error_code=11)
    project.run("all_venues", DAY)
    (run,) = project.instance.get_runs()
    assert run.tags["venue"] == "BINANCE,BINANCE-FUTURES"
    assert run.tags["market_data/failed/BINANCE"] == f"VendorAccessDenied, permanent, in run {run.run_id[:8]}"
    assert "market_data/failed/BINANCE-FUTURES" not in run.tags
    assert "permanent fault" in reason(project.look("failed_venue_days"))


def test_new_days_go_before_re_runs_in_the_queue_and_re_runs_before_what_people_launch(project: Project) -> None:
    fail(project, code=503)
    project.run("all_venues", DAY)
    found = [project.look("failed_venue_days"), project.look("new_days")]
    requests = [request for one in found if isinstance(one, dg.SensorResult) for request in one.run_requests or []]
    rerun, *new = (int(request.tags["dagster/priority"]) for request in requests)
    assert new
    assert 0 < rerun < min(new)


def test_a_look_that_is_cut_short_goes_on_where_it_stopped_until_each_day_had_its_turn(project: Project) -> None:
    days = [DAY - timedelta(days=number) for number in range(5)]
    count = add_failed_runs(project.instance, project.settings(), days)
    now = datetime.now(UTC) + timedelta(minutes=1)
    turns: Counter[tuple[str, str | None]] = Counter()
    cursor = FailedDaysCursor()
    for _ in range(count):
        look = FailedDays(project.settings(), project.instance, project.lake, cursor, look_seconds=0)
        found = list(look.launch(now))
        turns.update((item.tags["venue"], item.partition_key) for item in found if isinstance(item, dg.RunRequest))
        assert len(found) == 2  # one venue-day, and that the next look goes on
        cursor = look.cursor
    assert set(turns.values()) == {1}
    assert len(turns) == count


def test_a_receipt_that_cannot_be_read_stops_no_other_day(project: Project) -> None:
    fail(project, code=503)
    project.run("all_venues", DAY)
    project.run("all_venues", LATEST)
    damaged = project.receipt("BINANCE", DataType.TRADES, DAY).unit
    project.lake.put_bytes(b"{", receipt_key(damaged), content_type="application/json")
    project.simulator.set_faults([])
    add_failed_runs(project.instance, project.settings(), [DAY - timedelta(days=1)])
    found = project.look("failed_venue_days")
    assert requested(found) == [
        ("BINANCE", str(DAY - timedelta(days=1))),
        ("BINANCE-FUTURES", str(DAY - timedelta(days=1))),
    ]


def test_a_venue_that_never_answers_holds_up_no_other(project: Project) -> None:
    project.simulator.set_faults([{"match": "*/exchanges/binance", "action": "stall", "after_bytes": 0}])
    settings = project.settings()
    vendor = VendorResource(api_url=settings.api_url, datasets_url=settings.datasets_url, connections=1)
    known = NewDaysCursor()
    launched: list[str] = []

    def look() -> bool:
        new = NewDays(settings, project.instance, project.lake, vendor, known, ask_seconds=2)
        found = list(new.launch(datetime.now(UTC)))
        assert any("BINANCE: the vendor did not answer within 2 s" in str(item) for item in found)
        known.unanswered = new.cursor.unanswered
        launched.extend(item.tags["venue"] for item in found if isinstance(item, dg.RunRequest))
        return bool(launched)

    wait_until(look, "the venue that answers is launched")
    assert set(launched) == {"BINANCE-FUTURES"}
    assert "BINANCE" in known.unanswered


def test_a_venue_whose_newest_day_is_tried_is_not_asked_and_not_blamed(project: Project) -> None:
    assert project.run("all_venues", LATEST).success
    project.simulator.set_faults([{"match": "*/exchanges/*", "action": "status", "code": 503}])
    settings = project.settings()
    settings = settings.model_copy(update={"config": settings.config.model_copy(update={"end_date": LATEST})})
    vendor = VendorResource(api_url=settings.api_url, datasets_url=settings.datasets_url)
    new = NewDays(settings, project.instance, project.lake, vendor, NewDaysCursor())
    assert all("is tried, and no newer day has ended" in str(item) for item in new.launch(datetime.now(UTC)))
    assert {venue: (look.was_asked, look.problem) for venue, look in new.cursor.looks.items()} == dict.fromkeys(
        settings.config.venues, (False, "")
    )


def test_failed_checks_are_remembered_over_looks_that_are_cut_short_and_forgotten_when_healed(project: Project) -> None:
    for day in (DAY, LATEST):
        assert project.run("all_venues", day).success
        receipt = project.receipt("BINANCE", DataType.TRADES, day)
        project.lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
        assert project.run("recheck", day).success
    now, cursor, found = datetime.now(UTC) + timedelta(minutes=1), FailedDaysCursor(), set()

    def look(cursor: FailedDaysCursor) -> tuple[FailedDaysCursor, list[dg.RunRequest | str]]:
        look = FailedDays(project.settings(), project.instance, project.lake, cursor, look_seconds=0)
        said = list(look.launch(now))
        return FailedDaysCursor.parse(look.cursor.model_dump_json()), said

    for _ in range(20):
        cursor, said = look(cursor)
        found |= {item.partition_key for item in said if isinstance(item, dg.RunRequest)}
    assert found == {str(DAY), str(LATEST)}
    assert [venue for venue, _ in cursor.failed_checks] == ["BINANCE"] * 2
    for day in (DAY, LATEST):
        assert project.run("all_venues", day).success
    now += timedelta(minutes=1)
    for _ in range(20):
        cursor, _ = look(cursor)
    assert cursor.failed_checks == []


CURSORS = [
    "garbage",
    "[]",
    "null",
    "3",
    '{"read_until": "nonsense"}',
    '{"go_on_at": [["BINANCE"], "x"]}',
    '{"failed_checks": [3]}',
    '{"failed_checks": [["NONE", "2024-08-08"], ["BINANCE", "no day"]], "of another version": 1}',
]


@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize("sensor", ["new_days", "failed_venue_days"])
def test_a_cursor_that_cannot_be_read_is_as_none(project: Project, sensor: str, cursor: str) -> None:
    add_failed_runs(project.instance, project.settings(), [DAY])
    assert requested(project.look(sensor, cursor)) == requested(project.look(sensor))
    assert len(requested(project.look(sensor, cursor))) == 2


def add_run(project: Project, job: str, tags: dict[str, str]) -> None:
    run = dg.DagsterRun(job_name=job, run_id=make_new_run_id(), status=dg.DagsterRunStatus.FAILURE, tags=tags)
    project.instance.add_run(run)


@pytest.mark.parametrize(
    ("job", "partition"),
    [
        ("dbt_daily", "2024-08-08"),
        ("combined_universe", "2024-08-08"),
        ("all_venues", "eu-west"),
        ("all_venues", "20240808"),
        ("all_venues", "2999-01-01"),
        ("all_venues", "1900-01-01"),
        ("all_venues", "2024-08-07|x"),
    ],
)
def test_runs_of_other_projects_and_partitions_are_left_alone(project: Project, job: str, partition: str) -> None:
    add_run(project, job, {"dagster/partition": partition})
    assert reason(project.look("failed_venue_days")) == "nothing to do"


@pytest.mark.parametrize(
    ("told", "is_re_run"),
    [
        ("VendorAccessDenied, permanent, since monday, in run {run}", False),
        ("VendorAccessDenied, permanent, in run 00000000", True),  # of the run that it executes again
        ("VendorQuotaExceeded, transient, not before x, in run {run}", True),
        ("VendorQuotaExceeded, transient, not before 2999-01-01, in run {run}", False),
        ("nonsense, in run {run}", True),
    ],
)
def test_what_a_tag_says_of_a_failure_is_believed_of_its_own_run_alone(
    project: Project, told: str, *, is_re_run: bool
) -> None:
    run_id = make_new_run_id()
    tags = {
        "dagster/partition": str(DAY),
        "venue": "binance",
        "market_data/failed/BINANCE": told.format(run=run_id[:8]),
    }
    run = dg.DagsterRun(job_name="all_venues", run_id=run_id, status=dg.DagsterRunStatus.FAILURE, tags=tags)
    project.instance.add_run(run)
    assert requested(project.look("failed_venue_days")) == [("BINANCE", str(DAY))] * is_re_run


def test_a_failed_day_that_a_person_deleted_is_left_to_people(project: Project) -> None:
    fail(project, code=503)
    assert not project.run("all_venues", DAY).success
    deleted = Deleter(project.lake, "ops", "a wrong backfill").delete(
        DataTypeDay("BINANCE", DataType.TRADES, DAY), datetime.now(UTC)
    )
    assert deleted is not None
    found = project.look("failed_venue_days")
    assert requested(found) == []
    assert "by ops: a wrong backfill; it is left to people" in reason(found)
