"""A tick file of the vendor, and what can become of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from market_data.model.data_types import DataType


class Outcome(StrEnum):
    """What became of an expected tick file. Every expected file ends as exactly one of these."""

    STORED = "stored"  # verified, kept in raw/, rows published
    VENDOR_EMPTY = "vendor_empty"  # the vendor answered with a file without rows
    NOT_OFFERED = "not_offered"  # the vendor says it has no such file
    WAIVED = "waived"  # a person decided that the day stands without it
    FAILED = "failed"  # not obtained, or not what the format says
    REMOVED = "removed"  # a person took it out of the lake

    @property
    def is_accounted(self) -> bool:
        """Whether a day can be published with this outcome."""
        return self in _ACCOUNTED


def part_stem(base: str | None, vendor_symbol: str, number: int = 1) -> str:
    """Return the stem of a part of a grouped file: `BTC~OPTIONS` (`~OPTIONS` without a known base), `BTC~OPTIONS~2`.

    Rows of one base are a part; those that would make a Parquet file too large go on in the next number.
    """
    stem = f"{base or ''}~{vendor_symbol}"
    return stem if number == 1 else f"{stem}~{number}"


def base_of_part(stem: str) -> str | None:
    """Return the base asset of a part of a grouped file by its stem, None where none is known."""
    return stem.partition("~")[0] or None


_ACCOUNTED = frozenset({Outcome.STORED, Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED, Outcome.WAIVED})


@dataclass(frozen=True, slots=True)
class TickFile:
    """One expected file of a unit.

    `instrument_key` is None for a grouped file (`OPTIONS`), whose rows belong to many instruments. On its first and its
    last day an instrument may be listed for a part of the day only; a contract expires at `expires_at` (UTC).
    """

    unit: DataTypeDay
    vendor_symbol: str
    instrument_type: str
    instrument_key: str | None
    is_first_day: bool = False
    is_last_day: bool = False
    expires_at: datetime | None = None

    @property
    def is_group(self) -> bool:
        """Whether the file holds many instruments."""
        return self.instrument_key is None

    def __str__(self) -> str:
        return f"{self.unit} {self.vendor_symbol}"


@dataclass(frozen=True, slots=True)
class DataTypeDay:
    """The unit of publication: one venue, one data type, one UTC day."""

    venue: str
    data_type: DataType
    day: date

    def __str__(self) -> str:
        return f"{self.venue} {self.data_type} {self.day}"
