"""What needs a person: which facts become entries, and which entries are told when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from market_data.operate.alert_memory import AlertMemory
from market_data.operate.alerts import (
    Alert,
    Kind,
    OpenDay,
    SensorLooks,
    Severity,
    VenueLook,
    alert_of_quota,
    alert_of_sensor,
    alert_of_venue,
    alerts_of_days,
    in_order,
    summarize,
)

NOON = datetime(2024, 8, 10, 12, 30, tzinfo=UTC)
DAY, LATEST = date(2024, 8, 8), date(2024, 8, 9)


def failed(day: int, kind: Kind = Kind.GIVEN_UP, venue: str = "BINANCE", hour: int = 7) -> OpenDay:
    since = datetime(2024, 8, 10, hour, tzinfo=UTC)
    return OpenDay(venue=venue, day=date(2024, 8, day), kind=kind, since=since, what=f"BINANCE: {day} failed")


def test_days_that_follow_each_other_are_one_entry_with_the_command_that_runs_just_them() -> None:
    days = [failed(3), failed(1, hour=9), failed(2), failed(5), failed(4, Kind.KEY_REFUSED), failed(1, venue="OKX")]
    entries = list(alerts_of_days(days))
    assert [(it.kind, it.where, it.since and it.since.hour) for it in entries] == [
        (Kind.GIVEN_UP, "BINANCE 2024-08-01 to 2024-08-03", 7),
        (Kind.GIVEN_UP, "BINANCE 2024-08-05", 7),
        (Kind.GIVEN_UP, "OKX 2024-08-01", 7),
        (Kind.KEY_REFUSED, "BINANCE 2024-08-04", 7),
    ]
    assert entries[0].command == "market-data backfill --venue binance --from 2024-08-01 --to 2024-08-03"
    assert entries[2].command == "market-data backfill --venue okex --from 2024-08-01 --to 2024-08-01"
    assert entries[0].what == "3 days failed, and so did every re-run: BINANCE: 1 failed"
    assert "TARDIS_API_KEY" in entries[3].next_step


@pytest.mark.parametrize(
    ("look", "told"),
    [
        # the 9th is due at noon of the 10th
        ({"newest_tried": DAY, "exported_until": LATEST, "at": NOON - timedelta(hours=1)}, None),
        ({"newest_tried": LATEST}, None),
        ({"newest_tried": DAY, "exported_until": LATEST}, "exported the days before 2024-08-09 only"),
        ({"newest_tried": DAY, "problem": "answered 500"}, "does not say what it has exported: answered 500"),
        ({"newest_tried": DAY, "exported_until": date(2024, 8, 10)}, "2024-08-09 exported by the vendor, and not"),
        # a new venue begins with what is exported; a dead one and one beyond end_date have no newer day
        ({"exported_until": date(2024, 8, 10)}, None),
        ({"exported_until": date(2024, 8, 5)}, "exported the days before 2024-08-05 only"),
        ({"newest_tried": date(2024, 8, 1), "exported_until": date(2024, 8, 2), "ended_on": date(2024, 8, 2)}, None),
        ({"newest_tried": DAY, "newest_day": DAY}, None),
    ],
)
def test_a_venue_is_late_when_a_day_past_its_time_is_not_there(look: dict[str, object], told: str | None) -> None:
    alert = alert_of_venue("BINANCE", VenueLook.model_validate({"at": NOON, "newest_day": LATEST} | look))
    assert (alert is None) == (told is None)
    if alert is not None and told is not None:
        assert told in alert.what
        assert alert.days[-1] == LATEST


def test_a_late_venue_is_late_since_its_first_missing_day_was_due() -> None:
    look = VenueLook(at=NOON, newest_day=LATEST, newest_tried=date(2024, 8, 6), exported_until=DAY)
    alert = alert_of_venue("BINANCE", look)
    assert alert is not None
    assert (alert.days, alert.since) == ((DAY, LATEST), datetime(2024, 8, 9, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("used_gb", "kind"), [(7.9, None), (8, Kind.QUOTA_LOW), (9.9, Kind.QUOTA_LOW), (10, Kind.QUOTA_USED)]
)
def test_a_quota_is_told_when_little_is_left(used_gb: float, kind: Kind | None) -> None:
    alert = alert_of_quota(round(used_gb * 1e9), 10**10, NOON, history_waits=used_gb >= 9)
    assert (alert and alert.kind) == kind
    assert alert is None or f"{10 - used_gb:.1f} of 10 GB" in alert.what


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ({}, None),
        ({"last_at": NOON - timedelta(minutes=40)}, None),
        ({"last_at": NOON - timedelta(minutes=50)}, "has not looked since 2024-08-10 11:40 UTC"),
        ({"last_at": NOON, "failed": 1, "error": "no lake"}, None),
        ({"last_at": NOON, "failed": 2, "error": "no lake"}, "its last 2 looks failed: no lake"),
        ({"last_at": NOON, "failed": 1, "error": "no lake", "every_seconds": 86400}, "its last look failed: no lake"),
        ({"is_on": False}, "stopped in the UI"),
        ({"is_on": False, "is_meant_on": False}, None),
    ],
)
def test_a_sensor_is_told_when_it_fails_or_is_silent(looks: dict[str, object], told: str | None) -> None:
    usual = {"name": "new_days", "every_seconds": 900, "is_on": True, "is_meant_on": True}
    alert = alert_of_sensor(SensorLooks.model_validate(usual | looks), NOON)
    assert (alert is None) == (told is None)
    assert alert is None or alert.what.startswith(str(told))


def test_errors_come_first_and_the_summary_counts_them() -> None:
    alerts = in_order(alerts_of_days([failed(1, Kind.CANCELLED), failed(2)]))
    assert [it.severity for it in alerts] == [Severity.ERROR, Severity.WARNING]
    assert summarize(alerts) == "2 entries need a person: 1 error, 1 warning"
    assert summarize([]) == "Nothing needs a person"


class Person:
    """Somebody who is told; each look goes through the text that the sensor keeps."""

    def __init__(self) -> None:
        self.kept = ""
        self.is_reachable = True
        self.shown = 0

    def look(self, days: Sequence[OpenDay], hours: float) -> tuple[str, list[str]] | None:
        now, memory = NOON + timedelta(hours=hours), AlertMemory.parse(self.kept)
        alerts = memory.date_entries(list(alerts_of_days(days)), now)
        memory.see(alerts, now)
        if not memory.is_shown(alerts, now):
            memory.show(alerts, now)
            self.shown += 1
        message = memory.next_message(alerts, now)
        if message is not None and self.is_reachable:
            memory.deliver(message, now)
        self.kept = memory.model_dump_json()
        return None if message is None else (message.kind, [alert.where for alert in message.alerts])


def test_each_entry_is_told_once_all_of_them_once_a_day_and_what_comes_again_is_new() -> None:
    person, one, two = Person(), "BINANCE 2024-08-01", "BINANCE 2024-08-01 to 2024-08-02"
    assert person.look([], 0) is None
    assert person.look([failed(1)], 1) == ("new", [one])
    assert person.look([failed(1)], 2) is None
    assert person.look([failed(1), failed(2)], 3) == ("new", [two])
    assert person.look([failed(1), failed(2)], 24) is None
    assert person.look([failed(1), failed(2)], 25) == ("digest", [two])
    assert person.look([failed(1)], 26) is None
    assert person.look([failed(1)], 48) is None
    assert person.look([failed(1)], 49) == ("digest", [one])
    assert person.look([], 50) is None
    assert person.look([], 80) is None
    assert person.look([failed(1)], 81) == ("new", [one])
    assert person.shown == 7  # when the list changed, and once in each day without a change


def test_what_could_not_be_told_is_told_at_the_next_look() -> None:
    person = Person()
    person.is_reachable = False
    assert person.look([failed(1)], 0) == ("new", ["BINANCE 2024-08-01"])
    person.is_reachable = True
    assert person.look([failed(1)], 1) == ("new", ["BINANCE 2024-08-01"])
    assert person.look([failed(1)], 2) is None


def test_what_nobody_knows_the_beginning_of_is_open_since_it_was_first_seen() -> None:
    memory = AlertMemory.parse("of another version")
    disk = Alert(kind=Kind.DISK, subject="lake disk", what="0.3 GB free", next_step="free some")
    for hours in (0, 5):
        dated = memory.date_entries([disk], NOON + timedelta(hours=hours))
        memory.see(dated, NOON)
        assert [alert.since for alert in dated] == [NOON]
