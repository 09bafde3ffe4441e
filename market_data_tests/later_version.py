"""A later version, in a process of its own, whose trades have one more column at their end: it runs days, and reads.

    python -m market_data_tests.later_version file:///lake http://vendor 2024-08-09

runs the days, and writes what `scan_ticks` gives of `DAYS` as an IPC file.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from io import BytesIO

import polars as pl

from market_data.lake.open import open_lake
from market_data.model.data_types import TABLES, ColumnKind, ColumnSpec, DataType, Encoding
from market_data.read import scan_ticks
from market_data.universe.rules import Selection
from market_data_tests.ingesting import Address, plan_day, run_day

TRADES = DataType.TRADES
SELECTION = Selection((TRADES,))
DAYS = (date(2024, 8, 8), date(2024, 8, 9))
ADDED = ColumnSpec("liquidity", "liquidity", ColumnKind.NUMBER, True, "", "What came later.", Encoding.PLAIN)


def ask_later_version(lake_url: str, vendor_url: str, *days: date) -> pl.DataFrame:
    """Let the later version run days; return what it then reads of `DAYS`."""
    command = [sys.executable, "-m", __name__, lake_url, vendor_url, *map(str, days)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return pl.read_ipc(BytesIO(done.stdout))


def main(lake_url: str, vendor_url: str, *days: str) -> None:
    """Do it, as the later version."""
    now = TABLES[TRADES]
    TABLES[TRADES] = replace(now, vendor_columns=(*now.vendor_columns, ADDED))
    lake = open_lake(lake_url)
    for day in map(date.fromisoformat, days):
        vendor = Address(vendor_url)
        results = run_day(lake, vendor, plan_day(lake, vendor, SELECTION, day=day))
        assert results[TRADES].receipt.is_complete, results
    rows = scan_ticks(TRADES, start=DAYS[0], end=DAYS[-1] + timedelta(days=1), lake=lake).collect()
    rows.write_ipc(sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
