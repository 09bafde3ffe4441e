"""A lake with one copy of what it publishes: the reader needs no other, and the README's view stands for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from market_data.lake.keys import LAYOUTS
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.read import find_instruments, scan_ticks
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.copied import README, blocks_of
from market_data_tests.filled_lake import CLOCK, ingest_day

DAYS = (date(2024, 8, 8), date(2024, 8, 9))
END = DAYS[-1] + timedelta(days=1)
SPOT = Selection((DataType.TRADES, DataType.QUOTES), include=("BTCUSDT", "ETHUSDT"))


def _fill(folder: Path, vendor: RunningSimulator, layouts: tuple[str, ...]) -> None:
    for venue in ("BINANCE", "BINANCE-FUTURES"):
        for day in DAYS:
            ingest_day(open_lake(folder.as_uri()), vendor, venue, day, SPOT, layouts=layouts)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The same days in one layout and in all."""
    one, every = (tmp_path_factory.mktemp(name) / "lake" for name in ("one", "every"))
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as vendor:
        _fill(one, vendor, ("by_date",))
        _fill(every, vendor, LAYOUTS)
        yield one, every


@pytest.mark.parametrize("asked", [{}, {"venues": "binance"}, {"instrument_types": "PERPETUAL", "base": "BTC"}])
def test_the_reader_finds_the_same_in_one_layout_as_in_three(folders: tuple[Path, Path], asked: dict[str, Any]) -> None:
    one, every = (scan_ticks("trades", start=DAYS[0], end=END, lake=folder.as_uri(), **asked) for folder in folders)
    assert not one.collect().is_empty()
    assert one.collect().equals(every.collect())
    assert [path.name for path in (folders[0] / "ticks").iterdir()] == ["by_date"]
    in_one, in_every = (find_instruments(base="BTC", lake=folder.as_uri()) for folder in folders)
    assert in_one.height > 0
    assert in_one.equals(in_every)


def test_the_next_run_takes_the_copies_of_other_layouts_away(tmp_path: Path) -> None:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as vendor:
        for layouts in (LAYOUTS, ("by_date",)):
            ingest_day(open_lake(tmp_path.as_uri()), vendor, "BINANCE", DAYS[0], SPOT, layouts=layouts)
    files = [path.relative_to(tmp_path / "ticks") for path in tmp_path.glob("ticks/**/*.parquet")]
    assert {path.parts[0] for path in files} == {"by_date"}
    assert len(files) == len(SPOT.data_types) * len(SPOT.include)


def test_a_view_over_one_layout_is_the_other_two(folders: tuple[Path, Path]) -> None:
    (block,) = (block for block in blocks_of(README.read_text(encoding="utf-8")) if block.language == "sql")
    view, as_by_venue, as_by_type = filter(None, map(str.strip, _without_comments(block.text).split(";")))
    with duckdb.connect() as engine:
        engine.sql(view.replace("<lake>", str(folders[0])))
        found = [engine.sql(query).pl() for query in (as_by_venue, as_by_type)]
        plan = engine.sql(f"explain analyze {as_by_venue}").fetchall()[0][1]
    window: dict[str, Any] = {"start": DAYS[0], "end": END, "lake": folders[1].as_uri()}
    expected = [
        scan_ticks("trades", venues="binance", layout="by_venue", **window).collect(),
        scan_ticks("trades", instrument_types="PERPETUAL", layout="by_type", **window | {"end": DAYS[1]}).collect(),
    ]
    for rows, wanted in zip(found, expected, strict=True):
        assert rows.height == wanted.height > 0
        assert _counts(rows).equals(_counts(wanted))
    # of 2 venues, 2 instruments and 2 days those of one venue are opened
    assert "Total Files Read: 4" in plan


def _without_comments(text: str) -> str:
    return "\n".join(line.partition("--")[0] for line in text.splitlines())


def _counts(rows: pl.DataFrame) -> pl.DataFrame:
    by_day = rows.group_by("date", "instrument_key").agg(pl.len(), pl.sum("amount").round(6))
    return by_day.sort("date", "instrument_key")
