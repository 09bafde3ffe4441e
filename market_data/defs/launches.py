"""The launches that nobody asks for by hand: new days (a sensor, a schedule as its visible clock), failed venue-days.

Stopped unless MARKET_DATA_AUTOMATION is `on`. Each launches one venue a run, so that one venue's failure is its own.
Dagster does not de-duplicate a schedule's requests against a sensor's: the schedule launches only while the sensor is
stopped, and both look at the runs there are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from market_data.defs.failed_days import FailedDays, FailedDaysCursor
from market_data.defs.new_days import NewDays, NewDaysCursor
from market_data.defs.resources import LakeResource, VendorResource
from market_data.settings.environment import Settings

NEW_DAYS_SENSOR, FAILED_DAYS_SENSOR = "new_days", "failed_venue_days"
NEW_DAYS_SCHEDULE = "new_days_daily"
# Sentences that a look's message holds: people read it in a small window.
_TOLD = 20


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
        default_status=sensor_status(settings),
        description="Launches each venue's days as the vendor exports them (asks `exportedUntil`).",
    )
    def new_days(
        context: dg.SensorEvaluationContext, lake: LakeResource, vendor: VendorResource
    ) -> dg.SensorResult | dg.SkipReason:
        new = NewDays(settings, context.instance, lake.open(), vendor, NewDaysCursor.parse(context.cursor))
        found = list(new.launch(datetime.now(UTC)))
        context.update_cursor(new.cursor.model_dump_json())
        return _result(found)

    return new_days


def _build_new_days_daily(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    is_on = settings.is_automation_on

    @dg.schedule(
        name=NEW_DAYS_SCHEDULE,
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
        found = list(
            NewDays(settings, context.instance, lake.open(), vendor, NewDaysCursor()).launch(datetime.now(UTC))
        )
        return [item for item in found if isinstance(item, dg.RunRequest)] or _skip(found)

    return new_days_daily


def _build_failed_days(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name=FAILED_DAYS_SENSOR,
        job=job,
        minimum_interval_seconds=settings.config.automation.check_every_seconds,
        default_status=sensor_status(settings),
        description="Re-runs failed venue-days with growing waits; lists those it leaves to people.",
    )
    def failed_venue_days(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        failed = FailedDays(settings, context.instance, lake.open(), FailedDaysCursor.parse(context.cursor))
        found = list(failed.launch(datetime.now(UTC)))
        context.update_cursor(failed.cursor.model_dump_json())
        return _result(found)

    return failed_venue_days


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """Return whether sensors run by default."""
    return dg.DefaultSensorStatus.RUNNING if settings.is_automation_on else dg.DefaultSensorStatus.STOPPED


def _result(found: list[dg.RunRequest | str]) -> dg.SensorResult | dg.SkipReason:
    requests = [item for item in found if isinstance(item, dg.RunRequest)]
    return dg.SensorResult(run_requests=requests) if requests else _skip(found)


def _skip(found: Sequence[dg.RunRequest | str]) -> dg.SkipReason:
    reasons = [item for item in found if isinstance(item, str)]
    more = [f"and {len(reasons) - _TOLD} more"] if len(reasons) > _TOLD else []
    return dg.SkipReason("; ".join(reasons[:_TOLD] + more) or "nothing to do")


def _is_sensor_running(context: dg.ScheduleEvaluationContext) -> bool:
    states = context.instance.all_instigator_state()
    return any(state.name == NEW_DAYS_SENSOR and state.is_running for state in states)
