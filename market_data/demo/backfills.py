"""Runs of many days, shown to people while they are at work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import filesize
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from market_data.demo.runs import EndedDay, Runs


def watch(runs: Runs, console: Console, *, what: str) -> None:
    """Show days, files, bytes, their speed and the time left until the runs have ended, and each day as it ends.

    Raises LocalDagsterFailed where Dagster ended.
    """
    started = time.monotonic()
    with _progress(console) as progress:
        task = progress.add_task(what, total=runs.days, downloaded="")
        for ended in runs.follow():
            if ended is not None:
                progress.console.print(_describe(ended), highlight=False)
            downloaded = describe_download(runs, time.monotonic() - started) if runs.files else ""
            progress.update(task, completed=len(runs.ended), downloaded=downloaded)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[downloaded]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


def describe_download(runs: Runs, seconds: float) -> str:
    """Return `1,204 files, 3.1 GB, 41.2 MB/s`: what published units have downloaded since so many seconds."""
    speed = filesize.decimal(round(runs.size_bytes / max(seconds, 1e-3)))
    return f"{runs.files:,} files, {filesize.decimal(runs.size_bytes)}, {speed}/s"


def print_failures(failed: Sequence[EndedDay], console: Console) -> None:
    """Print the headline of every failed day, below a title; nothing where none failed."""
    if failed:
        console.print(f"\n[red]Failed[/red] ({len(failed)}):")
    for day in failed:
        console.print(f"  {day.name} {day.day}  {_headline(day)}", highlight=False, markup=False, soft_wrap=True)


def _describe(ended: EndedDay) -> str:
    name = f"{ended.name} {ended.day}"
    if ended.failure is None:
        return f"  [green]ok[/green]      {name}"
    return f"  [red]failed[/red]  {name}  {escape(_headline(ended))}"


def _headline(ended: EndedDay) -> str:
    """Return the first line of why a day failed, without the name that stands before it."""
    return (ended.failure or "").partition("\n")[0].removeprefix(f"{ended.name} {ended.day}: ")
