"""The hours of a UTC day, in microseconds since epoch, and the table that says what came in each. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

HOURS = 24
# Shorter steps are nothing to anybody; the vendor's collectors are away for 0.3 s and more at midnight.
LEAST_SILENCE_US = 300_000
HOUR_US = 3_600_000_000
DAY_US = HOURS * HOUR_US
# From how many days before ids are known to be contiguous, and of which share of them.
_FEWEST_DAYS, _MOST_DAYS = 3, 0.5
_SILENCE = pl.Struct({"start_us": pl.Int64(), "end_us": pl.Int64(), "ids_missing": pl.Int64()})
# One row for each instrument (a part of a grouped file counts as one) and hour of the day, sorted by both. Times are
# microseconds since epoch. `longest_us`: of the silences that touch the hour, at their whole length. `silences`: those
# that begin in it, the longest, and however short where whole numbers jump in ids. `ids_missing` is null where there
# are no such ids, or the row before is of another day; it means something where ids are contiguous.
RHYTHM_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "hour": pl.Int8(),
        "rows": pl.Int64(),
        "longest_us": pl.Int64(),
        "silences": pl.List(_SILENCE),
        "has_contiguous_ids": pl.Boolean(),
    }
)


def midnight_us(day: date) -> int:
    """Return the first microsecond of a UTC day since epoch."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000


def instant_of(microseconds: int) -> datetime:
    """Return the instant, to the microsecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def with_learned_ids(rhythm: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return a rhythm in which ids are contiguous that were so on most days before, if not on this one.

    `before` is the rhythm of the days before, with `day`. A day of few rows that lost some does not hide it thereby.
    """
    days = before.group_by("instrument_key", "day").agg(pl.col("has_contiguous_ids").first())
    learned = days.group_by("instrument_key").agg(
        ((pl.len() >= _FEWEST_DAYS) & (pl.col("has_contiguous_ids").mean() > _MOST_DAYS)).alias("learned")
    )
    joined = rhythm.join(learned, on="instrument_key", how="left", maintain_order="left")
    has_ids = pl.col("has_contiguous_ids") | pl.col("learned").fill_null(value=False)
    return joined.with_columns(has_contiguous_ids=has_ids).select(RHYTHM_SCHEMA.names())


def epoch_us(instant: datetime) -> int:
    """Return an instant as microseconds since epoch."""
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def silences_of(rhythm: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each silence that a rhythm keeps: `instrument_key`, `start_us`, `end_us`, `ids_missing`.

    `ids_missing` is null where ids are not contiguous, or the row before is of another day.
    """
    silences = rhythm.select("instrument_key", "has_contiguous_ids", "silences").explode("silences")
    ids = pl.when("has_contiguous_ids").then("ids_missing").alias("ids_missing")
    known = silences.drop_nulls().unnest("silences").with_columns(ids).drop("has_contiguous_ids")
    is_long = pl.col("end_us") - pl.col("start_us") >= LEAST_SILENCE_US
    return known.filter(is_long | (pl.col("ids_missing") > 0))
