"""The book of an instrument's day, rebuilt from its L2 rows, with the snapshots held against it on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.book import NO_SNAPSHOTS, Book, Tops, following, rows_of, snapshots_of
from market_data.quality.book_kernel import Ints, SnapshotArrays, Streams
from market_data.quality.lapses import (
    LEAST_ALIVE_US,
    Spans,
    alive_for,
    far_apart,
    silences_between,
    without_silences,
)
from market_data.quality.merge_kernel import Changes

Batches = Callable[[], Iterator[pl.DataFrame]]

L2 = DataType.INCREMENTAL_BOOK_L2
SNAPSHOTS = {DataType.BOOK_SNAPSHOT_25: 25, DataType.BOOK_SNAPSHOT_5: 5}
_LATEST = np.iinfo(np.int64).max
_LONGEST_SPANS = 5


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison: how many instants (or rows) were compared and equal, a number that rules judge, where it differs.

    `data_types` are what is compared, the accused first. `value` is None where it cannot be judged, `why` says why.
    """

    name: str
    data_types: tuple[DataType, ...]
    compared: int = 0
    equal: int = 0
    value: float | None = None
    why: str | None = None
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DayBefore:
    """How the book of the day before ended: its last best prices, and when its last message came."""

    bid: float
    ask: float
    time_us: int


@dataclass(slots=True)
class BookDay:
    """What a day's L2 shows: the tops, in the order of time, and what was counted on the way.

    `silences` are spans that begin `alive_us` after one message and end with the next: what was the best then is not
    known. In them nothing is held against the book.
    """

    tops: Changes
    compared: dict[DataType, Compared] = field(default_factory=dict)
    crossed: Spans = field(default_factory=list)
    unknown_removals: tuple[int, int] = (0, 0)
    corrections: tuple[int, int] = (0, 0)
    messages: int = 0
    last_us: int = 0
    silences: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    alive_us: int = LEAST_ALIVE_US

    @property
    def tick(self) -> float:
        """The smallest step of best prices."""
        prices = np.unique(self.tops.levels[:, [0, 2]])
        steps = np.diff(prices[~np.isnan(prices)])
        return float(steps.min()) if steps.size else 0.0

    @property
    def interval_us(self) -> float:
        """The usual time between two messages."""
        span = self.last_us - int(self.tops.times[0]) if len(self.tops.times) else 0
        return span / max(self.messages - 1, 1)


def build_book(held: Mapping[DataType, Batches]) -> BookDay:
    """Return what L2 shows, with the snapshots held against it at the end of each message."""
    streams = [_SnapshotStream(data_type, held) for data_type in SNAPSHOTS]
    book, tops, arrivals = Book(), [], [np.empty(0, np.int64)]
    last_us = 0
    for batch in held[L2]():
        rows, at = rows_of(batch), 0
        arrivals.append(far_apart(rows.times, last_us))
        while at < len(rows.times):
            at, more = book.add(rows, at, _arrays(streams), min(stream.until for stream in streams))
            tops.append(more)
            for number, stream in enumerate(streams):
                if at < len(rows.times) and rows.times[at] > stream.until:
                    stream.advance()
                    book.next_snapshots(number)
        last_us = int(rows.times[-1]) if len(rows.times) else last_us
    tops.append(book.end(_arrays(streams)))
    compared = {
        stream.data_type: _compared_of(book, number, stream.data_type, last_us)
        for number, stream in enumerate(streams)
        if stream.data_type in held
    }
    changes = _together(tops)
    first_us = int(changes.times[0]) if len(changes.times) else last_us
    alive_us = alive_for(last_us - first_us, len(changes.times))
    silences = silences_between(np.concatenate(arrivals), alive_us)
    return BookDay(
        changes,
        compared,
        without_silences(_crossed_spans(changes, last_us), silences),
        book.unknown_removals,
        book.corrections,
        book.messages,
        last_us,
        silences,
        alive_us,
    )


class _SnapshotStream:
    """The rows of a snapshot type, batch by batch."""

    def __init__(self, data_type: DataType, held: Mapping[DataType, Batches]) -> None:
        self.data_type = data_type
        self._levels = SNAPSHOTS[data_type]
        self._batches = held[data_type]() if data_type in held else iter(())
        self.arrays = SnapshotArrays(NO_SNAPSHOTS.times, np.empty((0, 4 * self._levels)))
        self._next: pl.DataFrame | None = None
        self._load()
        self.advance()

    def _load(self) -> None:
        self._next = next((batch for batch in self._batches if not batch.is_empty()), None)

    @property
    def until(self) -> int:
        """Up to when the book may go on with the rows at hand: the next ones may begin at the instant of the last."""
        return _LATEST if self._next is None else int(self.arrays.times[-1]) - 1

    def advance(self) -> None:
        """Take the next rows."""
        if self._next is not None:
            self.arrays = following(self.arrays, snapshots_of(self._next, self._levels))
            self._load()


def _arrays(streams: Sequence[_SnapshotStream]) -> Streams:
    return Streams(streams[0].arrays, streams[1].arrays)


def _together(tops: Sequence[Tops]) -> Changes:
    return Changes(np.concatenate([it.times for it in tops]), np.concatenate([it.levels for it in tops]))


def _compared_of(book: Book, number: int, data_type: DataType, last_us: int) -> Compared:
    compared, equal = book.compared(number)
    spans = spans_of(book.equal_changes(number), last_us)
    value = (compared - equal) / compared if compared else None
    why = None if compared else "none of its rows falls between the first image of the book and its end"
    name = f"{data_type.value.removeprefix('book_')}_unlike_book"
    return Compared(name, (data_type, L2), compared, equal, value, why, longest_of(spans))


def spans_of(changes: Ints, end_us: int) -> Spans:
    """Return the spans of disagreement in (time, agree) as that changed."""
    spans, since = [], None
    for time, is_agreed in changes.tolist():
        if not is_agreed:
            since = time
        elif since is not None:
            spans.append((since, time))
            since = None
    return [*spans, (since, max(end_us, since))] if since is not None else spans


def longest_of(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the longest spans, those that are told."""
    return tuple(sorted(spans, key=lambda span: span[0] - span[1])[:_LONGEST_SPANS])


def _crossed_spans(tops: Changes, end_us: int) -> Spans:
    is_fine = ~(tops.levels[:, 0] >= tops.levels[:, 2])  # NaN compares as neither
    flips = np.nonzero(np.diff(np.concatenate(([True], is_fine)).astype(np.int8)))[0]
    return spans_of(np.column_stack((tops.times[flips], is_fine[flips])), end_us)
