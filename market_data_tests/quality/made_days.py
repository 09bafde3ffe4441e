"""Days of a made venue as rhythms: six instruments, four data types, and spans of silence injected into them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.causes import Attribution, Attributor, DayFacts, Gap, InstrumentFacts
from market_data.quality.gaps import find_gaps, usual_silences, visible_from
from market_data.quality.hours import DAY_US, midnight_us, silences_of
from market_data.quality.rhythm import RhythmMeter
from market_data.vendor.metadata import Incident

DAY = date(2024, 8, 8)
KEYS = tuple(f"BINANCE:SPOT_PAIR:{name}-USDT" for name in ("ADA", "BTC", "DOT", "ETH", "SOL", "XRP"))
TYPES = (DataType.TRADES, DataType.QUOTES, DataType.INCREMENTAL_BOOK_L2, DataType.BOOK_TICKER)
_ROWS = 30_000
_DAYS_BEFORE = 4
Found = dict[tuple[str, DataType], list[tuple[Gap, Attribution]]]


@dataclass(frozen=True)
class Span:
    """A silence of instruments' data types, in microseconds since epoch; `is_lost`: ids jump over it."""

    keys: tuple[str, ...]
    types: tuple[DataType, ...]
    start_us: int
    end_us: int
    is_lost: bool = True


@dataclass
class MadeDay:
    """A day with what happened on it, and what the lake would know of it."""

    seed: int
    spans: list[Span] = field(default_factory=list)
    has_ids: bool = True
    incidents: tuple[Incident, ...] = ()
    instruments: dict[str, InstrumentFacts] = field(default_factory=dict)

    def rhythm(self, data_type: DataType, day: date = DAY) -> pl.DataFrame:
        frames = [self._rhythm_of(key, data_type, day) for key in KEYS]
        return pl.concat(frames)

    def _rhythm_of(self, key: str, data_type: DataType, day: date) -> pl.DataFrame:
        rng = np.random.default_rng([self.seed, KEYS.index(key), TYPES.index(data_type), day.toordinal()])
        times = np.sort(midnight_us(day) + rng.integers(0, DAY_US, _ROWS))
        ids = np.arange(len(times)) * (1 if self.has_ids else 7)
        for span in self.spans if day == DAY else ():
            if key in span.keys and data_type in span.types:
                kept = (times <= span.start_us) | (times >= span.end_us)
                times, ids = times[kept], ids[kept] if span.is_lost else ids[: int(kept.sum())]
        meter = RhythmMeter(day)
        columns = {"local_timestamp": times.view("datetime64[us]")}
        if data_type is DataType.TRADES:
            columns["id"] = ids.astype(str)
        meter.add(pl.DataFrame(columns))
        return meter.hours(key)

    def judge(self, data_types: Iterable[DataType] = TYPES) -> Found:
        """Return the gaps with their causes, by instrument and data type."""
        rhythms = {kind: self.rhythm(kind) for kind in TYPES}
        usual = {kind: usual_silences(frame, days_before(kind), DAY) for kind, frame in rhythms.items()}
        facts = DayFacts(
            venue="BINANCE",
            midnight_us=midnight_us(DAY),
            instruments=self.instruments,
            silences={kind: silences_of(frame) for kind, frame in rhythms.items()},
            visible={kind: visible_from(frame, usual[kind]) for kind, frame in rhythms.items()},
            incidents=self.incidents,
        )
        found: Found = {}
        for kind in data_types:
            attributor = Attributor(facts, kind)
            for row in find_gaps(rhythms[kind], usual[kind], DAY).iter_rows():
                gap = Gap(*row[:6])
                found.setdefault((gap.instrument_key, kind), []).append((gap, attributor.attribute(gap)))
        return found


@cache
def days_before(data_type: DataType) -> pl.DataFrame:
    """Return the rhythm of the days before, on which nothing happened: the same for every made day."""
    days = [DAY - timedelta(days=it) for it in range(1, _DAYS_BEFORE + 1)]
    made = MadeDay(seed=0)
    return pl.concat([made.rhythm(data_type, day).with_columns(day=pl.lit(day)) for day in days])


def instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
