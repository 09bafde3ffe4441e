"""Rows of trades, liquidations, derivative_ticker and options_chain, on the touch of the same book."""

from __future__ import annotations

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.simulator.market.books import Flags, Touch, random_latency, random_lots, random_times, usual_lots
from market_data.simulator.market.frames import Columns, frame, nullable, numbers_of, venue_times
from market_data.simulator.market.markets import Market
from market_data.simulator.market.prices import DAY_US, Floats, Ints, random_stream
from market_data.simulator.venues.expiries import is_friday

_BUSIEST_TRADES = 3000
_BUSIEST_TICKERS = 3000
_BUSIEST_LIQUIDATIONS = 40
_CHAIN_ROWS = 40
_EIGHT_HOURS_US = DAY_US // 3
_MOST_TRADES_A_MESSAGE = 4
_SMALLEST_VEGA = 1e-6
_SWEEP_SHARE = 0.15  # of the taker orders meet several resting ones
_HALF = 0.5


def _stream(market: Market, what: str) -> np.random.Generator:
    return random_stream(market.seed, market.exchange_id, market.listing.symbol, market.day, what)


def _message_at(touch: Touch, times_us: Ints) -> Ints:
    return np.maximum(np.searchsorted(touch.times_us, times_us, side="right") - 1, 0)


def trade_rows(market: Market, touch: Touch, scale: float) -> pl.DataFrame:
    """Return trades on the taker's side of the touch; trades of one message share their arrival."""
    rng = _stream(market, "trades")
    count = int(rng.poisson(_BUSIEST_TRADES * scale * market.terms.liquidity))
    # The trade feed is up before the book's snapshot: the first rows carry a venue time of the day before.
    messages = random_times(rng, count * 3 // 4, market.open_us + 500, market.close_us)[:count]
    if len(messages) and market.open_us == 0:
        messages[0] = min(messages[0], int(rng.integers(1_000, 9_000)))
    latency = random_latency(rng, len(messages))
    if len(messages) and market.open_us == 0:
        latency[0] = max(latency[0], messages[0] + 4_000)
    repeats = np.where(
        rng.random(len(messages)) < _SWEEP_SHARE, rng.integers(2, _MOST_TRADES_A_MESSAGE + 1, len(messages)), 1
    )
    message = np.repeat(np.arange(len(messages)), repeats)
    received = messages[message]
    is_buy = rng.random(len(messages))[message] < _HALF
    at = _message_at(touch, received)
    is_buy |= touch.bid_amount[at] == 0  # nobody to sell to
    lots = random_lots(rng, usual_lots(market, float(touch.bid.mean()) * market.terms.tick.value) / 2, len(message))
    # A block of ids per instrument: ids are unique within a group file as well.
    first_id = (market.day.toordinal() - 736_000) * 1_000_000_000 + int(rng.integers(0, 1_000)) * 1_000_000
    ids = pl.Series(first_id + np.arange(len(message))).cast(pl.String)
    if market.exchange_id == "deribit" and market.terms.base != "BTC":
        ids = market.terms.base + "-" + ids
    columns: Columns = {
        "id": ids,
        "side": pl.Series(np.where(is_buy, "buy", "sell")),
        "price": numbers_of(np.where(is_buy, touch.ask[at], touch.bid[at]), market.terms.tick),
        "amount": numbers_of(lots, market.terms.lot),
    }
    return frame(market, DataType.TRADES, venue_times(market, received, latency[message]), received, columns)


def _has_no_liquidations(market: Market) -> bool:
    # Easy to script: BTCUSDC of binance-futures is empty on each even day of the month.
    if market.listing.symbol == "BTCUSDC":
        return market.day.day % 2 == 0
    return market.terms.expiry is not None and not is_friday(market.day)


def liquidation_rows(market: Market, touch: Touch, scale: float) -> pl.DataFrame:
    """Return a throttled sample of forced orders, a few ticks outside the touch, with empty ids."""
    rng = _stream(market, "liquidations")
    count = (
        0 if _has_no_liquidations(market) else int(rng.poisson(_BUSIEST_LIQUIDATIONS * scale * market.terms.liquidity))
    )
    received = random_times(rng, count, market.open_us + 1_000_000, market.close_us) if count else touch.times_us[:0]
    at = _message_at(touch, received)
    is_buy = rng.random(len(received)) < _HALF
    away = rng.integers(0, touch.grid, len(received))
    lots = random_lots(rng, usual_lots(market, float(touch.bid.mean()) * market.terms.tick.value) * 2, len(received))
    columns: Columns = {
        "id": pl.Series([None] * len(received), dtype=pl.String),
        "side": pl.Series(np.where(is_buy, "buy", "sell"), dtype=pl.String),
        "price": numbers_of(np.where(is_buy, touch.ask[at] + away, touch.bid[at] - away), market.terms.tick),
        "amount": numbers_of(lots, market.terms.lot),
    }
    sent = venue_times(market, received, random_latency(rng, len(received)))
    return frame(market, DataType.LIQUIDATIONS, sent, received, columns)


def derivative_ticker_rows(market: Market, touch: Touch, scale: float) -> pl.DataFrame:
    """Return a row for each change of a field; fields stay empty until their first message."""
    rng = _stream(market, "derivative_ticker")
    count = max(10, round(_BUSIEST_TICKERS * scale * market.terms.liquidity))
    received = random_times(rng, count, market.open_us + 20_000, market.close_us)
    count = len(received)
    # Which message each row is: last trade, mark and index (with funding), or open interest.
    kind = rng.choice(3, count, p=(0.5, 0.4, 0.1))
    kind[0] = 0
    at = _message_at(touch, received)
    last = np.where(rng.random(count) < _HALF, touch.bid[at], touch.ask[at])
    index = np.round(market.index_prices(received), market.terms.tick.decimals + 2)
    mark = np.round(market.fair_prices(received), market.terms.tick.decimals + 2)
    interest = np.round(1_000_000 * (1 + 0.002 * np.cumsum(rng.normal(0, 0.2, count)))).astype(np.int64)
    funding_due = market.midnight_us + (received // _EIGHT_HOURS_US + 1) * _EIGHT_HOURS_US
    period = received // _EIGHT_HOURS_US
    rates = np.round(rng.normal(0.0001, 0.00005, 4), 8)
    is_perpetual = market.listing.instrument_type == "perpetual"
    columns: Columns = {
        "funding_timestamp": _held(kind == 1, funding_due, is_offered=is_perpetual),
        "funding_rate": _held(kind == 1, rates[period], is_offered=is_perpetual),
        "predicted_funding_rate": _held(
            kind == 1, rates[period + 1], is_offered=is_perpetual and market.exchange_id == "deribit"
        ),
        "open_interest": _held(kind == 2, numbers_of(interest, market.terms.lot)),  # noqa: PLR2004
        "last_price": _held(kind == 0, numbers_of(last, market.terms.tick)),
        "index_price": _held(kind == 1, index),
        "mark_price": _held(kind == 1, mark),
    }
    sent = venue_times(market, received, random_latency(rng, count))
    return frame(market, DataType.DERIVATIVE_TICKER, sent, received, columns)


def _held(changed: Flags, values: Floats | Ints, *, is_offered: bool = True) -> pl.Series:
    last = np.maximum.accumulate(np.where(changed, np.arange(len(changed)), -1))
    return nullable(values[np.maximum(last, 0)], (last >= 0) & is_offered)


def options_chain_rows(market: Market, touch: Touch, scale: float) -> pl.DataFrame:
    """Return one option's ticker: prices in the venue's currency, greeks in USD.

    Volatilities are in percent on Deribit and fractions on other venues.
    """
    rng = _stream(market, "options_chain")
    terms = market.terms
    some = rng.random(len(touch.times_us)) < _CHAIN_ROWS * scale / len(touch.times_us)
    at = np.nonzero(some)[0]
    times = touch.times_us[at]
    values, forwards = market.option_values(times), market.forward_prices(times)
    in_usd = forwards if terms.is_inverse else np.ones_like(forwards)
    has_bid, has_last = touch.bid_amount[at] > 0, times > market.open_us + DAY_US // 12
    bid, ask = numbers_of(touch.bid[at], terms.tick), numbers_of(touch.ask[at], terms.tick)

    def volatility(price: Floats) -> Floats:
        shift = (price * in_usd - values.price) / np.maximum(values.vega, _SMALLEST_VEGA)
        shifted: Floats = values.volatility + shift
        return _as_sent(market, shifted.clip(0.0, 500.0))

    columns: Columns = {
        "type": pl.repeat(terms.option_type, len(at), eager=True),
        "strike_price": np.full(len(at), terms.strike),
        "expiration": np.full(len(at), market.expiry_us()),
        "open_interest": numbers_of(np.cumsum(rng.integers(0, 3, len(at))) + int(rng.integers(0, 900)), terms.lot),
        "last_price": nullable(bid, has_last & has_bid),
        "bid_price": nullable(bid, has_bid),
        "bid_amount": nullable(numbers_of(touch.bid_amount[at], terms.lot), has_bid),
        "bid_iv": nullable(volatility(bid), has_bid),
        "ask_price": ask,
        "ask_amount": numbers_of(touch.ask_amount[at], terms.lot),
        "ask_iv": volatility(ask),
        "mark_price": np.round(values.price / in_usd, 6),
        "mark_iv": _as_sent(market, values.volatility),
        "underlying_index": pl.repeat(_underlying_index(market), len(at), eager=True),
        "underlying_price": np.round(forwards, 4),
        **{greek: np.round(getattr(values, greek), 5) for greek in ("delta", "gamma", "vega", "theta", "rho")},
    }
    return frame(market, DataType.OPTIONS_CHAIN, venue_times(market, times, touch.latency_us[at]), times, columns)


def _as_sent(market: Market, volatility: Floats) -> Floats:
    return volatility.round(2) if market.exchange_id == "deribit" else (volatility / 100).round(4)


def _underlying_index(market: Market) -> str:
    terms = market.terms
    if market.exchange_id != "deribit":
        return f"{terms.base}-{terms.quote}"
    name = market.listing.symbol.rsplit("-", 2)[0]
    has_future = terms.expiry is not None and is_friday(terms.expiry.date()) and terms.is_inverse
    return name if has_future else f"SYN.{name}"
