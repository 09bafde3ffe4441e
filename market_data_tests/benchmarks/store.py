"""GCS against a directory: objects by second, requests by object, and what going one after the other would cost.

The server is the tests' emulator behind its proxy, in a process of its own on loopback. It answers at once where a real
store takes tens of milliseconds, so both forms are measured once more with a wait before each of the lake's calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from market_data.ingest.venue_day import VenueDay
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data_tests.benchmarks.measured import (
    Measured,
    Options,
    Results,
    Side,
    disk_folder,
    measure_in_turn,
    per,
    ratio,
)
from market_data_tests.benchmarks.small_files import small_files
from market_data_tests.benchmarks.static_vendor import static_vendor
from market_data_tests.benchmarks.venue_days import ingest, ingest_into_fresh_lake, plan_day
from market_data_tests.fakes import SteppedLake
from market_data_tests.gcs_server import gcs_server

_BUCKET = "benchmark"
_LATENCY_SECONDS = 0.03
_OBJECTS_OF_A_FILE = 4  # the vendor's bytes and three layouts


@dataclass(frozen=True, slots=True)
class _Filling:
    """The two forms of filling a fresh lake in the bucket with a day's files."""

    vendor_url: str
    plan: VenueDay
    source: Path

    def by_use_case(self, wait_seconds: float, _: Path) -> None:
        ingest(_open_fresh_lake(wait_seconds), self.vendor_url, self.plan)

    def one_by_one(self, wait_seconds: float, _: Path) -> None:
        """Write as many objects, one after the other: put, put, copy, copy; nothing is downloaded or decoded."""
        lake = _open_fresh_lake(wait_seconds)
        for path in sorted(self.source.glob("*.csv.gz")):
            lake.put_file(path, f"raw/{path.name}", if_generation=0)
            lake.put_file(path, f"by_date/{path.name}", if_generation=0)
            for layout in ("by_venue", "by_type"):
                lake.copy(f"by_date/{path.name}", f"{layout}/{path.name}", if_generation=0)


def _open_fresh_lake(wait_seconds: float) -> TickLake:
    lake = open_lake(f"gs://{_BUCKET}/{uuid4().hex}")
    return SteppedLake(lake, partial(time.sleep, wait_seconds)) if wait_seconds else lake


@dataclass(frozen=True, slots=True)
class _Server:
    process: subprocess.Popen[str]

    def take_requests(self) -> int:
        """Return how many requests there were since this was asked last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def _run_server(folder: Path) -> Iterator[_Server]:
    command = [sys.executable, "-m", "market_data_tests.benchmarks.store", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        os.environ.update(json.loads(process.stdout.readline()))
        yield _Server(process)
        # leaving closes its stdin, and with that the server ends


def measure(options: Options) -> Results:
    """Give rates, requests and ratios of both stores and both forms."""
    count = 40 if options.quick else 200
    source = small_files(count)
    objects = count * _OBJECTS_OF_A_FILE
    results: Results = {}
    with disk_folder() as folder, _run_server(folder) as server, static_vendor(source) as url:
        plan = plan_day(url)
        filling = _Filling(url, plan, source)
        sides: dict[str, Side] = {
            "file": ingest_into_fresh_lake(url, plan),
            "gs": partial(filling.by_use_case, 0.0),
            "gs_one_by_one": partial(filling.one_by_one, 0.0),
            "gs_slow": partial(filling.by_use_case, _LATENCY_SECONDS),
            "gs_slow_one_by_one": partial(filling.one_by_one, _LATENCY_SECONDS),
        }
        for name in ("file", "gs", "gs_one_by_one"):
            server.take_requests()
            measure_in_turn(1, {name: sides[name]})
            if name != "file":
                results[f"store.requests_per_object.{name}"] = Measured((server.take_requests() / objects,), "requests")
        spent = measure_in_turn(options.rounds, sides)
    seconds = {name: side.seconds for name, side in spent.items()}
    results |= {f"store.objects_per_second.{name}": per(objects, seconds[name], "objects/s") for name in sides}
    return results | {
        "store.gs_over_file": ratio(seconds["gs"], seconds["file"]),
        "store.one_by_one_over_use_case": ratio(seconds["gs_one_by_one"], seconds["gs"]),
        "store.one_by_one_over_use_case.30ms": ratio(seconds["gs_slow_one_by_one"], seconds["gs_slow"]),
    }


def _serve(folder: Path) -> None:
    """Serve until stdin ends; tell the environment of clients, then the requests since last time for each line."""
    with gcs_server(folder) as server:
        server.create_bucket(_BUCKET)
        print(json.dumps(server.environment), flush=True)  # noqa: T201  the answer to the parent
        for _ in sys.stdin:
            print(len(server.requests), flush=True)  # noqa: T201  the answer to the parent
            server.requests.clear()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
