"""What reading one column of one instrument-day in GCS asks of the store, by each way of reading.

Writes a trades-like Parquet object to a GCS server on loopback and counts, in the proxy before it, the bytes that each
reader requests (the sum of the ranges asked for) and is sent (a reader may stop early).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake, polars_storage_options
from market_data_tests.benchmarks.measured import Measured, Options, Results
from market_data_tests.gcs_server import GcsServer, Traffic, gcs_server

ROWS = 3_750_000
ROW_GROUP_ROWS = 250_000
BUCKET = "benchmark"
KEY = "ticks/by_date/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.parquet"


def measure(_: Options) -> Results:
    """Write the object, read one column each way: MB that were asked for and seconds."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as scratch, gcs_server(Path(scratch, "objects")) as server:
        os.environ.update(server.environment)
        server.create_bucket(BUCKET)
        lake = open_lake(f"gs://{BUCKET}")
        path = Path(scratch, "trades.parquet")
        make_trades().write_parquet(path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP_ROWS)
        lake.put_file(path, KEY)
        results["read_paths.column_itself"] = Measured((compute_column_bytes(path, "price") / 1e6,), "MB")
        for name, read in make_readers(lake).items():
            seconds, traffic = read_twice(server, read)
            note = f"{seconds:.2f} s, {traffic.requests} requests, {traffic.bytes_sent / 1e6:.2f} MB sent"
            results[f"read_paths.{name}"] = Measured((traffic.bytes_requested / 1e6,), "MB", note)
    return results


def make_trades() -> pl.DataFrame:
    """Make trades whose columns compress about as well as real ones."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    noise = row.hash(seed=1)
    instant = pl.lit(1_723_075_200_000_000) + row * 34_000 + (noise % 30_000).cast(pl.Int64)
    return pl.select(pl.repeat("BINANCE:SPOT_PAIR:BTC-USDT", ROWS).alias("instrument_key")).select(
        "instrument_key",
        pl.lit("BTCUSDT").alias("symbol"),
        instant.cast(pl.Datetime("us", "UTC")).alias("timestamp"),
        (instant + 1_500 + (row.hash(seed=2) % 9_000).cast(pl.Int64))
        .cast(pl.Datetime("us", "UTC"))
        .alias("local_timestamp"),
        (pl.lit(3_700_000_000) + row).cast(pl.String).alias("id"),
        pl.when(noise % 2 == 0).then(pl.lit("buy")).otherwise(pl.lit("sell")).alias("side"),
        ((6_000_000 + (row // 100) % 9_000 + (noise % 200).cast(pl.Int64)) / 100).alias("price"),
        ((1 + row.hash(seed=3) % 2_000_000) / 100_000).alias("amount"),
    )


def compute_column_bytes(path: Path, column: str) -> int:
    """Give the compressed bytes that one column takes, by the footer."""
    footer = pq.ParquetFile(path).metadata
    index = footer.schema.names.index(column)
    return sum(footer.row_group(group).column(index).total_compressed_size for group in range(footer.num_row_groups))


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
