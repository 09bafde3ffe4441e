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


def load_sample_day(venue: str, symbol: str, day: str) -> dict[DataType, pl.DataFrame]:
    """Return all data types of one instrument's minutes as they would be published."""
    kinds = [kind for kind in DataType if (SAMPLES / f"{venue}_{kind}_{day}_{symbol}.csv.gz").is_file()]
    frames = {kind: load_sample(kind, venue, symbol, [day]) for kind in kinds}
    return {
        kind: frame.with_columns(
            pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
            *([pl.col("is_snapshot").cast(pl.String) == "true"] if "is_snapshot" in frame.columns else []),
            *([pl.col("id").cast(pl.String)] if "id" in frame.columns else []),
        )
        for kind, frame in frames.items()
    }
