"""Whether time grows with what is there already: seconds by file from 1 to 1,000 files, by day from 1 to 365 days."""

from __future__ import annotations

import asyncio
import time
from datetime import date, timedelta
from pathlib import Path

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.universe.learn import learn_universes
from market_data.universe.table import store_universe
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder, measure_in_turn, ratio
from market_data_tests.benchmarks.static_vendor import static_vendor
from market_data_tests.benchmarks.tick_files import DAY, VENUE, TickFileSpec, keep_tick_files
from market_data_tests.benchmarks.venue_days import ingest, ingest_into_fresh_lake, open_client, plan_day

_FILE_ROWS, _DAY_ROWS = 400, 20


def _many_files(count: int) -> Path:
    specs = [TickFileSpec(DataType.TRADES, f"X{number:03d}USDT", _FILE_ROWS) for number in range(count)]
    return keep_tick_files(f"growth-{count}", specs)


def measure_files(options: Options) -> Results:
    """Give the seconds, and the milliseconds by file, of a venue-day with so many small files."""
    counts = (1, 10, 100) if options.quick else (1, 10, 100, 1000)
    with static_vendor(_many_files(counts[-1])) as url:
        sides = {str(n): ingest_into_fresh_lake(url, plan_day(url, max_instruments=n)) for n in counts}
        measure_in_turn(1, sides)
        spent = measure_in_turn(options.rounds, sides)
    results: Results = {}
    for count in counts:
        seconds = spent[str(count)].seconds
        results[f"growth.{count}_files"] = Measured(seconds, "s")
        results[f"growth.{count}_files.each"] = Measured(tuple(s / count * 1000 for s in seconds), "ms/file")
    return results


def many_days(count: int) -> tuple[Path, list[date]]:
    days = [DAY + timedelta(days=number) for number in range(count)]
    types = (DataType.TRADES, DataType.QUOTES)
    specs = [TickFileSpec(data_type, "BTCUSDT", _DAY_ROWS, day) for day in days for data_type in types]
    return keep_tick_files(f"growth-{count}-days", specs), days


def run_day(lake: TickLake, url: str, day: date) -> float:
    """Do what a run of the day does: learn and keep the universe, then ingest; give the seconds."""
    plan = plan_day(url, day)
    started = time.perf_counter()

    async def learn() -> None:
        async with open_client(url) as client:
            (universe,) = await learn_universes(
                lake, client, VENUE, (day,), plan.selection, today=DAY + timedelta(days=999)
            )
        store_universe(lake, universe)

    asyncio.run(learn())
    ingest(lake, url, plan)
    return time.perf_counter() - started


def measure_days(options: Options) -> Results:
    """Give the seconds of a tiny day in a lake that holds a year of them, over those in an almost empty one."""
    folder, days = many_days(40 if options.quick else 365)
    older, newest = days[: -len(days) // 12], days[-len(days) // 12 :]
    with static_vendor(folder) as url, disk_folder() as home:
        full, empty = open_lake((home / "full").as_uri()), open_lake((home / "empty").as_uri())
        for day in older:
            run_day(full, url, day)
        # in turn, day by day: a busy minute of the machine is not taken for growth
        spent = [(run_day(full, url, day), run_day(empty, url, day)) for day in newest]
    in_full, in_empty = zip(*spent, strict=True)
    return {
        f"growth.{len(days)}_days": ratio(in_full, in_empty),
        f"growth.{len(days)}_days.last_each": Measured(in_full, "s/day"),
        f"growth.{len(days)}_days.first_each": Measured(in_empty, "s/day"),
    }
