"""Dagster forgets runs that ended long ago, and nothing of how days stand: its database grows with days, not with runs.

Dagster's own deletion of a run takes its materialisations with it, and so the statuses of its partitions. Here
materialisations and observations stay, and check results too, which have a table of their own. What goes: the other
events of a run (planned steps, engine, resources, log lines, and the copies of its check results), what its steps
printed, its record and tags.

A run stays whole as long as one of its days is open: the last attempt at a partition failed or was cancelled, or a
check that running the day again heals failed or was not heard of (the sensor `failed_venue_days` counts the attempts
and reads what they said). So do the last run of an asset, and runs of a backfill that goes on. Of the newest run of a
day in a job that has a page of its own the record stays, with a tag that says what became of its log.

Pages show a materialisation whose run is forgotten without a run. Dagster's API has no `stepStats` of it: it answers a
client that asks for them with an error, which no page of the UI does.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as CheckStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG
from sqlalchemy import or_, select

from market_data.defs.checks import HEALED_BY_A_RERUN
from market_data.defs.runs import LOG_DELETED_TAG, PARTITION_TAG, days_of, ended_at, venues_of
from market_data.errors import ConfigurationError
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings

_KEPT = [dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value]
_GOING_ON = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
_NOT_SUCCEEDED = [status for status in dg.DagsterRunStatus if status is not dg.DagsterRunStatus.SUCCESS]
_RUNS_A_READ = 500
# A partition of an asset, or of a check of it, and the last run that was to give it.
_Attempt: TypeAlias = tuple[dg.AssetKey, str | None, str]
# Other runs wait while SQLite writes its file anew, and fail after 30 s; a busy machine wrote 130 MB a second.
_MOST_REWRITTEN_BYTES = 2 * 10**9


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went: runs, and their events that Dagster keeps for all runs together."""

    runs: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class _EndedRun:
    """A run that ended. `page`: the job and day where Dagster shows the newest such run, if anywhere."""

    run_id: str
    page: tuple[str, str] | None
    has_log: bool
    is_needed: bool


@dataclass(slots=True)
class _Needed:
    """What runs are needed for: themselves, venue-days that are open, backfills that go on."""

    venues: dict[str, str]
    runs: set[str] = field(default_factory=set)
    open_days: set[tuple[str, str | None]] = field(default_factory=set)
    backfills: set[str | None] = field(default_factory=set)

    def add(self, key: dg.AssetKey, day: str | None, run_id: str) -> None:
        """Add the last attempt at a partition of an asset, or at a check of it."""
        self.runs.add(run_id)
        if venue := self.venues.get(key.path[0]):
            self.open_days.add((venue, day))

    def has(self, run: dg.DagsterRun) -> bool:
        """Whether a run is needed."""
        pairs = product(venues_of(run, self.venues.values()), days_of(run))
        is_of_backfill = run.tags.get(BACKFILL_ID_TAG) in self.backfills
        return run.run_id in self.runs or is_of_backfill or not self.open_days.isdisjoint(pairs)


def forget_runs(instance: dg.DagsterInstance, settings: Settings, before: datetime) -> Forgotten:
    """Forget the runs that ended before an instant and are needed no more; cut short, the next one goes on.

    Raises ConfigurationError (permanent) where Dagster's storage is none of SQL.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise ConfigurationError(
            f"{type(storage).__name__} keeps Dagster's events, and no runs of it can be forgotten here: say "
            "`limits: {keep_runs_days: null}` in the venues file"
        )
    runs = events = 0
    shown: set[tuple[str, str]] = set()
    for run in list(_ended_runs(instance, _find_needed(instance, storage, settings), before)):
        has_record = run.page is not None and run.page not in shown
        shown.update([run.page] if run.page else [])
        if not run.is_needed and (run.has_log or not has_record):
            events += _forget(instance, storage, run.run_id, before, has_record=has_record)
            runs += 1
    if isinstance(storage, SqliteEventLogStorage):
        _give_back_space(Path(storage.path_for_shard(INDEX_SHARD_NAME)))
    return Forgotten(runs, events)


def _ended_runs(instance: dg.DagsterInstance, needed: _Needed, before: datetime) -> Iterator[_EndedRun]:
    """Yield the runs that ended before an instant, newest first."""
    wanted, cursor = dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=before), None
    while page := instance.get_run_records(wanted, limit=_RUNS_A_READ, cursor=cursor):
        cursor = page[-1].dagster_run.run_id
        for run in (record.dagster_run for record in page if ended_at(record) < before):
            day = run.tags.get(PARTITION_TAG)
            shown = (run.job_name, day) if day and run.job_name != IMPLICIT_ASSET_JOB_NAME else None
            yield _EndedRun(run.run_id, shown, LOG_DELETED_TAG not in run.tags, needed.has(run))


def _find_needed(instance: dg.DagsterInstance, storage: SqlEventLogStorage, settings: Settings) -> _Needed:
    needed = _Needed({group_name_of(venue): venue for venue in settings.config.venues})
    needed.backfills |= {it.backfill_id for it in instance.get_backfills(BulkActionsFilter(statuses=_GOING_ON))}
    needed.runs.update(filter(None, (record.asset_entry.last_run_id for record in instance.get_asset_records())))
    planned = [*_planned_partitions(instance, storage)]
    # a run that succeeded and left out what was planned opens no day, but without it an older one would be the last
    needed.runs.update(run_id for *_, run_id in planned)
    for last in storage.get_asset_check_partition_info(list(_known_checks(storage))):
        attempt = (last.check_key.asset_key, last.partition_key, last.latest_planned_run_id)
        if last.latest_execution_status is CheckStatus.PLANNED:
            planned.append(attempt)
        elif last.latest_execution_status is CheckStatus.FAILED and last.check_key.name in HEALED_BY_A_RERUN:
            needed.add(*attempt)
    if planned:
        ran = dg.RunsFilter(run_ids=sorted({run_id for *_, run_id in planned}), statuses=_NOT_SUCCEEDED)
        open_runs = {run.run_id for run in instance.get_runs(ran)}
        for attempt in planned:
            if attempt[2] in open_runs:
                needed.add(*attempt)
    return needed


def _planned_partitions(instance: dg.DagsterInstance, storage: SqlEventLogStorage) -> Iterator[_Attempt]:
    """Yield the partitions of assets that were planned, and not materialised since, with the last run that did."""
    for key in instance.all_asset_keys():
        attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        yield from ((key, day, run_id) for day, (run_id, _) in attempts.items())


def _known_checks(storage: SqlEventLogStorage) -> Iterator[dg.AssetCheckKey]:
    """Yield all checks that have a result, or were to have one."""
    with storage.index_connection() as connection:
        rows = connection.execute(select(Checks.c.asset_key, Checks.c.check_name).distinct()).all()
    for asset_key, name in rows:
        if (key := dg.AssetKey.from_db_string(asset_key)) is not None:
            yield dg.AssetCheckKey(key, name)


def _forget(
    instance: dg.DagsterInstance, storage: SqlEventLogStorage, run_id: str, before: datetime, *, has_record: bool
) -> int:
    """Forget one run and return how many of its events went; its record goes last, for it is what leads to the rest."""
    kind = Events.c.dagster_event_type
    others = Events.delete().where(Events.c.run_id == run_id, or_(kind.is_(None), kind.not_in(_KEPT)))
    with storage.index_connection() as connection:
        events = connection.execute(others).rowcount
    if isinstance(storage, SqliteEventLogStorage):  # a file of its own, of which the index holds what stays
        path = storage.path_for_shard(run_id)
        for file in (path, f"{path}-wal", f"{path}-shm"):
            Path(file).unlink(missing_ok=True)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if has_record:
        instance.add_run_tags(run_id, {LOG_DELETED_TAG: f"with those of all runs before {before:%Y-%m-%d}"})
    else:
        instance.run_storage.delete_run(run_id)
    return int(events)


def _give_back_space(path: Path) -> None:
    """Make a SQLite file smaller where a quarter of it is free; what is free is used again in any case."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        if free * 4 >= pages and (pages - free) * page_bytes <= _MOST_REWRITTEN_BYTES:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
