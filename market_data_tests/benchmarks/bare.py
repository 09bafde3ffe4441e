"""The shortest honest script a good engineer would write for one layout: what `venue_day_over_bare` divides by.

Many downloads at once to disk, each file decoded on a thread while others download (which reads the gzip to its end
and checks its sum), typed columns, the same compression and row groups as ours. No proof of the rows, no receipt, no
other layout, no statistics, no fsync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import polars as pl
from httpx_aiohttp import AiohttpTransport

from market_data.model.data_types import TABLES, ColumnKind, DataType

_FILES_AT_ONCE = 16
_DECODES_AT_ONCE = 2  # 1 is slower here, 3 and 4 are not faster


def fetch_day(url: str, files: Sequence[tuple[DataType, str]], day_path: str, folder: Path) -> None:
    """Download the files (data type, symbol) of one exchange and day, and write each as Parquet."""
    asyncio.run(_fetch_all(url, files, day_path, folder))


async def _fetch_all(url: str, files: Sequence[tuple[DataType, str]], day_path: str, folder: Path) -> None:
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
    """Write the Parquet of one csv.gz."""
    columns = TABLES[data_type].vendor_columns
    schema = {c.csv_name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}
    typed = [pl.col(c.csv_name).cast(c.kind.dtype).alias(c.name) for c in columns]
    rows = pl.scan_csv(path, schema=schema, glob=False).select(typed)
    rows.sink_parquet(target, compression="zstd", compression_level=1, row_group_size=250_000)
