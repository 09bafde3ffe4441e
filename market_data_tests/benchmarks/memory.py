"""`peak_rss_mb`: the most memory that a process needs which ingests one very large tick file.

2 GB of CSV, and 10 GB with --full; what counts is that it does not grow with the file. The file is made as it is served
(`endless_vendor.py`), the use case runs in a process of its own, and its own peak is read when it is done. Resident
memory counts pages of files that are mapped too, which the kernel takes back at will; `anonymous` is sampled without.
What the processes that decode take is added, as if all had their peaks at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from market_data.lake.open import open_lake
from market_data_tests.benchmarks.decoder_processes import decoder_pids
from market_data_tests.benchmarks.measured import Measured, Options, Results, disk_folder, status_kb
from market_data_tests.benchmarks.static_vendor import run_vendor
from market_data_tests.benchmarks.venue_days import ingest, plan_day

_POLL_SECONDS = 0.05
_LONGEST_SECONDS = 3600


def measure(options: Options) -> Results:
    """Give the peaks for a small, a large and (--full) a very large file, and how much they grow."""
    sizes_gb = (0.1, 0.4) if options.quick else (0.5, 2, 10) if options.full else (0.5, 2)
    results: Results = {}
    peaks: list[float] = []
    for size_gb in sizes_gb:
        seconds, peak_mb, anonymous_mb = _ingest_alone(int(size_gb * 1e9))
        peaks.append(peak_mb)
        results[f"peak_rss_mb.{size_gb:g}GB"] = Measured(
            (peak_mb,), "MB", f"{size_gb / seconds * 1000:.0f} MB/s of CSV"
        )
        results[f"peak_rss_mb.{size_gb:g}GB.anonymous"] = Measured((anonymous_mb,), "MB", "sampled")
    name = f"peak_rss_growth.{sizes_gb[-2]:g}_to_{sizes_gb[-1]:g}GB"
    results[name] = Measured((peaks[-1] / peaks[-2],), "x", "1 is flat")
    return results


def _ingest_alone(csv_bytes: int) -> tuple[float, float, float]:
    """Ingest a file of this size in a fresh process; give its seconds, peak and anonymous peak (MB)."""
    with disk_folder() as folder, run_vendor("endless_vendor", csv_bytes) as url:
        return run_alone("market_data_tests.benchmarks.memory", [url, str(folder)])


def run_alone(module: str, arguments: Sequence[str]) -> tuple[float, float, float]:
    """Run a module that prints its own peak in kB; give its seconds, peak and anonymous peak (MB)."""
    started, anonymous_kb = time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.poll() is None:
            pids = [process.pid, *decoder_pids(process.pid)]
            anonymous_kb = max(anonymous_kb, sum(status_kb(pid, "RssAnon") for pid in pids))
            if time.perf_counter() - started > _LONGEST_SECONDS:
                process.kill()
            time.sleep(_POLL_SECONDS)
        if process.returncode:
            raise RuntimeError(f"{module} ended with {process.returncode}")
        return time.perf_counter() - started, int(process.stdout.read()) / 1e3, anonymous_kb / 1e3


def own_peak_kb() -> int:
    """Return the peak of this process and of those that decode for it."""
    return status_kb("self", "VmHWM") + sum(status_kb(pid, "VmHWM") for pid in decoder_pids())


if __name__ == "__main__":
    ingest(open_lake(Path(sys.argv[2], "lake").as_uri()), sys.argv[1], plan_day(sys.argv[1]))
    print(own_peak_kb())  # noqa: T201  the answer to the parent
