"""An order book rebuilt from `incremental_book_L2`, looked at where a message ends.

A message is the rows of one `local_timestamp`: the vendor gives all rows of a message one, and what shares it cannot be
parted (docs.tardis.dev, "incremental_book_L2"). Rows before the first image are ignored, as are levels of amount 0 in
an image and removals of levels that are not there. A message of an image replaces the book (so it does in the vendor's
own `OrderBook`, tardis-node): also where a venue sends nothing else.

Prices are compared as the doubles that they are: both sides of a comparison come from the same decimal text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from market_data.quality.book_kernel import (
    COMPARED,
    CORRECTED,
    EQUAL,
    HAS_IMAGE,
    IMAGES,
    IS_EQUAL,
    IS_OPEN,
    MESSAGES,
    REMOVALS,
    SLOTS,
    STREAMS,
    TIME,
    UNKNOWN,
    Floats,
    Held,
    Ints,
    RowArrays,
    SnapshotArrays,
    Streams,
    Written,
    apply,
    look,
)
from market_data.quality.compiled import read_only

_ROOM = 4096
NO_SNAPSHOTS = SnapshotArrays(np.empty(0, np.int64), np.empty((0, 4)))


@dataclass(frozen=True, slots=True)
class Tops:
    """The best levels after messages that changed them; times in microseconds, NaN where a side is empty.

    `levels` has a row for each: bid, its amount, ask, its amount.
    """

    times: Ints
    levels: Floats

    def __len__(self) -> int:
        return len(self.times)


class Book:
    """The book of one instrument: `add` rows of L2 in their order, then `end`; counters are of all so far.

    Two streams of snapshots are held against the book at the end of each message, from the first of them on: the one
    in force is the last that is not after the message.
    """

    def __init__(self) -> None:
        state = np.zeros(SLOTS, np.int64)
        state[TIME] = np.iinfo(np.int64).min
        for stream in STREAMS:
            state[stream], state[stream + IS_EQUAL] = -1, 1
        self._held = Held(np.zeros((2, 2, _ROOM)), np.zeros((2, 2, _ROOM)), np.zeros(2, np.int64), state)
        self._last = np.full(4, np.nan)
        self._equal_changes: list[Ints] = []

    @property
    def messages(self) -> int:
        """How many messages there were."""
        return int(self._held.state[MESSAGES])

    @property
    def has_image(self) -> bool:
        """Whether there was an image, without which nothing is known."""
        return bool(self._held.state[HAS_IMAGE])

    @property
    def unknown_removals(self) -> tuple[int, int]:
        """How many removals there were of levels that are not there, and of all."""
        return int(self._held.state[UNKNOWN]), int(self._held.state[REMOVALS])

    @property
    def corrections(self) -> tuple[int, int]:
        """How many of the best levels images after the first had otherwise than the book, and how many such images."""
        return int(self._held.state[CORRECTED]), max(0, int(self._held.state[IMAGES]) - 1)

    def compared(self, stream: int) -> tuple[int, int]:
        """Return how many messages were held against snapshots of the first or second stream, and how many equalled."""
        first = STREAMS[stream]
        return int(self._held.state[first + COMPARED]), int(self._held.state[first + EQUAL])

    def equal_changes(self, stream: int) -> Ints:
        """Return when the book began to differ from the snapshot in force (0), and to equal it again (1), in order."""
        every = np.concatenate([np.empty((0, 3), np.int64), *self._equal_changes])
        return every[every[:, 2] == STREAMS[stream], :2]

    def add(self, rows: RowArrays, start: int, streams: Streams, until: int) -> tuple[int, Tops]:
        """Apply rows from `start` while they are not after `until`; return the next row, and the tops that changed.

        The last message is looked at once the row after it is there, or with `end`.
        """
        rows, streams = RowArrays._make(map(read_only, rows)), _read_only(streams)
        out = self._room_for(len(rows.times) - start)
        written, at = 1, start
        while True:
            rest = Written(out.tops[written - 1 :], out.times[written - 1 :], out.equal)
            at, more, compared = apply(rows, self._held, streams, rest, (at, until))
            written += more - 1
            self._equal_changes.append(out.equal[:compared].copy())
            if at >= len(rows.times) or rows.times[at] > until:
                return at, self._tops(out, written)
            self._grow()

    def next_snapshots(self, stream: int) -> None:
        """Begin with the first of a stream's next snapshots, which is the last of those before (`following`)."""
        self._held.state[STREAMS[stream]] = -1

    def end(self, streams: Streams) -> Tops:
        """Look at the last message."""
        out = self._room_for(0)
        is_open = self.has_image and self._held.state[IS_OPEN]
        written, compared = look(self._held, _read_only(streams), out, 1, 0) if is_open else (1, 0)
        self._equal_changes.append(out.equal[:compared])
        return self._tops(out, written)

    def _room_for(self, rows: int) -> Written:
        size = rows + 2  # a message changes the top once at most
        out = Written(np.empty((size, 4)), np.empty(size, np.int64), np.empty((2 * size, 3), np.int64))
        out.tops[0] = self._last
        return out

    def _tops(self, out: Written, written: int) -> Tops:
        self._last = out.tops[written - 1].copy()
        return Tops(out.times[1:written].copy(), out.tops[1:written].copy())

    def _grow(self) -> None:
        levels, old = (np.concatenate([it, np.zeros_like(it)], axis=2) for it in (self._held.levels, self._held.old))
        self._held = Held(levels, old, self._held.old_counts, self._held.state)


def _read_only(streams: Streams) -> Streams:
    return Streams._make(SnapshotArrays._make(map(read_only, stream)) for stream in streams)


def rows_of(batch: pl.DataFrame) -> RowArrays:
    """Return the arrays of published rows of `incremental_book_L2`."""
    flags = (batch["is_snapshot"].to_numpy(), (batch["side"] == "bid").to_numpy())
    return RowArrays(arrivals_of(batch), *flags, batch["price"].to_numpy(), batch["amount"].to_numpy())


def snapshots_of(batch: pl.DataFrame, levels: int) -> SnapshotArrays:
    """Return the arrays of published rows of a snapshot type."""
    names = [f"{side}_{what}_{at}" for at in range(levels) for side in ("ask", "bid") for what in ("price", "amount")]
    return SnapshotArrays(arrivals_of(batch), np.ascontiguousarray(batch.select(names).to_numpy()))


def following(last: SnapshotArrays, rows: SnapshotArrays) -> SnapshotArrays:
    """Return rows with the last of those before them in front."""
    if not len(last.times):
        return rows
    return SnapshotArrays(
        np.concatenate([last.times[-1:], rows.times]), np.concatenate([last.levels[-1:], rows.levels])
    )


def arrivals_of(batch: pl.DataFrame) -> Ints:
    """Return `local_timestamp` in microseconds; a read-only view, no copy."""
    return read_only(batch["local_timestamp"].to_numpy().view(np.int64))
