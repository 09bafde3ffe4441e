"""The compiled part of `streams.py`: two streams of best prices held against each other, and trades against a range."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market_data.quality.book_kernel import Floats, Ints
from market_data.quality.compiled import compiled

# of the state: the next change of the reference, whether the other has begun, whether they agreed last; counters
NEXT, HAS_BEGUN, AGREE, COMPARED, EQUAL = range(5)
SLOTS = 5
_BID, _ASK = 0, 2


class Changes(NamedTuple):
    """When the best levels changed (us), and to what: bid, its amount, ask, its amount; NaN for an empty side."""

    times: Ints
    levels: Floats


class Merged(NamedTuple):
    """What is kept between batches: the state and the other's levels in force; (time, agree) as that changes."""

    state: Ints
    last: Floats
    out: Ints


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
def merge(reference: Changes, other: Changes, merged: Merged, tolerance: float) -> int:
    """Hold two streams against each other at each instant at which one of them changed; return what is written."""
    state, last, written = merged.state, merged.last, 0
    for row in range(len(other.times)):
        time = other.times[row]
        if row + 1 < len(other.times) and other.times[row + 1] == time:
            continue  # the message goes on
        written = _until(reference, time, merged, tolerance, written)
        while state[NEXT] < len(reference.times) and reference.times[state[NEXT]] == time:
            state[NEXT] += 1
        last[:] = other.levels[row]
        state[HAS_BEGUN] = 1
        if state[NEXT]:
            is_agreed = _agree(reference.levels[state[NEXT] - 1], last, tolerance)
            written = _note(merged, time, int(is_agreed), written)
    return written


@compiled
def _until(reference: Changes, time: int, merged: Merged, tolerance: float, written: int) -> int:
    """Hold what changed in the reference before an instant against what the other says at it."""
    state = merged.state
    while state[NEXT] < len(reference.times) and reference.times[state[NEXT]] < time:
        if state[HAS_BEGUN]:
            is_agreed = _agree(reference.levels[state[NEXT]], merged.last, tolerance)
            written = _note(merged, reference.times[state[NEXT]], int(is_agreed), written)
        state[NEXT] += 1
    return written


@compiled
def finish(reference: Changes, merged: Merged, tolerance: float) -> int:
    """Hold the rest of the reference against the other's last word; return what is written."""
    return _until(reference, np.iinfo(np.int64).max, merged, tolerance, 0)


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
