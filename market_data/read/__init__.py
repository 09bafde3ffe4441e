"""What analysts import: published ticks as a Polars LazyFrame, and only whole days unless they say otherwise.

from market_data.read import scan_ticks
scan_ticks("trades", venues="binance", base="BTC", start="2024-08-08", end="2024-08-09").collect()
"""

from market_data.read.find import find_instruments
from market_data.read.gaps import clean_intervals, gaps, verifiability, visible_from
from market_data.read.scan import (
    IncompleteTicksWarning,
    NothingMatchesWarning,
    OnIncomplete,
    UncheckedTicksWarning,
    WaivedTicksWarning,
    scan_ticks,
)
from market_data.read.turnover import with_turnover

__all__ = [
    "IncompleteTicksWarning",
    "NothingMatchesWarning",
    "OnIncomplete",
    "UncheckedTicksWarning",
    "WaivedTicksWarning",
    "clean_intervals",
    "find_instruments",
    "gaps",
    "scan_ticks",
    "verifiability",
    "visible_from",
    "with_turnover",
]
