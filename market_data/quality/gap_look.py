"""What the gaps of a venue's day are judged by, read once for all of its data types, and the gaps with their causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

import polars as pl

from market_data.errors import LakeObjectMissing
from market_data.lake.base import TickLake
from market_data.lake.keys import day_of_rhythm, rhythm_key, rhythm_prefix
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.quality.causes import Attributor, Cause, DayFacts, Gap, InstrumentFacts
from market_data.quality.gap_table import GAPS_SCHEMA, JUDGED
from market_data.quality.gaps import BASELINE_DAYS, Edges, find_gaps, usual_silences, visible_from
from market_data.quality.hours import (
    DAY_US,
    HOUR_US,
    RHYTHM_SCHEMA,
    epoch_us,
    midnight_us,
    silences_of,
    with_learned_ids,
)
from market_data.quality.measure import find_lost, measure_rhythm, series_of
from market_data.quality.rhythm_table import load_rhythm, load_rhythms, save_rhythm
from market_data.receipts.receipt import Receipt
from market_data.universe.answers import load_newest_answer
from market_data.universe.table import read_universe
from market_data.vendor.metadata import Incident, read_incidents


def days_with_rhythm(lake: TickLake, unit: DataTypeDay) -> list[date]:
    """Return which of the four weeks before a unit have a rhythm; raises LakeError of any kind."""
    first = DataTypeDay(unit.venue, unit.data_type, _before(unit.day, BASELINE_DAYS))
    found = lake.list_between(rhythm_prefix(unit), rhythm_key(first), rhythm_key(unit))
    return [day for stat in found if (day := day_of_rhythm(stat.key)) is not None]


def _before(day: date, days: int) -> date:
    return day - min(timedelta(days=days), day - date.min)


class GapLook:
    """What is looked at for a venue's day: each data type's rhythm, those of the days before, the vendor's word."""

    def __init__(self, lake: TickLake, venue: str, day: date, receipts: Mapping[DataType, Receipt]) -> None:
        self._lake = lake
        self._day = day
        self._receipts = receipts
        self._rhythm = {data_type: _rhythm_of(lake, receipt) for data_type, receipt in receipts.items()}
        self._before: dict[DataType, pl.DataFrame] = {}
        for data_type, receipt in receipts.items():
            days = days_with_rhythm(lake, receipt.unit)
            self._before[data_type] = load_rhythms(lake, [DataTypeDay(venue, data_type, it) for it in days])
        self._rhythm = {kind: with_learned_ids(frame, self._before[kind]) for kind, frame in self._rhythm.items()}
        self.days_before = {data_type: frame["day"].n_unique() for data_type, frame in self._before.items()}
        self._usual = {
            data_type: usual_silences(frame, self._before[data_type], day) for data_type, frame in self._rhythm.items()
        }
        self._visible = {
            data_type: visible_from(frame, self._usual[data_type]) for data_type, frame in self._rhythm.items()
        }
        self._edges = {data_type: _edges_of(lake, receipt.unit) for data_type, receipt in receipts.items()}
        self._facts = DayFacts(
            venue=venue,
            midnight_us=midnight_us(day),
            instruments={},
            silences={data_type: silences_of(frame) for data_type, frame in self._rhythm.items()},
            visible=self._visible,
            incidents=_incidents(lake, venue),
        )
        self._expiries = _expiries(lake, venue, day)

    def gaps_of(self, data_type: DataType) -> pl.DataFrame:
        """Return the gaps of a data type with their causes, and who is not judged, as `GAPS_SCHEMA`."""
        rhythm = self._rhythm[data_type]
        facts = self._facts_of(self._receipts[data_type], rhythm)
        cuts = {
            key: [epoch_us(it) for it in (own.trades_from, own.trades_until) if it is not None]
            for key, own in facts.instruments.items()
        }
        edges = replace(self._edges[data_type], cuts={key: at for key, at in cuts.items() if at})
        found = find_gaps(rhythm, self._usual[data_type], self._day, edges)
        attributor = Attributor(facts, data_type)
        told = [attributor.attribute(Gap(*row[:6])) for row in found.iter_rows()]
        gaps = found.with_columns(
            start=_instant("start_us"),
            end=_instant("end_us"),
            seconds=(pl.col("end_us") - pl.col("start_us")) / 1e6,
            cause=pl.Series([item.cause.value for item in told], dtype=pl.String()),
            evidence=pl.Series([item.evidence for item in told], dtype=pl.String()),
            hour=((pl.col("start_us") + pl.col("end_us")) // 2 - midnight_us(self._day)) // HOUR_US,
        )
        visible = self._visible[data_type].drop("basis").with_columns(pl.col("hour").cast(pl.Int64))
        gaps = gaps.join(visible, on=["instrument_key", "hour"], how="left").drop("hour")
        rows = [
            gaps.select(GAPS_SCHEMA.names()),
            self._ours_besides(facts, gaps),
            self._not_judged(data_type),
            self._waived(data_type),
        ]
        return pl.concat(rows).sort("instrument_key", "start", "cause")

    def _facts_of(self, receipt: Receipt, rhythm: pl.DataFrame) -> DayFacts:
        lost = find_lost(self._lake, receipt, rhythm)
        files = {file.vendor_symbol: file for file in receipt.files}
        keys = {series_of(item, receipt.unit): files[item.vendor_symbol] for item in receipt.objects}
        keys |= {file.instrument_key: file for file in receipt.files if file.instrument_key}
        instruments = {
            key: InstrumentFacts(
                lost=lost[key].told if key in lost else None,
                lost_spans=lost[key].spans if key in lost else (),
                is_first_day=file.is_first_day,
                is_last_day=file.is_last_day,
                trades_until=self._expiries.get(key),
            )
            for key, file in keys.items()
        }
        return replace(self._facts, instruments=instruments)

    def _ours_besides(self, facts: DayFacts, gaps: pl.DataFrame) -> pl.DataFrame:
        """Return the spans that lack rows of the vendor's, however short: they are no matter of probability."""
        known = set(gaps.select("instrument_key", "start_us", "end_us").iter_rows())
        rows = [
            {"instrument_key": key, "start_us": start, "end_us": end, "evidence": it.lost}
            for key, it in facts.instruments.items()
            for start, end in it.lost_spans
            if (key, start, end) not in known
        ]
        frame = pl.DataFrame(
            rows,
            schema={
                "instrument_key": pl.String(),
                "start_us": pl.Int64(),
                "end_us": pl.Int64(),
                "evidence": pl.String(),
            },
        )
        return _as_gaps(
            frame.with_columns(
                start=_instant("start_us"),
                end=_instant("end_us"),
                seconds=(pl.col("end_us") - pl.col("start_us")) / 1e6,
            ),
            Cause.OURS.value,
        )

    def visible_of(self, data_type: DataType) -> pl.DataFrame:
        """Return one row for each series: from how long on its silences are seen in the quietest hour that is judged.

        As `GAPS_SCHEMA`; `visible_from_seconds` is null where no hour is judged.
        """
        quietest = (
            self._visible[data_type]
            .group_by("instrument_key")
            .agg(pl.col("visible_from_seconds").max(), pl.col("basis").drop_nulls().first())
        )
        waived = self._waived(data_type).select("instrument_key")
        return _as_gaps(pl.concat([quietest, waived], how="diagonal"), JUDGED).sort("instrument_key")

    def _waived(self, data_type: DataType) -> pl.DataFrame:
        """Return the whole day of each instrument whose file a person has decided to do without."""
        start = midnight_us(self._day)
        rows = [
            {"instrument_key": file.instrument_key, "evidence": f"its file is waived: {file.error}"}
            for file in self._receipts[data_type].files
            if file.outcome is Outcome.WAIVED and file.instrument_key is not None
        ]
        frame = pl.DataFrame(rows, schema={"instrument_key": pl.String(), "evidence": pl.String()})
        day = {"start": start, "end": start + DAY_US}
        edges = {name: pl.lit(value).cast(pl.Datetime("us", "UTC")) for name, value in day.items()}
        return _as_gaps(frame.with_columns(**edges, seconds=pl.lit(DAY_US / 1e6)), Cause.UNKNOWN.value)

    def _not_judged(self, data_type: DataType) -> pl.DataFrame:
        """Return the hours of each instrument in which nothing can be told, those that follow each other as one."""
        start = midnight_us(self._day)
        hours = self._visible[data_type].with_columns(is_quiet=pl.col("visible_from_seconds").is_null())
        number = pl.col("is_quiet").rle_id().over("instrument_key")
        runs = (
            hours.with_columns(number=number)
            .filter("is_quiet")
            .group_by("instrument_key", "number")
            .agg(pl.col("hour").min().cast(pl.Int64).alias("first"), pl.len().cast(pl.Int64).alias("hours"))
        )
        rows = self._rhythm[data_type].group_by("instrument_key").agg(pl.col("rows").sum())
        quiet = runs.join(rows, on="instrument_key")
        why = pl.format("{} rows that day: too few in these hours to tell a gap from a quiet market", pl.col("rows"))
        since = pl.lit(start) + pl.col("first") * HOUR_US
        return _as_gaps(
            quiet.with_columns(
                start=since.cast(pl.Datetime("us", "UTC")),
                end=(since + pl.col("hours") * HOUR_US).cast(pl.Datetime("us", "UTC")),
                seconds=pl.col("hours") * HOUR_US / 1e6,
                evidence=why,
            ),
            Cause.NOT_JUDGED.value,
        )


def _as_gaps(frame: pl.DataFrame, cause: str) -> pl.DataFrame:
    missing = [name for name in GAPS_SCHEMA if name not in frame.columns]
    nothing = [pl.lit(None, dtype=GAPS_SCHEMA[name]).alias(name) for name in missing]
    whole = frame.with_columns(nothing).with_columns(pl.lit(cause).alias("cause"))
    return whole.select(GAPS_SCHEMA.names()).cast(GAPS_SCHEMA)


def _instant(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us", "UTC"))


def _rhythm_of(lake: TickLake, receipt: Receipt) -> pl.DataFrame:
    assert receipt.committed_at is not None  # noqa: S101  what is whole was committed
    kept = load_rhythm(lake, receipt.unit, receipt.committed_at)
    if kept is not None:
        return kept
    measured = measure_rhythm(lake, receipt)
    save_rhythm(lake, receipt.unit, receipt.committed_at, measured)
    return measured


def _edges_of(lake: TickLake, unit: DataTypeDay) -> Edges:
    """Return for how long instruments were silent at both midnights, where the days beside are held and measured."""
    start = midnight_us(unit.day)
    end = start + DAY_US
    before = _silences_on(lake, unit, -1).filter(pl.col("end_us") == start)
    after = _silences_on(lake, unit, 1).filter(pl.col("start_us") == end)
    return Edges(
        silent_before={key: start - since for key, since in before.select("instrument_key", "start_us").iter_rows()},
        silent_after={key: until - end for key, until in after.select("instrument_key", "end_us").iter_rows()},
    )


def _silences_on(lake: TickLake, unit: DataTypeDay, days_later: int) -> pl.DataFrame:
    is_held = date.min < unit.day < date.max
    day = unit.day + timedelta(days=days_later) if is_held else unit.day
    rhythm = load_rhythm(lake, DataTypeDay(unit.venue, unit.data_type, day), None) if is_held else None
    return silences_of(pl.DataFrame(schema=RHYTHM_SCHEMA) if rhythm is None else rhythm)


def _incidents(lake: TickLake, venue: str) -> tuple[Incident, ...]:
    answer = load_newest_answer(lake, venue)
    return read_incidents(answer.exchange) if answer else ()


def _expiries(lake: TickLake, venue: str, day: date) -> dict[str, datetime]:
    try:
        universe = read_universe(lake, venue, day, ("instrument_key", "expiry"))
    except LakeObjectMissing:
        return {}
    return dict(universe.drop_nulls().iter_rows())
