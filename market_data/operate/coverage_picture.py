"""Coverage as a picture: a column for each day, a row for each venue and, below it, for each of its data types."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl
from PIL import Image, ImageColor, ImageDraw, ImageFont

from market_data.operate.coverage import (
    COMPLETE,
    DELETED,
    INCOMPLETE,
    NOT_RUN,
    REPLACING,
    STATES,
    describe_quality,
    summarize_venue_days,
)

LARGEST_PICTURE_BYTES = 100_000
_NOTHING_EXPECTED = "nothing expected"
# Told apart also by those who do not see red and green. Where days share a column, the first of these wins.
_COLOURS = {
    INCOMPLETE: "#d1495b",
    REPLACING: "#edae49",
    DELETED: "#8b93a1",
    NOT_RUN: "#d9dce1",
    COMPLETE: "#2a8c82",
    _NOTHING_EXPECTED: "#b9ded9",
}
_INK, _QUIET_INK, _PAPER = "#1d2330", "#6b7280", "#ffffff"
_INK_SHADES = 12
_MARGIN, _LINE, _INDENT, _VENUE_GAP, _GAP = 12, 16, 12, 8, 12
# with its texts it fits the dialog in which Dagster shows it; a month is 31 of the widest cells
_CHART_WIDTH, _WIDEST_CELL, _NARROWEST_CELL_WITH_GAP = 434, 14, 4
_NARROWEST_PICTURE = 720
_MOST_ROWS = 240

# What the texts at the right of the chart are; "has rows": of the time looked at, unless the market itself was silent.
_COLUMNS = ("complete", "has rows", "worst cause", "verifiable")
_COLUMN_GAP = 8

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the chart: `states` by day, and the texts at its right by `_COLUMNS`."""

    label: str
    is_venue: bool
    states: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Chart:
    """What is drawn; each column stands for `days_per_column` days and shows the worst of them."""

    days: Sequence[date]
    rows: Sequence[_Row]
    counts: Mapping[str, int]
    title: str
    days_per_column: int

    @property
    def columns(self) -> int:
        return -(-len(self.days) // self.days_per_column)

    @property
    def cell_width(self) -> float:
        return min(_WIDEST_CELL, _CHART_WIDTH / self.columns)

    @property
    def width(self) -> int:
        return round(self.columns * self.cell_width)


def draw_coverage(frame: pl.DataFrame) -> bytes:
    """Return a coverage frame (`measure_coverage`, at least one row) as a PNG below 100 KB.

    Where there are too many days or data types for that, several days share a column (it shows the worst of them), or
    only venues are drawn; the picture says so.
    """
    days = frame["day"].unique().sort().to_list()
    rows = list(_rows(frame))
    title = f"Coverage {days[0]} to {days[-1]} (UTC days)"
    if len(rows) > _MOST_ROWS:
        rows = [row for row in rows if row.is_venue]
        title += "; data types left out: choose fewer venues to see them"
    chart = _Chart(days, rows, _counts(frame), title, -(-len(days) // _CHART_WIDTH))
    while len(picture := _draw(chart)) >= LARGEST_PICTURE_BYTES:
        chart = replace(chart, days_per_column=chart.days_per_column * 2)
    return picture


def _rows(frame: pl.DataFrame) -> Iterator[_Row]:
    """Yield each venue, all of its data types together, and then each of its data types."""
    units = _shown(frame).partition_by("venue", as_dict=True)
    for venue, part in _shown(summarize_venue_days(frame)).partition_by("venue", as_dict=True).items():
        yield _row(str(venue[0]), part["shown"], units[venue], is_venue=True)
        for data_type, own in units[venue].partition_by("data_type", as_dict=True).items():
            yield _row(str(data_type[0]), own["shown"], own, is_venue=False)


def _row(label: str, states: pl.Series, units: pl.DataFrame, *, is_venue: bool) -> _Row:
    whole = states.is_in([COMPLETE, _NOTHING_EXPECTED]).sum()
    return _Row(label, is_venue, tuple(states), (f"{whole:,}/{states.len():,}", *describe_quality(units)))


def _is_idle() -> pl.Expr:
    return (pl.col("state") == COMPLETE) & (pl.col("expected") == 0)


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(shown=pl.when(_is_idle()).then(pl.lit(_NOTHING_EXPECTED)).otherwise("state"))


def _counts(frame: pl.DataFrame) -> dict[str, int]:
    counts = {state: frame.filter(pl.col("state") == state).height for state in STATES}
    return counts | {_NOTHING_EXPECTED: frame.filter(_is_idle()).height}


def _draw(chart: _Chart) -> bytes:
    font = ImageFont.load_default(12)
    left = _MARGIN + _GAP + max(int(font.getlength(row.label)) + _indent(row) for row in chart.rows)
    top = _MARGIN + 3 * _LINE + 4
    right = left + chart.width
    height = top + sum(_LINE + (_VENUE_GAP if row.is_venue else 0) for row in chart.rows) + _MARGIN
    at_right = max(right, left + int(font.getlength("2024-08-08"))) + _GAP
    columns = _lay_out(chart, at_right, font)
    width = max(columns.pop(), _NARROWEST_PICTURE)
    image = Image.new("RGB", (width, height), _PAPER)
    canvas = ImageDraw.Draw(image)
    note = "" if chart.days_per_column == 1 else f"; a column is {chart.days_per_column} days and shows the worst"
    canvas.text((_MARGIN, _MARGIN), chart.title + note, fill=_INK, font=font)
    _draw_legend(canvas, chart, font)
    _draw_dates(canvas, chart, (left, top - 2), font)
    for x, name in zip(columns, _COLUMNS, strict=True):
        canvas.text((x, top - 2), name, fill=_QUIET_INK, font=font, anchor="ls")
    y = top
    for row in chart.rows:
        y += _VENUE_GAP if row.is_venue else 0
        _draw_row(canvas, chart, row, (left, y), font)
        for x, text in zip(columns, row.texts, strict=True):
            canvas.text((x, y), text, fill=_INK if row.is_venue else _QUIET_INK, font=font)
        y += _LINE
    return _encode(image)


def _lay_out(chart: _Chart, left: int, font: _Font) -> list[int]:
    """Return where each column of texts begins, and where the last one ends."""
    places = [left]
    for number, name in enumerate(_COLUMNS):
        widest = max(int(font.getlength(text)) for text in (name, *(row.texts[number] for row in chart.rows)))
        places.append(places[-1] + widest + _COLUMN_GAP)
    return places


def _indent(row: _Row) -> int:
    return 0 if row.is_venue else _INDENT


def _draw_legend(canvas: ImageDraw.ImageDraw, chart: _Chart, font: _Font) -> None:
    texts = {
        COMPLETE: f"complete {chart.counts[COMPLETE]:,}",
        _NOTHING_EXPECTED: f"of them nothing expected {chart.counts[_NOTHING_EXPECTED]:,}",
        INCOMPLETE: f"incomplete {chart.counts[INCOMPLETE]:,}",
        REPLACING: f"replacing {chart.counts[REPLACING]:,}",
        NOT_RUN: f"not run {chart.counts[NOT_RUN]:,}",
        **({DELETED: f"deleted {chart.counts[DELETED]:,}"} if chart.counts[DELETED] else {}),
    }
    x, y = _MARGIN, _MARGIN + _LINE + 4
    for state, text in texts.items():
        canvas.rectangle((x, y + 2, x + 10, y + 12), fill=_COLOURS[state])
        canvas.text((x + _LINE, y), text, fill=_INK, font=font)
        x += _LINE + int(canvas.textlength(text, font)) + _LINE


def _draw_dates(canvas: ImageDraw.ImageDraw, chart: _Chart, corner: tuple[int, int], font: _Font) -> None:
    """Write as many dates above the chart as there is room for."""
    left, baseline = corner
    label_width = int(canvas.textlength("2024-08-08", font))
    right = left + chart.width
    columns = chart.days[:: chart.days_per_column]
    for number in range(0, len(columns), math.ceil((label_width + _GAP) / chart.cell_width)):
        x = left + round(number * chart.cell_width)
        if x == left or x + label_width <= right:
            canvas.text((x, baseline), columns[number].isoformat(), fill=_QUIET_INK, font=font, anchor="ls")


def _draw_row(canvas: ImageDraw.ImageDraw, chart: _Chart, row: _Row, corner: tuple[int, int], font: _Font) -> None:
    left, y = corner
    ink = _INK if row.is_venue else _QUIET_INK
    canvas.text((_MARGIN + _indent(row), y), row.label, fill=ink, font=font)
    gap = 1 if chart.cell_width >= _NARROWEST_CELL_WITH_GAP else 0
    for column in range(chart.columns):
        held = set(row.states[column * chart.days_per_column : (column + 1) * chart.days_per_column])
        worst = next(state for state in _COLOURS if state in held)
        begin, end = (left + round(number * chart.cell_width) for number in (column, column + 1))
        canvas.rectangle((begin, y + 1, end - 1 - gap, y + _LINE - 3), fill=_COLOURS[worst])


def _encode(image: Image.Image) -> bytes:
    """Return a PNG with a palette of exactly our colours: one that is fitted to the picture loses the rare ones."""
    shades = [_shade(ink, step / _INK_SHADES) for ink in (_INK, _QUIET_INK) for step in range(1, _INK_SHADES + 1)]
    colours = [ImageColor.getrgb(colour)[:3] for colour in (_PAPER, *_COLOURS.values())]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in (*colours, *shades) for value in colour])
    buffer = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _shade(ink: str, share: float) -> tuple[int, ...]:
    """Mix ink with paper, as the edges of letters do."""
    pairs = zip(ImageColor.getrgb(ink), ImageColor.getrgb(_PAPER), strict=True)
    return tuple(round(dark * share + light * (1 - share)) for dark, light in pairs)
