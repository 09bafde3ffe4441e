"""One question to a lake's index, in a process of its own: what it takes there, from an open lake on.

`python -m market_data_tests.benchmarks.index_question QUESTION LAKE_URL DAYS` prints JSON: seconds, CPU seconds, MB by
which the memory grew at its peak, and how much was found.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

from market_data.index.compact import compact_index
from market_data.index.store import held_venues
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.operate.coverage import measure_coverage
from market_data.read.find import find_instruments
from market_data.read.scan import scan_ticks
from market_data_tests.benchmarks.index_lakes import FIRST_DAY, days_from_first
from market_data_tests.benchmarks.measured import status_kb

COVERED_TYPES = (DataType.TRADES, DataType.QUOTES, DataType.BOOK_SNAPSHOT_5)
_KEY = "BINANCE:SPOT_PAIR:BTC-USDT"


def _plan_instrument(lake: TickLake, days: Sequence[date]) -> object:
    return scan_ticks("trades", instruments=_KEY, start=days[0], end=days[-1] + timedelta(days=1), lake=lake)


def _plan_base(lake: TickLake, days: Sequence[date]) -> object:
    end = days[-1] + timedelta(days=1)
    return scan_ticks("trades", venues="BINANCE", base="BTC", start=days[0], end=end, lake=lake)


def _find(lake: TickLake, days: Sequence[date]) -> object:
    found = find_instruments(venues="BINANCE", between=(days[0], days[-1] + timedelta(days=1)), lake=lake)
    assert found["days_listed"].max() == len(days)
    return found


def _cover(lake: TickLake, days: Sequence[date]) -> object:
    coverage = measure_coverage(lake, dict.fromkeys(held_venues(lake), COVERED_TYPES), days)
    assert coverage["state"].unique().to_list() == ["complete"]
    return coverage


def _compact(lake: TickLake, days: Sequence[date]) -> object:
    return list(compact_index(lake, None, days[0], days[-1]))


def _rebuild(lake: TickLake, days: Sequence[date]) -> object:
    return list(compact_index(lake, None, days[0], days[-1], is_rebuild=True))


QUESTIONS: dict[str, Callable[[TickLake, Sequence[date]], object]] = {
    "instrument": _plan_instrument,
    "base": _plan_base,
    "find": _find,
    "coverage": _cover,
    "compact": _compact,
    "rebuild": _rebuild,
}


def _main(question: str, url: str, days: str) -> None:
    lake, asked = open_lake(url), days_from_first(int(days))
    assert asked[0] == FIRST_DAY
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before_kb = status_kb("self", "VmRSS")
    started, cpu_started = time.perf_counter(), time.process_time()
    QUESTIONS[question](lake, asked)
    spent = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps([*spent, (status_kb("self", "VmHWM") - before_kb) / 1e3]))  # noqa: T201  the answer to the parent


if __name__ == "__main__":
    _main(*sys.argv[1:])
