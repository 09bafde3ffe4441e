"""Which venue-days are launched by themselves: new days, and failed days that are worth another attempt.

Pure functions of what was found; `defs/launches.py` and `defs/failed_days.py` find it and carry the decisions out.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from pydantic import BaseModel, ValidationError

from market_data.operate.alerts import Kind


class LookMemory(BaseModel):
    """What a look of a sensor leaves to the next one, as text."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Return what the last look left; what cannot be read is as if there was none, so that no look fails of it."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()


# The account waits for as long as the vendor says: people may shorten that.
_ACCOUNT_WAITS = {"VendorQuotaExceeded": Kind.QUOTA_USED, "VendorKeyInUse": Kind.KEY_IN_USE}


@dataclass(frozen=True, slots=True)
class RerunRules:
    """Waits double from `first_wait` to `longest_wait`; after `max_attempts` failed re-runs a day is only listed."""

    first_wait: timedelta = timedelta(minutes=15)
    longest_wait: timedelta = timedelta(hours=6)
    max_attempts: int = 5


def choose_new_days(
    exported_until: date, newest_tried: date | None, is_taken: Container[date], *, limit: int
) -> tuple[date, ...]:
    """Return the days to launch, oldest first: exported, newer than the newest day that was ever tried, not taken.

    A new venue starts at its latest exported day: history is launched by people only. `exported_until` is exclusive.
    """
    newest_exported = exported_until - timedelta(days=1)
    first = newest_exported if newest_tried is None else newest_tried + timedelta(days=1)
    days = (first + timedelta(days=offset) for offset in range((newest_exported - first).days + 1))
    return tuple(day for day in days if day not in is_taken)[:limit]


@dataclass(frozen=True, slots=True)
class FailedDay:
    """A venue-day whose newest run failed, or whose newest check failed.

    `reruns` counts the automatic re-runs since the last success, `attempts` those of them that found the vendor ready:
    a day that is not exported yet is never given up, but it waits longer and longer like any other. `not_before` is
    when the vendor serves the account again, where it said so; `error` is the class of what it failed of, if known.
    """

    failed_run_id: str
    failed_at: datetime
    attempts: int
    reruns: int
    is_transient: bool
    not_before: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RerunDecision:
    """Whether to launch now, a sentence for people, and of which kind the matter is where a person is needed."""

    is_due: bool
    reason: str
    kind: Kind | None = None


def decide_rerun(failed: FailedDay, now: datetime, rules: RerunRules) -> RerunDecision:
    """Decide on one failed venue-day."""
    if not failed.is_transient:
        matter = Kind.KEY_REFUSED if failed.error == "VendorAccessDenied" else Kind.PERMANENT
        return RerunDecision(
            is_due=False, reason="permanent fault: mend its cause, then materialise the day again", kind=matter
        )
    if failed.attempts >= rules.max_attempts:
        reason = f"given up after {failed.attempts} re-runs: look at it, then materialise"
        return RerunDecision(is_due=False, reason=reason, kind=Kind.GIVEN_UP)
    # the exponent is capped: the wait is at its longest long before it could overflow
    wait = min(rules.first_wait * 2 ** min(failed.reruns, 20), rules.longest_wait)
    due_at = max(failed.failed_at + wait, failed.not_before or failed.failed_at)
    if now < due_at:
        text = f"re-run {failed.attempts + 1} of {rules.max_attempts} is due at {due_at:%Y-%m-%d %H:%M} UTC"
        is_told_to_wait = failed.not_before is not None and now < failed.not_before
        kind = _ACCOUNT_WAITS.get(failed.error or "") if is_told_to_wait else None
        return RerunDecision(is_due=False, reason=text, kind=kind)
    return RerunDecision(is_due=True, reason=f"re-run {failed.attempts + 1} of {rules.max_attempts}")
