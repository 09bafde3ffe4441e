"""What the use cases log stands among the events of the Dagster run that they work for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.filled_lake import CLOCK
from market_data_tests.in_process import Project, open_project

DAY = date(2024, 8, 8)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    venues = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT", "ETHUSDT"]}}
    with (
        run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as simulator,
        open_project(tmp_path, simulator, venues) as opened,
    ):
        yield opened


def test_a_person_sees_failures_and_progress_in_the_run(project: Project) -> None:
    project.simulator.set_faults([{"match": "*/trades/*/ETHUSDT.csv.gz", "action": "bit_flip"}])
    result = project.run("all_venues", DAY)
    assert not result.success
    entries = project.instance.all_logs(result.run_id)
    said = [(entry.level, entry.user_message, entry.step_key) for entry in entries if entry.dagster_event is None]
    (failure,) = (item for item in said if item[0] == logging.WARNING)
    assert failure[1].startswith("BINANCE 2024-08-08, file ")
    assert "ETHUSDT" in failure[1]
    assert failure[2] == "binance__venue_day"
    (done,) = (text for level, text, _ in said if level == logging.INFO and "files done in" in text)
    assert done.startswith("BINANCE 2024-08-08: 2 of 2 files done in ")
    assert logging.getLogger("market_data").handlers == []
