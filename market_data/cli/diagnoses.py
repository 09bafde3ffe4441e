"""What `market-data doctor` looks at, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import date, datetime

import click

from market_data.lake.open import open_lake
from market_data.model.venues import parse_venue
from market_data.operate.doctor import (
    Diagnosis,
    Level,
    check_automation,
    check_key,
    check_lake,
    check_vendor,
    find_disks,
)
from market_data.operate.proof import prove_lake
from market_data.settings.environment import DEFAULT_DAGSTER_HOME, Settings
from market_data.vendor.client import TardisClient


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Yield what a look at everything that a run needs finds, each as soon as it is known."""
    venues = list(settings.config.venues)
    what = f"{len(venues)} venues of {settings.venues_file}, engine {settings.engine}, vendor {settings.origin}"
    yield Diagnosis(Level.OK, "settings", what)
    yield check_automation(is_on=settings.is_automation_on)
    key = settings.api_key.get_secret_value() if settings.api_key else None

    async def ask() -> list[Diagnosis]:
        client = TardisClient(api_url=settings.api_url, datasets_url=settings.datasets_url, api_key=key)
        async with client:
            return [await check_vendor(client, venues[0]), await check_key(client, has_key=key is not None)]

    yield from asyncio.run(ask())
    lake = open_lake(settings.lake_url)
    yield from check_lake(lake, settings.origin)
    for disk in find_disks(lake):
        yield disk.diagnosis
    yield from _examine_dagster(settings)


def _examine_dagster(settings: Settings) -> Iterator[Diagnosis]:
    from market_data.defs.instance import check_instance  # noqa: PLC0415  loads Dagster

    home = settings.dagster_home
    if home == DEFAULT_DAGSTER_HOME.absolute() and not home.exists():
        what = "DAGSTER_HOME is not set, so daemon, sensors and pool limits were not looked at"
        yield Diagnosis(Level.WARN, "dagster", what, f"`market-data dev` makes an instance in {DEFAULT_DAGSTER_HOME}")
    else:
        yield from check_instance(home, is_automation_on=settings.is_automation_on)


def prove(
    settings: Settings, names: Iterable[str], first: datetime | None, last: datetime | None
) -> Iterator[Diagnosis]:
    """Yield what a look at all that the receipts of the lake name finds, of venues in any spelling (none: all)."""
    start, end = first.date() if first else date.min, last.date() if last else date.max
    if start > end:
        raise click.UsageError(f"--from {start} is after --to {end}")
    # whatever the venues file says by now: the lake holds what was taken
    return prove_lake(open_lake(settings.lake_url), sorted({parse_venue(name) for name in names}) or None, start, end)
