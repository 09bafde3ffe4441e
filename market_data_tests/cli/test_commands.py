"""What the commands print, for people and as JSON, on a lake filled from the simulator."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from market_data.cli.backfill import backfill_command
from market_data.cli.commands import (
    COMMANDS,
    coverage_command,
    doctor_command,
    find_command,
    plan_command,
    schema_command,
)
from market_data.cli.tables import format_size
from market_data.demo.local_dagster import prepare_home
from market_data.errors import ConfigurationError
from market_data.lake.keys import receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import TABLES, DataType
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.decode import DECODER_VERSION
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.ingesting import receipts_of

FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
SPOT = Selection(data_types=(DataType.TRADES, DataType.QUOTES), include=("BTCUSDT", "ETHBTC"))
RANGE = ("--from", "2024-08-08", "--to", "2024-08-10")


@dataclass(frozen=True)
class Desk:
    """Where somebody sits who types the commands: an environment, and a vendor."""

    environment: Mapping[str, str]
    vendor: RunningSimulator

    def run(self, command: click.Command, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(command, arguments, env={**self.environment, **environment})

    def ask(self, command: click.Command, *arguments: str) -> Any:
        result = self.run(command, *arguments, "--json")
        assert result.exception is None, result.output
        return json.loads(result.stdout)

    def read(self, command: click.Command, *arguments: str) -> str:
        result = self.run(command, *arguments)
        assert result.exception is None, result.output
        return result.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """BINANCE is whole on the first day, failed in part on the second, not run on the third."""
    directory = tmp_path_factory.mktemp("commands")
    venue = {"data_types": [item.value for item in SPOT.data_types], "include": list(SPOT.include)}
    document = {"start_date": "2024-08-01", "venues": {"binance": venue, "deribit": {"data_types": ["trades"]}}}
    (directory / "venues.yaml").write_text(yaml.safe_dump(document))
    home = directory / "dagster"
    prepare_home(home)
    lake = open_lake((directory / "lake").as_uri())
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as vendor:
        ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
        vendor.set_faults([{"match": "*/trades/*/ETHBTC.csv.gz", "action": "html_200"}])
        ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
        vendor.set_faults([])
        environment = {
            "MARKET_DATA_CONFIG": str(directory / "venues.yaml"),
            "MARKET_DATA_LAKE_URL": lake.url,
            "MARKET_DATA_VENDOR": "simulator",
            "MARKET_DATA_AUTOMATION": "off",
            "TARDIS_API_URL": vendor.api_url,
            "TARDIS_DATASETS_URL": vendor.datasets_url,
            "TARDIS_API_KEY": DEFAULT_KEY,
            "DAGSTER_HOME": str(home),
        }
        yield Desk(environment, vendor)


def test_there_is_a_command_for_each_question() -> None:
    assert [command.name for command in COMMANDS] == ["coverage", "find", "plan", "doctor", "schema"]
    assert all(command.help for command in COMMANDS)


def test_coverage_as_json_is_every_unit_of_both_days_included(desk: Desk) -> None:
    units = desk.ask(coverage_command, *RANGE, "--venue", "Binance")
    assert [(unit["data_type"], unit["day"], unit["state"], unit["stored"]) for unit in units] == [
        ("quotes", "2024-08-08", "complete", 2),
        ("quotes", "2024-08-09", "complete", 2),
        ("quotes", "2024-08-10", "not_run", 0),
        ("trades", "2024-08-08", "complete", 2),
        ("trades", "2024-08-09", "incomplete", 1),
        ("trades", "2024-08-10", "not_run", 0),
    ]
    assert units[4]["failed"] == 1


def test_coverage_for_people_counts_every_outcome_and_names_the_gaps(desk: Desk) -> None:
    text = desk.read(coverage_command, *RANGE)
    assert "Units (venue, data type, day): 3 complete, 1 incomplete, 0 replacing, 5 not run." in text
    assert "Files: 8 expected = 7 stored + 0 vendor empty + 0 not offered + 0 waived + 1 failed + 0 open." in text
    assert "BINANCE trades 2024-08-09 incomplete: 1 of 2 files open: ETHBTC: not a gzip file" in text
    assert "BINANCE 2024-08-10 not run: quotes, trades" in text
    assert "DERIBIT 2024-08-08 to 2024-08-10 not run: trades" in text


def test_coverage_looks_at_thirty_days_by_itself_and_doubts_an_empty_lake(desk: Desk, tmp_path: Path) -> None:
    result = desk.run(coverage_command, MARKET_DATA_LAKE_URL=(tmp_path / "other").as_uri())
    assert "(30 days)" in result.stdout
    assert "None of this was run in this lake. Is it the one you mean (MARKET_DATA_LAKE_URL)?" in result.stdout


def test_a_range_that_ends_before_it_starts_is_refused(desk: Desk) -> None:
    result = desk.run(coverage_command, "--from", "2024-08-10", "--to", "2024-08-08")
    assert (result.exit_code, "--from 2024-08-10 is after --to 2024-08-08" in result.stderr) == (2, True)


def test_a_venue_that_is_not_configured_is_refused_with_those_that_are(desk: Desk) -> None:
    result = desk.run(coverage_command, "--venue", "bybit")
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith("BYBIT is not in the venues file ")
    assert str(result.exception).endswith("which has: BINANCE, DERIBIT")


def test_a_backfill_that_is_asked_for_wrongly_is_told_from_days_that_failed(desk: Desk) -> None:
    for asked in (("--venue", "nope", *RANGE), ("--venue", "binance", "--from", "2019-01-01")):
        refused = desk.run(backfill_command, *asked)
        assert refused.exit_code == 2
        assert "Error: " in refused.output


def test_find_shows_the_days_held_of_each_data_type(desk: Desk) -> None:
    text = desk.read(find_command, "btcusdt")
    assert "BINANCE:SPOT_PAIR:BTC-USDT" in text
    assert "trades 1, quotes 2" in text
    (found,) = desk.ask(find_command, "btcusdt")
    assert (found["days_held"]["trades"], found["days_held"]["quotes"], found["days_listed"]) == (1, 2, 2)


def test_find_says_how_many_more_there_are_and_what_to_do_with_none(desk: Desk) -> None:
    text = desk.read(find_command, "--limit", "1", "--venue", "binance")
    assert "... and 3 more: narrow the search, or --limit 4" in text
    assert desk.read(find_command, "no-such-thing").startswith("No instrument matches")


def test_find_takes_days_with_the_last_included(desk: Desk) -> None:
    (found,) = desk.ask(find_command, "btcusdt", "--from", "2024-08-08", "--to", "2024-08-08")
    assert found["days_listed"] == 1
    assert desk.ask(find_command, "btcusdt", "--to", "2024-08-09")[0]["days_listed"] == 2
    assert desk.ask(find_command, "btcusdt", "--on", "2024-08-09")[0]["days_held"]["quotes"] == 1


def test_plan_counts_runs_and_files_and_asks_the_vendor_for_what_the_lake_does_not_keep(desk: Desk) -> None:
    desk.vendor.clear_requests()
    plan = desk.ask(plan_command, *RANGE)
    runs = {row["venue"]: (row["days"], row["whole_days"], row["runs"]) for row in plan["venues"]}
    assert runs == {"BINANCE": (3, 1, 2), "DERIBIT": (3, 0, 3)}
    assert [row["layouts"] for row in plan["costs"]] == [1, 2, 3]
    files = {(row["venue"], row["data_type"]): (row["expected"], row["held"]) for row in plan["data_types"]}
    assert files["BINANCE", "trades"] == (6, 3)
    assert files["BINANCE", "quotes"] == (6, 4)
    assert files["DERIBIT", "trades"][1] == 0
    # the lake knows BINANCE until that day; nothing but the venue's details is asked for, and no key is sent
    asked = [(request["path"], request["has_authorization"]) for request in desk.vendor.requests()]
    assert asked == [("/v1/exchanges/deribit", False)]


def test_plan_for_people_sums_up_in_sentences(desk: Desk) -> None:
    text = desk.read(plan_command, *RANGE, "--venue", "binance")
    assert "2 venue-days (1 more need nothing) fetch 5 files." in text
    assert "3 layouts are hard links to one copy" in text
    assert " a month with 3 layouts and raw/ (1: $0.00, 2: $0.00), and $0.00 once for operations." in text
    assert "Prices: Google Cloud Storage, Standard, us-central1, 2026-09-20" in text
    wide = desk.read(plan_command, *RANGE, "--venue", "deribit")
    assert "`defaults` are sizes of a small and of a large venue" in wide
    assert "Run one day, then plan again" in wide


def test_plan_needs_its_days(desk: Desk) -> None:
    result = desk.run(plan_command)
    assert (result.exit_code, "name the days: --from 2024-08-01 --to 2024-08-31" in result.stderr) == (2, True)


def test_plan_stale_has_nothing_to_say_of_a_new_lake(desk: Desk) -> None:
    assert desk.ask(plan_command, "--stale") == []
    assert desk.read(plan_command, "--stale", *RANGE).startswith("Nothing is stale: ")


def test_plan_stale_names_days_in_other_layouts(desk: Desk, tmp_path: Path) -> None:
    document = yaml.safe_load(Path(desk.environment["MARKET_DATA_CONFIG"]).read_text())
    (tmp_path / "venues.yaml").write_text(yaml.safe_dump({**document, "layouts": ["by_date"]}))
    result = desk.run(plan_command, "--stale", *RANGE, MARKET_DATA_CONFIG=str(tmp_path / "venues.yaml"))
    assert "3 units of 2 venue-days are stale" in result.stdout
    assert "0 by their decoder, 3 by their layouts" in result.stdout
    assert "BINANCE trades 2024-08-08: layouts by_date, by_venue, by_type; now by_date" in result.stdout


def test_plan_stale_says_what_a_new_decoder_means_and_the_commands_that_decode_again(
    desk: Desk, tmp_path: Path
) -> None:
    shutil.copytree(Path(desk.environment["MARKET_DATA_LAKE_URL"].removeprefix("file://")), tmp_path / "lake")
    lake = open_lake((tmp_path / "lake").as_uri())
    for receipt in receipts_of(lake):
        written_before = receipt.model_copy(update={"decoder_version": "0"})
        lake.put_bytes(written_before.model_dump_json().encode(), receipt_key(receipt.unit))
    held = [receipt for receipt in receipts_of(lake) if receipt.state == "committed"]
    raw, copy = (
        sum(file.size_bytes or 0 for receipt in held for file in receipt.files),
        sum(item.size_bytes for receipt in held for item in receipt.objects),
    )
    text = desk.run(plan_command, "--stale", *RANGE, MARKET_DATA_LAKE_URL=lake.url).stdout
    assert "3 units of 2 venue-days are stale: 3 by their decoder, 0 by their layouts." in text
    assert f"To decode again from raw/: {format_size(raw)} of vendor's bytes" in text
    assert f"to write again: about {format_size(copy)} of Parquet in each layout (3)." in text
    assert "No tick file is downloaded" in text
    assert (
        f"on {os.cpu_count()} cores (8.3 MB of gzip a second and core: 12 s for 1 GB of CSV, 10 times its gzip)" in text
    )
    assert f"BINANCE trades 2024-08-08: decoder 0; now {DECODER_VERSION}" in text
    assert "  market-data backfill --venue BINANCE --from 2024-08-08 --to 2024-08-09\n" in text


def _levels(result: Result) -> dict[str, str]:
    lines = (line for line in result.stdout.splitlines() if line)
    return {line[5:].partition(":")[0]: line[:5].strip() for line in lines}


def test_the_doctor_finds_a_desk_in_order_and_never_prints_the_key(desk: Desk) -> None:
    result = desk.run(doctor_command)
    assert result.exit_code == 0, result.output
    levels = _levels(result)
    healthy = ["settings", "automation", "vendor", "key", "lake", "lake rights", "dagster", "sensors", "pool limits"]
    assert {name: levels[name] for name in healthy} == dict.fromkeys(healthy, "ok")
    assert levels["daemon"] == "warn"
    assert {"scratch disk", "lake disk"} <= levels.keys()
    assert DEFAULT_KEY not in result.output


def test_the_doctor_exits_with_1_when_something_fails(desk: Desk) -> None:
    result = desk.run(doctor_command, MARKET_DATA_VENDOR="tardis", TARDIS_API_KEY="")
    assert result.exit_code == 1
    levels = _levels(result)
    assert (levels["lake"], levels["key"], levels["vendor"]) == ("FAIL", "warn", "ok")


def test_the_doctor_stops_at_settings_that_cannot_be_read(desk: Desk) -> None:
    result = desk.run(doctor_command, MARKET_DATA_CONFIG="/no/such/file.yaml")
    assert result.exit_code == 1
    assert _levels(result) == {"settings": "FAIL"}
    assert "cannot read the venues file /no/such/file.yaml" in result.stdout


def _copy_lake(desk: Desk, target: Path) -> str:
    shutil.copytree(desk.environment["MARKET_DATA_LAKE_URL"].removeprefix("file://"), target)
    return target.as_uri()


def test_the_doctor_proves_a_lake_without_key_or_vendor(desk: Desk, tmp_path: Path) -> None:
    moved = _copy_lake(desk, tmp_path / "moved")
    nobody = {"MARKET_DATA_VENDOR": "tardis", "TARDIS_API_KEY": "", "TARDIS_API_URL": "http://127.0.0.1:9/v1"}
    result = desk.run(doctor_command, "--deep", MARKET_DATA_LAKE_URL=moved, **nobody)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"ok   lake contents: all that 4 receipts name is in {moved}: 18 published objects and 7 ")


def test_the_doctor_exits_with_1_when_a_lake_is_not_what_its_receipts_say(desk: Desk, tmp_path: Path) -> None:
    moved = _copy_lake(desk, tmp_path / "moved")
    lost = min((tmp_path / "moved" / "ticks" / "by_type").rglob("*.parquet"))
    lost.unlink()
    whole = desk.run(doctor_command, "--deep", MARKET_DATA_LAKE_URL=moved)
    assert (whole.exit_code, f"{lost} is not there" in whole.stdout) == (1, True)
    arguments = ("--deep", "--venue", "Binance", "--from", "2024-08-09", "--to", "2024-08-09")
    ranged = desk.run(doctor_command, *arguments, MARKET_DATA_LAKE_URL=moved)
    assert (ranged.exit_code, "all that 2 receipts name" in ranged.stdout) == (0, True)
    elsewhere = desk.run(doctor_command, "--deep", MARKET_DATA_LAKE_URL=(tmp_path / "nowhere").as_uri())
    assert (elsewhere.exit_code, "so nothing is proven" in elsewhere.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--venue", "binance"), "--venue, --from and --to go with --deep"),
        (("--deep", "--from", "2024-08-10", "--to", "2024-08-08"), "--from 2024-08-10 is after --to 2024-08-08"),
    ],
)
def test_the_doctor_refuses_options_that_cannot_be_meant(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    result = desk.run(doctor_command, *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)


@pytest.mark.parametrize("data_type", list(DataType))
def test_a_schema_is_the_published_table(desk: Desk, data_type: DataType) -> None:
    schema = desk.ask(schema_command, data_type.value.upper())
    assert schema["data_type"] == data_type
    assert [column["column"] for column in schema["columns"]] == TABLES[data_type].published_schema.names()
    vendor_columns = [column["vendor_column"] for column in schema["columns"][1:]]
    assert ",".join(vendor_columns) == TABLES[data_type].csv_header
    assert all(column["description"] and isinstance(column["is_nullable"], bool) for column in schema["columns"])


def test_a_schema_for_people_says_what_one_row_is(desk: Desk) -> None:
    text = desk.read(schema_command, "trades")
    assert text.startswith("trades: one row is one trade\n")
    assert "Datetime(us, UTC)" in text
    assert "Side of the taker: buy, sell or unknown." in text
    assert all(data_type.value in desk.read(schema_command) for data_type in DataType)
