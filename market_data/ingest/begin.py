"""How an attempt at a unit begins: read the receipt, observe the objects, claim. See `publish.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from market_data.errors import LakeError
from market_data.ingest.publish import Attempt, PublicationTarget, _is_held, _unnamed
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import (
    LAYOUTS,
    failed_prefix,
    object_key,
    object_prefix,
    raw_key,
    raw_prefix,
    staging_prefix,
)
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.receipt import FileEvidence, Receipt, open_file
from market_data.receipts.store import load_receipt


def begin(
    lake: TickLake,
    unit: DataTypeDay,
    expected: Sequence[TickFile],
    target: PublicationTarget,
    writer: str,
    *,
    instruments_listed: int | None = None,
    waived: Mapping[str, str] | None = None,
    is_refresh: bool = False,
) -> Attempt:
    """Read, observe and claim a unit; nothing is written when the unit is published whole and current.

    `instruments_listed` goes into the receipt; `waived` gives the reasons of waived files by vendor symbol;
    `is_refresh` asks the vendor about every file.

    Raises LakeConflict (transient) when another writer claims at the same moment, LakeError (permanent) when the unit
    was filled from another origin.
    """
    receipt, generation = load_receipt(lake, unit)
    known = receipt or Receipt(origin=target.origin, venue=unit.venue, data_type=unit.data_type, day=unit.day)
    if known.origin != target.origin:
        raise LakeError(f"{unit} was filled from {known.origin}, this run reads from {target.origin}: use another lake")
    claimed = known.claimed_by(writer, expected, target.config_hash, instruments_listed)
    observed = _observe(lake, known, claimed, target)
    is_takeover = known.claim is not None or known.state == "replacing"
    claimed = claimed.with_evidence(open_file(file) for file in claimed.files if not _has_proof(unit, file, observed))
    claimed = claimed.with_waivers(waived or {})
    to_acquire = claimed.open_files
    has_objects = (
        not is_takeover
        and all(_is_held(unit, item, observed) for item in known.objects)
        and known.is_published_by(target.decoder_version, target.layouts)
    )
    published = {item.vendor_symbol for item in known.objects} if has_objects else set()
    to_rebuild = tuple(
        file for file in claimed.files if file.outcome is Outcome.STORED and file.vendor_symbol not in published
    )
    wanted = {file.vendor_symbol for file in expected}
    to_refresh = tuple(
        file
        for file in claimed.files
        if file.vendor_symbol in wanted and (file.is_provisional or (is_refresh and _can_change(file)))
    )
    has_work = bool(to_acquire or to_rebuild or to_refresh or _unnamed(known, observed))
    is_current = has_objects and not has_work and claimed.files == known.files
    attempt = Attempt(
        lake,
        unit,
        target,
        writer,
        known,
        generation,
        observed,
        is_current,
        is_takeover,
        to_acquire,
        to_rebuild,
        to_refresh,
    )
    if not is_current:
        attempt.save(claimed)
    return attempt


def _observe(lake: TickLake, known: Receipt, claimed: Receipt, target: PublicationTarget) -> dict[str, ObjectStat]:
    """Return what is under the unit's folders, by key, with checksums wherever they can matter.

    Looks also where only an earlier attempt can have written: in all layouts, for all instrument types known of.
    """
    types = {file.instrument_type for file in (*known.files, *claimed.files)}
    types |= {item.instrument_type for item in known.objects}
    prefixes = [raw_prefix(known.unit), failed_prefix(known.unit), staging_prefix(known.unit)]
    for layout in dict.fromkeys((*LAYOUTS, *target.layouts, *known.layouts)):
        prefixes += [object_prefix(layout, known.unit, instrument_type) for instrument_type in sorted(types)]
    observed = {stat.key: stat for prefix in prefixes for stat in lake.list_objects(prefix)}
    settled = _settled_checksums(known)
    if any(stat.crc32c is None and settled.get(stat.key, (0, ""))[0] != stat.generation for stat in observed.values()):
        # a local lake reads bytes for a checksum: only where the receipt does not know these very writes
        return {stat.key: stat for prefix in prefixes for stat in lake.list_objects(prefix, with_crc32c=True)}
    return {key: stat if stat.crc32c else replace(stat, crc32c=settled[key][1]) for key, stat in observed.items()}


def _settled_checksums(receipt: Receipt) -> dict[str, tuple[int, str]]:
    settled = {
        object_key(layout, item.name(receipt.unit)): (generation, item.crc32c)
        for item in receipt.objects
        for layout, generation in item.generations.items()
    }
    for file in receipt.files:
        if file.generation is not None and file.crc32c is not None:
            settled[raw_key(receipt.unit, file.vendor_symbol)] = (file.generation, file.crc32c)
    return settled


def _can_change(file: FileEvidence) -> bool:
    return file.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED}


def _has_proof(unit: DataTypeDay, file: FileEvidence, observed: Mapping[str, ObjectStat]) -> bool:
    if file.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY}:
        stat = observed.get(raw_key(unit, file.vendor_symbol))
        return stat is not None and (stat.size_bytes, stat.crc32c) == (file.size_bytes, file.crc32c)
    return file.is_accounted
