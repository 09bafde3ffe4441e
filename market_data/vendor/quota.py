"""The bytes that an account may fetch on a UTC day, counted in the lake by all runs that share it.

Each run keeps one small document a day; the sum is as fresh as the last look, so runs at once may pass the cap by what
they fetch between two looks. The last tenth is kept for new days: history can wait until tomorrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from market_data.errors import VendorQuotaExceeded
from market_data.lake.base import JSON_CONTENT, TickLake
from market_data.lake.keys import quota_key, quota_prefix
from market_data.model.limits import GIGABYTE

_SHARE_FOR_HISTORY = 0.9
_SAVED_EVERY_BYTES = GIGABYTE


def bytes_used_on(lake: TickLake, day: date) -> int:
    """Return the bytes that all runs fetched on a UTC day."""
    documents = (lake.get_bytes(stat.key)[0] for stat in lake.list_objects(quota_prefix(day)))
    return sum(int(json.loads(document)["bytes"]) for document in documents)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """How much of the account's bytes of a UTC day are used, and when the next day's are there."""

    used_bytes: int
    limit_bytes: int
    resets_at: datetime

    def is_beyond(self, *, is_history: bool) -> bool:
        """Whether nothing more may be fetched today."""
        return self.used_bytes >= self.limit_bytes * (_SHARE_FOR_HISTORY if is_history else 1)


def quota_state(lake: TickLake, limit_bytes: int | None, now: datetime) -> QuotaState | None:
    """Return how the quota stands, None where there is none; raises LakeError of any kind."""
    if limit_bytes is None:
        return None
    resets_at = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return QuotaState(bytes_used_on(lake, now.date()), limit_bytes, resets_at)


def refuse_beyond_quota(lake: TickLake, limit_bytes: int | None, now: datetime, *, is_history: bool) -> None:
    """Raise VendorQuotaExceeded (transient) when the account's bytes of the day are used up."""
    state = quota_state(lake, limit_bytes, now)
    if state is None or not state.is_beyond(is_history=is_history):
        return
    kept = "; the rest is kept for new days" if is_history else ""
    amount = f"{state.used_bytes / GIGABYTE:.1f} of {state.limit_bytes / GIGABYTE:g} GB"
    raise VendorQuotaExceeded(
        f"{amount} (limits.daily_quota_gb) were fetched from the vendor today{kept}. "
        f"The account may go on after {state.resets_at:%Y-%m-%d %H:%M} UTC",
        not_before=state.resets_at,
    )


class DailyQuota:
    """What one run fetches of its account's bytes; may be used from one thread at a time."""

    def __init__(
        self, lake: TickLake, limit_bytes: int | None, writer: str, now: Callable[[], datetime], *, is_history: bool
    ) -> None:
        self._lake = lake
        self._limit_bytes = limit_bytes
        self._writer = writer
        self._now = now
        self._is_history = is_history
        self._day = now().date()
        self._own_bytes = self._saved_bytes = 0

    def ensure(self) -> None:
        """Raise VendorQuotaExceeded (transient) when nothing more may be fetched today."""
        refuse_beyond_quota(self._lake, self._limit_bytes, self._now(), is_history=self._is_history)

    def add(self, size_bytes: int) -> bool:
        """Count bytes that were fetched; says whether it is time to `save` and `ensure`."""
        if (today := self._now().date()) != self._day:  # a new day, a new count
            self.save()
            self._day, self._own_bytes, self._saved_bytes = today, 0, 0
        self._own_bytes += size_bytes
        return self._limit_bytes is not None and self._own_bytes - self._saved_bytes >= _SAVED_EVERY_BYTES

    def save(self) -> None:
        """Tell the other runs."""
        if self._limit_bytes is None or self._own_bytes == self._saved_bytes:
            return
        document = json.dumps({"schema_version": 1, "bytes": self._own_bytes}).encode()
        self._lake.put_bytes(document, quota_key(self._day, self._writer), content_type=JSON_CONTENT)
        self._saved_bytes = self._own_bytes
