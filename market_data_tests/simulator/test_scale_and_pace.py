from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from click.testing import CliRunner

from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.simulator.http import app, delivery
from market_data.simulator.http.command import simulator_command
from market_data.simulator.http.server import DEFAULT_KEY, SimulatorOptions, run_simulator
from market_data.simulator.vendor.generated import GeneratedSource
from market_data.symbology import parse_symbol
from market_data_tests.patience import PATIENCE_SECONDS

CLOCK = "2024-08-11T07:00:00Z"
HEADERS = {"Authorization": f"Bearer {DEFAULT_KEY}"}
CHAIN = "/deribit/options_chain/2024/08/08/OPTIONS.csv.gz"
TRADES = "/binance/trades/2024/08/08/BTCUSDT.csv.gz"
MIDNIGHT_US = int(datetime(2024, 8, 8, tzinfo=UTC).timestamp()) * 1_000_000
DAY_US = 86_400_000_000


def _read_chain(body: bytes) -> pl.DataFrame:
    columns = TABLES[DataType.OPTIONS_CHAIN].vendor_columns
    dtypes = {c.csv_name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}
    return pl.read_csv(gzip.decompress(body), schema=dtypes)


def test_deribit_lists_as_many_symbols_as_asked_for() -> None:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.1, symbols=40_000)) as running:
        answer = httpx.get(
            f"{running.api_url}/exchanges/deribit", headers={"Accept-Encoding": "gzip"}, timeout=PATIENCE_SECONDS
        )
        assert answer.headers["Content-Encoding"] == "gzip"
        plain = httpx.get(
            f"{running.api_url}/exchanges/deribit", headers={"Accept-Encoding": "identity"}, timeout=PATIENCE_SECONDS
        )
        assert "Content-Encoding" not in plain.headers
        assert plain.content == answer.content
        symbols = {symbol["id"]: symbol for symbol in answer.json()["datasets"]["symbols"]}
        assert len(symbols) == len(answer.json()["datasets"]["symbols"]) == 40_000
        by_type = [symbol["type"] for symbol in symbols.values()]
        assert by_type.count("option") > 25_000
        assert by_type.count("combo") > 5_000
        for symbol in symbols.values():  # denser, and still Deribit's grammar
            if symbol["type"] == "option" and not symbol["id"].startswith("OPTIONS"):
                assert parse_symbol("DERIBIT", "OPTION", symbol["id"])[0].strike is not None
        live = [name for name, symbol in symbols.items() if symbol["availableTo"] == "2024-08-11T00:00:00.000Z"]
        some = [name for name in live if name.startswith("ETH-CSR12-")][:2] + [
            name for name in live if symbols[name]["type"] == "option" and name != "OPTIONS"
        ][-2:]
        assert len(some) == 4
        for name in some:
            url = f"{running.datasets_url}/deribit/quotes/2024/08/10/{name}.csv.gz"
            assert httpx.get(url, headers=HEADERS, timeout=PATIENCE_SECONDS).status_code == 200
        one = httpx.get(
            f"{running.api_url}/instruments/deribit/{some[-1]}", headers=HEADERS, timeout=PATIENCE_SECONDS
        ).json()
        assert one["datasetId"] == some[-1]


def test_the_ordinary_listing_stays_in_the_large_one_with_the_same_files() -> None:
    day = date(2024, 8, 8)
    ordinary, large = GeneratedSource(1, 0.1), GeneratedSource(1, 0.1, symbols=30_000, until=date(2024, 8, 11))
    listed = [source.exchange("deribit") for source in (ordinary, large)]
    assert listed[0] is not None
    assert listed[1] is not None
    assert {listing.symbol for listing in listed[0].listings} < {listing.symbol for listing in listed[1].listings}
    for symbol in ("BTC-8AUG24-60000-C", "PERPETUALS"):
        bodies = [source.read_file("deribit", DataType.TRADES, symbol, day) for source in (ordinary, large)]
        assert bodies[0] == bodies[1] is not None


def test_an_options_file_of_any_size_is_streamed() -> None:
    bodies = []
    for _ in range(2):
        with run_simulator(SimulatorOptions(clock=CLOCK, options_rows=150_001)) as running:
            answer = httpx.get(running.datasets_url + CHAIN, headers=HEADERS, timeout=PATIENCE_SECONDS)
            assert answer.status_code == 200
            assert "Content-Length" not in answer.headers
            assert running.requests()[-1]["bytes"] == len(answer.content)
            bodies.append(answer.content)
            ordinary = httpx.get(
                running.datasets_url + CHAIN.replace("options_chain", "quotes"),
                headers=HEADERS,
                timeout=PATIENCE_SECONDS,
            )
            assert int(ordinary.headers["Content-Length"]) == len(ordinary.content)
    assert bodies[0] == bodies[1]
    chain = _read_chain(bodies[0])
    assert chain.height == 150_001
    assert chain["local_timestamp"].is_sorted()
    assert chain["local_timestamp"].is_between(MIDNIGHT_US, MIDNIGHT_US + DAY_US - 1).all()
    assert (chain["timestamp"] < chain["local_timestamp"]).all()
    assert (chain["expiration"] >= chain["local_timestamp"]).all()
    small = GeneratedSource(1, 1.0).read_file("deribit", DataType.OPTIONS_CHAIN, "OPTIONS", date(2024, 8, 8))
    assert small is not None
    states = _read_chain(small).drop("timestamp", "local_timestamp").unique()
    assert (
        chain.drop("timestamp", "local_timestamp")
        .join(states, on=states.columns, how="anti", nulls_equal=True)
        .is_empty()
    )
    assert chain["symbol"].n_unique() > 50


def test_a_large_chain_is_made_piece_by_piece() -> None:
    pieces = GeneratedSource(1, 1.0, options_rows=50_000_000).stream_file(
        "deribit", DataType.OPTIONS_CHAIN, "OPTIONS", date(2024, 8, 8)
    )
    assert pieces is not None
    sizes = [len(piece) for piece, _ in zip(pieces, range(4), strict=False)]
    assert 0 < max(sizes) < 10_000_000


def test_a_venue_without_options_on_a_day_has_an_empty_chain() -> None:
    pieces = GeneratedSource(1, 1.0, options_rows=1000).stream_file(
        "bullish", DataType.OPTIONS_CHAIN, "OPTIONS", date(2024, 8, 8)
    )
    assert pieces is not None
    assert gzip.decompress(b"".join(pieces)) == b""


def test_the_reader_of_a_stream_may_leave() -> None:
    with run_simulator(SimulatorOptions(clock=CLOCK, options_rows=50_000_000)) as running:
        with httpx.stream("GET", running.datasets_url + CHAIN, headers=HEADERS, timeout=PATIENCE_SECONDS) as answer:
            assert next(answer.iter_raw())
        assert httpx.get(running.datasets_url + TRADES, headers=HEADERS, timeout=PATIENCE_SECONDS).status_code == 200


def test_latency_passes_before_each_answer_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(app, "sleep", note)
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.1, latency_ms=250, redirect=True)) as running:
        httpx.get(f"{running.api_url}/exchanges", timeout=PATIENCE_SECONDS)
        httpx.get(running.datasets_url + TRADES, headers=HEADERS, follow_redirects=True, timeout=PATIENCE_SECONDS)
        httpx.get(f"{running.origin}/_simulator/requests", timeout=PATIENCE_SECONDS)
    assert waits == [0.25, 0.25, 0.25]
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.1)) as running:
        httpx.get(f"{running.api_url}/exchanges", timeout=PATIENCE_SECONDS)
    assert len(waits) == 3


def test_the_pace_holds_for_answers_with_data_and_yields_to_fault_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(delivery, "sleep", note)
    options = SimulatorOptions(clock=CLOCK, scale=0.1, bytes_per_second=10_000, options_rows=2_000)
    with (
        run_simulator(options) as running,
        httpx.Client(base_url=running.api_url, headers=HEADERS, timeout=PATIENCE_SECONDS) as client,
    ):
        for path in (TRADES, "/exchanges/binance", CHAIN):
            waits.clear()
            sent = client.get(path)
            assert sent.status_code == 200
            size = running.requests()[-1]["bytes"]
            assert size / 10_000 <= sum(waits) < (size + 500) / 10_000 + 0.05 * 30
        running.set_faults([{"match": "*/trades/*", "action": "status", "code": 503}])
        assert client.get(TRADES).status_code == 503
        waits.clear()
        assert client.get("/exchanges/binance").status_code == 200
        assert waits


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbols", "-1"], "symbols -1 must not be negative"),
        (["--options-rows", "-5"], "options_rows -5 must not be negative"),
        (["--latency-ms", "-0.5"], "latency_ms -0.5 must not be negative"),
        (["--bytes-per-second", "-1"], "bytes_per_second -1 must not be negative"),
    ],
)
def test_wrong_sizes_end_with_a_message(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(simulator_command, ["--port", "0", *arguments])
    assert result.exit_code == 1
    assert words in result.output


def test_generated_sizes_do_not_go_with_real_files(tmp_path: Any) -> None:
    result = CliRunner().invoke(simulator_command, ["--files", str(tmp_path), "--symbols", "5"])
    assert "do not go together with files" in result.output
