"""Lakes that earlier versions wrote are read, run again and judged by this one.

Each archive in `golden/lakes` is a small lake as the version of that day filled it, from its simulator (CLOCK of
`filled_lake.py`, BINANCE spot on two days, DERIBIT options with a grouped file). It is never written again.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_data.checks.facts import observe_unit
from market_data.checks.recheck import recheck_unit
from market_data.checks.rules import UNIT_RULES, judge_layout
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, ORIGIN_KEY
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import measure_coverage
from market_data.read import find_instruments, scan_ticks
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.decode import DECODER_VERSION
from market_data.ticks.rules import rules_for
from market_data.universe.rules import Selection
from market_data.universe.table import UNIVERSE_SCHEMA
from market_data_tests.filled_lake import CLOCK, ingest_day

ARCHIVES = sorted((Path(__file__).parents[1] / "golden" / "lakes").glob("*.tar.gz"))
TRADES, QUOTES = DataType.TRADES, DataType.QUOTES
FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
SPOT = Selection(data_types=(TRADES, QUOTES), include=("BTCUSDT", "ETHBTC"))
OPTIONS = Selection(data_types=(TRADES,), instrument_types=("OPTION",))
UNITS = [
    *(DataTypeDay("BINANCE", data_type, day) for data_type in (TRADES, QUOTES) for day in (FIRST, SECOND)),
    DataTypeDay("DERIBIT", TRADES, FIRST),
]


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> TickLake:
    with tarfile.open(request.param) as archive:
        # Python 3.11.0 to 3.11.3 have no filters; the archive is of this repository
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **options)  # noqa: S202
    return open_lake(tmp_path.as_uri())


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.002)) as running:
        yield running


def contents(lake: TickLake) -> dict[str, tuple[int, str | None]]:
    return {stat.key: (stat.generation, stat.crc32c) for stat in lake.list_objects("", with_crc32c=True)}


def test_there_are_stored_lakes() -> None:
    assert ARCHIVES


def test_a_stored_lake_is_read(stored: TickLake) -> None:
    spot = scan_ticks("trades", venues="binance", start=FIRST, end="2024-08-10", lake=stored).collect()
    assert spot["date"].unique().sort().to_list() == [FIRST, SECOND]
    assert spot["instrument_key"].n_unique() == 2
    for layout in LAYOUTS:
        again = scan_ticks("trades", venues="binance", start=FIRST, end="2024-08-10", lake=stored, layout=layout)
        assert again.collect().equals(spot)
    options = scan_ticks("trades", venues="deribit", base="BTC", start=FIRST, end=SECOND, lake=stored).collect()
    assert options.height > 0
    assert options["instrument_key"].str.starts_with("DERIBIT:OPTION:BTC-USD-").all()
    assert find_instruments(text="btcusdt", lake=stored)["days_held"][0]["quotes"] == 2
    coverage = measure_coverage(stored, {"BINANCE": (TRADES, QUOTES)}, [FIRST, SECOND])
    assert coverage["state"].unique().to_list() == ["complete"]


def universes(lake: TickLake) -> dict[str, pl.DataFrame]:
    return {
        stat.key: pl.read_parquet(io.BytesIO(lake.get_bytes(stat.key)[0])) for stat in lake.list_objects("universe/")
    }


def test_a_stored_lake_is_run_again_without_a_request_and_nothing_is_rewritten_but_what_instruments_are(
    stored: TickLake, vendor: RunningSimulator
) -> None:
    before, listed = contents(stored), universes(stored)
    vendor.clear_requests()
    receipts = [
        *ingest_day(stored, vendor, "BINANCE", FIRST, SPOT).values(),
        *ingest_day(stored, vendor, "BINANCE", SECOND, SPOT).values(),
        *ingest_day(stored, vendor, "DERIBIT", FIRST, OPTIONS).values(),
    ]
    assert {receipt.unit for receipt in receipts} == set(UNITS)
    assert all(receipt.is_complete for receipt in receipts)
    assert vendor.requests() == []
    if {receipt.decoder_version for receipt in receipts} == {DECODER_VERSION}:
        after = contents(stored)
        assert {key for key, facts in before.items() if after.get(key) != facts} <= {*listed, ORIGIN_KEY}
        assert after.keys() == before.keys()
    for key, frame in universes(stored).items():  # columns are added, and null where a version did not write them
        assert frame.columns == list(UNIVERSE_SCHEMA)
        assert frame.select(listed[key].columns).equals(listed[key])


def test_a_stored_lake_whose_instruments_have_fewer_columns_is_found_in(stored: TickLake) -> None:
    found = find_instruments(lake=stored, text="btcusdt")
    assert found.columns[: len(UNIVERSE_SCHEMA)] == list(UNIVERSE_SCHEMA)
    assert found["price_currency"].to_list() == [None]


def test_a_stored_lake_is_judged_as_it_was(stored: TickLake) -> None:
    before = contents(stored)
    for unit in UNITS:
        rechecked = recheck_unit(stored, unit, rules_for(unit.data_type, {}))
        assert (rechecked.changed, rechecked.left_alone) == ((), None)
        facts = observe_unit(stored, unit)
        verdicts = {name: rule(facts) for name, rule in UNIT_RULES.items()}
        verdicts |= {layout: judge_layout(facts, layout) for layout in LAYOUTS}
        assert {name: verdict.summary for name, verdict in verdicts.items() if not verdict.is_passed} == {}
    assert contents(stored) == before
