"""The command `market-data backfill`: a range of days of some venues, through Dagster, from the shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import click

from market_data.cli.commands import choose_days, choose_venues, range_options, venue_option
from market_data.cli.tables import make_console
from market_data.errors import ConfigurationError
from market_data.lake.open import open_lake
from market_data.operate.missing import find_missing_days
from market_data.settings.environment import Settings, load_settings


@click.command("backfill")
@venue_option
@range_options(" [required]", " [default: the first day]")
@click.option("--only-missing", is_flag=True, help="Leave out the days that the lake holds whole; takes no run to see.")
def backfill_command(
    *, venues: tuple[str, ...], first: datetime | None, last: datetime | None, only_missing: bool
) -> None:
    """Materialise a range of days through Dagster, several a run, and show how it goes. Days held whole cost little.

    Takes the Dagster that `market-data dev` runs, or starts one and ends it. Exit code 0: all days are done; 1: one
    failed, or was not run; 2: asked for wrongly; 130: ended by Ctrl-C.
    """
    if first is None:
        raise click.UsageError("name the days: --from 2024-08-01 --to 2024-08-31 (both included)")
    try:
        raise SystemExit(_backfill(load_settings(), venues, first, last or first, only_missing=only_missing))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def _backfill(settings: Settings, venues: Sequence[str], first: datetime, last: datetime, *, only_missing: bool) -> int:
    days = choose_days(settings, first, last)
    wanted = _choose(settings, venues, days, only_missing=only_missing)
    if not wanted:
        click.echo(f"Nothing is missing from {days[0]} to {days[-1]}; {settings.sources}")
        return 0
    from market_data.demo.command_line import run_backfill  # noqa: PLC0415  loads Dagster

    return run_backfill(settings, wanted, make_console())


def _choose(
    settings: Settings, names: Sequence[str], days: Sequence[date], *, only_missing: bool
) -> Mapping[str, Sequence[date]]:
    """Return the days to run of each venue; venues without any are left out."""
    chosen = choose_venues(settings, names)
    if not only_missing:
        return dict.fromkeys(chosen, days)
    lake = open_lake(settings.lake_url)
    missing = find_missing_days(lake, {venue: item.data_types for venue, item in chosen.items()}, days)
    return {venue: of_venue for venue, of_venue in missing.items() if of_venue}
