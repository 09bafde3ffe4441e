"""The command `market-data why`: for each span without rows of an instrument its cause, evidence and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

import click
import polars as pl

from market_data.cli.commands import NOTHING_RUN, choose_days, json_option, range_options
from market_data.cli.fitted_table import Column, FittedTable
from market_data.cli.tables import make_console
from market_data.lake.open import open_lake
from market_data.quality.causes import Cause
from market_data.quality.gap_rules import describe_seconds
from market_data.read import verifiability
from market_data.read.arguments import to_instant, to_instrument_key
from market_data.read.completeness import NOT_RUN
from market_data.read.gaps import ask_for_gaps, gaps_of
from market_data.settings.environment import load_settings

_SHOWN = 200
_SPAN = ["instrument_key", "start", "end", "seconds", "cause", "evidence", "remedy"]


@click.command("why")
@click.argument("instruments", nargs=-1, required=True, metavar="KEY...")
@range_options(" [default: 29 days before the last]", " [default: yesterday (UTC), or the venues file's end_date]")
@click.option("--type", "data_types", multiple=True, help="Data type; repeatable [default: all that are held].")
@click.option("--all", "has_all", is_flag=True, help="Also what is usual every night, and what is no fault.")
@json_option
def why_command(
    *,
    instruments: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    data_types: tuple[str, ...],
    has_all: bool,
    as_json: bool,
) -> None:
    """Say why rows are missing: each span of an instrument (BINANCE:SPOT_PAIR:BTC-USDT) with its cause."""
    settings = load_settings()
    days = choose_days(settings, first, last)
    lake = open_lake(settings.lake_url)
    since, until = to_instant(days[0]), to_instant(days[-1] + timedelta(days=1))
    question = ask_for_gaps(instruments, data_types or None, since, until, lake)
    found = gaps_of(question)
    if unknown := question.describe_unknown():
        click.echo(f"Warning: {unknown}", err=True)
    if as_json:
        click.echo(found.write_json())
        return
    console = make_console()
    console.print(f"{_days_of(days)}; {settings.sources}", highlight=False, markup=False)
    spans = summarize_spans(found)
    shown = spans if has_all else spans.filter(~pl.col("cause").is_in([Cause.VENDOR_ROLLOVER, Cause.NOT_TRADING]))
    if not shown.is_empty():
        console.print(spans_table(shown.head(_SHOWN)))
    if shown.height > _SHOWN:
        console.print(f"... and {shown.height - _SHOWN:,} more: fewer days, or --json", highlight=False)
    if not found.is_empty() and (found["evidence"] == NOT_RUN).all():
        console.print(NOTHING_RUN)
    told = describe_spans(found, shown, len(days))
    known = verifiability(instruments, since, until, lake=lake)
    for line in [*told, *describe_visible(question.visible()), *describe_evidence(known, instruments, len(days))]:
        console.print(line, highlight=False, markup=False)


def summarize_spans(found: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each span and cause, with its data types; days in a row that say the same are one span."""
    together = (
        found.group_by(_SPAN)
        .agg(pl.col("data_type").unique().sort().str.join(", ").alias("data_types"))
        .sort("instrument_key", "data_types", "cause", "evidence", "start")
    )
    same = ["instrument_key", "data_types", "cause", "evidence"]
    is_next = pl.col("start") == pl.col("end").shift(1)
    for name in same:
        is_next &= pl.col(name) == pl.col(name).shift(1)
    number = (~is_next.fill_null(value=False)).cum_sum()
    joined = (
        together.with_columns(number=number)
        .group_by("number", *same, "remedy")
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col("seconds").sum())
    )
    return joined.drop("number").sort("instrument_key", "start", "data_types")


def spans_table(spans: pl.DataFrame) -> FittedTable:
    """Return the spans as a table for a terminal."""
    columns = [
        Column("from (UTC)", is_kept=True),
        Column("length", justify="right", is_kept=True),
        Column("cause", is_kept=True),
        Column("data types", is_prose=True),
        Column("evidence", is_prose=True),
        Column("to"),
    ]
    table = FittedTable(columns)
    for key in spans["instrument_key"].unique(maintain_order=True):
        table.add_row(key, "", "", "", "", "", style="bold")
        for row in spans.filter(pl.col("instrument_key") == key).iter_rows(named=True):
            table.add_row(
                _instant(row["start"]),
                describe_seconds(row["seconds"]),
                row["cause"],
                row["data_types"],
                row["evidence"],
                _instant(row["end"]),
            )
        table.end_section()
    return table


def describe_spans(found: pl.DataFrame, shown: pl.DataFrame, days: int) -> list[str]:
    """Return sentences: what to do about each cause, and what is not said."""
    remedies = shown.select("cause", "remedy").unique().sort("cause", "remedy").iter_rows()
    lines = [f"{cause}: {remedy}" for cause, remedy in remedies]
    hidden = found.filter(pl.col("cause") == Cause.VENDOR_ROLLOVER.value)["start"].dt.date().n_unique()
    if hidden:
        lines.append(f"On {hidden} of {days} days the first seconds are missing, as every night (--all shows them).")
    if shown.is_empty():
        lines.append("No gap that could be told from the silences that are usual.")
    return lines


def describe_visible(seen: pl.DataFrame) -> Iterator[str]:
    """Yield from how long on silences of each instrument could be told from usual ones, on the worst of its days."""
    worst = seen.group_by("instrument_key", "data_type").agg(pl.col("visible_from_seconds").max())
    for (key,), own in worst.sort("instrument_key", "data_type").partition_by("instrument_key", as_dict=True).items():
        told = [
            f"{data_type} {'never' if seconds is None else f'from {describe_seconds(seconds)} on'}"
            for _, data_type, seconds in own.iter_rows()
        ]
        yield f"Silences of {key} that can be told from usual ones: {', '.join(told)}."


def describe_evidence(known: pl.DataFrame, instruments: Iterable[str], days: int) -> Iterator[str]:
    """Yield what independent evidence there was of each instrument's days."""
    for key in map(to_instrument_key, instruments):
        own = known.filter(pl.col("instrument_key") == key)
        counts = own["evidence"].value_counts().sort("evidence").iter_rows()
        told = [f"{evidence} on {count} of {days} days" for evidence, count in counts]
        rest = [f"not looked for on {days - own.height} of {days} days"] if own.height < days else []
        yield f"Independent evidence of {key}: {', '.join([*told, *rest])}."


def _instant(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"


def _days_of(days: list[date]) -> str:
    return f"{days[0]} to {days[-1]} ({len(days)} days)"
