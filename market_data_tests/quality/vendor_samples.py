"""The vendor's own files, kept beside the repository, as the frames that comparisons take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from market_data.model.data_types import TABLES, DataType

SAMPLES = Path(__file__).parents[3] / "shared/samples"
SAMPLE_DAYS = (
    ("binance", "BTCUSDT", ("2024-08-08", "2024-08-09")),
    ("binance-delivery", "ETHUSD_PERP", ("2024-08-08",)),
)


def load_sample(data_type: DataType, venue: str, symbol: str, days: Sequence[str]) -> pl.DataFrame:
    """Return the rows of consecutive days of one instrument."""
    names = [column.name for column in TABLES[data_type].vendor_columns]
    frames = [pl.read_csv(SAMPLES / f"{venue}_{data_type}_{day}_{symbol}.csv.gz", new_columns=names) for day in days]
    numbers = [pl.col(name).cast(pl.Float64) for name in names if name.startswith(("price", "amount", "bid", "ask"))]
    return pl.concat(frames).with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")), *numbers)
