"""The vendor's own Python client, unchanged, against the simulator; runs where `tardis-dev` is installed."""

from __future__ import annotations

import gzip
import urllib.error
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from market_data.model.data_types import TABLES, DataType
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator

tardis_dev: Any = pytest.importorskip("tardis_dev")


@pytest.fixture(params=[False, True], ids=["direct", "redirected"])
def vendor(request: pytest.FixtureRequest) -> Any:
    with run_simulator(SimulatorOptions(clock="2026-11-22T07:00:00Z", scale=0.1, redirect=request.param)) as running:
        yield running


def _download(
    vendor: RunningSimulator, folder: Path, exchange: str, symbols: list[str], day: date, *, key: str
) -> None:
    tardis_dev.download_datasets(
        exchange=exchange,
        data_types=["trades", "incremental_book_L2", "quotes"],
        symbols=symbols,
        from_date=f"{day}",
        to_date=f"{date.fromordinal(day.toordinal() + 3)}",
        api_key=key,
        download_dir=str(folder),
        endpoint=vendor.datasets_url,
    )


@pytest.mark.parametrize(
    ("exchange", "symbols", "day"),
    [
        ("binance", ["btcusdt", "ethbtc"], date(2024, 8, 1)),
        ("binance-futures", ["币安人生usdt"], date(2026, 8, 3)),
        ("bitfinex", ["MATIC:BTC"], date(2024, 8, 3)),
        ("deribit", ["BTC-PERPETUAL", "BTC-9AUG24-65000-C"], date(2024, 8, 5)),
        ("hyperliquid", ["@162", "kPEPE", "xyz:TSLA"], date(2026, 8, 3)),
        ("kraken", ["XBT/USD"], date(2026, 7, 7)),
    ],
)
def test_the_official_client_downloads(
    vendor: RunningSimulator, tmp_path: Path, exchange: str, symbols: list[str], day: date
) -> None:
    _download(vendor, tmp_path, exchange, symbols, day, key=DEFAULT_KEY)
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(symbols) * 3 * 3
    assert not [path for path in files if path.name.endswith(".unconfirmed")]
    for path in files:
        data_type = next(data_type for data_type in DataType if f"_{data_type}_" in path.name)
        first, *rows = gzip.decompress(path.read_bytes()).decode().splitlines() or [TABLES[data_type].csv_header]
        assert first == TABLES[data_type].csv_header
        assert rows or data_type is DataType.TRADES


def test_without_a_key_the_client_gets_the_first_day_of_a_month_and_no_other(
    vendor: RunningSimulator, tmp_path: Path
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:  # it asks for the last day first
        _download(vendor, tmp_path, "binance", ["btcusdt"], date(2024, 8, 1), key="")
    assert refused.value.code == 401
    assert "first day of each month" in refused.value.msg
    assert list(tmp_path.iterdir()) == []
    free: dict[str, Any] = {"data_types": ["trades"], "symbols": ["btcusdt"], "download_dir": str(tmp_path)}
    tardis_dev.download_datasets(
        "binance", from_date="2024-08-01", to_date="2024-08-02", endpoint=vendor.datasets_url, **free
    )
    assert [path.name for path in tmp_path.iterdir()] == ["binance_trades_2024-08-01_BTCUSDT.csv.gz"]


def test_the_client_reads_the_metadata(vendor: RunningSimulator) -> None:
    details = tardis_dev.get_exchange_details("deribit", endpoint=vendor.api_url)
    assert details["datasets"]["exportedUntil"] == "2026-11-22T00:00:00.000Z"
    api: dict[str, str] = {"endpoint": vendor.api_url, "api_key": DEFAULT_KEY}
    assert tardis_dev.get_instrument_info("kraken", symbol="aaplx/usd", **api)["datasetId"] == "AAPLX-USD"
    wanted = {"type": "perpetual", "active": True}
    found = tardis_dev.find_instrument_symbols(["bybit"], wanted, selector="datasetId", **api)
    assert found == [{"exchange": "bybit", "symbols": ["BTCUSD", "BTCUSDT", "BTCPERP", "SHIB1000USDT"]}]
