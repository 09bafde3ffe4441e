from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest

from market_data.errors import ConfigurationError
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.simulator.vendor.files import instrument_type_of
from market_data_tests.patience import PATIENCE_SECONDS

HEADERS = {"Authorization": "Bearer k2"}


def _write(directory: Path, name: str) -> bytes:
    body = gzip.compress(name.encode(), mtime=0)
    (directory / name).write_bytes(body)
    return body


def test_a_directory_of_files_is_served_as_it_is(tmp_path: Path) -> None:
    first = _write(tmp_path, "binance_book_snapshot_5_2024-08-08_BTCUSDT.csv.gz")
    _write(tmp_path, "binance_trades_2024-08-10_BTCUSDT.csv.gz")
    _write(tmp_path, "binance-delivery_quotes_2024-08-01_ETHUSD_PERP.csv.gz")
    _write(tmp_path, "deribit_options_chain_2020-06-08_OPTIONS.csv.gz")
    (tmp_path / "README.md").write_text("not a tick file")
    options = SimulatorOptions(files=tmp_path, keys=("k1", "k2"))
    with (
        run_simulator(options) as running,
        httpx.Client(base_url=running.api_url, headers=HEADERS, timeout=PATIENCE_SECONDS) as client,
    ):
        assert [exchange["id"] for exchange in client.get("/exchanges").json()] == [
            "binance",
            "binance-delivery",
            "deribit",
        ]
        datasets = client.get("/exchanges/binance").json()["datasets"]
        assert datasets["exportedUntil"] == "2024-08-11T00:00:00.000Z"
        assert datasets["symbols"] == [
            {
                "id": "BTCUSDT",
                "type": "spot",
                "dataTypes": ["trades", "book_snapshot_5"],
                "availableSince": "2024-08-08T00:00:00.000Z",
                "availableTo": "2024-08-11T00:00:00.000Z",
            }
        ]
        deribit = client.get("/exchanges/deribit").json()["datasets"]["symbols"]
        assert [(symbol["id"], symbol["type"]) for symbol in deribit] == [("OPTIONS", "option")]

        path = "/binance/book_snapshot_5/2024/08/{}/BTCUSDT.csv.gz"
        assert client.get(path.format("08")).content == first
        missing = client.get(path.format("09"))
        assert (missing.status_code, missing.json()["code"]) == (400, 140)
        late = client.get(path.format("11"))
        assert (late.status_code, late.json()["code"]) == (400, 140)
        unknown = client.get("/binance/quotes/2024/08/08/BTCUSDT.csv.gz")
        assert (unknown.status_code, unknown.json()["code"]) == (400, 300)
        assert httpx.get(running.datasets_url + path.format("08"), timeout=PATIENCE_SECONDS).status_code == 401
        free = "/binance-delivery/quotes/2024/08/01/ETHUSD_PERP.csv.gz"
        assert httpx.get(running.datasets_url + free, timeout=PATIENCE_SECONDS).status_code == 200


@pytest.mark.parametrize(
    ("exchange_id", "symbol", "instrument_type"),
    [
        ("binance", "BTCUSDT", "spot"),
        ("binance-delivery", "ETHUSD_PERP", "perpetual"),
        ("binance-delivery", "BTCUSD_240927", "future"),
        ("binance-futures", "BTCUSDT", "perpetual"),
        ("deribit", "BTC-PERPETUAL", "perpetual"),
        ("deribit", "BTC-5JAN24", "future"),
        ("deribit", "XRP_USDC-7NOV25-1D14-C", "option"),
        ("deribit", "BTC_USDC", "spot"),
        ("hyperliquid", "BTC", "perpetual"),
        ("deribit", "OPTIONS", "option"),
    ],
)
def test_the_type_of_a_symbol_follows_its_form(exchange_id: str, symbol: str, instrument_type: str) -> None:
    assert instrument_type_of(exchange_id, symbol) == instrument_type


def test_a_directory_without_tick_files_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="no tick files"),
        run_simulator(SimulatorOptions(files=tmp_path)),
    ):
        pass
