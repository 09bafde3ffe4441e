"""The venue-days that need a person, as the sensor `failed_venue_days` knows them from one look to the next."""

from collections.abc import Callable, Iterable
from datetime import date, datetime

import dagster as dg

from market_data.defs.runs import ended_at, headline_of
from market_data.operate.alerts import Kind, OpenDay

# The sensor's cursor holds them, and Dagster keeps one for each look.
_LONGEST_TEXT = 200


class OpenDays:
    """Venue-days by venue and ISO date; each was put here by a look, and stays until another decides otherwise."""

    def __init__(self, instance: dg.DagsterInstance, known: Iterable[OpenDay]) -> None:
        self._instance = instance
        self._days = {(it.venue, str(it.day)): it for it in known}

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Which days those are."""
        return set(self._days)

    def listed(self) -> list[OpenDay]:
        """Return them, sorted by venue and day."""
        return [self._days[pair] for pair in sorted(self._days)]

    def keep_only(self, is_wanted: Callable[[str, str], bool]) -> None:
        """Forget what is configured no more."""
        self._days = {pair: it for pair, it in self._days.items() if is_wanted(*pair)}

    def take(self, venue: str, day: str) -> OpenDay | None:
        """Take a day out before it is decided on anew; return what was known of it."""
        return self._days.pop((venue, day), None)

    def put_failed(
        self,
        venue: str,
        day: str,
        newest: dg.RunRecord,
        before: OpenDay | None,
        *,
        kind: Kind,
        not_before: datetime | None = None,
    ) -> None:
        """Put a day whose newest run did not fill it; what the run said is read once."""
        run = newest.dagster_run
        is_known = before is not None and before.run_id == run.run_id
        what = before.what if before and is_known else headline_of(self._instance, run, venue, day)[:_LONGEST_TEXT]
        # a day that a person ran again, and that failed of the same again, is open since the first time
        since = before.since if before and before.kind is kind else ended_at(newest)
        self._days[venue, day] = OpenDay(
            venue=venue,
            day=date.fromisoformat(day),
            kind=kind,
            since=since,
            run_id=run.run_id,
            what=what,
            not_before=not_before,
        )

    def put_unreadable(self, venue: str, day: str, before: OpenDay | None, why: str, now: datetime) -> None:
        """Put a day of which the lake cannot tell how it stands."""
        kind, since = Kind.PERMANENT, before.since if before else now
        text = why[:_LONGEST_TEXT]
        self._days[venue, day] = OpenDay(venue=venue, day=date.fromisoformat(day), kind=kind, since=since, what=text)
