"""The exchanges that the simulator generates, from the venue tables; Deribit's options come from `deribit`."""

from __future__ import annotations

from datetime import date
from functools import cache

from market_data.simulator.vendor.catalogue import ExchangeCatalogue, Listing
from market_data.simulator.venues import tables_mixed, tables_spot, tables_swaps
from market_data.simulator.venues.deribit import deribit_listings
from market_data.simulator.venues.deribit_scale import more_listings
from market_data.simulator.venues.listing_table import VenueTable, read_venues
from market_data.simulator.venues.listings import group_listings, row_listings

_TABLES: dict[str, VenueTable] = {
    venue.exchange_id: venue
    for table in (tables_spot, tables_swaps, tables_mixed)
    for venue in read_venues(table.TABLE)
}

_DERIBIT = "deribit"

EXCHANGE_IDS: tuple[str, ...] = tuple(_TABLES)


def _list_symbols(venue: VenueTable, symbols: int, until: date) -> list[Listing]:
    is_deribit = venue.exchange_id == _DERIBIT
    listings = list(deribit_listings(venue.since)) if is_deribit else []
    for row in venue.rows:
        listings += row_listings(row, venue.flags)
    groups = list(group_listings(listings, venue.flags))
    if is_deribit and symbols:
        listings += more_listings([*groups, *listings], symbols, venue.since, until)
    return [*groups, *listings]


@cache
def build_exchange(exchange_id: str, symbols: int = 0, until: date = date.min) -> ExchangeCatalogue | None:
    """Return the generated catalogue of an exchange id, None when the simulator does not have it.

    `symbols` is how many symbols Deribit lists before the day `until`, when that is more than the usual few thousand.
    """
    venue = _TABLES.get(exchange_id)
    if venue is None:
        return None
    return ExchangeCatalogue(
        exchange_id, venue.name, venue.since, venue.until, lambda: _list_symbols(venue, symbols, until)
    )
