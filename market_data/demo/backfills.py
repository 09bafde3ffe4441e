"""Days through Dagster, as the UI's dialog launches them: launched, watched to their end, told to people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from market_data.defs.keys import VENUE_TAG, venue_asset_keys
from market_data.demo.local_dagster import LocalDagster, LocalDagsterFailed
from market_data.settings.environment import Settings

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_POLL_SECONDS = 0.5
_LOOKS_A_QUESTION = 10


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run at its end: of what, which day, and what it says where it failed (the first line is a headline)."""

    name: str
    day: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class Launched:
    """Some days of one name (a venue) that were launched: a backfill with a run for each, or one day's run."""

    name: str
    days: int
    backfill_id: str | None = None
    run_id: str | None = None

    def ended_runs(self, instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
        """Return the runs of it that have ended."""
        if self.run_id is not None:
            return instance.get_runs(dg.RunsFilter(run_ids=[self.run_id], statuses=_ENDED))
        return instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": str(self.backfill_id)}, statuses=_ENDED))

    def is_over(self, instance: dg.DagsterInstance) -> bool:
        """Whether nothing more will come; raises LocalDagsterFailed for a backfill that could not be run."""
        if self.run_id is not None:
            run = instance.get_run_by_id(self.run_id)
            return run is None or run.is_finished  # deleted, or ended
        backfill = instance.get_backfill(str(self.backfill_id))
        if backfill is None:
            return False
        if backfill.status is BulkActionStatus.FAILED:
            raise LocalDagsterFailed(f"the backfill {self.backfill_id} could not be run: {backfill.error}")
        return backfill.status in BULK_ACTION_TERMINAL_STATUSES

    def cancel(self, dagster: LocalDagster) -> None:
        """Ask for its end."""
        if self.run_id is not None:
            dagster.cancel_run(self.run_id)
        else:
            dagster.cancel_backfill(str(self.backfill_id))


def launch_venues(
    dagster: LocalDagster, settings: Settings, venues: Sequence[str], days: Sequence[date]
) -> list[Launched]:
    """Launch the days of each venue apart, so that one's failure is its own; one day of it is a run, not a backfill."""
    launched: list[Launched] = []
    for venue in venues:
        keys = [key.to_user_string() for key in venue_asset_keys(settings, venue)]
        launched += [launch_days(dagster, venue, keys, days, {VENUE_TAG: venue})]
    return launched


def launch_days(
    dagster: LocalDagster, name: str, asset_keys: Sequence[str], days: Sequence[date], tags: Mapping[str, str]
) -> Launched:
    """Launch days of some assets as the UI's dialog does: one as a run, which begins at once, more as a backfill."""
    if len(days) == 1:
        return Launched(name, 1, run_id=dagster.launch_day(asset_keys, days[0].isoformat(), tags))
    backfill_id = dagster.launch_backfill(asset_keys, [day.isoformat() for day in days], tags)
    return Launched(name, len(days), backfill_id)


def watch(
    dagster: LocalDagster, instance: dg.DagsterInstance, launched: Sequence[Launched], console: Console, *, what: str
) -> list[EndedRun]:
    """Show progress until the runs of what was launched have ended, and return the runs.

    Raises LocalDagsterFailed where Dagster cannot run one of them, or ended.
    """
    found: dict[str, EndedRun] = {}
    expected = sum(item.days for item in launched)
    with _progress(console, what, expected) as (progress, task):
        for look in count():
            states = [item.is_over(instance) for item in launched]  # each, since one may have failed
            for run_id, ended in _ended_runs(instance, launched, found):
                found[run_id] = ended
                progress.advance(task)
                progress.console.print(_describe(ended), highlight=False)
            if all(states) or len(found) >= expected:
                break
            if look % _LOOKS_A_QUESTION == 0:
                dagster.ensure_answers()
            time.sleep(_POLL_SECONDS)
    return list(found.values())


def cancel(dagster: LocalDagster, instance: dg.DagsterInstance, launched: Sequence[Launched]) -> None:
    """Cancel what was launched and wait until its runs have ended, which takes Dagster some seconds."""
    for item in launched:
        item.cancel(dagster)
    while not all(item.is_over(instance) for item in launched):
        dagster.ensure_answers()
        time.sleep(_POLL_SECONDS)


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress, progress.add_task(what, total=total)


def _ended_runs(
    instance: dg.DagsterInstance, launched: Sequence[Launched], known: Mapping[str, EndedRun]
) -> Iterator[tuple[str, EndedRun]]:
    for item in launched:
        for run in item.ended_runs(instance):
            if run.run_id not in known:
                yield run.run_id, EndedRun(item.name, run.tags["dagster/partition"], _failure_of(instance, run))


def _failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return None
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    event = failures[-1].event_log_entry.dagster_event if failures else None
    said = event.step_failure_data.user_failure_data if event else None
    return (said.description if said else None) or f"run {run.run_id} ended as {run.status.value}; the UI shows why"


def _describe(run: EndedRun) -> str:
    name = f"{run.name} {run.day}"
    if run.failure is None:
        return f"  [green]ok[/green]      {name}"
    return f"  [red]failed[/red]  {name}  {escape(run.failure.partition(chr(10))[0])}"
