"""`agreement_...`: the data types of one instrument's day held against each other, in a process of its own.

The book's rows are made: a thousand levels a side around a price that walks by a tick, messages of 24 rows. Rows a
second of one core are of L2 alone, reading included (by CPU time: the machine is shared). "all" has quotes, snapshots
and trades too; they are made apart, so that they differ from the book all day. `agreement_equal_snapshots` is of the
vendor's own files, where they lie beside the repository.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from market_data.model.data_types import TABLES, DataType
from market_data.quality.agreement import QUOTES, TRADES, compare_day
from market_data.quality.book_day import L2, SNAPSHOTS
from market_data.quality.book_kernel import Floats, Ints
from market_data.quality.published_rows import read_batches
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder, status_kb
from market_data_tests.benchmarks.tick_files import TickFileSpec, make_rows
from market_data_tests.quality.vendor_samples import SAMPLE_DAYS, SAMPLES, load_sample

_DEPTH, _MESSAGE_ROWS, _PIECE_MESSAGES = 1_000, 24, 100_000
_MIDDLE, _CENTS, _START_US = 6_000_000, 100, 1_723_075_200_000_000
_REMOVED, _STEPPING = 0.3, 0.2
_OTHERS = {QUOTES: 8, TRADES: 24, DataType.BOOK_SNAPSHOT_25: 24, DataType.BOOK_SNAPSHOT_5: 24}  # rows of L2 for one


def measure(options: Options) -> Results:
    """Give speed, peak and CPU for L2 alone and for all types, and the share of equal snapshots."""
    messages = 100_000 if options.quick else 1_000_000
    with disk_folder() as folder:
        _write_book(folder / f"{L2}.parquet", messages)
        for data_type, share in _OTHERS.items():
            _write_other(folder / f"{data_type}.parquet", data_type, messages * _MESSAGE_ROWS // share)
        _run_alone(folder, [L2, *_OTHERS])  # compiles, once for an installation
        alone = [_run_alone(folder, [L2]) for _ in range(options.rounds)]
        every = [_run_alone(folder, [L2, *_OTHERS]) for _ in range(options.rounds)]
    note = f"{messages * _MESSAGE_ROWS / 1e6:g} million rows of L2"
    results = {
        "agreement_rows_per_second": _of(alone, "rows_per_second", "rows/s", f"of CPU, {note}"),
        "agreement_rows_per_second.clock": _of(alone, "rows_per_clock_second", "rows/s", note),
        "agreement_peak_rss_mb": _of(alone, "peak_rss_mb", "MB", note),
        "agreement_peak_rss_mb.all": _of(every, "peak_rss_mb", "MB", note),
        "agreement_cpu_seconds_per_gb": _of(alone, "cpu_seconds_per_gb", "s/GB", "of Parquet"),
        "agreement_cpu_seconds_per_gb.all": _of(every, "cpu_seconds_per_gb", "s/GB", "of Parquet"),
    }
    return results | ({"agreement_equal_snapshots": _equal_snapshots()} if SAMPLES.is_dir() else {})


def _of(runs: Sequence[dict[str, float]], name: str, unit: str, note: str) -> Measured:
    return Measured(tuple(run[name] for run in runs), unit, note)


def _equal_snapshots() -> Measured:
    """Return the share of instants at which the book equals both snapshots and quotes, of all samples."""
    types = (L2, QUOTES, *SNAPSHOTS)
    equal = compared = 0
    for sample in SAMPLE_DAYS:
        frames = {it: load_sample(it, *sample) for it in types}
        found, _ = compare_day({it: partial(iter, [frame]) for it, frame in frames.items()}, None)
        unlike = [it for it in found if it.name.endswith("_unlike_book")]
        equal, compared = equal + sum(it.equal for it in unlike), compared + sum(it.compared for it in unlike)
    return Measured((equal / compared,), "share", f"of {compared:,} instants")


def _run_alone(folder: Path, data_types: Sequence[DataType]) -> dict[str, float]:
    command = [sys.executable, "-m", "market_data_tests.benchmarks.agreement", str(folder), *data_types]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return dict(json.loads(answer))


def _compare(folder: Path, data_types: Sequence[DataType]) -> dict[str, float]:
    paths = {it: folder / f"{it}.parquet" for it in data_types}
    started, cpu_started = time.perf_counter(), time.process_time()
    compare_day({it: partial(read_batches, path, it) for it, path in paths.items()}, None)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    rows = pl.scan_parquet(paths[L2]).select(pl.len()).collect().item()
    gigabytes = sum(path.stat().st_size for path in paths.values()) / 1e9
    return {
        "rows_per_second": rows / cpu_seconds,
        "rows_per_clock_second": rows / seconds,
        "cpu_seconds_per_gb": cpu_seconds / gigabytes,
        "peak_rss_mb": status_kb("self", "VmHWM") / 1e3,
    }


def _write_other(path: Path, data_type: DataType, rows: int) -> None:
    names = {column.csv_name: column.name for column in TABLES[data_type].vendor_columns}
    frame = make_rows(TickFileSpec(data_type, "BTCUSDT", rows)).rename(names)
    frame.with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC"))).write_parquet(path)


def _write_book(path: Path, messages: int) -> None:
    """Write an image and then messages; each first takes away the levels that its price steps on."""
    rng = np.random.default_rng(24)
    steps = rng.integers(-1, 2, messages) * (rng.random(messages) < _STEPPING)
    middles = _MIDDLE + np.cumsum(steps)
    away = np.repeat(np.arange(1, _DEPTH + 1), 2).reshape(1, -1)
    pieces = [_rows(np.zeros(1, np.int64), middles[:1], away, np.ones(away.shape)).with_columns(is_snapshot=True)]
    for start in range(1, messages, _PIECE_MESSAGES):
        number = np.arange(start, min(start + _PIECE_MESSAGES, messages))
        shape = (len(number), _MESSAGE_ROWS)
        away = 1 + np.minimum(rng.exponential(60, shape), _DEPTH).astype(np.int64)
        amounts = np.where(rng.random(shape) < _REMOVED, 0, rng.integers(1, 90_000, shape) / 1_000)
        away[:, :2] = amounts[:, :2] = 0
        pieces.append(_rows(number, middles[number], away, amounts))
    pl.concat(pieces).write_parquet(path, row_group_size=250_000)


def _rows(number: Ints, middle: Ints, away: Ints, amounts: Floats) -> pl.DataFrame:
    """Return the rows of messages: bids and asks by turns, so far away from the middle."""
    is_bid = np.broadcast_to(np.arange(away.shape[1]) % 2 == 0, away.shape)
    times = (_START_US + number * 80_000).astype(np.int64)
    frame = pl.DataFrame(
        {
            "local_timestamp": np.repeat(times, away.shape[1]),
            "is_snapshot": False,
            "side": np.where(is_bid, "bid", "ask").ravel(),
            "price": (middle[:, None] + np.where(is_bid, -away, away)).ravel() / _CENTS,
            "amount": amounts.ravel(),
        }
    )
    return frame.with_columns(pl.col("local_timestamp").cast(pl.Datetime("us", "UTC")))


if __name__ == "__main__":
    print(json.dumps(_compare(Path(sys.argv[1]), [DataType(it) for it in sys.argv[2:]])))  # noqa: T201  the answer
