"""One run of a venue-day as a process of its own, which a test starts, lets go, watches and kills.

    with start_ingester(lake_url, vendor, scratch) as ingester:
        ingester.go()
        ingester.kill()

The process has loaded everything before it is let go. Its exit status is 0 for a whole day, 3 when it gave way to
another run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from market_data.errors import LakeConflict
from market_data.lake.open import open_lake
from market_data_tests.ingesting import ALL_THREE, ROOT, Address, Vendor, plan_day, run_day
from market_data_tests.patience import PATIENCE_SECONDS

WHOLE, GAVE_WAY = 0, 3


@dataclass(frozen=True)
class Ingester:
    """A process that waits to be let go."""

    process: subprocess.Popen[str]

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def start_ingester(lake_url: str, vendor: Vendor, scratch: Path) -> Iterator[Ingester]:
    """Start a process that ingests ALL_THREE once it is let go; its temporary files lie below `scratch`."""
    scratch.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    command = [sys.executable, "-W", "ignore", "-m", "market_data_tests.ingester", lake_url, vendor.address.url]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Ingester(process)
        finally:
            process.kill()


def main(lake_url: str, vendor_url: str) -> int:
    lake, vendor = open_lake(lake_url), Address(vendor_url)
    lake.stat("nothing")  # what a first request loads is loaded
    print("ready", flush=True)  # noqa: T201  this is what the parent waits for
    sys.stdin.readline()
    try:
        results = run_day(lake, vendor, plan_day(lake, vendor, ALL_THREE))
    except LakeConflict:
        return GAVE_WAY
    return WHOLE if all(result.receipt.is_complete for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
