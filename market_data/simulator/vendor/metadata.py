"""The vendor's JSON answers about exchanges and keys. Long lists are made piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from market_data.simulator.vendor.catalogue import ExchangeCatalogue, Listing
from market_data.simulator.vendor.incidents import incidents_of
from market_data.simulator.vendor.vendor import Vendor, to_iso

Json = dict[str, Any]

_CHANNELS: dict[str, list[str]] = {
    "binance": ["trade", "depth", "depthSnapshot", "bookTicker"],
    "binance-futures": ["trade", "depth", "depthSnapshot", "bookTicker", "markPrice", "openInterest", "forceOrder"],
    "binance-delivery": ["trade", "depth", "depthSnapshot", "bookTicker", "markPrice", "openInterest", "forceOrder"],
    "deribit": ["trades", "book", "ticker", "quote"],
}


def dump(document: Any) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"))


def dump_each(documents: Iterable[Json]) -> Iterator[str]:
    """Yield the pieces of a JSON array."""
    start = "["
    for document in documents:
        yield start + dump(document)
        start = ","
    yield "]" if start == "," else "[]"


def _exchange_head(vendor: Vendor, exchange: ExchangeCatalogue) -> Json:
    head = {
        "id": exchange.exchange_id,
        "name": exchange.name,
        "enabled": True,  # true even for dead venues
        "supportsDatasets": True,
        "availableSince": to_iso(exchange.since),
        "availableChannels": _CHANNELS.get(exchange.exchange_id, ["trade", "depth"]),
    }
    if exchange.until is not None and exchange.until <= vendor.now().date():
        head |= {"delisted": True, "availableTo": to_iso(exchange.until)}
    return head


def exchanges_json(vendor: Vendor) -> Iterator[str]:
    """Yield the answer of `/exchanges`."""
    return dump_each(_exchange_head(vendor, exchange) for exchange in vendor.exchanges())


def known_listings(vendor: Vendor, exchange: ExchangeCatalogue) -> list[Listing]:
    """Return what is listed by the clock; what comes later does not exist yet."""
    until = vendor.exported_until(exchange.exchange_id)
    return [listing for listing in exchange.listings if listing.since < until]


def exchange_json(vendor: Vendor, exchange: ExchangeCatalogue) -> Iterator[str]:
    """Yield the answer of `/exchanges/:id`; availableTo is exclusive and is exportedUntil for a live symbol."""
    until = vendor.exported_until(exchange.exchange_id)
    listings = known_listings(vendor, exchange)
    instruments = [listing for listing in listings if not listing.is_group]
    yield dump(_exchange_head(vendor, exchange)).removesuffix("}") + ',"availableSymbols":'
    yield from dump_each(_available_symbol(vendor, listing) for listing in instruments)
    datasets: Json = {"formats": ["csv"], "exportedFrom": to_iso(exchange.since), "exportedUntil": to_iso(until)}
    incidents: list[Json] = []
    if any(listing.terms is not None for listing in instruments):  # nothing is made up about real files
        incidents = incidents_of(exchange.exchange_id, vendor.now())
        datasets["stats"] = {"trades": 3000 * len(instruments), "bookChanges": 7000 * len(instruments)}
    yield f',"incidentReports":{dump(incidents)},"channelDetails":[],'
    yield f'"datasets":{dump(datasets).removesuffix("}")},"symbols":'
    yield from dump_each(
        {
            "id": listing.symbol,
            "type": listing.instrument_type,
            "dataTypes": listing.data_types,
            "availableSince": to_iso(listing.since),
            "availableTo": to_iso(min(listing.until or until, until)),
        }
        for listing in listings
    )
    yield "}}"


def _available_symbol(vendor: Vendor, listing: Listing) -> Json:
    symbol = {"id": listing.api_id, "type": listing.instrument_type, "availableSince": to_iso(listing.since)}
    if listing.until is not None and listing.until <= vendor.now().date():
        symbol["availableTo"] = to_iso(listing.until)  # live ones lack it here
    return symbol


def key_info_json(vendor: Vendor) -> Iterator[str]:
    """Yield the answer of `/api-key-info`: the key opens everything."""
    return dump_each(
        {
            "exchange": exchange.exchange_id,
            "accessType": "full",
            "from": to_iso(exchange.since),
            "to": to_iso(vendor.exported_until(exchange.exchange_id)),
            "symbols": [],
            "dataPlan": "pro",
        }
        for exchange in vendor.exchanges()
    )
