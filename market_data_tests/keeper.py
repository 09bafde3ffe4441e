"""One act on a unit as a process of its own, which a test starts, lets go and kills: `python -m ... ACT URL FOLDER`.

Without a vendor and without Parquet, as `publishing.py`; the process has loaded everything before it is let go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from market_data.index.compact import compact_index
from market_data.ingest.deletion import Deleter
from market_data.ingest.sweep import sweep_unit
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data_tests.publishing import UNIT, Workshop, Writer

AT = datetime(2026, 11, 27, tzinfo=UTC)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XBTUSD")
FIRST = Writer("one", symbols=SYMBOLS, layouts=("by_date",))
ACTS: Mapping[str, Callable[[TickLake, Workshop], object]] = {
    "fresh": lambda lake, workshop: workshop.run(lake, FIRST),
    "another_decoder": lambda lake, workshop: workshop.run(lake, replace(FIRST, name="two", decoder_version="2")),
    "layout_added": lambda lake, workshop: workshop.run(lake, Writer("three", symbols=SYMBOLS)),
    "compact": lambda lake, _: list(compact_index(lake)),
    "rebuild": lambda lake, _: list(compact_index(lake, is_rebuild=True)),
    "delete_day": lambda lake, _: Deleter(lake, "ops", "why").delete(UNIT, AT),
    "delete_instrument": lambda lake, _: Deleter(lake, "ops", "why", {"BINANCE:SPOT_PAIR:BTCUSDT"}).delete(UNIT, AT),
    "sweep": lambda lake, _: sweep_unit(lake, UNIT, timedelta(), lambda: AT),
}


def main(act: str, lake_url: str, folder: str) -> None:
    lake, workshop = open_lake(lake_url), Workshop(Path(folder))
    lake.stat("nothing")  # what a first request loads is loaded
    print("ready", flush=True)  # noqa: T201  this is what the parent waits for
    sys.stdin.readline()
    ACTS[act](lake, workshop)


if __name__ == "__main__":
    main(*sys.argv[1:])
