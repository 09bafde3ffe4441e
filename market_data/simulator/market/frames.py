"""Vendor columns as Polars frames, and frames as the vendor's csv.gz bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from isal import igzip, isal_zlib

from market_data.model.data_types import TABLES, DataType
from market_data.simulator.market.books import to_numbers
from market_data.simulator.market.markets import Market
from market_data.simulator.market.prices import Floats, Ints
from market_data.simulator.vendor.catalogue import Increment

Columns = dict[str, pl.Series | Floats | Ints]

EMPTY_GZIP: bytes = igzip.compress(b"", mtime=0)
_MILLISECOND_US = 1_000
_GZIP_WINDOW = 31  # the largest window, within a gzip header and trailer


def open_gzip() -> Any:
    """Return a compressor whose pieces join to one gzip; its methods are `compress` and `flush`."""
    return isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_WINDOW)


def numbers_of(multiples: Ints, increment: Increment) -> Floats:
    """Return prices or amounts from whole ticks or lots."""
    return to_numbers(multiples, increment.units, increment.decimals)


def venue_times(market: Market, times_us: Ints, latency_us: Ints) -> Ints:
    """Return the venue's clock since epoch: earlier than arrival, in whole milliseconds as these venues send it."""
    sent = market.midnight_us + times_us - latency_us
    return sent - sent % _MILLISECOND_US


def nullable(values: Floats | Ints, present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> pl.Series:
    """Return a column with empty cells where `present` is false."""
    return pl.select(pl.when(pl.Series(present)).then(pl.Series(values)).otherwise(None)).to_series()


def frame(
    market: Market, data_type: DataType, sent: Ints, received_us: Ints, columns: Mapping[str, pl.Series | Floats | Ints]
) -> pl.DataFrame:
    """Return the rows of one instrument in the vendor's column order; `received_us` since midnight."""
    spec = TABLES[data_type]
    received = market.midnight_us + received_us
    head = {"timestamp": sent, "local_timestamp": received}
    names = [column.csv_name for column in spec.vendor_columns[2:]]
    body = pl.DataFrame({name: head.get(name, columns.get(name)) for name in names})
    return body.select(
        pl.lit(market.exchange_id).alias("exchange"), pl.lit(market.listing.cell).alias("symbol"), *names
    )


def merge(frames: list[pl.DataFrame]) -> pl.DataFrame | None:
    """Return a group's rows in order of arrival, None when there are none."""
    filled = [rows for rows in frames if not rows.is_empty()]
    return pl.concat(filled).sort("local_timestamp", maintain_order=True) if filled else None


def encode(rows: pl.DataFrame | None) -> bytes:
    """Return the csv.gz bytes; no rows give the vendor's empty gzip. The same rows give the same bytes."""
    if rows is None or rows.is_empty():
        return EMPTY_GZIP
    # Without exponents polars prints the shortest decimal (6422, 0.2), as the vendor does.
    text = rows.write_csv(float_scientific=False)
    return bytes(igzip.compress(text.encode(), compresslevel=2, mtime=0))
