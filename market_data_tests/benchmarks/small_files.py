"""`small_files_per_second`: 1,000 tick files of 400 rows into three layouts, and over the bare script's single one.

Most files of a venue are small: what counts here is what a file costs however short it is.
"""

from __future__ import annotations

from pathlib import Path

from market_data.model.data_types import DataType
from market_data_tests.benchmarks.measured import Options, Results, measure_in_turn, per, ratio
from market_data_tests.benchmarks.static_vendor import static_vendor
from market_data_tests.benchmarks.tick_files import TickFileSpec, keep_tick_files
from market_data_tests.benchmarks.venue_day import bare_script
from market_data_tests.benchmarks.venue_days import ingest_into_fresh_lake, plan_day

_ROWS = 400
_TYPES = (DataType.TRADES, DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.BOOK_TICKER)


def small_files(count: int) -> Path:
    """Return the folder of so many small files (a multiple of 4), equally many of four data types."""
    symbols = [f"X{number:03d}USDT" for number in range(count // len(_TYPES))]
    specs = [TickFileSpec(data_type, symbol, _ROWS) for symbol in symbols for data_type in _TYPES]
    return keep_tick_files(f"small-{count}", specs)


def measure(options: Options) -> Results:
    """Give our files by second, and the seconds of ours over those of the bare script."""
    count = 100 if options.quick else 1000
    with static_vendor(small_files(count)) as url:
        plan = plan_day(url)
        sides = {"ours": ingest_into_fresh_lake(url, plan), "bare": bare_script(url, plan)}
        measure_in_turn(1, sides)
        spent = measure_in_turn(options.rounds, sides)
    ours, script = spent["ours"], spent["bare"]
    return {
        "small_files_per_second": per(count, ours.seconds, "files/s"),
        "small_files_per_second.bare": per(count, script.seconds, "files/s"),
        "small_files_over_bare": ratio(ours.seconds, script.seconds),
        "small_files_over_bare.cpu": ratio(ours.cpu_seconds, script.cpu_seconds),
    }
