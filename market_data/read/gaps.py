"""The use case: for which spans the lake has no rows, why, and which intervals are free of gaps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.store import read_heads
from market_data.index.unit import UnitHead
from market_data.lake.base import TickLake
from market_data.model.data_types import parse_data_type
from market_data.model.instruments import parse_instrument_key
from market_data.quality.agreement_table import (
    VERIFIABILITY,
    basis_of_agreement,
    load_agreements_with_bases,
)
from market_data.quality.causes import Cause
from market_data.read.arguments import names_of, to_instant, to_instrument_key
from market_data.read.gap_question import GapQuestion, days_of
from market_data.read.opening import open_to_read
from market_data.read.scan import NothingMatchesWarning
from market_data.receipts.store import data_types_with_receipts

_INTERVAL_SCHEMA = pl.Schema(
    {
        "start": pl.Datetime("us", "UTC"),
        "end": pl.Datetime("us", "UTC"),
        "seconds": pl.Float64(),
        "visible_from_seconds": pl.Float64(),
    }
)
_VISIBLE = "visible_from_seconds"
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
    nothing can be said of that span, which is not to be taken for free of gaps; so it is of the days of an instrument
    that lies in a grouped file, beside the gaps of the whole group. `visible_from_seconds`: shorter silences of this
    instrument are not told from usual ones at that hour. A day that is not held is one span, and ours. An empty list of
    instruments or data types takes nothing; an instrument that no day lists is warned of (NothingMatchesWarning).

    Raises ConfigurationError (permanent) for an argument that cannot be meant, LakeUnavailable (transient), LakeError.
    """
    question = ask_for_gaps(instruments, data_types, to_instant(start), to_instant(end), lake)
    found = gaps_of(question)
    _warn_of_unknown(question)
    return found


def gaps_of(question: GapQuestion) -> pl.DataFrame:
    """Return what `gaps` returns; whoever asks may have more to ask of the question."""
    since, until = question.since, question.until
    clipped = (
        question.spans()
        .filter(pl.col("start") < until, pl.col("end") > since)
        .with_columns(pl.col("start").clip(lower_bound=since), pl.col("end").clip(upper_bound=until))
    )
    seconds = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6
    return clipped.with_columns(seconds=seconds).sort("instrument_key", "data_type", "start")


def ask_for_gaps(
    instruments: str | Iterable[str],
    data_types: str | Iterable[str] | None,
    since: datetime,
    until: datetime,
    lake: str | TickLake | None,
) -> GapQuestion:
    """Return the question, understood; raises ConfigurationError (permanent) for an argument that cannot be meant."""
    keys = sorted({to_instrument_key(name) for name in names_of(instruments)})
    if since >= until:
        raise ConfigurationError(f"start {since} is not before end {until}")
    wanted = None if data_types is None else [parse_data_type(name) for name in names_of(data_types)]
    return GapQuestion(open_to_read(lake), keys, since, until, wanted)


def _warn_of_unknown(question: GapQuestion) -> None:
    if told := question.describe_unknown():
        warnings.warn(told, NothingMatchesWarning, stacklevel=3)


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

    One row is an interval, common to all: `start`, `end` (not included), `seconds`, and `visible_from_seconds`: shorter
    silences of some of these instruments cannot be told from usual ones on its days (null: of none it is known),
    however short a `max_gap` is asked for. Raises as `gaps`, and ConfigurationError for no instrument or no data type.
    """
    least, most = to_length(min_length, "min_length"), to_length(max_gap, "max_gap")
    allowed = set(names_of(allow))
    if unknown := sorted(allowed - set(Cause)):
        raise ConfigurationError(f"allow names {unknown[0]!r}. Known causes: {', '.join(Cause)}")
    if not names_of(instruments) or not names_of(data_types):
        raise ConfigurationError("name at least one instrument and one data type: of nothing no interval is clean")
    since, until = to_instant(start), to_instant(end)
    question = ask_for_gaps(instruments, data_types, since, until, lake)
    # whole spans: how long a gap is does not depend on where the question begins or ends
    barred = _joined(question.spans().filter(~pl.col("cause").is_in(sorted(allowed))))
    _warn_of_unknown(question)
    longer = barred.filter(pl.col("end") - pl.col("start") > most, pl.col("start") < until, pl.col("end") > since)
    rows, clean_from = [], since
    for gap_start, gap_end in longer.sort("start").select("start", "end").iter_rows():
        rows.append((clean_from, gap_start))
        clean_from = max(clean_from, gap_end)
    rows.append((clean_from, until))
    visible = question.visible()
    chosen = [
        (a, b, (b - a).total_seconds(), visible.filter(pl.col("day").is_in(days_of(a, b)))[_VISIBLE].max())
        for a, b in rows
        if b > a and b - a >= least
    ]
    return pl.DataFrame(chosen, schema=_INTERVAL_SCHEMA, orient="row")


def visible_from(
    instruments: str | Iterable[str],
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    data_types: str | Iterable[str] | None = None,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return one row for each instrument, data type and day that was judged, sorted by them: how short gaps it can see.

    `visible_from_seconds` is that of the quietest hour that is judged: shorter silences are not told from usual ones;
    null where no hour is (too few rows, or in a grouped file). Arguments and errors are those of `gaps`.
    """
    question = ask_for_gaps(instruments, data_types, to_instant(start), to_instant(end), lake)
    question.spans()
    return question.visible()


def verifiability(
    instruments: str | Iterable[str],
    start: str | date | datetime,
    end: str | date | datetime,
    *,
    lake: str | TickLake | None = None,
) -> pl.DataFrame:
    """Return one row for each instrument and day that was compared, sorted by both: by what it can be verified.

    `evidence` is `none` (quotes, snapshots and L2 come from one recording: that they agree proves little), `ids` (trade
    ids rise by one) or `second stream` (the venue's own best prices beside the book). Days that were not compared
    since they were published have no row. Arguments and errors are those of `gaps`.
    """
    keys = {to_instrument_key(name) for name in names_of(instruments)}
    since, until = to_instant(start), to_instant(end)
    store = open_to_read(lake)
    days = days_of(since, until)
    frames = []
    for venue in sorted({parse_instrument_key(key)[0] for key in keys}):
        for day, table in _agreements_in_force(store, venue, days).items():
            own = table.filter(pl.col("comparison") == VERIFIABILITY, pl.col("instrument_key").is_in(sorted(keys)))
            frames.append(own.select("instrument_key", pl.lit(day).alias("day"), pl.col("told").alias("evidence")))
    none = pl.DataFrame(schema={"instrument_key": pl.String(), "day": pl.Date(), "evidence": pl.String()})
    return pl.concat([none, *frames]).sort("instrument_key", "day")


def _agreements_in_force(lake: TickLake, venue: str, days: Sequence[date]) -> dict[date, pl.DataFrame]:
    """Return the tables of days, those that are of what is published now."""
    tables = load_agreements_with_bases(lake, venue, days)
    if not tables:
        return {}
    types = [held for _, held in data_types_with_receipts(lake, [venue])]
    heads: dict[date, list[UnitHead]] = {day: [] for day in tables}
    for unit, head in read_heads(lake, {venue: types}, list(tables)).items():
        heads[unit.day].append(head)
    return {
        day: table
        for day, (table, basis) in tables.items()
        if basis in {basis_of_agreement(heads[day], has_day_before=it) for it in (False, True)}
    }


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
    try:
        return timedelta(**{_UNITS[match["unit"]]: float(match["number"])})
    except OverflowError as error:
        raise ConfigurationError(f"{name} is {value!r}: longer than all days that there are") from error
