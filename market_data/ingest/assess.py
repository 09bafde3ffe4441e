"""What has to be done for a unit: from its receipt, what is wanted, and what was observed in the lake. Pure.

After a takeover every file is decoded again, for the sake of its raw object (see `publish.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from market_data.lake.base import ObjectStat
from market_data.lake.keys import failed_key, is_raw_with_id, raw_key, raw_prefix
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt, State

_CHANGEABLE = frozenset({Outcome.STORED, Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED})


@dataclass(frozen=True, slots=True)
class PublicationTarget:
    """What a publication is made for: the lake's origin, its layouts, the decoder, the configuration it came from.

    `keep_replaced`: how long what it replaces stays in the lake; a sweep takes it away then.
    """

    origin: str
    layouts: tuple[str, ...]
    decoder_version: str
    config_hash: str
    keep_replaced: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class WantedUnit:
    """What is wanted of a unit: its expected tick files, and the reasons of those that are `waived`, by vendor symbol.

    `instruments_listed` and `doubt` go into the receipt; `is_refresh` asks the vendor about every file.
    """

    unit: DataTypeDay
    expected: Sequence[TickFile]
    instruments_listed: int | None = None
    doubt: str | None = None
    waived: Mapping[str, str] = field(default_factory=dict)
    is_refresh: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done for a unit; `claimed` is the receipt to begin with.

    `to_acquire` are the files without proof; `to_rebuild` those to be decoded (again) from raw/; `to_refresh` those
    with proof that the vendor may have changed, or may offer by now. `is_takeover`: another writer was at work, or died
    at it, or a person took something out. `is_current`: nothing is to be done.
    """

    claimed: Receipt
    is_takeover: bool
    is_current: bool
    to_acquire: tuple[FileEvidence, ...]
    to_rebuild: tuple[FileEvidence, ...]
    to_refresh: tuple[FileEvidence, ...]


def assess(
    known: Receipt, wanted: WantedUnit, observed: Mapping[str, ObjectStat], target: PublicationTarget, writer: str
) -> Work:
    """Return what is to be done for a unit whose receipt is `known`; `observed` is by object key, with checksums."""
    # what was taken out of the lake may still be about to be deleted
    is_out = known.state == State.DELETED or any(file.outcome is Outcome.REMOVED for file in known.files)
    is_out = is_out or (known.state == State.OPEN and bool(known.removals))
    is_takeover = known.claim is not None or not known.is_settled or is_out
    has_objects = not is_takeover and _is_published(known, observed, target)
    claimed = _claim(known, wanted, observed, target, writer)
    published = {item.vendor_symbol for item in known.objects} if has_objects else set()
    stored = (file for file in claimed.files if file.outcome is Outcome.STORED)
    to_rebuild = tuple(file for file in stored if file.vendor_symbol not in published)
    to_refresh = tuple(_changeable(claimed, wanted))
    # what is kept for a while is no work for a run
    unnamed = [] if target.keep_replaced else unnamed_objects(known, observed)
    has_work = bool(claimed.open_files or to_rebuild or to_refresh or unnamed)
    return Work(
        claimed=claimed,
        is_takeover=is_takeover,
        is_current=has_objects and not has_work and (claimed.files, claimed.doubt) == (known.files, known.doubt),
        to_acquire=claimed.open_files,
        to_rebuild=to_rebuild,
        to_refresh=to_refresh,
    )


def _claim(
    known: Receipt, wanted: WantedUnit, observed: Mapping[str, ObjectStat], target: PublicationTarget, writer: str
) -> Receipt:
    """Return the receipt with the writer's claim, and open whatever has lost its proof."""
    claimed = known.claimed_by(writer, wanted.expected, target.config_hash, wanted.instruments_listed, wanted.doubt)
    unproven = [file.opened() for file in claimed.files if not _has_proof(wanted.unit, file, observed)]
    return claimed.with_evidence(unproven).with_waivers(wanted.waived)


def _changeable(claimed: Receipt, wanted: WantedUnit) -> list[FileEvidence]:
    """Return the wanted files that the vendor is asked about although they are accounted for."""
    symbols = {file.vendor_symbol for file in wanted.expected}
    files = [file for file in claimed.files if file.vendor_symbol in symbols]
    return [file for file in files if file.is_provisional or (wanted.is_refresh and file.outcome in _CHANGEABLE)]


def _is_published(known: Receipt, observed: Mapping[str, ObjectStat], target: PublicationTarget) -> bool:
    """Whether all that the receipt names is there, as this decoder would write it into these layouts."""
    is_held = all(is_object_held(known.unit, item, observed) for item in known.objects)
    return is_held and known.is_published_by(target.decoder_version, target.layouts)


def _has_proof(unit: DataTypeDay, file: FileEvidence, observed: Mapping[str, ObjectStat]) -> bool:
    if file.has_bytes:
        stat = observed.get(raw_key(unit, file.vendor_symbol, file.raw_id))
        return stat is not None and (stat.size_bytes, stat.crc32c) == (file.size_bytes, file.crc32c)
    return file.is_accounted


def is_object_held(unit: DataTypeDay, item: PublishedObject, observed: Mapping[str, ObjectStat]) -> bool:
    """Whether a published object is in every layout as the receipt describes it."""
    stats = [observed.get(key) for key in item.object_keys(unit).values()]
    return all(stat and (stat.size_bytes, stat.crc32c) == (item.size_bytes, item.crc32c) for stat in stats)


def unnamed_objects(receipt: Receipt, observed: Mapping[str, ObjectStat]) -> list[ObjectStat]:
    """Return the observed objects that the receipt does not name: published, staged, or kept aside for no reason.

    Of raw ones only those that were taken out, were replaced, or were to replace others: the rest are the vendor's
    bytes of files that nobody asks for any more.
    """
    if receipt.state == State.DELETED:
        return list(observed.values())
    unit = receipt.unit
    named = {key for item in receipt.objects for key in item.object_keys(unit).values()}
    named |= {
        failed_key(unit, file.vendor_symbol) for file in receipt.open_files if file.outcome is not Outcome.REMOVED
    }
    held = [file for file in receipt.files if file.outcome is not Outcome.REMOVED]
    named |= {raw_key(unit, file.vendor_symbol, file.raw_id) for file in held}
    replaced = {
        raw_key(unit, file.vendor_symbol) for file in receipt.files if file.raw_id or file.outcome is Outcome.REMOVED
    }
    folder = raw_prefix(unit)
    return [
        stat
        for key, stat in observed.items()
        if key not in named and (not key.startswith(folder) or key in replaced or is_raw_with_id(key))
    ]
