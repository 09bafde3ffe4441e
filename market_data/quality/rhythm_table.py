"""The table of a unit's rhythm in the lake; what is kept can be measured again at any time."""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import polars as pl

from market_data.errors import LakeObjectMissing
from market_data.lake.base import PARQUET_CONTENT, READERS, TickLake
from market_data.lake.keys import rhythm_key
from market_data.model.tick_file import DataTypeDay
from market_data.quality.hours import RHYTHM_SCHEMA

# Another number where the same rows would have another rhythm.
_RHYTHM_VERSION = 2


def save_rhythm(lake: TickLake, unit: DataTypeDay, of: datetime, rhythm: pl.DataFrame) -> None:
    """Keep the rhythm of a unit as published at `of`; raises LakeError of any kind."""
    sink = io.BytesIO()
    rhythm.write_parquet(sink, compression="zstd", compression_level=3, metadata={"of": _mark(of)})
    lake.put_bytes(sink.getvalue(), rhythm_key(unit), content_type=PARQUET_CONTENT)


def load_rhythm(lake: TickLake, unit: DataTypeDay, of: datetime | None) -> pl.DataFrame | None:
    """Return the rhythm that is kept of a unit, None where there is none, or another than of `of` (None: any).

    It can be measured again, so one that cannot be read is none. Raises LakeUnavailable (transient).
    """
    try:
        data, _ = lake.get_bytes(rhythm_key(unit))
        if of is not None and pl.read_parquet_metadata(io.BytesIO(data)).get("of") != _mark(of):
            return None
        frame = pl.read_parquet(io.BytesIO(data))
    except (LakeObjectMissing, pl.exceptions.PolarsError):
        return None
    return frame if frame.schema == RHYTHM_SCHEMA else None


def load_rhythms(lake: TickLake, units: Iterable[DataTypeDay]) -> pl.DataFrame:
    """Return what is kept of the rhythms of several days, with `day`; raises LakeError of any kind."""
    none = pl.DataFrame(schema={**RHYTHM_SCHEMA, "day": pl.Date()}).drop("silences")
    columns = none.columns

    def load(unit: DataTypeDay) -> pl.DataFrame:
        found = load_rhythm(lake, unit, None)
        return none if found is None else found.with_columns(pl.lit(unit.day).alias("day")).select(columns)

    with ThreadPoolExecutor(READERS) as pool:
        return pl.concat([none, *pool.map(load, units)])


def _mark(of: datetime) -> str:
    return f"{_RHYTHM_VERSION} {of.isoformat()}"
