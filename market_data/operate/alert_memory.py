"""Which entries of what needs a person are news, when all of them are told again, and when the list is shown anew.

Pure; the memory is kept as text in the cursor of the sensor `needs_a_person`, so that a restart repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime, Field

from market_data.operate.alerts import Alert, describe_time, summarize
from market_data.operate.automation import LookMemory

_A_DAY = timedelta(days=1)


class AlertMemory(LookMemory):
    """What a look leaves to the next one.

    `seen` are the open entries by their marks, with since when; `told` the marks of which a message was delivered.
    `digest_at` is when all open entries were last told, `shown_at` when the asset was last materialised.
    """

    seen: dict[str, AwareDatetime] = Field(default_factory=dict)
    told: list[str] = Field(default_factory=list)
    digest_at: AwareDatetime | None = None
    shown: str = ""
    shown_at: AwareDatetime | None = None

    def date_entries(self, alerts: Sequence[Alert], now: datetime) -> list[Alert]:
        """Return the entries with since when each is open; what is seen for the first time is open since now."""
        return [
            alert.model_copy(update={"since": min((self.seen.get(mark, now) for mark in alert.marks), default=now)})
            if alert.since is None
            else alert
            for alert in alerts
        ]

    def see(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Remember the dated entries as those that are open; what is mended is news when it comes again."""
        self.seen = {mark: alert.since or now for alert in alerts for mark in alert.marks}
        self.told = [mark for mark in self.told if mark in self.seen]
        if not alerts:
            self.digest_at = None

    def is_shown(self, alerts: Sequence[Alert], now: datetime) -> bool:
        """Whether the list was shown as it is, less than a day ago; numbers that change all the time are no change."""
        is_fresh = self.shown_at is not None and now - self.shown_at < _A_DAY
        return is_fresh and self.shown == _outline(alerts)

    def show(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Remember that the list was shown."""
        self.shown, self.shown_at = _outline(alerts), now

    def next_message(self, alerts: Sequence[Alert], now: datetime) -> Message | None:
        """Return what is to be told now: new entries; else, a day after the last time, all of them."""
        told = set(self.told)
        if new := [alert for alert in alerts if not told.issuperset(alert.marks)]:
            return Message("new", tuple(new))
        if alerts and (self.digest_at is None or now - self.digest_at >= _A_DAY):
            return Message("digest", tuple(alerts))
        return None

    def deliver(self, message: Message, now: datetime) -> None:
        """Remember that a message was delivered; the first of a list is as good as a digest."""
        self.told = sorted({*self.told, *(mark for alert in message.alerts for mark in alert.marks)})
        if message.kind == "digest" or self.digest_at is None:
            self.digest_at = now


@dataclass(frozen=True, slots=True)
class Message:
    """One message for people: `new` entries, or the `digest` of all that are open."""

    kind: str
    alerts: tuple[Alert, ...]

    @property
    def document(self) -> dict[str, object]:
        """The message as JSON has it; `text` is what chat programs show."""
        return {"kind": self.kind, "text": self.text, "entries": [alert.document for alert in self.alerts]}

    @property
    def text(self) -> str:
        """The message for people, a paragraph for each entry."""
        head = "market_data, new: " if self.kind == "new" else "market_data, still open: "
        paragraphs = [
            f"[{alert.severity}] {alert.where}, {alert.kind} since {describe_time(alert.since)} UTC: {alert.what}\n"
            f"Next: {alert.next_step}{f': {alert.command}' if alert.command else ''}"
            for alert in self.alerts
        ]
        return "\n\n".join([f"{head}{summarize(self.alerts)}", *paragraphs])


def _outline(alerts: Sequence[Alert]) -> str:
    return "\n".join(sorted(mark for alert in alerts for mark in alert.marks))
