"""Table rows as listings: contract terms, life spans, data types, and the groups that go with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

from market_data.model.data_types import DataType as D
from market_data.model.instruments import file_symbol
from market_data.simulator.market.prices import rough_usd, trend_price
from market_data.simulator.vendor.catalogue import DAY, GROUP_TYPES, Increment, Listing, Terms
from market_data.simulator.venues.expiries import (
    expiry_texts,
    instant_at,
    quarterly_expiries,
    quarterly_listing_day,
)
from market_data.simulator.venues.listing_table import InstrumentRow

_BOOK = (D.TRADES, D.INCREMENTAL_BOOK_L2, D.QUOTES, D.BOOK_SNAPSHOT_5, D.BOOK_SNAPSHOT_25)
# What the vendor groups into one file for a venue, where its instruments have it at all.
_GROUPED: dict[str, tuple[D, ...]] = {
    "SPOT": (D.TRADES,),
    "PERPETUALS": (D.TRADES, D.DERIVATIVE_TICKER, D.LIQUIDATIONS),
    "FUTURES": (D.TRADES, D.INCREMENTAL_BOOK_L2, D.DERIVATIVE_TICKER, D.LIQUIDATIONS),
    "OPTIONS": (D.TRADES, D.QUOTES, D.OPTIONS_CHAIN, D.LIQUIDATIONS),
    "COMBOS": (D.TRADES,),
}
_LIQUIDITY = {"spot": 0.3, "perpetual": 0.3, "future": 0.15, "option": 0.008, "combo": 0.02, "prediction": 0.05}
_TICKS_IN_PRICE = 4  # a price of 10**4 to 10**5 ticks
_FINEST_TICK = -10
_OPTION_LOT_VALUE = 200.0  # quote currency
_SIDES = {"C": "call", "P": "put"}


def data_types_of(kind: str, flags: frozenset[str]) -> tuple[D, ...]:
    """Return what a venue offers for an instrument of a kind."""
    has_ticker = kind in {"perpetual", "future"}
    offered = {
        D.DERIVATIVE_TICKER: has_ticker,
        D.BOOK_TICKER: "book_ticker" in flags and (has_ticker or kind == "spot"),
        D.LIQUIDATIONS: "liquidations" in flags and has_ticker,
        D.OPTIONS_CHAIN: "single_chain" in flags and kind == "option",
    }
    return (*_BOOK, *(data_type for data_type, is_offered in offered.items() if is_offered))


def group_listings(listings: Sequence[Listing], flags: frozenset[str]) -> Iterator[Listing]:
    """Yield a group for each kind that a venue lists; a group ends when the last of its members does."""
    for group, kind in GROUP_TYPES.items():
        members = [listing for listing in listings if listing.instrument_type == kind]
        if not members:
            continue
        offered = {data_type for listing in members for data_type in listing.data_types}
        offered |= {D.OPTIONS_CHAIN} if "chain" in flags and kind == "option" else set()
        data_types = tuple(data_type for data_type in _GROUPED[group] if data_type in offered)
        ends = [listing.until for listing in members]
        until = None if None in ends else max(end for end in ends if end is not None)
        yield Listing(group, group, kind, data_types, min(listing.since for listing in members), until)


def row_listings(row: InstrumentRow, flags: frozenset[str]) -> Iterator[Listing]:
    """Yield the instrument of a row, or each one of its series."""
    data_types = data_types_of(row.kind, flags)
    if not (row.is_series or row.expiries):
        terms = _terms(row, row.since)
        yield Listing(file_symbol(row.form), row.form, row.kind, data_types, row.since, row.until, terms)
        return
    hour = int(row.number("at", 8))
    for listed, expiry in _life_spans(row):
        until = expiry + (timedelta() if hour == 24 else DAY)  # noqa: PLR2004 - its last hour belongs to the expiry's day
        until = until if row.until is None else min(until, row.until)
        if listed >= until:
            continue
        dated = replace(_terms(row, listed), listing=instant_at(listed, 8), expiry=instant_at(expiry, hour))
        for form, terms in _contracts(row, dated, listed):
            symbol = form.format_map(expiry_texts(expiry))
            yield Listing(file_symbol(symbol), symbol, row.kind, data_types, listed, until, terms)


def _life_spans(row: InstrumentRow) -> Iterable[tuple[date, date]]:
    if row.is_series:
        return [(max(quarterly_listing_day(end), row.since), end) for end in quarterly_expiries(row.since)]
    return [(row.since, end) for end in row.expiries]


def _contracts(row: InstrumentRow, dated: Terms, listed: date) -> Iterator[tuple[str, Terms]]:
    """Yield (form, terms) of the contracts with one expiry: one future, or options by strike and side."""
    if row.kind != "option":
        yield row.form, dated
        return
    price = trend_price(dated.underlying, listed)
    shares = [float(share) for share in row.words.get("strikes", "").split(",") if share]
    strikes = (
        [row.number("strike", 0)] if "strike" in row.words else [float(f"{price * share:.2g}") for share in shares]
    )
    for strike in sorted(set(strikes)):
        for letter, side in _SIDES.items() if "{side}" in row.form else [("", "")]:
            form = row.form.replace("{strike}", decimal_text(strike)).replace("{side}", letter)
            contract_type = f"{side}_option" if side else row.words["type"]
            yield form, replace(dated, strike=strike, contract_type=contract_type)


def decimal_text(number: float) -> str:
    """Return a strike without an exponent or trailing zeros."""
    return f"{number:.8f}".rstrip("0").rstrip(".")


def _terms(row: InstrumentRow, listed: date) -> Terms:
    is_plain = row.kind in {"spot", "prediction"}
    terms = Terms(
        row.base,
        row.quote,
        Increment(1, 0),
        Increment(1, 0),
        contract_type="" if is_plain else row.words.get("type", _contract_type(row)),
        underlying_type=row.words.get("of", "native"),
        price_base=row.words.get("like", ""),
        price_factor=row.number("times", 1),
        settlement="" if is_plain else row.settlement,
        liquidity=row.number("busy", _LIQUIDITY[row.kind]),
    )
    usd = trend_price(terms.underlying, listed) * terms.price_factor
    tick, lot, lot_value = _steps(row, usd)
    return replace(
        terms,
        tick=Increment.of(row.words["tick"]) if "tick" in row.words else tick,
        lot=Increment.of(row.words["lot"]) if "lot" in row.words else lot,
        lot_value=row.number("value", lot_value) if lot_value is not None else None,
    )


def _contract_type(row: InstrumentRow) -> str:
    if row.kind == "combo":
        return "spread"
    is_linear = row.settlement == row.quote or {row.settlement, row.quote} <= {"USD", "USDC"}
    return f"{'inverse' if row.settlement == row.base else 'linear' if is_linear else 'quanto'}_{row.kind}"


def _steps(row: InstrumentRow, usd: float) -> tuple[Increment, Increment, float | None]:
    """Return tick, lot and the value of a lot that suit a price in US dollars."""
    is_coin_settled = row.settlement not in {row.quote, "USDC"}
    if row.kind == "prediction":
        return Increment(1, 3), Increment(1, 0), None
    if row.kind == "option" and is_coin_settled:
        return Increment(1, 4), Increment(1, 0), _OPTION_LOT_VALUE
    tick = Increment.power_of_ten(
        max(math.floor(math.log10(usd / rough_usd(row.quote))) - _TICKS_IN_PRICE, _FINEST_TICK)
    )
    if row.kind == "option":
        return tick, Increment.power_of_ten(2 - math.floor(math.log10(usd))), _OPTION_LOT_VALUE
    if is_coin_settled or row.kind == "combo":
        return tick, Increment(1, 0), 1.0
    return tick, Increment.power_of_ten(min(-1 - math.floor(math.log10(usd)), 6)), None
