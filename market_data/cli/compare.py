"""The command `market-data compare`: the lake's trades against a second source, or against their own ids."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
import polars as pl

from market_data.cli.commands import choose_days, json_option, range_options
from market_data.cli.fitted_table import Column, FittedTable
from market_data.cli.tables import make_console, print_some
from market_data.errors import ConfigurationError
from market_data.lake.open import open_lake
from market_data.model.venues import parse_venue
from market_data.quality.second_source import AGREE, DIFFER, RUN_LIMIT, SHARE_LIMIT
from market_data.read.arguments import to_instrument_key
from market_data.read.compare import check_ids, compare_with_binance
from market_data.settings.environment import Settings, load_settings


@click.command("compare")
@click.option("--with", "source", type=click.Choice(["binance-public"]), help="The second source.")
@click.option(
    "--files", type=click.Path(file_okay=False, path_type=Path), help="Directory of its files, as downloaded."
)
@click.option("--ids", "by_ids", is_flag=True, help="Instead: whether ids that rise by one are all there.")
@click.option("--venue", required=True, help="Venue in any spelling.")
@click.option("--instrument", "instruments", multiple=True, metavar="KEY", help="Instrument key; repeatable.")
@range_options(" [default: with --ids 29 days before the last, else every day of the files]", "")
@json_option
def compare_command(
    *,
    source: str | None,
    files: Path | None,
    by_ids: bool,
    venue: str,
    instruments: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    as_json: bool,
) -> None:
    """Hold the trades of the lake against the exchange's own public files, or against their own ids.

    Exit code 0: they agree, or cannot be compared (it says so); 1: one of both lacks more than one trade in 100,000, or
    more than 50 in a row, or has other values, or ids are missing, or our day may not be read; 2: asked for wrongly, or
    a file is damaged.
    """
    if by_ids == (source is not None) or (source is not None) != (files is not None):
        raise click.UsageError("give --with binance-public --files DIRECTORY, or --ids")
    try:
        found = _compare(load_settings(), parse_venue(venue), files, instruments, (first, last))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(found.write_json())
    else:
        _print(found, parse_venue(venue), by_ids=by_ids)
    raise SystemExit(1 if (found["verdict"] == DIFFER).any() else 0)


def _compare(
    settings: Settings,
    venue: str,
    files: Path | None,
    instruments: tuple[str, ...],
    bounds: tuple[datetime | None, datetime | None],
) -> pl.DataFrame:
    lake, keys = open_lake(settings.lake_url), [to_instrument_key(key) for key in instruments]
    if files is None:
        return check_ids(lake, venue, choose_days(settings, *bounds), keys)
    if not files.is_dir():
        raise ConfigurationError(f"--files {files} is no directory")
    days = choose_days(settings, *bounds) if any(bounds) else []
    return compare_with_binance(lake, files, venue, days=days, keys=keys)


def _print(found: pl.DataFrame, venue: str, *, by_ids: bool) -> None:
    console = make_console()
    if found.is_empty():
        who = "the lake holds no" if by_ids else "neither the files nor the lake hold"
        console.print(f"Nothing to compare: {who} trades of {venue} on these days.", highlight=False)
        return
    console.print(_ids_table(found) if by_ids else _compared_table(found))
    for row in found.filter(pl.col("verdict") == DIFFER).iter_rows(named=True):
        subject = f"{row['instrument_key'] or row['symbol']} {row['day']}"
        if by_ids:
            print_some(console, row["ranges"], f"{subject} lacks the ids:")
        else:
            print_some(console, row["spans"], f"{subject}, held against {row['source']}:")
    for line in _conclude(found, by_ids=by_ids):
        console.print(line, highlight=False, markup=False)


def _compared_table(found: pl.DataFrame) -> FittedTable:
    table = FittedTable(
        [
            Column("day", is_kept=True),
            Column("symbol", is_kept=True),
            Column("file", is_kept=True),
            Column("verdict", is_kept=True),
            Column("what", is_prose=True, is_kept=True),
            Column("theirs only", "right"),
            Column("ours only", "right"),
            Column("common", "right"),
        ]
    )
    for row in found.iter_rows(named=True):
        numbers = (f"{row[name]:,}" for name in ("theirs_only", "ours_only", "common"))
        verdict = row["verdict"].replace("_", " ")
        table.add_row(str(row["day"]), row["symbol"], row["source"], verdict, row["told"], *numbers)
    return table


def _ids_table(found: pl.DataFrame) -> FittedTable:
    table = FittedTable(
        [
            Column("instrument", is_kept=True),
            Column("day", is_kept=True),
            Column("verdict", is_kept=True),
            Column("what", is_prose=True, is_kept=True),
            Column("missing", "right"),
            Column("trades", "right"),
            Column("steps of one", "right"),
        ]
    )
    for row in found.iter_rows(named=True):
        share = "" if row["contiguous_share"] is None else f"{row['contiguous_share']:.3%}"
        words = {AGREE: "complete" if row["edges_known"] else "complete within", DIFFER: "ids are missing"}
        missing = "" if row["missing"] is None else f"{row['missing']:,}"
        verdict = words.get(row["verdict"], "not judged")
        trades = f"{row['trades']:,}"
        table.add_row(row["instrument_key"], str(row["day"]), verdict, row["told"], missing, trades, share)
    return table


def _conclude(found: pl.DataFrame, *, by_ids: bool) -> list[str]:
    many = {word: (found["verdict"] == word).sum() for word in (AGREE, DIFFER)}
    rest = found.height - sum(many.values())
    if by_ids:
        within = found.filter(pl.col("verdict") == AGREE, ~pl.col("edges_known")).height
        told = f"{many[AGREE] - within} proven complete by their ids, "
        told += f"{within} between their first and last trade alone, " if within else ""
        lines = [f"{told}{many[DIFFER]} with missing ids, {rest} not judged."]
        if within:
            lines.append(
                "What was before the first trade, or after the last, is not known where the day beside is not held, or "
                "its ids are another count."
            )
        return lines + (["Ids that do not rise by one prove nothing: compare with a second source."] if rest else [])
    lines = [f"{many[AGREE]} agree, {many[DIFFER]} differ, {rest} not compared."]
    if many[DIFFER]:
        lines.append(
            f"Told from {SHARE_LIMIT:g} of a day's trades on, or {RUN_LIMIT} in a row. The second source is no truth "
            "either: look at `market-data why` of those spans, and get its file again."
        )
    return lines
