"""The days that a lake lacks are those of which a run has something to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from market_data.ingest.deletion import Deleter
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.missing import find_missing_days
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

TRADES, QUOTES = DataType.TRADES, DataType.QUOTES
WHOLE, FAILED, UNTRIED = date(2024, 8, 8), date(2024, 8, 9), date(2024, 8, 10)
DAYS = [WHOLE, FAILED, UNTRIED]


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


def test_a_day_is_missing_until_all_its_data_types_are_whole_but_for_what_a_person_deleted(
    lake: TickLake, vendor: RunningSimulator
) -> None:
    spot = Selection(data_types=(TRADES, QUOTES), include=("BTCUSDT",))
    assert find_missing_days(lake, {"BINANCE": spot.data_types}, DAYS) == {"BINANCE": DAYS}
    ingest_day(lake, vendor, "BINANCE", WHOLE, spot)
    vendor.set_faults([{"match": "*/quotes/2024/08/09/*", "action": "status", "code": 503}])
    ingest_day(lake, vendor, "BINANCE", FAILED, spot)
    wanted = {"BINANCE": spot.data_types, "DERIBIT": (TRADES,)}
    assert find_missing_days(lake, wanted, DAYS) == {"BINANCE": [FAILED, UNTRIED], "DERIBIT": DAYS}
    assert find_missing_days(lake, {"BINANCE": (TRADES,)}, DAYS) == {"BINANCE": [UNTRIED]}
    Deleter(lake, "ops", "not wanted").delete(DataTypeDay("BINANCE", QUOTES, FAILED), datetime.now(UTC))
    assert find_missing_days(lake, wanted, DAYS)["BINANCE"] == [UNTRIED]
