"""What the instance knows of venue-days: which runs concern one, which of them live, how they failed.

A run concerns a venue when its `venue` tag says so, or its asset selection holds an asset of the venue's group: runs
that people launch in the UI have no tag, and one of them may hold several venues.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from market_data.domain.venues import group_name_of

VENUE_TAG = "venue"
RERUN_TAG = "market_data/rerun"
_PARTITION_TAG = "dagster/partition"
# A run that outlived the instance's longest run time lost its process together with its code server.
_LONGEST_LIFE = timedelta(hours=7)
_LIVE = (dg.DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed for a venue: the error's class where our code said so, and whether another attempt may help."""

    error: str | None
    is_transient: bool


def runs_of(instance: dg.DagsterInstance, venue: str, day: str) -> list[dg.RunRecord]:
    """Return the records of all runs that concern a venue-day, newest first."""
    records = instance.get_run_records(dg.RunsFilter(tags={_PARTITION_TAG: day}))
    return [record for record in records if concerns(record.dagster_run, venue)]


def concerns(run: dg.DagsterRun, venue: str) -> bool:
    """Whether a run holds assets of a venue; a run of a whole job holds all of them."""
    group = group_name_of(venue)
    if VENUE_TAG in run.tags:
        return run.tags[VENUE_TAG] == venue
    return not run.asset_selection or any(key.path[0] == group for key in run.asset_selection)


def is_live(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a run is queued or at work."""
    run_started = record.start_time
    if record.dagster_run.status not in _LIVE:
        return False
    return run_started is None or now - datetime.fromtimestamp(run_started, UTC) < _LONGEST_LIFE


def ended_at(record: dg.RunRecord) -> datetime:
    """Return when a run ended, or when it was last touched where that is not known."""
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.astimezone(UTC)


def day_of(run: dg.DagsterRun) -> str | None:
    """Return the partition key of a run, None for a run without one."""
    return run.tags.get(_PARTITION_TAG)


def ended_runs_since(
    instance: dg.DagsterInstance, since: datetime, statuses: Sequence[dg.DagsterRunStatus]
) -> list[dg.RunRecord]:
    """Return the runs of a status that were touched since an instant, newest first."""
    return list(instance.get_run_records(dg.RunsFilter(statuses=list(statuses), updated_after=since)))


def failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str) -> Failure:
    """Return how a run failed for a venue; a run whose process died says nothing, so another attempt may help."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or not (event.step_key or "").startswith(f"{group_name_of(venue)}__"):
            continue
        said = event.step_failure_data.user_failure_data
        metadata = said.metadata if said else {}
        if "is_transient" in metadata:
            error = metadata.get("error")
            return Failure(str(error.value) if error else None, bool(metadata["is_transient"].value))
    return Failure(None, is_transient=True)


def failed_checks_of(
    instance: dg.DagsterInstance, run: dg.DagsterRun, names: Sequence[str]
) -> Iterator[dg.AssetCheckKey]:
    """Yield the checks of a run that failed, of those names."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is not None:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.check_name in names:
                yield evaluation.asset_check_key
