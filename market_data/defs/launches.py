"""The launches that nobody asks for by hand: new days (a sensor, a schedule as its visible clock), failed venue-days.

Stopped unless MARKET_DATA_AUTOMATION is `on`. Each launches one venue a run, so that one venue's failure is its own.
Dagster does not de-duplicate a schedule's requests against a sensor's: the schedule launches only while the sensor is
stopped, and both look at the runs there are.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from market_data.adapters.tick_lake import TickLake
from market_data.defs.keys import venue_asset_keys
from market_data.defs.resources import LakeResource, VendorResource
from market_data.defs.runs import (
    RERUN_TAG,
    VENUE_TAG,
    concerns,
    day_of,
    ended_at,
    ended_runs_since,
    failed_checks_of,
    failure_of,
    is_live,
    runs_of,
)
from market_data.domain.automation import FailedDay, RerunRules, choose_new_days, decide_rerun
from market_data.domain.layouts import DataTypeDay, day_of_receipt, receipt_prefix
from market_data.domain.quality import LAYOUT_RULE, UNIT_RULES
from market_data.domain.universe import exported_until
from market_data.domain.venues import group_name_of
from market_data.errors import MarketDataError
from market_data.publish import load_receipt
from market_data.settings import Settings

NEW_DAYS_SENSOR = "new_days"
_LOOK_BACK = timedelta(days=14)
# A day of these can be healed by running it again; what the data themselves are cannot.
_HEALED_BY_A_RERUN = (*UNIT_RULES, LAYOUT_RULE)


def build_launches(
    settings: Settings, job: UnresolvedAssetJobDefinition
) -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """Return the sensors and the schedule."""
    is_on = settings.is_automation_on
    sensor_status = dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED
    schedule_status = dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED
    automation = settings.config.automation

    @dg.sensor(
        name=NEW_DAYS_SENSOR,
        job=job,
        minimum_interval_seconds=automation.check_every_seconds,
        default_status=sensor_status,
        description="Launches each venue's days as the vendor exports them (asks `exportedUntil`).",
    )
    def new_days(
        context: dg.SensorEvaluationContext, lake: LakeResource, vendor: VendorResource
    ) -> dg.SensorResult | dg.SkipReason:
        return _result(list(_launch_new_days(settings, context.instance, lake.open(), vendor)))

    @dg.schedule(
        name="new_days_daily",
        job=job,
        cron_schedule="30 6 * * *",
        execution_timezone="UTC",
        default_status=schedule_status,
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

    @dg.sensor(
        name="failed_venue_days",
        job=job,
        minimum_interval_seconds=automation.check_every_seconds,
        default_status=sensor_status,
        description="Re-runs failed venue-days with growing waits; lists those it leaves to people.",
    )
    def failed_venue_days(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        known = json.loads(context.cursor) if context.cursor else {}
        failed = _FailedDays(settings, context.instance, lake.open(), known)
        found = list(failed.launch(datetime.now(UTC)))
        context.update_cursor(json.dumps(failed.cursor))
        return _result(found)

    return [new_days, failed_venue_days], [new_days_daily]


def _result(found: list[dg.RunRequest | str]) -> dg.SensorResult | dg.SkipReason:
    requests = [item for item in found if isinstance(item, dg.RunRequest)]
    reasons = [item for item in found if isinstance(item, str)]
    if not requests:
        return dg.SkipReason("; ".join(reasons) or "nothing to do")
    return dg.SensorResult(run_requests=requests)


def _is_sensor_running(context: dg.ScheduleEvaluationContext) -> bool:
    states = context.instance.all_instigator_state()
    return any(state.name == NEW_DAYS_SENSOR and state.is_running for state in states)


def _request(settings: Settings, venue: str, day: str, why: str, tags: Mapping[str, str]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{venue}|{day}|{why}",
        partition_key=day,
        asset_selection=venue_asset_keys(settings, venue),
        tags={VENUE_TAG: venue, **tags},
    )


def _launch_new_days(
    settings: Settings, instance: dg.DagsterInstance, lake: TickLake, vendor: VendorResource
) -> Iterator[dg.RunRequest | str]:
    """Yield a request for each new day, and a sentence for each venue without one."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    for venue, wanted in settings.config.venues.items():
        tried = lake.list_objects(receipt_prefix(venue, wanted.data_types[0]))
        newest_tried = max((day_of_receipt(stat.key) for stat in tried), default=None)
        if newest_tried is not None and newest_tried >= yesterday:
            yield f"{venue}: {newest_tried} is tried, and no newer day has ended"
            continue
        try:
            until = min(_ask_exported_until(venue, vendor), yesterday + timedelta(days=1))
        except MarketDataError as error:
            yield f"{venue}: {error}"
            continue
        limit = settings.config.automation.days_per_check
        candidates = choose_new_days(until, newest_tried, (), limit=10_000)
        taken = {day for day in candidates[: 2 * limit] if runs_of(instance, venue, day.isoformat())}
        days = choose_new_days(until, newest_tried, taken, limit=limit)
        for day in days:
            yield _request(settings, venue, day.isoformat(), "new", {})
        if not days:
            yield f"{venue}: the vendor has exported the days before {until}, and all of them were launched"


def _ask_exported_until(venue: str, vendor: VendorResource) -> date:
    async def ask() -> date:
        async with vendor.open_client() as client:
            return exported_until(venue, await client.exchange(venue))

    return asyncio.run(ask())


class _FailedDays:
    """One look at the venue-days that failed in the last 14 days.

    `cursor` remembers the runs that succeeded with a failed check, by `venue|day`, and until when runs were read: a
    successful run does not show its failed checks in its status.
    """

    def __init__(
        self, settings: Settings, instance: dg.DagsterInstance, lake: TickLake, known: Mapping[str, object]
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._lake = lake
        self._known = known
        automation = settings.config.automation
        self._rules = RerunRules(
            first_wait=timedelta(seconds=automation.first_wait_seconds),
            max_attempts=automation.max_attempts,
        )
        self.cursor: dict[str, object] = dict(known)

    def launch(self, now: datetime) -> Iterator[dg.RunRequest | str]:
        """Yield a request for each re-run that is due, and a sentence for each day that is left alone."""
        launched = 0
        for venue, day in self._candidates(now):
            if launched >= self._settings.config.automation.days_per_check:
                return
            found = self._decide(venue, day, now)
            if isinstance(found, dg.RunRequest):
                launched += 1
            if found:
                yield found

    def _candidates(self, now: datetime) -> list[tuple[str, str]]:
        since = now - _LOOK_BACK
        failed = ended_runs_since(self._instance, since, [dg.DagsterRunStatus.FAILURE])
        pairs = {
            (venue, day)
            for record in failed
            for venue in self._settings.config.venues
            if concerns(record.dagster_run, venue) and (day := day_of(record.dagster_run))
        }
        return sorted(pairs | self._days_with_failed_checks(now), key=lambda pair: pair[::-1])

    def _days_with_failed_checks(self, now: datetime) -> set[tuple[str, str]]:
        read_until = str(self._known.get("read_until", (now - _LOOK_BACK).isoformat()))
        remembered = self._known.get("failed_checks", [])
        pairs = {(str(venue), str(day)) for venue, day in remembered} if isinstance(remembered, list) else set()
        venue_of_group = {group_name_of(venue): venue for venue in self._settings.config.venues}
        for record in ended_runs_since(
            self._instance, datetime.fromisoformat(read_until), [dg.DagsterRunStatus.SUCCESS]
        ):
            day = day_of(record.dagster_run)
            for check in failed_checks_of(self._instance, record.dagster_run, _HEALED_BY_A_RERUN):
                if day and check.asset_key.path[0] in venue_of_group:
                    pairs.add((venue_of_group[check.asset_key.path[0]], day))
        # a minute of overlap: a run's record is written a little after it ended
        self.cursor["read_until"] = (now - timedelta(minutes=1)).isoformat()
        self.cursor["failed_checks"] = sorted(pair for pair in pairs if self._has_failed_check(*pair))
        return {(str(venue), str(day)) for venue, day in self.cursor["failed_checks"]}  # type: ignore[attr-defined]

    def _has_failed_check(self, venue: str, day: str) -> bool:
        """Whether the newest run of a venue-day ended with a failed check."""
        ended = [record for record in runs_of(self._instance, venue, day) if record.end_time is not None]
        return bool(ended) and any(failed_checks_of(self._instance, ended[0].dagster_run, _HEALED_BY_A_RERUN))

    def _decide(self, venue: str, day: str, now: datetime) -> dg.RunRequest | str | None:
        records = runs_of(self._instance, venue, day)
        if any(is_live(record, now) for record in records):
            return None
        newest = records[0]
        status = newest.dagster_run.status
        if status is dg.DagsterRunStatus.CANCELED:
            return f"{venue} {day}: its newest run was cancelled; it is left to people"
        is_checked = not self._has_failed_check(venue, day)
        if is_checked and (status is dg.DagsterRunStatus.SUCCESS or self._is_complete(venue, day)):
            return None
        failure = failure_of(self._instance, newest.dagster_run, venue)
        failed = FailedDay(
            newest.dagster_run.run_id, ended_at(newest), self._count_attempts(venue, records), failure.is_transient
        )
        decision = decide_rerun(failed, now, self._rules)
        if not decision.is_due:
            return f"{venue} {day}: {decision.reason}"
        return _request(self._settings, venue, day, failed.failed_run_id, {RERUN_TAG: str(failed.attempts + 1)})

    def _is_complete(self, venue: str, day: str) -> bool:
        """Whether the lake holds the venue-day whole: a run of several venues fails for all when one does."""
        units = (
            DataTypeDay(venue, data_type, date.fromisoformat(day))
            for data_type in self._settings.config.venues[venue].data_types
        )
        receipts = (load_receipt(self._lake, unit)[0] for unit in units)
        return all(receipt is not None and receipt.is_complete for receipt in receipts)

    def _count_attempts(self, venue: str, newest_first: list[dg.RunRecord]) -> int:
        """Count the automatic re-runs since the last success (a person's success resets the count).

        A run with failed checks is no success; a re-run that found the vendor not ready counts nothing.
        """
        attempts = 0
        for record in newest_first:
            run = record.dagster_run
            if run.status is dg.DagsterRunStatus.SUCCESS and not any(
                failed_checks_of(self._instance, run, _HEALED_BY_A_RERUN)
            ):
                break
            if RERUN_TAG in run.tags and failure_of(self._instance, run, venue).error != "VendorNotReady":
                attempts += 1
        return attempts
