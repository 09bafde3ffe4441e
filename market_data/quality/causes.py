"""Why there are no rows: the cause of each gap, by stated rules in a stated order. Pure.

The first that holds: `ours`, `not_trading`, `vendor_incident`, `vendor_rollover`, `venue_or_recorder`, `type_silent`,
`thin_market`, `unknown`. What is ours is never blamed on others: it is asked first, of the vendor's own file. Whether
the venue halted or the vendor's recorder lost rows only contiguous ids tell; without them the two stay one cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.hours import DAY_US, HOUR_US, HOURS, instant_of
from market_data.vendor.metadata import Incident


class Cause(StrEnum):
    """Why a span has no rows; `not_judged` is of what nothing can be said of, and is never clean."""

    OURS = "ours"
    NOT_TRADING = "not_trading"
    VENDOR_INCIDENT = "vendor_incident"
    VENDOR_ROLLOVER = "vendor_rollover"
    VENUE_OR_RECORDER = "venue_or_recorder"
    TYPE_SILENT = "type_silent"
    THIN_MARKET = "thin_market"
    UNKNOWN = "unknown"
    NOT_JUDGED = "not_judged"


REMEDIES: dict[Cause, str] = {
    Cause.OURS: "run the day again: `market-data backfill` brings back what the lake lacks",
    Cause.NOT_TRADING: "nothing: there was nothing to record",
    Cause.VENDOR_INCIDENT: "nothing here; ask the vendor whether it is collected again, then refresh the day",
    Cause.VENDOR_ROLLOVER: "nothing: the vendor's collectors subscribe anew at midnight",
    Cause.VENUE_OR_RECORDER: "leave the span out; `market-data compare` with the venue's own dumps tells who lost it",
    Cause.TYPE_SILENT: "leave the span out of this data type, or take another that went on; ask the vendor",
    Cause.THIN_MARKET: "nothing, most likely: few rows were to be expected",
    Cause.UNKNOWN: "leave the span out where every row counts, and compare with a second source",
    Cause.NOT_JUDGED: "judge it by other means: what cannot be verified here is not clean",
}

# The vendor's collectors subscribe anew at 00:00 UTC and miss 0.3 to 3 s (docs.tardis.dev, data FAQ).
_LONGEST_ROLLOVER_US = 5_000_000
_ROLLOVER_BEGINS_US = 1_000_000
# Incident reports are written by people, to the minute.
_INCIDENT_TOLERANCE = timedelta(minutes=1)
_RESOLVED = "resolved"
# Of a gap an incident must explain most.
_EXPLAINED = 0.5
_MOST = 0.6
_FEWEST_INSTRUMENTS = 3
# Those of one connection fall silent and come back within moments of each other.
_SAME_MOMENT_US = 2_000_000
_COVERED = 0.9
_THIN_ROWS, _THIN_SCORE = 30.0, 7.0


@dataclass(frozen=True, slots=True)
class InstrumentFacts:
    """What is known of one instrument's file besides its rows.

    `lost` says how what is published differs from what the vendor sent, with the spans (us) in which the vendor's file
    has rows. `trades_from` and `trades_until` are the instants of listing and expiry where they are known;
    `is_first_day` and `is_last_day` are the vendor's word.
    """

    lost: str | None = None
    lost_spans: tuple[tuple[int, int], ...] = ()
    is_first_day: bool = False
    is_last_day: bool = False
    trades_from: datetime | None = None
    trades_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DayFacts:
    """What is known of a venue's day besides one data type's gaps.

    `silences` is, by data type, one row for each silence of each instrument (`instrument_key`, `start_us`, `end_us`,
    `ids_missing`, `has_contiguous_ids`); `visible` is, by data type, from how many seconds on an instrument would be
    missed in each hour (`instrument_key`, `hour`, `visible_from_seconds`).
    """

    venue: str
    midnight_us: int
    instruments: Mapping[str, InstrumentFacts]
    silences: Mapping[DataType, pl.DataFrame]
    visible: Mapping[DataType, pl.DataFrame]
    incidents: Sequence[Incident] = field(default=())


@dataclass(frozen=True, slots=True)
class Gap:
    """One span without rows of an instrument's data type; microseconds since epoch."""

    instrument_key: str
    start_us: int
    end_us: int
    ids_missing: int | None
    expected_rows: float
    score: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_us - self.start_us) / 1e6


@dataclass(frozen=True, slots=True)
class Attribution:
    """Why, and by what evidence."""

    cause: Cause
    evidence: str


class Attributor:
    """Tells the cause of each gap of one data type of a venue's day; what many gaps share is asked once."""

    def __init__(self, facts: DayFacts, data_type: DataType) -> None:
        self._facts = facts
        self._data_type = data_type
        self._missed: dict[tuple[DataType, int, int], frozenset[str]] = {}
        self._by_span: dict[tuple[int, int], Attribution | None] = {}
        self._visible = {kind: _by_hour(frame) for kind, frame in facts.visible.items()}

    def attribute(self, gap: Gap) -> Attribution:
        """Return the first cause whose rule holds."""
        rules = (
            self._ours,
            self._not_trading,
            self._vendor_incident,
            self._vendor_rollover,
            self._venue_or_recorder,
            self._type_silent,
            self._thin_market,
        )
        found = (rule(gap) for rule in rules)
        return next((it for it in found if it is not None), None) or Attribution(Cause.UNKNOWN, _what_is_known(gap))

    def _ours(self, gap: Gap) -> Attribution | None:
        facts = self._facts.instruments.get(gap.instrument_key)
        if facts is None or facts.lost is None:
            return None
        if any(start < gap.end_us and gap.start_us < end for start, end in facts.lost_spans):
            return Attribution(Cause.OURS, facts.lost)
        return None

    def _not_trading(self, gap: Gap) -> Attribution | None:
        facts = self._facts.instruments.get(gap.instrument_key, InstrumentFacts())
        start, end = instant_of(gap.start_us), instant_of(gap.end_us)
        if facts.trades_from is not None and end <= facts.trades_from + _INCIDENT_TOLERANCE:
            return Attribution(Cause.NOT_TRADING, f"listed at {facts.trades_from:%Y-%m-%d %H:%M:%S}")
        if facts.trades_until is not None and start >= facts.trades_until - _INCIDENT_TOLERANCE:
            return Attribution(Cause.NOT_TRADING, f"expired at {facts.trades_until:%Y-%m-%d %H:%M:%S}")
        if facts.is_first_day and facts.trades_from is None and gap.start_us <= self._facts.midnight_us:
            return Attribution(Cause.NOT_TRADING, "its first day at the vendor, before its first row")
        if facts.is_last_day and facts.trades_until is None and gap.end_us >= self._facts.midnight_us + DAY_US:
            return Attribution(Cause.NOT_TRADING, "its last day at the vendor, after its last row")
        return None

    def _vendor_incident(self, gap: Gap) -> Attribution | None:
        start, end = instant_of(gap.start_us), instant_of(gap.end_us)
        for incident in self._facts.incidents:
            since = max(start, incident.since - _INCIDENT_TOLERANCE)
            until = min(end, _end_of(incident) + _INCIDENT_TOLERANCE)
            if until - since >= _EXPLAINED * (end - start):
                last = f"{incident.until:%Y-%m-%d %H:%M}" if incident.until else "no end told"
                span = f"{incident.since:%Y-%m-%d %H:%M} to {last}"
                return Attribution(Cause.VENDOR_INCIDENT, f"{span} ({incident.status}): {incident.details}")
        return None

    def _vendor_rollover(self, gap: Gap) -> Attribution | None:
        begins = gap.start_us - self._facts.midnight_us
        if begins <= _ROLLOVER_BEGINS_US and gap.end_us - gap.start_us <= _LONGEST_ROLLOVER_US:
            return Attribution(Cause.VENDOR_ROLLOVER, f"{gap.seconds:.1f} s from midnight")
        return None

    def _venue_or_recorder(self, gap: Gap) -> Attribution | None:
        span = gap.start_us, gap.end_us
        if span not in self._by_span:
            self._by_span[span] = self._shared(gap)
        return self._by_span[span]

    def _shared(self, gap: Gap) -> Attribution | None:
        silent = self._silent_in(self._data_type, gap)
        missed = self._missed_in(self._data_type, gap)
        together = missed & set(silent["instrument_key"]) | {gap.instrument_key}
        missed = missed | {gap.instrument_key}
        at_once = silent.filter(
            (pl.col("start_us") - gap.start_us).abs() <= _SAME_MOMENT_US,
            (pl.col("end_us") - gap.end_us).abs() <= _SAME_MOMENT_US,
            pl.col("instrument_key").is_in(sorted(missed)),
        )
        same = at_once["instrument_key"].n_unique()
        others = f"{len(together)} of the {len(missed)} instruments of {self._facts.venue} that would be missed"
        if len(together) >= max(_FEWEST_INSTRUMENTS, _MOST * len(missed)):
            told = f"{others} were silent"
        elif same >= _FEWEST_INSTRUMENTS:
            told = f"{same} instruments fell silent and came back within {_SAME_MOMENT_US // 10**6} s of each other"
        else:
            return None
        return Attribution(Cause.VENUE_OR_RECORDER, f"{told}; {self._tell_by_ids(gap, together)}")

    def _tell_by_ids(self, gap: Gap, instruments: frozenset[str]) -> str:
        """Return what contiguous ids of the venue's trades say of a span that was silent for many."""
        trades = self._facts.silences.get(DataType.TRADES)
        if trades is None:
            return "no trades are held whose ids could tell whether the venue halted"
        silent = self._silent_in(DataType.TRADES, gap).filter(pl.col("instrument_key").is_in(sorted(instruments)))
        jumped = silent.filter(pl.col("ids_missing") > 0)
        if not jumped.is_empty():
            lost = jumped["ids_missing"].sum()
            return f"trade ids jump in {jumped['instrument_key'].n_unique()} of them: {lost:,} trades were lost"
        # of those that trade seldom nothing is told by that they did not, or did
        telling = instruments & self._missed_in(DataType.TRADES, gap)
        went_on = telling - set(silent["instrument_key"])
        if went_on:
            return f"trades of {len(went_on)} of them went on: the venue did not halt, rows of this type were lost"
        unbroken = set(silent.filter(pl.col("ids_missing") == 0)["instrument_key"]) & telling
        if unbroken:
            return f"trade ids go on unbroken in {len(unbroken)} of them: the venue halted"
        return "no trade ids tell whether the venue halted or rows were lost"

    def _type_silent(self, gap: Gap) -> Attribution | None:
        if gap.ids_missing == 0:
            return None  # unbroken ids prove that no row of this one is lost
        heard = [
            data_type.value
            for data_type in self._visible
            if data_type is not self._data_type
            and gap.instrument_key in self._missed_in(data_type, gap)
            and gap.instrument_key not in set(self._silent_in(data_type, gap)["instrument_key"])
        ]
        if not heard:
            return None
        ids = f"; trade ids jump: {gap.ids_missing:,} trades are missing" if gap.ids_missing else ""
        return Attribution(Cause.TYPE_SILENT, f"{', '.join(heard)} of the same instrument went on{ids}")

    def _thin_market(self, gap: Gap) -> Attribution | None:
        if gap.ids_missing == 0:
            return Attribution(Cause.THIN_MARKET, "trade ids go on unbroken: none was made, and none is lost")
        if not gap.ids_missing and gap.expected_rows < _THIN_ROWS and gap.score < _THIN_SCORE:
            return Attribution(Cause.THIN_MARKET, f"about {gap.expected_rows:.0f} rows were to be expected")
        return None

    def _missed_in(self, data_type: DataType, gap: Gap) -> frozenset[str]:
        """Return the instruments that would be missed in a gap, by how they usually come in the hours it covers."""
        asked = data_type, gap.start_us, gap.end_us
        if asked not in self._missed:
            self._missed[asked] = self._find_missed_in(data_type, gap)
        return self._missed[asked]

    def _find_missed_in(self, data_type: DataType, gap: Gap) -> frozenset[str]:
        start_us = self._facts.midnight_us
        hours = range(max(0, (gap.start_us - start_us) // HOUR_US), min(HOURS, -(-(gap.end_us - start_us) // HOUR_US)))
        missed = set()
        for key, visible in self._visible.get(data_type, {}).items():
            times = 0.0
            for hour in hours:
                begins = start_us + hour * HOUR_US
                overlap = min(gap.end_us, begins + HOUR_US) - max(gap.start_us, begins)
                times += overlap / 1e6 / visible[hour] if hour in visible else 0.0
            if times >= 1:
                missed.add(key)
        return frozenset(missed)

    def _silent_in(self, data_type: DataType, gap: Gap) -> pl.DataFrame:
        """Return the silences of a data type that cover most of a gap."""
        silences = self._facts.silences[data_type]
        overlap = pl.min_horizontal("end_us", pl.lit(gap.end_us)) - pl.max_horizontal("start_us", pl.lit(gap.start_us))
        return silences.filter(overlap >= _COVERED * (gap.end_us - gap.start_us))


def _end_of(incident: Incident) -> datetime:
    """Return when an incident ended; one that is resolved, and does not say when, explains its own day alone."""
    if incident.until is not None:
        return incident.until
    if incident.status == _RESOLVED:
        return datetime.combine(incident.since.date(), time.max, UTC)
    return datetime.max.replace(tzinfo=UTC) - _INCIDENT_TOLERANCE


def _what_is_known(gap: Gap) -> str:
    if gap.ids_missing:
        return f"trade ids jump: {gap.ids_missing:,} trades are missing"
    return f"about {gap.expected_rows:,.0f} rows were to be expected, and nothing else that is held tells why none came"


def _by_hour(visible: pl.DataFrame) -> dict[str, dict[int, float]]:
    """Return from how many seconds on each instrument would be missed, by hour, where that is told."""
    found: dict[str, dict[int, float]] = {}
    rows = visible.select("instrument_key", "hour", "visible_from_seconds").drop_nulls().iter_rows()
    for key, hour, seconds in rows:
        found.setdefault(key, {})[hour] = seconds
    return found
