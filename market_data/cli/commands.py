"""The commands of `market-data` that look and change nothing: coverage, find, plan, doctor, schema.

Days are UTC; `--from` and `--to` are both included. Tables are for people, `--json` gives everything exactly.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
import polars as pl
from pydantic import BaseModel

from market_data.cli.diagnoses import examine, prove
from market_data.cli.tables import (
    coverage_table,
    describe_coverage_totals,
    describe_gaps,
    describe_lacking,
    describe_plan,
    describe_stale,
    describe_waivers,
    instruments_table,
    make_console,
    plan_table,
    print_some,
    records_table,
    stale_table,
)
from market_data.demo.vendor_at_hand import open_vendor
from market_data.errors import ConfigurationError
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.lake.origin import read_origin
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, DataType, parse_data_type
from market_data.model.venues import parse_venue
from market_data.operate import coverage
from market_data.operate.coverage import NOT_RUN, measure_coverage, summarize_data_types
from market_data.operate.doctor import (
    Diagnosis,
    Level,
)
from market_data.operate.plan import find_stale, plan_backfill
from market_data.read import NothingMatchesWarning, find_instruments
from market_data.receipts.receipt import Receipt
from market_data.settings.environment import Settings, load_settings
from market_data.settings.venues_file import VenueSettings, VenuesFile
from market_data.ticks.decode import DECODER_VERSION
from market_data.universe.answers import VendorAnswer, learn_answer
from market_data.vendor.client import TardisClient

_Command = TypeVar("_Command", bound=Callable[..., object])
_DAY = click.DateTime(formats=["%Y-%m-%d"])
NOTHING_RUN = "None of this was run in this lake. Is it the one you mean (MARKET_DATA_LAKE_URL)?"
_NEWEST = " [default: yesterday (UTC), or the venues file's end_date]"


def range_options(first_default: str, last_default: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds `--from` and `--to`; the texts say what holds without them."""

    def add(command: _Command) -> _Command:
        to = click.option("--to", "last", type=_DAY, metavar="DAY", help=f"Last day, included{last_default}.")
        return click.option("--from", "first", type=_DAY, metavar="DAY", help=f"First day, included{first_default}.")(
            to(command)
        )

    return add


venue_option = click.option(
    "--venue", "venues", multiple=True, help="Venue in any spelling; repeatable [default: all of the venues file]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of a table.")


@click.command("coverage")
@range_options(" [default: 29 days before the last]", _NEWEST)
@venue_option
@json_option
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Also draw it: write a PNG there.")
def coverage_command(
    *, first: datetime | None, last: datetime | None, venues: tuple[str, ...], as_json: bool, picture: Path | None
) -> None:
    """Count what the lake holds against what is expected, by venue, data type and day."""
    settings = load_settings()
    days = choose_days(settings, first, last)
    wanted = {venue: item.data_types for venue, item in choose_venues(settings, venues).items()}
    frame = measure_coverage(open_lake(settings.lake_url), wanted, days)
    if picture is not None:
        from market_data.operate.coverage_picture import draw_coverage  # noqa: PLC0415  loads Pillow

        try:
            picture.write_bytes(draw_coverage(frame))
        except OSError as error:
            raise ConfigurationError(f"cannot write the picture {picture}: {error.strerror}") from error
    if as_json:
        click.echo(frame.write_json())
        return
    console = make_console()
    console.print(f"{days[0]} to {days[-1]} ({len(days)} days); {settings.sources}", highlight=False, markup=False)
    summary = summarize_data_types(frame)
    console.print(coverage_table(summary))
    console.print(describe_coverage_totals(summary), highlight=False)
    console.print(describe_lacking(frame), highlight=False)
    if (frame["state"] == NOT_RUN).all():
        console.print(NOTHING_RUN)
    print_some(console, list(describe_gaps(frame)), "Not complete:")
    print_some(console, list(describe_waivers(frame)), "Waived files:")


@click.command("find")
@click.argument("text", required=False)
@click.option("--base", "bases", multiple=True, help="Base asset, such as BTC; repeatable.")
@click.option("--type", "types", multiple=True, help="Instrument type, such as PERPETUAL; repeatable.")
@click.option("--venue", "venues", multiple=True, help="Venue in any spelling; repeatable [default: all in the lake].")
@click.option("--on", type=_DAY, metavar="DAY", help="Listed on this day.")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Listed on this day or later.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="Listed on this day or earlier.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Print that many at most.")
@json_option
def find_command(
    *,
    text: str | None,
    bases: tuple[str, ...],
    types: tuple[str, ...],
    venues: tuple[str, ...],
    on: datetime | None,
    first: datetime | None,
    last: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find instruments the lake knows: TEXT is part of the key or vendor symbol, or a glob such as '*-PERP*'."""
    between = None
    if first or last:
        between = (first.date() if first else date.min, _day_after(last.date()) if last else date.max)
    with warnings.catch_warnings(action="error", category=NothingMatchesWarning):
        try:
            found = find_instruments(
                text=text,
                base=bases or None,  # an option that is not given takes all
                types=types or None,
                venues=venues or None,
                on=on.date() if on else None,
                between=between,
            )
        except NothingMatchesWarning as warning:
            raise click.ClickException(str(warning)) from warning
    if as_json:
        click.echo(found.write_json())
        return
    if found.is_empty():
        click.echo("No instrument matches: try a part of the symbol (btcusd), or fewer options.")
        return
    console = make_console()
    console.print(instruments_table(found.head(limit)))
    if found.height > limit:
        console.print(f"... and {found.height - limit:,} more: narrow the search, or --limit {found.height}")


@click.command("plan")
@range_options(" [--stale: the first of the venues file]", " [--stale: the newest]")
@venue_option
@json_option
@click.option("--stale", is_flag=True, help="List the days that this version would write anew from raw/ instead.")
def plan_command(
    *, first: datetime | None, last: datetime | None, venues: tuple[str, ...], as_json: bool, stale: bool
) -> None:
    """Say what a backfill would do before it is started: runs, files, sizes. Needs no key and changes nothing."""
    settings = load_settings()
    chosen = choose_venues(settings, venues)
    lake = open_lake(settings.lake_url)
    if stale:
        _plan_stale(settings, chosen, lake, first, last, as_json=as_json)
        return
    if first is None or last is None:
        raise click.UsageError("name the days: --from 2024-08-01 --to 2024-08-31 (both included)")
    days = choose_days(settings, first, last)
    with open_vendor(settings) as served:
        answers = asyncio.run(_learn_answers(served, lake, chosen, days[-1]))
    plan = plan_backfill(lake, {venue: item.selection for venue, item in chosen.items()}, days, answers)
    if as_json:
        frames = {"venues": plan.venues, "data_types": plan.data_types, "costs": plan.costs()}
        click.echo(json.dumps({name: json.loads(frame.write_json()) for name, frame in frames.items()}))
        return
    console = make_console()
    console.print(f"{days[0]} to {days[-1]} ({len(days)} days); {settings.sources}", highlight=False, markup=False)
    console.print(plan_table(plan))
    for line in describe_plan(plan, settings.config.layouts, settings.lake_url):
        console.print(line, highlight=False)


@click.command("doctor")
@click.option("--deep", is_flag=True, help="Prove the lake instead: read all that its receipts name. Needs no vendor.")
@click.option("--venue", "venues", multiple=True, help="With --deep: venue in any spelling; repeatable [default: all].")
@range_options(" (with --deep) [default: the first in the lake]", " (with --deep) [default: the newest in the lake]")
def doctor_command(*, deep: bool, venues: tuple[str, ...], first: datetime | None, last: datetime | None) -> None:
    """See whether everything is there: settings, key, vendor, lake, disk, Dagster. Exit code 1 when something fails.

    --deep is for a lake that was moved: every object that a receipt names must be there with its size and checksum.
    """
    if not deep and (venues or first or last):
        raise click.UsageError("--venue, --from and --to go with --deep")
    try:
        settings = load_settings()
    except ConfigurationError as error:
        click.echo(Diagnosis(Level.FAIL, "settings", str(error)))
        raise SystemExit(1) from error
    if deep:
        has_failed = _tell(prove(settings, venues, first, last))
    else:
        with open_vendor(settings) as served:
            has_failed = _tell(examine(served), settings.api_key.get_secret_value() if settings.api_key else None)
    if has_failed:
        raise SystemExit(1)


def _tell(diagnoses: Iterable[Diagnosis], key: str | None = None) -> bool:
    """Print diagnoses, each as soon as it is known; say whether one of them fails."""
    has_failed = False
    for diagnosis in diagnoses:
        # no message holds the key; should one ever do, it is not printed
        click.echo(str(diagnosis).replace(key, "***") if key else str(diagnosis))
        has_failed = has_failed or diagnosis.level is Level.FAIL
    return has_failed


DOCUMENT_SCHEMAS: Mapping[str, type[BaseModel]] = {"venues.yaml": VenuesFile, "receipt.json": Receipt}


@click.command("schema")
@click.argument("data_type", metavar="TYPE", required=False)
@json_option
def schema_command(*, data_type: str | None, as_json: bool) -> None:
    """Describe the columns of a data type; without TYPE list the data types.

    TYPE `venues.yaml` or `receipt.json` prints the JSON schema of such a file, for editors and other readers.
    """
    if (document := DOCUMENT_SCHEMAS.get(data_type or "")) is not None:
        click.echo(json.dumps(document.model_json_schema(), indent=2))
        return
    if data_type is None:
        grains = [{"data_type": item.value, "one_row_is": spec.grain} for item, spec in TABLES.items()]
        if as_json:
            click.echo(json.dumps(grains))
            return
        make_console().print(records_table(grains))
        return
    spec = TABLES[parse_data_type(data_type)]
    columns = [
        {
            "column": column.name,
            "dtype": _describe_dtype(dtype),
            "is_nullable": column.is_nullable,
            "unit": column.unit,
            "vendor_column": None if column is INSTRUMENT_KEY else column.csv_name,
            "description": column.description,
        }
        for column, dtype in zip((INSTRUMENT_KEY, *spec.vendor_columns), spec.published_schema.values(), strict=True)
    ]
    if as_json:
        click.echo(json.dumps({"data_type": spec.data_type, "one_row_is": spec.grain, "columns": columns}))
        return
    console = make_console()
    console.print(f"{spec.data_type}: one row is {spec.grain}", highlight=False)
    console.print(records_table([{k: v for k, v in row.items() if k != "vendor_column"} for row in columns]))
    console.print("scan_ticks puts date, venue and instrument_type before these columns.", highlight=False)


def _describe_dtype(dtype: pl.DataType) -> str:
    return f"Datetime({dtype.time_unit}, {dtype.time_zone})" if isinstance(dtype, pl.Datetime) else str(dtype)


COMMANDS: tuple[click.Command, ...] = (coverage_command, find_command, plan_command, doctor_command, schema_command)


def _day_after(day: date) -> date:
    return day if day == date.max else day + timedelta(days=1)


def choose_days(settings: Settings, first: datetime | None, last: datetime | None) -> list[date]:
    """Return the days that options name; by default the last 30 that there are partitions of."""
    newest = settings.config.newest_day(datetime.now(UTC).date())
    start, end = first.date() if first else None, last.date() if last else None
    try:
        return coverage.choose_days(start, end, newest, names=("--from", "--to"))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def choose_venues(settings: Settings, names: Iterable[str]) -> Mapping[str, VenueSettings]:
    """Return the named venues of the venues file, all of them where none is named."""
    configured = settings.config.venues
    asked = [parse_venue(name) for name in names]
    if unknown := [venue for venue in asked if venue not in configured]:
        raise ConfigurationError(
            f"{unknown[0]} is not in the venues file {settings.venues_file}, which has: {', '.join(configured)}"
        )
    return {venue: configured[venue] for venue in asked} or configured


async def _learn_answers(
    settings: Settings, lake: TickLake, venues: Iterable[str], last_day: date
) -> dict[str, VendorAnswer]:
    today = datetime.now(UTC).date()
    # the details of a venue need no key
    client = TardisClient(api_url=settings.api_url, datasets_url=settings.datasets_url, api_key=None)
    async with client:
        own = client if read_origin(lake) in {None, settings.origin} else None
        return {venue: await learn_answer(lake, own, venue, last_day, today) for venue in venues}


def _plan_stale(
    settings: Settings,
    chosen: Mapping[str, VenueSettings],
    lake: TickLake,
    first: datetime | None,
    last: datetime | None,
    *,
    as_json: bool,
) -> None:
    start = first.date() if first else settings.config.start_date
    days = choose_days(settings, datetime.combine(start, datetime.min.time()), last)
    wanted: dict[str, tuple[DataType, ...]] = {venue: item.data_types for venue, item in chosen.items()}
    stale = find_stale(lake, wanted, days, decoder_version=DECODER_VERSION, layouts=settings.config.layouts)
    if as_json:
        click.echo(stale.write_json())
        return
    console = make_console()
    if stale.is_empty():
        console.print(
            f"Nothing is stale: all that is published from {days[0]} to {days[-1]} was written by decoder "
            f"{DECODER_VERSION} into {', '.join(settings.config.layouts)}.",
            highlight=False,
        )
        return
    console.print(stale_table(stale))
    for line in describe_stale(stale, len(settings.config.layouts), os.cpu_count() or 1):
        console.print(line, highlight=False, markup=False)
    lines = [f"{row['venue']} {row['data_type']} {row['day']}: {row['reason']}" for row in stale.to_dicts()]
    print_some(console, lines, "Stale:")
