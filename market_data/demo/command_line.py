"""`market-data backfill`: a range of days of some venues, through the Dagster that runs or through one of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
from rich.console import Console

from market_data.demo.backfills import cancel, launch_venues, watch
from market_data.demo.local_dagster import LocalDagster, LocalDagsterRuns, find_dagster, run_dagster
from market_data.demo.vendor_at_hand import open_vendor
from market_data.errors import ConfigurationError
from market_data.settings.environment import Settings

_TOLD_FAILURES = 5
_POLL_SECONDS = 1


def run_backfill(settings: Settings, venues: Sequence[str], days: Sequence[date], console: Console) -> bool:
    """Run the venue-days and print what became of each; returns whether all of them succeeded.

    Ctrl-C cancels what was launched; what is published stays, and the same call goes on from there.
    """
    _refuse_days_without_partition(settings, days)
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
    console.print(f"{span} of {', '.join(venues)}; {settings.sources}", highlight=False, markup=False)
    with _dagster(settings, console) as dagster, dg.DagsterInstance.from_config(str(dagster.home)) as instance:
        launched = launch_venues(dagster, settings, venues, days)
        try:
            ended = watch(dagster, instance, launched, console, what="venue-days")
        except KeyboardInterrupt:
            console.print("Cancelling, as soon as the runs at work have stopped (Ctrl-C again: at once) ...")
            cancel(dagster, instance, launched)
            console.print("Cancelled: what is published stays; the same command goes on from there.")
            raise
    failures = [run for run in ended if run.failure is not None]
    for run in failures[:_TOLD_FAILURES]:
        console.print(f"\n[red]{run.name} {run.day} failed[/red]")
        console.print(run.failure, highlight=False, markup=False)
    missing = len(venues) * len(days) - len(ended)
    rest = f", {missing} not run (cancelled)" if missing else ""
    console.print(
        f"\n{len(ended) - len(failures)} venue-days done, {len(failures)} failed{rest}. Their runs are in the UI: "
        "market-data dev",
        highlight=False,
    )
    return not failures and not missing


def _refuse_days_without_partition(settings: Settings, days: Sequence[date]) -> None:
    config = settings.config
    if days[0] < config.start_date or (config.end_date is not None and days[-1] > config.end_date):
        last = f" to {config.end_date}" if config.end_date else ""
        raise ConfigurationError(
            f"{days[0]} to {days[-1]} is not inside the days of the venues file {settings.venues_file}, "
            f"{config.start_date}{last}: ask for other days, or change start_date or end_date there"
        )


@contextmanager
def _dagster(settings: Settings, console: Console) -> Iterator[LocalDagster]:
    if running := find_dagster(settings.dagster_home, settings.environment):
        console.print(f"Through the Dagster at {running.url}", highlight=False)
        yield running
        return
    log = settings.dagster_home / "backfill.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        served = stack.enter_context(open_vendor(settings))
        yield _start(stack, settings.dagster_home, served.environment, log, console)


def _start(stack: ExitStack, home: Path, environment: Mapping[str, str], log: Path, console: Console) -> LocalDagster:
    """Start Dagster, as soon as no other program runs one on this home that it will end."""
    is_told = False
    while True:
        try:
            with console.status("Starting Dagster: about half a minute."):
                return stack.enter_context(run_dagster(home, environment, port=0, log=log))
        except LocalDagsterRuns:
            if running := find_dagster(home, environment):
                return running
            if not is_told:
                console.print("Another market-data program uses this Dagster home: waiting until it has ended ...")
            is_told = True
            time.sleep(_POLL_SECONDS)
