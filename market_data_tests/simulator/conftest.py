from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.patience import PATIENCE_SECONDS

CLOCK = "2024-08-11T07:00:00Z"


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.2)) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
    with httpx.Client(base_url=simulator.api_url, headers=headers, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def anonymous(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.api_url, timeout=PATIENCE_SECONDS) as client:
        yield client
