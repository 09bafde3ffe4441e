"""`official_client_over_download`: the vendor's own Python client over our download, which also proves every file.

200 files of one day, about 100 kB each, at no latency and at 100 ms before each answer. Of one day the vendor's client
fetches one file after the other (it goes wide over days only); ours goes as wide as `ingest` does and reads each gzip
to its end, counting lines and cells.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import tardis_dev  # type: ignore[import-untyped]

from market_data.ingest.venue_day import VenueDay
from market_data.model.data_types import DataType
from market_data.model.limits import DEFAULT_FILES_AT_ONCE
from market_data.model.tick_file import TickFile
from market_data.ticks.gzip import TickText
from market_data.universe.rules import expected_tick_files
from market_data.vendor.downloads import Downloaded
from market_data_tests.benchmarks.measured import Options, Results, Side, measure_in_turn, ratio
from market_data_tests.benchmarks.static_vendor import static_vendor
from market_data_tests.benchmarks.tick_files import DAY, EXCHANGE_ID, TickFileSpec, keep_tick_files
from market_data_tests.benchmarks.venue_days import open_client, plan_day

_ROWS = 8_700  # about 100 kB of gzip
_TYPES = (DataType.TRADES, DataType.BOOK_TICKER)
_LATENCIES_MS = (0, 100)


def _files(count: int) -> Path:
    symbols = [f"X{number:03d}USDT" for number in range(count // len(_TYPES))]
    specs = [TickFileSpec(data_type, symbol, _ROWS) for symbol in symbols for data_type in _TYPES]
    return keep_tick_files(f"downloads-{count}", specs)


def _official_client(url: str, plan: VenueDay) -> Side:
    def run(folder: Path) -> None:
        tardis_dev.download_datasets(
            exchange=EXCHANGE_ID,
            data_types=[str(data_type) for data_type in plan.data_types],
            symbols=[item.vendor_symbol for item in plan.universe.selected],
            from_date=f"{DAY}",
            to_date=f"{DAY + timedelta(days=1)}",
            download_dir=str(folder),
            endpoint=url,
        )

    return run


def _verified_download(url: str, plan: VenueDay) -> Side:
    files = [
        file for data_type in plan.data_types for file in expected_tick_files(plan.universe, plan.selection, data_type)
    ]

    async def fetch_all(folder: Path, pool: ThreadPoolExecutor) -> None:
        slots, loop = asyncio.Semaphore(DEFAULT_FILES_AT_ONCE), asyncio.get_running_loop()

        async def fetch(file: TickFile) -> None:
            path = folder / f"{file.unit.data_type}-{file.vendor_symbol}.csv.gz"
            async with slots:
                assert isinstance(await client.download(file, path), Downloaded)
                await loop.run_in_executor(pool, TickText(path, file).prove)

        async with open_client(url) as client, asyncio.TaskGroup() as group:
            for file in files:
                group.create_task(fetch(file))

    def run(folder: Path) -> None:
        with ThreadPoolExecutor(2) as pool:
            asyncio.run(fetch_all(folder, pool))

    return run


def measure(options: Options) -> Results:
    """Give the ratio at each latency."""
    results: Results = {}
    for latency_ms in _LATENCIES_MS:
        with static_vendor(_files(40 if options.quick else 200), latency_ms) as url:
            plan = plan_day(url)
            sides = {"official": _official_client(url, plan), "ours": _verified_download(url, plan)}
            measure_in_turn(1, sides)
            # without latency a round takes a third of a second: a few of them say little
            spent = measure_in_turn(options.rounds if latency_ms else 3 * options.rounds, sides)
        name = f"official_client_over_download.{latency_ms}ms"
        results[name] = ratio(spent["official"].seconds, spent["ours"].seconds)
    return results
