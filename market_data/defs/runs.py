"""What the instance knows of venue-days: which runs concern one, which of them live, how they failed.

A run concerns a venue when its `venue` tag names it (where it holds several, all of them, by comma), or, before its
first step has set the tag, its selection holds an asset or a check of the venue's group. A run of checks alone is no
attempt at a venue-day: it finds out about a day and fills none.

A run of one day has Dagster's tag of a partition, a run of several its two tags of a range. What such a run failed of
stands in its tags for each day that failed, and for the venue once it is through with all of them: the others are done
then.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from market_data.defs.keys import VENUE_TAG, venue_asset_keys
from market_data.model.limits import MOST_DAYS_PER_RUN
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings

RERUN_TAG = "market_data/rerun"
# A run with this tag asks the vendor whether files that are held have changed, and replaces those that have.
REFRESH_TAG = "market_data/refresh"
# Names the runs that one command launched together.
BACKFILL_TAG = "market_data/backfill"
RECHECK_JOB = "recheck"
# Of jobs that ask the vendor for nothing: where runs are tasks of workers, these go to workers without the key.
LAKE_QUEUE = {"dagster-celery/queue": "lake"}
REBUILD_HISTORY_JOB = "rebuild_history"
ALL_VENUES_JOB, REFRESH_JOB = "all_venues", "refresh"
# Without a selection their runs hold every venue; those of other jobs none.
_JOBS_OF_ALL_VENUES = {ALL_VENUES_JOB, REFRESH_JOB, RECHECK_JOB}
# In the queue: new days before re-runs before whatever people launch.
NEW_DAY_PRIORITY, RERUN_PRIORITY = 2, 1
_PRIORITY_TAG = "dagster/priority"
# Followed by the venue, and by `/` and the day in a run of several. How a step failed is read from its run's record: a
# run's events would cost 20 ms.
_FAILED_TAG = "market_data/failed/"
PARTITION_TAG = "dagster/partition"
# Of a run of which Dagster has forgotten everything but its record (`defs/retention.py`).
LOG_DELETED_TAG = "market_data/log_deleted"
_FIRST_TAG, _LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# A run that outlived the instance's longest run time lost its process together with its code server.
_LONGEST_LIFE = timedelta(hours=7)
# Longer than that where its own tag says so, and then the daemon ends it a little later.
_GRACE = timedelta(hours=1)
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
        if not unread:
            return
        tags = {PARTITION_TAG: unread, _FIRST_TAG: _first_days_of_ranges_with(unread)}
        filters = [dg.RunsFilter(tags={tag: values}) for tag, values in tags.items() if values]
        found = [record for wanted in filters for record in self._instance.get_run_records(wanted)]
        for record in sorted(found, key=lambda record: record.storage_id, reverse=True):
            for day in set(days_of(record.dagster_run)).intersection(unread):
                self._by_day[day].append(record)

    def of(self, venue: str, day: str) -> list[dg.RunRecord]:
        """Return the records of all runs that concern a venue-day, newest first."""
        self.read([day])
        return [record for record in self._by_day[day] if concerns(record.dagster_run, venue)]


def _first_days_of_ranges_with(days: Iterable[str]) -> list[str]:
    """Return the days at which a run that holds one of the days may begin."""
    known = filter(None, map(_day, days))
    return sorted({str(day - timedelta(days=offset)) for day in known for offset in range(MOST_DAYS_PER_RUN)})


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


def tag_with_failure(
    instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str, failure: dg.Failure, day: date | None = None
) -> None:
    """Write how a venue's step failed, or one day of a step of several, into its run's tags, where it is looked for.

    A run that is executed again has the tags of its parent: the run's own id says whose word it is.
    """
    said = _failure_in(failure.metadata)
    if said is not None:
        instance.add_run_tags(run.run_id, {_failed_tag(venue, day): f"{said.text}, in run {run.run_id[:8]}"})


def _failed_tag(venue: str, day: date | str | None = None) -> str:
    return f"{_FAILED_TAG}{venue}" if day is None else f"{_FAILED_TAG}{venue}/{day}"


def _told_failure(run: dg.DagsterRun, tag: str) -> Failure | None:
    """Return what a tag of a run says, where it is the run's own word."""
    told = run.tags.get(tag, "")
    return Failure.parse(told) if told.endswith(f"in run {run.run_id[:8]}") else None


def tag_with_longest_time(instance: dg.DagsterInstance, run: dg.DagsterRun, now: datetime) -> None:
    """Give the day that a run begins now as long as the instance gives a run of one day, if it limits them."""
    longest_seconds = instance.run_monitoring_max_runtime_seconds
    record = instance.get_run_record_by_id(run.run_id)
    if longest_seconds and record is not None and record.start_time is not None:
        at_work_seconds = now.timestamp() - record.start_time
        instance.add_run_tags(run.run_id, {dg.MAX_RUNTIME_SECONDS_TAG: f"{at_work_seconds + longest_seconds:.0f}"})


def is_attempt(run: dg.DagsterRun) -> bool:
    """Whether a run tried to fill what it concerns, instead of running checks alone."""
    has_checks_alone = bool(run.asset_check_selection) and not run.asset_selection
    return run.job_name != RECHECK_JOB and not has_checks_alone


def is_live(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a run is queued or at work."""
    run = record.dagster_run
    if run.status not in _LIVE:
        return False
    granted = run.tags.get(dg.MAX_RUNTIME_SECONDS_TAG, "")
    longest = max(_LONGEST_LIFE, timedelta(seconds=int(granted)) + _GRACE) if granted.isdecimal() else _LONGEST_LIFE
    return record.start_time is None or now - datetime.fromtimestamp(record.start_time, UTC) < longest


def has_succeeded(run: dg.DagsterRun, venue: str, day: str) -> bool:
    """Whether a run that has ended says that it filled a venue-day: all of it did, or just other days of it failed.

    A run that was killed says nothing of its days, and neither does one that failed before it began with them.
    """
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return run.status is dg.DagsterRunStatus.SUCCESS
    failed = {other for other in days_of(run) if _told_failure(run, _failed_tag(venue, other))}
    is_through = bool(failed) and _told_failure(run, _failed_tag(venue)) is not None
    return is_through and day not in failed


def ended_at(record: dg.RunRecord) -> datetime:
    """Return when a run ended, or when it was last touched where that is not known."""
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.astimezone(UTC)


def days_of(run: dg.DagsterRun) -> list[str]:
    """Return the partition keys of a run in their order; none for a run without days, or of other partitions."""
    first = _day(run.tags.get(PARTITION_TAG) or run.tags.get(_FIRST_TAG, ""))
    last = _day(run.tags.get(PARTITION_TAG) or run.tags.get(_LAST_TAG, ""))
    if first is None or last is None:
        return []
    return [str(first + timedelta(days=offset)) for offset in range((last - first).days + 1)]


def _day(key: str) -> date | None:
    try:
        day = date.fromisoformat(key)
    except ValueError:
        return None
    return day if day.isoformat() == key else None


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


def failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str, day: str) -> Failure:
    """Return how a run failed for a venue-day; where its process died it says nothing: another attempt may help."""
    if said := _told_failure(run, _failed_tag(venue, day)):
        return said
    if has_succeeded(run, venue, day):  # a check of the day failed, and no more
        return Failure(None, is_transient=True)
    if said := _told_failure(run, _failed_tag(venue)):
        return said
    for _, metadata in _told_by_steps(instance, run, venue):
        if said := _failure_in(metadata):
            return said
    return Failure(None, is_transient=True)


def _told_by_steps(
    instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str
) -> Iterator[tuple[str, Mapping[str, dg.MetadataValue[Any]]]]:
    """Yield description and metadata of what failed steps of a venue raised, nothing in them where it is not ours."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is not None and (event.step_key or "").startswith(f"{group_name_of(venue)}__"):
            told = event.step_failure_data.user_failure_data
            yield ((told.description or "", told.metadata) if told else ("", {}))


def _failure_in(metadata: Mapping[str, dg.MetadataValue[Any]]) -> Failure | None:
    if "is_transient" not in metadata:
        return None
    error, not_before = metadata.get("error"), metadata.get("not before")
    return Failure(
        str(error.value) if error else None,
        bool(metadata["is_transient"].value),
        _instant(not_before.value) if not_before else None,
    )


def headline_of(instance: dg.DagsterInstance, run: dg.DagsterRun, venue: str, day: str) -> str:
    """Return the first line of what a run said of a venue-day that failed; nothing where it ended without a word.

    It costs a reading of the run's events.
    """
    for description, metadata in _told_by_steps(instance, run, venue):
        days = metadata.get("failed days")
        rows = [row.data for row in days.records] if isinstance(days, dg.TableMetadataValue) else []
        told = next((str(row["what"]) for row in rows if row["day"] == day), None)
        headline = told or description.partition("\n")[0]
        return headline.removeprefix(f"{venue} {day}: ")
    return ""


class CheckResults:
    """What the checks of some names said in runs; each run's events are read once, so make a new one for each look."""

    def __init__(self, instance: dg.DagsterInstance, names: Collection[str]) -> None:
        self._instance = instance
        self._names = names
        self._by_run: dict[str, list[dg.AssetCheckEvaluation]] = {}

    def of_run(self, run: dg.DagsterRun, day: str) -> dict[dg.AssetCheckKey, bool]:
        """Return whether each check of a day passed in a run; one that was not executed in it is absent."""
        if run.run_id not in self._by_run:
            self._by_run[run.run_id] = self._read(run)
        return {item.asset_check_key: item.passed for item in self._by_run[run.run_id] if item.partition in {None, day}}

    def has_failed(self, run: dg.DagsterRun, day: str, asset_keys: Collection[dg.AssetKey]) -> bool:
        """Whether a check of one of the assets failed for a day in a run."""
        return any(not passed and check.asset_key in asset_keys for check, passed in self.of_run(run, day).items())

    def _read(self, run: dg.DagsterRun) -> list[dg.AssetCheckEvaluation]:
        if LOG_DELETED_TAG in run.tags:
            return []
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        records = self._instance.get_records_for_run(run.run_id, of_type=kind).records
        events = [record.event_log_entry.dagster_event for record in records]
        evaluations = [event.asset_check_evaluation_data for event in events if event is not None]
        return [item for item in evaluations if item.check_name in self._names]
