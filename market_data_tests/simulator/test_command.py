from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from market_data.simulator.http.command import simulator_command
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.patience import PATIENCE_SECONDS

START = "from market_data.simulator.http.command import simulator_command; simulator_command()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    arguments = ["--port", "0", "--key", "a", "--key", "b", "--clock", "2024-08-11T07:00:00Z", "--scale", "0.1"]
    command = [sys.executable, "-c", START, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            url = line.removeprefix("simulator ready at ").strip()
            answer = httpx.get(
                f"{url}/binance/trades/2024/08/10/BTCUSDT.csv.gz",
                headers={"Authorization": "Bearer b"},
                timeout=PATIENCE_SECONDS,
            )
            assert answer.status_code == 200
        finally:
            process.send_signal(number)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_two_servers_give_the_same_bytes_and_another_seed_other_ones() -> None:
    bodies = []
    for seed in (5, 5, 6):
        with run_simulator(SimulatorOptions(seed=seed, clock="2024-08-11T07:00:00Z", scale=0.1)) as running:
            url = f"{running.datasets_url}/deribit/options_chain/2024/08/01/OPTIONS.csv.gz"
            bodies.append(httpx.get(url, timeout=PATIENCE_SECONDS).content)
    assert bodies[0] == bodies[1] != bodies[2]


def test_wrong_options_end_with_a_message(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"match": "*", "action": "explode"}]')
    for arguments, words in (
        (["--faults", str(faults)], "unknown action 'explode'"),
        (["--clock", "soon"], "not ISO 8601"),
        (["--files", str(tmp_path)], "no tick files"),
        (["--scale", "0"], "above 0"),
    ):
        result = CliRunner().invoke(simulator_command, ["--port", "0", *arguments])
        assert result.exit_code == 1
        assert words in result.output
