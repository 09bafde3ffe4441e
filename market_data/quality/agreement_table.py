"""The table of how a venue's data types agree on a day, in the lake; it can be made again at any time.

One row for each instrument and comparison, sorted by both. `compared` and `equal` are instants (ends of messages), rows
or removals; `value` is what rules judge, `number` that against the days before; `verdict` is ok, warn, error or
not_judged, and `told` says why. `accused` are the data types, the first one most. Two rows are no comparison:
`book_end` has the last best prices, and `verifiability` tells in `told` what independent evidence there was.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import polars as pl

from market_data.errors import LakeObjectMissing
from market_data.index.unit import UnitHead
from market_data.lake.base import PARQUET_CONTENT, READERS, ObjectStat, TickLake
from market_data.lake.keys import agreement_key
from market_data.model.data_types import DataType
from market_data.quality.gap_table import digest_of
from market_data.receipts.receipt import Receipt

BOOK_END, VERIFIABILITY = "book_end", "verifiability"
_SPAN = pl.Struct({"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")})
AGREEMENT_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "comparison": pl.String(),
        "accused": pl.List(pl.String()),
        "compared": pl.Int64(),
        "equal": pl.Int64(),
        "value": pl.Float64(),
        "number": pl.Float64(),
        "verdict": pl.String(),
        "told": pl.String(),
        "spans": pl.List(_SPAN),
        "last_bid": pl.Float64(),
        "last_ask": pl.Float64(),
        "last_us": pl.Int64(),
    }
)
# Another number where the same rows would be compared otherwise.
_VERSION = "3"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JudgedAgreement:
    """A venue's day after a look: the table (`AGREEMENT_SCHEMA`), and why units were left alone."""

    venue: str
    day: date
    table: pl.DataFrame
    left_alone: Mapping[DataType, str]


def basis_of_agreement(units: Iterable[Receipt | UnitHead], *, has_day_before: bool) -> str:
    """Return what stands for all that is looked at: the day's publications, and whether the day before was judged."""
    published = sorted(f"{unit.data_type} {unit.committed_at}" for unit in units if unit.is_complete)
    return digest_of([*published, "with the day before" if has_day_before else "without"])


def save_agreement(lake: TickLake, venue: str, day: date, table: pl.DataFrame, basis: str) -> ObjectStat:
    """Keep the table of a day, with what stands for all that was looked at; raises LakeError of any kind."""
    sink = io.BytesIO()
    metadata = {"basis": f"{_VERSION} {basis}"}
    rows = table.select(AGREEMENT_SCHEMA.names()).cast(AGREEMENT_SCHEMA).sort("instrument_key", "comparison")
    rows.write_parquet(sink, compression="zstd", metadata=metadata)
    return lake.put_bytes(sink.getvalue(), agreement_key(venue, day), content_type=PARQUET_CONTENT)


def load_agreement(lake: TickLake, venue: str, day: date) -> pl.DataFrame | None:
    """Return the table of a day, None where there is none that can be read."""
    found = _load_with_basis(lake, venue, day)
    return found[0] if found else None


def _load_with_basis(lake: TickLake, venue: str, day: date) -> tuple[pl.DataFrame, str] | None:
    data = _read(lake, venue, day)
    basis = None if data is None else _basis_in(data)
    if data is None or basis is None:
        return None
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError:
        return None
    return (frame, basis) if frame.schema == AGREEMENT_SCHEMA else None


def load_agreements(lake: TickLake, venue: str, days: Iterable[date]) -> dict[date, pl.DataFrame]:
    """Return the tables of several days, those that are there."""
    return _of_days(lambda day: load_agreement(lake, venue, day), days)


def load_agreements_with_bases(
    lake: TickLake, venue: str, days: Iterable[date]
) -> dict[date, tuple[pl.DataFrame, str]]:
    """Return the tables of several days, those that are there, each with what it was made by."""
    return _of_days(lambda day: _load_with_basis(lake, venue, day), days)


def load_agreement_bases(lake: TickLake, venue: str, days: Iterable[date]) -> dict[date, str]:
    """Return what the tables of several days were made by, of those that are there; none of their rows is read."""

    def load(day: date) -> str | None:
        data = _read(lake, venue, day)
        return None if data is None else _basis_in(data)

    return _of_days(load, days)


def _of_days(load: Callable[[date], _T | None], days: Iterable[date]) -> dict[date, _T]:
    asked = list(days)
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(load, asked)
    return {day: it for day, it in zip(asked, found, strict=True) if it is not None}


def _read(lake: TickLake, venue: str, day: date) -> bytes | None:
    try:
        return lake.get_bytes(agreement_key(venue, day))[0]
    except LakeObjectMissing:
        return None


def _basis_in(data: bytes) -> str | None:
    """Return what a table was made by, None for one of another version, or what is none."""
    try:
        version, _, basis = pl.read_parquet_metadata(io.BytesIO(data)).get("basis", "").partition(" ")
    except pl.exceptions.PolarsError:
        return None
    return basis if version == _VERSION else None
