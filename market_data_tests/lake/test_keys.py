"""Object keys: frozen by golden examples of the design, and invertible whatever a symbol is made of."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.lake.base import check_key
from market_data.lake.keys import (
    LAYOUTS,
    PARTITION_KEYS,
    PARTITION_ORDERS,
    PublishedName,
    object_key,
    object_prefix,
    parse_receipt_prefix,
    raw_key,
    receipt_key,
    receipt_prefix,
    receipts_prefix,
    universe_key,
    vendor_answer_key,
)
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data_tests.object_keys import parse_object_key

TRADES = DataTypeDay("BINANCE", DataType.TRADES, date(2024, 8, 8))
ODD_STEMS = (
    "BTC~OPTIONS",
    "~OPTIONS",
    "~BTC-USDT",
    "@162",
    "XYZ-TSLA",
    "$MICHI-USDT",
    "币安人生-USDT",
    "ÄÖ-USDT",
    "A B+C",
    "50%-OFF",
    "a=b&c",
    "A/B:C,D",
    ".HIDDEN",
    "..",
    "x.parquet",
    "[0]*?",
    "7" * 77,
)


def test_a_folder_of_receipts_says_what_it_is_of() -> None:
    folder = receipt_prefix("OKX-SWAP", DataType.TRADES)
    assert folder == f"{receipts_prefix('OKX-SWAP')}data_type=trades/" == "receipt/venue=OKX-SWAP/data_type=trades/"
    assert parse_receipt_prefix(folder) == ("OKX-SWAP", DataType.TRADES)
    for other in (
        folder[:-1],
        f"{folder}old/",
        "receipt/venue=OKX-SWAP/data_type=of_a_later_version/",
        "receipt/notes/",
    ):
        assert parse_receipt_prefix(other) is None


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("by_date", "ticks/by_date/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/{}"),
        ("by_venue", "ticks/by_venue/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/date=2024-08-08/{}"),
        ("by_type", "ticks/by_type/instrument_type=SPOT_PAIR/data_type=trades/date=2024-08-08/venue=BINANCE/{}"),
    ],
)
def test_published_files_have_the_keys_of_the_design(layout: str, key: str) -> None:
    assert object_key(layout, PublishedName(TRADES, "SPOT_PAIR", "BTC-USDT")) == key.format("BTC-USDT.parquet")
    assert object_prefix(layout, TRADES, "SPOT_PAIR") == key.format("")


def test_everything_else_in_the_lake_has_the_keys_of_the_design() -> None:
    assert raw_key(TRADES, "BTCUSDT") == "raw/venue=BINANCE/data_type=trades/date=2024-08-08/BTCUSDT.csv.gz"
    assert receipt_key(TRADES) == "receipt/venue=BINANCE/data_type=trades/date=2024-08-08.json"
    assert universe_key("BINANCE", TRADES.day) == "universe/date=2024-08-08/venue=BINANCE/instruments.parquet"
    assert vendor_answer_key("BINANCE", date(2026, 11, 22)) == "vendor/venue=BINANCE/asked=2026-11-22.json.gz"


def test_the_layouts_are_three_orders_of_the_same_four_partition_keys() -> None:
    assert LAYOUTS == ("by_date", "by_venue", "by_type")
    for order in PARTITION_ORDERS.values():
        assert sorted(order) == sorted(PARTITION_KEYS)


@pytest.mark.parametrize(
    ("stem", "file_name"),
    [
        ("BTC~OPTIONS", "BTC~OPTIONS.parquet"),
        ("@162", "@162.parquet"),
        ("XRP-USDC-251107-1.14-CALL", "XRP-USDC-251107-1.14-CALL.parquet"),
        ("A/B:C,D", "A%2FB%3AC%2CD.parquet"),
        ("币-USDT", "%E5%B8%81-USDT.parquet"),
        (".HIDDEN", "%2EHIDDEN.parquet"),
    ],
)
def test_symbols_are_percent_encoded_where_some_reader_would_stumble(stem: str, file_name: str) -> None:
    assert object_key("by_date", PublishedName(TRADES, "OPTION", stem)).rpartition("/")[2] == file_name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stem", ODD_STEMS)
def test_an_odd_symbol_comes_back_from_its_key(layout: str, stem: str) -> None:
    name = PublishedName(DataTypeDay("OKX-SWAP", DataType.BOOK_SNAPSHOT_25, date(2019, 3, 30)), "PERPETUAL", stem)
    assert parse_object_key(object_key(layout, name)) == (layout, name)


NAMES = st.builds(
    PublishedName,
    st.builds(DataTypeDay, st.text(min_size=1), st.sampled_from(DataType), st.dates(min_value=date(1000, 1, 1))),
    st.text(min_size=1),
    st.text(min_size=1, max_size=60),
)


@given(layout=st.sampled_from(LAYOUTS), name=NAMES)
def test_every_name_comes_back_from_its_key(layout: str, name: PublishedName) -> None:
    key = object_key(layout, name)
    assert parse_object_key(key) == (layout, name)
    assert key.isascii()
    assert key.count("/") == len(PARTITION_KEYS) + 2
    assert not {":", ",", "[", "*", "?", " ", "\\"} & set(key)


@given(symbol=st.text(min_size=1, max_size=60))
def test_the_key_of_any_symbol_is_one_that_a_lake_accepts(symbol: str) -> None:
    for key in (object_key("by_date", PublishedName(TRADES, "SPOT_PAIR", symbol)), raw_key(TRADES, symbol)):
        assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ticks",
        "ticks/by_date/BTC-USDT.parquet",
        "raw/venue=BINANCE/data_type=trades/date=2024-08-08/BTCUSDT.csv.gz",
        "ticks/by_moon/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.parquet",
        "ticks/by_venue/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.parquet",
        "ticks/by_date/date=2024-08-08/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.csv",
        "ticks/by_date/date=2024-08-08/venue=BINANCE/data_type=trade/instrument_type=SPOT_PAIR/BTC-USDT.parquet",
        "ticks/by_date/date=2024-08-32/venue=BINANCE/data_type=trades/instrument_type=SPOT_PAIR/BTC-USDT.parquet",
    ],
)
def test_what_is_not_the_key_of_a_published_file_is_refused(key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any text: callers sort keys by it
        parse_object_key(key)
