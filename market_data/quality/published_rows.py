"""The rows of a published file that comparisons need, and no other columns, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import TickLake
from market_data.model.data_types import TABLES, DataType
from market_data.receipts.receipt import Receipt

# of wide tables fewer rows make a batch, so that it takes no more memory
_BATCH_CELLS = 1_000_000
_TOUCH = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_COLUMNS = {
    DataType.INCREMENTAL_BOOK_L2: ("is_snapshot", "side", "price", "amount"),
    DataType.QUOTES: _TOUCH,
    DataType.BOOK_TICKER: _TOUCH,
    DataType.TRADES: ("price",),
    DataType.DERIVATIVE_TICKER: ("last_price", "mark_price"),
}


@contextmanager
def named_errors(lake: TickLake, receipt: Receipt, key: str) -> Iterator[None]:
    """Turn what a damaged or missing published object fails of into a LakeError (permanent) with its name."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pa.ArrowException, LakeObjectMissing) as error:
        first_line = str(error).partition("\n")[0]
        raise LakeError(
            f"{lake.uri(key)}, which the receipt of {receipt.unit} names, cannot be read ({first_line}): run the day "
            "again, which makes it anew; `market-data doctor --deep` says what else is damaged"
        ) from error


def read_batches(path: Path, data_type: DataType) -> Iterator[pl.DataFrame]:
    """Yield the rows of a published Parquet file in their order; raises pyarrow's errors where it is damaged."""
    known = _COLUMNS.get(data_type)
    columns = ["local_timestamp", *known] if known else TABLES[data_type].published_schema.names()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_CELLS // len(columns), columns=columns):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101  a batch of a table is one
            yield frame
