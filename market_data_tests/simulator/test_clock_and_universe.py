from __future__ import annotations

from datetime import date

import httpx
import pytest

from market_data.simulator.http.server import RunningSimulator
from market_data.simulator.venues.venues import build_exchange
from market_data_tests.patience import PATIENCE_SECONDS


def _listed(exchange_id: str, day: date, instrument_type: str) -> list[str]:
    exchange = build_exchange(exchange_id)
    assert exchange is not None
    return [
        listing.symbol
        for listing in exchange.listings
        if listing.instrument_type == instrument_type and not listing.is_group and listing.is_listed_on(day)
    ]


@pytest.mark.parametrize(
    ("day", "symbols"),
    [
        (date(2021, 2, 2), []),
        (date(2021, 3, 26), ["BTCUSDT_210326", "BTCUSDT_210625", "BTCUSDT_210924"]),  # a quarter's last day
        (date(2021, 3, 27), ["BTCUSDT_210625", "BTCUSDT_210924"]),
        (date(2024, 8, 8), ["BTCUSDT_240927", "BTCUSDT_241227"]),
        (date(2026, 11, 20), ["BTCUSDT_261225", "BTCUSDT_270326"]),
    ],
)
def test_two_quarterly_futures_are_listed_at_any_time(day: date, symbols: list[str]) -> None:
    listed = _listed("binance-futures", day, "future")
    assert [symbol for symbol in listed if symbol.startswith("BTC")] == symbols


def test_deribit_dates_have_no_zero_pad_and_quarters_end_on_their_last_friday() -> None:
    assert "BTC-5JAN24" in _listed("deribit", date(2024, 1, 4), "future")
    assert "BTC-5JAN24" not in _listed("deribit", date(2024, 1, 6), "future")
    assert "BTC-27JUN25" in _listed("deribit", date(2025, 1, 1), "future")
    assert _listed("deribit", date(2024, 8, 8), "combo") == ["BTC-FS-27SEP24_PERP", "BTC-FS-27DEC24_PERP"]


def test_option_chains_hold_daily_weekly_and_quarterly_expiries_around_the_price() -> None:
    options = _listed("deribit", date(2024, 8, 7), "option")
    expiries = {symbol.split("-")[1] for symbol in options if symbol.startswith("BTC-")}
    assert expiries == {"7AUG24", "8AUG24", "9AUG24", "16AUG24", "27SEP24", "27DEC24"}
    assert len(options) < 120
    assert any(symbol.startswith("XRP_USDC-") and "D" in symbol.split("-")[2] for symbol in options)
    assert {symbol.rsplit("-", 1)[1] for symbol in options} == {"C", "P"}


@pytest.mark.parametrize(
    ("now", "exported_until"),
    [
        ("2024-08-09T05:59:59Z", "2024-08-08T00:00:00.000Z"),
        ("2024-08-09T06:00:00Z", "2024-08-09T00:00:00.000Z"),
        ("2024-08-09T23:59:59Z", "2024-08-09T00:00:00.000Z"),
        ("2024-08-09T07:30:00+02:00", "2024-08-08T00:00:00.000Z"),
    ],
)
def test_yesterday_is_exported_at_six(
    simulator: RunningSimulator, client: httpx.Client, now: str, exported_until: str
) -> None:
    simulator.set_clock(now)
    datasets = client.get("/exchanges/binance").json()["datasets"]
    assert datasets["exportedUntil"] == exported_until
    live = next(symbol for symbol in datasets["symbols"] if symbol["id"] == "BTCUSDT")
    assert live["availableTo"] == exported_until


def test_the_clock_of_a_process_moves_and_one_exchange_may_be_late(
    simulator: RunningSimulator, client: httpx.Client
) -> None:
    clock = f"{simulator.origin}/_simulator/clock"
    answer = httpx.post(
        clock, json={"now": "2026-01-08T12:00:00Z", "late": {"binance": "2026-01-05"}}, timeout=PATIENCE_SECONDS
    )
    until = answer.json()["exportedUntil"]
    assert (until["binance"], until["deribit"]) == ("2026-01-05", "2026-01-08")
    assert client.get("/binance/trades/2026/01/04/BTCUSDT.csv.gz").status_code == 200
    refused = client.get("/binance/trades/2026/01/05/BTCUSDT.csv.gz")
    assert (refused.status_code, refused.json()["code"]) == (400, 140)
    httpx.post(clock, json={"now": "2026-01-08T13:00:00Z"}, timeout=PATIENCE_SECONDS)
    assert client.get("/binance/trades/2026/01/05/BTCUSDT.csv.gz").status_code == 200
    assert httpx.post(clock, json={"now": "soon"}, timeout=PATIENCE_SECONDS).status_code == 422
