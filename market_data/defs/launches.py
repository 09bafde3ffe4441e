"""The launches that nobody asks for by hand: new days (a sensor, a schedule as its visible clock), failed venue-days.

Stopped unless MARKET_DATA_AUTOMATION is `on`. Each launches one venue a run, so that one venue's failure is its own.
Dagster does not de-duplicate a schedule's requests against a sensor's: the schedule launches only while the sensor is
stopped, and both look at the runs there are.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from market_data.defs.failed_days import FailedDays
from market_data.defs.resources import LakeResource, VendorResource
from market_data.defs.runs import is_attempt, request_venue_day, runs_of
from market_data.errors import MarketDataError, VendorQuotaExceeded
from market_data.lake.base import TickLake
from market_data.lake.keys import day_of_receipt, receipt_prefix
from market_data.operate.automation import choose_new_days
from market_data.settings.environment import Settings
from market_data.universe.listing import export_bounds
from market_data.vendor.quota import refuse_beyond_quota

NEW_DAYS_SENSOR = "new_days"


def build_launches(
    settings: Settings, job: UnresolvedAssetJobDefinition
) -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """Return the sensors and the schedule."""
    sensors = [_build_new_days(settings, job), _build_failed_days(settings, job)]
    return sensors, [_build_new_days_daily(settings, job)]


def _build_new_days(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name=NEW_DAYS_SENSOR,
        job=job,
        minimum_interval_seconds=settings.config.automation.check_every_seconds,
        default_status=_sensor_status(settings),
        description="Launches each venue's days as the vendor exports them (asks `exportedUntil`).",
    )
    def new_days(
        context: dg.SensorEvaluationContext, lake: LakeResource, vendor: VendorResource
    ) -> dg.SensorResult | dg.SkipReason:
        return _result(list(_launch_new_days(settings, context.instance, lake.open(), vendor)))

    return new_days


def _build_new_days_daily(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    is_on = settings.is_automation_on

    @dg.schedule(
        name="new_days_daily",
        job=job,
        cron_schedule="30 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
        description="Launches new days at 06:30 UTC while the sensor `new_days` is stopped.",
    )
    def new_days_daily(
        context: dg.ScheduleEvaluationContext, lake: LakeResource, vendor: VendorResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        if _is_sensor_running(context):
            return dg.SkipReason(f"the sensor `{NEW_DAYS_SENSOR}` is running and launches new days by itself")
        found = list(_launch_new_days(settings, context.instance, lake.open(), vendor))
        requests = [item for item in found if isinstance(item, dg.RunRequest)]
        return requests or dg.SkipReason("; ".join(str(item) for item in found))

    return new_days_daily


def _build_failed_days(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name="failed_venue_days",
        job=job,
        minimum_interval_seconds=settings.config.automation.check_every_seconds,
        default_status=_sensor_status(settings),
        description="Re-runs failed venue-days with growing waits; lists those it leaves to people.",
    )
    def failed_venue_days(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        known = json.loads(context.cursor) if context.cursor else {}
        failed = FailedDays(settings, context.instance, lake.open(), known)
        found = list(failed.launch(datetime.now(UTC)))
        context.update_cursor(json.dumps(failed.cursor))
        return _result(found)

    return failed_venue_days


def _sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if settings.is_automation_on else dg.DefaultSensorStatus.STOPPED


def _result(found: list[dg.RunRequest | str]) -> dg.SensorResult | dg.SkipReason:
    requests = [item for item in found if isinstance(item, dg.RunRequest)]
    reasons = [item for item in found if isinstance(item, str)]
    if not requests:
        return dg.SkipReason("; ".join(reasons) or "nothing to do")
    return dg.SensorResult(run_requests=requests)


def _is_sensor_running(context: dg.ScheduleEvaluationContext) -> bool:
    states = context.instance.all_instigator_state()
    return any(state.name == NEW_DAYS_SENSOR and state.is_running for state in states)


def _launch_new_days(
    settings: Settings, instance: dg.DagsterInstance, lake: TickLake, vendor: VendorResource
) -> Iterator[dg.RunRequest | str]:
    """Yield a request for each new day, and a sentence for each venue without one."""
    now = datetime.now(UTC)
    try:
        refuse_beyond_quota(lake, settings.config.limits.run_limits.daily_quota_bytes, now, is_history=False)
    except VendorQuotaExceeded as error:
        yield f"no new day is launched today: {error}"
        return
    newest = settings.config.newest_day(now.date())
    for venue, wanted in settings.config.venues.items():
        tried = lake.list_objects(receipt_prefix(venue, wanted.data_types[0]))
        newest_tried = max((day for stat in tried if (day := day_of_receipt(stat.key))), default=None)
        if newest_tried is not None and newest_tried >= newest:
            yield f"{venue}: {newest_tried} is tried, and no newer day has ended"
            continue
        try:
            until = min(_ask_exported_until(venue, vendor), newest + timedelta(days=1))
        except MarketDataError as error:
            yield f"{venue}: {error}"
            continue
        limit = settings.config.automation.days_per_check
        candidates = choose_new_days(until, newest_tried, (), limit=10_000)
        taken = {day for day in candidates[: 2 * limit] if _is_tried(instance, venue, day)}
        days = choose_new_days(until, newest_tried, taken, limit=limit)
        for day in days:
            yield request_venue_day(settings, venue, day.isoformat(), "new", {})
        if not days:
            yield f"{venue}: the vendor has exported the days before {until}, and all of them were launched"


def _is_tried(instance: dg.DagsterInstance, venue: str, day: date) -> bool:
    return any(is_attempt(record.dagster_run) for record in runs_of(instance, venue, day.isoformat()))


def _ask_exported_until(venue: str, vendor: VendorResource) -> date:
    async def ask() -> date:
        async with vendor.open_client() as client:
            return export_bounds(venue, await client.exchange(venue)).exported_until

    return asyncio.run(ask())
