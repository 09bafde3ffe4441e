"""The asset `coverage` shows the lake's coverage with the numbers that `measure_coverage` gives."""

import base64
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from PIL import Image

from market_data.defs.coverage import COVERAGE_KEY, build_coverage, describe_coverage
from market_data.defs.resources import LakeResource
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.operate.coverage import FILE_COUNTS, days_between, measure_coverage
from market_data.settings.environment import Settings, load_settings
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ORIGIN, ingest_day

FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
SPOT = Selection(data_types=(DataType.TRADES, DataType.QUOTES), include=("BTCUSDT", "ETHBTC"))


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    venue = {"data_types": [item.value for item in SPOT.data_types], "include": list(SPOT.include)}
    (tmp_path / "venues.yaml").write_text(yaml.safe_dump({"venues": {"binance": venue}}))
    return load_settings({"MARKET_DATA_CONFIG": str(tmp_path / "venues.yaml")})


def _materialize(settings: Settings, lake: TickLake, **config: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [build_coverage(settings)],
        resources={"lake": LakeResource(url=lake.url, origin=ORIGIN)},
        run_config=dg.RunConfig({"coverage": {"config": config}}),
        raise_on_error=False,
    )


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, dg.MetadataValue]:
    (event,) = result.asset_materializations_for_node("coverage")
    return dict(event.metadata)


def test_the_asset_is_unpartitioned_and_in_the_group_of_the_lake(settings: Settings) -> None:
    asset = build_coverage(settings)
    assert asset.partitions_def is None
    assert asset.group_names_by_key == {COVERAGE_KEY: "lake"}


def test_picture_and_tables_have_the_numbers_of_the_lake(
    lake: TickLake, vendor: RunningSimulator, settings: Settings
) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    vendor.set_faults([{"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"}])
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
    vendor.set_faults([])
    metadata = _metadata(_materialize(settings, lake, first_day="2024-08-08", last_day="2024-08-10"))
    frame = measure_coverage(lake, {"BINANCE": SPOT.data_types}, days_between(FIRST, date(2024, 8, 11)))
    assert metadata["verdict"].value == (
        "3 of 6 complete (venue, data type, day); 1 incomplete, 0 being replaced, 2 not run"
    )
    for name in FILE_COUNTS:
        assert metadata[f"files {name.replace('_', ' ')}"].value == frame[name].sum()
    assert metadata["rows"].value == frame["rows"].sum()
    days = [(record["venue"], record["day"], record["state"]) for record in _records(metadata["venues by day"])]
    assert days == [
        ("BINANCE", "2024-08-08", "complete"),
        ("BINANCE", "2024-08-09", "incomplete"),
        ("BINANCE", "2024-08-10", "not_run"),
    ]
    (broken,) = _records(metadata["incomplete"])
    assert (broken["data_type"], broken["failed"]) == ("trades", 1)
    assert str(broken["cause"]).startswith("BINANCE trades 2024-08-09 ETHBTC: not a gzip file")
    assert sum(int(str(record["stored"])) for record in _records(metadata["data types by venue"])) == 7
    sketch = str(metadata["days of each venue"].value)
    assert sketch == (
        "```\n2024-08-08 to 2024-08-10\na sign a day: x incomplete, · not run, █ complete\nBINANCE 1/3\n█x·\n```"
    )
    picture = base64.b64decode(str(metadata["picture"].value).partition("base64,")[2].rstrip(")"))
    assert Image.open(io.BytesIO(picture)).format == "PNG"


def _records(value: dg.MetadataValue) -> list[dict[str, object]]:
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_the_default_is_the_thirty_days_until_yesterday(lake: TickLake, settings: Settings) -> None:
    metadata = _metadata(_materialize(settings, lake))
    days = [record["day"] for record in _records(metadata["venues by day"])]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert days == [str(yesterday - timedelta(days=back)) for back in reversed(range(30))]
    assert "incomplete" not in metadata


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"first_day": "yesterday"}, "first_day and last_day are dates such as 2024-08-01"),
        ({"first_day": "2024-08-10", "last_day": "2024-08-08"}, "first_day 2024-08-10 is after last_day 2024-08-08"),
    ],
)
def test_days_that_make_no_range_fail_with_a_sentence(
    tmp_path: Path, settings: Settings, config: dict[str, str], words: str
) -> None:
    result = _materialize(settings, open_lake((tmp_path / "lake").as_uri()), **config)
    data = result.failure_data_for_node("coverage")
    assert data is not None
    assert data.user_failure_data is not None
    assert words in str(data.user_failure_data.description)


def test_a_table_that_is_too_long_says_where_the_rest_is(settings: Settings, lake: TickLake) -> None:
    frame = measure_coverage(lake, {"BINANCE": SPOT.data_types}, days_between(date(2020, 1, 1), date(2023, 1, 1)))
    records = _records(describe_coverage(frame)["venues by day"])
    assert len(records) == 1001
    assert records[-1]["venue"] == "... and 96 more rows: market-data coverage --json"
    assert settings.config.venues
