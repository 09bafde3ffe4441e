"""The commands that keep a lake, as somebody types them."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from market_data.cli.keeping import delete_command, index_command, sweep_command
from market_data.cli.main import main
from market_data.lake.base import TickLake
from market_data.lake.keys import object_key, receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt, State
from market_data.receipts.store import load_receipt, save_receipt
from market_data.simulator.http.server import RunningSimulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import ingest_day
from market_data_tests.ingesting import DAY

TRADES = DataType.TRADES
SPOT = Selection(data_types=(TRADES, DataType.QUOTES), include=("BTCUSDT", "ETHBTC"))
UNIT = DataTypeDay("BINANCE", TRADES, DAY)
SELECTION = ("--venue", "binance", "--from", DAY.isoformat(), "--to", DAY.isoformat())


@pytest.fixture
def lake(tmp_path: Path, shared_simulator: RunningSimulator) -> TickLake:
    lake = open_lake((tmp_path / "lake").as_uri())
    shared_simulator.set_faults([])
    ingest_day(lake, shared_simulator, "BINANCE", DAY, SPOT)
    return lake


@pytest.fixture
def environment(tmp_path: Path, lake: TickLake) -> dict[str, str]:
    venues = {"venues": {"deribit": {"data_types": ["trades"]}}}  # the venue that is deleted is not among them any more
    (tmp_path / "venues.yaml").write_text(yaml.safe_dump(venues))
    return {"MARKET_DATA_CONFIG": str(tmp_path / "venues.yaml"), "MARKET_DATA_LAKE_URL": lake.url}


def run(environment: dict[str, str], command: click.Command, *arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, env=environment, input=answer)


def receipt_of(lake: TickLake) -> Receipt:
    receipt, _ = load_receipt(lake, UNIT)
    assert receipt is not None
    return receipt


def test_they_are_commands_of_market_data() -> None:
    assert {"index", "sweep", "delete"} <= main.commands.keys()


def test_the_index_says_what_it_compacts_and_then_that_nothing_is_left(
    environment: dict[str, str], lake: TickLake
) -> None:
    first = run(environment, index_command)
    types = len(receipt_types(lake))
    assert first.exit_code == 0, first.output
    assert f"{DAY:%Y-%m} BINANCE: instruments 1 days, " in first.stdout
    assert f"{types + 1} tables written" in first.stdout
    assert run(environment, index_command).stdout == "The index is up to date: nothing to do\n"
    rebuilt = run(environment, index_command, "--rebuild", "--venue", "Binance")
    assert f"{types + 1} tables written" in rebuilt.stdout


def receipt_types(lake: TickLake) -> set[DataType]:
    return {unit for unit in DataType if lake.stat(receipt_key(DataTypeDay("BINANCE", unit, DAY)))}


def test_a_dry_run_says_what_would_go_and_changes_nothing(environment: dict[str, str], lake: TickLake) -> None:
    before = {stat.key: stat for stat in lake.list_objects("")}
    result = run(environment, delete_command, *SELECTION, "--data-type", "trades", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "BINANCE" in result.stdout
    assert f" {len(receipt_of(lake).files)} " in result.stdout
    assert {stat.key: stat for stat in lake.list_objects("")} == before


def test_what_is_deleted_needs_a_reason_and_a_yes(environment: dict[str, str], lake: TickLake) -> None:
    for arguments, words in (
        (SELECTION, "say why: --reason"),
        (("--venue", "binance", "--reason", "x"), "name what is to go"),
        (("--from", "2024-08-08", "--to", "2024-08-08", "--reason", "x"), "name what is to go"),
    ):
        result = run(environment, delete_command, *arguments)
        assert (result.exit_code, words in result.output) == (2, True), result.output
    refused = run(environment, delete_command, *SELECTION, "--reason", "x", answer="n\n")
    assert (refused.exit_code, "Aborted" in refused.output) == (1, True)
    assert receipt_of(lake).state == State.COMMITTED


def test_days_of_a_venue_that_is_configured_no_more_are_deleted(environment: dict[str, str], lake: TickLake) -> None:
    arguments = (*SELECTION, "--reason", "the licence ended", "--by", "ops", "--yes")
    result = run(environment, delete_command, *arguments)
    assert result.exit_code == 0, result.output
    assert "units, " in result.stdout
    assert lake.list_objects("ticks/") == lake.list_objects("raw/") == []
    removal = receipt_of(lake).removals[0]
    assert (removal.by, removal.reason) == ("ops", "the licence ended")
    again = run(environment, delete_command, *arguments)
    assert (again.exit_code, " 0 objects deleted" in again.stdout) == (0, True)
    nothing = run(environment, delete_command, "--venue", "deribit", *SELECTION[2:], "--reason", "x", "--yes")
    assert "The lake holds nothing of it" in nothing.stdout


def test_one_instrument_is_deleted(environment: dict[str, str], lake: TickLake) -> None:
    key = receipt_of(lake).files[0].instrument_key
    assert key is not None
    result = run(environment, delete_command, *SELECTION, "--instrument", key.lower(), "--reason", "x", "--yes")
    assert result.exit_code == 0, result.output
    assert {item.instrument_key for item in receipt_of(lake).objects} == {
        file.instrument_key for file in receipt_of(lake).files if file.instrument_key != key and file.rows
    }


def test_a_unit_at_work_is_named_and_the_exit_code_is_1(
    environment: dict[str, str], lake: TickLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_data.ingest.deletion._POLLS", 1)
    monkeypatch.setattr("market_data.ingest.deletion._POLL_SECONDS", 0)
    receipt, generation = load_receipt(lake, UNIT)
    assert receipt is not None
    save_receipt(lake, receipt.changed(claim="somebody"), generation)
    arguments = (*SELECTION, "--data-type", "trades", "--reason", "x", "--yes")
    result = run(environment, delete_command, *arguments)
    assert result.exit_code == 1
    assert f"{UNIT} is not deleted: a run is at work on it" in result.output


def test_a_sweep_tells_what_it_took_and_what_it_left(environment: dict[str, str], lake: TickLake) -> None:
    name = receipt_of(lake).objects[0].changed(content_id="0" * 16).name(UNIT)
    lake.put_bytes(b"left by a killed run", object_key("by_date", name))
    result = run(environment, sweep_command, *SELECTION)
    assert result.exit_code == 0, result.output
    assert "1 objects deleted (20 B), 0 kept for a while" in result.stdout
    receipt, generation = load_receipt(lake, UNIT)
    assert receipt is not None
    save_receipt(lake, receipt.changed(claim="somebody"), generation)
    assert f"{UNIT}: a run is at work on it" in run(environment, sweep_command).stdout


def test_a_range_that_ends_before_it_starts_is_refused(environment: dict[str, str]) -> None:
    for command in (index_command, sweep_command):
        result = run(environment, command, "--from", "2024-08-09", "--to", "2024-08-08")
        assert (result.exit_code, "--from 2024-08-09 is after --to 2024-08-08" in result.output) == (2, True)
    assert os.environ.get("MARKET_DATA_LAKE_URL") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--instrument", "BINANCE:SPOT_PAIR:BTC-USTD"), "these days have no file of BINANCE:SPOT_PAIR:BTC-USTD"),
        (("--by", " "), None),
        (("--reason", " \n "), "say why: --reason"),
        (("--reason", "x" * 300), "has 300 characters; 200 fit a line"),
        (("--reason", "first line\nsecond"), None),
    ],
)
def test_what_cannot_be_meant_is_refused_and_a_record_is_a_line(
    environment: dict[str, str], lake: TickLake, arguments: tuple[str, ...], words: str | None
) -> None:
    result = run(environment, delete_command, *SELECTION, "--reason", "x", "--yes", *arguments)
    if words is None:
        assert result.exit_code == 0, result.output
        assert "\n" not in receipt_of(lake).removals[0].told
        return
    assert words in (result.output + str(result.exception))
    assert receipt_of(lake).state == State.COMMITTED


def test_a_place_without_a_lake_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    elsewhere = environment | {"MARKET_DATA_LAKE_URL": (tmp_path / "misspelt").as_uri()}
    for command in (index_command, sweep_command):
        result = run(elsewhere, command)
        assert result.exit_code == 1
        assert "there is no lake in" in str(result.exception)
