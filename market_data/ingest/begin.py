"""How an attempt at a unit begins: read the receipt, observe the objects, claim (`publish.py` says why so)."""

from __future__ import annotations

from dataclasses import replace

from market_data.errors import LakeError
from market_data.ingest.assess import PublicationTarget, WantedUnit, assess
from market_data.ingest.publish import Attempt
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import (
    LAYOUTS,
    failed_prefix,
    object_prefix,
    raw_key,
    raw_prefix,
    receipt_key,
    staging_prefix,
)
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt


def begin(lake: TickLake, wanted: WantedUnit, target: PublicationTarget, writer: str) -> Attempt:
    """Read, observe and claim a unit; nothing is written when the unit is published whole and current.

    Raises LakeConflict (transient) when another writer claims at the same moment, LakeError (permanent) when the unit
    was filled from another origin, LakeFormatTooNew (permanent) when a later version must write it.
    """
    unit = wanted.unit
    receipt, generation = load_receipt(lake, unit)
    known = receipt or Receipt(origin=target.origin, venue=unit.venue, data_type=unit.data_type, day=unit.day)
    if known.origin != target.origin:
        raise LakeError(f"{unit} was filled from {known.origin}, this run reads from {target.origin}: use another lake")
    ensure_writable(known, lake.uri(receipt_key(unit)))
    observed = _observe(lake, known, wanted, target)
    work = assess(known, wanted, observed, target, writer)
    attempt = Attempt(lake, target, writer, work, observed, known, generation)
    if not work.is_current:
        attempt.save(work.claimed)
    return attempt


def _observe(lake: TickLake, known: Receipt, wanted: WantedUnit, target: PublicationTarget) -> dict[str, ObjectStat]:
    """Return what is under the unit's folders, by key, with checksums wherever they can matter.

    Looks also where only an earlier attempt can have written: in all layouts, for all instrument types known of.
    """
    types = {item.instrument_type for item in known.objects}
    types |= {file.instrument_type for file in known.files} | {file.instrument_type for file in wanted.expected}
    prefixes = [raw_prefix(known.unit), failed_prefix(known.unit), staging_prefix(known.unit)]
    for layout in dict.fromkeys((*LAYOUTS, *target.layouts, *known.known_layouts)):
        prefixes += [object_prefix(layout, known.unit, instrument_type) for instrument_type in sorted(types)]
    observed = {stat.key: stat for prefix in prefixes for stat in lake.list_objects(prefix)}
    settled = _settled_checksums(known)
    if any(stat.crc32c is None and settled.get(stat.key, (0, ""))[0] != stat.generation for stat in observed.values()):
        # a local lake reads bytes for a checksum: only where the receipt does not know these very writes
        return {stat.key: stat for stat in lake.list_folders(prefixes, with_crc32c=True)}
    return {key: stat if stat.crc32c else replace(stat, crc32c=settled[key][1]) for key, stat in observed.items()}


def _settled_checksums(receipt: Receipt) -> dict[str, tuple[int, str]]:
    settled = {
        key: (item.generations[layout], item.crc32c)
        for item in receipt.objects
        for layout, key in item.object_keys(receipt.unit).items()
    }
    for file in receipt.files:
        if file.generation is not None and file.crc32c is not None:
            settled[raw_key(receipt.unit, file.vendor_symbol, file.raw_id)] = (file.generation, file.crc32c)
    return settled
