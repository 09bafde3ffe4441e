"""The use case: judge the ticks of a published unit anew, by the rules as they are now, without the vendor.

Findings stand in the receipt, where readers without Dagster see them, and are made when a file is decoded. Changed
limits (`quality:` in the venues file) would show with the next publication only; this shows them at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from market_data.index.store import save_judged
from market_data.lake.base import TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import object_key, receipt_key
from market_data.lake.origin import ensure_lake_writable
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.ticks.rules import Rule, TickStats, judge_ticks
from market_data.ticks.stats import measure_ticks


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One unit after a look: its receipt (None: never run), the files whose verdict changed, why it was left alone."""

    receipt: Receipt | None
    changed: tuple[str, ...] = ()
    left_alone: str | None = None


def recheck_unit(lake: TickLake, unit: DataTypeDay, rules: Iterable[Rule]) -> Rechecked:
    """Judge every stored file of a unit anew; save the receipt when a verdict changed, and write nothing else.

    Files that an earlier version published without statistics are measured now, on their published object. A grouped
    file that was split over several objects stays unchecked until its next publication: order, silence and repeats
    look at neighbouring rows, so the pieces do not add up to the whole.

    Raises LakeConflict (transient) when a run changed the receipt meanwhile; LakeUnavailable
    (transient); LakeFormatTooNew (permanent) for a lake or a receipt that a later version must write; LakeError.
    """
    ensure_lake_writable(lake)
    receipt, generation = load_receipt(lake, unit)
    if receipt is None:
        return Rechecked(None)
    ensure_writable(receipt, lake.uri(receipt_key(unit)))
    if receipt.claim is not None or not receipt.is_settled:
        # its writer saves the files as it knows them: what is judged here would be lost, or be of other objects
        return Rechecked(receipt, left_alone=f"{unit}: its verdict stays, for a run is at work on it or died at it")
    rules = tuple(rules)
    judged = receipt.with_evidence(_judge(lake, receipt, file, rules) for file in receipt.files)
    pairs = zip(judged.files, receipt.files, strict=True)
    changed = tuple(file.vendor_symbol for file, before in pairs if file != before)
    if changed:
        save_judged(lake, judged, generation, "it was judged anew")
    return Rechecked(judged, changed)


def _judge(lake: TickLake, receipt: Receipt, file: FileEvidence, rules: tuple[Rule, ...]) -> FileEvidence:
    if file.outcome is not Outcome.STORED:
        return file
    stats = file.stats or _measure(lake, receipt, file)
    if stats is None:
        return file
    findings = judge_ticks(
        stats, file.instrument_type, rules, is_first_day=file.is_first_day, is_last_day=file.is_last_day
    )
    return file.judged(stats, findings)


def _measure(lake: TickLake, receipt: Receipt, file: FileEvidence) -> TickStats | None:
    """Return the statistics of a file's one object, None where there is none that is just as the receipt says."""
    objects = [item for item in receipt.objects if item.vendor_symbol == file.vendor_symbol]
    if len(objects) != 1 or objects[0].rows != file.rows or not receipt.known_layouts:
        return None
    key = object_key(receipt.known_layouts[0], objects[0].name(receipt.unit))
    stat = lake.stat(key)
    if stat is None or (stat.size_bytes, stat.crc32c) != (objects[0].size_bytes, objects[0].crc32c):
        return None  # the check `row_conservation` tells of it
    with tempfile.TemporaryDirectory(prefix="market_data-") as folder:
        return measure_ticks(lake.fetch_file(key, Path(folder)), receipt.data_type)
