"""The vendor's own files through Dagster into both kinds of lake, compared cell by cell with the CSV.

The files may not be published (vendor's terms), so they are kept beside the repository and the test is skipped where
they are absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.event_api import PartitionKeyFilter

from market_data.defs.build import build_definitions
from market_data.lake.base import TickLake
from market_data.lake.keys import raw_key
from market_data.lake.open import open_lake, polars_storage_options
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.model.venues import exchange_id_of, group_name_of
from market_data.read import scan_ticks
from market_data.settings.environment import load_settings
from market_data.simulator.http.server import DEFAULT_KEY, SimulatorOptions, run_simulator
from market_data_tests.vendor_csv import in_vendor_names, read_csv

SAMPLES = Path(__file__).parents[3] / "shared/samples"
VENUES_FILE = """
start_date: 2024-08-01
venues:
  binance:
    data_types: &types [trades, incremental_book_L2, book_snapshot_5, book_snapshot_25, quotes, book_ticker]
  binance-delivery: {data_types: *types}
"""
DATA_TYPES = tuple(DataType)[:6]
FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
SYMBOLS = {"BINANCE": "BTCUSDT", "BINANCE-DELIVERY": "ETHUSD_PERP"}
KEYS = {"BINANCE": "BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE-DELIVERY": "BINANCE-DELIVERY:PERPETUAL:ETH-USD"}
VENUE_DAYS = [("BINANCE", FIRST), ("BINANCE", SECOND), ("BINANCE-DELIVERY", FIRST)]
RAW_CHECKS = {"coverage", "schema", "row_conservation", "inside_day"}

pytestmark = pytest.mark.skipif(
    not (SAMPLES / "manifest.csv").is_file(),
    reason="the vendor's files are not there: they are kept beside the repository, in shared/samples",
)


def _sample(venue: str, data_type: DataType, day: date) -> bytes:
    return (SAMPLES / f"{exchange_id_of(venue)}_{data_type}_{day}_{SYMBOLS[venue]}.csv.gz").read_bytes()


@cache  # both lakes are compared with one reading
def _read_csv(venue: str, data_type: DataType, day: date) -> pl.DataFrame:
    return read_csv(_sample(venue, data_type, day))


class Filled:
    """A lake that Dagster filled from the samples, with the instance that remembers how."""

    def __init__(self, lake: TickLake, instance: dg.DagsterInstance, failed: dg.ExecuteInProcessResult) -> None:
        self.lake = lake
        self.instance = instance
        self.failed = failed


@pytest.fixture(scope="module", params=["file", pytest.param("gs", marks=pytest.mark.long)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("samples")
    (folder / "venues.yaml").write_text(VENUES_FILE)
    url = (folder / "lake").as_uri()
    if request.param == "gs":
        request.getfixturevalue("gcs_server").create_bucket("samples")
        url = "gs://samples/lake"
    environ = {
        "MARKET_DATA_CONFIG": str(folder / "venues.yaml"),
        "MARKET_DATA_LAKE_URL": url,
        "TARDIS_API_KEY": DEFAULT_KEY,
    }
    with run_simulator(SimulatorOptions(files=SAMPLES)) as vendor, pytest.MonkeyPatch.context() as patch:
        environ |= {"TARDIS_API_URL": vendor.api_url, "TARDIS_DATASETS_URL": vendor.datasets_url}
        patch.setenv("TARDIS_API_KEY", DEFAULT_KEY)  # Dagster's resource reads the variable itself
        settings = load_settings(environ)
        definitions = build_definitions(settings)
        assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
        with dg.DagsterInstance.local_temp(str(folder)) as instance:
            job = definitions.resolve_job_def("all_venues")
            assert job.execute_in_process(partition_key=str(FIRST), instance=instance).success
            binance = dg.AssetSelection.groups("binance")
            second = dg.materialize(
                assets,
                partition_key=str(SECOND),
                resources=definitions.resources,
                instance=instance,
                selection=binance,
            )
            assert second.success
            delivery = dg.materialize(
                assets,
                partition_key=str(SECOND),
                resources=definitions.resources,
                instance=instance,
                selection=dg.AssetSelection.groups("binance_delivery"),
                raise_on_error=False,
            )
            yield Filled(open_lake(url), instance, delivery)


@pytest.mark.parametrize("data_type", DATA_TYPES)
@pytest.mark.parametrize(("venue", "day"), VENUE_DAYS)
def test_what_is_read_is_what_the_vendor_wrote_cell_by_cell(
    filled: Filled, venue: str, day: date, data_type: DataType
) -> None:
    found = scan_ticks(data_type, venues=venue, start=day, end=day + timedelta(1), lake=filled.lake).collect()
    wanted = _read_csv(venue, data_type, day)
    added = found.select("date", "venue", "instrument_type", "instrument_key").unique()
    assert added.rows() == [(day, venue, KEYS[venue].split(":")[1], KEYS[venue])]
    cells = in_vendor_names(found.drop("date", "venue", "instrument_type", "instrument_key"))
    assert cells.schema == wanted.schema
    assert cells.equals(wanted)


@pytest.mark.parametrize(("venue", "day"), VENUE_DAYS)
def test_the_vendors_bytes_are_kept_and_the_layouts_hold_the_same_bytes(filled: Filled, venue: str, day: date) -> None:
    lake = filled.lake
    for data_type in DATA_TYPES:
        key = raw_key(DataTypeDay(venue, data_type, day), SYMBOLS[venue])
        assert lake.get_bytes(key)[0] == _sample(venue, data_type, day)
    published = [
        stat
        for layout in ("by_date", "by_venue", "by_type")
        for stat in lake.list_objects(f"ticks/{layout}/", with_crc32c=True)
        if f"venue={venue}/" in stat.key and f"date={day}/" in stat.key
    ]
    for data_type in DATA_TYPES:
        copies = [stat for stat in published if f"data_type={data_type}/" in stat.key]
        assert sorted(stat.key.split("/")[1] for stat in copies) == ["by_date", "by_type", "by_venue"]
        assert len({(stat.size_bytes, stat.crc32c) for stat in copies}) == 1
    assert len(published) == len(DATA_TYPES) * 3


@pytest.mark.parametrize("layout", ["by_date", "by_venue", "by_type"])
def test_a_glob_over_one_data_type_of_a_layout_reads_it_as_hive_partitions(filled: Filled, layout: str) -> None:
    keys = [stat.key for stat in filled.lake.list_objects(f"ticks/{layout}/") if "data_type=trades/" in stat.key]
    uris = [filled.lake.uri(key) for key in keys]
    frame = pl.read_parquet(
        uris, glob=False, hive_partitioning=True, storage_options=polars_storage_options(filled.lake)
    )
    assert {"date", "venue", "data_type", "instrument_type"} <= set(frame.columns)
    assert frame.height == sum(_read_csv(venue, DataType.TRADES, day).height for venue, day in VENUE_DAYS)


@pytest.mark.parametrize(("venue", "day"), VENUE_DAYS)
def test_every_check_of_the_day_passed_and_is_stored_with_its_partition(filled: Filled, venue: str, day: date) -> None:
    group, storage = group_name_of(venue), filled.instance.event_log_storage
    wanted = [(dg.AssetKey([group, "raw", kind.asset_name]), name) for kind in DATA_TYPES for name in RAW_CHECKS]
    wanted += [(dg.AssetKey([group, layout]), "matches_receipts") for layout in ("by_date", "by_venue", "by_type")]
    for asset_key, name in wanted:
        (record,) = storage.get_asset_check_execution_history(
            dg.AssetCheckKey(asset_key, name), limit=10, partition_filter=PartitionKeyFilter(key=str(day))
        )
        assert (record.partition, record.status.value) == (str(day), "SUCCEEDED"), (asset_key, name)
    keys = [dg.AssetKey([group, "instruments"]), *{asset_key for asset_key, _ in wanted}]
    assert all(str(day) in filled.instance.get_materialized_partitions(key) for key in keys)


def test_a_day_that_the_vendor_has_not_exported_fails_with_what_to_do(filled: Filled) -> None:
    assert not filled.failed.success
    (step,) = (event for event in filled.failed.all_events if event.is_step_failure)
    assert step.step_key == "binance_delivery__venue_day"
    failure = step.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description == (
        "BINANCE-DELIVERY 2024-08-09: not exported yet; the vendor has exported the days before 2024-08-09. "
        "A day is usually exported by 06:00 UTC of the next one: run this day again then"
    )
    assert failure.metadata["is_transient"].value is True
