"""Fills a lake from the simulator through the same use cases as a run: universe, tick files, receipts."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import stamina

from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.receipts.receipt import Receipt
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection
from market_data.universe.table import store_universe
from market_data.vendor.client import TardisClient

CLOCK = "2024-08-11T07:00:00Z"
TODAY = date(2024, 8, 11)
ORIGIN = "simulator"


def open_client(vendor: RunningSimulator, key: str | None = DEFAULT_KEY) -> TardisClient:
    """Give a client of the simulator."""
    return TardisClient(api_url=vendor.api_url, datasets_url=vendor.datasets_url, api_key=key)


def ingest_day(
    lake: TickLake,
    vendor: RunningSimulator,
    venue: str,
    day: date,
    selection: Selection,
    *,
    layouts: tuple[str, ...] = LAYOUTS,
    **options: Any,
) -> dict[DataType, Receipt]:
    """Do what a run of a venue-day does; give the receipts by data type. `options` are those of `VenueDay`."""
    ensure_origin(lake, ORIGIN)

    async def learn() -> VenueDay:
        async with open_client(vendor) as client:
            (universe,) = await learn_universes(lake, client, venue, (day,), selection, today=TODAY)
        store_universe(lake, universe)
        return VenueDay(universe, selection, selection.data_types, layouts, ORIGIN, "config", **options)

    with stamina.set_testing(True, attempts=1):
        plan = asyncio.run(learn())
        return {
            result.receipt.data_type: result.receipt
            for result in ingest_venue_day(lake, lambda: open_client(vendor), plan)
        }
