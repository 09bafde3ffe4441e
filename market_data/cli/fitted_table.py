"""A table that fits its terminal: names are never broken, and columns without room are told below their row."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NOTHING = {"", "0", "-"}
_INDENT = 4
_NARROWEST_PROSE = 24
_AROUND, _EDGE = 3, 1  # blanks of a column, and of the table
_HELD_TOGETHER = "\0"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `is_kept` stays a column however little room there is; `is_prose` may be wrapped between words."""

    name: str
    justify: Literal["left", "right"] = "left"
    is_kept: bool = False
    is_prose: bool = False


@dataclass(slots=True)
class _Row:
    cells: Sequence[Text]
    style: str
    ends_section: bool = False


@dataclass(slots=True)
class FittedTable:
    """Rows of text under columns, of which the last ones are folded first."""

    columns: Sequence[Column]
    _rows: list[_Row] = field(default_factory=list)

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row: a cell for each column, taken as it is, without markup."""
        self._rows.append(_Row([cell if isinstance(cell, Text) else Text(cell) for cell in cells], style))

    def end_section(self) -> None:
        """Draw a line below the row that was added last."""
        if self._rows:
            self._rows[-1].ends_section = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many columns as fit, and below each row what the others say."""
        widths, folded = self._fold(options.max_width)
        if not folded:
            yield self._draw(widths, self._rows)
            return
        for number, row in enumerate(self._rows):
            yield self._draw(widths, [row], has_header=number == 0)
            if told := self._tell(row.cells, folded, options.max_width - _INDENT):
                yield Padding(Text(told, style="dim"), (0, 0, 0, _INDENT))
        yield Text()

    def _fold(self, width: int) -> tuple[Mapping[int, int], Sequence[int]]:
        """Return the widths of the columns that fit, and those that do not; prose takes what room is left."""
        shown = list(range(len(self.columns)))
        folded: list[int] = []
        widths = self._widths(shown, are_headers_whole=True)
        if _width_of(widths) > width:
            widths = self._widths(shown, are_headers_whole=False)
        for number in reversed([number for number in shown if not self.columns[number].is_kept]):
            if _width_of(widths) > width:
                del widths[number]
                folded.insert(0, number)
        for number in [number for number in widths if self.columns[number].is_prose]:
            widths[number] += max(0, min(self._widest_cell(number) - widths[number], width - _width_of(widths)))
        return widths, folded

    def _widths(self, numbers: Sequence[int], *, are_headers_whole: bool) -> dict[int, int]:
        """Return the least width of columns, below headers of one line, or of a line for each word."""
        widths = {}
        for number in numbers:
            name = self.columns[number].name
            header = len(name) if are_headers_whole else max(map(len, name.split()))
            cell = self._widest_cell(number)
            widths[number] = max(header, min(cell, _NARROWEST_PROSE) if self.columns[number].is_prose else cell)
        return widths

    def _widest_cell(self, number: int) -> int:
        return max((row.cells[number].cell_len for row in self._rows), default=0)

    def _draw(self, widths: Mapping[int, int], rows: Sequence[_Row], *, has_header: bool = True) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_header=has_header, show_edge=rows is self._rows)
        for number, width in widths.items():
            column = self.columns[number]
            header = textwrap.fill(column.name, width)
            table.add_column(header, justify=column.justify, no_wrap=not column.is_prose, overflow="fold", width=width)
        for row in rows:
            table.add_row(*(row.cells[number] for number in widths), style=row.style, end_section=row.ends_section)
        return table

    def _tell(self, cells: Sequence[Text], folded: Sequence[int], width: int) -> str:
        """Return the folded cells with the names of their columns, each pair on one line."""
        told = [(self.columns[number].name, cells[number].plain) for number in folded]
        pairs = [f"{name} {text}".replace(" ", _HELD_TOGETHER) for name, text in told if text not in _NOTHING]
        return textwrap.fill(", ".join(pairs), width, break_long_words=False, break_on_hyphens=False).replace(
            _HELD_TOGETHER, " "
        )


def _width_of(widths: Mapping[int, int]) -> int:
    return sum(width + _AROUND for width in widths.values()) + _EDGE
