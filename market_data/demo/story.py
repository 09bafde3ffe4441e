"""`market-data demo`: three days of three venues through Dagster, one scripted failure and its cure, one table."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import yaml
from rich.console import Console
from rich.table import Table

from market_data.defs.combined_universe import UNIVERSE_KEY
from market_data.defs.runs import KnownRuns
from market_data.demo.backfills import watch
from market_data.demo.local_dagster import LocalDagster, LocalDagsterFailed, ensure_free, run_dagster
from market_data.demo.runs import Runs
from market_data.errors import ConfigurationError
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.model.venues import parse_venue
from market_data.read import scan_ticks
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.settings.environment import DEFAULT_SETTINGS_FILE, OWN_SOURCES, Settings, load_settings
from market_data.simulator.faults.faults import FaultRule
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator

DEMO_DIRECTORY = Path(".market_data/demo")
_VENUES: Mapping[str, tuple[DataType, ...]] = {
    "binance": (DataType.TRADES, DataType.INCREMENTAL_BOOK_L2, DataType.BOOK_SNAPSHOT_5, DataType.QUOTES),
    "binance-futures": (DataType.TRADES, DataType.BOOK_TICKER, DataType.DERIVATIVE_TICKER, DataType.LIQUIDATIONS),
    "deribit": (DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN),
}
_FAILING_VENUE, _FAILING_FILE = "binance-futures", "ETHUSDT"
# Fixed, so that what the documentation says can be tried on it as it stands; the month around them can be backfilled.
_DAYS = (date(2024, 8, 7), date(2024, 8, 8), date(2024, 8, 9))
_FIRST_DAY, _LAST_DAY = date(2024, 8, 1), date(2024, 8, 31)
_POLL_SECONDS = 0.5
_SETTINGS_HEAD = """\
# Written by `market-data demo`. Commands, the UI and scan_ticks in this directory use the demo's lake, whose data are
# made up, until this file is deleted or the environment names a vendor, a key, a lake or a venues file.
"""


@dataclass(frozen=True, slots=True)
class DemoHome:
    """Where the demo keeps its lake, its Dagster instance, its venues file and its log, and what names them."""

    root: Path
    settings_file: Path

    @property
    def log(self) -> Path:
        """What Dagster's processes print."""
        return self.root / "dagster.log"

    @property
    def variables(self) -> dict[str, str]:
        """What the settings file says."""
        return {
            "MARKET_DATA_CONFIG": str((self.root / "venues.yaml").absolute()),
            "MARKET_DATA_LAKE_URL": (self.root / "lake").absolute().as_uri(),
            "MARKET_DATA_VENDOR": "simulator",
            "TARDIS_API_KEY": DEFAULT_KEY,
            "DAGSTER_HOME": str((self.root / "dagster").absolute()),
        }

    def settings(self, simulator: RunningSimulator) -> Settings:
        """Return the settings of a run on the demo's lake, fed by a simulator."""
        addresses = {"TARDIS_API_URL": simulator.api_url, "TARDIS_DATASETS_URL": simulator.datasets_url}
        return load_settings(self.variables | addresses)


def run_demo(console: Console, root: Path = DEMO_DIRECTORY, settings_file: Path = DEFAULT_SETTINGS_FILE) -> None:
    """Fill the demo's lake through Dagster, print what it holds, and let what runs in this directory use it."""
    home = DemoHome(root, settings_file)
    _clear(home)
    console.print(
        f"Filling [bold]{home.root}[/bold]: {len(_VENUES)} venues x {len(_DAYS)} days ({_DAYS[0]} to {_DAYS[-1]}), "
        "vendor = embedded simulator.\nStarting Dagster (webserver, daemon, code server): about half a minute."
    )
    with run_simulator(SimulatorOptions(faults=(_scripted_fault(_DAYS[1]),))) as simulator:
        settings = home.settings(simulator)
        dagster_home = settings.dagster_home
        with (
            run_dagster(dagster_home, settings.environment, port=0, log=home.log) as dagster,
            dg.DagsterInstance.from_config(str(dagster_home)) as instance,
        ):
            runs = Runs(dagster, instance)
            for venue in _canonical(_VENUES):
                runs.launch_venue(settings, venue, _DAYS)
            watch(runs, console, what="backfill: venue-days")
            universes = Runs(dagster, instance)
            universes.launch("universe", [UNIVERSE_KEY], _DAYS, {})
            _cure(Runs(dagster, instance), settings, simulator, console)
            watch(universes, console, what="instruments of all venues: days")
            _draw_coverage(dagster, instance)
            _print_table(settings, instance, _DAYS, console)
    lines = [f"{name}={_quote(value)}\n" for name, value in home.variables.items()]
    home.settings_file.write_text(_SETTINGS_HEAD + "".join(lines), encoding="utf-8")
    _print_ticks(settings, _DAYS[1], console)
    _print_ways_on(home, console)


def _clear(home: DemoHome) -> None:
    """Take away an earlier demo: the story starts from an empty lake."""
    own = (home.root / "lake").absolute().as_uri()
    if home.settings_file.exists() and own not in home.settings_file.read_text(encoding="utf-8"):
        raise ConfigurationError(
            f"{home.settings_file} is not the demo's: it names another lake, and the demo would write its own. "
            "Run the demo in another directory, or move that file away"
        )
    if home.root.exists():
        ensure_free(home.root / "dagster")
        shutil.rmtree(home.root)
    home.settings_file.unlink(missing_ok=True)
    home.root.mkdir(parents=True)
    document = {
        "start_date": _FIRST_DAY.isoformat(),
        "end_date": _LAST_DAY.isoformat(),
        "venues": {name: _venue_settings(name) for name in _VENUES},
    }
    (home.root / "venues.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _quote(value: str) -> str:
    """Quote a value so that a shell and the reader of settings files take it alike."""
    return f'"{value}"' if "'" in value else shlex.quote(value)


def _canonical(venues: Iterable[str]) -> list[str]:
    return [parse_venue(name) for name in venues]


def _venue_settings(name: str) -> dict[str, list[str]]:
    settings = {"data_types": [data_type.value for data_type in _VENUES[name]]}
    if name == "deribit":
        # its spot pairs are so thin that a rule tells of their silence, which is no news in a demo
        settings["instrument_types"] = ["PERPETUAL", "FUTURE", "OPTION"]
    return settings


def _scripted_fault(day: date) -> FaultRule:
    """Damage one file twice: the first run gives it up, the next gets it whole."""
    match = f"*/{_FAILING_VENUE}/trades/{day:%Y/%m/%d}/{_FAILING_FILE}.csv.gz"
    return FaultRule.model_validate({"match": match, "attempts": "1-2", "action": "bit_flip"})


def _cure(runs: Runs, settings: Settings, simulator: RunningSimulator, console: Console) -> None:
    """Show the failed venue-day and run it again."""
    day = _DAYS[1]
    simulator.clear_requests()
    console.print(
        f"One file of {_FAILING_VENUE} {day} was damaged on purpose: its data type and the layouts are FAILED, "
        "everything else of that day is published. Running that venue-day again:"
    )
    runs.launch_venue(settings, parse_venue(_FAILING_VENUE), [day])
    watch(runs, console, what="re-run: venue-days")
    asked = [request["path"] for request in simulator.requests() if request["path"].endswith(".csv.gz")]
    console.print(f"The re-run asked the vendor for {len(asked)} tick file: {', '.join(asked)}\n")


def _draw_coverage(dagster: LocalDagster, instance: dg.DagsterInstance) -> None:
    run_id = dagster.launch_job("draw_coverage")
    while (run := instance.get_run_by_id(run_id)) is None or not run.is_finished:
        time.sleep(_POLL_SECONDS)
    if not run.is_success:
        raise LocalDagsterFailed(
            f"the run {run_id} of the job `draw_coverage` ended as {run.status.value}: see {dagster.home}"
        )


def _print_table(settings: Settings, instance: dg.DagsterInstance, days: Sequence[date], console: Console) -> None:
    table = Table(title="What the lake holds")
    for column in ("venue", "day"):
        table.add_column(column, no_wrap=True)
    for column in ("expected", "stored", "empty", "not offered", "failed", "rows", "MB", "checks"):
        table.add_column(column, justify="right", no_wrap=column != "not offered")
    for venue in _VENUES:
        for day in days:
            receipts = _receipts(settings, venue, day)
            counts = {name: sum(receipt.counts()[name] for receipt in receipts) for name in receipts[0].counts()}
            table.add_row(
                venue,
                day.isoformat(),
                str(sum(len(receipt.files) for receipt in receipts)),
                str(counts["stored"]),
                str(counts["vendor_empty"]),
                str(counts["not_offered"]),
                str(counts["failed"] + counts["open"]),
                f"{sum(file.rows or 0 for receipt in receipts for file in receipt.files):,}",
                f"{sum(item.size_bytes for receipt in receipts for item in receipt.objects) / 1e6:.2f}",
                _count_checks(instance, venue, day),
            )
    console.print(table)


def _receipts(settings: Settings, venue: str, day: date) -> list[Receipt]:
    lake = open_lake(settings.lake_url)
    units = (DataTypeDay(parse_venue(venue), data_type, day) for data_type in _VENUES[venue])
    loaded = (load_receipt(lake, unit)[0] for unit in units)
    return [receipt for receipt in loaded if receipt is not None]


def _count_checks(instance: dg.DagsterInstance, venue: str, day: date) -> str:
    """Return `passed/evaluated` of the newest run of a venue-day."""
    run = KnownRuns(instance).of(parse_venue(venue), day.isoformat())[0].dagster_run
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    evaluations = [event.asset_check_evaluation_data for event in events if event is not None]
    passed = [item.passed for item in evaluations if item.partition == day.isoformat()]
    return f"{sum(passed)}/{len(passed)}"


def _print_ticks(settings: Settings, day: date, console: Console) -> None:
    code = f'scan_ticks("trades", venues="binance", base="BTC", start="{day}", end="{day + timedelta(days=1)}")'
    console.print(
        f"\nRead it, in {_program('python')} or a notebook, from this directory:\n\n"
        f"    [bold]from market_data.read import scan_ticks\n    print({code}.head(5).collect())[/bold]\n",
        highlight=False,
        soft_wrap=True,
    )
    ticks = scan_ticks(
        "trades", venues="binance", base="BTC", start=day, end=day + timedelta(days=1), lake=settings.lake_url
    )
    with pl.Config(tbl_cols=-1, tbl_width_chars=200, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        columns = ["instrument_key", "local_timestamp", "id", "side", "price", "amount"]
        console.print(str(ticks.head(5).select(columns).collect()), highlight=False, soft_wrap=True)


def _print_ways_on(home: DemoHome, console: Console) -> None:
    command = _program("market-data")
    next_day = _DAYS[-1] + timedelta(days=1)
    lines = {
        f"{command} dev": "the UI on this data (also: make dev)",
        f"{command} coverage": "what is held against what is expected",
        f'{command} find "btc*"': "instruments, and the days held",
        f"{command} backfill --venue binance --from {next_day} --to {next_day}": "one more day",
    }
    width = max(map(len, lines))
    shown = "\n".join(f"    [bold]{line:{width}}[/bold]  # {what}" for line, what in lines.items())
    console.print(f"\nGo on:\n\n{shown}\n", highlight=False, soft_wrap=True)
    console.print(
        f"In this directory all of these use the demo, as {home.settings_file} says; the data are made up.\n"
        "The real vendor: README, [bold]With the real vendor[/bold].",
        highlight=False,
        soft_wrap=True,
    )
    if is_set := [name for name in OWN_SOURCES if os.environ.get(name)]:
        console.print(
            f"[yellow]But {', '.join(is_set)} is set, and says otherwise: unset it to use the demo.[/yellow]",
            highlight=False,
            soft_wrap=True,
        )


def _program(name: str) -> str:
    """Return a program of this environment as one types it in this directory."""
    path = Path(sys.prefix) / "bin" / name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
