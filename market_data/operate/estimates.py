"""What is reckoned with before anything is measured: sizes of files, the share of Parquet, pace of decoding. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from market_data.model.data_types import DataType
from market_data.model.limits import MEGABYTE

# A vendor's file of one instrument, from a quiet to a busy one, and (second) a grouped one. Judged by published sizes
# of real files (BTCUSDT of binance-futures: L2 748 MB, book_ticker 257 MB, trades 55 MB; options_chain 0.3 to 6.5 GB).
DEFAULT_MB: Mapping[DataType, tuple[tuple[float, float], tuple[float, float]]] = {
    DataType.TRADES: ((0.05, 30), (1, 100)),
    DataType.INCREMENTAL_BOOK_L2: ((5, 300), (50, 3000)),
    DataType.BOOK_SNAPSHOT_5: ((2, 150), (20, 1500)),
    DataType.BOOK_SNAPSHOT_25: ((5, 400), (50, 4000)),
    DataType.QUOTES: ((0.5, 60), (300, 5000)),
    DataType.BOOK_TICKER: ((1, 250), (50, 5000)),
    DataType.DERIVATIVE_TICKER: ((0.5, 20), (5, 500)),
    DataType.LIQUIDATIONS: ((0.001, 0.5), (0.01, 5)),
    DataType.OPTIONS_CHAIN: ((0.1, 5), (300, 6500)),
}
DEFAULT_PUBLISHED_SHARE = (0.6, 1.3)  # of the vendor's bytes, as zstd Parquet

# Verified, decoded, measured and judged: 10 to 13 s of CPU for 1 GB of CSV, on files of more than 100,000 rows of real
# trades, quotes and books; files of a few thousand rows take two to four times as long. Their gzip is a 7th to a 15th.
DECODING_CPU_SECONDS = 12
CSV_TO_GZIP = 10
DECODED_MB_A_SECOND = 1000 / CSV_TO_GZIP / DECODING_CPU_SECONDS
"""Megabytes of the vendor's gzip that one core decodes in a second."""


def decoding_hours(gzip_bytes: float, cores: int) -> float:
    """Return about how many hours the cores take to decode the vendor's bytes."""
    return gzip_bytes / (DECODED_MB_A_SECOND * MEGABYTE) / cores / 3600
