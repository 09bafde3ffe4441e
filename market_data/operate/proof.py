"""The use case: is everything that a lake's receipts name there, byte for byte? For one that was moved, or is doubted.

Reads, and needs neither a key nor the vendor. READERS units are at work at once, each on a thread; what is kept of a
unit that is done are counts, its folders, and a few words. Of GCS the listing is believed, which has the CRC32C of the
bytes as stored; a local lake reads every byte, once where layouts are hard links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from market_data.errors import LakeError
from market_data.lake.base import READERS, ObjectStat, TickLake
from market_data.lake.keys import (
    LAYOUTS,
    ORIGIN_KEY,
    RAW_PREFIX,
    TICKS_PREFIX,
    gaps_key,
    known_layouts,
    object_prefix,
    raw_key,
    raw_prefix,
    receipt_key,
)
from market_data.lake.origin import read_origin
from market_data.model.instruments import INSTRUMENT_TYPES
from market_data.model.tick_file import DataTypeDay
from market_data.operate.doctor import Diagnosis, Level
from market_data.receipts.receipt import Receipt, State
from market_data.receipts.store import data_types_with_receipts, days_with_receipts, load_receipt

_NAMED_UNITS = 20
_NAMED_OBJECTS = 3
_LOOKS = 3
_UNITS_IN_HAND = 16 * READERS  # what is found of them waits until it is told in order
_REMEDY = (
    "copy it again from where the lake was, or run the day again: what is published is made anew from the vendor's "
    "bytes, and those are fetched anew where they are not as they were"
)


@dataclass(frozen=True, slots=True)
class UnitProof:
    """What was found of one unit.

    `objects` (each layout's) and `raw_files` are what its receipt says is there, `size_bytes` what they have together;
    `problem` says what of it is not so, `remedy` what to do. `unfinished` says why that may change, or not be all.
    `unnamed` are the keys of what else lies in its `folders`, all of which were looked into.
    """

    unit: DataTypeDay
    folders: tuple[str, ...]
    generation: int = 0
    objects: int = 0
    raw_files: int = 0
    size_bytes: int = 0
    problem: str | None = None
    remedy: str = ""
    unfinished: str | None = None
    unnamed: tuple[str, ...] = ()


def prove_unit(lake: TickLake, unit: DataTypeDay, origin: str | None = None) -> UnitProof:
    """Hold what the lake has of a unit with a receipt against that; `origin` is the lake's, None where it is not known.

    A unit that a run publishes meanwhile is looked at again. Raises LakeUnavailable (transient); what the lake refuses
    for good is the unit's `problem`.
    """
    try:
        proof = _look(lake, unit, origin)
        for _ in range(_LOOKS - 1):
            if not (proof.problem or proof.unnamed) or not _has_changed(lake, proof):
                break
            proof = _look(lake, unit, origin)
    except LakeError as error:
        if error.is_transient:
            raise
        return UnitProof(unit, _folders(unit, INSTRUMENT_TYPES), problem=str(error))
    return proof


def prove_lake(
    lake: TickLake, venues: Iterable[str] | None = None, first: date = date.min, last: date = date.max
) -> Iterator[Diagnosis]:
    """Yield what is wrong with each unit that has a receipt, then what was proven; OK in the end if nothing FAILs.

    Days are both included. Of the whole lake (no venues and no days named) every folder of `ticks/` and `raw/` is
    looked into for what no receipt names, else those of the units alone. Raises LakeUnavailable (transient).
    """
    try:
        origin = read_origin(lake)
    except LakeError as error:
        if error.is_transient:
            raise
        yield Diagnosis(Level.FAIL, "lake", str(error))
        return
    is_whole = venues is None and (first, last) == (date.min, date.max)
    tally = _Tally()
    with ThreadPoolExecutor(READERS) as pool:
        for proof in _prove_units(lake, pool, venues, (first, last), origin):
            yield from tally.add(proof)
        for stats in _list_rest(lake, pool, tally.folders) if is_whole else ():
            tally.add_unnamed([stat.key for stat in stats])
    if origin is None and tally.units:
        remedy = "copy it too: it keeps runs of another vendor out (the next run writes it where it is missing)"
        yield Diagnosis(Level.WARN, "lake", f"{lake.uri(ORIGIN_KEY)} is not there", remedy)
    yield from tally.conclude(lake)


def _prove_units(
    lake: TickLake, pool: Executor, venues: Iterable[str] | None, between: tuple[date, date], origin: str | None
) -> Iterator[UnitProof]:
    for pair in data_types_with_receipts(lake, venues):
        days = days_with_receipts(lake, pair[0], pair[1], *between)
        for start in range(0, len(days), _UNITS_IN_HAND):
            units = [DataTypeDay(*pair, day) for day in days[start : start + _UNITS_IN_HAND]]
            yield from pool.map(partial(prove_unit, lake, origin=origin), units)


def _list_rest(lake: TickLake, pool: Executor, seen: set[str]) -> Iterator[list[ObjectStat]]:
    """Yield what lies in each folder of published and of raw files that was not looked into yet."""
    folders = [TICKS_PREFIX, RAW_PREFIX]
    while folders:
        below: list[str] = []
        for inner, stats in pool.map(lake.list_level, folders):
            below += (folder for folder in inner if folder not in seen)
            yield stats
        folders = below


@dataclass(slots=True)
class _Tally:
    """What is kept of the units that were looked at."""

    units: int = 0
    objects: int = 0
    raw_files: int = 0
    size_bytes: int = 0
    failed: int = 0
    unfinished: list[str] = field(default_factory=list)
    unfinished_units: int = 0
    unnamed: list[str] = field(default_factory=list)
    unnamed_objects: int = 0
    folders: set[str] = field(default_factory=set)

    def add(self, proof: UnitProof) -> Iterator[Diagnosis]:
        """Count a unit; yield its problem while there were few."""
        self.units += 1
        self.objects += proof.objects
        self.raw_files += proof.raw_files
        self.size_bytes += proof.size_bytes
        self.folders.update(proof.folders)
        self.add_unnamed(proof.unnamed)
        if proof.unfinished:
            self.unfinished_units += 1
            self.unfinished = [*self.unfinished, f"{proof.unit} {proof.unfinished}"][:_NAMED_OBJECTS]
        if proof.problem:
            self.failed += 1
            if self.failed <= _NAMED_UNITS:
                yield Diagnosis(Level.FAIL, str(proof.unit), proof.problem, proof.remedy)

    def add_unnamed(self, keys: Sequence[str]) -> None:
        """Count objects that no receipt names."""
        self.unnamed_objects += len(keys)
        self.unnamed = [*self.unnamed, *keys][:_NAMED_OBJECTS]

    def conclude(self, lake: TickLake) -> Iterator[Diagnosis]:
        """Yield what was found in all."""
        if self.unfinished:
            what = f"{self.unfinished_units:,} units: {_some(self.unfinished, self.unfinished_units)}"
            yield Diagnosis(Level.WARN, "unfinished", what, "run these days again")
        if self.unnamed:
            what = (
                f"{self.unnamed_objects:,} objects that no receipt names: {_some(self.unnamed, self.unnamed_objects)}"
            )
            remedy = (
                "runs that were killed left them, or one is at work; scan_ticks does not see them, and the next run of "
                f"their day removes those under {TICKS_PREFIX} (not all of {RAW_PREFIX})"
            )
            yield Diagnosis(Level.WARN, "leftovers", what, remedy)
        if not self.units:
            remedy = "copy the receipts too, or name the lake, the venues and the days that are meant"
            what = f"{lake.url} holds no receipt that is asked for, so nothing is proven"
            yield Diagnosis(Level.FAIL, "lake contents", what, remedy)
        elif self.failed:
            named = f", of which {_NAMED_UNITS} are named above" if self.failed > _NAMED_UNITS else ""
            what = f"{self.failed:,} of {self.units:,} units are not as their receipts say{named}"
            yield Diagnosis(Level.FAIL, "lake contents", what)
        else:
            what = (
                f"all that {self.units:,} receipts name is in {lake.url}: {self.objects:,} published objects and "
                f"{self.raw_files:,} of the vendor's files, {self.size_bytes:,} bytes"
            )
            yield Diagnosis(Level.OK, "lake contents", what)


def _some(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"{', '.join(names)}{more}"


def _has_changed(lake: TickLake, proof: UnitProof) -> bool:
    stat = lake.stat(receipt_key(proof.unit))
    return stat is None or stat.generation != proof.generation


def _look(lake: TickLake, unit: DataTypeDay, origin: str | None) -> UnitProof:
    receipt, generation = load_receipt(lake, unit)
    if receipt is None:
        return UnitProof(unit, _folders(unit, INSTRUMENT_TYPES), problem="its receipt was listed and is gone")
    # a receipt that names nothing may have lost what is there
    types = {file.instrument_type for file in receipt.files} | {item.instrument_type for item in receipt.objects}
    folders = _folders(unit, types or INSTRUMENT_TYPES)
    held = {stat.key: stat for stat in lake.list_folders(folders, with_crc32c=True)}
    gaps = _gaps(receipt)
    held |= {key: stat for key in gaps if (stat := lake.stat(key)) is not None}
    objects, raw_files = _published(receipt), _kept(receipt)
    promised = raw_files | gaps | (objects if receipt.state == State.COMMITTED else {})
    faults = (_fault(lake, key, facts, held.get(key)) for key, facts in promised.items())
    problem, remedy = _sum_up([fault for fault in faults if fault], len(promised)), _REMEDY
    if origin is not None and receipt.origin != origin:
        problem, remedy = f"it was filled from {receipt.origin}, the lake from {origin}", "move it to a lake of its own"
    named = objects.keys() | gaps.keys() | {raw_key(unit, file.vendor_symbol, file.raw_id) for file in receipt.files}
    return UnitProof(
        unit,
        folders,
        generation,
        objects=len(promised) - len(raw_files) - len(gaps),
        raw_files=len(raw_files),
        size_bytes=sum(size or 0 for size, _ in promised.values()),
        problem=problem,
        remedy=remedy,
        unfinished=_why_unfinished(receipt),
        unnamed=tuple(key for key in held if key not in named),
    )


def _folders(unit: DataTypeDay, instrument_types: Iterable[str]) -> tuple[str, ...]:
    types = sorted(instrument_types)
    published = (object_prefix(layout, unit, instrument_type) for layout in LAYOUTS for instrument_type in types)
    return (*published, raw_prefix(unit))


# Size and CRC32C of an object, as a receipt has them.
_Facts = tuple[int | None, str | None]


def _published(receipt: Receipt) -> dict[str, _Facts]:
    return {
        key: (item.size_bytes, item.crc32c)
        for item in receipt.objects
        for key in item.object_keys(receipt.unit).values()
    }


def _gaps(receipt: Receipt) -> dict[str, _Facts]:
    judged = receipt.gaps_in_force
    return {gaps_key(receipt.unit, judged.content_id): (judged.size_bytes, judged.crc32c)} if judged else {}


def _kept(receipt: Receipt) -> dict[str, _Facts]:
    return {
        raw_key(receipt.unit, file.vendor_symbol, file.raw_id): (file.size_bytes, file.crc32c)
        for file in receipt.files
        if file.has_bytes
    }


def _fault(lake: TickLake, key: str, facts: _Facts, held: ObjectStat | None) -> str | None:
    """Return what is wrong with an object, None where it is as the receipt says."""
    if held is None:
        return f"{lake.uri(key)} is not there"
    pairs = {"size in bytes": (facts[0], held.size_bytes), "CRC32C": (facts[1], held.crc32c)}
    wrong = [f"its {what} is {found}, was {was}" for what, (was, found) in pairs.items() if was not in {None, found}]
    return f"{lake.uri(key)} has changed: {', '.join(wrong)}" if wrong else None


def _sum_up(faults: Sequence[str], promised: int) -> str | None:
    return (
        f"{len(faults):,} of {promised:,} files that its receipt names are not as it says: {faults[0]}"
        if faults
        else None
    )


def _why_unfinished(receipt: Receipt) -> str | None:
    """Return why more may be wrong than was looked at, or changes at this moment."""
    if not receipt.is_settled:
        return f"is {receipt.state}: its published objects were not looked at"
    if unknown := set(receipt.layouts) - set(known_layouts(receipt.layouts)):
        return f"is also in {min(unknown)}, which this version does not know"
    return "is claimed by a run that is at work, or died" if receipt.claim is not None else None
