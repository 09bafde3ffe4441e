"""What reading one column of one instrument-day in GCS, or one hour of it, asks of the store, by each way of reading.

Writes a day of trades to a GCS server on loopback, as ingestion does, and counts, in the proxy before it, the bytes
that each reader requests (the sum of the ranges asked for) and is sent (a reader may stop early).
`instrument_hour_bytes` is the worst of three engines that read all columns of an hour, over that hour's share of its
row groups.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake, polars_storage_options
from market_data.model.data_types import DataType
from market_data_tests.benchmarks.encoding import write_now
from market_data_tests.benchmarks.measured import Measured, Options, Results
from market_data_tests.benchmarks.tick_files import DAY, TickFileSpec, make_rows
from market_data_tests.gcs_server import GcsServer, Traffic, gcs_server

ROWS = 3_750_000
BUCKET = "benchmark"
KEY = "ticks/by_date/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.parquet"
HOUR = datetime(DAY.year, DAY.month, DAY.day, 14, tzinfo=UTC)


def measure(_: Options) -> Results:
    """Write the object, read one column and one hour each way: MB that were asked for, and seconds."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as scratch, gcs_server(Path(scratch, "objects")) as server:
        os.environ.update(server.environment)
        server.create_bucket(BUCKET)
        lake = open_lake(f"gs://{BUCKET}")
        path = Path(scratch, "trades.parquet")
        write_now(make_rows(TickFileSpec(DataType.TRADES, "BTCUSDT", ROWS)), DataType.TRADES, path)
        lake.put_file(path, KEY)
        results["read_paths.column_itself"] = Measured((compute_column_bytes(path, "price") / 1e6,), "MB")
        for name, read in make_readers(lake).items():
            results[f"read_paths.{name}"] = _megabytes(*read_twice(server, read))
        itself = compute_hour_bytes(path)
        ratios = {}
        for name, read in make_hour_readers(lake).items():
            seconds, traffic = read_twice(server, read)
            ratios[name] = traffic.bytes_requested / itself
            note = f"{seconds:.2f} s, {traffic.requests} requests of {itself / 1e6:.2f} MB"
            results[f"instrument_hour_bytes.{name}"] = Measured((ratios[name],), "x", note)
        results["instrument_hour_bytes"] = Measured((max(ratios.values()),), "x", max(ratios, key=ratios.__getitem__))
    return results


def _megabytes(seconds: float, traffic: Traffic) -> Measured:
    note = f"{seconds:.2f} s, {traffic.requests} requests, {traffic.bytes_sent / 1e6:.2f} MB sent"
    return Measured((traffic.bytes_requested / 1e6,), "MB", note)


def compute_column_bytes(path: Path, column: str) -> int:
    """Give the compressed bytes that one column takes, by the footer."""
    footer = pq.ParquetFile(path).metadata
    index = footer.schema.names.index(column)
    return sum(footer.row_group(group).column(index).total_compressed_size for group in range(footer.num_row_groups))


def compute_hour_bytes(path: Path) -> float:
    """Give the bytes of the hour's rows, by the footer: of each row group the share that its rows are."""
    footer = pq.ParquetFile(path).metadata
    arrivals = pl.read_parquet(path, columns=["local_timestamp"])["local_timestamp"]
    start, total = 0, 0.0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        rows = arrivals.slice(start, group.num_rows)
        share = rows.is_between(HOUR, HOUR + timedelta(hours=1), closed="left").sum() / group.num_rows
        total += share * sum(group.column(place).total_compressed_size for place in range(group.num_columns))
        start += group.num_rows
    return total


def make_hour_readers(lake: TickLake) -> dict[str, Callable[[], float]]:
    """Give each engine's way of reading all columns of an hour; all return its number of rows."""
    import gcsfs  # noqa: PLC0415  reads the environment when it is imported
    import pyarrow.dataset as ds  # noqa: PLC0415

    uri, end = lake.uri(KEY), HOUR + timedelta(hours=1)
    # the default of 5 MB reads ahead of what was asked for
    buckets: Any = gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True, block_size=64 * 1024)

    def by_polars() -> float:
        scan = pl.scan_parquet(uri, glob=False, storage_options=polars_storage_options(lake))
        wanted = pl.col("local_timestamp").is_between(HOUR, end, closed="left")
        return float(scan.filter(wanted).collect().height)

    def by_pyarrow() -> float:
        time_column = ds.field("local_timestamp")
        dataset = ds.dataset(uri.removeprefix("gs://"), filesystem=buckets, format="parquet")
        return float(dataset.to_table(filter=(time_column >= HOUR) & (time_column < end)).num_rows)

    def by_duckdb() -> float:
        with duckdb.connect() as engine:
            engine.register_filesystem(buckets)
            rows = engine.read_parquet(uri).filter(f"local_timestamp >= '{HOUR}' and local_timestamp < '{end}'")
            return float(len(rows.fetchall()))

    return {"polars": by_polars, "pyarrow": by_pyarrow, "duckdb": by_duckdb}


def make_readers(lake: TickLake) -> dict[str, Callable[[], float]]:
    """Give each way of reading; all sum the column `price`."""
    uri, options = lake.uri(KEY), polars_storage_options(lake)

    def read_by_polars(columns: list[str]) -> float:
        scan = pl.scan_parquet(uri, glob=False, storage_options=options)
        return float(scan.select(pl.col(columns)).collect()["price"].sum())

    def read_by_arrow(*, pre_buffer: bool) -> float:
        import gcsfs  # noqa: PLC0415  reads the environment when it is imported
        import pyarrow.compute as pc  # noqa: PLC0415
        import pyarrow.dataset as ds  # noqa: PLC0415

        options = ds.ParquetFragmentScanOptions(pre_buffer=pre_buffer)
        table = ds.dataset(
            uri.removeprefix("gs://"),
            filesystem=gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True),
            format=ds.ParquetFileFormat(default_fragment_scan_options=options),
        ).to_table(columns=["price"])
        return float(pc.sum(table["price"]).as_py())

    def read_whole_object() -> float:
        with tempfile.TemporaryDirectory() as directory:
            return float(
                pl.scan_parquet(lake.fetch_file(KEY, Path(directory))).select("price").collect()["price"].sum()
            )

    return {
        "polars": lambda: read_by_polars(["price"]),
        "polars_all_8_columns": lambda: read_by_polars(["*"]),
        "pyarrow_gcsfs": lambda: read_by_arrow(pre_buffer=True),
        "pyarrow_gcsfs_unbuffered": lambda: read_by_arrow(pre_buffer=False),
        "fetch_file_then_polars": read_whole_object,
    }


def read_twice(server: GcsServer, read: Callable[[], float]) -> tuple[float, Traffic]:
    """Read twice, so that imports and connections are paid for, and measure the second time (in seconds)."""
    read()
    server.traffic.clear()
    start = time.perf_counter()
    read()
    seconds = time.perf_counter() - start
    return seconds, server.traffic[f"{BUCKET}/{KEY}"]
