"""What tests of the definitions share: a vendor to each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running
