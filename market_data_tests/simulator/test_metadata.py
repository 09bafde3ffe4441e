from __future__ import annotations

import json
from typing import Any

import httpx

from market_data.simulator.http.server import RunningSimulator
from market_data_tests.patience import PATIENCE_SECONDS


def _symbols(client: httpx.Client, exchange: str) -> dict[str, Any]:
    document = client.get(f"/exchanges/{exchange}").json()
    return {symbol["id"]: symbol for symbol in document["datasets"]["symbols"]}


def test_exchanges_are_listed_without_a_key(anonymous: httpx.Client) -> None:
    exchanges = {exchange["id"]: exchange for exchange in anonymous.get("/exchanges").json()}
    assert {"binance", "deribit", "kraken", "binance-jersey"} <= set(exchanges)
    assert "bullish" not in exchanges  # begins after the clock
    assert exchanges["deribit"]["availableSince"] == "2019-03-30T00:00:00.000Z"
    assert exchanges["deribit"]["supportsDatasets"] is True


def test_a_live_symbol_is_available_until_the_first_day_not_exported(client: httpx.Client) -> None:
    document = client.get("/exchanges/binance").json()
    assert document["datasets"]["exportedUntil"] == "2024-08-11T00:00:00.000Z"
    assert document["datasets"]["formats"] == ["csv"]
    assert _symbols(client, "binance")["BTCUSDT"] == {
        "id": "BTCUSDT",
        "type": "spot",
        "dataTypes": [
            "trades",
            "incremental_book_L2",
            "quotes",
            "book_snapshot_5",
            "book_snapshot_25",
            "book_ticker",
        ],
        "availableSince": "2019-03-30T00:00:00.000Z",
        "availableTo": "2024-08-11T00:00:00.000Z",
    }


def test_a_delisted_symbol_ends_early_and_a_later_one_is_not_listed_yet(client: httpx.Client) -> None:
    symbols = _symbols(client, "binance")
    assert symbols["ERDUSDT"]["availableTo"] == "2020-09-04T00:00:00.000Z"
    assert "MONUSDT" not in symbols


def test_available_symbols_use_the_casing_of_the_api_and_have_no_data_types(client: httpx.Client) -> None:
    document = client.get("/exchanges/binance-delivery").json()
    symbols = {symbol["id"]: symbol for symbol in document["availableSymbols"]}
    assert "btcusd_perp" in symbols
    assert "availableTo" not in symbols["btcusd_perp"]
    assert symbols["btcusd_200925"]["availableTo"] == "2020-09-26T00:00:00.000Z"
    assert all("dataTypes" not in symbol for symbol in symbols.values())


def test_group_rows_stand_beside_symbols_with_their_own_data_types(client: httpx.Client) -> None:
    deribit = _symbols(client, "deribit")
    assert (deribit["OPTIONS"]["type"], deribit["OPTIONS"]["dataTypes"]) == (
        "option",
        ["trades", "quotes", "options_chain"],
    )
    assert deribit["COMBOS"]["type"] == "combo"
    assert _symbols(client, "binance")["SPOT"]["dataTypes"] == ["trades"]
    assert _symbols(client, "binance-futures")["PERPETUALS"]["dataTypes"] == [
        "trades",
        "derivative_ticker",
        "liquidations",
    ]


def test_only_the_options_group_offers_the_chain(client: httpx.Client) -> None:
    offering = {name for name, symbol in _symbols(client, "deribit").items() if "options_chain" in symbol["dataTypes"]}
    assert offering == {"OPTIONS"}


def test_a_large_answer_is_compressed(simulator: RunningSimulator) -> None:
    answer = httpx.get(
        f"{simulator.api_url}/exchanges/deribit", headers={"Accept-Encoding": "gzip"}, timeout=PATIENCE_SECONDS
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.json()["datasets"]["symbols"]) > 3000


def test_instruments_need_a_key(anonymous: httpx.Client) -> None:
    assert anonymous.get("/instruments/deribit").status_code == 401
    assert anonymous.get("/api-key-info").status_code == 401


def test_a_key_opens_every_exchange_of_today(client: httpx.Client) -> None:
    plans = {plan["exchange"]: plan for plan in client.get("/api-key-info").json()}
    assert plans.keys() == {exchange["id"] for exchange in client.get("/exchanges").json()}
    assert plans["deribit"] == {
        "exchange": "deribit",
        "accessType": "full",
        "from": "2019-03-30T00:00:00.000Z",
        "to": "2024-08-11T00:00:00.000Z",
        "symbols": [],
        "dataPlan": "pro",
    }


def test_an_instrument_is_found_in_any_case(client: httpx.Client) -> None:
    instrument = client.get("/instruments/deribit/XRP_USDC-16AUG24-0D49-c").json()
    assert instrument["id"] == "XRP_USDC-16AUG24-0d49-C"
    assert instrument["datasetId"] == "XRP_USDC-16AUG24-0D49-C"
    assert instrument["strikePrice"] == 0.49
    assert instrument["optionType"] == "call"
    assert instrument["expiry"] == "2024-08-16T08:00:00.000Z"
    assert instrument["quoteCurrency"] == "USDC"
    assert client.get("/instruments/deribit/NOPE").json()["code"] == 300


def test_instruments_can_be_filtered(client: httpx.Client) -> None:
    wanted = {"type": ["future"], "baseCurrency": "ETH", "active": True}
    instruments = client.get("/instruments/binance-futures", params={"filter": json.dumps(wanted)}).json()
    assert [instrument["id"] for instrument in instruments] == ["ethusdt_240927", "ethusdt_241227"]
    assert client.get("/instruments/binance", params={"filter": "["}).status_code == 400


def test_an_unknown_exchange_is_a_bad_parameter(client: httpx.Client) -> None:
    answer = client.get("/exchanges/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (400, 300)
