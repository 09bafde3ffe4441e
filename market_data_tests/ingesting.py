"""A venue-day from the simulator into a lake, and what became of it: what tests of whole runs share.

`SPOT_DAY` is small and whole (4 spot pairs); `OPTIONS` asks for more files than a run fetches at once.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from market_data.checks.facts import observe_unit
from market_data.checks.rules import UNIT_RULES, judge_layout
from market_data.ingest.venue_day import UnitResult, VenueDay, ingest_venue_day
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import LAYOUTS, LEASE_PREFIX, object_key, raw_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt, lasting_facts
from market_data.receipts.store import parse_receipt
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection, Universe
from market_data.vendor.client import TardisClient

ROOT = Path(__file__).parents[1]
CLOCK = "2024-08-11T07:00:00Z"
DAY = date(2024, 8, 8)
TODAY = date(2024, 8, 11)
TRADES, QUOTES, TICKER = DataType.TRADES, DataType.QUOTES, DataType.BOOK_TICKER
SPOT = ("1INCHUSDT", "BTCUSDT", "ETHBTC", "ETHUSDT")
BOTH = Selection(data_types=(TRADES, QUOTES))
ALL_THREE = Selection(data_types=(TRADES, QUOTES, TICKER))
OPTIONS = Selection(data_types=(TRADES, QUOTES), instrument_types=("OPTION",), max_instruments=12, prefer_grouped=())
SIMULATOR_OPTIONS = SimulatorOptions(clock=CLOCK, scale=0.05)


@dataclass(frozen=True)
class Address:
    """Where a vendor is."""

    url: str

    def client(self, key: str | None = DEFAULT_KEY, **options: Any) -> TardisClient:
        return TardisClient(api_url=self.url, datasets_url=self.url, api_key=key, **options)


@dataclass(frozen=True)
class Vendor:
    """The vendor of a test: its faults, and which tick files it was asked for."""

    simulator: RunningSimulator

    @property
    def address(self) -> Address:
        return Address(self.simulator.api_url)

    def client(self, key: str | None = DEFAULT_KEY, **options: Any) -> TardisClient:
        return self.address.client(key, **options)

    def spoil(self, action: str, *, match: str | Iterable[str] = "*.csv.gz", **fields: Any) -> None:
        globs = [match] if isinstance(match, str) else match
        self.simulator.set_faults([{"match": glob, "action": action, **fields} for glob in globs])

    def recover(self) -> None:
        self.simulator.set_faults([])
        self.simulator.set_clock(CLOCK)
        self.simulator.clear_requests()

    def asked_files(self) -> list[str]:
        """Return `<data type> <symbol>` of each request for a tick file."""
        paths = [entry["path"].split("/") for entry in self.simulator.requests() if entry["path"].endswith(".csv.gz")]
        return sorted(f"{path[3]} {path[-1].removesuffix('.csv.gz')}" for path in paths)


def plan_day(
    lake: TickLake,
    vendor: Vendor | Address,
    selection: Selection = BOTH,
    *,
    venue: str = "BINANCE",
    day: date = DAY,
    today: date = TODAY,
) -> VenueDay:
    """Learn the universe of a venue-day and plan to ingest it."""

    universes: list[Universe] = []  # and not returned: `asyncio.run` writes out what is

    async def learn() -> None:
        async with vendor.client() as client:
            universes.extend(await learn_universes(lake, client, venue, (day,), selection, today=today))

    asyncio.run(learn())
    (universe,) = universes
    return VenueDay(universe, selection, selection.data_types, LAYOUTS, "simulator", "config")


def run_day(
    lake: TickLake, vendor: Vendor | Address, plan: VenueDay, key: str | None = DEFAULT_KEY, **client_options: Any
) -> dict[DataType, UnitResult]:
    """Ingest a planned venue-day to its end; every data type must have one result."""
    results = list(ingest_venue_day(lake, lambda: vendor.client(key, **client_options), plan))
    by_type = {result.receipt.data_type: result for result in results}
    assert len(by_type) == len(results) == len(plan.data_types)
    return by_type


def outcomes_of(receipt: Receipt) -> dict[str, Outcome | None]:
    return {file.vendor_symbol: file.outcome for file in receipt.files}


def file_of(receipt: Receipt, symbol: str) -> FileEvidence:
    return next(file for file in receipt.files if file.vendor_symbol == symbol)


def stats_of(lake: TickLake) -> list[ObjectStat]:
    return lake.list_objects("", with_crc32c=True)


def contents_of(lake: TickLake) -> dict[str, object]:
    """Return what a lake holds, receipts without what may differ between two equal runs; not who lives, or died."""
    contents: dict[str, object] = {}
    for stat in stats_of(lake):
        # gaps are judged by the days before, and several runs at once find others of them there than one after another
        if stat.key.startswith((LEASE_PREFIX, "quality/gaps/")):
            continue
        data = lake.get_bytes(stat.key)[0]
        if stat.key.startswith("quality/rhythm/"):
            contents[stat.key] = pl.read_parquet(io.BytesIO(data)).write_json()  # it says of which publication it is
            continue
        contents[stat.key] = _lasting(json.loads(data)) if stat.key.startswith("receipt/") else data
    return contents


def _lasting(receipt: dict[str, Any]) -> object:
    for file in receipt["files"]:
        # how the vendor answered is not known of a file that a stopped run left in raw/
        file.update(status=None, etag=None)
    return lasting_facts(receipt)


def is_proven(lake: TickLake, plan: VenueDay, data_types: Sequence[DataType] | None = None) -> bool:
    """Hold the lake to every rule about whole units; False is never returned, what fails is shown."""
    units = [DataTypeDay(plan.universe.venue, item, plan.universe.day) for item in data_types or plan.data_types]
    facts = [observe_unit(lake, unit) for unit in units]
    verdicts = [rule(item) for item in facts for rule in UNIT_RULES.values()]
    verdicts += [judge_layout(item, layout) for item in facts for layout in LAYOUTS]
    assert [verdict for verdict in verdicts if not verdict.is_passed] == []
    return True


def published_keys(receipt: Receipt) -> dict[str, tuple[int, str]]:
    """Return {object key: (size, crc32c)} of everything that a reader of this receipt may rely on."""
    if receipt.state != "committed":
        return {}
    return {
        object_key(layout, item.name(receipt.unit)): (item.size_bytes, item.crc32c)
        for item in receipt.objects
        for layout in item.generations
    }


def receipts_of(lake: TickLake) -> list[Receipt]:
    return [parse_receipt(lake.get_bytes(stat.key)[0], stat.key) for stat in lake.list_objects("receipt/")]


def find_falsehoods(lake: TickLake) -> list[str]:
    """Return what the receipts of a lake say and is not so: published objects, and the vendor's bytes they have."""
    named: dict[str, tuple[int | None, str | None]] = {}
    for receipt in receipts_of(lake):
        named |= published_keys(receipt)
        named |= {
            raw_key(receipt.unit, file.vendor_symbol, file.raw_id): (file.size_bytes, file.crc32c)
            for file in receipt.files
            if file.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY}
        }
    held = {stat.key: (stat.size_bytes, stat.crc32c) for stat in stats_of(lake)}
    return [key for key, facts in named.items() if held.get(key) != facts]
