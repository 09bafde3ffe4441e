"""The footer of one published Parquet file, read without its data pages."""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from market_data.checks.rules import Footer
from market_data.lake.base import TickLake

_TIME_COLUMN = "local_timestamp"
# One request fetches the footer of nearly every file.
_READ_AHEAD_BYTES = 256 * 1024


def read_footer(lake: TickLake, key: str) -> Footer | None:
    """Return rows, column types and bounds of `local_timestamp` (UTC) of a published file.

    None for a file that is no Parquet file any more, or gone: its rows are missing then, which the rules tell of.
    """
    uri = lake.uri(key)
    try:
        if uri.startswith("gs://"):
            with _gcs(os.getpid()).open(uri, "rb", block_size=_READ_AHEAD_BYTES) as source:
                return _describe(pq.read_metadata(source))
        return _describe(pq.read_metadata(uri))
    except (pa.ArrowInvalid, FileNotFoundError):
        return None


@lru_cache(maxsize=1)
def _gcs(process_id: int) -> Any:  # noqa: ARG001  a file system inherited through fork breaks: one for each process
    # Set before the import: without it every call against an emulator probes gRPC for up to a minute.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs  # noqa: PLC0415  reads the environment when it is imported

    token = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None
    return gcsfs.GCSFileSystem(token=token, use_listings_cache=False, skip_instance_cache=True)


def _describe(footer: Any) -> Footer:
    schema = pl.DataFrame(footer.schema.to_arrow_schema().empty_table()).schema
    bounds = _bounds(footer)
    return Footer(
        rows=footer.num_rows,
        columns={name: str(dtype) for name, dtype in schema.items()},
        first_local_timestamp=min((low for low, _ in bounds), default=None),
        last_local_timestamp=max((high for _, high in bounds), default=None),
    )


def _bounds(footer: Any) -> list[tuple[datetime, datetime]]:
    names = footer.schema.to_arrow_schema().names
    if _TIME_COLUMN not in names:
        return []
    column = names.index(_TIME_COLUMN)
    statistics = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
    return [(item.min, item.max) for item in statistics if item is not None and item.has_min_max]
