"""Three bad files of four hundred: 397 are kept, the other data types are readable, the next run asks for those 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from market_data.defs.metadata import describe_open_files
from market_data.errors import TicksIncomplete
from market_data.lake.keys import LAYOUTS, failed_key, object_prefix, raw_prefix
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.read import scan_ticks
from market_data.receipts.receipt import Receipt
from market_data.simulator.http.server import run_simulator
from market_data.universe.rules import Selection
from market_data_tests.ingesting import (
    DAY,
    SIMULATOR_OPTIONS,
    TRADES,
    Vendor,
    contents_of,
    is_proven,
    outcomes_of,
    plan_day,
    run_day,
)

pytestmark = pytest.mark.usefixtures("retries_without_waits")

TICKER, LIQUIDATIONS = DataType.DERIVATIVE_TICKER, DataType.LIQUIDATIONS
# options and combos have trades only: the other two types are of the perpetuals among them
SELECTION = Selection(
    data_types=(TRADES, TICKER, LIQUIDATIONS),
    instrument_types=("OPTION", "COMBO", "PERPETUAL"),
    max_instruments=400,
    prefer_grouped=(),
)
UNIT = DataTypeDay("DERIBIT", TRADES, DAY)
NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture(scope="module")
def deribit() -> Iterator[Vendor]:
    """A vendor that lists more than 400 instruments on Deribit that day."""
    with run_simulator(replace(SIMULATOR_OPTIONS, symbols=60_000, scale=0.01)) as running:
        yield Vendor(running)


def test_three_bad_files_of_four_hundred_cost_only_their_data_type_until_the_next_run(
    deribit: Vendor, tmp_path: Path
) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    plan = plan_day(lake, deribit, SELECTION, venue="DERIBIT")
    symbols = [item.vendor_symbol for item in plan.universe.selected]
    assert len(symbols) == 400
    bad = symbols[7::150]
    assert len(bad) == 3
    deribit.spoil("html_200", match=[f"*/{TRADES}/*/{symbol}.csv.gz" for symbol in bad])

    results = run_day(lake, deribit, plan)

    trades = results[TRADES].receipt
    outcomes = outcomes_of(trades)
    assert list(outcomes) == symbols
    assert [symbol for symbol, outcome in outcomes.items() if outcome is Outcome.FAILED] == bad
    assert set(outcomes.values()) == {Outcome.STORED, Outcome.VENDOR_EMPTY, Outcome.FAILED}
    assert len(lake.list_objects(raw_prefix(UNIT))) == 397
    assert {stat.key for stat in lake.list_objects("failed/")} == {failed_key(UNIT, symbol) for symbol in bad}
    assert [stat for stat in lake.list_objects("ticks/") if "data_type=trades" in stat.key] == []
    assert is_proven(lake, plan, [TICKER, LIQUIDATIONS])
    for data_type in (TICKER, LIQUIDATIONS):
        receipt = results[data_type].receipt
        assert receipt.is_complete
        assert read_rows(lake.url, data_type) == sum(item.rows for item in receipt.objects)
    assert read_rows(lake.url, TICKER) > 0
    with pytest.raises(TicksIncomplete, match="3 of 400"):
        read_rows(lake.url, TRADES)
    assert_told_to_people(trades, bad, str(describe_open_files("DERIBIT", DAY, list(results.values()))["description"]))

    untouched = {key: data for key, data in contents_of(lake).items() if key.startswith(("raw/", "ticks/"))}
    deribit.recover()
    results = run_day(lake, deribit, plan)

    assert deribit.asked_files() == sorted(f"{TRADES} {symbol}" for symbol in bad)
    assert results[TRADES].downloads == 3
    assert {data_type: result.was_current for data_type, result in results.items()} == {
        TRADES: False,
        TICKER: True,
        LIQUIDATIONS: True,
    }
    assert is_proven(lake, plan)
    after = contents_of(lake)
    assert untouched.items() <= after.items()
    assert [key for key in after if key.startswith("failed/")] == []
    published = Counter(layout for layout in LAYOUTS for key in after if key.startswith(object_folders(layout)))
    assert published == dict.fromkeys(LAYOUTS, len(results[TRADES].receipt.objects))
    assert read_rows(lake.url, TRADES) == sum(item.rows for item in results[TRADES].receipt.objects)


def assert_told_to_people(trades: Receipt, bad: list[str], description: str) -> None:
    """A failure's first line counts and names, the next lines say what is wrong about each bad file, once."""
    first_line, *lines = description.splitlines()
    assert first_line == (
        f"DERIBIT {DAY}: trades 3 of 400 files failed ({', '.join(bad)}: 3 damaged or not in the vendor's format); "
        "derivative_ticker, liquidations complete"
    )
    named = [line for line in lines if line.startswith("- ")]
    assert [line.partition(": ")[0] for line in named] == [f"- {UNIT} {symbol}" for symbol in bad]
    assert all("not a gzip file; it starts with b'<!DOCTYPE html>" in line for line in named)
    assert [file.vendor_symbol for file in trades.open_files] == bad


def read_rows(lake_url: str, data_type: DataType) -> int:
    frame = scan_ticks(data_type, venues="deribit", start=DAY, end=NEXT_DAY, lake=lake_url).collect()
    return frame.height


def object_folders(layout: str) -> tuple[str, ...]:
    return tuple(object_prefix(layout, UNIT, instrument_type) for instrument_type in SELECTION.instrument_types)
