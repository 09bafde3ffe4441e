"""Days through Dagster: runs that are launched here, followed to their end by what they tell, and cancelled."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg

from market_data.defs.failures import read_failed_day
from market_data.defs.keys import VENUE_TAG, venue_asset_keys
from market_data.defs.runs import BACKFILL_TAG
from market_data.demo.local_dagster import LocalDagster
from market_data.model.limits import MEGABYTE
from market_data.settings.environment import Settings

_POLL_SECONDS = 0.5
_LOOKS_A_QUESTION = 4
_RECORDS_A_READ = 1000
_QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


@dataclass(frozen=True, slots=True)
class EndedDay:
    """A day at its end: of what, which, and what it says where it failed (the first line is a headline)."""

    name: str
    day: str
    failure: str | None


@dataclass(slots=True)
class _Run:
    """One run, as far as its events were read: what it published of each day, and the days that have ended."""

    name: str
    asset_keys: Sequence[dg.AssetKey]
    days: Sequence[str]
    cursor: str | None = None
    is_over: bool = False
    published: dict[str, set[dg.AssetKey]] = field(default_factory=lambda: defaultdict(set))
    ended: dict[str, EndedDay] = field(default_factory=dict)
    step_failure: str | None = None


class Runs:
    """Runs that are launched together. `ended` are their days at their end, `files` and `size_bytes` were downloaded.

    A day has ended when all of its assets are published, or when its run says that it failed.
    """

    def __init__(self, dagster: LocalDagster, instance: dg.DagsterInstance) -> None:
        self._dagster = dagster
        self._instance = instance
        self._runs: dict[str, _Run] = {}
        self._tags = {BACKFILL_TAG: uuid4().hex[:8]}
        self.files = 0
        self.size_bytes = 0

    @property
    def days(self) -> int:
        """How many days were launched, each of each name."""
        return sum(len(run.days) for run in self._runs.values())

    @property
    def tag(self) -> str:
        """The tag by which the UI finds the runs: `market_data/backfill=1b9d6bcd`."""
        return "".join(f"{name}={value}" for name, value in self._tags.items())

    @property
    def ended(self) -> list[EndedDay]:
        """The days that have ended so far."""
        return [day for run in self._runs.values() for day in run.ended.values()]

    def launch_venue(self, settings: Settings, venue: str, days: Sequence[date]) -> None:
        """Launch days of a venue, as many in a run as the venues file says; one venue's failure is its own."""
        keys = venue_asset_keys(settings, venue)
        for some in split_days(days, settings.config.limits.days_per_run):
            self.launch(venue, keys, some, {VENUE_TAG: venue})

    def launch(
        self, name: str, asset_keys: Sequence[dg.AssetKey], days: Sequence[date], tags: Mapping[str, str]
    ) -> None:
        """Launch one run of days that follow each other; it is queued at once, which a backfill of the UI's is not."""
        keys = [key.to_user_string() for key in asset_keys]
        run_id = self._dagster.launch_days(keys, days[0].isoformat(), days[-1].isoformat(), {**tags, **self._tags})
        self._runs[run_id] = _Run(name, asset_keys, [day.isoformat() for day in days])

    def follow(self) -> Iterator[EndedDay | None]:
        """Yield each day as it ends, and None when there was a look, until all runs have ended.

        Raises LocalDagsterSilent when Dagster is there no more.
        """
        looks = 0
        while not all(run.is_over for run in self._runs.values()):
            yield from self._look()
            yield None
            if looks % _LOOKS_A_QUESTION == 0:
                self._dagster.ensure_answers()
            looks += 1
            time.sleep(_POLL_SECONDS)

    def cancel(self) -> None:
        """Cancel the runs that have not ended and wait for their end, which takes Dagster some seconds.

        It is asked again and again, for Dagster refuses to cancel a run whose process is just being started.
        """
        self._ask_for_the_end()
        for looks, _ in enumerate(self.follow(), start=1):
            if looks % _LOOKS_A_QUESTION == 0:
                self._ask_for_the_end()

    def _ask_for_the_end(self) -> None:
        # by their tag, for one may have been launched just as the person pressed Ctrl-C
        launched = self._instance.get_runs(dg.RunsFilter(tags=self._tags))
        if unfinished := [run.run_id for run in launched if not run.is_finished]:
            self._dagster.cancel_runs(unfinished)

    def _look(self) -> Iterator[EndedDay]:
        open_ids = [run_id for run_id, run in self._runs.items() if not run.is_over]
        found = {run.run_id: run for run in self._instance.get_runs(dg.RunsFilter(run_ids=open_ids))}
        for run_id in open_ids:
            run, known = self._runs[run_id], found.get(run_id)
            if known is not None and known.status in _QUEUED:
                continue
            yield from self._read(run_id, run)
            if known is None or known.is_finished:  # deleted by a person, or ended before its events were read
                run.is_over = True
                yield from self._conclude(run, known)

    def _read(self, run_id: str, run: _Run) -> Iterator[EndedDay]:
        has_more = True
        while has_more:
            page = self._instance.get_records_for_run(run_id, run.cursor, limit=_RECORDS_A_READ)
            run.cursor, has_more = page.cursor, page.has_more
            for record in page.records:
                yield from self._hear(run, record.event_log_entry)

    def _hear(self, run: _Run, entry: dg.EventLogEntry) -> Iterator[EndedDay]:
        event = entry.dagster_event
        if event is None:
            said = read_failed_day(entry.user_message)
            if said is not None:
                yield self._end(run, said.day, said.text)
        elif event.is_step_failure:
            said_of_step = event.step_failure_data.user_failure_data
            run.step_failure = (said_of_step.description if said_of_step else None) or event.message
        elif event.is_step_materialization and (day := event.partition) is not None:
            self._count(event.step_materialization_data.materialization.metadata)
            run.published[day].add(event.step_materialization_data.materialization.asset_key)
            if run.published[day].issuperset(run.asset_keys):
                yield self._end(run, day, None)

    def _count(self, metadata: Mapping[str, dg.MetadataValue[Any]]) -> None:
        counts = {name: metadata[name].value for name in ("files downloaded", "downloaded MB") if name in metadata}
        self.files += int(counts.get("files downloaded", 0))
        self.size_bytes += round(float(counts.get("downloaded MB", 0)) * MEGABYTE)

    def _conclude(self, run: _Run, known: dg.DagsterRun | None) -> Iterator[EndedDay]:
        """Yield the days that a run said nothing of, where it failed: before it began with them, or killed."""
        if known is not None and known.status is dg.DagsterRunStatus.FAILURE:
            why = run.step_failure or f"the run {known.run_id} ended before this day did; the UI shows why"
            for day in run.days:
                if day not in run.ended:
                    yield self._end(run, day, why)

    @staticmethod
    def _end(run: _Run, day: str, failure: str | None) -> EndedDay:
        run.ended[day] = EndedDay(run.name, day, failure)
        return run.ended[day]


def split_days(days: Sequence[date], most: int) -> Iterator[list[date]]:
    """Yield the days, which are in order, in pieces that have no gap and are not longer than so many days."""
    piece: list[date] = []
    for day in days:
        if piece and (len(piece) == most or day - piece[-1] != timedelta(days=1)):
            yield piece
            piece = []
        piece.append(day)
    if piece:
        yield piece
