"""`market-data demo` as a newcomer runs it: a process of its own, in an empty directory."""

import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from market_data_tests.patience import PATIENCE_SECONDS, wait_until


def start_demo(directory: Path, mark: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MARKET_DATA", "TARDIS"))}
    environment.pop("DAGSTER_HOME", None)
    return subprocess.Popen(
        [sys.executable, "-m", "market_data", "demo"],
        cwd=directory,
        env=environment | {"DEMO_TEST_MARK": mark, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_with(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in environment and state != "Z":
            found.append(int(process.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
def test_the_demo_publishes_days_shows_a_failure_and_its_cure_and_leaves_nothing_running(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    demo = start_demo(tmp_path, mark)
    output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 0, output
    assert re.search(
        r"trades 1 of 8 files failed \(\w+: 1 damaged or not in the vendor's format\); book_ticker", output
    )
    assert "The re-run asked the vendor for 1 tick file: /v1/binance-futures/trades/" in output
    rows = [line.split("│")[1:-1] for line in output.splitlines() if line.startswith("│ ") and "/" in line[-12:]]
    assert [cells[0].strip() for cells in rows] == ["binance"] * 3 + ["binance-futures"] * 3 + ["deribit"] * 3
    for cells in rows:
        expected, stored, empty, not_offered, failed = (int(cell) for cell in cells[2:7])
        assert expected == stored + empty + not_offered
        assert failed == 0
        passed, evaluated = cells[-1].strip().split("/")
        assert passed == evaluated
    assert any(int(cells[4]) > 0 for cells in rows)  # the vendor had an empty file
    assert "BINANCE:SPOT_PAIR:BTC-USDT" in output
    assert processes_with(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    demo = start_demo(tmp_path, mark)
    try:
        receipts = tmp_path / ".market_data" / "demo" / "lake" / "receipt"
        wait_until(lambda: receipts.exists() or demo.poll() is not None, "the first run writes a receipt")
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    finally:
        demo.kill()
    assert demo.returncode != 0
    assert "Aborted!" in output
    wait_until(lambda: processes_with(mark) == [], "the demo's processes have ended")
