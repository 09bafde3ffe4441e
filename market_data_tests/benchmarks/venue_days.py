"""The venue-day as the benchmarks run it: planned from what the vendor lists, ingested into a fresh local lake."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.universe.rules import Selection, instruments_on
from market_data.vendor.client import TardisClient
from market_data_tests.benchmarks.measured import Side
from market_data_tests.benchmarks.tick_files import DAY, VENUE


def open_client(url: str) -> TardisClient:
    """Give a client of the benchmarks' vendor."""
    return TardisClient(api_url=url, datasets_url=url, api_key=None)


def plan_day(url: str, day: date = DAY, *, max_instruments: int | None = None) -> VenueDay:
    """Plan what the vendor lists of a day, or the first instruments of it, in all layouts."""

    async def ask() -> dict[str, Any]:
        async with open_client(url) as client:
            return await client.exchange(VENUE)

    selection = Selection(tuple(DataType), max_instruments=max_instruments)
    universe = instruments_on(VENUE, asyncio.run(ask()), day, selection, {})
    offered = {data_type for item in universe.selected for data_type in item.data_types}
    data_types = tuple(data_type for data_type in DataType if data_type in offered)
    return VenueDay(universe, selection, data_types, LAYOUTS, "benchmark", "config")


def ingest(lake: TickLake, url: str, plan: VenueDay) -> None:
    """Ingest the day; raises when a data type of it was not published whole."""
    for result in ingest_venue_day(lake, lambda: open_client(url), plan):
        receipt = result.receipt
        assert receipt.state == "committed", [file.error for file in receipt.files if file.error][:3]


def ingest_into_fresh_lake(url: str, plan: VenueDay) -> Side:
    """Give the use case as one side of a comparison."""

    def run(folder: Path) -> None:
        ingest(open_lake((folder / "lake").as_uri()), url, plan)

    return run
