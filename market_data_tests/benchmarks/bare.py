"""The shortest honest script a good engineer would write for one layout: what `venue_day_over_bare` divides by.

Many downloads at once to disk, each file decoded on a thread while others download (which reads the gzip to its end
and checks its sum), typed columns, Parquet as Polars writes it in a stream, or encoded as ours from a frame. No proof
of the rows, no receipt, no other layout, no statistics, no fsync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import polars as pl
import pyarrow.parquet as pq
from httpx_aiohttp import AiohttpTransport

from market_data.model.data_types import TABLES, ColumnKind, DataType, Encoding

_FILES_AT_ONCE = 16
_DECODES_AT_ONCE = 2  # 1 is slower here, 3 and 4 are not faster


Decode = Callable[[Path, DataType, Path], None]


def fetch_day(url: str, files: Sequence[tuple[DataType, str]], day_path: str, folder: Path, decode: Decode) -> None:
    """Download the files (data type, symbol) of one exchange and day, and write each as Parquet."""
    asyncio.run(_fetch_all(url, files, day_path, folder, decode))


async def _fetch_all(
    url: str, files: Sequence[tuple[DataType, str]], day_path: str, folder: Path, decode: Decode
) -> None:
    slots, loop = asyncio.Semaphore(_FILES_AT_ONCE), asyncio.get_running_loop()
    transport = AiohttpTransport(limits=httpx.Limits(max_connections=_FILES_AT_ONCE))
    with ThreadPoolExecutor(_DECODES_AT_ONCE) as pool:
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:

            async def fetch(data_type: DataType, symbol: str) -> None:
                path = folder / f"{data_type}-{symbol}.csv.gz"
                async with slots:
                    await _download(client, f"{url}/{data_type}/{day_path}/{symbol}.csv.gz", path)
                target = path.with_suffix("").with_suffix(".parquet")
                await loop.run_in_executor(pool, decode, path, data_type, target)

            async with asyncio.TaskGroup() as group:
                for data_type, symbol in files:
                    group.create_task(fetch(data_type, symbol))


async def _download(client: httpx.AsyncClient, url: str, path: Path) -> None:
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        with path.open("wb") as sink:
            async for chunk in response.aiter_raw():
                sink.write(chunk)


def decode(path: Path, data_type: DataType, target: Path) -> None:
    """Write the Parquet of one csv.gz in a stream, as Polars does at zstd 1."""
    columns = TABLES[data_type].vendor_columns
    schema = {c.csv_name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}
    typed = [pl.col(c.csv_name).cast(c.kind.dtype).alias(c.name) for c in columns]
    rows = pl.scan_csv(path, schema=schema, glob=False).select(typed)
    rows.sink_parquet(target, compression="zstd", compression_level=1, row_group_size=250_000)


def decode_encoded(path: Path, data_type: DataType, target: Path) -> None:
    """Write the Parquet of one csv.gz that is read whole, each column encoded as its table spec says."""
    columns = TABLES[data_type].vendor_columns
    schema = {c.name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}
    rows = pl.read_csv(path, has_header=False, skip_rows=1, schema=schema, quote_char=None, glob=False)
    typed = rows.with_columns(pl.col(c.name).cast(c.kind.dtype) for c in columns)
    pq.write_table(
        typed.to_arrow(compat_level=pl.CompatLevel.oldest()),
        target,
        compression="zstd",
        compression_level=3,
        row_group_size=250_000,
        use_dictionary=[c.name for c in columns if c.encoding is Encoding.DICTIONARY],
        column_encoding={c.name: c.encoding.value for c in columns if c.encoding is not Encoding.DICTIONARY},
    )
