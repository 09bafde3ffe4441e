"""What an analyst reads on the page of a layout, and on that of the instruments, after a day was run."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from market_data.defs.build import build_definitions
from market_data.defs.layout_pages import sample_rows
from market_data.model.data_types import DataType
from market_data.read import scan_ticks
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.in_process import Project, open_project

DAY = date(2024, 8, 8)
DATA_TYPES = (DataType.TRADES, DataType.BOOK_SNAPSHOT_25)
BY_DATE, INSTRUMENTS = dg.AssetKey(["binance", "by_date"]), dg.AssetKey(["binance", "instruments"])


@pytest.fixture
def project(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    shared_simulator.set_faults([])
    venues = {"binance": {"data_types": [item.value for item in DATA_TYPES], "include": ["BTCUSDT"]}}
    with open_project(tmp_path, shared_simulator, venues) as project:
        assert project.run("all_venues", DAY).success
        yield project


def shown(project: Project, key: dg.AssetKey) -> Mapping[str, dg.MetadataValue[Any]]:
    event = project.instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def records(value: object) -> list[Mapping[str, Any]]:
    assert isinstance(value, dg.TableMetadataValue)
    return [record.data for record in value.records]


def code_in(markdown: str) -> str:
    return markdown.partition("```python\n")[2].partition("```")[0]


def test_the_page_of_a_layout_shows_rows_that_are_published(project: Project) -> None:
    sample = records(shown(project, BY_DATE)["first rows of trades"])
    ticks = scan_ticks("trades", venues="binance", start=DAY, end=date(2024, 8, 9), lake=project.lake.url)
    first = ticks.head(5).select("symbol", pl.col("price", "amount").cast(pl.String)).collect().to_dicts()
    assert [{name: row[name] for name in first[0]} for row in sample] == first
    wide = shown(project, BY_DATE)["first rows of book_snapshot_25"]
    assert isinstance(wide, dg.TableMetadataValue)
    assert [column.name for column in wide.schema.columns][-2:] == ["bid_amount_0", "and 99 more columns"]


def test_what_a_layout_says_of_how_to_read_it_runs(project: Project) -> None:
    metadata = shown(project, BY_DATE)
    exec(code_in(str(metadata["read it"].value)), {})  # noqa: S102  what is shown is what is run
    (description,) = [
        spec.description or ""
        for item in build_definitions(project.settings()).assets or ()
        if isinstance(item, dg.AssetsDefinition)
        for spec in item.specs
        if spec.key == BY_DATE
    ]
    assert f"lake='{project.lake.url[:20]}" in description.replace("(\n        ", "")
    assert "`date=.../venue=.../data_type=.../instrument_type=...`" in description


def test_the_numbers_of_a_layout_are_numbers_so_that_they_are_plotted_by_day(project: Project) -> None:
    metadata = shown(project, BY_DATE)
    rows = [metadata[f"rows of {item}"] for item in DATA_TYPES]
    assert all(isinstance(value, dg.IntMetadataValue) for value in rows)
    assert metadata["dagster/partition_row_count"].value == sum(value.value for value in rows)
    assert all(isinstance(metadata[f"MB of {item}"], dg.FloatMetadataValue) for item in DATA_TYPES)


def test_the_columns_of_a_layout_are_those_of_all_its_data_types_with_each_meaning(project: Project) -> None:
    asset = next(item for item in build_definitions(project.settings()).assets or () if "by_date" in str(item))
    assert isinstance(asset, dg.AssetsDefinition)
    schema = asset.metadata_by_key[BY_DATE]["dagster/column_schema"]
    columns = {column.name: column.description for column in schema.columns}
    assert list(columns)[:5] == ["date", "venue", "data_type", "instrument_type", "instrument_key"]
    assert columns["price"].startswith("trades: Price of one unit of the base")
    assert columns["price"].endswith("Unit: see instruments.price_currency.")
    assert "trades" not in columns["local_timestamp"]


def test_rows_that_cannot_be_read_are_told_and_no_day_fails_of_them(project: Project) -> None:
    receipts = [project.receipt("BINANCE", item, DAY) for item in DATA_TYPES]
    for stat in project.lake.list_objects("ticks/"):
        project.lake.delete(stat.key)
    told = sample_rows(project.lake, receipts)["first rows of trades"].value
    assert str(told).startswith("no sample: ticks/by_date/date=2024-08-08/")


def test_the_page_of_the_instruments_shows_the_first_of_them_and_what_changed(project: Project) -> None:
    metadata = shown(project, INSTRUMENTS)
    first = records(metadata["first instruments"])
    assert len(first) <= 10
    assert first[0]["instrument_key"].startswith("BINANCE:SPOT_PAIR:")
    assert str(metadata["changes"].value) in {"none since the day before", "1 listed", "1 delisted"}
