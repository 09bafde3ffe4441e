"""`market-data demo`: three days of three venues through Dagster, one scripted failure and its cure, one table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from market_data.adapters.tick_lake import open_lake
from market_data.demo.local_dagster import LocalDagster, LocalDagsterFailed, run_dagster
from market_data.domain.data_types import DataType
from market_data.domain.layouts import DataTypeDay
from market_data.domain.receipt import Receipt
from market_data.domain.venues import group_name_of, parse_venue
from market_data.publish import load_receipt
from market_data.read import scan_ticks
from market_data.simulator.faults import FaultRule
from market_data.simulator.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator

DEMO_DIRECTORY = Path(".market_data/demo")
_VENUES: Mapping[str, tuple[DataType, ...]] = {
    "binance": (DataType.TRADES, DataType.INCREMENTAL_BOOK_L2, DataType.BOOK_SNAPSHOT_5, DataType.QUOTES),
    "binance-futures": (DataType.TRADES, DataType.BOOK_TICKER, DataType.DERIVATIVE_TICKER, DataType.LIQUIDATIONS),
    "deribit": (DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN),
}
_FAILING_VENUE, _FAILING_FILE = "binance-futures", "ETHUSDT"
_DAYS = 3
_HISTORY_DAYS = 30
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DemoHome:
    """Where the demo keeps its lake, its Dagster instance, its venues file and its log."""

    root: Path

    @property
    def lake_url(self) -> str:
        """The demo's lake."""
        return (self.root / "lake").absolute().as_uri()

    @property
    def dagster(self) -> Path:
        """The demo's DAGSTER_HOME."""
        return (self.root / "dagster").absolute()

    @property
    def venues_file(self) -> Path:
        """The demo's venues file."""
        return (self.root / "venues.yaml").absolute()

    @property
    def log(self) -> Path:
        """What Dagster's processes print."""
        return self.root / "dagster.log"

    def environment(self, simulator: RunningSimulator) -> dict[str, str]:
        """Return the settings of a run on the demo's lake, fed by a simulator."""
        return {
            "MARKET_DATA_CONFIG": str(self.venues_file),
            "MARKET_DATA_LAKE_URL": self.lake_url,
            "MARKET_DATA_VENDOR": "simulator",
            "TARDIS_API_URL": simulator.api_url,
            "TARDIS_DATASETS_URL": simulator.datasets_url,
            "TARDIS_API_KEY": DEFAULT_KEY,
        }


def run_demo(home: DemoHome, console: Console) -> None:
    """Fill the demo's lake through Dagster and print what it holds."""
    days = _newest_days()
    if home.root.exists():
        shutil.rmtree(home.root)  # the story starts from an empty lake
    _write_venues_file(home, days)
    console.print(
        f"Filling [bold]{home.root}[/bold]: {len(_VENUES)} venues x {_DAYS} days ({days[0]} to {days[-1]}), vendor = "
        "embedded simulator.\nStarting Dagster (webserver, daemon, code server): about half a minute."
    )
    bad_day = days[1]
    with run_simulator(SimulatorOptions(faults=(_scripted_fault(bad_day),))) as simulator:
        environment = home.environment(simulator)
        with run_dagster(home.dagster, environment, port=0, log=home.log) as dagster, _instance(home) as instance:
            _backfill(dagster, instance, days, console)
            _cure(dagster, instance, simulator, bad_day, console)
            _print_table(home, instance, days, console)
    _print_ticks(home, days[-1], console)
    console.print(
        "\nOpen the UI on this data: [bold]make dev[/bold], then http://127.0.0.1:3000 (Assets, a venue, Materialize: "
        "choose a range of days)."
    )


def _newest_days() -> list[date]:
    # the vendor exports a day at about 06:00 UTC of the next one
    newest = (datetime.now(UTC) - timedelta(hours=7)).date() - timedelta(days=1)
    return [newest - timedelta(days=back) for back in reversed(range(_DAYS))]


def _write_venues_file(home: DemoHome, days: Sequence[date]) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    document = {
        # the dialog in the UI then offers a month, not seven years
        "start_date": (days[0] - timedelta(days=_HISTORY_DAYS)).isoformat(),
        "venues": {name: _venue_settings(name) for name in _VENUES},
    }
    home.venues_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


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


@contextmanager
def _instance(home: DemoHome) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


def _asset_keys(venue: str, data_types: Sequence[DataType]) -> list[str]:
    group = group_name_of(parse_venue(venue))
    raw = [f"{group}/raw/{data_type.asset_name}" for data_type in data_types]
    return [f"{group}/instruments", *raw, *(f"{group}/{layout}" for layout in ("by_date", "by_venue", "by_type"))]


def _backfill(dagster: LocalDagster, instance: dg.DagsterInstance, days: Sequence[date], console: Console) -> None:
    keys = [day.isoformat() for day in days]
    started = {
        venue: dagster.launch_backfill(_asset_keys(venue, data_types), keys, {"venue": venue})
        for venue, data_types in _VENUES.items()
    }
    _watch(instance, list(started.values()), len(_VENUES) * len(days), "backfill", console)


def _cure(
    dagster: LocalDagster, instance: dg.DagsterInstance, simulator: RunningSimulator, day: date, console: Console
) -> None:
    """Show the failed venue-day and run it again."""
    simulator.clear_requests()
    console.print(
        f"One file of {_FAILING_VENUE} {day} was damaged on purpose: its data type and the layouts are FAILED, "
        "everything else of that day is published. Running that venue-day again:"
    )
    keys = _asset_keys(_FAILING_VENUE, _VENUES[_FAILING_VENUE])
    backfill = dagster.launch_backfill(keys, [day.isoformat()], {"venue": _FAILING_VENUE})
    _watch(instance, [backfill], 1, "re-run", console)
    asked = [request["path"] for request in simulator.requests() if request["path"].endswith(".csv.gz")]
    console.print(f"The re-run asked the vendor for {len(asked)} tick file: {', '.join(asked)}\n")


def _watch(instance: dg.DagsterInstance, backfills: Sequence[str], expected: int, what: str, console: Console) -> None:
    """Show progress until that many runs of the backfills have ended."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    reported: set[str] = set()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{what}: venue-days", total=expected)
        while len(reported) < expected:
            for backfill in backfills:
                _refuse_failed_backfill(instance, backfill)
                for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})):
                    if run.status in _ENDED and run.run_id not in reported:
                        reported.add(run.run_id)
                        progress.advance(task)
                        progress.console.print(_describe_run(instance, run))
            time.sleep(_POLL_SECONDS)


def _refuse_failed_backfill(instance: dg.DagsterInstance, backfill_id: str) -> None:
    backfill = instance.get_backfill(backfill_id)
    if backfill is not None and backfill.status.value == "FAILED":
        raise LocalDagsterFailed(f"the backfill {backfill_id} could not be run: {backfill.error}")


def _describe_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    name = f"{run.tags['venue']} {run.tags['dagster/partition']}"
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return f"  [green]ok[/green]      {name}"
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    event = failures[-1].event_log_entry.dagster_event if failures else None
    user_failure = getattr(event.step_failure_data, "user_failure_data", None) if event else None
    text = (getattr(user_failure, "description", None) or f"run {run.run_id} {run.status.value}").partition("\n")[0]
    return f"  [red]failed[/red]  {name}  {text}"


def _print_table(home: DemoHome, instance: dg.DagsterInstance, days: Sequence[date], console: Console) -> None:
    table = Table(title="What the lake holds")
    for column in ("venue", "day"):
        table.add_column(column, no_wrap=True)
    for column in ("expected", "stored", "empty", "not offered", "failed", "rows", "MB", "checks"):
        table.add_column(column, justify="right", no_wrap=column != "not offered")
    for venue in _VENUES:
        for day in days:
            receipts = _receipts(home, venue, day)
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


def _receipts(home: DemoHome, venue: str, day: date) -> list[Receipt]:
    lake = open_lake(home.lake_url)
    units = (DataTypeDay(parse_venue(venue), data_type, day) for data_type in _VENUES[venue])
    loaded = (load_receipt(lake, unit)[0] for unit in units)
    return [receipt for receipt in loaded if receipt is not None]


def _count_checks(instance: dg.DagsterInstance, venue: str, day: date) -> str:
    """Return `passed/evaluated` of the newest run of a venue-day."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": day.isoformat(), "venue": venue}), limit=1)
    records = instance.get_records_for_run(runs[0].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    passed = [event.asset_check_evaluation_data.passed for event in events if event is not None]
    return f"{sum(passed)}/{len(passed)}"


def _print_ticks(home: DemoHome, day: date, console: Console) -> None:
    code = f'scan_ticks("trades", venues="binance", base="BTC", start="{day}", end="{day + timedelta(days=1)}")'
    console.print(f"\n[bold]{code}.head(5).collect()[/bold]")
    ticks = scan_ticks(
        "trades", venues="binance", base="BTC", start=day, end=day + timedelta(days=1), lake=home.lake_url
    )
    with pl.Config(tbl_cols=-1, tbl_width_chars=200, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        columns = ["instrument_key", "local_timestamp", "id", "side", "price", "amount"]
        console.print(str(ticks.head(5).select(columns).collect()), highlight=False, soft_wrap=True)
