"""The use case: coverage, expected tick files against held ones, for each venue, data type and day.

All numbers come from the index of the receipts; a unit without one was not run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.store import read_heads
from market_data.index.unit import COUNTS, UnitHead
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.receipt import EVIDENCE, NONE, JudgedGaps, State

_DEFAULT_DAYS = 30
_NAMED_FILES = 5  # fit a line

COMPLETE, INCOMPLETE, REPLACING, NOT_RUN, DELETED = "complete", "incomplete", "replacing", "not_run", "deleted"
STATES = (COMPLETE, INCOMPLETE, REPLACING, NOT_RUN, DELETED)
# Files by what became of them; every expected file is counted in exactly one of the others.
FILE_COUNTS = ("expected", *COUNTS)
SIZES = ("rows", "raw_bytes", "published_bytes")
# Instruments by the independent evidence there is of them, by its word in receipts.
VERIFIABLE = {kind: f"verifiable_by_{kind.replace(' ', '_')}" for kind in EVIDENCE}
COVERAGE_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "data_type": pl.String(),
        "day": pl.Date(),
        "state": pl.String(),
        **dict.fromkeys((*FILE_COUNTS, *SIZES), pl.Int64()),
        "cause": pl.String(),
        "gaps": pl.Int64(),
        "gaps_not_judged": pl.Int64(),
        "judged_seconds": pl.Float64(),
        "missing_seconds": pl.Float64(),
        "missing": pl.List(pl.Struct({"cause": pl.String(), "seconds": pl.Float64()})),
        **dict.fromkeys(VERIFIABLE.values(), pl.Int64()),
    }
)
# What a look at gaps, and one at how data types agree, have found.
_JUDGED = ("gaps", "gaps_not_judged", "judged_seconds", "missing_seconds", "missing", *VERIFIABLE.values())
_QUALITY_OF_TYPE = ("venue", "data_type", "has_rows", "lacks_most_by", "verifiable")


def days_between(start: date, end: date) -> list[date]:
    """Return the days with `start <= day < end`."""
    return [start + timedelta(days=offset) for offset in range((end - start).days)]


def choose_days(first: date | None, last: date | None, newest: date, *, names: tuple[str, str]) -> list[date]:
    """Return the days from first to last, both included; by default the 30 that end with `newest`.

    `names` are what the two are called where they were given. Raises ConfigurationError (permanent) for a first day
    that is after the last.
    """
    end = last or newest
    start = first or end - min(timedelta(days=_DEFAULT_DAYS - 1), end - date.min)
    if start > end:
        raise ConfigurationError(f"{names[0]} {start} is after {names[1]} {end}")
    return [*days_between(start, end), end]


def measure_coverage(lake: TickLake, wanted: Mapping[str, Sequence[DataType]], days: Sequence[date]) -> pl.DataFrame:
    """Return one row for each venue, data type and day, sorted by them; `wanted` is data types by venue.

    `state` is complete (published whole), incomplete, replacing (being rewritten: do not read), not_run, or deleted.
    `expected` is the sum of `stored`, `vendor_empty`, `not_offered`, `waived`, `failed`, `removed` and `open` (nobody
    has tried). `rows` and `raw_bytes` are of the vendor's files held; `published_bytes` is one copy (a lake holds one
    for each layout). `cause` says what is wrong with a unit that is incomplete or replacing, and which files a complete
    one is waived. `gaps` are spans without rows, of whatever cause, `gaps_not_judged` instruments too quiet to tell;
    `judged_seconds` is the time looked at, of all instruments together, `missing_seconds` the part of it that lacks
    rows for another cause than the market's own, in `missing` by cause; null where nobody has looked.
    `verifiable_by_...` counts instruments by the best independent evidence, null where none was looked for.
    Raises LakeError of any kind.
    """
    rows = {unit: _describe(head) for unit, head in read_heads(lake, wanted, days).items()}
    units = [DataTypeDay(venue, item, day) for venue, items in wanted.items() for item in items for day in days]
    nothing: dict[str, Any] = {"state": NOT_RUN} | dict.fromkeys((*FILE_COUNTS, *SIZES), 0)
    nothing |= dict.fromkeys(("cause", *_JUDGED))
    documents = [
        {"venue": unit.venue, "data_type": unit.data_type.value, "day": unit.day} | rows.get(unit, nothing)
        for unit in units
    ]
    return pl.DataFrame(documents, schema=COVERAGE_SCHEMA).sort("venue", "data_type", "day")


def summarize_data_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each venue and data type of a coverage frame: its days by state, all counts summed.

    `has_rows`, `lacks_most_by` and `verifiable` are texts of all its days together (`describe_quality`).
    """
    texts = [
        (*keys, *describe_quality(part))
        for keys, part in frame.partition_by("venue", "data_type", as_dict=True).items()
    ]
    quality = pl.DataFrame(texts, schema=dict.fromkeys(_QUALITY_OF_TYPE, pl.String()), orient="row")
    return _summarize(frame, "venue", "data_type").join(quality, on=["venue", "data_type"], maintain_order="left")


def summarize_venue_days(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each venue and day of a coverage frame: its data types by state, all counts summed.

    Its own `state` is the one that all of its data types share, else incomplete.
    """
    shared = [pl.when(pl.col(state) == pl.sum_horizontal(STATES)).then(pl.lit(state)) for state in STATES]
    first = ("venue", "day", "state")
    summary = _summarize(frame, "venue", "day").with_columns(state=pl.coalesce(*shared, pl.lit(INCOMPLETE)))
    return summary.select(*first, pl.exclude(*first))


def _summarize(frame: pl.DataFrame, *keys: str) -> pl.DataFrame:
    states = [(pl.col("state") == state).sum().cast(pl.Int64).alias(state) for state in STATES]
    return frame.group_by(keys).agg(*states, pl.col(*FILE_COUNTS, *SIZES).sum()).sort(keys)


def describe_quality(frame: pl.DataFrame) -> tuple[str, str, str]:
    """Return, of all rows of a coverage frame: which part of the time has rows, the worst cause, what is verifiable.

    Each is empty where nobody has looked. Verifiable are instrument-days for which there is independent evidence.
    """
    looked = frame.filter(pl.col("judged_seconds").is_not_null())
    if looked.is_empty():
        return "", "", ""
    share = _share_with_rows(*(float(looked[name].sum()) for name in ("judged_seconds", "missing_seconds")))
    missing = looked.select("missing").explode("missing").drop_nulls().unnest("missing")
    worst = missing.group_by("cause").agg(pl.col("seconds").sum()).sort("seconds", "cause", descending=[True, False])
    counts = {kind: int(looked[column].sum()) for kind, column in VERIFIABLE.items()}
    total = sum(counts.values())
    verifiable = f"{total - counts[NONE]:,}/{total:,}" if total else ""
    return share, next(iter(worst["cause"]), ""), verifiable


def _share_with_rows(judged_seconds: float, missing_seconds: float) -> str:
    """Return a share as text; it is never 100 % where anything lacks."""
    if judged_seconds <= 0:
        return "not judged" if missing_seconds <= 0 else "0 %"
    share = max(0.0, 1 - missing_seconds / judged_seconds)  # of what is too quiet to be judged rows may lack as well
    return "100 %" if missing_seconds <= 0 else f"{math.floor(share * 10_000) / 100:.2f} %"


def _describe(head: UnitHead) -> dict[str, Any]:
    words = {State.REPLACING.value: REPLACING, State.DELETED.value: DELETED}
    state = words.get(head.state, COMPLETE if head.is_complete else INCOMPLETE)
    return {
        "state": state,
        "expected": head.expected,
        **dict(zip(COUNTS, head.counts, strict=True)),
        "rows": head.rows,
        "raw_bytes": head.raw_bytes,
        "published_bytes": head.published_bytes,
        "cause": _name_waived(head) if state == COMPLETE else _cause(head),
        **_describe_judged(head.judged_gaps),
    }


def _describe_judged(judged: JudgedGaps | None) -> dict[str, Any]:
    if judged is None:
        return dict.fromkeys(_JUDGED)
    verifiable = judged.verifiable or {}
    return {
        "gaps": judged.gaps,
        "gaps_not_judged": judged.not_judged,
        "judged_seconds": judged.judged_seconds,
        "missing_seconds": None if judged.missing is None else sum(judged.missing.values()),
        "missing": [{"cause": cause, "seconds": seconds} for cause, seconds in (judged.missing or {}).items()],
        **{column: verifiable.get(kind) for kind, column in VERIFIABLE.items()},
    }


def _name_waived(head: UnitHead) -> str | None:
    waived = head.count(Outcome.WAIVED)
    more = f" and {waived - _NAMED_FILES} more" if waived > _NAMED_FILES else ""
    return f"waived: {', '.join(head.waived_files[:_NAMED_FILES])}{more}" if waived else None


def _cause(head: UnitHead) -> str:
    if head.state not in set(State):
        return (
            f"its receipt is in the state {head.state!r}, a word of a later version of market_data: install a newer one"
        )
    if head.deleted:
        return head.deleted
    if not head.has_known_layouts:
        return f"its receipt names no layout that this version knows ({', '.join(head.layouts) or 'none'})"
    if head.state == State.REPLACING:
        return "its files are being rewritten, or a run died while it did; run the day again"
    if head.doubt and not head.open_count:
        return f"in doubt: {head.doubt}"
    return head.fault or "a run is at work, or was stopped before it ended; run the day again"
