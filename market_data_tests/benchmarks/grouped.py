"""`grouped`: an OPTIONS file of Deribit's scale (24 columns), split by base asset: seconds, peak memory, order kept.

The simulator makes the file as it serves it, with three bases; one with 40 is made here and kept. The use case runs in
a process of its own. Twice the rows show that time grows with them and memory does not; the largest known file has 236
million.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path

import polars as pl
from isal import isal_zlib

from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.keys import LAYOUTS
from market_data.lake.open import open_lake
from market_data.model.data_types import TABLES, DataType
from market_data.simulator.http.server import DEFAULT_KEY, SimulatorOptions, run_simulator
from market_data.simulator.vendor.generated import GeneratedSource
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection
from market_data.vendor.client import TardisClient
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder
from market_data_tests.benchmarks.memory import own_peak_kb, run_alone
from market_data_tests.benchmarks.tick_files import BENCH_HOME, to_csv

_DAY, _CLOCK = date(2024, 8, 8), "2024-08-11T07:00:00Z"
_LARGEST_ROWS = 236_000_000
_BASES, _BLOCK_ROWS = 40, 250_000
_DAY_US = 86_400_000_000
_SELECTION = Selection(data_types=(DataType.OPTIONS_CHAIN,), instrument_types=("OPTION",))


def measure(options: Options) -> Results:
    """Give seconds and peak for two numbers of rows, and what they mean for the largest known file."""
    counts = (
        (500_000, 1_000_000) if options.quick else (15_000_000, 30_000_000) if options.full else (2_000_000, 4_000_000)
    )
    results: Results = {}
    seconds_of: dict[int, float] = {}
    for rows in counts:
        with (
            disk_folder() as folder,
            run_simulator(SimulatorOptions(clock=_CLOCK, options_rows=rows)) as simulator,
        ):
            addresses = [simulator.api_url, simulator.datasets_url]
            seconds_of[rows], peak_mb, _ = run_alone("market_data_tests.benchmarks.grouped", [*addresses, str(folder)])
            parts = _check_order(folder, rows)
        million = f"{rows / 1e6:g}M_rows"
        results[f"grouped.{million}"] = Measured((seconds_of[rows],), "s", f"{parts} objects, made while it is served")
        results[f"grouped.{million}.peak_rss_mb"] = Measured((peak_mb,), "MB", "")
    results |= _measure_many_bases(counts[-1])
    few, many = counts
    each = (seconds_of[many] - seconds_of[few]) / (many - few)
    minutes = each * _LARGEST_ROWS / 60
    results["grouped.236M_rows"] = Measured((minutes,), "min", "extrapolated from the two")
    return results


def _measure_many_bases(rows: int) -> Results:
    files = _keep_many_bases(rows)
    with disk_folder() as folder, run_simulator(SimulatorOptions(clock=_CLOCK, files=files)) as simulator:
        addresses = [simulator.api_url, simulator.datasets_url]
        seconds, peak_mb, _ = run_alone("market_data_tests.benchmarks.grouped", [*addresses, str(folder)])
        parts = _check_order(folder, rows)
    name = f"grouped.{rows / 1e6:g}M_rows.{_BASES}_bases"
    return {
        name: Measured((seconds,), "s", f"{parts} objects"),
        f"{name}.peak_rss_mb": Measured((peak_mb,), "MB"),
    }


def _keep_many_bases(rows: int) -> Path:
    """Return a folder with an OPTIONS file of that many bases: a block of generated rows again and again, later."""
    folder = BENCH_HOME / f"options-{rows}-{_BASES}"
    path = folder / f"deribit_options_chain_{_DAY}_OPTIONS.csv.gz"
    if path.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    pieces = GeneratedSource(1, 1.0, options_rows=_BLOCK_ROWS).stream_file(
        "deribit", DataType.OPTIONS_CHAIN, "OPTIONS", _DAY
    )
    text = gzip.decompress(b"".join(pieces or ()))
    columns = TABLES[DataType.OPTIONS_CHAIN].vendor_columns
    block = pl.read_csv(text, schema={c.csv_name: pl.String() for c in columns})
    base = pl.format("X{}", pl.col("symbol").hash(1) % _BASES)
    rest = pl.col("symbol").str.replace(r"^[A-Z]+", "")
    block = block.with_columns(pl.concat_str(base, rest).alias("symbol"))
    times, blocks = pl.col("timestamp", "local_timestamp"), rows // _BLOCK_ROWS
    midnight_us = int(datetime.combine(_DAY, time_of_day(), UTC).timestamp()) * 1_000_000
    block = block.with_columns(times.cast(pl.Int64))
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    with path.with_suffix(".part").open("wb") as sink:
        sink.write(packer.compress((TABLES[DataType.OPTIONS_CHAIN].csv_header + "\n").encode()))
        for number in range(blocks):
            start = midnight_us + number * (_DAY_US // blocks)
            moved = block.with_columns((times - midnight_us) // blocks + start)
            sink.write(packer.compress(to_csv(moved, has_header=False)))
        sink.write(packer.flush())
    # the universe needs a member of the group, whose own file is not asked for
    (folder / f"deribit_options_chain_{_DAY}_BTC-27SEP24-50000-C.csv.gz").write_bytes(gzip.compress(b""))
    path.with_suffix(".part").rename(path)
    return folder


def _check_order(folder: Path, rows: int) -> int:
    """Hold every published part to the vendor's order, and all of them to its number of rows."""
    parts = sorted((folder / "lake/ticks/by_date").rglob("*.parquet"))
    found = 0
    for part in parts:
        arrivals = pl.scan_parquet(part, glob=False).select("local_timestamp").collect()["local_timestamp"]
        assert arrivals.is_sorted(), part
        found += arrivals.len()
    assert found == rows
    return len(parts)


def _ingest(api_url: str, datasets_url: str, folder: str) -> None:
    lake = open_lake(Path(folder, "lake").as_uri())

    def client() -> TardisClient:
        return TardisClient(api_url=api_url, datasets_url=datasets_url, api_key=DEFAULT_KEY)

    async def learn() -> VenueDay:
        async with client() as asking:
            (universe,) = await learn_universes(lake, asking, "DERIBIT", (_DAY,), _SELECTION, today=_DAY)
        return VenueDay(universe, _SELECTION, _SELECTION.data_types, LAYOUTS, "simulator", "benchmark")

    started = time.perf_counter()
    (result,) = ingest_venue_day(lake, client, asyncio.run(learn()))
    assert result.receipt.is_complete, [file.error for file in result.receipt.open_files]
    print(f"ingested in {time.perf_counter() - started:.1f} s", file=sys.stderr)  # noqa: T201  for who watches


if __name__ == "__main__":
    _ingest(*sys.argv[1:])
    print(own_peak_kb())  # noqa: T201  the answer to the parent
