"""The instruments of all venues of a day as one asset."""

import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml

from market_data.defs.build import build_definitions
from market_data.lake.keys import combined_universe_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.settings.environment import load_settings
from market_data.universe.rules import Selection, instruments_on
from market_data.universe.table import store_universe

DAY = date(2024, 8, 8)
EVERYTHING = Selection(data_types=tuple(DataType))
VENUES = ("binance", "deribit", "kraken")


def answer(symbol: str, kind: str) -> dict[str, Any]:
    row = {"id": symbol, "type": kind, "dataTypes": ["trades"]}
    bounds = {"availableSince": "2020-01-01T00:00:00.000Z", "availableTo": "2024-09-01T00:00:00.000Z"}
    return {"datasets": {"exportedUntil": "2024-09-01T00:00:00.000Z", "symbols": [row | bounds]}}


def materialize(directory: Path, instance: dg.DagsterInstance | None = None, **which: Any) -> dg.ExecuteInProcessResult:
    venues_file = directory / "venues.yaml"
    venues_file.write_text(yaml.safe_dump({"venues": {name: {"data_types": ["trades"]} for name in VENUES}}))
    lake_url = (directory / "lake").as_uri()
    settings = load_settings({"MARKET_DATA_CONFIG": str(venues_file), "MARKET_DATA_LAKE_URL": lake_url})
    definitions = build_definitions(settings)
    job = dg.define_asset_job("combined", dg.AssetSelection.assets("universe"))
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("combined")
    return resolved.execute_in_process(instance=instance, **(which or {"partition_key": DAY.isoformat()}))


def test_the_universes_that_the_lake_holds_are_one_table_and_the_missing_venues_are_named(tmp_path: Path) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    for venue, symbol, kind in (("DERIBIT", "BTC-PERPETUAL", "perpetual"), ("BINANCE", "btcusdt", "spot")):
        store_universe(lake, instruments_on(venue, answer(symbol, kind), DAY, EVERYTHING, {}))
    (event,) = materialize(tmp_path).asset_materializations_for_node("universe")
    assert event.metadata["verdict"].value == "INCOMPLETE 2 of 3 venues; not run: KRAKEN"
    combined = pl.read_parquet(io.BytesIO(lake.get_bytes(combined_universe_key(DAY))[0]))
    assert combined["instrument_key"].to_list() == ["BINANCE:SPOT_PAIR:BTC-USDT", "DERIBIT:PERPETUAL:BTC-USD"]


def test_several_days_of_one_run_are_told_each_by_itself(tmp_path: Path) -> None:
    lake, next_day = open_lake((tmp_path / "lake").as_uri()), DAY + timedelta(days=1)
    store_universe(lake, instruments_on("DERIBIT", answer("BTC-PERPETUAL", "perpetual"), DAY, EVERYTHING, {}))
    bounds = {"dagster/asset_partition_range_start": str(DAY), "dagster/asset_partition_range_end": str(next_day)}
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(tmp_path, instance, tags=bounds).success
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("universe"))
        events = [record.asset_materialization for record in instance.fetch_materializations(wanted, 9).records]
    told = {event.partition: event.metadata["verdict"].value for event in events if event is not None}
    assert told == {
        str(DAY): "INCOMPLETE 1 of 3 venues; not run: BINANCE, KRAKEN",
        str(next_day): "INCOMPLETE 0 of 3 venues; not run: BINANCE, DERIBIT, KRAKEN",
    }
