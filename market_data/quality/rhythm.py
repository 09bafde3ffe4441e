"""The rhythm of a tick file: how many rows came in each hour of its day, and where none came for long.

Measured on what is published (on `local_timestamp`), in one pass and bounded memory. A silence is a step between two
arrivals, or between an arrival and an edge of the UTC day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from market_data.quality.hours import DAY_US, HOUR_US, HOURS, LEAST_SILENCE_US, RHYTHM_SCHEMA, midnight_us
from market_data.quality.ids import CONTIGUOUS_SHARE, FEWEST_IDS

# The longest of an hour, by its start, and all that are long: an outage may come and go.
KEPT_SILENCES, KEPT_LONG = 16, 120
_LONG_US = 30_000_000
# What lost rows however short, as long as so few jumps are among the steps that ids may be contiguous.
KEPT_JUMPS = 256
_FEW_JUMPS, _SHARE_OF_JUMPS = 100, 0.002
_UNKNOWN = -1

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Silences:
    starts: _Ints
    ends: _Ints
    ids_missing: _Ints

    @classmethod
    def none(cls) -> _Silences:
        return cls(*(np.empty(0, np.int64) for _ in range(3)))

    def __add__(self, other: _Silences) -> _Silences:
        pairs = ((self.starts, other.starts), (self.ends, other.ends), (self.ids_missing, other.ids_missing))
        return _Silences(*(np.concatenate(pair) for pair in pairs))


class RhythmMeter:
    """Looks at the arrivals of one instrument's day in their order; `add` each batch, then ask for `hours`."""

    def __init__(self, day: date) -> None:
        self._start_us = midnight_us(day)
        self._last_us = self._start_us
        self._last_id: int | None = None
        self._rows = np.zeros(HOURS, np.int64)
        self._silences = _Silences.none()
        self._id_steps = self._id_steps_of_one = 0
        self._has_ids = False

    def add(self, batch: pl.DataFrame) -> None:
        """Look at the next rows: their `local_timestamp`, and their `id` where there is one."""
        if batch.is_empty():
            return
        times = batch["local_timestamp"].to_numpy().view(np.int64)
        hours = np.clip((times - self._start_us) // HOUR_US, 0, HOURS - 1)
        self._rows += np.bincount(hours, minlength=HOURS)
        jumps = self._jumps_of(batch["id"]) if "id" in batch.columns else np.full(len(times), _UNKNOWN)
        if (np.diff(times) < 0).any():  # an error of its own, which makes no silence of rows that are there
            order = np.argsort(times, kind="stable")
            times, jumps = times[order], jumps[order]
        self._keep(np.concatenate(([self._last_us], times)), jumps)
        self._last_us = max(self._last_us, int(times[-1]))

    def _jumps_of(self, ids: pl.Series) -> _Ints:
        """Return how many ids are missing before each row, `_UNKNOWN` where that cannot be told."""
        numbers = ids.cast(pl.Int64, strict=False)
        before = pl.concat([pl.Series([self._last_id], dtype=pl.Int64), numbers[:-1]])
        steps = numbers - before
        self._id_steps += ids.len() - (0 if self._has_ids else 1)  # nothing is known of what was before the day
        self._has_ids = True
        self._id_steps_of_one += int((steps == 1).sum())
        self._last_id = numbers[-1]
        return (steps - 1).clip(lower_bound=0).fill_null(_UNKNOWN).to_numpy()

    def _keep(self, times: _Ints, jumps: _Ints) -> None:
        others = self._id_steps - self._id_steps_of_one
        is_kept = np.diff(times) >= LEAST_SILENCE_US
        if others <= _FEW_JUMPS + _SHARE_OF_JUMPS * self._id_steps:
            is_kept |= jumps > 0
        at = np.nonzero(is_kept)[0]
        self._silences += _Silences(times[at], times[at + 1], jumps[at])

    def hours(self, instrument_key: str) -> pl.DataFrame:
        """Return the rhythm as 24 rows of `RHYTHM_SCHEMA`; of a day without rows it is one silence."""
        end_us = self._start_us + DAY_US
        is_contiguous = self._id_steps >= FEWEST_IDS - 1 and self._id_steps_of_one >= CONTIGUOUS_SHARE * self._id_steps
        silences = self._silences
        if end_us - self._last_us >= LEAST_SILENCE_US:
            silences += _Silences(*(np.array([value], np.int64) for value in (self._last_us, end_us, _UNKNOWN)))
        lengths = silences.ends - silences.starts
        first = np.clip((silences.starts - self._start_us) // HOUR_US, 0, HOURS - 1)
        last = np.clip((silences.ends - 1 - self._start_us) // HOUR_US, 0, HOURS - 1)
        longest = np.full(HOURS, LEAST_SILENCE_US)
        np.maximum.at(longest, first, lengths)
        for at in np.nonzero(last > first)[0]:
            touched = slice(first[at], last[at] + 1)
            longest[touched] = np.maximum(longest[touched], lengths[at])
        kept: list[list[dict[str, int | None]]] = [[] for _ in range(HOURS)]
        for at in _worst_of_each(first, lengths, silences.ids_missing):
            ids = int(silences.ids_missing[at])
            span = {"start_us": int(silences.starts[at]), "end_us": int(silences.ends[at])}
            kept[first[at]].append({**span, "ids_missing": None if ids == _UNKNOWN else ids})
        columns = {
            "instrument_key": [instrument_key] * HOURS,
            "hour": list(range(HOURS)),
            "rows": self._rows,
            "longest_us": longest,
            "silences": kept,
            "has_contiguous_ids": [is_contiguous] * HOURS,
        }
        return pl.DataFrame(columns, schema=RHYTHM_SCHEMA)


def _worst_of_each(hours: _Ints, lengths: _Ints, ids_missing: _Ints) -> _Ints:
    """Return where the longest silences of each hour are, and those that lost the most rows, in the order of time."""
    by_length, rank = _ranked_in_each(hours, lengths)
    is_long = (rank < KEPT_LONG) & (lengths[by_length] >= _LONG_US)
    jumps = np.nonzero(ids_missing > 0)[0]
    by_loss, rank_of_loss = _ranked_in_each(hours[jumps], ids_missing[jumps])
    return np.union1d(by_length[(rank < KEPT_SILENCES) | is_long], jumps[by_loss[rank_of_loss < KEPT_JUMPS]])


def _ranked_in_each(hours: _Ints, sizes: _Ints) -> tuple[_Ints, _Ints]:
    """Return places by hour, the largest first, and which in its hour each is."""
    order = np.lexsort((-sizes, hours))
    begins = np.searchsorted(hours[order], np.arange(HOURS))
    return order, np.arange(len(order)) - begins[hours[order]]
