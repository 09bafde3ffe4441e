"""Make a stored lake with this version, as `lakes/2026-11-27.tar.gz` was; the suite reads those that are kept.

    python -m market_data_tests.golden.make_lake NAME

NAME is the day of the version, and an archive is never made again: what it holds is what that version wrote. The lake
is small and has something of everything (`lake/test_stored_lakes.py` says what it is held to):

    BINANCE trades, quotes   2024-08-08, 09   whole; a refresh has replaced BTCUSDT of the last one
    DERIBIT trades           2024-08-08       whole: a grouped file
    BINANCE trades           2024-08-07       one file failed: nothing is published
    BINANCE quotes           2024-08-07       whole: one file is empty, one waived
    BINANCE trades           2024-08-06       deleted
    BINANCE quotes           2024-08-06       an instrument is taken out

The index is compacted. Before that the objects get times of whole seconds, which an archive keeps: the index names
receipts by them. Of the vendor's answer about DERIBIT only what was listed on those days is kept: the whole is twice as
large as all the rest.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from market_data.index.compact import compact_index
from market_data.ingest.deletion import Deleter
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.answers import load_newest_answer, save_answer
from market_data.universe.rules import Selection
from market_data.universe.waivers import Waiver
from market_data_tests.filled_lake import CLOCK, ingest_day

LAKES = Path(__file__).parent / "lakes"
TRADES, QUOTES = DataType.TRADES, DataType.QUOTES
DELETED, ODD, FIRST, SECOND = (date(2024, 8, day) for day in (6, 7, 8, 9))
SPOT = Selection((TRADES, QUOTES), include=("BTCUSDT", "ETHBTC"))
OPTIONS = Selection((TRADES,), instrument_types=("OPTION",))
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
_LARGEST_BYTES = 100_000


def fill(lake: TickLake, vendor: RunningSimulator) -> None:
    """Fill a lake with all of the above but the index."""
    _spoil(vendor, f"*/quotes/{SECOND:%Y/%m/%d}/BTCUSDT.csv.gz", "header_only")
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
    ingest_day(lake, vendor, "DERIBIT", FIRST, OPTIONS)
    _shorten_answer(lake, "DERIBIT")
    vendor.set_faults([])
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT, is_refresh=True)
    _spoil(vendor, "*/ETHBTC.csv.gz", "header_only", "*/ETHUSDT.csv.gz", "wrong_header")
    waiver = Waiver(QUOTES, "ETHUSDT", ODD, ODD, "the vendor will not mend it")
    more = Selection((TRADES, QUOTES), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
    ingest_day(lake, vendor, "BINANCE", ODD, more, waivers=(waiver,))
    vendor.set_faults([])
    ingest_day(lake, vendor, "BINANCE", DELETED, SPOT)
    deletions = {TRADES: None, QUOTES: frozenset({"BINANCE:SPOT_PAIR:BTC-USDT"})}
    for data_type, instruments in deletions.items():
        Deleter(lake, "ops", "the licence ended", instruments).delete(DataTypeDay("BINANCE", data_type, DELETED), AT)


def _shorten_answer(lake: TickLake, venue: str) -> None:
    answer = load_newest_answer(lake, venue)
    assert answer is not None
    datasets = answer.exchange["datasets"]
    exchange = {
        **answer.exchange,
        "availableSymbols": _held(answer.exchange["availableSymbols"]),
        "datasets": {**datasets, "symbols": _held(datasets["symbols"])},
    }
    save_answer(lake, replace(answer, exchange=exchange, instruments=_held(answer.instruments or ())))


def _held(listed: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    first, last = DELETED.isoformat(), SECOND.isoformat()
    return [item for item in listed if item["availableSince"] <= f"{last}Z" and item.get("availableTo", "9") > first]


def _spoil(vendor: RunningSimulator, *rules: str) -> None:
    vendor.set_faults(
        [{"match": match, "action": action} for match, action in zip(rules[::2], rules[1::2], strict=True)]
    )


def main(name: str) -> None:
    archive_path = LAKES / f"{name}.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "lake")
        lake = open_lake(root.as_uri())
        with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.002)) as vendor:
            fill(lake, vendor)
        keys = [stat.key for stat in lake.list_objects("")]
        for key in keys:
            seconds = int((root / key).stat().st_mtime)
            os.utime(root / key, (seconds, seconds))
        list(compact_index(lake))
        with tarfile.open(archive_path, "x:gz") as archive:
            for stat in lake.list_objects(""):
                archive.add(root / stat.key, stat.key, filter=_of_nobody)
    size_bytes = archive_path.stat().st_size
    if size_bytes > _LARGEST_BYTES:
        raise SystemExit(f"{archive_path} has {size_bytes} bytes: more than a repository should carry")


def _of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(*sys.argv[1:])
