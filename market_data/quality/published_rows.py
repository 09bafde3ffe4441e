"""The rows of a published file that comparisons need, and no other columns, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from market_data.model.data_types import TABLES, DataType

# of wide tables fewer rows make a batch, so that it takes no more memory
_BATCH_CELLS = 3_000_000
_TOUCH = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_COLUMNS = {
    DataType.INCREMENTAL_BOOK_L2: ("is_snapshot", "side", "price", "amount"),
    DataType.QUOTES: _TOUCH,
    DataType.BOOK_TICKER: _TOUCH,
    DataType.TRADES: ("price",),
    DataType.DERIVATIVE_TICKER: ("last_price", "mark_price"),
}


def read_batches(path: Path, data_type: DataType) -> Iterator[pl.DataFrame]:
    """Yield the rows of a published Parquet file in their order; raises pyarrow's errors where it is damaged."""
    known = _COLUMNS.get(data_type)
    columns = ["local_timestamp", *known] if known else TABLES[data_type].published_schema.names()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_CELLS // len(columns), columns=columns):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101  a batch of a table is one
            yield frame
