"""Compiled: two streams of best prices held against each other, and trades against a range.

What one stream said last is held against the other for a while only: a stream that is silent (a gap, which is told as
one) does not disagree.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from market_data.quality.book_kernel import ZERO, Floats, Ints
from market_data.quality.compiled import compiled

# of the state: the next change of the reference, whether the other has begun, whether they agreed last; counters; when
# the other's last row came, the next silence of the reference
NEXT, HAS_BEGUN, AGREE, COMPARED, EQUAL, LAST_OTHER, NEXT_SILENCE = range(7)
SLOTS = 7
_BID, _ASK = 0, 2
_LATEST = cast("int", np.int64(np.iinfo(np.int64).max))


class Changes(NamedTuple):
    """When the best levels changed (us), and to what: bid, its amount, ask, its amount; NaN for an empty side."""

    times: Ints
    levels: Floats


class Merged(NamedTuple):
    """What is kept between batches: the state and the other's levels in force; (time, agree) as that changes.

    `silences` are spans in which the reference said nothing for too long, `alive_us` is how long the other's last row
    holds. `out` has room for two rows for each instant and one for each silence.
    """

    state: Ints
    last: Floats
    out: Ints
    silences: Ints
    alive_us: int


@compiled
def _agree(a: Floats, b: Floats, tolerance: float) -> bool:
    """Whether two tops are the same, or their prices within a tolerance (of 0 or more); an empty side is no price."""
    if tolerance < 0:
        is_same = True
        for column in range(4):
            is_same &= a[column] == b[column] or (np.isnan(a[column]) and np.isnan(b[column]))
        return is_same
    is_near = True
    for column in (_BID, _ASK):
        if not (np.isnan(a[column]) or np.isnan(b[column])):
            is_near &= abs(a[column] - b[column]) <= tolerance
    return is_near


@compiled
def _note(merged: Merged, time: int, agreed: int, written: int) -> int:
    state = merged.state
    state[COMPARED] += 1
    state[EQUAL] += agreed
    if agreed == state[AGREE]:
        return written
    state[AGREE] = agreed
    merged.out[written, 0], merged.out[written, 1] = time, agreed
    return written + 1


@compiled
def _lapse(merged: Merged, time: int, written: int) -> int:
    """End a disagreement: from here on nothing is known of it."""
    if merged.state[AGREE]:
        return written
    merged.state[AGREE] = 1
    merged.out[written, 0], merged.out[written, 1] = time, 1
    return written + 1


@compiled
def _pass(merged: Merged, time: int, written: int) -> int:
    """Go on to an instant, and let lapse what has not been known since; silences before it are done with."""
    state, silences = merged.state, merged.silences
    if state[HAS_BEGUN] and time - state[LAST_OTHER] > merged.alive_us:
        written = _lapse(merged, state[LAST_OTHER] + merged.alive_us, written)
    while state[NEXT_SILENCE] < len(silences) and silences[state[NEXT_SILENCE], 0] < time:
        written = _lapse(merged, silences[state[NEXT_SILENCE], 0], written)
        if time < silences[state[NEXT_SILENCE], 1]:
            break
        state[NEXT_SILENCE] += 1
    return written


@compiled
def _is_silent(merged: Merged, time: int) -> bool:
    """Whether the reference is silent at an instant that was gone on to."""
    at = merged.state[NEXT_SILENCE]
    return bool(at < len(merged.silences) and merged.silences[at, 0] < time)


@compiled
def merge(reference: Changes, other: Changes, merged: Merged, tolerance: float) -> int:
    """Hold two streams against each other at each instant at which one of them changed; return what is written."""
    state, last, written = merged.state, merged.last, ZERO
    for row in range(len(other.times)):
        time = other.times[row]
        if row + 1 < len(other.times) and other.times[row + 1] == time:
            continue  # the message goes on
        written = _until(reference, time, merged, tolerance, written)
        written = _pass(merged, time, written)
        while state[NEXT] < len(reference.times) and reference.times[state[NEXT]] == time:
            state[NEXT] += 1
        last[:] = other.levels[row]
        state[HAS_BEGUN], state[LAST_OTHER] = 1, time
        if state[NEXT] and not _is_silent(merged, time):
            is_agreed = _agree(reference.levels[state[NEXT] - 1], last, tolerance)
            written = _note(merged, time, int(is_agreed), written)
    return written


@compiled
def _until(reference: Changes, time: int, merged: Merged, tolerance: float, written: int) -> int:
    """Hold what changed in the reference before an instant against what the other says at it."""
    state = merged.state
    while state[NEXT] < len(reference.times) and reference.times[state[NEXT]] < time:
        at = reference.times[state[NEXT]]
        written = _pass(merged, at, written)
        if state[HAS_BEGUN] and at - state[LAST_OTHER] <= merged.alive_us:
            is_agreed = _agree(reference.levels[state[NEXT]], merged.last, tolerance)
            written = _note(merged, at, int(is_agreed), written)
        state[NEXT] += 1
    return written


@compiled
def finish(reference: Changes, merged: Merged, tolerance: float) -> int:
    """Hold the rest of the reference against the other's last word; return what is written."""
    return _until(reference, _LATEST, merged, tolerance, ZERO)


@compiled
def count_inside(reference: Changes, times: Ints, prices: Floats, window: int, tick: float) -> tuple[int, int]:
    """Return how many trades are within the best prices around their arrival, a tick more, and how many are judged."""
    inside = judged = 0
    first = 0
    for row in range(len(times)):
        while first + 1 < len(reference.times) and reference.times[first + 1] <= times[row] - window:
            first += 1
        low, high, at = np.inf, -np.inf, first
        while at < len(reference.times) and reference.times[at] <= times[row] + window:
            bid, ask = reference.levels[at, _BID], reference.levels[at, _ASK]
            low = min(low, bid) if not np.isnan(bid) else low
            high = max(high, ask) if not np.isnan(ask) else high
            at += 1
        if low <= high:
            judged += 1
            inside += low - tick <= prices[row] <= high + tick
    return inside, judged
