"""Canonical venues and the vendor's exchange ids.

A venue is the vendor's exchange id in upper case; the vendor's `okex` family is called OKX. Keys and object keys derive
from these names, so a golden test freezes them. Source: docs.tardis.dev, "Historical data details", and the vendor's
own id list.
"""

from __future__ import annotations

from market_data.errors import ConfigurationError

# Every exchange id of the vendor that has, or is announced to have, tick files.
EXCHANGE_IDS: tuple[str, ...] = tuple(
    """
    ascendex aster aster-futures binance binance-delivery binance-dex binance-european-options binance-futures
    binance-jersey binance-options binance-us bitfinex bitfinex-derivatives bitflyer bitget bitget-futures bitmex
    bitnomial bitstamp blockchain-com bullish bybit bybit-options bybit-spot coinbase coinbase-international coinflex
    crypto-com crypto-com-derivatives cryptofacilities delta deribit dydx dydx-v4 ftx ftx-us gate-io gate-io-futures
    gemini hitbtc huobi huobi-dm huobi-dm-linear-swap huobi-dm-options huobi-dm-swap hyperliquid kraken kucoin
    kucoin-futures lighter mango mexc mexc-futures okcoin okex okex-futures okex-options okex-spreads okex-swap phemex
    poloniex polymarket serum star-atlas upbit woo-x
    """.split()
)


def _venue_of(exchange_id: str) -> str:
    is_okex = exchange_id == "okex" or exchange_id.startswith("okex-")
    return ("okx" + exchange_id[4:] if is_okex else exchange_id).upper()


_EXCHANGE_ID_BY_VENUE = {_venue_of(exchange_id): exchange_id for exchange_id in EXCHANGE_IDS}

VENUES: tuple[str, ...] = tuple(sorted(_EXCHANGE_ID_BY_VENUE))


def _fold(text: str) -> str:
    return text.strip().upper().replace("_", "-")


_VENUE_BY_SPELLING = {
    _fold(name): venue for venue, exchange_id in _EXCHANGE_ID_BY_VENUE.items() for name in (venue, exchange_id)
}


def parse_venue(text: str) -> str:
    """Return the canonical venue of any spelling: vendor id, venue, group name (`okex-swap`, `OKX-SWAP`, `okx_swap`).

    Raises ConfigurationError (permanent) that lists the known venues.
    """
    venue = _VENUE_BY_SPELLING.get(_fold(text))
    if venue is None:
        raise ConfigurationError(f"unknown venue {text!r}. Known venues: {', '.join(VENUES)}")
    return venue


def exchange_id_of(venue: str) -> str:
    """Return the vendor's exchange id of a canonical venue (`OKX-SWAP` -> `okex-swap`)."""
    return _EXCHANGE_ID_BY_VENUE[venue]


def group_name_of(venue: str) -> str:
    """Return the name of a venue in asset keys and groups (`BINANCE-FUTURES` -> `binance_futures`)."""
    return venue.lower().replace("-", "_")
