"""What needs a person: what sensors, quota, disks and the daemon say, as entries with their next step.

Pure functions of facts; `defs/needs.py` finds the facts, and `operate/alert_memory.py` says which entries are news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby

from pydantic import AwareDatetime, BaseModel, ConfigDict

from market_data.model.limits import GIGABYTE
from market_data.model.venues import exchange_id_of

# The vendor's files of a day are ready at 06:00 UTC of the next; as much again is patience.
_DAY_IS_DUE_AFTER = timedelta(days=1, hours=12)
_LOW_SHARE = 0.8
_SILENT_LOOKS, _LEAST_SILENCE = 3, timedelta(minutes=10)
_FAILED_LOOKS = 2
_DAY = timedelta(days=1)


class Kind(StrEnum):
    """What is the matter; with venue and day it names an entry."""

    KEY_REFUSED = "key refused"
    KEY_IN_USE = "key in use"
    PERMANENT = "permanent fault"
    GIVEN_UP = "given up"
    CANCELLED = "cancelled"
    LATE = "venue late"
    QUOTA_USED = "quota used up"
    QUOTA_LOW = "quota low"
    DISK = "disk nearly full"
    SENSOR = "sensor"
    DAEMON = "daemon"


class Severity(StrEnum):
    """`error`: data are missing, or will be; `warning`: they are not yet."""

    ERROR = "error"
    WARNING = "warning"


_SEVERITIES = {
    Kind.KEY_IN_USE: Severity.WARNING,
    Kind.CANCELLED: Severity.WARNING,
    Kind.LATE: Severity.WARNING,
    Kind.QUOTA_LOW: Severity.WARNING,
}


class Fact(BaseModel):
    """A value that can be kept as text."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Alert(Fact):
    """One entry of what needs a person.

    `days` follow each other; `subject` names what is no venue: a disk, a sensor. `since` None is not known: since the
    entry was first seen. `command`, where there is one, is what to type for the next step.
    """

    kind: Kind
    venue: str | None = None
    days: tuple[date, ...] = ()
    subject: str = ""
    what: str
    since: AwareDatetime | None = None
    next_step: str
    command: str = ""

    @property
    def severity(self) -> Severity:
        """How bad it is: a fact of its kind."""
        return _SEVERITIES.get(self.kind, Severity.ERROR)

    @property
    def marks(self) -> tuple[str, ...]:
        """What is told once: kind and venue or subject, for each day where there are days."""
        name = f"{self.kind}|{self.venue or self.subject}"
        return tuple(f"{name}|{day}" for day in self.days) or (name,)

    @property
    def where(self) -> str:
        """`BINANCE 2024-08-08 to 2024-08-10`, or what it is where it is no venue."""
        return " ".join(filter(None, [self.venue or self.subject, describe_days(self.days)]))

    @property
    def document(self) -> dict[str, object]:
        """The entry as JSON has it."""
        return {"severity": self.severity.value, **self.model_dump(mode="json")}


def describe_days(days: Sequence[date]) -> str:
    """Return `2024-08-08`, `2024-08-08 to 2024-08-10`, or nothing."""
    if not days:
        return ""
    return str(days[0]) if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def describe_time(instant: datetime | None) -> str:
    """Return an instant to the minute, in UTC."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def summarize(alerts: Sequence[Alert]) -> str:
    """Return the one line above a list of entries."""
    if not alerts:
        return "Nothing needs a person"
    errors = sum(alert.severity is Severity.ERROR for alert in alerts)
    counts = {"error": errors, "warning": len(alerts) - errors}
    told = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    return f"{len(alerts)} {'entry needs' if len(alerts) == 1 else 'entries need'} a person: {told}"


def in_order(alerts: Iterable[Alert]) -> list[Alert]:
    """Return entries as people read them: errors first, then by kind, venue and day."""
    kinds = list(Kind)
    return sorted(alerts, key=lambda it: (it.severity is not Severity.ERROR, kinds.index(it.kind), it.where))


class OpenDay(Fact):
    """A venue-day that is not done and not run again for now: why, since when, and what its run said of it.

    `run_id` is of the run that left it so, `not_before` is when the vendor serves the account again.
    """

    venue: str
    day: date
    kind: Kind
    since: AwareDatetime
    run_id: str = ""
    what: str = ""
    not_before: AwareDatetime | None = None


_DAY_STEPS = {
    Kind.KEY_REFUSED: "see the key with `market-data doctor`, mend TARDIS_API_KEY, then run the days again",
    Kind.KEY_IN_USE: "stop the other use of the key, or wait: the days are run again by themselves",
    Kind.PERMANENT: "look at the newest run; mend the cause, or waive files that the vendor never will (`waivers:`), "
    "then run the days again",
    Kind.GIVEN_UP: "look at the newest run, then run the days again",
    Kind.CANCELLED: "run the days again, or leave them",
    Kind.QUOTA_USED: "wait: the days are run again by themselves; or have the account's quota raised",
}
_RUN_AGAIN = {Kind.KEY_REFUSED, Kind.PERMANENT, Kind.GIVEN_UP, Kind.CANCELLED}


def alerts_of_days(days: Iterable[OpenDay]) -> Iterator[Alert]:
    """Yield an entry for each stretch of days of a venue with the same matter."""
    ordered = sorted(days, key=lambda it: (it.kind, it.venue, it.day))
    for (kind, venue), same in groupby(ordered, key=lambda it: (it.kind, it.venue)):
        for stretch in _stretches(list(same)):
            first, last = stretch[0].day, stretch[-1].day
            command = f"market-data backfill --venue {exchange_id_of(venue)} --from {first} --to {last}"
            yield Alert(
                kind=kind,
                venue=venue,
                days=tuple(it.day for it in stretch),
                what=_what_of(kind, stretch),
                since=min(it.since for it in stretch),
                next_step=_DAY_STEPS[kind],
                command=command if kind in _RUN_AGAIN else "",
            )


def _stretches(days: Sequence[OpenDay]) -> Iterator[list[OpenDay]]:
    # days that follow each other have the same distance to their place in the list
    numbered = groupby(enumerate(days), key=lambda item: item[1].day - item[0] * _DAY)
    return ([it for _, it in stretch] for _, stretch in numbered)


def _what_of(kind: Kind, stretch: Sequence[OpenDay]) -> str:
    count = f"{len(stretch)} days" if len(stretch) > 1 else "the day"
    until = max((it.not_before for it in stretch if it.not_before), default=None)
    go_on = f"; it goes on after {describe_time(until)} UTC" if until else ""
    told = {
        Kind.KEY_REFUSED: f"the vendor refuses the key: {count} failed",
        Kind.KEY_IN_USE: f"the key is in use from another address: {count} failed{go_on}",
        Kind.QUOTA_USED: f"the account's quota is used up: {count} failed{go_on}",
        Kind.GIVEN_UP: f"{count} failed, and so did every re-run",
        Kind.PERMANENT: f"{count} failed in a way that no re-run mends",
        Kind.CANCELLED: f"the newest run of {count} was cancelled",
    }[kind]
    said = next((it.what for it in stretch if it.what), "")
    return f"{told}: {said}" if said else told


class VenueLook(Fact):
    """What a look of the sensor `new_days` found of a venue.

    `exported_until` is exclusive, None where the vendor did not say (`problem`) or was not asked, as there was nothing
    to ask for; no day from `ended_on` on is exported. `newest_day` is the last that can be asked for, `newest_tried`
    the last that the lake has a receipt of.
    """

    at: AwareDatetime
    newest_day: date
    newest_tried: date | None = None
    exported_until: date | None = None
    ended_on: date | None = None
    problem: str = ""

    @property
    def was_asked(self) -> bool:
        """Whether the vendor was asked what it has exported."""
        return self.exported_until is not None or bool(self.problem)


def alert_of_venue(venue: str, look: VenueLook) -> Alert | None:
    """Return an entry for a venue whose newest days are past their time; by the clock of the look."""
    due = (look.at.astimezone(UTC) - _DAY_IS_DUE_AFTER).date()
    expected = min(filter(None, [due, look.newest_day, look.ended_on and look.ended_on - _DAY]))
    exported = look.exported_until and look.exported_until - _DAY
    is_exported = exported is not None and exported >= expected
    if is_exported if look.newest_tried is None else look.newest_tried >= expected:
        return None
    # a venue without any day is begun with its latest exported one, and so is late with those after it
    known = look.newest_tried or exported
    first = known + _DAY if known else expected
    if exported is not None and first <= exported < expected:
        first = exported + _DAY
    days = tuple(first + _DAY * number for number in range((expected - first).days + 1))
    steps = {"next_step": "it is launched by itself as soon as it is exported; ask the vendor where that takes long"}
    if is_exported:
        what = f"{describe_days(days)} exported by the vendor, and not in the lake"
        steps = {
            "next_step": "see the venue's runs in the UI: are they queued, or have they failed? Or run the days",
            "command": f"market-data backfill --venue {exchange_id_of(venue)} --from {first} --to {expected}",
        }
    elif look.exported_until:
        what = f"the vendor has exported the days before {look.exported_until} only"
    else:
        what = f"the vendor does not say what it has exported: {look.problem}"
        step = "see network, proxy and vendor; it is asked again at each look"
        steps = {"next_step": step, "command": "market-data doctor"}
    since = datetime.combine(first, time(), UTC) + _DAY_IS_DUE_AFTER
    return Alert(kind=Kind.LATE, venue=venue, days=days, what=what, since=since, **steps)


def alert_of_quota(used_bytes: int, limit_bytes: int, resets_at: datetime, *, history_waits: bool) -> Alert | None:
    """Return an entry where little or nothing is left of what may be fetched today (limits.daily_quota_gb)."""
    if used_bytes < _LOW_SHARE * limit_bytes:
        return None
    left = max(limit_bytes - used_bytes, 0) / GIGABYTE
    waits = "new days and history wait" if used_bytes >= limit_bytes else "history waits" if history_waits else ""
    return Alert(
        kind=Kind.QUOTA_USED if used_bytes >= limit_bytes else Kind.QUOTA_LOW,
        subject="daily quota",
        what=f"{left:.1f} of {limit_bytes / GIGABYTE:g} GB of today are left{f': {waits}' if waits else ''}; "
        f"it resets at {describe_time(resets_at)} UTC",
        next_step="wait, or raise limits.daily_quota_gb in the venues file as far as the account allows",
    )


class SensorLooks(Fact):
    """The looks of a sensor, or of a schedule: when it looked last, and how that ended.

    `failed` counts the failed looks since the last good one, `failing_since` is when the first of them was.
    """

    name: str
    every_seconds: float
    is_on: bool
    is_meant_on: bool
    last_at: AwareDatetime | None = None
    outcome: str = "never looked"
    error: str = ""
    failed: int = 0
    failing_since: AwareDatetime | None = None


def alert_of_sensor(looks: SensorLooks, now: datetime) -> Alert | None:
    """Return an entry for a sensor that is stopped against the settings, that fails, or that does not look."""

    def tell(what: str, since: datetime | None, next_step: str) -> Alert:
        return Alert(kind=Kind.SENSOR, subject=looks.name, what=what, since=since, next_step=next_step)

    if not looks.is_on:
        step = "start it in the UI (Automation), or set MARKET_DATA_AUTOMATION=off"
        return tell("stopped in the UI, while MARKET_DATA_AUTOMATION is on", None, step) if looks.is_meant_on else None
    if looks.failed >= _FAILED_LOOKS or (looks.failed and timedelta(seconds=looks.every_seconds) >= _DAY):
        failed = f"its last {looks.failed} looks failed" if looks.failed > 1 else "its last look failed"
        step = "see the tick in the UI (Automation) and the log of the code server"
        return tell(f"{failed}: {looks.error}", looks.failing_since, step)
    silence = max(_SILENT_LOOKS * timedelta(seconds=looks.every_seconds), _LEAST_SILENCE)
    if looks.last_at is not None and now - looks.last_at > silence:
        step = "see that daemon and code server run and load: Deployment in the UI"
        return tell(f"has not looked since {describe_time(looks.last_at)} UTC", looks.last_at, step)
    return None
