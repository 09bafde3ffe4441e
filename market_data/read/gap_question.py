"""What a lake says of the silences of some instruments' days: their spans with causes, and how short ones it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import partial

import polars as pl

from market_data.index.store import read_units
from market_data.index.unit import IndexedUnit
from market_data.lake.base import READERS, TickLake
from market_data.model.data_types import DataType
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome, base_of_part
from market_data.quality.causes import REMEDIES, Cause
from market_data.quality.gap_table import GAPS_SCHEMA, JUDGED, load_judged
from market_data.read.completeness import NOT_REQUESTED, NOT_RUN, Wanted, cause_of
from market_data.read.universes import read_listed, read_listed_keys
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
VISIBLE_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "data_type": pl.String(),
        "day": pl.Date(),
        "visible_from_seconds": pl.Float64(),
    }
)
_NOT_LISTED = "the venue did not list it that day"
_RUN_IT = "run the day, if the venues file asks for it: `market-data backfill`"
_ASK_FOR_IT = "ask for it in the venues file, and run the day again"
_MEND_IT = (
    "run the day again: `market-data backfill`; what the vendor does not give or spoils stays open until it is mended, "
    "or waived in the venues file (`market-data status` says more)"
)


def days_of(since: datetime, until: datetime) -> list[date]:
    """Return the days of which a part lies between two instants; the second is not included."""
    last = (until - timedelta(microseconds=1)).date()
    return [since.date() + timedelta(days=it) for it in range((last - since.date()).days + 1)]


@dataclass
class GapQuestion:
    """Which series of which days are asked for, and what the lake says of each.

    `unknown` are, once spans were asked for, those that were listed on none of the days, with what comes near.
    """

    lake: TickLake
    keys: Sequence[str]
    since: datetime
    until: datetime
    data_types: Sequence[DataType] | None
    unknown: list[str] = field(default_factory=list)
    _days: list[date] = field(init=False)
    _looked_at: list[tuple[str, str, date, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._days = days_of(self.since, self.until)

    def spans(self) -> pl.DataFrame:
        """Return the spans of all units as `READ_GAPS_SCHEMA`, whole: they may reach out of what is asked for."""
        return pl.concat([pl.DataFrame(schema=READ_GAPS_SCHEMA), *self._frames()])

    def visible(self) -> pl.DataFrame:
        """Return, once spans were asked for, from how long on silences are seen, sorted by series and day."""
        return pl.DataFrame(self._looked_at, schema=VISIBLE_SCHEMA, orient="row").sort(VISIBLE_SCHEMA.names()[:3])

    def describe_unknown(self) -> str | None:
        """Return, once spans were asked for, the words for instruments that no day lists; None where there are none."""
        return f"listed on none of these days: {'; '.join(self.unknown)}" if self.unknown else None

    def _frames(self) -> Iterator[pl.DataFrame]:
        """Yield the spans of each unit."""
        venues: dict[str, list[str]] = {}
        for key in self.keys:
            venues.setdefault(parse_instrument_key(key)[0], []).append(key)
        for venue, keys in venues.items():
            types = (
                self.data_types
                if self.data_types is not None
                else [held for _, held in data_types_with_receipts(self.lake, [venue])]
            )
            chosen = Wanted(frozenset(keys)).chosen_files()
            units = read_units(self.lake, {venue: types}, self._days, chosen)
            if self.data_types is None:
                # a type of which the instruments never had a file is none of theirs; of nothing at all trades tell
                types = [it for it in types if any(_has_file(unit, it, keys) for unit in units.values())]
                types = types or [DataType.TRADES]
            listed = read_listed(self.lake, [(venue, day) for day in self._days], keys)
            self._note_unknown(venue, keys, listed, units)
            asked = [DataTypeDay(venue, data_type, day) for data_type in types for day in self._days]
            ask = partial(self._of_unit, units=units, listed=listed, keys=keys)
            with ThreadPoolExecutor(READERS) as pool:
                yield from pool.map(ask, asked)

    def _note_unknown(
        self,
        venue: str,
        keys: Sequence[str],
        listed: Mapping[tuple[str, date], set[str]],
        units: Mapping[DataTypeDay, IndexedUnit],
    ) -> None:
        known = set[str]().union(
            *listed.values(), *({file.instrument_key for file in it.files} for it in units.values())
        )
        unknown = [key for key in keys if key not in known]
        if unknown and listed:  # of days whose universe is not held nothing is known
            every = read_listed_keys(self.lake, venue, max(day for _, day in listed))
            for key in unknown:
                near = ", ".join(get_close_matches(key, every, 3, 0.6)) or "nothing"
                self.unknown.append(f"{key} (near: {near})")

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
                rows.append(_whole_day(asked, key, Cause.NOT_TRADING, _NOT_LISTED, REMEDIES[Cause.NOT_TRADING]))
            elif told := self._why_nothing(unit, key):
                rows.append(_whole_day(asked, key, *told))
            else:
                judged.append(key)
        spans = pl.DataFrame(rows, schema=READ_GAPS_SCHEMA, orient="row")
        if not judged or unit is None:
            return spans
        return pl.concat([spans, self._judged(unit, judged)])

    def _why_nothing(self, unit: IndexedUnit | None, key: str) -> tuple[Cause, str, str] | None:
        """Return why a whole day lacks, and what to do: it is not held, or nobody has looked for its gaps."""
        if unit is None:
            return Cause.OURS, NOT_RUN, _RUN_IT
        cause = cause_of(unit, Wanted(frozenset([key])))
        if cause is None or cause.startswith("in doubt: a rule"):
            if unit.head.judged_gaps is None:
                return Cause.NOT_JUDGED, "nobody has looked for gaps", "run the job `recheck` of that day"
            return None
        if cause.startswith("not offered"):
            return Cause.UNKNOWN, cause, REMEDIES[Cause.UNKNOWN]
        own = next((file for file in unit.files if file.instrument_key == key), None)
        # of what the vendor sends that is no file that can be held, the fault is not ours
        is_theirs = own is not None and own.outcome is Outcome.FAILED
        remedy = _ASK_FOR_IT if cause.startswith(NOT_REQUESTED) else _MEND_IT
        return Cause.UNKNOWN if is_theirs else Cause.OURS, cause, remedy

    def _judged(self, unit: IndexedUnit, keys: Sequence[str]) -> pl.DataFrame:
        judged = unit.head.judged_gaps
        table = load_judged(self.lake, unit.unit, judged) if judged else pl.DataFrame(schema=GAPS_SCHEMA)
        is_look = pl.col("cause") == JUDGED
        found = []
        for key in keys:
            names = _series_of(unit, key)
            own = table.filter(pl.col("instrument_key").is_in(names))
            found.append(own.filter(~is_look).with_columns(pl.lit(key).alias("instrument_key")))
            is_alone = names == [key]
            seen = own.filter(is_look)["visible_from_seconds"].max() if is_alone else None
            self._looked_at.append((key, unit.head.data_type.value, unit.head.day, seen))  # type: ignore[arg-type]
            if not is_alone:
                found.append(_in_a_group(unit.unit, key))
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


def _in_a_group(unit: DataTypeDay, key: str) -> pl.DataFrame:
    start, end = _edges_of(unit.day)
    told = {
        "instrument_key": key,
        "start": start,
        "end": end,
        "seconds": _DAY.total_seconds(),
        "cause": Cause.NOT_JUDGED.value,
        "evidence": "it lies in a grouped file, which is judged as a whole: its own silences are not",
    }
    return pl.DataFrame([dict.fromkeys(GAPS_SCHEMA) | told], schema=GAPS_SCHEMA)


def _edges_of(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + _DAY if day < date.max else datetime.max.replace(tzinfo=UTC)


def _whole_day(unit: DataTypeDay, key: str, cause: Cause, evidence: str, remedy: str) -> tuple[object, ...]:
    told = (cause.value, evidence, remedy)
    return (key, unit.data_type.value, *_edges_of(unit.day), _DAY.total_seconds(), *told, None, None, None)


def _has_file(unit: IndexedUnit, data_type: DataType, keys: Sequence[str]) -> bool:
    types = {parse_instrument_key(key)[1] for key in keys}
    own = (file.instrument_type in types if file.is_group else file.instrument_key in keys for file in unit.files)
    return unit.head.data_type is data_type and any(own)
