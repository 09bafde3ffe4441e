"""For how long what a stream said last is held against another, and the silences in which nothing is. Pure.

Microseconds since epoch; spans are in order and do not overlap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Spans = list[tuple[int, int]]
# So many of its usual intervals, and never less than so long.
LEAST_ALIVE_US, _ALIVE_INTERVALS = 10_000_000, 5


def alive_for(span_us: int, changes: int) -> int:
    """Return how long the last word of a stream holds that changed so often in a span."""
    return max(LEAST_ALIVE_US, round(_ALIVE_INTERVALS * span_us / max(changes, 1)))


def far_apart(times: Ints, before_us: int) -> Ints:
    """Return the pairs of arrivals, one after the other, between which a silence may lie."""
    every = np.concatenate(([before_us or times[0]], times)) if len(times) else times
    at = np.nonzero(np.diff(every) > LEAST_ALIVE_US)[0]
    return np.column_stack((every[at], every[at + 1])).ravel()


def silences_between(pairs: Ints, alive_us: int) -> Ints:
    """Return the spans that begin so long after the first of a pair, and end with the second."""
    spans: Ints = pairs.reshape(-1, 2) + np.array([alive_us, 0])
    return spans[spans[:, 0] < spans[:, 1]]


def are_within(times: Ints, spans: Ints) -> npt.NDArray[np.bool_]:
    """Return which instants are inside of one of the spans, which are in order."""
    at = np.searchsorted(spans[:, 0], times) - 1
    return (at >= 0) & (times < spans[at, 1]) if len(spans) else np.zeros(len(times), bool)


def without_silences(spans: Spans, silences: Ints) -> Spans:
    """Return what is left of spans without silences; both are in order."""
    left, number = [], 0
    for start, end in spans:
        while number < len(silences) and silences[number, 1] <= start:
            number += 1
        at, begin = number, start
        while at < len(silences) and silences[at, 0] < end:
            if begin < silences[at, 0]:
                left.append((begin, int(silences[at, 0])))
            begin = int(silences[at, 1])
            at += 1
        if begin < end:
            left.append((begin, end))
    return left
