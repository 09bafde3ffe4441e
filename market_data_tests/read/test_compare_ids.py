"""Whether trades are all there by their ids: over midnight too where the days beside are held, else not known."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.read.compare import check_ids
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

BEFORE, DAY, AFTER = (date(2024, 8, day) for day in (7, 8, 9))
TRADES = Selection(data_types=(DataType.TRADES,), include=("BTCUSDT",))
A_DAY = 2000  # trades
FIRST_ID = 5_000_000
HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
NONE = "no trades of the day {} are held"


def ids_of(day: date, first_id: int = FIRST_ID) -> range:
    """Give the ids of a day's trades, which go on over midnight."""
    start = first_id + (day - BEFORE).days * A_DAY
    return range(start, start + A_DAY)


def write_day(folder: Path, day: date, ids: Iterable[int]) -> None:
    """Write the vendor's file of a day: each trade at the time that its id has in the day."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000_000)
    lines = []
    for number, it in enumerate(ids):
        at = midnight + (number + 1) * 40_000_000
        lines.append(f"binance,BTCUSDT,{at},{at + 3000},{it},buy,60000.5,0.01\n")
    (folder / f"binance_trades_{day}_BTCUSDT.csv.gz").write_bytes(gzip.compress((HEADER + "".join(lines)).encode()))


def judge(folder: Path, days: Mapping[date, Iterable[int]]) -> dict[date, dict[str, object]]:
    """Fill a lake with days of these ids; give what is said of each of them."""
    files = folder / "files"
    files.mkdir(parents=True)
    for day, ids in days.items():
        write_day(files, day, ids)
    lake = open_lake((folder / "lake").as_uri())
    with run_simulator(SimulatorOptions(files=files, clock=CLOCK)) as vendor:
        for day in days:
            ingest_day(lake, vendor, "BINANCE", day, TRADES)
    rows = [row for day in days for row in check_ids(lake, "BINANCE", [day]).iter_rows(named=True)]
    together = check_ids(lake, "BINANCE", list(days))
    assert together.to_dicts() == sorted(rows, key=lambda row: row["day"])
    return {row["day"]: row for row in rows}


def test_ids_that_go_on_over_midnight_prove_the_day_in_between_complete(tmp_path: Path) -> None:
    found = judge(tmp_path, {day: ids_of(day) for day in (BEFORE, DAY, AFTER)})
    assert {row["verdict"] for row in found.values()} == {"agree"}
    within = "complete between its first and last trade"
    assert {day: row["told"] for day, row in found.items()} == {
        BEFORE: f"{within}; before: not known, {NONE.format('before')}",
        DAY: "complete",
        AFTER: f"{within}; after: not known, {NONE.format('after')}",
    }
    assert [row["edges_known"] for row in found.values()] == [False, True, False]


def test_a_day_that_lacks_its_head_and_tail_is_not_proven_complete(tmp_path: Path) -> None:
    ids = ids_of(DAY)
    found = judge(tmp_path, {BEFORE: ids_of(BEFORE), DAY: ids[500:-250], AFTER: ids_of(AFTER)})
    assert [(row["verdict"], row["missing"]) for row in found.values()] == [
        ("differ", 500),  # what lacks around midnight may be of either day
        ("differ", 750),
        ("differ", 250),
    ]
    assert found[DAY]["ranges"] == [
        f"{ids[0]} to {ids[499]} (500), since the last trade of the day before",
        f"{ids[-250]} to {ids[-1]} (250), until the first trade of the day after",
    ]


def test_where_no_day_beside_is_held_only_what_is_in_between_is_proven(tmp_path: Path) -> None:
    (row,) = judge(tmp_path, {DAY: ids_of(DAY)[500:-250]}).values()
    assert (row["verdict"], row["edges_known"], row["missing"]) == ("agree", False, 0)
    assert row["told"] == (
        "complete between its first and last trade; "
        f"before: not known, {NONE.format('before')}; after: not known, {NONE.format('after')}"
    )


def test_trades_of_one_moment_on_both_sides_of_midnight_are_not_missing(tmp_path: Path) -> None:
    before, day = list(ids_of(BEFORE)), list(ids_of(DAY))
    before[-1], day[0] = day[0], before[-1]
    found = judge(tmp_path, {BEFORE: before, DAY: day, AFTER: ids_of(AFTER)})
    assert [(row["verdict"], row["missing"]) for row in found.values()] == [("agree", 0)] * 3
    assert found[DAY]["told"] == "complete"


@pytest.mark.parametrize("first_id", [10, 10**12])
def test_a_venue_that_counts_anew_proves_nothing_over_midnight(tmp_path: Path, first_id: int) -> None:
    found = judge(tmp_path, {BEFORE: ids_of(BEFORE), DAY: range(first_id, first_id + A_DAY)})
    for row, name in ((found[BEFORE], "after"), (found[DAY], "before")):
        assert (row["verdict"], row["missing"], row["edges_known"]) == ("agree", 0, False)
        assert f"{name}: not known, the ids of the day {name} are another count" in str(row["told"])


def test_blocks_taken_out_anywhere_are_just_what_is_missing(tmp_path: Path) -> None:
    for seed in range(6):
        generator = random.Random(seed)
        first = ids_of(BEFORE)[0]
        # one block within each day, and one on or beside each midnight: more would leave too few steps of one
        blocks = [(generator.randrange(300, A_DAY - 300) + A_DAY * day, 30) for day in range(3)]
        blocks += [(A_DAY * day - generator.choice([0, 20, 40]), 40) for day in (1, 2)]
        gone = {first + start + it for start, length in blocks for it in range(length)}
        kept = {day: [it for it in ids_of(day) if it not in gone] for day in (BEFORE, DAY, AFTER)}
        row = judge(tmp_path / str(seed), kept)[DAY]
        between = range(kept[BEFORE][-1] + 1, kept[AFTER][0])
        assert row["missing"] == len(gone & set(between))
        assert row["verdict"] == "differ"
