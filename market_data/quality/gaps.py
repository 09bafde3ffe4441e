"""Which silences of a day are gaps: improbable for that instrument, at that hour, in a venue as active as it was. Pure.

The model. How long an instrument's longest silence of an hour usually is, is taken from the first of these that has
enough hours: the same hour of the week and its neighbours over the four weeks before; the same hour of every day of
these weeks; as a cold start, all hours of the day itself. Its logarithm has a median and a spread (1.4826 times the
median absolute deviation, never less than that of arrivals at random; of one day alone never less than its quiet hours
differ from the median one, so that nights are no gaps). A silence is measured in such usual silences,
hour by hour of those that it covers, each scaled by how active the venue was. The robust z of that number is its score;
from `GAP_SCORE` on, and where `_FEWEST_EXPECTED` rows or more are missing, it is a gap. A jump of contiguous ids is one
however short: it is no matter of probability. Hours so quiet that more of them without rows would be no gap are *not
judged*: they are never called free of gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import polars as pl

from market_data.quality.hours import DAY_US, HOUR_US, HOURS, midnight_us, silences_of

BASELINE_DAYS = 28
GAP_SCORE = 5.0
_LEAST_SPREAD = 0.22
_MAD_TO_SPREAD = 1.4826
# Of one day alone the quiet hours tell how much its rhythm changes, where they are more than a few.
_TAIL, _TAIL_TO_SPREAD = 0.85, 1.0364
_FEWEST_EXPECTED = 10.0
# Three weeks of an hour and its two neighbours; three days of them.
_FEWEST_SAMPLES = 9
_FEWEST_HOURS_OF_DAY = 8
_LEAST_HEARD = 0.2
_LEAST_ACTIVITY, _MOST_ACTIVITY = 0.25, 4.0
_FEWEST_TO_TELL_ACTIVITY = 3
# Who would not be missed for so long is not judged.
_LONGEST_VISIBLE_SECONDS = 6 * 3600

BY_WEEK, BY_DAYS, BY_DAY = "28 days, hour of the week", "28 days, hour of the day", "this day alone"
BY_IDS = "ids alone"
_KEYS = ["instrument_key", "hour"]
# One row for each gap, sorted by instrument and start. `score` is the robust z; `expected_rows` how many rows usually
# come in such a span; `basis` what that is known from.
FOUND_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "start_us": pl.Int64(),
        "end_us": pl.Int64(),
        "ids_missing": pl.Int64(),
        "expected_rows": pl.Float64(),
        "score": pl.Float64(),
        "basis": pl.String(),
    }
)
# One row for each instrument and hour: logarithm of the usual longest silence (us), its spread, usual rows, activity.
_USUAL = ["instrument_key", "hour", "middle", "spread", "usual_rows", "activity", "basis"]


@dataclass(frozen=True, slots=True)
class Edges:
    """What is known besides a day's silences, by instrument key.

    `cuts`: instants (us) at which it began or ended to trade; what lies before and after is judged for itself.
    `silent_before`, `silent_after`: for how long (us) it was silent up to midnight, and from the next one on.
    """

    cuts: Mapping[str, Collection[int]] = field(default_factory=dict)
    silent_before: Mapping[str, int] = field(default_factory=dict)
    silent_after: Mapping[str, int] = field(default_factory=dict)


def find_gaps(rhythm: pl.DataFrame, usual: pl.DataFrame, day: date, edges: Edges | None = None) -> pl.DataFrame:
    """Return the gaps of a day as `FOUND_SCHEMA`, by what is usual (`usual_silences`).

    A silence over midnight is as improbable as the whole of it; its part of this day is returned.
    """
    start_us, edges = midnight_us(day), edges or Edges()
    silences = _beyond(_cut(silences_of(rhythm), edges.cuts), edges, start_us)
    first, last = ((pl.col(name) - start_us) // HOUR_US for name in ("start_us", "until"))
    covered = (
        silences.with_columns(until=pl.col("end_us") - 1)
        .with_columns(hour=pl.int_ranges(first.clip(0, HOURS - 1), last.clip(0, HOURS - 1) + 1))
        .explode("hour")
        .with_columns(pl.col("hour").cast(pl.Int8))
        .join(usual, on=_KEYS, how="left")
    )
    hour_start = start_us + pl.col("hour").cast(pl.Int64) * HOUR_US
    overlap = pl.min_horizontal("end_us", hour_start + HOUR_US) - pl.max_horizontal("start_us", hour_start)
    activity = pl.col("activity")  # of who is not known nothing is to be expected
    is_first, is_last = pl.col("hour") == 0, pl.col("hour") == HOURS - 1
    beyond = pl.when(is_first).then("before_us").otherwise(0) + pl.when(is_last).then("after_us").otherwise(0)
    expected = pl.col("usual_rows") / HOUR_US * activity
    scored = (
        covered.with_columns(
            times=(overlap + beyond) * activity / pl.col("middle").exp(),
            expected=overlap * expected,
            expected_in_all=(overlap + beyond) * expected,
        )
        .group_by("instrument_key", "start_us", "end_us")
        .agg(
            pl.col("ids_missing").first(),
            pl.col("expected").sum().alias("expected_rows"),
            pl.col("expected_in_all").sum(),
            (pl.col("times").sum().log() / pl.col("spread").mean()).fill_null(0.0).clip(0.0).alias("score"),
            pl.col("basis").first().fill_null(BY_IDS),
        )
    )
    is_improbable = (pl.col("score") >= GAP_SCORE) & (pl.col("expected_in_all") >= _FEWEST_EXPECTED)
    gaps = scored.filter(is_improbable | (pl.col("ids_missing") > 0))
    return gaps.select(FOUND_SCHEMA.names()).cast(FOUND_SCHEMA).sort("instrument_key", "start_us")


def _beyond(silences: pl.DataFrame, edges: Edges, start_us: int) -> pl.DataFrame:
    """Add for how long each silence had begun before the day, and goes on after it."""
    key = pl.col("instrument_key")

    def of(known: Mapping[str, int], is_at_edge: pl.Expr) -> pl.Expr:
        told = key.replace_strict(dict(known), default=0, return_dtype=pl.Int64()) if known else pl.lit(0, pl.Int64())
        return pl.when(is_at_edge).then(told).otherwise(0)

    return silences.with_columns(
        before_us=of(edges.silent_before, pl.col("start_us") == start_us),
        after_us=of(edges.silent_after, pl.col("end_us") == start_us + DAY_US),
    )


def _cut(silences: pl.DataFrame, cuts: Mapping[str, Collection[int]]) -> pl.DataFrame:
    if not cuts:
        return silences
    rows = []
    for key, start_us, end_us, ids in silences.iter_rows():
        inside = sorted({at for at in cuts.get(key, ()) if start_us < at < end_us})
        edges = [start_us, *inside, end_us]
        rows += [(key, a, b, ids if a == start_us else None) for a, b in pairwise(edges)]
    return pl.DataFrame(rows, schema=silences.schema, orient="row")


def visible_from(rhythm: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each instrument and hour, sorted: how long a silence must be then to be seen as a gap.

    `visible_from_seconds` is null where there is nothing to judge by, or where it would be hours; in all hours of an
    instrument of which it is so in most.
    """
    by_score = (pl.col("middle") + GAP_SCORE * pl.col("spread")).exp() / pl.col("activity") / 1e6
    by_rows = 3600 * _FEWEST_EXPECTED / (pl.col("usual_rows") * pl.col("activity"))
    seconds = pl.max_horizontal(by_score, by_rows)
    is_seen = seconds <= _LONGEST_VISIBLE_SECONDS
    known = usual.select(*_KEYS, "basis", pl.when(is_seen).then(seconds).alias("visible_from_seconds"))
    hours = rhythm.select(_KEYS).unique().join(known, on=_KEYS, how="left")
    is_judged = pl.col("visible_from_seconds").count().over("instrument_key") * 2 > HOURS
    return hours.with_columns(pl.when(is_judged).then("visible_from_seconds")).sort(_KEYS)


def usual_silences(rhythm: pl.DataFrame, before: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return what is usual for each instrument and hour of the day; those with no basis are left out.

    `before` is the rhythm of the days before, with `day`.
    """
    weekly = before.filter(pl.col("day").dt.weekday() == day.isoweekday())
    frames = [
        _usual_of(_with_neighbours(weekly), _activity(rhythm, weekly), BY_WEEK),
        _usual_of(_with_neighbours(before), _activity(rhythm, before), BY_DAYS),
        _usual_of(_every_hour(rhythm), _activity_in_day(rhythm), BY_DAY),
    ]
    order = {BY_WEEK: 0, BY_DAYS: 1, BY_DAY: 2}
    ranked = pl.concat(frames).with_columns(rank=pl.col("basis").replace_strict(order, return_dtype=pl.Int8))
    own = rhythm.select("instrument_key").unique()
    return ranked.join(own, on="instrument_key", how="semi").sort("rank").unique(_KEYS, keep="first").select(_USUAL)


def _with_neighbours(before: pl.DataFrame) -> pl.DataFrame:
    """Return each hour's samples: its own, and those of the hours beside it."""
    samples = before.select("instrument_key", "hour", "rows", "longest_us")
    shifted = [samples.with_columns(hour=((pl.col("hour") + by) % HOURS).cast(pl.Int8)) for by in (-1, 0, 1)]
    return pl.concat(shifted)


def _every_hour(rhythm: pl.DataFrame) -> pl.DataFrame:
    """Return, for each hour, the samples of all hours of the day, of instruments that were active in enough of them."""
    is_active = (pl.col("rows") > 0).sum().over("instrument_key") >= _FEWEST_HOURS_OF_DAY
    # an hour without rows is no sample of how they come, and what changes over the day cannot be told by one day
    samples = rhythm.filter(is_active, pl.col("rows") > 0).select("instrument_key", "rows", "longest_us")
    hours = pl.DataFrame({"hour": list(range(HOURS))}, schema={"hour": pl.Int8()})
    return samples.join(hours, how="cross").select("instrument_key", "hour", "rows", "longest_us")


def _usual_of(samples: pl.DataFrame, activity: pl.DataFrame, basis: str) -> pl.DataFrame:
    logarithm = pl.col("longest_us").cast(pl.Float64).log()
    middle = pl.col("logarithm").median()
    spread = (pl.col("logarithm") - middle).abs().median() * _MAD_TO_SPREAD
    tail = (pl.col("logarithm").quantile(_TAIL, "linear") - middle) / _TAIL_TO_SPREAD
    return (
        samples.with_columns(logarithm=logarithm)
        .group_by(_KEYS)
        .agg(
            pl.len().alias("samples"),
            pl.col("logarithm").median().alias("middle"),
            pl.max_horizontal(spread, tail if basis == BY_DAY else spread).clip(_LEAST_SPREAD).alias("spread"),
            pl.col("rows").cast(pl.Float64).median().alias("usual_rows"),
        )
        .filter(pl.col("samples") >= _FEWEST_SAMPLES)
        .join(activity, on="hour", how="left")
        .with_columns(pl.col("activity").fill_null(1.0), pl.lit(basis).alias("basis"))
        .select(_USUAL)
    )


def _totals(rhythm: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Return the rows of all instruments in each hour, as if what all were silent for had been as the rest of it."""
    heard = 1 - pl.col("longest_us").min().clip(upper_bound=HOUR_US) / HOUR_US
    totals = rhythm.group_by(*keys).agg(pl.col("rows").sum().alias("rows"), heard.alias("heard"))
    # of an hour in which hardly anything was heard nothing can be told: an outage must not explain itself
    told = totals.filter(pl.col("heard") >= _LEAST_HEARD)
    return told.select(*keys, (pl.col("rows") / pl.col("heard")).alias("total"))


def _activity(rhythm: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    usual = _totals(before, "day", "hour").group_by("hour").agg(pl.col("total").median().alias("usual"))
    return _ratio(rhythm, _totals(rhythm, "hour").join(usual, on="hour"))


def _activity_in_day(rhythm: pl.DataFrame) -> pl.DataFrame:
    return _ratio(rhythm, _totals(rhythm, "hour").with_columns(usual=pl.col("total").median()))


def _ratio(rhythm: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """Return the activity of each hour; none where too few instruments tell."""
    if rhythm["instrument_key"].n_unique() < _FEWEST_TO_TELL_ACTIVITY:
        return pl.DataFrame(schema={"hour": pl.Int8(), "activity": pl.Float64()})
    ratio = (pl.col("total") / pl.col("usual")).clip(_LEAST_ACTIVITY, _MOST_ACTIVITY)
    return totals.filter(pl.col("usual") > 0).select("hour", ratio.alias("activity"))
