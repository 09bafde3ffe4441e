"""What proof, receipts, statistics and three layouts cost, and what the predecessor's loop cost.

`venue_day_over_bare` divides the use case by the shortest honest script (`bare.py`), `pandas_loop_over_venue_day` the
predecessor's way (`pandas_loop.py`) by the use case. One warm process, which has its decoders after the first rounds, a
local lake on disk, the same 20 files.
"""

from __future__ import annotations

from pathlib import Path

from market_data.ingest.venue_day import VenueDay
from market_data.model.data_types import DataType
from market_data_tests.benchmarks import bare, pandas_loop
from market_data_tests.benchmarks.measured import Measured, Options, Results, Side, measure_in_turn, ratio
from market_data_tests.benchmarks.static_vendor import static_vendor
from market_data_tests.benchmarks.tick_files import (
    DAY,
    EXCHANGE_ID,
    TickFileSpec,
    csv_bytes_of,
    keep_tick_files,
    rows_in,
)
from market_data_tests.benchmarks.venue_days import ingest_into_fresh_lake, plan_day

# of 1,000 MB of CSV, by data type; a symbol's share of it below
_CSV_MEGABYTES = {
    DataType.TRADES: 110,
    DataType.INCREMENTAL_BOOK_L2: 400,
    DataType.BOOK_SNAPSHOT_5: 200,
    DataType.QUOTES: 110,
    DataType.BOOK_TICKER: 180,
}
_SHARES = {"BTCUSDT": 0.4, "ETHUSDT": 0.3, "SOLUSDT": 0.2, "ETHBTC": 0.1}


def day_files(megabytes: int) -> Path:
    """Return the folder with the 20 files of a day."""
    factor = megabytes / sum(_CSV_MEGABYTES.values()) * 1e6
    specs = [
        TickFileSpec(data_type, symbol, rows_in(data_type, size * share * factor))
        for data_type, size in _CSV_MEGABYTES.items()
        for symbol, share in _SHARES.items()
    ]
    return keep_tick_files(f"day-{megabytes}MB", specs)


def bare_script(url: str, plan: VenueDay, decode: bare.Decode = bare.decode) -> Side:
    """Give the bare script as one side of a comparison."""
    files = [
        (data_type, item.vendor_symbol)
        for data_type in plan.data_types
        for item in plan.universe.selected
        if data_type in item.data_types
    ]
    return lambda folder: bare.fetch_day(f"{url}/{EXCHANGE_ID}", files, f"{DAY:%Y/%m/%d}", folder, decode)


def _pandas_loop(url: str, plan: VenueDay) -> Side:
    files = [(data_type, item.vendor_symbol) for data_type in plan.data_types for item in plan.universe.selected]
    return lambda folder: pandas_loop.fetch_day(f"{url}/{EXCHANGE_ID}", files, f"{DAY:%Y/%m/%d}", folder)


def measure_over_bare(options: Options) -> Results:
    """Give the ratio, and the seconds of both sides by GB of CSV."""
    folder = day_files(100 if options.quick else 1000)
    with static_vendor(folder) as url:
        plan = plan_day(url)
        sides = {"ours": ingest_into_fresh_lake(url, plan), "bare": bare_script(url, plan)}
        measure_in_turn(1, sides)  # loads libraries, starts threads, brings the files into memory
        spent = measure_in_turn(options.rounds, sides)
    gigabytes = csv_bytes_of(folder) / 1e9
    results: Results = {
        "venue_day_over_bare": ratio(spent["ours"].seconds, spent["bare"].seconds),
        "venue_day_over_bare.cpu": ratio(spent["ours"].cpu_seconds, spent["bare"].cpu_seconds),
    }
    for name, side in spent.items():
        results[f"venue_day.{name}"] = Measured(tuple(s / gigabytes for s in side.seconds), "s/GB")
        results[f"venue_day.{name}.cpu"] = Measured(tuple(s / gigabytes for s in side.cpu_seconds), "s/GB")
    return results


def measure_under_pandas(options: Options) -> Results:
    """Give how much faster the use case is than the predecessor's way."""
    with static_vendor(day_files(50 if options.quick else 300)) as url:
        plan = plan_day(url)
        sides = {"ours": ingest_into_fresh_lake(url, plan), "pandas": _pandas_loop(url, plan)}
        measure_in_turn(1, sides)
        spent = measure_in_turn(options.rounds, sides)
    return {"pandas_loop_over_venue_day": ratio(spent["pandas"].seconds, spent["ours"].seconds)}
