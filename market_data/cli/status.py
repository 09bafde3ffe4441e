"""The command `market-data status`: what needs a person, and how venues, quota, disks and sensors stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import click
from rich.console import Console

from market_data.cli.commands import json_option
from market_data.cli.tables import format_size, make_console, records_table
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.operate.alerts import Alert, SensorLooks, VenueLook, describe_time, summarize
from market_data.operate.doctor import find_disks
from market_data.operate.missing import find_latest_complete
from market_data.settings.environment import Settings, load_settings
from market_data.vendor.quota import QuotaState, quota_state


@click.command("status")
@json_option
def status_command(*, as_json: bool) -> None:
    """Say what needs a person, each entry with its next step, and how venues, quota, disks and sensors stand.

    Looks at the lake and at Dagster's home, and asks the vendor for nothing. Exit code 0: nothing needs a person; 1:
    something does; 2: asked for wrongly.
    """
    settings = load_settings()
    lake, now = open_lake(settings.lake_url), datetime.now(UTC)
    alerts, looks, sensors = _look_at_dagster(settings, lake, now)
    latest = find_latest_complete(lake, {venue: item.data_types for venue, item in settings.config.venues.items()})
    quota = quota_state(lake, settings.config.limits.run_limits.daily_quota_bytes, now)
    disks = list(find_disks(lake))
    if as_json:
        document = {
            "at": now.isoformat(timespec="seconds"),
            "needs": [alert.document for alert in alerts],
            "venues": _venue_records(latest, looks),
            "quota": _quota_document(quota),
            "disks": [
                {
                    "name": it.name,
                    "directory": str(it.directory),
                    "free_bytes": it.free_bytes,
                    "total_bytes": it.total_bytes,
                }
                for it in disks
            ],
            "sensors": [it.model_dump(mode="json") for it in sensors],
        }
        click.echo(json.dumps(document, default=str))
    else:
        console = make_console()
        _print_needs(console, alerts, is_watched=_is_watched(sensors))
        console.print(records_table(_venue_records(latest, looks)))
        for disk in disks:
            console.print(f"{disk.name}: {disk.diagnosis.what}", highlight=False, markup=False)
        console.print(f"daily quota: {_describe_quota(quota)}", highlight=False, markup=False)
        _print_sensors(console, settings, sensors)
    if alerts:
        raise SystemExit(1)


def _look_at_dagster(
    settings: Settings, lake: TickLake, now: datetime
) -> tuple[list[Alert], Mapping[str, VenueLook], list[SensorLooks]]:
    """Return entries, what was last seen of each venue, and the sensors: none where no Dagster has run here."""
    from market_data.defs.instance import open_instance  # noqa: PLC0415  loads Dagster
    from market_data.defs.needs import find_needs, read_sensors, read_venues  # noqa: PLC0415

    if not (settings.dagster_home / "dagster.yaml").is_file():
        return find_needs(settings, lake, now, None), {}, []
    with open_instance(settings.dagster_home) as instance:
        sensors = read_sensors(settings, instance)
        alerts = find_needs(settings, lake, now, instance)
        return alerts, read_venues(sensors), [it.looks for it in sensors.values()]


def _is_watched(sensors: Sequence[SensorLooks]) -> bool:
    """Whether sensors look for failed and late days: without them an empty list says nothing about these."""
    return any(it.is_on for it in sensors)


def _print_needs(console: Console, alerts: Sequence[Alert], *, is_watched: bool) -> None:
    verdict = summarize(alerts)
    if not alerts and not is_watched:
        verdict = "Nothing is known to need a person, but nothing watches failed and late days"
    console.print(f"{verdict}.", highlight=False, markup=False, style="bold")
    for alert in alerts:
        head = f"\n{alert.severity.upper():7} {alert.where}: {alert.kind}, since {describe_time(alert.since)} UTC"
        console.print(head, highlight=False, markup=False)
        for line in (alert.what, f"Next: {alert.next_step}"):
            console.print(f"  {line}", highlight=False, markup=False)
        if alert.command:  # never broken, so that it can be copied
            console.print(f"  {alert.command}", highlight=False, markup=False, soft_wrap=True)


def _venue_records(latest: Mapping[str, date | None], looks: Mapping[str, VenueLook]) -> list[dict[str, object]]:
    return [
        {
            "venue": venue,
            "latest_complete_day": day and day.isoformat(),
            "exported_before": looks[venue].exported_until if venue in looks else None,
            "asked": describe_time(looks[venue].at) if venue in looks and looks[venue].was_asked else None,
        }
        for venue, day in latest.items()
    ]


def _quota_document(quota: QuotaState | None) -> dict[str, object] | None:
    if quota is None:
        return None
    return {
        "used_bytes": quota.used_bytes,
        "limit_bytes": quota.limit_bytes,
        "resets_at": quota.resets_at.isoformat(),
    }


def _describe_quota(quota: QuotaState | None) -> str:
    if quota is None:
        return "none set (limits.daily_quota_gb)"
    used, limit = format_size(quota.used_bytes), format_size(quota.limit_bytes)
    return f"{used} of {limit} used; it resets at {describe_time(quota.resets_at)} UTC"


def _print_sensors(console: Console, settings: Settings, sensors: Sequence[SensorLooks]) -> None:
    if not sensors:
        none = f"Dagster: none has run in {settings.dagster_home}, so failed and late days are not known here."
        console.print(none, highlight=False, markup=False)
        return
    if not _is_watched(sensors):
        off = "Sensors are off (MARKET_DATA_AUTOMATION): `market-data coverage` shows failed days. Last looks:"
        console.print(off, highlight=False, markup=False)
    console.print(
        records_table(
            [
                {"sensor": it.name, "is_on": it.is_on, "last_look": describe_time(it.last_at), "outcome": it.outcome}
                for it in sensors
            ]
        )
    )
