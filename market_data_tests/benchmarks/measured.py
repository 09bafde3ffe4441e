"""What a benchmark gives: numbers with their rounds, measured side by side in turn."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from market_data_tests.benchmarks.decoder_processes import decoder_cpu_seconds
from market_data_tests.benchmarks.tick_files import BENCH_HOME


@dataclass(frozen=True, slots=True)
class Options:
    """How long the benchmarks may take: `quick` is a smoke run, `full` adds what takes minutes."""

    quick: bool = False
    full: bool = False
    rounds: int = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """One named number: the median of its rounds."""

    rounds: tuple[float, ...]
    unit: str
    note: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest round."""
        return min(self.rounds), max(self.rounds)


Results = dict[str, Measured]


Side = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one side took in each round; on a machine that is shared, CPU time tells more than the clock."""

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]


def measure_in_turn(rounds: int, sides: Mapping[str, Side]) -> dict[str, Spent]:
    """Return what each side took; a side gets an empty folder each time.

    The machine is shared: sides take turns, and who is first changes, so that a slow minute hits all alike. What one
    side left to be written to disk is written before the next one starts. Folders are deleted at the very end: ext4
    looks for new inodes past all those freed in the last seconds, so deleting here would be paid for by the next side.
    """
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    names = list(sides)
    with disk_folder() as home:
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                folder = home / f"{name}-{number}"
                folder.mkdir()
                os.sync()
                started, cpu_started = time.perf_counter(), _cpu_seconds()
                sides[name](folder)
                spent[name].append((time.perf_counter() - started, _cpu_seconds() - cpu_started))
    return {name: Spent(*zip(*values, strict=True)) for name, values in spent.items()}


def _cpu_seconds() -> float:
    return time.process_time() + decoder_cpu_seconds()


@contextmanager
def disk_folder() -> Iterator[Path]:
    """Give an empty folder on the disk of the project (a temporary directory may be memory), deleted at the end."""
    BENCH_HOME.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BENCH_HOME, prefix="run-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def ratio(above: Sequence[float], below: Sequence[float], note: str = "") -> Measured:
    """Divide round by round: both of a round saw the same machine."""
    return Measured(tuple(a / b for a, b in zip(above, below, strict=True)), "x", note)


def per(amount: float, seconds: Sequence[float], unit: str, note: str = "") -> Measured:
    """Give the amount by second."""
    return Measured(tuple(amount / value for value in seconds), unit, note)


def status_kb(pid: int | str, name: str) -> int:
    """Return a line of a process's status in kB, 0 when there is none (any more)."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0
