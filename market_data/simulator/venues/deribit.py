"""Deribit's instruments: perpetuals, dated futures, spot, a small option chain a currency, and a combo a quarter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from market_data.model.data_types import DataType as D
from market_data.simulator.market.prices import trend_price
from market_data.simulator.vendor.catalogue import DAY, Increment, Listing, Terms
from market_data.simulator.venues.expiries import (
    days_from,
    instant_at,
    is_friday,
    is_quarter_end,
    quarterly_expiries,
    quarterly_listing_day,
    short_date,
)
from market_data.simulator.venues.listings import decimal_text

_BOOK_TYPES = (D.TRADES, D.INCREMENTAL_BOOK_L2, D.QUOTES, D.BOOK_SNAPSHOT_5, D.BOOK_SNAPSHOT_25)
_FUTURE_TYPES = (*_BOOK_TYPES, D.DERIVATIVE_TICKER, D.BOOK_TICKER, D.LIQUIDATIONS)

_OPTIONS_SINCE = {"BTC": date(2019, 3, 30), "ETH": date(2019, 3, 30), "XRP_USDC": date(2024, 3, 13)}
_WEEKLY_SINCE = date(2021, 1, 1)
_DAILY_SINCE = date(2024, 1, 1)
COMBOS_SINCE = date(2022, 8, 23)
_USDC_SINCE = date(2022, 4, 5)
_SPOT_SINCE = date(2023, 4, 24)
_SPOT_PATHS = {"BTC": "BTC", "STETH": "ETH"}


def _future_terms(base: str) -> Terms:
    tick = Increment(5, 1) if base == "BTC" else Increment(5, 2)
    lot = Increment(10, 0) if base == "BTC" else Increment(1, 0)
    return Terms(base, "USD", tick, lot, settlement=base, lot_value=lot.value)


def _futures(since: date) -> Iterator[Listing]:
    for base in ("BTC", "ETH"):
        terms = replace(_future_terms(base), contract_type="inverse_perpetual", liquidity=0.8)
        yield Listing(f"{base}-PERPETUAL", f"{base}-PERPETUAL", "perpetual", _FUTURE_TYPES, since, None, terms)
        for expiry in days_from(since + DAY):
            is_weekly = is_friday(expiry) and expiry >= _WEEKLY_SINCE
            if not (is_quarter_end(expiry) or is_weekly):
                continue
            lead = quarterly_listing_day(expiry) if is_quarter_end(expiry) else expiry - timedelta(days=14)
            listed = max(lead, since)
            dated = replace(
                _future_terms(base),
                contract_type="inverse_future",
                listing=instant_at(listed, 8),
                expiry=instant_at(expiry, 8),
                liquidity=0.1,
            )
            symbol = f"{base}-{short_date(expiry)}"
            yield Listing(symbol, symbol, "future", _FUTURE_TYPES, listed, expiry + DAY, dated)
    linear = Terms(
        "BTC", "USDC", Increment(5, 1), Increment(1, 3), "linear_perpetual", settlement="USDC", liquidity=0.3
    )
    yield Listing("BTC_USDC-PERPETUAL", "BTC_USDC-PERPETUAL", "perpetual", _FUTURE_TYPES, _USDC_SINCE, None, linear)


def _combos() -> Iterator[Listing]:
    for expiry in quarterly_expiries(COMBOS_SINCE):
        listed = max(quarterly_listing_day(expiry), COMBOS_SINCE)
        yield make_combo("BTC", f"BTC-FS-{short_date(expiry)}_PERP", listed, expiry)


def make_combo(base: str, symbol: str, listed: date, expiry: date) -> Listing:
    """Return a combo that ends with its far leg."""
    terms = replace(
        _future_terms(base),
        contract_type="spread",
        listing=instant_at(listed, 8),
        expiry=instant_at(expiry, 8),
        liquidity=0.02,
    )
    return Listing(symbol, symbol, "combo", _BOOK_TYPES, listed, expiry + DAY, terms)


def _strike_ladder(price: float, steps: tuple[float, ...]) -> list[float]:
    return sorted({float(f"{price * step:.2g}") for step in steps})


def _chain_of(expiry: date) -> tuple[timedelta, tuple[float, ...]] | None:
    """Return how long before its expiry a chain is listed and its strikes as shares of the price, None when none is."""
    if is_quarter_end(expiry):
        return timedelta(days=182), (0.7, 0.9, 1.0, 1.15, 1.4)
    if is_friday(expiry) and expiry >= _WEEKLY_SINCE:
        return timedelta(days=14), (0.92, 1.0, 1.08)
    if expiry >= _DAILY_SINCE:
        return timedelta(days=2), (1.0,)
    return None


def _options() -> Iterator[Listing]:
    for currency, since in _OPTIONS_SINCE.items():
        base = currency.removesuffix("_USDC")
        is_linear = currency != base
        for expiry in days_from(since + DAY):
            chain = _chain_of(expiry)
            if chain is None or (is_linear and not is_friday(expiry)):
                continue
            lead, steps = chain
            listed = max(expiry - lead, since)
            for strike in _strike_ladder(trend_price(base, listed), steps):
                for option_type in ("call", "put"):
                    yield make_option(currency, expiry, listed, strike, option_type)


def make_option(currency: str, expiry: date, listed: date, strike: float, option_type: str) -> Listing:
    """Return an option of a coin, or of a coin on USDC (`XRP_USDC`)."""
    base = currency.removesuffix("_USDC")
    is_linear = currency != base
    terms = Terms(
        base,
        "USDC" if is_linear else base,  # an inverse option is quoted in its coin
        Increment(1, 4),
        Increment(1000, 0) if is_linear else Increment(1, 1),
        f"{option_type}_option",
        settlement="USDC" if is_linear else base,
        lot_value=200.0,
        listing=instant_at(listed, 8),
        expiry=instant_at(expiry, 8),
        strike=strike,
        liquidity=0.008,
    )
    strike_text = decimal_text(strike).replace(".", "d")
    api_id = f"{currency}-{short_date(expiry)}-{strike_text}-{option_type[0].upper()}"
    return Listing(api_id.upper(), api_id, "option", _BOOK_TYPES, listed, expiry + DAY, terms)


def deribit_listings(since: date) -> Iterator[Listing]:
    """Yield the bulk of Deribit's instruments; `since` is the venue's first day."""
    yield from _futures(since)
    for base, usual in (("BTC", 0.1), ("STETH", 0.05)):
        terms = Terms(base, "USDC", Increment(1, 2), Increment(1, 4), price_base=_SPOT_PATHS[base], liquidity=usual)
        yield Listing(f"{base}_USDC", f"{base}_USDC", "spot", _BOOK_TYPES, _SPOT_SINCE, None, terms)
    yield from _combos()
    yield from _options()
