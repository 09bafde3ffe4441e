"""Instruments are found by what people know of them, with the days the lake holds of each."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl
import pytest

from market_data.errors import ConfigurationError
from market_data.lake.base import TickLake
from market_data.lake.keys import receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.read import NothingMatchesWarning
from market_data.read.find import find_instruments
from market_data.receipts.receipt import State
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data.universe.table import UNIVERSE_SCHEMA, held_universes
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.gcs_server import GcsServer

TRADES, QUOTES, OPTIONS_CHAIN = DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN
FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
SPOT = Selection(data_types=(TRADES, QUOTES), include=("BTCUSDT", "ETHBTC"))
OPTIONS = Selection(data_types=(TRADES, OPTIONS_CHAIN))
BTC_USDT = "BINANCE:SPOT_PAIR:BTC-USDT"


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture(scope="module", params=["local", "gcs"])
def filled(
    request: pytest.FixtureRequest, vendor: RunningSimulator, tmp_path_factory: pytest.TempPathFactory
) -> TickLake:
    """A lake with two days of BINANCE, whose quotes of the second one failed, and one day of DERIBIT with groups."""
    url = (tmp_path_factory.mktemp("filled") / "lake").as_uri()
    if request.param == "gcs":
        server: GcsServer = request.getfixturevalue("gcs_server")
        bucket = f"find-{uuid.uuid4().hex}"
        server.create_bucket(bucket)
        url = f"gs://{bucket}"
    lake = open_lake(url)
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    ingest_day(lake, vendor, "DERIBIT", FIRST, OPTIONS)
    vendor.set_faults([{"match": "*/quotes/*", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
    vendor.set_faults([])
    return lake


def _keys(lake: TickLake, **filters: Any) -> list[str]:
    return find_instruments(lake=lake, **filters)["instrument_key"].to_list()


@pytest.mark.parametrize("text", ["btcusdt", "BTC-USDT", "spot_pair:btc", "BTCUSD?", "*btc-usdt"])
def test_text_is_part_of_a_name_or_a_glob_of_all_of_it_in_any_case(filled: TickLake, text: str) -> None:
    assert _keys(filled, text=text, venues="binance") == [BTC_USDT]


@pytest.mark.parametrize("text", ["btcusd?t", "BTC", "*.*"])
def test_a_dot_or_a_question_mark_is_no_other_sign_than_it_is(filled: TickLake, text: str) -> None:
    found = _keys(filled, text=text, venues="binance", base="BTC")
    assert found == ([BTC_USDT] if text == "BTC" else [])


def test_base_types_and_venues_narrow_the_search(filled: TickLake) -> None:
    assert _keys(filled, venues=["binance"], base="eth") == ["BINANCE:SPOT_PAIR:ETH-BTC", "BINANCE:SPOT_PAIR:ETH-USDT"]
    assert set(_keys(filled, types="perpetual")) == set(_keys(filled, types=["PERPETUAL"], venues="deribit"))
    assert _keys(filled, types="spot", venues="deribit", base="BTC") == ["DERIBIT:SPOT_PAIR:BTC-USDC"]
    spots = _keys(filled, types=["spot"])
    assert spots == sorted(spots)
    assert {key.split(":")[1] for key in spots} == {"SPOT_PAIR"}


def test_each_instrument_is_one_row_with_what_its_newest_universe_says(filled: TickLake) -> None:
    found = find_instruments(lake=filled)
    assert found["instrument_key"].is_unique().all()
    assert found.columns == [*UNIVERSE_SCHEMA, "days_listed", "days_held"]
    (row,) = find_instruments(lake=filled, text=BTC_USDT).to_dicts()
    assert (row["vendor_symbol"], row["base"], row["quote"]) == ("BTCUSDT", "BTC", "USDT")
    assert (row["first_day"], row["days_listed"]) == (date(2019, 3, 30), 2)


def test_days_held_are_those_with_published_ticks(filled: TickLake) -> None:
    held = find_instruments(lake=filled, venues="binance").select("vendor_symbol", "days_held").unnest("days_held")
    assert held.columns == ["vendor_symbol", *(data_type.value for data_type in DataType)]
    by_symbol = {row["vendor_symbol"]: (row["trades"], row["quotes"], row["book_ticker"]) for row in held.to_dicts()}
    # the quotes of the second day failed, and of ETHUSDT nothing was asked for
    assert by_symbol == {"BTCUSDT": (2, 1, 0), "ETHBTC": (2, 1, 0), "ETHUSDT": (0, 0, 0), "1INCHUSDT": (0, 0, 0)}


def test_a_grouped_file_holds_the_instruments_of_its_base(filled: TickLake) -> None:
    receipt, _ = load_receipt(filled, DataTypeDay("DERIBIT", OPTIONS_CHAIN, FIRST))
    assert receipt is not None
    held_bases = {item.stem.partition("~")[0] for item in receipt.objects}
    options = find_instruments(lake=filled, types="option").unnest("days_held")
    assert set(options["base"]) == held_bases
    assert set(options["options_chain"]) == {1}
    others = find_instruments(lake=filled, types="perpetual", venues="deribit").unnest("days_held")
    assert set(others["options_chain"]) == {0}
    assert set(others["trades"]) == {1}


def test_a_day_that_an_earlier_version_left_half_overwritten_holds_nothing(
    vendor: RunningSimulator, lake: TickLake
) -> None:
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)[TRADES]
    lake.put_bytes(receipt.changed(state=State.REPLACING).model_dump_json().encode(), receipt_key(receipt.unit))
    row = find_instruments(lake=lake, text="BTCUSDT")["days_held"][0]
    assert (row["trades"], row["quotes"]) == (0, 1)


def test_on_and_between_choose_the_days_looked_at(filled: TickLake) -> None:
    assert find_instruments(lake=filled, text="BTCUSDT", on=SECOND)["days_held"][0]["trades"] == 1
    assert find_instruments(lake=filled, between=(FIRST, SECOND), venues="binance")[
        "days_listed"
    ].unique().to_list() == [1]
    assert _keys(filled, on=SECOND) == _keys(filled, venues="binance")
    dated = find_instruments(lake=filled, venues="deribit", types="option", on=FIRST)
    assert dated.filter((pl.col("first_day") > FIRST) | (pl.col("last_day") < FIRST)).is_empty()


def test_universes_are_listed_by_venue_and_day(filled: TickLake) -> None:
    assert held_universes(filled) == [("BINANCE", FIRST), ("BINANCE", SECOND), ("DERIBIT", FIRST)]


def test_nothing_found_has_the_same_columns(filled: TickLake) -> None:
    nothing = find_instruments(lake=filled, text="no such thing")
    assert nothing.is_empty()
    assert nothing.schema == find_instruments(lake=filled).schema


def test_an_unknown_name_is_refused_with_the_known_ones(filled: TickLake) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown instrument type 'SPT'. Known: COMBO, .*SPOT_PAIR"):
        find_instruments(lake=filled, types="spt")
    with pytest.raises(ConfigurationError, match="unknown venue 'binanze'"):
        find_instruments(lake=filled, venues="binanze")


@pytest.mark.parametrize(
    "wrong", [{"text": 3}, {"between": 3}, {"between": "2024-08-08"}, {"base": [1]}, {"on": ""}, {"expiry": 0}], ids=str
)
def test_what_cannot_be_meant_is_refused(filled: TickLake, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        find_instruments(lake=filled, **wrong)


def test_days_that_the_lake_does_not_know_are_told_with_those_it_does(filled: TickLake) -> None:
    with pytest.warns(NothingMatchesWarning, match="on 2020-01-01; it holds 2 days, 2024-08-08 to 2024-08-09"):
        found = find_instruments(lake=filled, on=date(2020, 1, 1))
    assert found.is_empty()
    assert found.schema == find_instruments(lake=filled).schema


def test_an_empty_lake_says_so(lake: TickLake) -> None:
    with pytest.warns(NothingMatchesWarning, match="knows no instruments of BINANCE: nothing was run yet"):
        assert find_instruments(lake=lake, venues="binance").is_empty()


def test_finding_loads_neither_dagster_nor_an_http_client() -> None:
    code = "import sys, market_data.read.find; print([n for n in ('dagster', 'httpx', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
