"""Results for people and for the next run: a table, a dated JSON file, Markdown for the README."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from market_data_tests.benchmarks.measured import Measured, Options, Results
from market_data_tests.benchmarks.tick_files import BENCH_HOME

_FILE = BENCH_HOME.with_suffix(".json")
_QUICK_FILE = BENCH_HOME.with_name("bench-quick.json")  # smaller files: other numbers under the same names
_PACKAGES = ("market-data", "polars", "pyarrow", "dagster", "httpx", "aiohttp", "isal", "pandas", "tardis-dev")


def format_line(name: str, measured: Measured) -> str:
    """Return a line of the table on the terminal."""
    low, high = measured.spread
    spread = f"({low:.3g} to {high:.3g}, {len(measured.rounds)} rounds)" if len(measured.rounds) > 1 else ""
    return f"{name:<60}{measured.value:>9.3g} {measured.unit:<12}{spread} {measured.note}".rstrip()


def describe_machine() -> dict[str, Any]:
    """Return the facts without which a number says nothing."""
    page_bytes, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(page_bytes * pages / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def save(results: Results, options: Options) -> Path:
    """Merge results into their file: what was not measured this time keeps its date."""
    path = _QUICK_FILE if options.quick else _FILE
    known: dict[str, Any] = json.loads(path.read_text())["results"] if path.exists() else {}
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    for name, measured in results.items():
        low, high = measured.spread
        known[name] = {"value": measured.value, "low": low, "high": high, "measured": now} | asdict(measured)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": describe_machine(), "results": known}, indent=1) + "\n")
    return path


def to_markdown() -> Iterator[str]:
    """Yield the lines of the dated table of everything measured so far."""
    document = json.loads(_FILE.read_text())
    machine, results = document["machine"], document["results"]
    newest = max(result["measured"] for result in results.values())[:10]
    versions = machine["versions"]
    yield (
        f"Measured {newest} on {machine['cores']} cores with {machine['memory_gb']} GB, Python {machine['python']}, "
        f"Polars {versions['polars']}, Dagster {versions['dagster']}; medians, the sides of a comparison in turn."
    )
    yield ""
    yield "| what | median | lowest to highest | rounds |"
    yield "|---|---|---|---|"
    for name, result in results.items():
        yield (
            f"| `{name}` | {result['value']:.3g} {result['unit']} | {result['low']:.3g} to {result['high']:.3g} | "
            f"{len(result['rounds'])} |"
        )
