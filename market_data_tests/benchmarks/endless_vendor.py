"""A vendor of one very large tick file, made as it is sent: never held whole, neither in memory nor on disk.

Trades of one symbol and day with arrival times that never step back. A block of rows is made once; each time it is sent
its times and ids move on, so that the file has as many different rows as it claims.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time

import polars as pl
from aiohttp import web
from isal import isal_zlib

from market_data.model.data_types import TABLES, DataType
from market_data_tests.benchmarks.static_vendor import FILE_PATH, describe_exchange_of, serve_until_stdin_ends
from market_data_tests.benchmarks.tick_files import DAY, TickFileSpec, make_rows, to_csv

SYMBOL = "BTCUSDT"
_BLOCK_ROWS = 100_000
_ROW_BYTES = 81
_DAY_US = 86_400_000_000
_GZIP_LEVEL, _GZIP_WINDOW = 1, 31


def make_gzip(csv_bytes: int) -> Iterator[bytes]:
    """Yield the gzip of about so many bytes of CSV, piece by piece."""
    blocks = max(1, csv_bytes // (_BLOCK_ROWS * _ROW_BYTES))
    spec = TickFileSpec(DataType.TRADES, SYMBOL, _BLOCK_ROWS)
    midnight_us = int(datetime.combine(DAY, time(), UTC).timestamp()) * 1_000_000
    step_us = _DAY_US // blocks
    times = pl.col("timestamp", "local_timestamp")
    # a whole day's block, squeezed into its part of the day
    block = make_rows(spec).with_columns((times - midnight_us) // blocks + midnight_us, pl.col("id").cast(pl.Int64))
    packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    yield packer.compress((TABLES[DataType.TRADES].csv_header + "\n").encode())
    for number in range(blocks):
        moved = block.with_columns(times + number * step_us, pl.col("id") + number * _BLOCK_ROWS)
        yield packer.compress(to_csv(moved, has_header=False))
    yield packer.flush()


def _build(csv_bytes: int) -> web.Application:
    async def get_exchange(_: web.Request) -> web.Response:
        return web.json_response(describe_exchange_of([(DataType.TRADES, DAY, SYMBOL)]))

    async def get_file(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        pieces, loop = make_gzip(csv_bytes), asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            while piece := await loop.run_in_executor(pool, _next_piece, pieces):
                await response.write(piece)
        return response

    app = web.Application()
    app.router.add_get("/v1/exchanges/{exchange}", get_exchange)
    app.router.add_get(FILE_PATH, get_file)
    return app


def _next_piece(pieces: Iterator[bytes]) -> bytes:
    # a compressor keeps small pieces to itself: an empty one is not the end
    return next((piece for piece in pieces if piece), b"")


if __name__ == "__main__":
    asyncio.run(serve_until_stdin_ends(_build(int(sys.argv[1]))))
