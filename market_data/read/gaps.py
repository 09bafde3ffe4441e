"""The use case: for which spans the lake has no rows, why, and which intervals are free of gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.store import read_units
from market_data.index.unit import IndexedUnit
from market_data.lake.base import READERS, TickLake
from market_data.model.data_types import DataType, parse_data_type
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, base_of_part
from market_data.quality.agreement_table import VERIFIABILITY, load_agreements
from market_data.quality.causes import REMEDIES, Cause
from market_data.quality.gap_table import GAPS_SCHEMA, load_gaps
from market_data.read.arguments import names_of, to_instant, to_instrument_key
from market_data.read.completeness import NOT_RUN, Wanted, cause_of
from market_data.read.opening import open_to_read
from market_data.read.universes import read_listed
from market_data.receipts.store import data_types_with_receipts

_DAY = timedelta(days=1)
READ_GAPS_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "data_type": pl.String(),
        "start": pl.Datetime("us", "UTC"),
        "end": pl.Datetime("us", "UTC"),
        "seconds": pl.Float64(),
        "cause": pl.String(),
        "evidence": pl.String(),
        "remedy": pl.String(),
        "expected_rows": pl.Float64(),
        "ids_missing": pl.Int64(),
        "visible_from_seconds": pl.Float64(),
    }
)
_INTERVAL_SCHEMA = pl.Schema(
    {"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC"), "seconds": pl.Float64()}
)
_LENGTH = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>ms|s|min|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "min": "minutes", "m": "minutes", "h": "hours", "d": "days"}


def gaps(
    instruments: str | Iterable[str],
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    data_types: str | Iterable[str] | None = None,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return one row for each span of `start` to `end` without rows that should be there, with its cause.

    instruments: instrument keys, such as `BINANCE:SPOT_PAIR:BTC-USDT`.
    start, end: days, instants or their ISO 8601 text, UTC; `end` is not included. Spans are cut at them.
    data_types: None takes all that the lake holds of the instruments' venues.
    lake: as `scan_ticks`.

    Sorted by instrument key, data type and start. `cause` is ours, not_trading, vendor_incident, vendor_rollover,
    venue_or_recorder, type_silent, thin_market or unknown (rules: market_data/quality/causes.py), or `not_judged`:
    nothing can be said of that day, which is not to be taken for free of gaps. `visible_from_seconds`: shorter
    silences of this instrument are not told from usual ones. A day that is not held is one span, and ours.

    Raises ConfigurationError (permanent) for an argument that cannot be meant, LakeUnavailable (transient), LakeError.
    """
    keys = sorted({to_instrument_key(name) for name in names_of(instruments)})
    since, until = to_instant(start), to_instant(end)
    if since >= until:
        raise ConfigurationError(f"start {start} is not before end {end}")
    store = open_to_read(lake)
    wanted = None if data_types is None else [parse_data_type(name) for name in names_of(data_types)]
    frames = list(_Question(store, keys, since, until, wanted).frames())
    none = pl.DataFrame(schema=READ_GAPS_SCHEMA)
    found = pl.concat([none, *frames]) if frames else none
    clipped = found.filter(pl.col("start") < until, pl.col("end") > since).with_columns(
        pl.col("start").clip(lower_bound=since), pl.col("end").clip(upper_bound=until)
    )
    seconds = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6
    return clipped.with_columns(seconds=seconds).sort("instrument_key", "data_type", "start")


def clean_intervals(
    instruments: str | Iterable[str],
    data_types: str | Iterable[str],
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    min_length: str | timedelta = "1h",
    max_gap: str | timedelta = "1s",
    allow: Iterable[str] = ("thin_market",),
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return the intervals of `start` to `end` in which none of the instruments' data types has a gap, in order.

    min_length: shorter intervals are left out; max_gap: shorter gaps are no matter; both such as `1h`, `90s`, `250ms`.
    allow: causes of gaps that are no matter. What is not judged is not clean, unless `not_judged` is allowed.

    One row is an interval, common to all: `start`, `end` (not included), `seconds`. Raises as `gaps`.
    """
    least, most = to_length(min_length, "min_length"), to_length(max_gap, "max_gap")
    allowed = set(names_of(allow))
    if unknown := sorted(allowed - set(Cause)):
        raise ConfigurationError(f"allow names {unknown[0]!r}. Known causes: {', '.join(Cause)}")
    since, until = to_instant(start), to_instant(end)
    found = gaps(instruments, since, until, data_types=data_types, lake=lake)
    barred = _joined(found.filter(~pl.col("cause").is_in(sorted(allowed))))
    longer = barred.filter(pl.col("end") - pl.col("start") > most).sort("start")
    rows, clean_from = [], since
    for gap_start, gap_end in longer.select("start", "end").iter_rows():
        rows.append((clean_from, gap_start))
        clean_from = max(clean_from, gap_end)
    rows.append((clean_from, until))
    chosen = [(a, b, (b - a).total_seconds()) for a, b in rows if b > a and b - a >= least]
    return pl.DataFrame(chosen, schema=_INTERVAL_SCHEMA, orient="row")


def verifiability(
    instruments: str | Iterable[str],
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return one row for each instrument and day that was compared, sorted by both: by what it can be verified.

    `evidence` is `none` (quotes, snapshots and L2 come from one recording: that they agree proves little), `ids` (trade
    ids rise by one) or `second stream` (the venue's own best prices beside the book). Days that were not compared have
    no row. Arguments and errors are those of `gaps`.
    """
    keys = {to_instrument_key(name) for name in names_of(instruments)}
    since, until = to_instant(start), to_instant(end)
    store = open_to_read(lake)
    days = _days_of(since, until)
    frames = []
    for venue in sorted({parse_instrument_key(key)[0] for key in keys}):
        for day, table in load_agreements(store, venue, days).items():
            own = table.filter(pl.col("comparison") == VERIFIABILITY, pl.col("instrument_key").is_in(sorted(keys)))
            frames.append(own.select("instrument_key", pl.lit(day).alias("day"), pl.col("told").alias("evidence")))
    none = pl.DataFrame(schema={"instrument_key": pl.String(), "day": pl.Date(), "evidence": pl.String()})
    return pl.concat([none, *frames]).sort("instrument_key", "day")


def _days_of(since: datetime, until: datetime) -> list[date]:
    """Return the days of which a part lies between two instants; the second is not included."""
    last = (until - timedelta(microseconds=1)).date()
    return [since.date() + timedelta(days=it) for it in range((last - since.date()).days + 1)]


def _joined(found: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of each series, those that touch (over midnight) as one."""
    series = ["instrument_key", "data_type"]
    is_new = (pl.col("start") > pl.col("end").shift(1).over(series)).fill_null(value=True)
    numbered = found.sort(*series, "start").with_columns(number=is_new.cum_sum())
    return numbered.group_by(*series, "number").agg(pl.col("start").min(), pl.col("end").max())


def to_length(value: str | timedelta, name: str) -> timedelta:
    """Return a length of time; raises ConfigurationError (permanent) for what is none."""
    if isinstance(value, timedelta):
        return value
    match = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(f"{name} is {value!r}; it is a length such as 1h, 5min, 90s or 250ms")
    return timedelta(**{_UNITS[match["unit"]]: float(match["number"])})


@dataclass
class _Question:
    """Which series of which days are asked for, and what the lake says of each."""

    lake: TickLake
    keys: Sequence[str]
    since: datetime
    until: datetime
    data_types: Sequence[DataType] | None
    _days: list[date] = field(init=False)

    def __post_init__(self) -> None:
        self._days = _days_of(self.since, self.until)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the spans of each unit."""
        venues: dict[str, list[str]] = {}
        for key in self.keys:
            venues.setdefault(parse_instrument_key(key)[0], []).append(key)
        for venue, keys in venues.items():
            types = self.data_types or [held for _, held in data_types_with_receipts(self.lake, [venue])]
            chosen = Wanted(frozenset(keys)).chosen_files()
            units = read_units(self.lake, {venue: types}, self._days, chosen)
            if self.data_types is None:
                # a type of which the instruments never had a file is none of theirs; of nothing at all trades tell
                types = [it for it in types if any(_has_file(unit, it, keys) for unit in units.values())]
                types = types or [DataType.TRADES]
            listed = read_listed(self.lake, [(venue, day) for day in self._days], keys)
            asked = [DataTypeDay(venue, data_type, day) for data_type in types for day in self._days]
            ask = partial(self._of_unit, units=units, listed=listed, keys=keys)
            with ThreadPoolExecutor(READERS) as pool:
                yield from pool.map(ask, asked)

    def _of_unit(
        self,
        asked: DataTypeDay,
        units: Mapping[DataTypeDay, IndexedUnit],
        listed: Mapping[tuple[str, date], set[str]],
        keys: Sequence[str],
    ) -> pl.DataFrame:
        unit, day = units.get(asked), (asked.venue, asked.day)
        rows, judged = [], []
        for key in keys:
            if day in listed and key not in listed[day]:
                rows.append(_whole_day(asked, key, Cause.NOT_TRADING, "the venue did not list it that day"))
            elif told := self._why_nothing(unit, key):
                rows.append(_whole_day(asked, key, *told))
            else:
                judged.append(key)
        spans = pl.DataFrame(rows, schema=READ_GAPS_SCHEMA, orient="row")
        if not judged or unit is None:
            return spans
        return pl.concat([spans, self._judged(unit, judged)])

    def _why_nothing(self, unit: IndexedUnit | None, key: str) -> tuple[Cause, str] | None:
        """Return why a whole day lacks: it is not held, or nobody has looked for its gaps."""
        if unit is None:
            return Cause.OURS, NOT_RUN
        cause = cause_of(unit, Wanted(frozenset([key])))
        if cause is None or cause.startswith("in doubt: a rule"):
            if unit.head.judged_gaps is None:
                return (
                    Cause.NOT_JUDGED,
                    f"nobody has looked for gaps: materialise the asset {unit.head.venue}/agreement",
                )
            return None
        if cause.startswith("not offered"):
            return Cause.UNKNOWN, cause
        return Cause.OURS, cause

    def _judged(self, unit: IndexedUnit, keys: Sequence[str]) -> pl.DataFrame:
        judged = unit.head.judged_gaps
        table = load_gaps(self.lake, unit.unit, judged) if judged else pl.DataFrame(schema=GAPS_SCHEMA)
        series = {key: _series_of(unit, key) for key in keys}
        found = [
            table.filter(pl.col("instrument_key").is_in(names)).with_columns(pl.lit(key).alias("instrument_key"))
            for key, names in series.items()
        ]
        remedies = {cause.value: text for cause, text in REMEDIES.items()}
        rows = pl.concat(found).with_columns(
            data_type=pl.lit(unit.head.data_type.value),
            remedy=pl.col("cause").replace_strict(remedies, default=REMEDIES[Cause.UNKNOWN], return_dtype=pl.String()),
        )
        return rows.select(READ_GAPS_SCHEMA.names())


def _series_of(unit: IndexedUnit, key: str) -> list[str]:
    """Return under which keys an instrument is judged: its own, or those of the parts of a group that may hold it."""
    if any(file.instrument_key == key for file in unit.files):
        return [key]
    venue, instrument_type, symbol = parse_instrument_key(key)
    base = symbol.partition("-")[0]
    parts = [item for item in unit.objects if item.instrument_key is None and item.instrument_type == instrument_type]
    return [f"{venue}:{instrument_type}:{item.stem}" for item in parts if base_of_part(item.stem) in {None, base}]


def _whole_day(unit: DataTypeDay, key: str, cause: Cause, evidence: str) -> tuple[object, ...]:
    start = datetime.combine(unit.day, time(), UTC)
    told = (cause.value, evidence, REMEDIES[cause])
    return (key, unit.data_type.value, start, start + _DAY, _DAY.total_seconds(), *told, None, None, None)


def _has_file(unit: IndexedUnit, data_type: DataType, keys: Sequence[str]) -> bool:
    types = {parse_instrument_key(key)[1] for key in keys}
    own = (file.instrument_type in types if file.is_group else file.instrument_key in keys for file in unit.files)
    return unit.head.data_type is data_type and any(own)
