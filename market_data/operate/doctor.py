"""The use case: is everything there that the ingestion needs? One diagnosis for each thing looked at.

The key itself never comes here: only whether there is one, and a client that holds it.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import polars as pl

from market_data.errors import LakeConflict, LakeError, LakeFormatTooNew, VendorError
from market_data.lake.base import TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import ORIGIN_KEY, PROBE_PREFIX
from market_data.lake.open import polars_storage_options
from market_data.lake.origin import load_lake_document
from market_data.model.limits import GIGABYTE
from market_data.universe.listing import export_bounds
from market_data.vendor.client import TardisClient

_LEAST_FREE_GB, _COMFORTABLE_FREE_GB = 2, 20
_LAST_SHARE = 0.1
_LAKE_REMEDIES = {
    "gs": "give this account Storage Object Admin on the bucket, or set MARKET_DATA_LAKE_URL to another lake",
    "file": "give this account the right to write there, or set MARKET_DATA_LAKE_URL to another lake",
}
_DELETE = "delete"
_WITHOUT_DELETES = (
    "this account may not delete (retention policy, hold, or a missing right): replaced files stay until it "
    "may; readers are not affected, globbing engines see both"
)


class Level(StrEnum):
    """How a check ended; only FAIL keeps the ingestion from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the report: what was found, and what to do about it."""

    level: Level
    name: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.level:<4} {self.name}: {self.what}{remedy}"


def check_automation(*, is_on: bool) -> Diagnosis:
    """Say whether new days and re-runs are launched by themselves."""
    if is_on:
        return Diagnosis(Level.OK, "automation", "on: sensors launch new days and re-run failed ones")
    return Diagnosis(
        Level.OK,
        "automation",
        "off: people launch every day; to have new days and re-runs launched set MARKET_DATA_AUTOMATION=on",
    )


async def check_vendor(client: TardisClient, venue: str) -> Diagnosis:
    """Ask the vendor for the details of a venue, which needs no key."""
    try:
        until = export_bounds(venue, await client.exchange(venue)).exported_until
    except VendorError as error:
        return Diagnosis(Level.FAIL, "vendor", str(error), "see the network, a proxy, and TARDIS_API_URL")
    return Diagnosis(Level.OK, "vendor", f"answers; it has exported the days of {venue} before {until}")


async def check_key(client: TardisClient, *, has_key: bool) -> Diagnosis:
    """Say whether there is a key, and what the vendor says that it opens."""
    if not has_key:
        return Diagnosis(
            Level.WARN, "key", "none: only the first day of each month can be downloaded", "set TARDIS_API_KEY"
        )
    try:
        plans = await client.key_info()
    except VendorError as error:
        return Diagnosis(Level.FAIL, "key", str(error), "see that TARDIS_API_KEY is the account's current key")
    opened = sorted({str(plan.get("exchange")) for plan in plans})
    if not opened:
        return Diagnosis(Level.FAIL, "key", "accepted, but it opens no venue", "see the account's subscription")
    return Diagnosis(Level.OK, "key", f"accepted; it opens {len(opened)} venues: {', '.join(opened[:5])}")


def check_lake(lake: TickLake, origin: str) -> Iterator[Diagnosis]:
    """Yield whether the lake is this vendor's, and whether all that a run does to it is allowed.

    Writes two small objects under `probe/` and takes them away again; where deletes are refused, they stay.
    """
    yield _check_origin(lake, origin)
    step = "nothing"
    try:
        for step in _probe(lake):  # noqa: B007  named in the diagnosis when the step fails
            pass
    except (LakeError, pl.exceptions.PolarsError, OSError) as error:
        what = f"cannot {step} in {lake.url}: {error}"
        if step == _DELETE and isinstance(error, LakeError) and not error.is_transient:
            yield Diagnosis(Level.WARN, "lake rights", what, _WITHOUT_DELETES)
        else:
            yield Diagnosis(Level.FAIL, "lake rights", what, _LAKE_REMEDIES[lake.url.partition(":")[0]])
    else:
        works = "write, refuse a stale write, overwrite, read, copy, list, scan with Polars, and delete work"
        yield Diagnosis(Level.OK, "lake rights", works)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that files are written to, of the machine that looks."""

    name: str
    directory: Path
    free_bytes: int
    total_bytes: int

    @property
    def diagnosis(self) -> Diagnosis:
        """What the doctor says of it."""
        return check_disk(self.name, self.directory, self.free_bytes)

    @property
    def is_nearly_full(self) -> bool:
        """Whether a person should see to it before it is full."""
        is_last_tenth = self.free_bytes < self.total_bytes * _LAST_SHARE
        level = self.diagnosis.level
        return level is Level.FAIL or (level is Level.WARN and is_last_tenth)


def find_disks(lake: TickLake) -> Iterator[Disk]:
    """Yield the scratch disk, and the lake's where it is a directory that is there."""
    directories = {"scratch disk": Path(tempfile.gettempdir())}
    if lake.url.startswith("file:"):
        directories["lake disk"] = Path(lake.uri("probe")).parent
    for name, directory in directories.items():
        if directory.exists():
            usage = shutil.disk_usage(directory)
            yield Disk(name, directory, usage.free, usage.total)


def check_disk(name: str, directory: Path, free_bytes: int) -> Diagnosis:
    """Judge the free space of a disk that files are written to."""
    free_gb = free_bytes / GIGABYTE
    what = f"{free_gb:.1f} GB free in {directory}"
    if free_gb < _LEAST_FREE_GB:
        return Diagnosis(Level.FAIL, name, what, f"free at least {_LEAST_FREE_GB} GB or name another disk")
    if free_gb < _COMFORTABLE_FREE_GB:
        remedy = f"depth data and option chains of whole venues need more than {_COMFORTABLE_FREE_GB} GB"
        return Diagnosis(Level.WARN, name, what, remedy)
    return Diagnosis(Level.OK, name, what)


def _check_origin(lake: TickLake, origin: str) -> Diagnosis:
    try:
        document = load_lake_document(lake)
        if document is not None:
            ensure_writable(document, lake.uri(ORIGIN_KEY))
        found = document.origin if document else None
    except LakeFormatTooNew as error:
        return Diagnosis(Level.FAIL, "lake", str(error), "install a newer version of market_data")
    except LakeError as error:
        return Diagnosis(Level.FAIL, "lake", str(error), _LAKE_REMEDIES[lake.url.partition(":")[0]])
    if found is None:
        return Diagnosis(Level.OK, "lake", f"{lake.url} is empty; the first run marks it as filled from {origin}")
    if found == origin:
        return Diagnosis(Level.OK, "lake", f"{lake.url} is filled from {origin}")
    remedy = "set MARKET_DATA_LAKE_URL to another lake, or MARKET_DATA_VENDOR to its vendor"
    return Diagnosis(Level.FAIL, "lake", f"{lake.url} is filled from {found}, the settings name {origin}", remedy)


def _probe(lake: TickLake) -> Iterator[str]:
    """Do what a run does, yielding the name of each step before it."""
    name = f"{PROBE_PREFIX}{uuid4().hex}"
    key, copy_key = f"{name}.parquet", f"{name}-copy.parquet"
    buffer = io.BytesIO()
    pl.DataFrame({"probe": [1]}).write_parquet(buffer)
    data = buffer.getvalue()
    try:
        yield "write"
        stat = lake.put_bytes(data, key, if_generation=0)
        yield "refuse a stale write (the store ignores preconditions)"
        with suppress(LakeConflict):
            lake.put_bytes(data, key, if_generation=0)
            raise LakeError(f"{lake.uri(key)} was written again on condition that it did not exist")
        yield "overwrite"  # as each run does its receipts; a store may refuse that with the deletes
        stat = lake.put_bytes(data, key, if_generation=stat.generation)
        yield "read"
        if lake.get_bytes(key)[0] != data:
            raise LakeError(f"{lake.uri(key)} does not hold what was written")
        yield "copy"
        copied = lake.copy(key, copy_key, if_generation=0)
        yield "list"
        if {key, copy_key} - {item.key for item in lake.list_objects(PROBE_PREFIX)}:
            raise LakeError(f"{lake.uri(key)} or its copy is not listed")
        yield "scan with Polars"
        pl.scan_parquet(lake.uri(key), glob=False, storage_options=polars_storage_options(lake)).collect()
        yield _DELETE
        lake.delete(key, if_generation=stat.generation)
        lake.delete(copy_key, if_generation=copied.generation)
    finally:
        for left in (key, copy_key):
            with suppress(LakeError):
                lake.delete(left)
