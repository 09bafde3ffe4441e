"""Ranges of days through Dagster, as the UI's dialog launches them: launched, watched to their end, told to people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from market_data.defs.keys import venue_asset_keys
from market_data.demo.local_dagster import LocalDagster, LocalDagsterFailed
from market_data.settings import Settings

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_POLL_SECONDS = 0.5
_LOOKS_A_QUESTION = 10


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run at its end: of what, which day, and what it says where it failed (the first line is a headline)."""

    name: str
    day: str
    failure: str | None


def launch_venues(
    dagster: LocalDagster, settings: Settings, venues: Sequence[str], days: Sequence[date]
) -> dict[str, str]:
    """Launch one backfill for each venue, so that one's failure is its own; returns their ids by venue."""
    keys = [day.isoformat() for day in days]
    return {
        venue: dagster.launch_backfill(
            [key.to_user_string() for key in venue_asset_keys(settings, venue)], keys, {"venue": venue}
        )
        for venue in venues
    }


def watch_backfills(
    dagster: LocalDagster,
    instance: dg.DagsterInstance,
    backfills: Mapping[str, str],
    days: int,
    console: Console,
    *,
    what: str,
) -> list[EndedRun]:
    """Show progress until the backfills' runs have ended, and return the runs; `backfills` are ids by name (a venue).

    Each has one run for each of its `days`. Raises LocalDagsterFailed where Dagster cannot run one of them, or ended.
    """
    found: dict[str, EndedRun] = {}
    with _progress(console, what, len(backfills) * days) as (progress, task):
        for look in count():
            states = [
                _is_over(instance, backfill) for backfill in backfills.values()
            ]  # each, since one may have failed
            for run_id, ended in _ended_runs(instance, backfills, found):
                found[run_id] = ended
                progress.advance(task)
                progress.console.print(_describe(ended), highlight=False)
            if all(states) or len(found) >= len(backfills) * days:
                break
            if look % _LOOKS_A_QUESTION == 0:
                dagster.ensure_answers()
            time.sleep(_POLL_SECONDS)
    return list(found.values())


def cancel_backfills(dagster: LocalDagster, instance: dg.DagsterInstance, backfills: Iterable[str]) -> None:
    """Cancel backfills and wait until their runs have ended, which takes Dagster some seconds."""
    ids = list(backfills)
    for backfill_id in ids:
        dagster.cancel_backfill(backfill_id)
    while not all(_is_over(instance, backfill_id) for backfill_id in ids):
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


def _is_over(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        return False
    if backfill.status is BulkActionStatus.FAILED:
        raise LocalDagsterFailed(f"the backfill {backfill_id} could not be run: {backfill.error}")
    return backfill.status in BULK_ACTION_TERMINAL_STATUSES


def _ended_runs(
    instance: dg.DagsterInstance, backfills: Mapping[str, str], known: Mapping[str, EndedRun]
) -> Iterator[tuple[str, EndedRun]]:
    for name, backfill_id in backfills.items():
        for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}, statuses=list(_ENDED))):
            if run.run_id not in known:
                yield run.run_id, EndedRun(name, run.tags["dagster/partition"], _failure_of(instance, run))


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
