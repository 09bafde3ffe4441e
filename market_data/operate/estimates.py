"""What is reckoned with before anything is measured: sizes of files, the share of Parquet, pace of decoding. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from market_data.model.data_types import DataType
from market_data.model.instruments import PERPETUAL, SPOT_PAIR, parse_instrument_key
from market_data.model.limits import MEGABYTE
from market_data.model.tick_file import TickFile

# Gzip files of whole days that users of the vendor told the sizes of, in MB (10^6 bytes), nothing of them checked here:
# BTCUSDT of binance on the first days of January to March 2024 and of binance-futures in February, August and September
# 2026, BTC-USDT-SWAP of okex-swap and BTCUSDT of bybit on 2026-09-01 (snapshots: 2022-07-01), BTC-PERPETUAL of deribit
# on 2020-04-01. The vendor's own answer counts `trades` and `bookChanges` of a venue, but not in every recording, and
# without saying of which time: nothing is sized by it.
TOLD_MB: Mapping[tuple[str, DataType], tuple[float, ...]] = {
    ("BINANCE", DataType.TRADES): (13.1, 15.8, 22.0),
    ("BINANCE", DataType.INCREMENTAL_BOOK_L2): (79.0, 113.8, 144.2),
    ("BINANCE-FUTURES", DataType.TRADES): (55,),
    ("BINANCE-FUTURES", DataType.INCREMENTAL_BOOK_L2): (748.4,),
    ("BINANCE-FUTURES", DataType.BOOK_TICKER): (251, 257),
    ("BINANCE-FUTURES", DataType.QUOTES): (25,),
    ("OKX-SWAP", DataType.INCREMENTAL_BOOK_L2): (253.4,),
    ("BYBIT", DataType.INCREMENTAL_BOOK_L2): (124.1,),
    ("BYBIT", DataType.BOOK_SNAPSHOT_5): (51.0,),
    ("DERIBIT", DataType.INCREMENTAL_BOOK_L2): (159.3,),
}
# One file over three months: 1.8 times.
_DAYS_DIFFER = 1.5
# The busiest pair of a venue of which nothing was told, from a small venue to a large one; and (second) a grouped file
# (an options_chain of deribit: 300 MB to 6.5 GB). Judged by the sizes above.
BUSIEST_MB: Mapping[DataType, tuple[tuple[float, float], tuple[float, float]]] = {
    DataType.TRADES: ((5, 40), (1, 100)),
    DataType.INCREMENTAL_BOOK_L2: ((80, 400), (50, 3000)),
    DataType.BOOK_SNAPSHOT_5: ((30, 150), (20, 1500)),
    DataType.BOOK_SNAPSHOT_25: ((80, 400), (50, 4000)),
    DataType.QUOTES: ((10, 60), (300, 5000)),
    DataType.BOOK_TICKER: ((50, 250), (50, 5000)),
    DataType.DERIVATIVE_TICKER: ((3, 20), (5, 500)),
    DataType.LIQUIDATIONS: ((0.02, 0.5), (0.01, 5)),
    DataType.OPTIONS_CHAIN: ((0.1, 5), (300, 6500)),
}
# What an instrument's file is of that of the busiest pair: of the two coins that lead everywhere, and of all others.
_SHARES = {"BTC": (1.0, 1.0), "ETH": (0.5, 1.0)}
_SHARE_OF_OTHERS = (0.02, 0.3)
_DOLLARS = frozenset({"USD", "USDT", "USDC"})
_LEADING_TYPES = frozenset({SPOT_PAIR, PERPETUAL})
# Of the vendor's bytes, as measured of five data types: 0.60 to 0.87 (README, "What it costs").
DEFAULT_PUBLISHED_SHARE = (0.55, 0.95)


def estimate_mb(venue: str, data_type: DataType, file: TickFile) -> tuple[float, float]:
    """Return from how many to how many MB a tick file has of which the lake knows nothing like it."""
    of_one, of_group = BUSIEST_MB[data_type]
    if file.is_group:
        return of_group
    told = TOLD_MB.get((venue, data_type))
    low, high = (min(told) / _DAYS_DIFFER, max(told) * _DAYS_DIFFER) if told else of_one
    least, most = _share(file.instrument_key)
    return low * least, high * most


def is_told(venue: str, data_type: DataType) -> bool:
    """Whether the size of a venue's file of a data type was told by somebody."""
    return (venue, data_type) in TOLD_MB


def _share(instrument_key: str | None) -> tuple[float, float]:
    _, instrument_type, symbol = parse_instrument_key(instrument_key) if instrument_key else ("", "", "")
    base, _, rest = symbol.partition("-")
    is_leading = instrument_type in _LEADING_TYPES and rest.partition("-")[0] in _DOLLARS
    return _SHARES.get(base, _SHARE_OF_OTHERS) if is_leading else _SHARE_OF_OTHERS


# Verified, decoded, measured and judged: 10 to 13 s of CPU for 1 GB of CSV, on files of more than 100,000 rows of real
# trades, quotes and books; files of a few thousand rows take two to four times as long. Their gzip is a 7th to a 15th.
DECODING_CPU_SECONDS = 12
CSV_TO_GZIP = 10
DECODED_MB_A_SECOND = 1000 / CSV_TO_GZIP / DECODING_CPU_SECONDS
"""Megabytes of the vendor's gzip that one core decodes in a second."""


def decoding_hours(gzip_bytes: float, cores: int) -> float:
    """Return about how many hours the cores take to decode the vendor's bytes."""
    return gzip_bytes / (DECODED_MB_A_SECOND * MEGABYTE) / cores / 3600
