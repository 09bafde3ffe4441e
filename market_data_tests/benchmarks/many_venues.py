"""`many_venues`: what 4, 20 and 66 venues cost before any data: loading the definitions, a look for new days.

And, with the sizes that are stated below, rows of the table "From one venue to all" of the README, multiplied.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

import dagster as dg
import yaml

from market_data.defs.build import build_definitions
from market_data.model.limits import DEFAULT_DAYS_PER_RUN, GIGABYTE
from market_data.model.venues import EXCHANGE_IDS
from market_data.operate.costs import Volume, cost_of
from market_data.operate.estimates import decoding_hours
from market_data.settings.environment import load_settings
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder

COUNTS, YEARS = (4, 20, 66), (1, 7)
_DATA_TYPES = ["trades", "incremental_book_L2", "quotes", "book_ticker"]
_LOAD = """
import time
started = time.perf_counter()
import dagster
loaded = time.perf_counter()
import market_data.definitions as definitions
definitions.defs.get_repository_def().get_all_jobs()
import resource
print(time.perf_counter() - loaded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""

# A venue-day of the table. Bytes: a third of the 1.46 GB that a day of three venues' busiest pairs has (README, "What
# it costs"). Files: four data types of ten instruments each.
_GZIP_BYTES, _FILES, _UNITS, _PARQUET_SHARE = 1.46 * GIGABYTE / 3, 40, 4, 0.75
# Beside each file in raw/ and in each layout: a receipt for each unit; of the day the universe, the vendor's answer,
# rhythm and gaps.
_OTHER_OBJECTS = _UNITS + 4
# Somebody's limit, for the sake of a number (`limits: daily_quota_gb`); the last tenth of it is for new days.
_QUOTA_BYTES, _SHARE_OF_HISTORY = 500 * GIGABYTE, 0.9
_HISTORY_IN_DAYS = 30


def measure(options: Options) -> Results:
    """Give seconds and memory by number of venues, and the rows of the table."""
    results: Results = {}
    for count in COUNTS[: 1 if options.quick else None]:
        results |= _measure(count, 1 if options.quick else min(options.rounds, 3))
        for years in YEARS:
            results |= {
                f"many_venues.{count}x{years}.{name}": it for name, it in _multiply(count * years * 365).items()
            }
    return results


def _measure(count: int, rounds: int) -> Results:
    name = f"many_venues.{count}"
    with (
        disk_folder() as home,
        run_simulator(SimulatorOptions(clock=f"{datetime.now(UTC):%Y-%m-%d}T07:00:00Z")) as vendor,
    ):
        venues = {exchange: {"data_types": _DATA_TYPES} for exchange in EXCHANGE_IDS[:count]}
        (home / "venues.yaml").write_text(yaml.safe_dump({"venues": venues}))
        environment = {
            "MARKET_DATA_CONFIG": str(home / "venues.yaml"),
            "MARKET_DATA_LAKE_URL": (home / "lake").as_uri(),
            "MARKET_DATA_VENDOR": "simulator",
            "TARDIS_API_URL": vendor.api_url,
            "TARDIS_DATASETS_URL": vendor.datasets_url,
        }
        loads = [_load(environment) for _ in range(rounds)]
        looks = [_look(home / f"dagster-{number}", environment) for number in range(rounds)]
    return {
        f"{name}.load": Measured(tuple(seconds for seconds, _ in loads), "s"),
        f"{name}.memory": Measured(tuple(megabytes for _, megabytes in loads), "MB"),
        f"{name}.new_days": Measured(tuple(looks), "s", "a look; the vendor answers at once"),
    }


def _load(environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds that a new process takes for the definitions, Dagster itself aside, and its memory in MB."""
    ran = subprocess.run(
        [sys.executable, "-c", _LOAD], env=os.environ | environment, check=True, capture_output=True, text=True
    )
    seconds, megabytes = ran.stdout.split()
    return float(seconds), float(megabytes)


def _look(home: Path, environment: dict[str, str]) -> float:
    definitions = build_definitions(load_settings(environment))
    (sensor,) = (item for item in definitions.sensors or () if item.name == "new_days")
    assert isinstance(sensor, dg.SensorDefinition)
    home.mkdir()
    with (
        dg.DagsterInstance.local_temp(str(home)) as instance,
        dg.build_sensor_context(instance, resources=dict(definitions.resources or {})) as context,
    ):
        started = time.perf_counter()
        sensor(context)
        return time.perf_counter() - started


def _multiply(venue_days: int) -> Results:
    raw, copy = venue_days * _GZIP_BYTES, venue_days * _GZIP_BYTES * _PARQUET_SHARE
    runs = ceil(venue_days / DEFAULT_DAYS_PER_RUN)
    volume = Volume(raw, copy, venue_days * _FILES, units=venue_days * _UNITS, runs=runs)
    hours = decoding_hours(raw, 1)
    found: dict[str, tuple[float, str]] = {"runs": (runs, "runs")}
    for layouts in (1, 3):
        found |= {
            f"objects_{layouts}": (venue_days * (_FILES * (1 + layouts) + _OTHER_OBJECTS) / 1e6, "million"),
            f"tb_{layouts}": ((raw + layouts * copy) / 1e12, "TB"),
            f"dollars_{layouts}": (cost_of(volume, layouts).month, "$ a month"),
        }
    found |= {
        "quota_days": (raw / (_QUOTA_BYTES * _SHARE_OF_HISTORY), "days"),
        "decoding": (hours, "core hours"),
        "workers": (hours / 24 / _HISTORY_IN_DAYS, "cores"),
    }
    return {name: Measured((value,), unit) for name, (value, unit) in found.items()}
