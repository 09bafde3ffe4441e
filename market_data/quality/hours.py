"""The hours of a UTC day, in microseconds since epoch, and the table that says what came in each. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

HOURS = 24
HOUR_US = 3_600_000_000
DAY_US = HOURS * HOUR_US
_SILENCE = pl.Struct({"start_us": pl.Int64(), "end_us": pl.Int64(), "ids_missing": pl.Int64()})
# One row for each instrument (a part of a grouped file counts as one) and hour of the day, sorted by both. Times are
# microseconds since epoch. `longest_us`: of the silences that touch the hour, at their whole length. `silences`: those
# that begin in it. `ids_missing` is null where ids are not contiguous, or none.
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


def silences_of(rhythm: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each silence that a rhythm keeps: `instrument_key`, `start_us`, `end_us`, `ids_missing`."""
    return rhythm.select("instrument_key", "silences").explode("silences").drop_nulls().unnest("silences")
