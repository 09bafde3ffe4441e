"""The job `tidy_lake`: compacts the index, deletes what was replaced long ago, and lets Dagster forget old runs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import dagster as dg

from market_data.defs.failures import failures_for_people
from market_data.defs.logs import logs_shown_in_dagster
from market_data.defs.resources import LakeResource
from market_data.defs.retention import forget_runs
from market_data.defs.runs import LAKE_QUEUE
from market_data.index.compact import compact_index
from market_data.index.store import read_heads
from market_data.ingest.sweep import sweep_unit
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import days_between
from market_data.settings.environment import Settings

TIDY_JOB = "tidy_lake"
TIDY_SCHEDULE = f"{TIDY_JOB}_daily"
# A day on which the job did not run is made up for.
_LOOKED_BACK = timedelta(days=14)


def build_tidy(settings: Settings) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """Return the job, which asks the vendor for nothing, and its daily schedule."""
    keep = settings.config.limits.run_limits.keep_replaced
    keep_runs_days = settings.config.limits.keep_runs_days
    wanted = {venue: item.data_types for venue, item in settings.config.venues.items()}

    @dg.op(description="Compacts months of the index; sweeps days whose replaced files were kept long enough.")
    def tidy(context: dg.OpExecutionContext, lake: LakeResource) -> None:
        with logs_shown_in_dagster(context.log), failures_for_people():
            store = lake.open()
            tables = list(compact_index(store))
            context.log.info("the index: %d tables written", len(tables))
            if keep:
                first, last = settings.config.start_date, settings.config.newest_day(datetime.now(UTC).date())
                units = _due(store, wanted, [*days_between(first, last), last], keep)
                swept = [sweep_unit(store, unit, keep, partial(datetime.now, UTC)) for unit in units]
                deleted = sum(it.deleted for it in swept)
                context.log.info("%d replaced objects deleted, of %d units", deleted, len(swept))

    @dg.op(description="Forgets runs that were kept long enough; how days stand stays as it is.")
    def forget_old_runs(context: dg.OpExecutionContext) -> None:
        if keep_runs_days is None:
            context.log.info("all runs are kept: `limits: keep_runs_days` is null")
            return
        with logs_shown_in_dagster(context.log), failures_for_people():
            gone = forget_runs(context.instance, settings, datetime.now(UTC) - timedelta(days=keep_runs_days))
            context.log.info("%d runs of before %d days, and %d events", gone.runs, keep_runs_days, gone.events)

    @dg.job(
        name=TIDY_JOB,
        tags=LAKE_QUEUE,
        description="Keeps reads fast, the lake clean and Dagster's database small; changes nothing that a receipt "
        "names, and no status of a day.",
    )
    def job() -> None:
        tidy()
        forget_old_runs()

    is_on = settings.is_automation_on
    schedule = dg.ScheduleDefinition(
        name=TIDY_SCHEDULE,
        job=job,
        cron_schedule="15 5 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
        description="Compacts the index, sweeps what was replaced, and forgets old runs, at 05:15 UTC.",
    )
    return job, schedule


def _due(
    lake: TickLake, wanted: Mapping[str, Sequence[DataType]], days: Sequence[date], keep: timedelta
) -> list[DataTypeDay]:
    """Return the units whose publication has replaced others for as long as those are kept, and not much longer."""
    until = datetime.now(UTC) - keep
    since = until - _LOOKED_BACK
    heads = read_heads(lake, wanted, days)
    return [unit for unit, head in heads.items() if head.committed_at and since < head.committed_at <= until]
