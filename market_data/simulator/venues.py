"""The exchanges that the simulator generates: their instruments, groups, data types and life spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache

from market_data.domain.data_types import DataType as D
from market_data.simulator.catalogue import DAY, ExchangeCatalogue, Increment, Listing, Terms
from market_data.simulator.deribit import deribit_listings
from market_data.simulator.expiries import quarterly_expiries, quarterly_listing_day

SPOT_TYPES = (D.TRADES, D.INCREMENTAL_BOOK_L2, D.QUOTES, D.BOOK_SNAPSHOT_5, D.BOOK_SNAPSHOT_25, D.BOOK_TICKER)
DERIVATIVE_TYPES = (*SPOT_TYPES[:-1], D.DERIVATIVE_TICKER, D.BOOK_TICKER, D.LIQUIDATIONS)

_CENT, _TENTH = Increment(1, 2), Increment(1, 1)

NAMES: dict[str, str] = {
    "binance": "Binance Spot",
    "binance-futures": "Binance USDT Futures",
    "binance-delivery": "Binance COIN Futures",
    "deribit": "Deribit",
}
_SINCE: dict[str, date] = {
    "binance": date(2019, 3, 30),
    "binance-futures": date(2019, 11, 17),
    "binance-delivery": date(2020, 6, 16),
    "deribit": date(2019, 3, 30),
}
_DATED_USDT_SINCE = date(2021, 2, 3)


def _spot(
    base: str,
    quote: str,
    since: date,
    tick: Increment,
    lot: Increment,
    *,
    until: date | None = None,
    liquidity: float = 0.3,
) -> Listing:
    terms = Terms(base, quote, tick, lot, liquidity=liquidity)
    return Listing(f"{base}{quote}", f"{base}{quote}".lower(), "spot", SPOT_TYPES, since, until, terms)


def _binance() -> Iterator[Listing]:
    since = _SINCE["binance"]
    yield Listing("SPOT", "SPOT", "spot", (D.TRADES,), since)
    yield _spot("BTC", "USDT", since, _CENT, Increment(1, 5), liquidity=1.0)
    yield _spot("ETH", "USDT", since, _CENT, Increment(1, 4), liquidity=0.8)
    yield _spot("ETH", "BTC", since, Increment(1, 5), Increment(1, 4))
    yield _spot("1INCH", "USDT", date(2020, 12, 25), Increment(1, 4), _TENTH)
    # delisted years ago: its availableTo lies before exportedUntil
    yield _spot("ERD", "USDT", date(2019, 7, 5), Increment(1, 6), Increment(1, 0), until=date(2020, 9, 4))
    # listed recently
    yield _spot("MON", "USDT", date(2026, 9, 10), Increment(1, 5), Increment(1, 0))


def _perpetual(symbol: str, terms: Terms, since: date) -> Listing:
    return Listing(symbol, symbol.lower(), "perpetual", DERIVATIVE_TYPES, since, None, terms)


def _dated(pair: str, make_terms: dict[str, Increment], since: date, *, base: str, quote: str) -> Iterator[Listing]:
    is_inverse = quote == "USD"
    for expiry in quarterly_expiries(since):
        listed = max(quarterly_listing_day(expiry), since)
        symbol = f"{pair}_{expiry:%y%m%d}"
        terms = Terms(
            base,
            quote,
            make_terms["tick"],
            make_terms["lot"],
            contract_type=f"{'inverse' if is_inverse else 'linear'}_future",
            settlement=base if is_inverse else quote,
            lot_value=_inverse_lot_value(base) if is_inverse else None,
            listing=datetime.combine(listed, time(8), UTC),
            expiry=datetime.combine(expiry, time(8), UTC),
            liquidity=0.15,
        )
        yield Listing(symbol, symbol.lower(), "future", DERIVATIVE_TYPES, listed, expiry + DAY, terms)


def _inverse_lot_value(base: str) -> float:
    return 100.0 if base == "BTC" else 10.0


def _derivative_groups(since: date, futures_since: date) -> Iterator[Listing]:
    yield Listing("PERPETUALS", "PERPETUALS", "perpetual", (D.TRADES, D.DERIVATIVE_TICKER, D.LIQUIDATIONS), since)
    futures = (D.TRADES, D.INCREMENTAL_BOOK_L2, D.DERIVATIVE_TICKER, D.LIQUIDATIONS)
    yield Listing("FUTURES", "FUTURES", "future", futures, futures_since)


def _binance_futures() -> Iterator[Listing]:
    since = _SINCE["binance-futures"]
    yield from _derivative_groups(since, _DATED_USDT_SINCE)

    def linear(base: str, quote: str, tick: Increment, lot: Increment, liquidity: float) -> Terms:
        return Terms(base, quote, tick, lot, "linear_perpetual", settlement=quote, liquidity=liquidity)

    yield _perpetual("BTCUSDT", linear("BTC", "USDT", _TENTH, Increment(1, 3), 1.0), since)
    yield _perpetual("ETHUSDT", linear("ETH", "USDT", _CENT, Increment(1, 3), 0.8), date(2019, 11, 28))
    shib = linear("1000SHIB", "USDT", Increment(1, 6), Increment(1, 0), 0.3)
    shib = replace(shib, price_base="SHIB", price_factor=1000.0)
    yield _perpetual("1000SHIBUSDT", shib, date(2021, 5, 11))
    yield _perpetual("BTCUSDC", linear("BTC", "USDC", _TENTH, Increment(1, 3), 0.4), date(2024, 1, 4))
    for base, tick in (("BTC", _TENTH), ("ETH", _CENT)):
        increments = {"tick": tick, "lot": Increment(1, 3)}
        yield from _dated(f"{base}USDT", increments, _DATED_USDT_SINCE, base=base, quote="USDT")


def _binance_delivery() -> Iterator[Listing]:
    since = _SINCE["binance-delivery"]
    yield from _derivative_groups(since, since)
    for base, tick, first in (("BTC", _TENTH, date(2020, 8, 11)), ("ETH", _CENT, date(2020, 8, 20))):
        terms = Terms(
            base,
            "USD",
            tick,
            Increment(1, 0),
            "inverse_perpetual",
            settlement=base,
            lot_value=_inverse_lot_value(base),
            liquidity=0.5,
        )
        yield _perpetual(f"{base}USD_PERP", terms, first)
        yield from _dated(f"{base}USD", {"tick": tick, "lot": Increment(1, 0)}, since, base=base, quote="USD")


_BUILDERS: dict[str, Callable[[], Iterator[Listing]]] = {
    "binance": _binance,
    "binance-futures": _binance_futures,
    "binance-delivery": _binance_delivery,
    "deribit": lambda: deribit_listings(_SINCE["deribit"]),
}


@cache
def build_exchange(exchange_id: str) -> ExchangeCatalogue | None:
    """Return the generated catalogue of an exchange id, None when the simulator does not have it."""
    builder = _BUILDERS.get(exchange_id)
    if builder is None:
        return None
    return ExchangeCatalogue(exchange_id, NAMES[exchange_id], _SINCE[exchange_id], list(builder()))
