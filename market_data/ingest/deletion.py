"""The use case: a person takes ticks out of the lake: the end of a licence, a backfill that was wrong.

The receipt is changed first, on the generation that was read: from then on readers are told that the day, or the
instrument, was deleted, when, by whom and why. Then its objects go: published, the vendor's, refused ones, its part of
the index. Killed between the two it leaves objects that no receipt names; the same call again removes them. A run of
the day that wants what was taken out brings it back (and writes anew what may still be about to be deleted).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from market_data.errors import ConfigurationError, LakeConflict
from market_data.index.store import save_part
from market_data.ingest.assess import unnamed_objects
from market_data.ingest.lease import LeaseWatch
from market_data.ingest.objects import delete_observed, observe
from market_data.lake.base import READERS, ObjectStat, TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import (
    LAYOUTS,
    PublishedName,
    failed_key,
    gaps_key,
    index_part_key,
    object_key,
    plain_key,
    raw_key,
    receipt_key,
    rhythm_key,
)
from market_data.lake.origin import ensure_lake_writable
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt, Removal, State
from market_data.receipts.store import load_receipt, save_receipt

_ATTEMPTS = 3
_POLL_SECONDS = 1.0
_POLLS = 60


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was taken out of one unit: files that its receipt had, their rows and vendor's bytes; objects that went.

    `refused` objects stay, for the store does not let them go; no receipt names them any more.
    """

    unit: DataTypeDay
    files: int
    rows: int
    raw_bytes: int
    objects: int
    refused: int


@dataclass(slots=True)
class Deleter:
    """Takes units, or some `instruments` (keys; None: all) of them, out of a lake, on one person's word.

    `keep_replaced`: what runs have replaced of other instruments is kept for so long, and left alone.
    """

    lake: TickLake
    by: str
    reason: str
    instruments: Collection[str] | None = None
    keep_replaced: timedelta = timedelta()
    _watches: dict[str, LeaseWatch] = field(default_factory=dict)

    def delete(self, unit: DataTypeDay, at: datetime) -> Deleted | None:
        """Take a unit, or its files of the instruments, out; None where the lake has no such unit or file.

        Raises LakeConflict (transient) while a run is at work on it, ConfigurationError (permanent) for an instrument
        that lies in a grouped file with others, LakeFormatTooNew (permanent), LakeError of any kind.
        """
        ensure_lake_writable(self.lake)
        for remaining in reversed(range(_ATTEMPTS)):
            try:
                return self._attempt(unit, at)
            except LakeConflict as error:
                if not remaining:
                    raise LakeConflict(f"{unit} is not deleted: {error}") from error
        return None

    def _attempt(self, unit: DataTypeDay, at: datetime) -> Deleted | None:
        receipt, generation = self._load(unit)
        if receipt is None:
            return None
        files = files_taken_out(receipt, self.instruments)
        is_out = receipt.state == State.DELETED
        if self.instruments is not None and not is_out:
            is_out = not files
            if not any(file.instrument_key in self.instruments for file in receipt.files):
                return None
        observed = observe(self.lake, receipt)
        told = [rhythm_key(unit), *([gaps_key(unit, receipt.gaps.content_id)] if receipt.gaps else [])]
        if not is_out:
            receipt = receipt.deleted(self._removal(receipt, files, at))
            generation = save_receipt(self.lake, receipt, generation)
        elif load_receipt(self.lake, unit)[1] != generation:  # what was observed may be another publication's
            raise LakeConflict("a run has begun")
        # also what a call before this one was killed at
        for key in (index_part_key(unit), *told):
            self.lake.delete(key)
        save_part(self.lake, receipt, generation)
        unnamed = [stat for stat in unnamed_objects(receipt, observed) if self._takes(receipt, stat)]
        with ThreadPoolExecutor(READERS) as pool:
            gone = list(pool.map(lambda stat: delete_observed(self.lake, stat.key, stat.generation), unnamed))
        rows, raw_bytes = (sum(getattr(file, name) or 0 for file in files) for name in ("rows", "size_bytes"))
        return Deleted(unit, len(files), rows, raw_bytes, sum(gone), len(gone) - sum(gone))

    def _takes(self, receipt: Receipt, stat: ObjectStat) -> bool:
        """Whether an object that no receipt names goes too: of other instruments it may be kept for a while."""
        if self.instruments is None or not self.keep_replaced:
            return True
        names: set[str] = set()
        for file in receipt.files:
            if file.instrument_key in self.instruments and file.instrument_key is not None:
                stem = parse_instrument_key(file.instrument_key)[2]
                name = PublishedName(receipt.unit, file.instrument_type, stem)
                names |= {object_key(layout, name) for layout in LAYOUTS}
                names |= {key(receipt.unit, file.vendor_symbol) for key in (raw_key, failed_key)}
        return plain_key(stat.key) in names

    def _load(self, unit: DataTypeDay) -> tuple[Receipt | None, int]:
        """Return the receipt once nobody is at work on it: a claim of a run that is dead does not count."""
        for _ in range(_POLLS):
            receipt, generation = load_receipt(self.lake, unit)
            if receipt is None:
                return None, 0
            ensure_writable(receipt, self.lake.uri(receipt_key(unit)))
            if receipt.claim is None:
                return receipt, generation
            watch = self._watches.setdefault(receipt.claim, LeaseWatch(self.lake, receipt.claim))
            if watch.is_dead():
                # it may live after all: from here on it gives way
                return receipt.released(), save_receipt(self.lake, receipt.released(), generation)
            time.sleep(_POLL_SECONDS)
        raise LakeConflict("a run is at work on it. Cancel the run, or delete the day once it has ended")

    def _removal(self, receipt: Receipt, files: Collection[FileEvidence], at: datetime) -> Removal:
        types = {file.instrument_type for file in files} | {item.instrument_type for item in receipt.objects}
        return Removal(
            at=at,
            by=self.by,
            reason=self.reason,
            instruments=tuple(sorted({file.instrument_key for file in files if file.instrument_key}))
            if self.instruments is not None
            else (),
            instrument_types=tuple(sorted(types)),
            files=len(files),
            rows=sum(file.rows or 0 for file in files),
            raw_bytes=sum(file.size_bytes or 0 for file in files),
        )


def files_taken_out(receipt: Receipt, instruments: Collection[str] | None) -> tuple[FileEvidence, ...]:
    """Return the files of a receipt that a deletion takes out.

    Raises ConfigurationError (permanent) for an instrument whose ticks lie in a grouped file: that is one object for
    many of them.
    """
    own = {key for key in instruments or () if parse_instrument_key(key)[0] == receipt.venue}
    types = {parse_instrument_key(key)[1]: key for key in own}
    for file in receipt.files:
        if file.is_group and file.instrument_type in types:
            raise ConfigurationError(
                f"{types[file.instrument_type]} lies in the grouped file {file.vendor_symbol} of {receipt.unit}, with "
                "others of its type: delete the data type of those days, or keep it"
            )
    return receipt.removable_files(instruments)
