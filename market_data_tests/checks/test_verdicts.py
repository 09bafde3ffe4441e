"""What rules about the ticks mean for readers and for Dagster: a verdict in the receipt, a check, a refused read."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from market_data.defs.build import build_definitions
from market_data.errors import TicksIncomplete
from market_data.lake.base import TickLake
from market_data.lake.keys import receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.read import IncompleteTicksWarning, UncheckedTicksWarning, scan_ticks
from market_data.receipts.store import load_receipt
from market_data.settings.environment import load_settings
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.simulated import simulated_environment

DAY = "2024-08-08"
NEXT_DAY = "2024-08-09"
DAY_DATE = date(2024, 8, 8)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


def run_day(directory: Path, simulator: RunningSimulator, quality: dict[str, object]) -> dg.ExecuteInProcessResult:
    venues_file = directory / "venues.yaml"
    venue = {"data_types": ["trades", "quotes"], "include": ["BTCUSDT"], "quality": quality}
    venues_file.write_text(yaml.safe_dump({"venues": {"binance": venue}}))
    settings = load_settings(simulated_environment(directory, simulator))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TARDIS_API_KEY", DEFAULT_KEY)
        job = build_definitions(settings).resolve_job_def("all_venues")
        return job.execute_in_process(partition_key=DAY, raise_on_error=False)


def lake_of(directory: Path) -> TickLake:
    return open_lake((directory / "lake").as_uri())


def evaluations(result: dg.ExecuteInProcessResult, check: str) -> dict[str, dg.AssetCheckEvaluation]:
    found = [event for event in result.get_asset_check_evaluations() if event.check_name == check]
    return {event.asset_key.to_user_string(): event for event in found}


def read(directory: Path, data_type: str, on_incomplete: str = "raise") -> pl.DataFrame:
    ticks = scan_ticks(
        data_type,
        venues="binance",
        start=DAY,
        end=NEXT_DAY,
        lake=lake_of(directory),
        on_incomplete=on_incomplete,  # type: ignore[arg-type]
    )
    return ticks.collect()


def test_a_rule_of_severity_error_fails_its_check_and_refuses_the_read_of_that_data_type_only(
    tmp_path: Path, simulator: RunningSimulator
) -> None:
    result = run_day(tmp_path, simulator, {"quotes": {"silence": {"limit": 0, "severity": "error"}}})
    assert result.success  # the bytes are as the vendor sent them: published, and told
    checks = evaluations(result, "ticks_timing")
    assert checks["binance/raw/trades"].passed
    assert not checks["binance/raw/quotes"].passed
    assert checks["binance/raw/quotes"].severity is dg.AssetCheckSeverity.ERROR
    assert evaluations(result, "ticks_values")["binance/raw/quotes"].passed
    assert not read(tmp_path, "trades").is_empty()
    with pytest.raises(TicksIncomplete, match=r"BINANCE quotes 2024-08-08: in doubt: .*BTCUSDT.*silence"):
        read(tmp_path, "quotes")
    with pytest.warns(IncompleteTicksWarning):
        assert read(tmp_path, "quotes", "skip").is_empty()
    with pytest.warns(IncompleteTicksWarning):
        assert not read(tmp_path, "quotes", "include").is_empty()


def test_a_warning_fails_its_check_as_a_warning_and_refuses_nothing(
    tmp_path: Path, simulator: RunningSimulator
) -> None:
    result = run_day(tmp_path, simulator, {"quotes": {"silence": {"limit": 0}}})
    check = evaluations(result, "ticks_timing")["binance/raw/quotes"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    receipt, _ = load_receipt(lake_of(tmp_path), DataTypeDay("BINANCE", DataType.QUOTES, DAY_DATE))
    assert receipt is not None
    assert receipt.verdict == "warn"
    assert not read(tmp_path, "quotes").is_empty()


def test_ticks_that_no_rule_looked_at_read_with_a_warning(tmp_path: Path, simulator: RunningSimulator) -> None:
    run_day(tmp_path, simulator, {})
    lake = lake_of(tmp_path)
    unit = DataTypeDay("BINANCE", DataType.TRADES, DAY_DATE)
    document = json.loads(lake.get_bytes(receipt_key(unit))[0])
    for file in document["files"]:
        del file["stats"]  # as a version without rules wrote it
        file.pop("findings", None)  # not written where there is none
    lake.put_bytes(json.dumps(document).encode(), receipt_key(unit))
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    assert receipt.verdict == "unchecked"
    with pytest.warns(UncheckedTicksWarning, match="1 venue-days are unchecked"):
        assert not read(tmp_path, "trades").is_empty()
