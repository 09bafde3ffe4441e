"""The asset `needs_a_person` and the sensor that fills it: all that stands still until somebody does something.

The facts are those of the other sensors (their cursors), of the quota, the disks and the instance; nothing is looked
for a second time. `market-data status` shows the same entries.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from market_data.defs.coverage import LAKE_GROUP
from market_data.defs.failed_days import FailedDaysCursor
from market_data.defs.failures import failures_for_people
from market_data.defs.instance import check_daemon
from market_data.defs.instigators import Instigator, read_instigators
from market_data.defs.launches import FAILED_DAYS_SENSOR, NEW_DAYS_SCHEDULE, NEW_DAYS_SENSOR, sensor_status
from market_data.defs.new_days import NewDaysCursor
from market_data.defs.resources import LakeResource
from market_data.defs.tidy import TIDY_SCHEDULE
from market_data.errors import AlertUndelivered
from market_data.lake.base import TickLake
from market_data.operate.alert_memory import AlertMemory
from market_data.operate.alerts import (
    Alert,
    Kind,
    Severity,
    VenueLook,
    alert_of_quota,
    alert_of_sensor,
    alert_of_venue,
    alerts_of_days,
    describe_time,
    in_order,
    summarize,
)
from market_data.operate.doctor import Disk, Level, find_disks
from market_data.operate.webhook import post_message
from market_data.settings.environment import Settings
from market_data.vendor.quota import quota_state

NEEDS_KEY = dg.AssetKey(["needs_a_person"])
NEEDS_SENSOR = "needs_a_person"
NEEDS_CHECK = "nothing_needs_a_person"
_A_DAY_SECONDS = 86_400.0
_SHOWN = 50
_LONGEST_WHAT = 300


def read_sensors(settings: Settings, instance: dg.DagsterInstance) -> dict[str, Instigator]:
    """Return this project's sensors and schedules by name."""
    seconds = float(settings.config.automation.check_every_seconds)
    names = dict.fromkeys((NEW_DAYS_SENSOR, FAILED_DAYS_SENSOR, NEEDS_SENSOR), seconds)
    names |= dict.fromkeys((NEW_DAYS_SCHEDULE, TIDY_SCHEDULE), _A_DAY_SECONDS)
    return read_instigators(instance, names, is_automation_on=settings.is_automation_on)


def read_venues(sensors: dict[str, Instigator]) -> dict[str, VenueLook]:
    """Return what the sensor `new_days` found of each venue when it last looked."""
    return NewDaysCursor.parse(sensors[NEW_DAYS_SENSOR].cursor).looks


def find_needs(
    settings: Settings,
    lake: TickLake,
    now: datetime,
    instance: dg.DagsterInstance | None,
    memory: AlertMemory | None = None,
) -> list[Alert]:
    """Return all entries as people read them, of the lake and the disks alone where there is no instance.

    `memory` says since when entries are open; by default that of the sensor's last look.
    """
    alerts = list(_of_the_lake(settings, lake, now))
    if instance is not None:
        sensors = read_sensors(settings, instance)
        alerts += _of_the_instance(settings, instance, sensors, now)
        memory = memory or AlertMemory.parse(sensors[NEEDS_SENSOR].cursor)
    return in_order((memory or AlertMemory()).date_entries(alerts, now))


def _of_the_lake(settings: Settings, lake: TickLake, now: datetime) -> Iterator[Alert]:
    quota = quota_state(lake, settings.config.limits.run_limits.daily_quota_bytes, now)
    if quota is not None:
        waits = quota.is_beyond(is_history=True)
        alert = alert_of_quota(quota.used_bytes, quota.limit_bytes, quota.resets_at, history_waits=waits)
        yield from [alert] if alert else []
    yield from (_of_a_disk(disk) for disk in find_disks(lake) if disk.is_nearly_full)


def _of_a_disk(disk: Disk) -> Alert:
    step = "free space there, or use another disk (MARKET_DATA_LAKE_URL; TMPDIR for scratch)"
    return Alert(kind=Kind.DISK, subject=disk.name, what=disk.diagnosis.what, next_step=step)


def _of_the_instance(
    settings: Settings, instance: dg.DagsterInstance, sensors: dict[str, Instigator], now: datetime
) -> Iterator[Alert]:
    yield from alerts_of_days(FailedDaysCursor.parse(sensors[FAILED_DAYS_SENSOR].cursor).open_days)
    looks = read_venues(sensors)
    found = [alert_of_venue(venue, look) for venue, look in looks.items() if venue in settings.config.venues]
    daemon = check_daemon(instance, is_automation_on=settings.is_automation_on)
    if daemon.level is Level.FAIL:
        found.append(Alert(kind=Kind.DAEMON, subject="Dagster", what=daemon.what, next_step=daemon.remedy))
    else:  # without a daemon nothing looks
        found += [alert_of_sensor(sensor.looks, now) for sensor in sensors.values()]
    yield from filter(None, found)


def build_needs(settings: Settings) -> tuple[dg.AssetsDefinition, dg.SensorDefinition]:
    """Return the asset, which looks anew when a person materialises it, and the sensor that keeps it up to date."""

    @dg.asset(
        key=NEEDS_KEY,
        group_name=LAKE_GROUP,
        check_specs=[dg.AssetCheckSpec(NEEDS_CHECK, asset=NEEDS_KEY, description="Fails while the list has entries.")],
        description="What stands still until somebody does something, each entry with its next step. The "
        f"sensor `{NEEDS_SENSOR}` fills it when it changes; materialise it to look now, or run `market-data status`.",
    )
    def needs_a_person(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with failures_for_people():
            alerts = find_needs(settings, lake.open_to_read(), datetime.now(UTC), context.instance)
        return dg.MaterializeResult(
            metadata=describe_needs(alerts),
            check_results=[dg.AssetCheckResult(**_judge(alerts), check_name=NEEDS_CHECK)],
        )

    return needs_a_person, _build_sensor(settings)


def _build_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name=NEEDS_SENSOR,
        asset_selection=[NEEDS_KEY],
        minimum_interval_seconds=settings.config.automation.check_every_seconds,
        default_status=sensor_status(settings),
        description="Shows what needs a person on the asset of the same name, and tells it to MARKET_DATA_ALERT_URL.",
    )
    def look(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        now, memory = datetime.now(UTC), AlertMemory.parse(context.cursor)
        alerts = find_needs(settings, lake.open_to_read(), now, context.instance, memory)
        memory.see(alerts, now)
        said = [summarize(alerts), *_tell(settings, memory, alerts, now)]
        events = [] if memory.is_shown(alerts, now) else _events(alerts)
        if events:
            memory.show(alerts, now)
        skip = dg.SkipReason("; ".join(said))
        return dg.SensorResult(skip_reason=skip, asset_events=events, cursor=memory.model_dump_json())

    return look


def _tell(settings: Settings, memory: AlertMemory, alerts: Sequence[Alert], now: datetime) -> Iterator[str]:
    """Send the message that is due, if any, and yield what became of it."""
    message = memory.next_message(alerts, now)
    if settings.alert_url is None or message is None:
        return
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    try:
        post_message(settings.alert_url.get_secret_value(), message.document, key=key)
    except AlertUndelivered as error:
        yield str(error)
    else:
        memory.deliver(message, now)
        yield f"told MARKET_DATA_ALERT_URL: {message.kind}, {len(message.alerts)} entries"


def _events(alerts: Sequence[Alert]) -> list[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation]:
    shown = dg.AssetMaterialization(NEEDS_KEY, metadata=describe_needs(alerts))
    return [shown, dg.AssetCheckEvaluation(NEEDS_KEY, NEEDS_CHECK, **_judge(alerts))]


def _judge(alerts: Sequence[Alert]) -> dict[str, Any]:
    is_bad = any(alert.severity is Severity.ERROR for alert in alerts)
    severity = dg.AssetCheckSeverity.ERROR if is_bad else dg.AssetCheckSeverity.WARN
    return {"passed": not alerts, "severity": severity, "description": summarize(alerts)}


def describe_needs(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return the metadata of the list: the verdict, a row for each entry, and their number, which Dagster plots."""
    metadata: dict[str, Any] = {"verdict": summarize(alerts)}
    metadata |= {f"{alert.where}: {alert.kind}": _entry(alert) for alert in alerts[:_SHOWN]}
    if len(alerts) > _SHOWN:
        metadata["more"] = f"{len(alerts) - _SHOWN} more entries: market-data status"
    return metadata | {"entries": len(alerts)}


def _entry(alert: Alert) -> dg.MarkdownMetadataValue:
    """Return an entry in less than 1,000 characters: longer ones the page hides behind a click."""
    what = _as_it_is(alert.what if len(alert.what) <= _LONGEST_WHAT else f"{alert.what[:_LONGEST_WHAT]} ...")
    told = f"**{alert.severity}** since {describe_time(alert.since)} UTC: {what}\n\n**Next:** {alert.next_step}"
    return dg.MetadataValue.md(f"{told}:\n\n`{alert.command}`" if alert.command else told)


def _as_it_is(text: str) -> str:
    """Return what a run said as Markdown that shows it unchanged."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
