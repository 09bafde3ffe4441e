"""Two small venues of the designed shape, whose behaviour a test scripts while a real daemon runs them.

A venue is an asset `<venue>/instruments` and one step `<venue>_ticks` whose outputs are raw data types and layouts.
The script is a JSON file (see `Script`); every execution appends JSON lines to a log file, so tests count executions.
"""

import asyncio
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster_shared.utils.warnings import PreviewWarning

SCRIPT_VARIABLE = "SMALL_VENUES_SCRIPT"
LOG_VARIABLE = "SMALL_VENUES_LOG"
VENUE_TAG = "market_data/venue"
VENUES = ("alpha", "beta")
LAYOUTS = ("by_date", "by_venue", "by_type")
DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-07-01")

Outcome: TypeAlias = Literal[
    "ok",
    "fail",  # the output stays open, its check fails, the step raises at the end
    "check_fails",  # published, and its check fails with severity ERROR
    "check_warns",  # published, and its check fails with severity WARN
    "hang",  # waits in the main thread before this output until the script says otherwise
    "hang_tasks",  # the same in two asyncio tasks whose errors are gathered as values (return_exceptions=True)
    "hang_task_group",  # the same in an asyncio.TaskGroup
]


@dataclass(frozen=True)
class Script:
    """What the venues do. Keys of `outcomes` are `<venue> <day> <data type or layout>`."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    data_types: Mapping[str, list[str]] = field(default_factory=lambda: {v: ["trades", "quotes"] for v in VENUES})
    requested_day: str | None = None  # what schedule and sensor ask for
    is_looking_at_runs: bool = False  # whether schedule and sensor look at existing runs first

    def outcome(self, venue: str, day: str, output: str) -> Outcome:
        return self.outcomes.get(f"{venue} {day} {output}", "ok")

    def save(self, path: Path) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)

    @classmethod
    def load(cls) -> "Script":
        return cls(**json.loads(Path(os.environ[SCRIPT_VARIABLE]).read_text()))


class VenueDayIncomplete(Exception):
    """A venue-day has open outputs; everything finished was yielded before."""


def log(**entry: Any) -> None:
    with Path(os.environ[LOG_VARIABLE]).open("a") as lines:
        lines.write(json.dumps({"pid": os.getpid(), **entry}) + "\n")


def _wait_while_hanging(venue: str, day: str, output: str) -> None:
    while Script.load().outcome(venue, day, output) == "hang":
        time.sleep(0.05)


async def _wait_in_tasks(venue: str, day: str, output: str) -> None:
    async def wait(file_number: int) -> None:
        try:
            # Busy inside the task for most of the time, as a real one that hashes or parses. An interrupt that lands
            # in the event loop itself instead ends the step: with asyncio it is chance which of the two happens.
            is_hanging = True
            while is_hanging:
                is_hanging = all(Script.load().outcome(venue, day, output).startswith("hang_") for _ in range(200))
                await asyncio.sleep(0)
        except BaseException as error:
            log(event="task_stopped", venue=venue, day=day, file=file_number, error=type(error).__name__)
            raise

    if Script.load().outcome(venue, day, output) == "hang_tasks":
        results = await asyncio.gather(wait(1), wait(2), return_exceptions=True)
        log(event="gathered", venue=venue, day=day, results=[type(r).__name__ for r in results])
    else:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait(1))
            tasks.create_task(wait(2))


def _hang_if_told(venue: str, day: str, output: str) -> None:
    outcome = Script.load().outcome(venue, day, output)
    if outcome == "hang":
        _wait_while_hanging(venue, day, output)
    elif outcome.startswith("hang_"):
        asyncio.run(_wait_in_tasks(venue, day, output))


def _results(context: dg.AssetExecutionContext, venue: str, data_types: list[str]) -> Iterator[Any]:
    """Yield what is finished with its check, raw outputs first, and raise for what is open."""
    day = context.partition_key
    still_open: list[str] = []
    for output in (*(f"raw/{data_type}" for data_type in data_types), *LAYOUTS):
        key = dg.AssetKey([venue, *output.split("/")])
        if key not in context.selected_asset_keys:
            continue
        name = key.path[-1]
        _hang_if_told(venue, day, name)
        outcome = Script.load().outcome(venue, day, name)
        if name in LAYOUTS and still_open:
            continue
        if outcome == "fail":
            still_open.append(output)
        else:
            yield dg.MaterializeResult(asset_key=key, metadata={"files": 1})
        if dg.AssetCheckKey(key, "coverage") in context.selected_asset_check_keys:
            severity = dg.AssetCheckSeverity.WARN if outcome == "check_warns" else dg.AssetCheckSeverity.ERROR
            is_passed = outcome not in ("fail", "check_fails", "check_warns")
            yield dg.AssetCheckResult(asset_key=key, check_name="coverage", passed=is_passed, severity=severity)
    if still_open:
        raise VenueDayIncomplete(f"{venue} {day}: still open: {', '.join(still_open)}; re-run the day")


def build_venue(venue: str, data_types: list[str]) -> list[dg.AssetsDefinition]:
    instruments_key = dg.AssetKey([venue, "instruments"])
    raw_keys = [dg.AssetKey([venue, "raw", data_type]) for data_type in data_types]
    keys_with_deps = [(key, [instruments_key]) for key in raw_keys]
    keys_with_deps += [(dg.AssetKey([venue, layout]), raw_keys) for layout in LAYOUTS]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*partitions_def.*AssetCheckSpec.*", category=PreviewWarning)
        check_specs = [dg.AssetCheckSpec("coverage", asset=key, partitions_def=DAYS) for key, _ in keys_with_deps]

    @dg.asset(key=instruments_key, group_name=venue, partitions_def=DAYS)
    def instruments(context: dg.AssetExecutionContext) -> None:
        day = context.partition_key
        log(event="instruments", venue=venue, day=day, run_id=context.run_id)
        if Script.load().outcome(venue, day, "instruments") == "fail":
            raise VenueDayIncomplete(f"{venue} {day}: no instruments")

    @dg.multi_asset(
        name=f"{venue}_ticks",
        specs=[dg.AssetSpec(key, deps=deps, group_name=venue, skippable=True) for key, deps in keys_with_deps],
        partitions_def=DAYS,
        check_specs=check_specs,
        can_subset=True,
    )
    def ticks(context: dg.AssetExecutionContext) -> Iterator[Any]:
        selected = sorted("/".join(key.path[1:]) for key in context.selected_asset_keys)
        checks = sorted("/".join(key.asset_key.path[1:]) for key in context.selected_asset_check_keys)
        entry = {"venue": venue, "day": context.partition_key, "run_id": context.run_id}
        log(event="ticks", selected=selected, checks=checks, **entry)
        ended_by = "nothing"
        try:
            yield from _results(context, venue, data_types)
        except DagsterExecutionInterruptedError:
            ended_by = "interrupt"
            raise
        except BaseException as error:
            ended_by = type(error).__name__
            raise
        finally:
            log(event="cleaned_up", ended_by=ended_by, **entry)

    return [instruments, ticks]


def is_venue_day_taken(instance: dg.DagsterInstance, venue: str, day: str) -> bool:
    """Whether a run of this venue-day is unfinished or succeeded, whoever launched it.

    Backfills from the dialog carry no venue tag: their venue is seen in `asset_selection` only.
    """
    unfinished_or_done = [*NOT_FINISHED_STATUSES, dg.DagsterRunStatus.SUCCESS]
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": day}, statuses=unfinished_or_done))
    return any(
        run.tags.get(VENUE_TAG) == venue or any(key.path[0] == venue for key in run.asset_selection or ())
        for run in runs
    )


def request_venue_day(instance: dg.DagsterInstance, venue: str, asker: str) -> list[dg.RunRequest]:
    """What both the schedule and the sensor ask for: the same run key, the same venue-day."""
    script = Script.load()
    day = script.requested_day
    log(event=f"{asker}_ticked", venue=venue, day=day)
    if day is None or (script.is_looking_at_runs and is_venue_day_taken(instance, venue, day)):
        return []
    return [dg.RunRequest(run_key=f"{venue}|{day}", partition_key=day, tags={VENUE_TAG: venue})]


def build_definitions() -> dg.Definitions:
    data_types = Script.load().data_types
    alpha_day = dg.define_asset_job("alpha_day", selection=dg.AssetSelection.groups("alpha"), partitions_def=DAYS)

    @dg.schedule(job=alpha_day, cron_schedule="* * * * *")
    def every_minute(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        return request_venue_day(context.instance, "alpha", "schedule")

    @dg.sensor(job=alpha_day, minimum_interval_seconds=1)
    def new_days(context: dg.SensorEvaluationContext) -> list[dg.RunRequest]:
        return request_venue_day(context.instance, "alpha", "sensor")

    return dg.Definitions(
        assets=[asset for venue in VENUES for asset in build_venue(venue, data_types[venue])],
        jobs=[alpha_day],
        schedules=[every_minute],
        sensors=[new_days],
        executor=dg.in_process_executor,
    )


# Importing the module without a script (a test that wants only its names) must not fail.
defs = build_definitions() if SCRIPT_VARIABLE in os.environ else dg.Definitions()
