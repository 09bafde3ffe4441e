"""`market-data backfill`: a range of days of some venues, through the Dagster that runs or through one of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
from rich.console import Console

from market_data.demo.backfills import describe_download, print_failures, watch
from market_data.demo.local_dagster import LocalDagster, LocalDagsterRuns, find_dagster, run_dagster
from market_data.demo.runs import Runs
from market_data.demo.vendor_at_hand import open_vendor
from market_data.errors import ConfigurationError
from market_data.settings.environment import Settings

ALL_DONE, NOT_ALL_DONE, INTERRUPTED = 0, 1, 130
_POLL_SECONDS = 1


def run_backfill(settings: Settings, wanted: Mapping[str, Sequence[date]], console: Console) -> int:
    """Run days by venue, show how it goes, print what became of them; return the exit code (see the command).

    Ctrl-C cancels what was launched; what is published stays, and the same call goes on from there.
    """
    days = sorted({day for of_venue in wanted.values() for day in of_venue})
    _refuse_days_without_partition(settings, days)
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
    title = f"{span} of {', '.join(wanted)}; {settings.sources}"
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    with _dagster(settings, console) as dagster, dg.DagsterInstance.from_config(str(dagster.home)) as instance:
        runs, started = Runs(dagster, instance), time.monotonic()
        is_interrupted = _run(runs, settings, wanted, console)
        is_done = _print_summary(runs, sum(map(len, wanted.values())), time.monotonic() - started, console)
    return INTERRUPTED if is_interrupted else ALL_DONE if is_done else NOT_ALL_DONE


def _run(runs: Runs, settings: Settings, wanted: Mapping[str, Sequence[date]], console: Console) -> bool:
    """Run the days to their end, or until a person presses Ctrl-C; return whether one did."""
    try:
        for venue, days in wanted.items():
            runs.launch_venue(settings, venue, days)
        watch(runs, console, what="venue-days")
    except KeyboardInterrupt:
        console.print("Cancelling, as soon as the runs at work have stopped (Ctrl-C again: at once) ...")
        try:
            runs.cancel()
        except KeyboardInterrupt:
            console.print("Not waited for: runs may still be at work; Runs in the UI can end them.")
        else:
            console.print("Cancelled: what is published stays; the same command goes on from there.")
        return True
    except Exception:
        console.print("Cancelling what was launched ...")
        runs.cancel()
        raise
    return False


def _print_summary(runs: Runs, wanted: int, seconds: float, console: Console) -> bool:
    """Print what became of so many days that were wanted; return whether all of them are done."""
    failed = [day for day in runs.ended if day.failure is not None]
    print_failures(failed, console)
    missing = wanted - len(runs.ended)
    rest = f", {missing} not run (cancelled)" if missing else ""
    console.print(
        f"\n{len(runs.ended) - len(failed)} venue-days done, {len(failed)} failed{rest}; "
        f"{describe_download(runs, seconds)} in {seconds:.0f} s.\nIn the UI (market-data dev): Runs, tag {runs.tag}",
        highlight=False,
        soft_wrap=True,
    )
    return not failed and not missing


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
