"""`decode_over_kernel`: our decode of one file over the bare `scan_csv` -> `sink_parquet` of the same file.

Ours proves the bytes, decodes, judges every row and gathers statistics on the way. `statistics_over_decode` is the time
of each family of statistics, measured alone on the same rows, over the time of our decode.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from market_data.model.data_types import DataType
from market_data.model.instruments import SPOT_PAIR
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.ticks.stats import TickMeter
from market_data_tests.benchmarks import bare
from market_data_tests.benchmarks.measured import Options, Results, Side, disk_folder, measure_in_turn, ratio
from market_data_tests.benchmarks.tick_files import DAY, VENUE, TickFileSpec, keep_tick_files, rows_in

_TYPES = (DataType.TRADES, DataType.INCREMENTAL_BOOK_L2, DataType.BOOK_SNAPSHOT_25, DataType.QUOTES)
_SYMBOL, _KEY = "BTCUSDT", "BINANCE:SPOT_PAIR:BTC-USDT"
_PIECE_ROWS = 100_000  # about those of a block of text
# the parts of a meter, by what the families of rules need of them
_PARTS = {
    "order_and_identity": "_compare_neighbours",
    "values_and_book": "_count_values",
    "timing": "_measure_times",
}


def _decode(path: Path, file: TickFile, folder: Path) -> Path:
    decoded = decode_tick_file(TickText(path, file), {}, folder / "decoded")
    assert decoded is not None
    return decoded.objects[0].path


def _run_kernel(path: Path, data_type: DataType, folder: Path) -> None:
    bare.decode(path, data_type, folder / "bare.parquet")


def _seconds_of_parts(parquet: Path, data_type: DataType) -> dict[str, float]:
    """Return the seconds of the whole meter and of each of its parts, over all rows of a file."""
    meter: Any = TickMeter(data_type)
    spent: defaultdict[str, float] = defaultdict(float)

    def timed(name: str, method: Callable[..., None], *arguments: object) -> None:
        started = time.perf_counter()
        method(*arguments)
        spent[name] += time.perf_counter() - started

    for name, method in _PARTS.items():
        setattr(meter, method, partial(timed, name, getattr(meter, method)))
    for batch in pl.read_parquet(parquet, glob=False).iter_slices(_PIECE_ROWS):
        timed("all", meter.add, batch)
    return spent


def measure(options: Options) -> Results:
    """Give both for each data type."""
    megabytes = 20 if options.quick else 150
    specs = [TickFileSpec(data_type, _SYMBOL, rows_in(data_type, megabytes * 1e6)) for data_type in _TYPES]
    source = keep_tick_files(f"decode-{megabytes}MB", specs)
    results: Results = {}
    for spec in specs:
        path = source / spec.name
        file = TickFile(DataTypeDay(VENUE, spec.data_type, DAY), _SYMBOL, SPOT_PAIR, _KEY)
        sides: dict[str, Side] = {
            "ours": partial(_decode, path, file),
            "kernel": partial(_run_kernel, path, spec.data_type),
        }
        measure_in_turn(1, sides)
        spent = measure_in_turn(options.rounds, sides)
        ours, script = spent["ours"], spent["kernel"]
        results[f"decode_over_kernel.{spec.data_type}"] = ratio(ours.seconds, script.seconds)
        results[f"decode_over_kernel.{spec.data_type}.cpu"] = ratio(ours.cpu_seconds, script.cpu_seconds)
        with disk_folder() as folder:
            parquet = _decode(path, file, folder)
            parts = [_seconds_of_parts(parquet, spec.data_type) for _ in range(options.rounds)]
        for name in ("all", *_PARTS):
            shares = ratio([part[name] for part in parts], ours.seconds)
            results[f"statistics_over_decode.{spec.data_type}.{name}"] = shares
    return results
