"""The nine tables, against the column lists that the vendor's documentation gives."""

from __future__ import annotations

import polars as pl
import pytest

from market_data.errors import ConfigurationError
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType, parse_data_type

TIME = pl.Datetime("us", "UTC")
TOP_OF_BOOK = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
HEADERS = {
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "incremental_book_L2": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
    "quotes": TOP_OF_BOOK,
    "book_ticker": TOP_OF_BOOK,
    "derivative_ticker": (
        "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,"
        "open_interest,last_price,index_price,mark_price"
    ),
    "liquidations": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "options_chain": (
        "exchange,symbol,timestamp,local_timestamp,type,strike_price,expiration,open_interest,last_price,bid_price,"
        "bid_amount,bid_iv,ask_price,ask_amount,ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,"
        "gamma,vega,theta,rho"
    ),
}
# What may be an empty cell; every other column of the vendor always holds something.
NULLABLE = {
    "trades": {"id"},
    "incremental_book_L2": set(),
    "quotes": {"ask_amount", "ask_price", "bid_price", "bid_amount"},
    "book_ticker": {"ask_amount", "ask_price", "bid_price", "bid_amount"},
    "derivative_ticker": set(HEADERS["derivative_ticker"].split(",")[4:]),
    "liquidations": {"id"},
    "options_chain": set(HEADERS["options_chain"].split(",")[4:]),  # rows without terms are counted
}
TEXT = {"exchange", "symbol", "id", "side", "type", "underlying_index"}
TIMES = {"timestamp", "local_timestamp", "funding_timestamp", "expiration"}


def _snapshot_header(depth: int) -> str:
    levels = (f"asks[{i}].price,asks[{i}].amount,bids[{i}].price,bids[{i}].amount" for i in range(depth))
    return ",".join(("exchange,symbol,timestamp,local_timestamp", *levels))


def _dtype_of(csv_name: str) -> pl.DataType:
    if csv_name in TEXT:
        return pl.String()
    if csv_name in TIMES:
        return TIME
    return pl.Boolean() if csv_name == "is_snapshot" else pl.Float64()


def test_there_is_one_table_for_each_data_type() -> None:
    assert list(TABLES) == list(DataType)
    assert {data_type.value for data_type in DataType} == {*HEADERS, "book_snapshot_5", "book_snapshot_25"}
    assert all(spec.data_type is data_type for data_type, spec in TABLES.items())


@pytest.mark.parametrize("name", HEADERS)
def test_a_table_has_the_vendors_columns_in_the_vendors_order(name: str) -> None:
    spec = TABLES[DataType(name)]
    assert spec.csv_header == HEADERS[name]
    assert [column.name for column in spec.vendor_columns] == HEADERS[name].split(",")
    assert {column.name for column in spec.vendor_columns if column.is_nullable} == NULLABLE[name]


@pytest.mark.parametrize(("name", "depth", "columns"), [("book_snapshot_5", 5, 24), ("book_snapshot_25", 25, 104)])
def test_book_snapshots_are_interleaved_by_level_ask_first(name: str, depth: int, columns: int) -> None:
    spec = TABLES[DataType(name)]
    assert spec.csv_header == _snapshot_header(depth)
    assert len(spec.vendor_columns) == columns
    first_level = ["ask_price_0", "ask_amount_0", "bid_price_0", "bid_amount_0"]
    assert [column.name for column in spec.vendor_columns[4:8]] == first_level
    assert spec.vendor_columns[-1].name == f"bid_amount_{depth - 1}"
    assert [column.is_nullable for column in spec.vendor_columns] == [False] * 4 + [True] * (4 * depth)


@pytest.mark.parametrize("data_type", DataType)
def test_a_published_table_is_the_instrument_key_and_the_vendors_columns(data_type: DataType) -> None:
    spec = TABLES[data_type]
    wanted: dict[str, pl.DataType] = {"instrument_key": pl.String()}
    wanted |= {column.name: _dtype_of(column.csv_name) for column in spec.vendor_columns}
    assert list(spec.published_schema.items()) == list(wanted.items())
    assert INSTRUMENT_KEY.is_nullable is False


@pytest.mark.parametrize("data_type", DataType)
def test_every_column_is_described_and_every_number_has_a_unit(data_type: DataType) -> None:
    spec = TABLES[data_type]
    assert spec.grain
    for column in spec.vendor_columns:
        assert column.description.endswith("."), column.name
        assert bool(column.unit) == (column.kind in {ColumnKind.NUMBER, ColumnKind.TIME}), column.name
        assert column.name.replace("_", "").isalnum(), "names that BigQuery can hold"


@pytest.mark.parametrize("data_type", DataType)
def test_a_data_type_is_known_by_every_spelling(data_type: DataType) -> None:
    spellings = (data_type.value, data_type.asset_name, data_type.value.upper(), data_type.value.replace("_", "-"))
    assert {parse_data_type(f" {spelling} ") for spelling in spellings} == {data_type}
    assert data_type.asset_name == data_type.value.lower()


@pytest.mark.parametrize("text", ["", "trade", "book_snapshot_10", "incremental_book_l3"])
def test_an_unknown_data_type_is_named_together_with_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_data_type(text)
    assert str(caught.value) == f"unknown data type {text!r}. Known data types: {', '.join(DataType)}"
