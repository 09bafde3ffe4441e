"""The vendor's JSON answers about instruments."""

from __future__ import annotations

from collections.abc import Iterator

from market_data.simulator.vendor.catalogue import ExchangeCatalogue, Listing, Terms
from market_data.simulator.vendor.metadata import Json, dump, dump_each, known_listings
from market_data.simulator.vendor.vendor import Vendor, to_iso


def instruments_json(vendor: Vendor, exchange: ExchangeCatalogue, wanted: Json) -> Iterator[str]:
    """Yield the answer of `/instruments/:id`; `wanted` is the decoded `filter`."""
    instruments = (
        _instrument(vendor, exchange, listing) for listing in known_listings(vendor, exchange) if not listing.is_group
    )
    return dump_each(instrument for instrument in instruments if _is_wanted(instrument, wanted))


def instrument_json(vendor: Vendor, exchange: ExchangeCatalogue, symbol: str) -> str | None:
    """Return the answer of `/instruments/:id/:symbol`, None for an unknown one; symbols are matched in any case."""
    for listing in known_listings(vendor, exchange):
        if listing.cell == symbol.upper() and not listing.is_group:
            return dump(_instrument(vendor, exchange, listing))
    return None


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


def _instrument(vendor: Vendor, exchange: ExchangeCatalogue, listing: Listing) -> Json:
    today = vendor.now().date()
    has_ended = listing.until is not None and listing.until <= today
    instrument: Json = {
        "id": listing.api_id,
        "datasetId": listing.symbol,
        "exchange": exchange.exchange_id,
        "type": listing.instrument_type,
        "active": not has_ended,
        "availableSince": to_iso(listing.since),
    }
    if has_ended and listing.until is not None:
        instrument["availableTo"] = to_iso(listing.until)
    return instrument if listing.terms is None else instrument | _terms_json(exchange, listing, listing.terms)


def _terms_json(exchange: ExchangeCatalogue, listing: Listing, terms: Terms) -> Json:
    document: Json = {
        "baseCurrency": terms.base,
        "quoteCurrency": terms.quote,
        "priceIncrement": _number(terms.tick.value),
        "amountIncrement": _number(terms.lot.value),
        "minTradeAmount": _number(terms.lot.value),
        "makerFee": -0.0001 if listing.instrument_type == "future" else 0.0002,
        "takerFee": 0.0005,
    }
    if listing.instrument_type not in {"option", "prediction"}:
        document["underlyingType"] = terms.underlying_type
    if terms.contract_type:
        is_contract = exchange.exchange_id == "binance-delivery" and terms.lot_value is not None
        document |= {
            "contractType": terms.contract_type,
            "inverse": terms.is_inverse,
            "contractMultiplier": _number(terms.lot_value) if is_contract else 1,
            "settlementCurrency": terms.settlement,
        }
    if terms.contract_type.startswith("quanto_"):
        document["quanto"] = True
    if terms.listing is not None:
        document["listing"] = f"{terms.listing:%Y-%m-%dT%H:%M:%S}.000Z"
    if terms.expiry is not None:
        document["expiry"] = f"{terms.expiry:%Y-%m-%dT%H:%M:%S}.000Z"
    if terms.strike is not None:
        document["strikePrice"] = _number(terms.strike)
    if terms.option_type:
        document["optionType"] = terms.option_type
    return document


def _number(value: float | None) -> float | None:
    # 10, not 10.0: JavaScript knows no difference
    return int(value) if value is not None and value.is_integer() else value
