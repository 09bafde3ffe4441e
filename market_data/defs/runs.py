"""What the instance knows of venue-days: which runs concern one, which of them live, how they failed.

A run concerns a venue when its `venue` tag names it (where it holds several, all of them, by comma), or, before its
first step has set the tag, its selection holds an asset or a check of the venue's group. A run of checks alone is no
attempt at a venue-day: it finds out about a day and fills none.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from market_data.defs.keys import VENUE_TAG, venue_asset_keys
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings

RERUN_TAG = "market_data/rerun"
# A run with this tag asks the vendor whether files that are held have changed, and replaces those that have.
REFRESH_TAG = "market_data/refresh"
RECHECK_JOB = "recheck"
REBUILD_HISTORY_JOB = "rebuild_history"
ALL_VENUES_JOB, REFRESH_JOB = "all_venues", "refresh"
# Without a selection their runs hold every venue; those of other jobs none.
_JOBS_OF_ALL_VENUES = {ALL_VENUES_JOB, REFRESH_JOB, RECHECK_JOB}
# In the queue: new days before re-runs before whatever people launch.
NEW_DAY_PRIORITY, RERUN_PRIORITY = 2, 1
_PRIORITY_TAG = "dagster/priority"
# Followed by the venue. How a step failed is read from its run's record: the run's events would cost 20 ms a run.
_FAILED_TAG = "market_data/failed/"
_PARTITION_TAG = "dagster/partition"
# A run that outlived the instance's longest run time lost its process together with its code server.
_LONGEST_LIFE = timedelta(hours=7)
_LIVE = (dg.DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed for a venue: the error's class where our code said so, and whether another attempt may help."""

    error: str | None
    is_transient: bool
    not_before: datetime | None = None

    @property
    def text(self) -> str:
        """`VendorQuotaExceeded, transient, not before 2024-08-09T00:00:00+00:00`, as the run's tag says it."""
        words = [self.error or "", "transient" if self.is_transient else "permanent"]
        return ", ".join([*words, *([f"not before {self.not_before.isoformat()}"] if self.not_before else [])])

    @classmethod
    def parse(cls, text: str) -> "Failure | None":
        """Return what `text` says; None for a text of another kind."""
        found = re.match(r"(\w*), (transient|permanent)\b(?:, not before ([^\s,]+))?", text)
        if found is None:
            return None
        error, kind, not_before = found.groups()
        return cls(error or None, kind == "transient", _instant(not_before))


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


class KnownRuns:
    """The runs that concern venue-days; each day's are read once, so make a new one for each look."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._by_day: dict[str, list[dg.RunRecord]] = {}

    def read(self, days: Iterable[str]) -> None:
        """Read the runs of days together, unless they were."""
        unread = sorted(set(days) - self._by_day.keys())
        self._by_day |= {day: [] for day in unread}
        if unread:
            for record in self._instance.get_run_records(dg.RunsFilter(tags={_PARTITION_TAG: unread})):
                self._by_day[record.dagster_run.tags[_PARTITION_TAG]].append(record)

    def of(self, venue: str, day: str) -> list[dg.RunRecord]:
        """Return the records of all runs that concern a venue-day, newest first."""
        self.read([day])
        return [record for record in self._by_day[day] if concerns(record.dagster_run, venue)]


def concerns(run: dg.DagsterRun, venue: str) -> bool:
    """Whether a run holds assets or checks of a venue; a run of a whole job holds all of them."""
    group = group_name_of(venue)
    if VENUE_TAG in run.tags:
        return venue in {name.strip().upper() for name in run.tags[VENUE_TAG].split(",")}
    keys = {*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())}
    # an instance may run other projects too
    return any(key.path[0] == group for key in keys) if keys else run.job_name in _JOBS_OF_ALL_VENUES


def venues_of(run: dg.DagsterRun, configured: Iterable[str]) -> list[str]:
    """Return those of the configured venues that a run concerns, sorted."""
    return sorted(venue for venue in configured if concerns(run, venue))


def tag_with_venues(instance: dg.DagsterInstance, run: dg.DagsterRun, configured: Iterable[str]) -> None:
    """Name a run's venues in its tag `venue`, for the lists and filters of people: what they launch has none."""
    if VENUE_TAG not in run.tags:
        instance.add_run_tags(run.run_id, {VENUE_TAG: ",".join(venues_of(run, configured))})


def tag_with_failure(instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str, failure: dg.Failure) -> None:
    """Write how a venue's step failed into its run's tags, where `failure_of` reads it.

    A run that is executed again has the tags of its parent: the run's own id says whose word it is.
    """
    said = _failure_in(failure.metadata)
    if said is not None:
        instance.add_run_tags(run.run_id, {f"{_FAILED_TAG}{venue}": f"{said.text}, in run {run.run_id[:8]}"})


def is_attempt(run: dg.DagsterRun) -> bool:
    """Whether a run tried to fill what it concerns, instead of running checks alone."""
    has_checks_alone = bool(run.asset_check_selection) and not run.asset_selection
    return run.job_name != RECHECK_JOB and not has_checks_alone


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
    """Return the partition key of a run, None for a run without one, or of one that is no day."""
    key = run.tags.get(_PARTITION_TAG, "")
    try:
        return key if date.fromisoformat(key).isoformat() == key else None
    except ValueError:
        return None


def ended_runs_since(
    instance: dg.DagsterInstance, since: datetime, statuses: Sequence[dg.DagsterRunStatus]
) -> list[dg.RunRecord]:
    """Return the runs of a status that were touched since an instant, newest first."""
    return list(instance.get_run_records(dg.RunsFilter(statuses=list(statuses), updated_after=since)))


def request_venue_day(
    settings: Settings, venue: str, day: str, why: str, tags: Mapping[str, str], *, priority: int
) -> dg.RunRequest:
    """Return a request to fill a venue-day; it is granted once for the same `why`."""
    return dg.RunRequest(
        run_key=f"{venue}|{day}|{why}",
        partition_key=day,
        asset_selection=venue_asset_keys(settings, venue),
        tags={VENUE_TAG: venue, _PRIORITY_TAG: str(priority), **tags},
    )


def failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str) -> Failure:
    """Return how a run failed for a venue; a run whose process died says nothing, so another attempt may help."""
    told = run.tags.get(f"{_FAILED_TAG}{venue}", "")
    if told.endswith(f"in run {run.run_id[:8]}") and (said := Failure.parse(told)):
        return said
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or not (event.step_key or "").startswith(f"{group_name_of(venue)}__"):
            continue
        data = event.step_failure_data.user_failure_data
        if said := _failure_in(data.metadata if data else {}):
            return said
    return Failure(None, is_transient=True)


def _failure_in(metadata: Mapping[str, dg.MetadataValue[Any]]) -> Failure | None:
    if "is_transient" not in metadata:
        return None
    error, not_before = metadata.get("error"), metadata.get("not before")
    return Failure(
        str(error.value) if error else None,
        bool(metadata["is_transient"].value),
        _instant(not_before.value) if not_before else None,
    )


class CheckResults:
    """What the checks of some names said in runs; each run's events are read once, so make a new one for each look."""

    def __init__(self, instance: dg.DagsterInstance, names: Collection[str]) -> None:
        self._instance = instance
        self._names = names
        self._by_run: dict[str, dict[dg.AssetCheckKey, bool]] = {}

    def of_run(self, run: dg.DagsterRun) -> dict[dg.AssetCheckKey, bool]:
        """Return whether each check of a run passed; a check that was not executed in it is absent."""
        if run.run_id not in self._by_run:
            self._by_run[run.run_id] = self._read(run)
        return self._by_run[run.run_id]

    def has_failed(self, run: dg.DagsterRun, asset_keys: Collection[dg.AssetKey]) -> bool:
        """Whether a check of one of the assets failed in a run."""
        return any(not passed and check.asset_key in asset_keys for check, passed in self.of_run(run).items())

    def _read(self, run: dg.DagsterRun) -> dict[dg.AssetCheckKey, bool]:
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        records = self._instance.get_records_for_run(run.run_id, of_type=kind).records
        events = [record.event_log_entry.dagster_event for record in records]
        evaluations = [event.asset_check_evaluation_data for event in events if event is not None]
        return {item.asset_check_key: item.passed for item in evaluations if item.check_name in self._names}
