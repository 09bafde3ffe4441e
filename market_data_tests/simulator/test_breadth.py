"""Every exchange id of the vendor is served, in its own symbol forms, and the pipeline reads what it gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest

from market_data.model.data_types import DataType
from market_data.model.instruments import file_symbol, instrument_type_of, unparsed_symbol
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.model.venues import EXCHANGE_IDS, parse_venue
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.symbology import parse_symbol
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.universe.listing import GROUP_TYPES
from market_data.universe.rules import Selection, instruments_on
from market_data_tests.patience import PATIENCE_SECONDS

TODAY = date(2026, 11, 22)  # the first day that is not exported
SELECTION = Selection(tuple(DataType))
OPTIONS_VENUES = {
    "deribit",
    "okex-options",
    "bybit-options",
    "binance-european-options",
    "huobi-dm-options",
    "bullish",
}
# What keeps the vendor's form by the parsers' own documentation; every other listed symbol has a canonical key.
VENDOR_FORMS = {
    "bitflyer": r"BTCJPY_MAT1WK",
    "bitnomial": r"BU.*",
    "coinflex": r".*-(SPR|REPO)-.*",
    "delta": r"BTCUSDQ_29MAR|MV-.*",
    "deribit": r"BTC-(FS|CSR12|STRD|CCAL)-.*",
    "ftx": r"BTC-MOVE-2020Q2|BTC-MOVE-0101",
    "huobi-dm": r".*_[CN][WQ]",
    "hyperliquid": r"@.*|XYZ-.*",
    "lighter": r".*",
    "okex-futures": r".*_XPERP-.*",
    "okex-spreads": r".*",
    "polymarket": r".*",
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=f"{TODAY}T07:00:00Z", scale=0.03)) as running:
        yield running


@pytest.fixture(scope="module")
def http(vendor: RunningSimulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
    with httpx.Client(base_url=vendor.api_url, headers=headers, timeout=PATIENCE_SECONDS) as client:
        yield client


def _details(http: httpx.Client, exchange_id: str) -> dict[str, Any]:
    answer = http.get(f"/exchanges/{exchange_id}")
    assert answer.status_code == 200
    document = answer.json()
    assert isinstance(document, dict)
    return document


def _days(symbol: dict[str, Any]) -> tuple[date, date]:
    """Return the first and the last day with files."""
    since, to = (date.fromisoformat(symbol[name][:10]) for name in ("availableSince", "availableTo"))
    return since, to - timedelta(days=1)


def _shape(symbol: dict[str, Any]) -> tuple[str, str]:
    """Return what symbols of one form have in common: the numbers and months of a date or strike do not count."""
    months = re.sub(r"JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", "MON", symbol["id"])
    return symbol["type"], re.sub(r"\d+", "0", re.sub(r"[HMUZ](?=\d\d?$)", "L", months))


def _forms(details: dict[str, Any]) -> list[dict[str, Any]]:
    return list({_shape(symbol): symbol for symbol in details["datasets"]["symbols"]}.values())


def test_every_exchange_of_the_vendor_is_listed(http: httpx.Client) -> None:
    exchanges = {exchange["id"]: exchange for exchange in http.get("/exchanges").json()}
    assert set(exchanges) == set(EXCHANGE_IDS)
    assert exchanges["ftx"]["delisted"] is True
    assert exchanges["ftx"]["availableTo"] == "2022-11-13T00:00:00.000Z"
    assert "delisted" not in exchanges["binance"]


@pytest.mark.parametrize("exchange_id", EXCHANGE_IDS)
def test_metadata_is_what_the_pipeline_needs(http: httpx.Client, exchange_id: str) -> None:
    details = _details(http, exchange_id)
    datasets = details["datasets"]
    until = date.fromisoformat(datasets["exportedUntil"][:10])
    assert until == (date.fromisoformat(details["availableTo"][:10]) if "availableTo" in details else TODAY)
    symbols = {symbol["id"]: symbol for symbol in datasets["symbols"]}
    assert len(symbols) == len(datasets["symbols"]), "an id twice"
    instruments = {name for name in symbols if name not in GROUP_TYPES}
    assert len(instruments) >= 3
    assert {file_symbol(symbol["id"]) for symbol in details["availableSymbols"]} == instruments
    definitions = {row["datasetId"]: row for row in http.get(f"/instruments/{exchange_id}").json()}
    assert set(definitions) == instruments
    for row in definitions.values():
        assert row["priceIncrement"] > 0
        assert ("contractType" in row) == (row["type"] not in {"spot", "prediction"})
        assert row["type"] != "option" or row["contractType"] == "move" or row["optionType"] in {"call", "put"}
    universe = instruments_on(parse_venue(exchange_id), details, until - timedelta(days=1), SELECTION, definitions)
    assert universe.listed
    some = details["availableSymbols"][-1]["id"]
    assert http.get(f"/instruments/{exchange_id}/{quote(some.lower(), safe='')}").json()["id"] == some


@pytest.mark.parametrize("exchange_id", EXCHANGE_IDS)
def test_every_form_and_every_kind_of_file_is_read_by_the_pipeline(
    http: httpx.Client, exchange_id: str, tmp_path: Path
) -> None:
    """Each form of symbol in one data type at least, each data type of each instrument type in one form."""
    done: set[tuple[str, str]] = set()
    for number, symbol in enumerate(_forms(_details(http, exchange_id))):
        first, last = _days(symbol)
        kinds = [(symbol["type"], data_type) for data_type in symbol["dataTypes"]]
        todo = [kind for kind in kinds if kind not in done] or [kinds[number % len(kinds)]]
        done.update(todo)
        day = (first, first + (last - first) // 2, last)[number % 3]
        for data_type in (DataType(name) for _, name in todo):
            _read(http, exchange_id, symbol, DataTypeDay(parse_venue(exchange_id), data_type, day), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("exchange_id", EXCHANGE_IDS)
def test_every_form_of_every_file_is_read_by_the_pipeline(http: httpx.Client, exchange_id: str, tmp_path: Path) -> None:
    for symbol in _forms(_details(http, exchange_id)):
        first, last = _days(symbol)
        middle = first + (last - first) // 2
        for data_type in map(DataType, symbol["dataTypes"]):
            for day in {first, middle, last} if data_type is DataType.TRADES else {middle}:
                _read(http, exchange_id, symbol, DataTypeDay(parse_venue(exchange_id), data_type, day), tmp_path)


def _read(http: httpx.Client, exchange_id: str, symbol: dict[str, Any], unit: DataTypeDay, folder: Path) -> None:
    path = f"/{exchange_id}/{unit.data_type}/{unit.day:%Y/%m/%d}/{quote(symbol['id'], safe='')}.csv.gz"
    answer = http.get(path)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    is_group = symbol["id"] in GROUP_TYPES
    key = None if is_group else f"{unit.venue}:{symbol['type'].upper()}:ANY"
    file = TickFile(unit, symbol["id"], instrument_type_of(symbol["type"]), key)
    (folder / "file.csv.gz").write_bytes(answer.content)
    scratch = folder / path.strip("/").replace("/", "_")
    scratch.mkdir()
    if decode_tick_file(TickText(folder / "file.csv.gz", file), {}, scratch / "decoded") is None:
        assert is_group or unit.data_type in {DataType.TRADES, DataType.LIQUIDATIONS, DataType.OPTIONS_CHAIN}


@pytest.mark.parametrize("exchange_id", EXCHANGE_IDS)
def test_the_symbology_knows_every_listed_symbol(http: httpx.Client, exchange_id: str) -> None:
    definitions = {row["datasetId"]: row for row in http.get(f"/instruments/{exchange_id}").json()}
    for symbol in _details(http, exchange_id)["datasets"]["symbols"]:
        name = symbol["id"]
        if name in GROUP_TYPES:
            continue
        instrument_type = instrument_type_of(symbol["type"])
        parsed, _ = parse_symbol(parse_venue(exchange_id), instrument_type, name, *_days(symbol))
        keeps = parsed.symbol == unparsed_symbol(name).symbol
        assert keeps == bool(re.fullmatch(VENDOR_FORMS.get(exchange_id, "(?!)"), name)), name
        if keeps:
            continue
        definition = definitions[name]
        assert parsed.base == definition["baseCurrency"].replace("-", "."), name
        assert parsed.strike is None or float(parsed.strike) == definition["strikePrice"]
        assert (parsed.expiry is None) == ("expiry" not in definition)
        assert parsed.expiry is None or f"{parsed.expiry:%Y-%m-%d}" == definition["expiry"][:10], name


def test_groups_and_chains_are_offered_where_the_vendor_has_them(http: httpx.Client) -> None:
    chains = set()
    for exchange_id in EXCHANGE_IDS:
        symbols = _details(http, exchange_id)["datasets"]["symbols"]
        kinds = {symbol["type"] for symbol in symbols}
        groups = {symbol["id"]: symbol for symbol in symbols if symbol["id"] in GROUP_TYPES}
        assert {group["type"] for group in groups.values()} == kinds - {"prediction"}
        assert all("trades" in group["dataTypes"] for group in groups.values())
        for symbol in symbols:
            is_plain = symbol["type"] not in {"perpetual", "future"}
            assert not (is_plain and {"derivative_ticker", "liquidations"} & set(symbol["dataTypes"]))
        chains |= {exchange_id} if "options_chain" in groups.get("OPTIONS", {"dataTypes": []})["dataTypes"] else set()
        single = any("options_chain" in symbol["dataTypes"] for symbol in symbols if symbol["id"] not in GROUP_TYPES)
        assert single == (exchange_id == "bybit-options")
    assert chains == OPTIONS_VENUES
    bitcoin = next(row for row in _details(http, "hyperliquid")["datasets"]["symbols"] if row["id"] == "BTC")
    assert bitcoin["dataTypes"] == [
        "trades",
        "incremental_book_L2",
        "quotes",
        "book_snapshot_5",
        "book_snapshot_25",
        "derivative_ticker",
        "book_ticker",
    ]


@pytest.mark.parametrize(
    ("exchange_id", "api_id", "file_id"),
    [
        ("binance-futures", "币安人生usdt", "币安人生USDT"),
        ("binance-delivery", "btcusd_perp", "BTCUSD_PERP"),
        ("bitfinex", "MATIC:BTC", "MATIC-BTC"),
        ("bitfinex-derivatives", "BTCF0:USTF0", "BTCF0-USTF0"),
        ("bitmex", "XBTZ21", "XBTZ21"),
        ("bitnomial", "BUIH23", "BUIH23"),
        ("bitnomial", "BUSZ3", "BUSZ3"),
        ("bitstamp", "btcusd", "BTCUSD"),
        ("bullish", "BTC-USDC-20260626", "BTC-USDC-20260626"),
        ("bybit", "BTCUSDH26", "BTCUSDH26"),
        ("bybit", "BTCUSDT-25DEC26", "BTCUSDT-25DEC26"),
        ("bybit-options", "BTC-4APR25-84000-P-USDT", "BTC-4APR25-84000-P-USDT"),
        ("cryptofacilities", "FI_XBTUSD_190927", "FI_XBTUSD_190927"),
        ("delta", "C-BTC-27700-010423", "C-BTC-27700-010423"),
        ("deribit", "MATIC_USDC-9MAR24-1d02-C", "MATIC_USDC-9MAR24-1D02-C"),
        ("deribit", "BTC-CCAL-24JUL26_10JUL26-75000", "BTC-CCAL-24JUL26_10JUL26-75000"),
        ("ftx", "BTC-1227", "BTC-1227"),
        ("ftx", "BTC/USD", "BTC-USD"),
        ("huobi-dm-options", "BTC-USDT-210625-C-87000", "BTC-USDT-210625-C-87000"),
        ("hyperliquid", "kPEPE", "KPEPE"),
        ("hyperliquid", "xyz:TSLA", "XYZ-TSLA"),
        ("kraken", "AAPLx/USD", "AAPLX-USD"),
        ("okex-spreads", "BTC-USD-SWAP_BTC-USD-231229", "BTC-USD-SWAP_BTC-USD-231229"),
        ("phemex", "sBTCUSDT", "SBTCUSDT"),
        ("upbit", "KRW-BTC", "KRW-BTC"),
    ],
)
def test_symbols_have_the_form_of_their_venue(http: httpx.Client, exchange_id: str, api_id: str, file_id: str) -> None:
    details = _details(http, exchange_id)
    assert api_id in {symbol["id"] for symbol in details["availableSymbols"]}
    assert file_id in {symbol["id"] for symbol in details["datasets"]["symbols"]}


def _cells(http: httpx.Client, path: str) -> pl.DataFrame:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return pl.read_csv(answer.content, infer_schema=False)


def test_the_symbol_cell_is_the_venues_own_in_upper_case(http: httpx.Client) -> None:
    for path, cell in (
        ("/kraken/quotes/2026/07/09/XBT-USD.csv.gz", "XBT/USD"),
        ("/bitfinex/quotes/2024/08/08/MATIC-BTC.csv.gz", "MATIC:BTC"),
        ("/hyperliquid/quotes/2026/08/08/XYZ-TSLA.csv.gz", "XYZ:TSLA"),
        ("/binance-futures/quotes/2026/08/08/1000SHIBUSDT.csv.gz", "1000SHIBUSDT"),
    ):
        assert _cells(http, path)["symbol"].unique().to_list() == [cell]
    assert "XRP/EUR" in _cells(http, "/kraken/trades/2026/07/09/SPOT.csv.gz")["symbol"].to_list()


def test_krakens_pairs_end_and_begin_on_the_day_of_the_rename(http: httpx.Client) -> None:
    statuses = {
        (symbol, day): http.get(f"/kraken/trades/2026/07/{day}/{symbol}-USD.csv.gz").status_code
        for symbol in ("XBT", "BTC")
        for day in ("09", "10")
    }
    assert statuses == {("XBT", "09"): 200, ("XBT", "10"): 400, ("BTC", "09"): 400, ("BTC", "10"): 200}


def test_an_ended_venue_keeps_its_files_and_a_young_one_has_none_before_its_first_day(
    vendor: RunningSimulator, http: httpx.Client
) -> None:
    assert http.get("/ftx/trades/2022/11/12/BTC-PERP.csv.gz").status_code == 200
    ended = http.get("/ftx/trades/2022/11/13/BTC-PERP.csv.gz")
    assert (ended.status_code, ended.json()["code"]) == (400, 140)
    early = http.get("/lighter/trades/2026/04/16/0.csv.gz")
    assert (early.status_code, early.json()["code"]) == (400, 140)
    try:
        vendor.set_clock("2022-11-01T07:00:00Z")
        assert "delisted" not in _details(http, "ftx")
        assert http.get("/exchanges/lighter").status_code == 400
    finally:
        vendor.set_clock(f"{TODAY}T07:00:00Z")


def test_bitgets_book_is_images_of_fifteen_levels(http: httpx.Client) -> None:
    book = _cells(http, "/bitget/incremental_book_L2/2026/08/08/BTCUSDT.csv.gz")
    assert book["is_snapshot"].unique().to_list() == ["true"]
    sizes = book.group_by("local_timestamp", "side").len()
    assert sizes["len"].unique().to_list() == [15]
    assert sizes.height > 10
    shown = _cells(http, "/bitget/book_snapshot_25/2026/08/08/BTCUSDT.csv.gz")
    assert shown["asks[14].price"].null_count() == 0
    assert shown["asks[15].price"].null_count() == shown.height


@pytest.mark.parametrize(
    ("exchange_id", "day", "lowest", "highest"),
    [
        ("deribit", "2024/08/08", 15, 250),  # percent
        ("okex-options", "2024/08/08", 0.15, 2.5),
        ("binance-european-options", "2024/08/08", 0.15, 2.5),
        ("bullish", "2026/08/08", 0.15, 2.5),
    ],
)
def test_volatility_is_a_percentage_on_deribit_and_a_fraction_elsewhere(
    http: httpx.Client, exchange_id: str, day: str, lowest: float, highest: float
) -> None:
    chain = _cells(http, f"/{exchange_id}/options_chain/{day}/OPTIONS.csv.gz")
    volatility = chain["mark_iv"].cast(pl.Float64)
    assert volatility.is_between(lowest, highest).all()
    assert chain["underlying_index"].null_count() == 0


def test_incidents_are_those_that_have_begun(vendor: RunningSimulator, http: httpx.Client) -> None:
    assert [row["status"] for row in _details(http, "binance")["incidentReports"]] == ["wontfix", "unresolved"]
    assert _details(http, "upbit")["incidentReports"] == []
    try:
        vendor.set_clock("2024-08-11T07:00:00Z")
        assert [row["status"] for row in _details(http, "binance")["incidentReports"]] == ["wontfix"]
    finally:
        vendor.set_clock(f"{TODAY}T07:00:00Z")
