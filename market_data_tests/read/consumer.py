"""What an analyst writes, as the type checker sees it: `make check` reads this file, nothing runs it."""

from datetime import date
from typing import assert_type

import polars as pl

from market_data.read import IncompleteTicksWarning, OnIncomplete, find_instruments, scan_ticks

mode: OnIncomplete = "skip"
ticks = scan_ticks("trades", venues=["binance", "okex"], base="BTC", start=date(2024, 8, 8), end="2024-08-09")
some = scan_ticks(
    "quotes", instruments="BINANCE:SPOT_PAIR:BTC-USDT", start="2024-08-08", end="2024-08-09", lake="gs://b"
)
assert_type(ticks, pl.LazyFrame)
assert_type(scan_ticks("trades", start="2024-08-08", end="2024-08-09", on_incomplete=mode), pl.LazyFrame)
assert_type(find_instruments(text="btc*", between=("2024-08-01", date(2024, 9, 1)), types=("PERPETUAL",)), pl.DataFrame)
assert_type(IncompleteTicksWarning("text"), IncompleteTicksWarning)
scan_ticks("trades", start="2024-08-08", end="2024-08-09", on_incomplete="perhaps")  # type: ignore[arg-type]
scan_ticks("trades", "binance", start="2024-08-08", end="2024-08-09")  # type: ignore[call-arg]
