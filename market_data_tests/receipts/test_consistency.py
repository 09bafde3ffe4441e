"""A receipt that a hand or a disk has changed: it is refused by name, or what is read is what was published."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from market_data.checks.facts import observe_unit
from market_data.checks.recheck import recheck_unit
from market_data.checks.rules import UNIT_RULES
from market_data.errors import LakeError, MarketDataError
from market_data.lake.base import TickLake
from market_data.lake.keys import receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import measure_coverage
from market_data.read import find_instruments, scan_ticks
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.ticks.rules import rules_for
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

DAY = date(2024, 8, 8)
SINGLE = DataTypeDay("BINANCE", DataType.TRADES, DAY)
GROUPED = DataTypeDay("DERIBIT", DataType.TRADES, DAY)
UNITS = (SINGLE, GROUPED)
# What an edit puts in the place of a value, beside what stands elsewhere in the same document.
ODD_VALUES: tuple[Any, ...] = (
    None, "", "x", "by_moon", "OPTION", 0, 1, -1, 10**30, 1.5, True, [], {}, "2024-08-09", "BINANCE:SPOT_PAIR:X",
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> TickLake:
    lake = open_lake((tmp_path_factory.mktemp("filled") / "lake").as_uri())
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.02)) as simulator:
        ingest_day(lake, simulator, "BINANCE", DAY, Selection((DataType.TRADES,), include=("BTC*", "ETH*")))
        options = Selection((DataType.TRADES,), instrument_types=("OPTION", "PERPETUAL"))
        ingest_day(lake, simulator, "DERIBIT", DAY, options)
    return lake


@pytest.fixture
def documents(filled: TickLake) -> Iterator[dict[DataTypeDay, Any]]:
    """The receipts as they are; a test may change those in the lake."""
    kept = {unit: filled.get_bytes(receipt_key(unit))[0] for unit in UNITS}
    yield {unit: json.loads(data) for unit, data in kept.items()}
    for unit, data in kept.items():
        filled.put_bytes(data, receipt_key(unit))


def put(lake: TickLake, unit: DataTypeDay, document: Any) -> None:
    lake.put_bytes(json.dumps(document).encode(), receipt_key(unit))


def rows_of(lake: TickLake, unit: DataTypeDay) -> pl.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ticks that no rule has looked at
        scan = scan_ticks(unit.data_type, venues=unit.venue, start=DAY, end=DAY + timedelta(days=1), lake=lake)
    return scan.collect()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def holder(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path[:-1]:
        document = document[name]
    return document


def edit(document: Any, chance: random.Random) -> str:
    """Change one thing at a random place; give what was done."""
    every = list(places(document))
    path = chance.choice(every)
    place, name = holder(document, path), path[-1]
    kinds = ["delete", "odd", "borrow"] + (["repeat"] * 3 if isinstance(place, list) else [])
    kind = chance.choice(kinds)
    if kind == "delete":
        del place[name]
    elif kind == "repeat":
        place.append(copy.deepcopy(place[name]))
    elif kind == "odd":
        place[name] = chance.choice(ODD_VALUES)
    else:
        other = chance.choice(every)
        place[name] = copy.deepcopy(holder(document, other)[other[-1]])
    return f"{kind} {path}"


def believed(lake: TickLake, unit: DataTypeDay, whole: pl.DataFrame) -> bool:
    """Whether a receipt is believed; if so, what is read is `whole`, and everybody says that the day is complete."""
    coverage = measure_coverage(lake, {unit.venue: (unit.data_type,)}, [DAY])
    is_complete = coverage["state"].to_list() == ["complete"]
    find_instruments(venues=unit.venue, lake=lake)
    facts = observe_unit(lake, unit)
    verdicts = {name: rule(facts).is_passed for name, rule in UNIT_RULES.items()}
    try:
        rows = rows_of(lake, unit)
    except FileNotFoundError:
        # a name that leads nowhere is told by the checks, and by whoever reads it
        assert not verdicts["row_conservation"]
        return False
    assert is_complete
    assert rows.equals(whole)
    recheck_unit(lake, unit, rules_for(unit.data_type, {}))
    return True


@pytest.mark.parametrize("unit", UNITS, ids=["single files", "a grouped file"])
@pytest.mark.parametrize("seed", range(3))
def test_one_change_of_a_receipt_is_refused_or_harms_nobody(
    filled: TickLake, documents: dict[DataTypeDay, Any], unit: DataTypeDay, seed: int
) -> None:
    chance = random.Random(f"{unit} {seed}")
    whole = rows_of(filled, unit)
    counts = {"believed": 0, "refused": 0, "nameless": 0}
    for _ in range(40):
        document = copy.deepcopy(documents[unit])
        done = edit(document, chance)
        put(filled, unit, document)
        try:
            counts["believed" if believed(filled, unit, whole) else "refused"] += 1
        except MarketDataError as error:
            counts["refused" if unit.venue in str(error) else "nameless"] += 1
        except BaseException as error:
            error.add_note(done)
            raise
    assert counts.pop("nameless") == 0
    assert min(counts.values()) > 5  # it is no test of one side only


def swap_names(document: Any) -> None:
    """Let two objects bear each other's name."""
    one, other = document["objects"][:2]
    one["stem"], other["stem"] = other["stem"], one["stem"]


CONTRADICTIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "file twice": (lambda it: it["files"].append(it["files"][0]), "the file BTCUSDT stands in it twice"),
    "object twice": (lambda it: it["objects"].append(it["objects"][0]), "SPOT_PAIR BTC-USDT stands in it twice"),
    "layout twice": (lambda it: it["layouts"].append("by_date"), "the layout by_date stands in it twice"),
    "object gone": (lambda it: it["objects"].pop(0), r"BTCUSDT has \d+ rows, its objects have 0"),
    "file gone": (lambda it: it["files"].pop(0), "BTC-USDT is of BTCUSDT, which is no stored file of it"),
    "rows": (lambda it: it["objects"][0].update(rows=1), r"BTCUSDT has \d+ rows, its objects have 1"),
    "type": (
        lambda it: it["objects"][0].update(instrument_type="PERPETUAL"),
        "BTCUSDT is BINANCE:SPOT_PAIR:BTC-USDT, but of BINANCE and PERPETUAL",
    ),
    "key": (
        lambda it: it["objects"][0].update(instrument_key="BINANCE:SPOT_PAIR:X"),
        "BTC-USDT is of BINANCE:SPOT_PAIR:X, its file of BINANCE:SPOT_PAIR:BTC-USDT",
    ),
    "names": (swap_names, "has the name of BINANCE:SPOT_PAIR:"),
    "no rows stored": (lambda it: it["files"][0].update(rows=0), "BTCUSDT is stored, and has no rows"),
    "empty with rows": (
        lambda it: it["files"][0].update(outcome="vendor_empty"),
        "BTCUSDT is vendor_empty, and has rows",
    ),
    "nowhere": (lambda it: it["objects"][0].update(generations={}), "BTC-USDT is not in by_date"),
    "no name": (lambda it: it["objects"][0].update(vendor_symbol=""), "objects.0.vendor_symbol: "),
    "no rows": (lambda it: it["files"][0]["stats"].update(rows=0), "files.0.stats.rows: "),
    "too many rows": (lambda it: it["files"][0].update(rows=10**30), "files.0.rows: "),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_itself_is_told_in_its_words(
    filled: TickLake, documents: dict[DataTypeDay, Any], name: str
) -> None:
    spoil, told = CONTRADICTIONS[name]
    spoil(documents[SINGLE])
    put(filled, SINGLE, documents[SINGLE])
    with pytest.raises(LakeError, match=rf"{receipt_key(SINGLE)} is not a receipt .*\({'.*'}{told}"):
        load_receipt(filled, SINGLE)
