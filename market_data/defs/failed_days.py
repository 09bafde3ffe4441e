"""Which failed venue-days are run again, and which are left to people; what the sensor `failed_venue_days` does."""

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice, product

import dagster as dg
from pydantic import AwareDatetime, Field

from market_data.defs.checks import HEALED_BY_A_RERUN
from market_data.defs.keys import venue_asset_keys
from market_data.defs.open_days import OpenDays
from market_data.defs.runs import (
    RERUN_PRIORITY,
    RERUN_TAG,
    CheckResults,
    KnownRuns,
    days_of,
    ended_at,
    ended_runs_since,
    failure_of,
    has_succeeded,
    is_attempt,
    is_live,
    request_venue_day,
    venues_of,
)
from market_data.errors import MarketDataError, VendorQuotaExceeded
from market_data.index.store import read_heads
from market_data.index.unit import UnitHead
from market_data.lake.base import TickLake
from market_data.operate.alerts import Kind, OpenDay
from market_data.operate.automation import FailedDay, LookMemory, RerunRules, decide_rerun
from market_data.settings.environment import Settings
from market_data.vendor.quota import refuse_beyond_quota

_LOOK_BACK = timedelta(days=14)
# Dagster ends a look after 60 s and forgets all of it: what is not looked at by then has its turn in the next one.
_LOOK_SECONDS = 8.0
# Days whose runs are read together.
_DAYS_A_READ = 50

_VenueDay = tuple[str, str]


class FailedDaysCursor(LookMemory):
    """What a look leaves to the next one.

    `failed_checks` are the venue-days whose run succeeded with a failed check, since a successful run does not show its
    failed checks in its status; `read_until` is until when runs were read for that. `go_on_at` is where a look stopped
    that was cut short, or had launched enough. `open_days` are those that need a person, until they are mended.
    """

    read_until: AwareDatetime | None = None
    failed_checks: list[_VenueDay] = Field(default_factory=list)
    go_on_at: _VenueDay | None = None
    open_days: list[OpenDay] = Field(default_factory=list)


class FailedDays:
    """One look at the venue-days that failed in the last 14 days; after `look_seconds` the rest is for the next one.

    `cursor` is what this look leaves to the next one.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        lake: TickLake,
        known: FailedDaysCursor,
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._lake = lake
        self._known = known
        self._checks = CheckResults(instance, HEALED_BY_A_RERUN)
        self._runs = KnownRuns(instance)
        self._keys = {venue: set(venue_asset_keys(settings, venue)) for venue in settings.config.venues}
        automation = settings.config.automation
        self._rules = RerunRules(
            first_wait=timedelta(seconds=automation.first_wait_seconds),
            max_attempts=automation.max_attempts,
        )
        self._ends_at = time.monotonic() + look_seconds
        self.cursor = known.model_copy()
        self._open = OpenDays(instance, known.open_days)

    def launch(self, now: datetime) -> Iterator[dg.RunRequest | str]:
        """Yield a request for each re-run that is due, and a sentence for each day that is left alone."""
        may_launch = True
        try:
            quota_bytes = self._settings.config.limits.run_limits.daily_quota_bytes
            refuse_beyond_quota(self._lake, quota_bytes, now, is_history=True)
        except VendorQuotaExceeded as error:  # what was mended is noticed all the same
            yield f"nothing is run again today: {error}"
            may_launch = False
        for found in self._look(now):
            if may_launch or not isinstance(found, dg.RunRequest):
                yield found
        self.cursor.open_days = self._open.listed()

    def _look(self, now: datetime) -> Iterator[dg.RunRequest | str]:
        launched, pairs = 0, self._candidates(now)
        self.cursor.go_on_at = None
        for looked, (venue, day) in enumerate(pairs):
            if launched >= self._settings.config.automation.days_per_check or (looked and self._is_over):
                self.cursor.go_on_at = (venue, day)
                yield f"the next look goes on with {len(pairs) - looked} more failed venue-days, from {venue} {day}"
                return
            self._runs.read(islice(dict.fromkeys(day for _, day in pairs[looked:]), _DAYS_A_READ))
            try:
                found = self._decide(venue, day, now)
            except MarketDataError as error:  # a receipt that cannot be read stops no other day
                found = f"{venue} {day}: {error}"
                if not error.is_transient:
                    self._open.put_unreadable(venue, day, self._open.take(venue, day), str(error), now)
            if isinstance(found, dg.RunRequest):
                launched += 1
            if found:
                yield found

    @property
    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _candidates(self, now: datetime) -> list[_VenueDay]:
        """Return the venue-days to look at, those that failed longest ago first, from where the last look stopped.

        A look launches a few only: whatever is run again goes to the end, so that no day keeps others from their turn.
        """
        ends: dict[_VenueDay, datetime] = {}
        for record in ended_runs_since(self._instance, now - _LOOK_BACK, [dg.DagsterRunStatus.FAILURE]):
            days = [day for day in days_of(record.dagster_run) if self._is_of_a_partition(day, now)]
            for pair in product(venues_of(record.dagster_run, self._keys), days):
                ends[pair] = max(ended_at(record), ends.get(pair, ended_at(record)))
        self._remember_failed_checks(now)
        self._open.keep_only(lambda venue, day: self._is_configured(venue, day, now))
        remembered = {*self.cursor.failed_checks, *self._open.pairs}
        self._runs.read(day for _, day in remembered)
        ends |= {pair: max(map(ended_at, self._runs.of(*pair)), default=now) for pair in remembered}
        pairs = sorted(ends, key=lambda pair: (ends[pair], *pair[::-1]))
        stopped_at = self._known.go_on_at
        first = pairs.index(stopped_at) if stopped_at is not None and stopped_at in ends else 0
        return pairs[first:] + pairs[:first]

    def _is_configured(self, venue: str, day: str, now: datetime) -> bool:
        return venue in self._keys and self._is_of_a_partition(day, now)

    def _is_of_a_partition(self, day: str, now: datetime) -> bool:
        """Whether there is such a partition: the configuration may have changed since the run."""
        config = self._settings.config
        return config.start_date.isoformat() <= day <= config.newest_day(now.date()).isoformat()

    def _remember_failed_checks(self, now: datetime) -> None:
        """Add what runs that have succeeded since the last look say; `_decide` forgets what is healed."""
        read_until = self._known.read_until or now - _LOOK_BACK
        pairs = {pair for pair in self._known.failed_checks if self._is_configured(*pair, now)}
        # a minute of overlap: a run's record is written a little after it ended
        next_from = now - timedelta(minutes=1)
        succeeded = ended_runs_since(self._instance, read_until, [dg.DagsterRunStatus.SUCCESS])
        for record in sorted(succeeded, key=lambda record: record.update_timestamp):
            run, next_from_here = record.dagster_run, record.update_timestamp
            for day in days_of(run):
                if self._is_of_a_partition(day, now):
                    found = self._keys.items()
                    pairs |= {(venue, day) for venue, keys in found if self._checks.has_failed(run, day, keys)}
            if self._is_over:
                next_from = min(next_from, next_from_here)
                break
        self.cursor.read_until = next_from
        self.cursor.failed_checks = sorted(pairs)

    def _forget_failed_checks(self, venue: str, day: str) -> None:
        self.cursor.failed_checks = [pair for pair in self.cursor.failed_checks if pair != (venue, day)]

    def _has_failed_check(self, venue: str, day: str) -> bool:
        """Whether a check of a venue-day failed when it was last executed.

        Runs may execute some of the checks only, and hold other venues. Without any attempt a failed check says that
        nobody launched the day: that is left to people.
        """
        ended = [record.dagster_run for record in self._runs.of(venue, day) if record.end_time is not None]
        newest: dict[dg.AssetCheckKey, bool] = {}
        for run in ended:
            newest = self._checks.of_run(run, day) | newest
        failed = {check for check, passed in newest.items() if not passed and check.asset_key in self._keys[venue]}
        return bool(failed) and any(is_attempt(run) for run in ended)

    def _decide(self, venue: str, day: str, now: datetime) -> dg.RunRequest | str | None:
        records = self._runs.of(venue, day)
        attempts = [record for record in records if is_attempt(record.dagster_run)]
        if not attempts:
            self._forget_failed_checks(venue, day)
            self._open.take(venue, day)
        if not attempts or any(is_live(record, now) for record in records):
            return None
        newest, before = attempts[0], self._open.take(venue, day)
        status = newest.dagster_run.status
        is_success = has_succeeded(newest.dagster_run, venue, day)
        # a run of several venues or days fails for all when one does, and one that was cut short says nothing of them
        is_of_one = len(venues_of(newest.dagster_run, self._keys)) == 1 == len(days_of(newest.dagster_run))
        is_doubtful = is_success or not is_of_one
        if is_doubtful and self._is_whole(venue, day, is_success=is_success):
            self._forget_failed_checks(venue, day)
            return None
        if status is dg.DagsterRunStatus.CANCELED:
            self._open.put_failed(venue, day, newest, before, kind=Kind.CANCELLED)
            return f"{venue} {day}: its newest run was cancelled; it is left to people"
        return self._decide_failed(venue, day, now, records, before)

    def _decide_failed(
        self, venue: str, day: str, now: datetime, records: list[dg.RunRecord], before: OpenDay | None
    ) -> dg.RunRequest | str | None:
        attempts = [record for record in records if is_attempt(record.dagster_run)]
        newest = attempts[0]
        failure = failure_of(self._instance, newest.dagster_run, venue, day)
        failed = FailedDay(
            newest.dagster_run.run_id,
            ended_at(records[0]),
            *self._count_attempts(venue, day, attempts),
            failure.is_transient,
            failure.not_before,
            failure.error,
        )
        decision = decide_rerun(failed, now, self._rules)
        is_of_note = decision.is_due or decision.kind is not None
        if is_of_note and (deleted := self._why_deleted(venue, day)):
            return f"{venue} {day}: {deleted}"
        if decision.kind is not None:
            self._open.put_failed(venue, day, newest, before, kind=decision.kind, not_before=failure.not_before)
        if not decision.is_due:
            return f"{venue} {day}: {decision.reason}"
        if self._is_whole(venue, day):
            return None
        tags = {RERUN_TAG: str(failed.attempts + 1)}
        return request_venue_day(self._settings, venue, day, failed.failed_run_id, tags, priority=RERUN_PRIORITY)

    def _is_whole(self, venue: str, day: str, *, is_success: bool = False) -> bool:
        """Whether no check of the venue-day failed, and its newest run succeeded or the lake holds all of it."""
        return (is_success or self._is_complete(venue, day)) and not self._has_failed_check(venue, day)

    def _why_deleted(self, venue: str, day: str) -> str | None:
        told = next((head.deleted for head in self._heads(venue, day) if head.deleted), None)
        return f"{told}; it is left to people" if told else None

    def _is_complete(self, venue: str, day: str) -> bool:
        heads = self._heads(venue, day)
        is_run = len(heads) == len(self._settings.config.venues[venue].data_types)
        return is_run and all(head.is_as_wanted for head in heads)

    def _heads(self, venue: str, day: str) -> list[UnitHead]:
        """Return what the lake says of the units of a venue-day that were run."""
        wanted = {venue: self._settings.config.venues[venue].data_types}
        return list(read_heads(self._lake, wanted, [date.fromisoformat(day)]).values())

    def _count_attempts(self, venue: str, day: str, newest_first: list[dg.RunRecord]) -> tuple[int, int]:
        """Count the automatic re-runs since the last success: those that found the vendor ready, and all of them.

        A run with failed checks of the venue is no success; a person's success resets the count.
        """
        attempts = reruns = 0
        for record in newest_first:
            run = record.dagster_run
            if has_succeeded(run, venue, day) and not self._checks.has_failed(run, day, self._keys[venue]):
                break
            if RERUN_TAG in run.tags:
                reruns += 1
                attempts += failure_of(self._instance, run, venue, day).error != "VendorNotReady"
        return attempts, reruns
