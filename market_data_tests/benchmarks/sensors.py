"""`sensors`: what one look of each sensor takes with all venues; Dagster ends a look after 60 s.

`new_days`: 66 venues, the vendor answers after half a second, one venue never. `failed_venue_days`: 2,000 failed
venue-days. CPU of the sensor's process in `.cpu`; the simulator has a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import yaml

from market_data.defs.build import build_definitions
from market_data.model.venues import EXCHANGE_IDS
from market_data.settings.environment import Settings, load_settings
from market_data_tests.benchmarks.many_failed_days import add_failed_runs
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder

_LATENCY_MS = 500
_STALLED = "deribit"
_FAILED_DAYS = 31
_FIRST_DAY = date(2024, 1, 1)


def measure(options: Options) -> Results:
    """Give seconds and CPU seconds of a look of each sensor."""
    with disk_folder() as home, _simulator() as url:
        settings = all_venues(home, url)
        (home / "dagster").mkdir()
        with dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
            results = _look(instance, settings, "new_days")
            days = [_FIRST_DAY + timedelta(days=number) for number in range(2 if options.quick else _FAILED_DAYS)]
            count = add_failed_runs(instance, settings, days)
            return results | _look(instance, settings, "failed_venue_days", f"{count:,} failed venue-days")


def all_venues(home: Path, url: str, automation: Mapping[str, Any] | None = None) -> Settings:
    """Return settings with every venue that there is, two data types each."""
    venues = {exchange: {"data_types": ["trades", "quotes"], "max_instruments": 2} for exchange in EXCHANGE_IDS}
    file = home / "venues.yaml"
    file.write_text(yaml.safe_dump({"venues": venues, "automation": dict(automation or {})}))
    return load_settings(
        {
            "MARKET_DATA_CONFIG": str(file),
            "MARKET_DATA_LAKE_URL": (home / "lake").as_uri(),
            "MARKET_DATA_VENDOR": "simulator",
            "TARDIS_API_URL": url,
            "TARDIS_DATASETS_URL": url,
        }
    )


def _look(instance: dg.DagsterInstance, settings: Settings, sensor: str, note: str = "") -> Results:
    definitions = build_definitions(settings)
    (definition,) = (item for item in definitions.sensors or () if item.name == sensor)
    assert isinstance(definition, dg.SensorDefinition)
    with dg.build_sensor_context(instance, resources=dict(definitions.resources or {})) as context:
        started, cpu_started = time.perf_counter(), time.process_time()
        found = definition(context)
        spent, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    launched = len(found.run_requests or ()) if isinstance(found, dg.SensorResult) else 0
    note = ", ".join([*([note] if note else []), f"{launched} runs launched"])
    return {f"sensors.{sensor}": Measured((spent,), "s", note), f"sensors.{sensor}.cpu": Measured((cpu,), "s")}


@contextmanager
def _simulator() -> Iterator[str]:
    """Run the simulator with half a second of latency and one stalled venue; give its base address."""
    program = f"""
import sys
from market_data.simulator.http.server import SimulatorOptions, run_simulator
stall = {{"match": "*/exchanges/{_STALLED}", "action": "stall", "after_bytes": 0, "seconds": 600}}
clock = "{datetime.now(UTC):%Y-%m-%d}T07:00:00Z"
with run_simulator(SimulatorOptions(clock=clock, latency_ms={_LATENCY_MS}, faults=[stall])) as running:
    print(running.api_url, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = process.stdout.readline().strip()
        httpx.get(f"{url}/exchanges/binance", trust_env=False).raise_for_status()
        yield url
        process.stdin.close()
