"""`index`: what readers need to plan, from receipts alone, from their parts, and from compacted months.

A year of `trades` of one venue with few and with many symbols, and a year of 60 venues with three data types each. Each
question is asked in a process of its own, of the same lake as a local directory and through a GCS server on loopback,
whose proxy counts requests and the bytes of contents. Seconds through that server say nothing of GCS; CPU is the
reader's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from market_data.index.store import save_part
from market_data.lake.keys import index_month_prefix
from market_data.model.data_types import DataType
from market_data.universe.table import store_universe
from market_data_tests.benchmarks.index_lakes import (
    FIRST_DAY,
    MadeLake,
    Unit,
    days_from_first,
    fill,
    make_lake,
    make_universe,
    read_made,
    write_parts,
)
from market_data_tests.benchmarks.index_question import COVERED_TYPES
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder, ratio
from market_data_tests.gcs_server import GcsServer, gcs_server

_FEW, _MANY = 300, 3_000
_MONTH, _YEAR = 30, 365
_FEW_VENUES, _VENUES, _SMALL = 6, 60, 5
_STORES = ("local", "gs")
_LONGEST_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Spent:
    """What one question took; requests and bytes are known on `gs` alone."""

    seconds: float
    cpu_seconds: float
    growth_mb: float
    requests: int
    received_mb: float

    def told(self) -> str:
        """Return all of it but the CPU seconds."""
        counted = f", {self.requests} requests, {self.received_mb:.1f} MB received" if self.requests else ""
        return f"{self.seconds:.2f} s, {self.growth_mb:+.0f} MB{counted}"


@dataclass(slots=True)
class _Bench:
    """One run: `results` grow, and `spent` is what each of them was made from."""

    server: GcsServer
    home: Path
    results: Results
    spent: dict[str, Spent]

    def ask(self, name: str, made: MadeLake, question: str, days: int, stores: Sequence[str] = _STORES) -> None:
        """Ask a question of each store, and keep what it took under the name, the days and the store."""
        made.show_to_emulator()
        for store in stores:
            full = f"index.{name}.{days}_days.{store}"
            spent = _ask(self.server, question, made.url(store), days)
            self.spent[full] = spent
            self.results[full] = Measured((spent.cpu_seconds,), "CPU s", spent.told())

    def compare(self, name: str, above: str, below: str) -> None:
        """Keep how much more CPU, and how much more memory, one answer took than another."""
        over, under = self.spent[f"index.{above}"], self.spent[f"index.{below}"]
        note = f"memory {over.growth_mb / max(under.growth_mb, 1):.1f} x"
        self.results[f"index.{name}"] = ratio((over.cpu_seconds,), (under.cpu_seconds,), note)


def measure(options: Options) -> Results:
    """Fill the lakes, ask each question before and after each step, and measure the steps."""
    year = 2 * _MONTH if options.quick else _YEAR
    with disk_folder() as home, gcs_server(home / "objects") as server:
        os.environ.update(server.environment)
        bench = _Bench(server, home / "objects", {}, {})
        few, many = (_FEW // 5, _MANY // 5) if options.quick else (_FEW, _MANY)
        _measure_venue(bench, few, year, ["instrument"])
        _measure_venue(bench, many, year, ["instrument", "base", "find"])
        # the emulator walks all objects of a bucket for each listing
        _measure_coverage(bench, _FEW_VENUES, year, "gs")
        _measure_coverage(bench, _VENUES // 4 if options.quick else _VENUES, year, "local")
    return bench.results


def _measure_venue(bench: _Bench, symbols: int, year: int, questions: Sequence[str]) -> None:
    """Ask about a venue with so many symbols a day: one instrument, one base, or all of them."""
    universe = make_universe("BINANCE", symbols, [DataType.TRADES])
    name = f"{symbols}_symbols"
    made = make_lake(bench.server, bench.home, f"venue-{symbols}")
    units = fill(made, universe, DataType.TRADES, days_from_first(year))
    for unit, _ in units:
        store_universe(made.local, replace(universe, day=unit.day))
    for question in questions:
        bench.ask(f"{name}.{question}.receipts", made, question, _MONTH)
    bench.ask(f"{name}.rebuild_month_from_receipts", made, "rebuild", 31, ["local"])
    for stat in made.local.list_objects(index_month_prefix(FIRST_DAY)):
        made.local.delete(stat.key)
    bench.results[f"index.{name}.save_part"] = _measure_parts(made, units[:5])
    write_parts(made, units)
    for question in questions:
        bench.ask(f"{name}.{question}.parts", made, question, _MONTH)
        bench.ask(f"{name}.{question}.parts", made, question, year)
    bench.ask(f"{name}.compact_month_from_parts", made, "compact", 31, ["local"])
    bench.ask(f"{name}.compact_the_rest_from_parts", made, "compact", year, ["local"])
    for question in questions:
        of = f"{name}.{question}"
        bench.ask(f"{of}.months", made, question, _MONTH)
        bench.ask(f"{of}.months", made, question, year)
        for stage in ("receipts", "parts"):
            bench.compare(f"{of}.{stage}_over_months", *(f"{of}.{it}.{_MONTH}_days.gs" for it in (stage, "months")))
    bench.results |= _measure_bytes(made, name, symbols * year)


def _measure_coverage(bench: _Bench, venues: int, year: int, store: str) -> None:
    """Measure the coverage of many venues of which each day has few files."""
    made = make_lake(bench.server, bench.home, f"venues-{venues}")
    for number in range(venues):
        universe = make_universe(f"BINANCE{number:02d}", _SMALL, COVERED_TYPES)
        for data_type in COVERED_TYPES:
            fill(made, universe, data_type, days_from_first(year), bodies=7)
    name = f"{venues}_venues"
    bench.ask(f"{name}.coverage.receipts", made, "coverage", _MONTH, [store])
    bench.ask(f"{name}.compact_year_from_receipts", made, "compact", year, ["local"])
    bench.ask(f"{name}.coverage.months", made, "coverage", _MONTH, [store])
    bench.ask(f"{name}.coverage.months", made, "coverage", year, [store])
    of = f"{name}.coverage"
    bench.compare(f"{of}.receipts_over_months", *(f"{of}.{it}.{_MONTH}_days.{store}" for it in ("receipts", "months")))


def _ask(server: GcsServer, question: str, url: str, days: int) -> Spent:
    server.requests.clear()
    server.traffic.clear()
    command = [sys.executable, "-m", "market_data_tests.benchmarks.index_question", question, url, str(days)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_LONGEST_SECONDS)
    received = sum(traffic.bytes_sent for traffic in server.traffic.values())
    seconds, cpu_seconds, growth_mb = json.loads(answer.stdout)
    return Spent(seconds, cpu_seconds, growth_mb, len(server.requests), received / 1e6)


def _measure_parts(made: MadeLake, units: Sequence[Unit]) -> Measured:
    seconds = []
    for unit, generation in units:
        receipt = read_made(made, unit)
        started = time.process_time()
        save_part(made.local, receipt, generation)
        seconds.append(time.process_time() - started)
    return Measured(tuple(seconds), "CPU s", "the index part that a run writes of a day")


def _measure_bytes(made: MadeLake, name: str, files: int) -> Results:
    sizes = {
        "receipts": made.local.list_objects("receipt/"),
        "parts": made.local.list_objects("index/part/"),
        "months": [stat for stat in made.local.list_objects("index/") if stat.key.endswith("files.parquet")],
    }
    return {
        f"index.{name}.{what}_bytes": Measured(
            (sum(stat.size_bytes for stat in stats) / files,),
            "B/file",
            f"{sum(it.size_bytes for it in stats) / 1e6:.1f} MB",
        )
        for what, stats in sizes.items()
    }
