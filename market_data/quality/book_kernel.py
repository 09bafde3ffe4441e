"""The compiled part of `book.py`: rows of L2 applied to a book, which is looked at after each message.

Levels of a side lie from the worst to the best price, so that what changes near the touch moves little.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from market_data.quality.compiled import compiled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LEVELS = 25
_BID, _ASK = 0, 1
# of `state`: levels of the bid and of the ask, whether there was an image, whether the last row was of one, the last
# message's time; counters; whether the last message was not looked at yet; then for each of two streams of snapshots:
# which is in force, whether the book equalled it last, how many messages were compared, and how many were equal
N_BID, N_ASK, HAS_IMAGE, IN_IMAGE, TIME = range(5)
UNKNOWN, BEFORE_IMAGE, IMAGES, CORRECTED, MESSAGES, REMOVALS = range(5, 11)
IS_OPEN = 11
STREAMS = (12, 16)
IS_EQUAL, COMPARED, EQUAL = 1, 2, 3
SLOTS = 20
# What compiled functions hand to each other: numba compiles a function anew for each constant of Python's int.
ZERO, _ONE = cast("int", np.int64(0)), cast("int", np.int64(1))
_FIRST, _SECOND = cast("int", np.int64(STREAMS[0])), cast("int", np.int64(STREAMS[1]))


class RowArrays(NamedTuple):
    """Rows of L2: arrival (us), whether of an image, whether of the bid, price, amount."""

    times: Ints
    is_image: Flags
    is_bid: Flags
    prices: Floats
    amounts: Floats


class Held(NamedTuple):
    """A book (`levels[side, 0]` prices, `levels[side, 1]` amounts), that before the last image, and the state."""

    levels: Floats
    old: Floats
    old_counts: Ints
    state: Ints


class SnapshotArrays(NamedTuple):
    """Rows of a snapshot type: arrival (us), and ask price, its amount, bid price, its amount by level."""

    times: Ints
    levels: Floats


class Streams(NamedTuple):
    """Two streams of snapshots that the book is held against."""

    first: SnapshotArrays
    second: SnapshotArrays


class Written(NamedTuple):
    """What is seen: tops (bid, its amount, ask, its amount), their times; (time, is equal, stream) as that changes."""

    tops: Floats
    times: Ints
    equal: Ints


@compiled
def _set_level(levels: Floats, count: int, price: float, amount: float, sign: float) -> tuple[int, bool]:
    """Set or remove one level of a side (`sign` is 1 for bids, -1 for asks).

    Return how many there are, and whether a level was removed that was not there.
    """
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if sign * levels[0, middle] < sign * price:
            low = middle + 1
        else:
            high = middle
    is_there = low < count and levels[0, low] == price
    if amount == 0.0:
        if not is_there:
            return count, True
        for index in range(low, count - 1):
            levels[0, index] = levels[0, index + 1]
            levels[1, index] = levels[1, index + 1]
        return count - 1, False
    if is_there:
        levels[1, low] = amount
        return count, False
    for index in range(count, low, -1):
        levels[0, index] = levels[0, index - 1]
        levels[1, index] = levels[1, index - 1]
    levels[0, low] = price
    levels[1, low] = amount
    return count + 1, False


@compiled
def _emit(held: Held, out: Written, written: int) -> int:
    """Write the best levels if they have changed since they were last written; return how many rows are written."""
    row = np.empty(4)
    for side in range(2):
        count = held.state[side]
        row[2 * side] = held.levels[side, 0, count - 1] if count else np.nan
        row[2 * side + 1] = held.levels[side, 1, count - 1] if count else np.nan
    is_same = True
    for column in range(4):
        before, now = out.tops[written - 1, column], row[column]
        is_same &= before == now or (np.isnan(before) and np.isnan(now))
    if is_same:
        return written
    out.tops[written] = row
    out.times[written] = held.state[TIME]
    return written + 1


@compiled
def _is_equal(held: Held, levels: Floats) -> bool:
    """Whether the best levels of both sides are as a row of a snapshot has them."""
    for side in range(2):
        count = held.state[side]
        offset = 2 if side == _BID else 0
        for depth in range(len(levels) // 4):
            price, amount = levels[4 * depth + offset], levels[4 * depth + offset + 1]
            if depth >= count:
                if not np.isnan(price):
                    return False
            elif held.levels[side, 0, count - 1 - depth] != price or held.levels[side, 1, count - 1 - depth] != amount:
                return False
    return True


@compiled
def _compare(held: Held, stream: int, snapshots: SnapshotArrays, out: Written, written: int) -> int:
    """Hold the book against the snapshot in force; where that changes what was so far, write when, and what it is."""
    state = held.state
    at = state[stream]
    while at + 1 < len(snapshots.times) and snapshots.times[at + 1] <= state[TIME]:
        at += 1
    state[stream] = at
    if at < 0:
        return written
    is_equal = _is_equal(held, snapshots.levels[at])
    state[stream + COMPARED] += 1
    state[stream + EQUAL] += is_equal
    if is_equal == state[stream + IS_EQUAL]:
        return written
    state[stream + IS_EQUAL] = is_equal
    out.equal[written, 0], out.equal[written, 1], out.equal[written, 2] = state[TIME], is_equal, stream
    return written + 1


@compiled
def look(held: Held, streams: Streams, out: Written, written: int, compared: int) -> tuple[int, int]:
    """Look at the book after a message; return how much is written of tops, and of comparisons."""
    written = _emit(held, out, written)
    compared = _compare(held, _FIRST, streams.first, out, compared)
    compared = _compare(held, _SECOND, streams.second, out, compared)
    return written, compared


@compiled
def _begin_image(held: Held) -> None:
    for side in range(2):
        count = held.state[side]
        held.old_counts[side] = count
        held.old[side, :, :count] = held.levels[side, :, :count]
        held.state[side] = 0
    held.state[IMAGES] += 1


@compiled
def _end_image(held: Held) -> None:
    """Count the best levels that the image has otherwise than the book before it."""
    held.state[IN_IMAGE] = 0
    if held.state[IMAGES] == 1:
        return
    for side in range(2):
        now, before = held.state[side], held.old_counts[side]
        for depth in range(min(_LEVELS, now, before)):
            new, old = now - 1 - depth, before - 1 - depth
            is_price = held.levels[side, 0, new] == held.old[side, 0, old]
            held.state[CORRECTED] += not (is_price and held.levels[side, 1, new] == held.old[side, 1, old])


@compiled
def apply(rows: RowArrays, held: Held, streams: Streams, out: Written, span: tuple[int, int]) -> tuple[int, int, int]:
    """Apply rows from the first of `span` while they are not after its second; return the next, and what is written.

    Row 0 of the tops is the last that was written before. Stops before a row for which the book has no room.
    """
    at, until = span
    written, compared = _ONE, ZERO
    state, room = held.state, held.levels.shape[2]
    while at < len(rows.times):
        if rows.times[at] != state[TIME]:
            if state[IN_IMAGE]:
                _end_image(held)
            if state[HAS_IMAGE] and state[IS_OPEN]:
                written, compared = look(held, streams, out, written, compared)
            state[IS_OPEN] = 0
            if rows.times[at] > until:
                break
            state[TIME] = rows.times[at]
            state[IS_OPEN] = 1
            state[MESSAGES] += 1
        if state[N_BID] + 1 >= room or state[N_ASK] + 1 >= room:
            break
        is_image = rows.is_image[at]
        if is_image and not state[IN_IMAGE]:
            _begin_image(held)
        state[IN_IMAGE] = is_image
        state[HAS_IMAGE] |= is_image
        if state[HAS_IMAGE]:
            side = _BID if rows.is_bid[at] else _ASK
            sign = 1.0 if side == _BID else -1.0
            amount = rows.amounts[at]
            state[side], is_unknown = _set_level(held.levels[side], state[side], rows.prices[at], amount, sign)
            if amount == 0.0 and not is_image:
                state[REMOVALS] += 1
                state[UNKNOWN] += is_unknown
        else:
            state[BEFORE_IMAGE] += 1
        at += 1
    return at, written, compared
