"""What a lake in a bucket costs: a price list as data, and dollars from bytes and operations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

_GIBIBYTE = 1 << 30
STANDARD, ARCHIVE = "Standard", "Archive"

# Operations of a run, as counted at its requests to a bucket. Class A: each file is written to raw/ and, uploaded or
# copied inside the store, to each layout; a unit lists six folders and writes its receipt twice; a run writes its lease
# and its universe, and lists leases. Class B: receipts and leases are read, each copy and one footer are looked at.
_WRITES_OF_UNIT, _WRITES_OF_RUN, _READS_OF_UNIT = 8, 3, 4


@dataclass(frozen=True, slots=True)
class PriceList:
    """The public prices of an object store in one region, in US dollars.

    `gib_month`: a GiB for a month, by storage class. `class_a` and `class_b`: a thousand operations; uploads, listings
    and copies inside the store are of class A, reads of class B, deletes are free. Reads from the same region are free
    of egress; `retrieval_gib` comes with each GiB that is read, by storage class. `source` was read on `read_on`.
    """

    store: str
    region: str
    source: str
    read_on: date
    gib_month: Mapping[str, float]
    retrieval_gib: Mapping[str, float]
    class_a: float
    class_b: float


# The page has storage by the hour (Standard: $0.000027397 a GiB); a month is 730 hours. Operations are of Standard.
GOOGLE = PriceList(
    store="Google Cloud Storage",
    region="us-central1",
    source="https://cloud.google.com/storage/pricing",
    read_on=date(2026, 9, 20),
    gib_month={STANDARD: 0.020, "Nearline": 0.010, "Coldline": 0.004, ARCHIVE: 0.0012},
    retrieval_gib={STANDARD: 0.0, "Nearline": 0.01, "Coldline": 0.02, ARCHIVE: 0.05},
    class_a=0.005,
    class_b=0.0004,
)


@dataclass(frozen=True, slots=True)
class Volume:
    """What a lake is to hold: bytes of raw/ and of one published copy, in how many files, written by how many runs.

    `units` are venue x data type x day.
    """

    raw_bytes: float
    copy_bytes: float
    files: int
    units: int
    runs: int


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars: `month` for each month in which all of it is stored, `once` for the operations that store it."""

    month: float
    once: float


def cost_of(volume: Volume, layouts: int, *, raw_class: str = STANDARD, prices: PriceList = GOOGLE) -> Cost:
    """Return what a lake costs in a bucket that holds raw/, in its own storage class, and a copy for each layout."""
    raw, copy = volume.raw_bytes / _GIBIBYTE, volume.copy_bytes / _GIBIBYTE
    month = raw * prices.gib_month[raw_class] + layouts * copy * prices.gib_month[STANDARD]
    writes = volume.files * (1 + layouts) + volume.units * _WRITES_OF_UNIT + volume.runs * _WRITES_OF_RUN
    reads = volume.files * layouts + volume.units * _READS_OF_UNIT
    return Cost(month=month, once=(writes * prices.class_a + reads * prices.class_b) / 1000)
