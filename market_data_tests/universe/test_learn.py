"""The universe of every simulated venue, learnt with a key whose plan defines instruments and without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from market_data.defs.metadata import describe_universe
from market_data.errors import LakeError, VendorError
from market_data.lake.keys import universe_key
from market_data.model.data_types import DataType
from market_data.model.instruments import KeySource
from market_data.model.venues import VENUES
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.answers import VendorAnswer
from market_data.universe.learn import learn_universes, universes_of
from market_data.universe.rules import Selection, Universe, expected_tick_files, instruments_on
from market_data_tests.fakes import MemoryLake
from market_data_tests.filled_lake import CLOCK, TODAY, open_client

DAY = date(2024, 8, 8)
EVERYTHING = Selection(tuple(DataType))


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK)) as running:
        yield running


def learn(simulator: RunningSimulator, key: str | None) -> dict[str, Universe]:
    """Give the universe of the day of each venue that the simulator has on it."""

    async def ask() -> dict[str, Universe]:
        found = {}
        async with open_client(simulator, key) as client:
            for venue in VENUES:
                try:
                    (found[venue],) = await learn_universes(
                        MemoryLake(), client, venue, (DAY,), EVERYTHING, today=TODAY
                    )
                except VendorError:  # not simulated, or ended before the day
                    continue
        return found

    return asyncio.run(ask())


def test_neither_keys_nor_expected_files_depend_on_the_plan(simulator: RunningSimulator) -> None:
    with_plan, without = learn(simulator, DEFAULT_KEY), learn(simulator, None)
    assert with_plan.keys() == without.keys()
    assert len(with_plan) > 30
    for venue, universe in with_plan.items():
        other = without[venue]
        assert [item.instrument_key for item in universe.listed] == [item.instrument_key for item in other.listed]
        for data_type in DataType:
            files = expected_tick_files(universe, EVERYTHING, data_type)
            assert files == expected_tick_files(other, EVERYTHING, data_type)
        assert [item for item in universe.listed if item.disagreements] == []
        assert KeySource.VENDOR_DEFINITION not in {item.key_source for item in other.listed}
    assert any(item.tick_size for item in with_plan["BINANCE"].listed)


def test_definitions_that_disagree_with_keys_are_shown_in_the_metadata() -> None:
    row = {"id": "BTCUSDT", "type": "spot", "dataTypes": ["trades"], "availableSince": "2019-03-30T00:00:00Z"}
    datasets = {"exportedUntil": "2024-08-10T00:00:00Z", "symbols": [row | {"availableTo": "2024-08-10T00:00:00Z"}]}
    definitions = {"BTCUSDT": {"type": "spot", "baseCurrency": "BTC", "quoteCurrency": "USD"}}
    universe = instruments_on("BINANCE", {"datasets": datasets}, DAY, EVERYTHING, definitions)
    shown = describe_universe(universe, (), "uri", ())["vendor's definition disagrees"]
    assert isinstance(shown, dg.TableMetadataValue)
    (record,) = shown.records
    assert dict(record.data) == {
        "instrument": "BINANCE:SPOT_PAIR:BTC-USDT",
        "attribute": "quote",
        "by its symbol (kept)": "USDT",
        "by the vendor's definition": "USD",
    }


def test_a_damaged_table_of_the_day_before_is_told_as_such() -> None:
    """It is looked at where the vendor lists nothing: a day after one with many is in doubt."""
    ended = {"id": "btcusdt", "type": "spot", "dataTypes": ["trades"]}
    ended |= {"availableSince": "2024-08-01T00:00:00.000Z", "availableTo": "2024-08-08T00:00:00.000Z"}
    exchange = {"datasets": {"exportedUntil": "2024-08-10T00:00:00.000Z", "symbols": [ended]}}
    lake = MemoryLake()
    lake.put_bytes(b"no table", universe_key("BINANCE", DAY - timedelta(days=1)))
    with pytest.raises(LakeError, match="is not the table of a day's instruments"):
        universes_of(lake, VendorAnswer("BINANCE", TODAY, exchange), (DAY,), EVERYTHING)
