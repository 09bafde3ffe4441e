"""What Dagster does under its real daemon with assets of the designed shape: the facts the product relies on.

Assets here only have the product's shape: what is described is Dagster, so these tests run when it is another version
than the one in `conftest.py`, and with `make test-long`. One that fails after an upgrade names a fact that changed.

One daemon serves the tests of this file, each of which owns its days. Nothing here asserts a duration.
"""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from market_data_tests.daemon import CodeServer, House, is_alive, start_daemon
from market_data_tests.defs.small_venues import (
    LOG_VARIABLE,
    SCRIPT_VARIABLE,
    VENUE_TAG,
    Outcome,
    Script,
    is_venue_day_taken,
)
from market_data_tests.patience import wait_until

PROJECT = Path(__file__).parents[2]
RAW = ["raw/trades", "raw/quotes"]
LAYOUTS = ["by_date", "by_venue", "by_type"]
TICKS = [*RAW, *LAYOUTS]
OUTPUTS = ["instruments", *TICKS]

pytestmark = [
    pytest.mark.dagster,
    pytest.mark.filterwarnings("ignore:Error loading repository location"),  # told to people by the UI, as it should
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated"),  # Dagster's own call
]


def keys_of(venue: str, outputs: Sequence[str] = OUTPUTS) -> list[str]:
    return [f"{venue}/{output}" for output in outputs]


@dataclass
class Stage:
    """A running house with the script its venues play and the log they write."""

    house: House
    script_path: Path
    log_path: Path
    script: Script

    def play(self, outcomes: dict[str, Outcome] | None = None, **changes: Any) -> None:
        """Change the script; outcomes are added to those of other days."""
        self.script = replace(self.script, outcomes={**self.script.outcomes, **(outcomes or {})}, **changes)
        self.script.save(self.script_path)

    def logged(self, event: str, venue: str, day: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return [line for line in lines if (line["event"], line["venue"], line["day"]) == (event, venue, day)]

    def wait_for_log(self, event: str, venue: str, day: str) -> dict[str, Any]:
        wait_until(lambda: bool(self.logged(event, venue, day)), f"{event} of {venue} {day} is logged")
        return self.logged(event, venue, day)[0]

    def start_hanging_run(
        self, day: str, output: str = "quotes", outcome: Outcome = "hang", tags: dict[str, str] | None = None
    ) -> tuple[str, str, int]:
        """A backfill of one day of alpha whose step waits before an output: backfill id, run id, process id."""
        self.play({f"alpha {day} {output}": outcome})
        backfill_id = self.house.launch_backfill(keys_of("alpha"), [day], tags)
        started = self.wait_for_log("ticks", "alpha", day)
        wait_until(
            lambda: self.house.asset_statuses("alpha/raw/trades", [day]) == ["MATERIALIZED"], "trades are published"
        )
        return backfill_id, started["run_id"], started["pid"]

    def asset_statuses(self, venue: str, day: str, outputs: Sequence[str] = OUTPUTS) -> dict[str, str | None]:
        return {output: self.house.asset_statuses(f"{venue}/{output}", [day])[0] for output in outputs}

    def check_statuses(self, venue: str, day: str, outputs: Sequence[str] = TICKS) -> dict[str, str | None]:
        return {output: self.house.check_statuses(f"{venue}/{output}", [day])[0] for output in outputs}


@contextmanager
def open_stage(directory: Path, code_server: CodeServer, user_code_failure_retries: int = 60) -> Iterator[Stage]:
    script_path, log_path = directory / "script.json", directory / "log.jsonl"
    Script().save(script_path)
    log_path.touch()
    environment = {SCRIPT_VARIABLE: str(script_path), LOG_VARIABLE: str(log_path)}
    module = "market_data_tests.defs.small_venues"
    with start_daemon(
        module,
        environment,
        project=PROJECT,
        code_server=code_server,
        user_code_failure_retries=user_code_failure_retries,
    ) as house:
        yield Stage(house, script_path, log_path, Script())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("stage"), "code_server") as opened:
        yield opened


def statuses(status: str | None, outputs: Sequence[str] = OUTPUTS) -> dict[str, str | None]:
    return dict.fromkeys(outputs, status)


# a backfill that goes well


def test_a_backfill_runs_each_day_once_and_stores_a_check_result_for_each_day(stage: Stage) -> None:
    days = ["2024-01-01", "2024-01-02", "2024-01-03"]

    assert stage.house.backfill(keys_of("alpha"), days) == "COMPLETED_SUCCESS"

    for key in keys_of("alpha"):
        assert stage.house.asset_statuses(key, days) == ["MATERIALIZED"] * 3
        assert stage.house.asset_statuses_in_ui(key, days) == ["MATERIALIZED"] * 3
    for key in keys_of("alpha", TICKS):
        assert stage.house.check_statuses(key, days) == ["SUCCEEDED"] * 3
    for day in days:
        (run,) = stage.house.runs(day)
        (execution,) = stage.house.check_executions("alpha/raw/trades", day)
        assert (execution["runId"], execution["partition"]) == (run.run_id, day)
        assert len(stage.logged("ticks", "alpha", day)) == 1
        assert "dagster/asset_partition_range_start" not in run.tags


def test_a_run_of_a_backfill_names_its_venue_in_the_asset_selection_only(stage: Stage) -> None:
    day = "2024-01-04"
    stage.house.backfill(keys_of("alpha"), [day])

    (run,) = stage.house.runs(day)
    assert VENUE_TAG not in run.tags
    assert {key.path[0] for key in run.asset_selection or ()} == {"alpha"}


def test_selecting_one_data_type_runs_the_step_with_that_output_and_its_check_only(stage: Stage) -> None:
    day = "2024-01-05"

    assert stage.house.backfill(["alpha/raw/trades"], [day]) == "COMPLETED_SUCCESS"

    (started,) = stage.logged("ticks", "alpha", day)
    assert (started["selected"], started["checks"]) == (["raw/trades"], ["raw/trades"])
    assert stage.logged("instruments", "alpha", day) == []
    assert stage.asset_statuses("alpha", day) == {**statuses(None), "raw/trades": "MATERIALIZED"}
    assert stage.check_statuses("alpha", day) == {**statuses(None, TICKS), "raw/trades": "SUCCEEDED"}


# steps that raise, checks that fail


def test_a_step_that_raises_keeps_what_it_yielded_and_fails_the_rest_of_that_day_only(stage: Stage) -> None:
    days = ["2024-01-08", "2024-01-09", "2024-01-10"]
    stage.play({"alpha 2024-01-09 trades": "fail"})

    assert stage.house.backfill(keys_of("alpha"), days) == "COMPLETED_FAILED"

    assert stage.asset_statuses("alpha", "2024-01-09") == {
        **statuses("FAILED"),
        "instruments": "MATERIALIZED",
        "raw/quotes": "MATERIALIZED",
    }
    assert stage.check_statuses("alpha", "2024-01-09") == {
        "raw/trades": "FAILED",
        "raw/quotes": "SUCCEEDED",
        "by_date": "EXECUTION_FAILED",
        "by_venue": "EXECUTION_FAILED",
        "by_type": "EXECUTION_FAILED",
    }
    for whole_day in (days[0], days[2]):
        assert stage.asset_statuses("alpha", whole_day) == statuses("MATERIALIZED")
        assert stage.check_statuses("alpha", whole_day) == statuses("SUCCEEDED", TICKS)


def test_two_venues_of_one_selection_share_a_run_and_the_second_is_done_although_the_first_raises(
    stage: Stage,
) -> None:
    days = ["2024-01-11", "2024-01-12"]
    stage.play({"alpha 2024-01-11 trades": "fail"})

    assert stage.house.backfill([*keys_of("alpha"), *keys_of("beta")], days) == "COMPLETED_FAILED"

    assert [[run.status.value for run in stage.house.runs(day)] for day in days] == [["FAILURE"], ["SUCCESS"]]
    assert stage.asset_statuses("alpha", days[0])["raw/trades"] == "FAILED"
    assert stage.asset_statuses("beta", days[0]) == statuses("MATERIALIZED")
    assert stage.check_statuses("beta", days[0]) == statuses("SUCCEEDED", TICKS)


def test_a_failed_first_step_shows_the_skipped_outputs_as_failed_too(stage: Stage) -> None:
    day = "2024-01-13"
    stage.play({f"alpha {day} instruments": "fail"})

    assert stage.house.backfill(keys_of("alpha"), [day]) == "COMPLETED_FAILED"

    assert stage.logged("ticks", "alpha", day) == []
    assert stage.asset_statuses("alpha", day) == statuses("FAILED")
    assert stage.check_statuses("alpha", day) == statuses("EXECUTION_FAILED", TICKS)


def test_a_failed_check_fails_neither_its_asset_nor_the_run_nor_the_backfill(stage: Stage) -> None:
    days = ["2024-01-14", "2024-01-15"]
    stage.play({"alpha 2024-01-14 by_date": "check_fails", "alpha 2024-01-15 by_date": "check_warns"})

    assert stage.house.backfill(keys_of("alpha"), days) == "COMPLETED_SUCCESS"

    assert [run.status.value for day in days for run in stage.house.runs(day)] == ["SUCCESS", "SUCCESS"]
    assert stage.house.asset_statuses("alpha/by_date", days) == ["MATERIALIZED"] * 2
    assert stage.house.check_statuses("alpha/by_date", days) == ["FAILED"] * 2
    severities = [stage.house.check_executions("alpha/by_date", day)[0]["evaluation"]["severity"] for day in days]
    assert severities == ["ERROR", "WARN"]


# healing


def test_a_new_backfill_of_a_failed_day_heals_asset_and_check_statuses(stage: Stage) -> None:
    day = "2024-01-16"
    stage.play({f"alpha {day} quotes": "fail"})
    first = stage.house.launch_backfill(keys_of("alpha"), [day])
    assert stage.house.wait_for_backfill(first) == "COMPLETED_FAILED"
    assert stage.check_statuses("alpha", day, ["raw/quotes"]) == {"raw/quotes": "FAILED"}

    stage.play({f"alpha {day} quotes": "ok"})
    assert stage.house.backfill(keys_of("alpha"), [day]) == "COMPLETED_SUCCESS"

    assert stage.asset_statuses("alpha", day) == statuses("MATERIALIZED")
    assert stage.check_statuses("alpha", day) == statuses("SUCCEEDED", TICKS)
    assert stage.house.backfill_status(first).value == "COMPLETED_FAILED"


def test_reexecution_from_failure_repeats_the_whole_step_but_not_the_steps_before_it(stage: Stage) -> None:
    day = "2024-01-17"
    stage.play({f"alpha {day} quotes": "fail"})
    assert stage.house.backfill(keys_of("alpha"), [day]) == "COMPLETED_FAILED"
    (failed,) = stage.house.runs(day)

    stage.play({f"alpha {day} quotes": "ok"})
    assert stage.house.wait_for_run(stage.house.reexecute_from_failure(failed.run_id)) == "SUCCESS"

    assert len(stage.logged("instruments", "alpha", day)) == 1
    first, second = stage.logged("ticks", "alpha", day)
    assert second["selected"] == first["selected"] == sorted(TICKS)
    assert stage.asset_statuses("alpha", day) == statuses("MATERIALIZED")
    assert stage.check_statuses("alpha", day) == statuses("SUCCEEDED", TICKS)


def test_reexecution_from_asset_failure_heals_the_assets_but_skips_checks_that_were_already_evaluated(
    stage: Stage,
) -> None:
    day = "2024-01-18"
    stage.play({f"alpha {day} quotes": "fail"})
    assert stage.house.backfill(keys_of("alpha"), [day]) == "COMPLETED_FAILED"
    (failed,) = stage.house.runs(day)

    stage.play({f"alpha {day} quotes": "ok"})
    rerun = stage.house.reexecute_from_failure(failed.run_id, "FROM_ASSET_FAILURE")
    assert stage.house.wait_for_run(rerun) == "SUCCESS"

    second = stage.logged("ticks", "alpha", day)[1]
    assert second["selected"] == sorted(["raw/quotes", *LAYOUTS])
    assert second["checks"] == sorted(LAYOUTS)
    assert stage.asset_statuses("alpha", day) == statuses("MATERIALIZED")
    assert stage.check_statuses("alpha", day) == {**statuses("SUCCEEDED", TICKS), "raw/quotes": None}


def test_a_backfill_of_the_open_outputs_only_heals_them_with_their_checks(stage: Stage) -> None:
    day = "2024-01-19"
    stage.play({f"alpha {day} quotes": "fail"})
    assert stage.house.backfill(keys_of("alpha"), [day]) == "COMPLETED_FAILED"

    stage.play({f"alpha {day} quotes": "ok"})
    open_outputs = ["raw/quotes", *LAYOUTS]
    assert stage.house.backfill(keys_of("alpha", open_outputs), [day]) == "COMPLETED_SUCCESS"

    assert stage.logged("ticks", "alpha", day)[1]["selected"] == sorted(open_outputs)
    assert stage.asset_statuses("alpha", day) == statuses("MATERIALIZED")
    assert stage.check_statuses("alpha", day) == statuses("SUCCEEDED", TICKS)


# runs that are stopped or die

PUBLISHED = {"instruments": "MATERIALIZED", "raw/trades": "MATERIALIZED"}


def test_a_cancelled_run_cleans_up_and_leaves_its_open_outputs_without_any_status(stage: Stage) -> None:
    day = "2024-01-20"
    backfill_id, run_id, _ = stage.start_hanging_run(day)
    assert stage.asset_statuses("alpha", day) == {**statuses("IN_PROGRESS"), **PUBLISHED}

    assert stage.house.cancel(run_id) == "TerminateRunSuccess"

    assert stage.house.wait_for_run(run_id) == "CANCELED"
    assert stage.wait_for_log("cleaned_up", "alpha", day)["ended_by"] == "interrupt"
    assert stage.asset_statuses("alpha", day) == {**statuses(None), **PUBLISHED}
    assert stage.check_statuses("alpha", day) == {**statuses("SKIPPED", TICKS), "raw/trades": "SUCCEEDED"}
    assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_FAILED"


def test_errors_gathered_as_values_swallow_a_cancellation_and_the_cancelled_run_succeeds_later(stage: Stage) -> None:
    day = "2024-01-21"
    _, run_id, pid = stage.start_hanging_run(day, outcome="hang_tasks")

    stage.house.cancel(run_id)

    # the one interrupt is spent on one task; cancel_timeout_seconds later the run is called cancelled while it works
    assert stage.wait_for_log("task_stopped", "alpha", day)["error"] == "DagsterExecutionInterruptedError"
    assert stage.house.wait_for_run(run_id) == "CANCELED"
    assert is_alive(pid)
    assert stage.house.cancel(run_id) == "TerminateRunFailure"

    stage.play({f"alpha {day} quotes": "ok"})
    assert stage.house.wait_for_run(run_id, "SUCCESS") == "SUCCESS"
    results = set(stage.logged("gathered", "alpha", day)[0]["results"])
    assert results == {"DagsterExecutionInterruptedError", "NoneType"}
    assert stage.asset_statuses("alpha", day) == statuses("MATERIALIZED")


def test_a_task_group_ends_with_the_cancellation_wrapped_in_a_group(stage: Stage) -> None:
    day = "2024-01-22"
    _, run_id, _ = stage.start_hanging_run(day, outcome="hang_task_group")

    stage.house.cancel(run_id)

    assert stage.house.wait_for_run(run_id) == "CANCELED"
    assert stage.wait_for_log("cleaned_up", "alpha", day)["ended_by"] == "BaseExceptionGroup"
    errors = {line["error"] for line in stage.logged("task_stopped", "alpha", day)}
    assert errors == {"DagsterExecutionInterruptedError", "CancelledError"}
    assert stage.asset_statuses("alpha", day) == {**statuses(None), **PUBLISHED}


def test_a_killed_run_process_is_reported_failed_by_the_code_server(stage: Stage) -> None:
    day = "2024-01-23"
    backfill_id, run_id, pid = stage.start_hanging_run(day)

    os.kill(pid, signal.SIGKILL)

    assert stage.house.wait_for_run(run_id) == "FAILURE"
    assert any(message.startswith("[DagsterApiServer] Run execution process") for message in stage.house.events(run_id))
    assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_FAILED"
    assert stage.asset_statuses("alpha", day) == {**statuses("FAILED"), **PUBLISHED}
    assert stage.check_statuses("alpha", day) == {**statuses("EXECUTION_FAILED", TICKS), "raw/trades": "SUCCEEDED"}


def test_a_run_over_its_maximum_runtime_cleans_up_and_fails(stage: Stage) -> None:
    day = "2024-01-24"
    backfill_id, run_id, _ = stage.start_hanging_run(day)

    stage.house.instance.add_run_tags(run_id, {"dagster/max_runtime": "1"})

    assert stage.house.wait_for_run(run_id) == "FAILURE"
    assert stage.wait_for_log("cleaned_up", "alpha", day)["ended_by"] == "interrupt"
    assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_FAILED"
    assert stage.asset_statuses("alpha", day) == {**statuses("FAILED"), **PUBLISHED}


# schedules and sensors


def test_schedule_and_sensor_with_the_same_run_key_both_run_the_same_venue_day(stage: Stage) -> None:
    day = "2024-02-01"
    stage.play(requested_day=day)
    stage.house.switch("Schedule", "every_minute", is_on=True)
    stage.house.switch("Sensor", "new_days", is_on=True)
    try:
        askers = [{"dagster/schedule_name": "every_minute"}, {"dagster/sensor_name": "new_days"}]
        wait_until(lambda: all(stage.house.runs(day, **tags) for tags in askers), "schedule and sensor have asked")
    finally:
        stage.play(requested_day=None)
        stage.house.switch("Schedule", "every_minute", is_on=False)
        stage.house.switch("Sensor", "new_days", is_on=False)

    runs = stage.house.runs(day)
    assert {run.tags["dagster/run_key"] for run in runs} == {f"alpha|{day}"}
    for run in runs:
        assert stage.house.wait_for_run(run.run_id) == "SUCCESS"
    assert len(stage.logged("ticks", "alpha", day)) == len(runs) >= 2


def test_a_request_that_looks_at_runs_first_leaves_a_venue_day_alone_that_anyone_has_taken(stage: Stage) -> None:
    day, untouched = "2024-02-02", "2024-02-03"
    backfill_id, run_id, _ = stage.start_hanging_run(day)
    assert is_venue_day_taken(stage.house.instance, "alpha", day)
    assert not is_venue_day_taken(stage.house.instance, "beta", day)
    assert not is_venue_day_taken(stage.house.instance, "alpha", untouched)

    stage.play(requested_day=day, is_looking_at_runs=True)
    stage.house.switch("Sensor", "new_days", is_on=True)
    try:
        wait_until(lambda: len(stage.logged("sensor_ticked", "alpha", day)) > 1, "the sensor has looked twice")
        stage.play({f"alpha {day} quotes": "ok"})
        stage.house.wait_for_backfill(backfill_id)
        seen = len(stage.logged("sensor_ticked", "alpha", day))
        wait_until(lambda: len(stage.logged("sensor_ticked", "alpha", day)) > seen + 1, "the sensor has looked again")
    finally:
        stage.play(requested_day=None, is_looking_at_runs=False)
        stage.house.switch("Sensor", "new_days", is_on=False)

    assert [run.run_id for run in stage.house.runs(day)] == [run_id]


def test_a_failed_run_does_not_take_its_venue_day(stage: Stage) -> None:
    day = "2024-02-04"
    stage.play({f"alpha {day} trades": "fail"})
    stage.house.backfill(keys_of("alpha"), [day])

    assert not is_venue_day_taken(stage.house.instance, "alpha", day)


# definitions that change under a running backfill


@contextmanager
def data_types_of_alpha(stage: Stage, data_types: list[str]) -> Iterator[None]:
    """Reload the definitions with other data types; put the usual ones back at the end."""
    usual = stage.script.data_types
    stage.play(data_types={**usual, "alpha": data_types})
    stage.house.reload_definitions()
    try:
        yield
    finally:
        stage.play(data_types=usual)
        stage.house.reload_definitions()


def start_two_hanging_days(stage: Stage, days: Sequence[str]) -> str:
    """A backfill whose first two days take both places in the queue; the others wait."""
    hanging: dict[str, Outcome] = {f"alpha {day} quotes": "hang" for day in days[:2]}
    stage.play(hanging)
    backfill_id = stage.house.launch_backfill(keys_of("alpha"), days)
    for day in days[:2]:
        stage.wait_for_log("ticks", "alpha", day)
    wait_until(lambda: all(stage.house.runs(day) for day in days), "every day has its run")
    return backfill_id


def release(stage: Stage, days: Sequence[str]) -> None:
    stage.play({f"alpha {day} quotes": "ok" for day in days[:2]})


def test_a_data_type_added_during_a_backfill_is_not_covered_by_it(stage: Stage) -> None:
    days = ["2024-02-05", "2024-02-06", "2024-02-07"]
    backfill_id = start_two_hanging_days(stage, days)

    with data_types_of_alpha(stage, ["trades", "quotes", "funding"]):
        release(stage, days)
        assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_SUCCESS"
        for key in keys_of("alpha"):
            assert stage.house.asset_statuses(key, days) == ["MATERIALIZED"] * 3
        assert stage.house.asset_statuses("alpha/raw/funding", days) == [None] * 3


def test_a_data_type_removed_during_a_backfill_fails_it_and_leaves_its_days_without_status(stage: Stage) -> None:
    days = ["2024-02-08", "2024-02-09", "2024-02-10"]
    backfill_id = start_two_hanging_days(stage, days)

    with data_types_of_alpha(stage, ["quotes"]):
        assert stage.house.wait_for_backfill(backfill_id) == "FAILED"

    assert [run.status.value for day in days for run in stage.house.runs(day)] == ["CANCELED"] * 3
    for day in days[:2]:
        assert stage.asset_statuses("alpha", day) == {**statuses(None), **PUBLISHED}
    assert stage.asset_statuses("alpha", days[2]) == statuses(None)


# a code server that goes away


def wait_until_backfills_work(stage: Stage, day: str) -> None:
    """The daemon sees a location that came back later than the webserver; until then it fails each new backfill."""

    def is_working() -> bool:
        if not stage.house.webserver.create_request_context().code_locations:
            return False
        return stage.house.backfill(["beta/instruments"], [day]) == "COMPLETED_SUCCESS"

    wait_until(is_working, "the daemon runs backfills again")


def test_a_run_whose_machine_died_stays_started_until_its_maximum_runtime(stage: Stage) -> None:
    day = "2024-02-12"
    stage.play({f"alpha {day} quotes": "fail"})
    stage.house.backfill(keys_of("alpha"), [day])
    (failed,) = stage.house.runs(day)
    stage.play({f"alpha {day} quotes": "hang"})
    run_id = stage.house.reexecute_from_failure(failed.run_id)  # no backfill that would cancel the run
    wait_until(lambda: len(stage.logged("ticks", "alpha", day)) > 1, "the second run is at work")
    pid = stage.logged("ticks", "alpha", day)[1]["pid"]

    stage.house.kill_code_server()
    os.kill(pid, signal.SIGKILL)
    stage.house.restart_code_server()

    stage.house.wait_for_monitoring(run_id, times=5)
    assert stage.house.run_status(run_id) == "STARTED"
    assert stage.asset_statuses("alpha", day)["by_date"] == "IN_PROGRESS"

    stage.house.instance.add_run_tags(run_id, {"dagster/max_runtime": "1"})
    assert stage.house.wait_for_run(run_id) == "FAILURE"
    wait_until_backfills_work(stage, day)
    assert stage.asset_statuses("alpha", day) == {**statuses("FAILED"), **PUBLISHED}


@pytest.mark.long
def test_a_killed_child_of_the_code_server_fails_running_backfills_and_stays_away_until_a_reload(stage: Stage) -> None:
    day, later = "2024-02-13", "2024-02-14"
    backfill_id, run_id, pid = stage.start_hanging_run(day)
    assert stage.house.code_server is not None
    (child,) = stage.house.code_server.children()

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: stage.house.backfill_status(backfill_id).value in ("FAILING", "FAILED"), "the backfill fails")
    assert is_alive(pid)
    assert stage.house.code_server.children() == []
    wait_until(lambda: stage.house.run_status(run_id) == "CANCELED", "the backfill's run is called cancelled")
    assert is_alive(pid)
    stage.play({f"alpha {day} quotes": "ok"})
    assert stage.house.wait_for_run(run_id, "SUCCESS") == "SUCCESS"

    stage.house.reload_definitions()
    wait_until_backfills_work(stage, later)


def test_a_code_server_away_for_longer_fails_a_running_backfill_for_good(stage: Stage) -> None:
    days = ["2024-02-15", "2024-02-16", "2024-02-17"]
    backfill_id = start_two_hanging_days(stage, days)

    stage.house.kill_code_server()
    wait_until(lambda: stage.house.backfill_status(backfill_id).value in ("FAILING", "FAILED"), "the backfill fails")
    stage.house.restart_code_server()

    assert stage.house.wait_for_backfill(backfill_id) == "FAILED"
    runs = [run for day in days for run in stage.house.runs(day)]
    assert [run.status.value for run in runs] == ["CANCELED"] * 3
    assert stage.asset_statuses("alpha", days[2]) == statuses(None)
    # what was called cancelled works on in the orphaned processes, and succeeds
    release(stage, days)
    for run in runs[:2]:
        assert stage.house.wait_for_run(run.run_id, "SUCCESS") == "SUCCESS"
    wait_until_backfills_work(stage, "2024-02-18")


@pytest.mark.long  # holds while the server is back within the 10 attempts, a second apart, that a daemon makes
def test_a_code_server_restarted_at_once_loses_nothing(tmp_path: Path) -> None:
    days = ["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"]
    with open_stage(tmp_path, "api_grpc") as stage:
        backfill_id = start_two_hanging_days(stage, days)
        stage.house.kill_code_server()
        release(stage, days)
        stage.house.restart_code_server()

        assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_SUCCESS"
        for key in keys_of("alpha"):
            assert stage.house.asset_statuses(key, days) == ["MATERIALIZED"] * 4
        for day in days:
            assert len(stage.logged("ticks", "alpha", day)) == 1


def test_a_run_dequeued_while_the_code_server_is_away_fails_unless_the_queue_may_retry(tmp_path: Path) -> None:
    days = ["2024-03-01", "2024-03-02", "2024-03-03"]
    with open_stage(tmp_path, "api_grpc", user_code_failure_retries=0) as stage:
        backfill_id = start_two_hanging_days(stage, days)
        stage.house.kill_code_server()
        release(stage, days)

        assert stage.house.wait_for_backfill(backfill_id) in ("COMPLETED_FAILED", "FAILED")
        ended = [run.status.value for day in days for run in stage.house.runs(day)]
        assert ended == ["SUCCESS", "SUCCESS", "FAILURE"]
        assert stage.asset_statuses("alpha", days[2]) == statuses("FAILED")
        assert stage.logged("instruments", "alpha", days[2]) == []


@pytest.mark.long
def test_a_daemon_with_its_own_code_server_replaces_it_every_minute_and_so_survives_its_death(tmp_path: Path) -> None:
    days = ["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"]
    with open_stage(tmp_path, "daemon") as stage:
        backfill_id = start_two_hanging_days(stage, days)
        killed = stage.house.daemon.children()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        release(stage, days)

        assert stage.house.wait_for_backfill(backfill_id) == "COMPLETED_SUCCESS"
        for key in keys_of("alpha"):
            assert stage.house.asset_statuses(key, days) == ["MATERIALIZED"] * 4
        healthy = set(stage.house.daemon.children())
        assert not healthy & set(killed)
        wait_until(lambda: not healthy & set(stage.house.daemon.children()), "a healthy server is replaced as well")
