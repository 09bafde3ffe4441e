"""The use case: coverage, expected tick files against held ones, for each venue, data type and day.

All numbers come from the index of the receipts; a unit without one was not run.
"""

from __future__ import annotations

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
from market_data.receipts.receipt import State

_DEFAULT_DAYS = 30
_NAMED_FILES = 5  # fit a line

COMPLETE, INCOMPLETE, REPLACING, NOT_RUN, DELETED = "complete", "incomplete", "replacing", "not_run", "deleted"
STATES = (COMPLETE, INCOMPLETE, REPLACING, NOT_RUN, DELETED)
# Files by what became of them; every expected file is counted in exactly one of the others.
FILE_COUNTS = ("expected", *COUNTS)
SIZES = ("rows", "raw_bytes", "published_bytes")
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
    }
)


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
    both are null where nobody has looked.
    Raises LakeError of any kind.
    """
    rows = {unit: _describe(head) for unit, head in read_heads(lake, wanted, days).items()}
    units = [DataTypeDay(venue, item, day) for venue, items in wanted.items() for item in items for day in days]
    nothing: dict[str, Any] = {"state": NOT_RUN} | dict.fromkeys((*FILE_COUNTS, *SIZES), 0)
    nothing |= dict.fromkeys(("cause", "gaps", "gaps_not_judged"))
    documents = [
        {"venue": unit.venue, "data_type": unit.data_type.value, "day": unit.day} | rows.get(unit, nothing)
        for unit in units
    ]
    return pl.DataFrame(documents, schema=COVERAGE_SCHEMA).sort("venue", "data_type", "day")


def summarize_data_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each venue and data type of a coverage frame: its days by state, all counts summed."""
    return _summarize(frame, "venue", "data_type")


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


def _describe(head: UnitHead) -> dict[str, Any]:
    words = {State.REPLACING.value: REPLACING, State.DELETED.value: DELETED}
    state, judged = words.get(head.state, COMPLETE if head.is_complete else INCOMPLETE), head.judged_gaps
    return {
        "state": state,
        "expected": head.expected,
        **dict(zip(COUNTS, head.counts, strict=True)),
        "rows": head.rows,
        "raw_bytes": head.raw_bytes,
        "published_bytes": head.published_bytes,
        "cause": _name_waived(head) if state == COMPLETE else _cause(head),
        "gaps": judged.gaps if judged else None,
        "gaps_not_judged": judged.not_judged if judged else None,
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
