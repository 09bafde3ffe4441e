"""The vendor's JSON answers: exchanges, exchange details, instruments, key information."""

from __future__ import annotations

from typing import Any

from market_data.simulator.catalogue import ExchangeCatalogue, Listing
from market_data.simulator.vendor import Vendor, to_iso

Json = dict[str, Any]

_CHANNELS: dict[str, list[str]] = {
    "binance": ["trade", "depth", "depthSnapshot", "bookTicker"],
    "binance-futures": ["trade", "depth", "depthSnapshot", "bookTicker", "markPrice", "openInterest", "forceOrder"],
    "binance-delivery": ["trade", "depth", "depthSnapshot", "bookTicker", "markPrice", "openInterest", "forceOrder"],
    "deribit": ["trades", "book", "ticker", "quote"],
}
_INCIDENTS: list[Json] = [
    {
        "from": "2023-03-24T11:30:00.000Z",
        "to": "2023-03-24T14:00:00.000Z",
        "status": "wontfix",
        "details": "Simulated incident: the exchange was down for maintenance.",
    }
]


def _exchange_head(exchange: ExchangeCatalogue) -> Json:
    return {
        "id": exchange.exchange_id,
        "name": exchange.name,
        "enabled": True,
        "supportsDatasets": True,
        "availableSince": to_iso(exchange.since),
        "availableChannels": _CHANNELS.get(exchange.exchange_id, ["trade", "depth"]),
    }


def exchanges_json(vendor: Vendor) -> list[Json]:
    """Return the answer of `/exchanges`."""
    exchanges = (vendor.source.exchange(exchange_id) for exchange_id in vendor.source.exchange_ids())
    return [_exchange_head(exchange) for exchange in exchanges if exchange is not None]


def _known_listings(vendor: Vendor, exchange: ExchangeCatalogue) -> list[Listing]:
    # What is listed after the clock does not exist yet.
    until = vendor.exported_until(exchange.exchange_id)
    return [listing for listing in exchange.listings if listing.since < until]


def exchange_json(vendor: Vendor, exchange: ExchangeCatalogue) -> Json:
    """Return the answer of `/exchanges/:id`; availableTo is exclusive and is exportedUntil for a live symbol."""
    until = vendor.exported_until(exchange.exchange_id)
    listings = _known_listings(vendor, exchange)
    symbols = [
        {
            "id": listing.symbol,
            "type": listing.instrument_type,
            "dataTypes": [str(data_type) for data_type in listing.data_types],
            "availableSince": to_iso(listing.since),
            "availableTo": to_iso(min(listing.until or until, until)),
        }
        for listing in listings
    ]
    instruments = [listing for listing in listings if not listing.is_group]
    is_generated = any(listing.terms is not None for listing in instruments)  # nothing is made up about real files
    return {
        **_exchange_head(exchange),
        "availableSymbols": [_available_symbol(vendor, listing) for listing in instruments],
        "incidentReports": _INCIDENTS if is_generated else [],
        "channelDetails": [],
        "datasets": {
            "formats": ["csv"],
            "exportedFrom": to_iso(exchange.since),
            "exportedUntil": to_iso(until),
            **(
                {"stats": {"trades": 3000 * len(instruments), "bookChanges": 7000 * len(instruments)}}
                if is_generated
                else {}
            ),
            "symbols": symbols,
        },
    }


def _available_symbol(vendor: Vendor, listing: Listing) -> Json:
    symbol = {"id": listing.api_id, "type": listing.instrument_type, "availableSince": to_iso(listing.since)}
    if listing.until is not None and listing.until <= vendor.now().date():
        symbol["availableTo"] = to_iso(listing.until)  # live ones lack it here
    return symbol


def instruments_json(vendor: Vendor, exchange: ExchangeCatalogue, wanted: Json) -> list[Json]:
    """Return the answer of `/instruments/:id`; `wanted` is the decoded `filter`."""
    listings = [listing for listing in _known_listings(vendor, exchange) if not listing.is_group]
    instruments = [_instrument_json(vendor, exchange, listing) for listing in listings]
    return [instrument for instrument in instruments if _is_wanted(instrument, wanted)]


def _is_wanted(instrument: Json, wanted: Json) -> bool:
    for name, value in wanted.items():
        match name:
            case "availableTo":  # what was available before that day
                is_wanted = instrument["availableSince"] < value
            case "availableSince":
                is_wanted = value < instrument.get("availableTo", "9999")
            case _:
                is_wanted = instrument.get(name) in (value if isinstance(value, list) else [value])
        if not is_wanted:
            return False
    return True


def _instrument_json(vendor: Vendor, exchange: ExchangeCatalogue, listing: Listing) -> Json:
    now = vendor.now()
    until = listing.until
    instrument: Json = {
        "id": listing.api_id,
        "datasetId": listing.symbol,
        "exchange": exchange.exchange_id,
        "type": listing.instrument_type,
        "active": until is None or until > now.date(),
        "availableSince": to_iso(listing.since),
    }
    if until is not None and until <= now.date():
        instrument["availableTo"] = to_iso(until)
    terms = listing.terms
    if terms is None:
        return instrument
    instrument |= {
        "baseCurrency": terms.base,
        "quoteCurrency": terms.quote,
        "priceIncrement": _number(terms.tick.value),
        "amountIncrement": _number(terms.lot.value),
        "minTradeAmount": _number(terms.lot.value),
        "makerFee": -0.0001 if listing.instrument_type == "future" else 0.0002,
        "takerFee": 0.0005,
        "underlyingType": "native",
    }
    if terms.contract_type:
        is_contract = exchange.exchange_id == "binance-delivery" and terms.lot_value is not None
        instrument |= {
            "contractType": terms.contract_type,
            "inverse": terms.is_inverse,
            "contractMultiplier": _number(terms.lot_value) if is_contract else 1,
            "settlementCurrency": terms.settlement,
        }
    if terms.listing is not None:
        instrument["listing"] = f"{terms.listing:%Y-%m-%dT%H:%M:%S}.000Z"
    if terms.expiry is not None:
        instrument["expiry"] = f"{terms.expiry:%Y-%m-%dT%H:%M:%S}.000Z"
    if terms.strike is not None:
        instrument |= {"strikePrice": _number(terms.strike), "optionType": terms.option_type}
        instrument.pop("underlyingType")
    return instrument


def _number(value: float | None) -> float | None:
    # 10, not 10.0: JavaScript knows no difference
    return int(value) if value is not None and value.is_integer() else value


def key_info_json(vendor: Vendor) -> list[Json]:
    """Return the answer of `/api-key-info`: the key opens everything."""
    return [
        {
            "exchange": exchange.exchange_id,
            "accessType": "full",
            "from": to_iso(exchange.since),
            "to": to_iso(vendor.exported_until(exchange.exchange_id)),
            "symbols": [],
            "dataPlan": "pro",
        }
        for exchange in (vendor.source.exchange(exchange_id) for exchange_id in vendor.source.exchange_ids())
        if exchange is not None
    ]
