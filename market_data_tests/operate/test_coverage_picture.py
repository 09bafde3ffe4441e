"""The picture of coverage shows each unit in its state's colour, and stays small."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image, ImageColor

from market_data.cli.commands import coverage_command
from market_data.model.data_types import DataType
from market_data.model.venues import VENUES
from market_data.operate.coverage import COVERAGE_SCHEMA, FILE_COUNTS, SIZES, STATES
from market_data.operate.coverage_picture import LARGEST_PICTURE_BYTES, draw_coverage
from market_data.operate.coverage_sketch import sketch_coverage

COMPLETE, IDLE, INCOMPLETE, REPLACING, NOT_RUN = "#2a8c82", "#b9ded9", "#d1495b", "#edae49", "#d9dce1"
CELL_PIXELS = 13 * 13  # one of the widest cells
LEGEND_PIXELS = 11 * 11
FIRST = date(2024, 8, 8)


def _frame(states: Mapping[tuple[str, str, date], str], *, expected: int = 1) -> pl.DataFrame:
    counts = dict.fromkeys((*FILE_COUNTS, *SIZES), expected)
    rows = [
        {"venue": venue, "data_type": data_type, "day": day, "state": state, **counts, "cause": None}
        for (venue, data_type, day), state in states.items()
    ]
    return pl.DataFrame(rows, schema=COVERAGE_SCHEMA).sort("venue", "data_type", "day")


def _noise(venues: int, data_types: int, days: int) -> pl.DataFrame:
    keys = {
        "venue": sorted(VENUES[:venues]),
        "data_type": sorted(data_type.value for data_type in list(DataType)[:data_types]),
        "day": [FIRST + timedelta(days=day) for day in range(days)],
    }
    units = pl.DataFrame()
    for name, values in keys.items():
        units = (
            pl.DataFrame({name: values}) if units.is_empty() else units.join(pl.DataFrame({name: values}), how="cross")
        )
    states = pl.Series("state", random.Random(1).choices(STATES, k=units.height))
    counts = {name: pl.lit(1, pl.Int64) for name in (*FILE_COUNTS, *SIZES)}
    noise = units.with_columns(states, **counts)
    others = {name: kind for name, kind in COVERAGE_SCHEMA.items() if name not in noise.columns}
    return noise.with_columns(pl.lit(None, kind).alias(name) for name, kind in others.items()).select(
        COVERAGE_SCHEMA.names()
    )


def _pixels(picture: bytes) -> dict[str, int]:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    counts = {colour: count for count, colour in image.getcolors(2**24) or ()}
    return {name: counts.get(ImageColor.getrgb(name), 0) for name in (COMPLETE, IDLE, INCOMPLETE, REPLACING, NOT_RUN)}


def _cells(frame: pl.DataFrame) -> dict[str, int]:
    """Count the cells of each colour, without the legend's."""
    return {name: (pixels - LEGEND_PIXELS) // CELL_PIXELS for name, pixels in _pixels(draw_coverage(frame)).items()}


def test_each_unit_and_each_venue_day_is_a_cell_of_its_state() -> None:
    days = [FIRST + timedelta(days=offset) for offset in range(4)]
    states = dict(zip(days, ("complete", "incomplete", "replacing", "not_run"), strict=True))
    frame = _frame({("BINANCE", data_type, day): states[day] for data_type in ("quotes", "trades") for day in days})
    # two data types and the venue itself
    assert _cells(frame) == {COMPLETE: 3, IDLE: 0, INCOMPLETE: 3, REPLACING: 3, NOT_RUN: 3}


def test_a_rare_state_keeps_its_colour() -> None:
    days = [FIRST + timedelta(days=offset) for offset in range(30)]
    states = dict.fromkeys([(venue, "trades", day) for venue in VENUES[:20] for day in days], "complete")
    states[VENUES[3], "trades", days[17]] = "replacing"
    cells = _cells(_frame(states))
    assert (cells[REPLACING], cells[COMPLETE]) == (2, 2 * (20 * 30 - 1))


def test_a_complete_day_of_which_nothing_was_expected_looks_different() -> None:
    assert _cells(_frame({("BINANCE", "trades", FIRST): "complete"}, expected=0))[IDLE] == 2


@pytest.mark.parametrize(
    ("venues", "data_types", "days"), [(1, 1, 1), (4, 5, 30), (14, 7, 365), (26, 9, 880), (len(VENUES), 9, 2700)]
)
def test_the_picture_is_a_png_below_100_kb_however_much_there_is(venues: int, data_types: int, days: int) -> None:
    picture = draw_coverage(_noise(venues, data_types, days))
    assert len(picture) < LARGEST_PICTURE_BYTES == 100_000
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    assert image.width <= 1000


def test_where_days_share_a_column_the_worst_of_them_shows() -> None:
    days = [FIRST + timedelta(days=offset) for offset in range(2000)]
    states = {("BINANCE", "trades", day): "complete" for day in days}
    whole = _pixels(draw_coverage(_frame(states)))
    assert whole[INCOMPLETE] == LEGEND_PIXELS
    states["BINANCE", "trades", days[1001]] = "incomplete"
    assert _pixels(draw_coverage(_frame(states)))[INCOMPLETE] > LEGEND_PIXELS


@pytest.mark.parametrize(("venues", "days"), [(1, 1), (4, 30), (60, 31), (60, 366)])
def test_the_sketch_has_each_venue_once_in_texts_that_are_short_enough(venues: int, days: int) -> None:
    texts = list(sketch_coverage(_noise(venues, 2, days), 900))
    assert max(map(len, texts)) <= 900
    lines = [line for text in texts for line in text.splitlines()[2:]]
    assert [line.split()[0] for line in lines[::2]] == sorted(VENUES[:venues])
    assert {len(line) for line in lines[1::2]} == {-(-days // -(-days // 31))}


def test_the_same_frame_gives_the_same_bytes() -> None:
    assert draw_coverage(_noise(3, 3, 30)) == draw_coverage(_noise(3, 3, 30))


def test_the_command_writes_the_picture(tmp_path: Path) -> None:
    (tmp_path / "venues.yaml").write_text("venues: {binance: {data_types: [trades]}}")
    environment = {
        "MARKET_DATA_CONFIG": str(tmp_path / "venues.yaml"),
        "MARKET_DATA_LAKE_URL": (tmp_path / "lake").as_uri(),
        "MARKET_DATA_VENDOR": "tardis",
    }
    picture = tmp_path / "coverage.png"
    result = CliRunner().invoke(coverage_command, ["--picture", str(picture)], env=environment)
    assert result.exit_code == 0, result.output
    # 30 days of one venue and its one data type
    assert (_pixels(picture.read_bytes())[NOT_RUN] - LEGEND_PIXELS) // CELL_PIXELS == 60
