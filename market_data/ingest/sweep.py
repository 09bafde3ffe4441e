"""The use case: delete what no receipt names any more, of units that nobody is at work on.

Runs do so with their own days. This is for what a killed run left of a day that nobody runs again, for what was
replaced and is kept for a while (`limits: keep_replaced_hours`), and for what a bucket refused to delete.

It is sound as a commit's deletes are (`publish.py`): the objects were observed while the receipt stood without a claim
(it is read before and after), and it does not name them. Whoever claims later and needs one of them writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from market_data.ingest.assess import unnamed_objects
from market_data.ingest.objects import delete_observed, observe
from market_data.lake.base import READERS, ObjectStat, TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import is_of_data, receipt_key
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt, State
from market_data.receipts.store import load_receipt


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one unit's objects that no receipt names; `left_alone` says why none was looked at."""

    unit: DataTypeDay
    deleted: int = 0
    deleted_bytes: int = 0
    kept: int = 0
    refused: int = 0
    left_alone: str | None = None


def sweep_unit(lake: TickLake, unit: DataTypeDay, keep_replaced: timedelta, now: Callable[[], datetime]) -> Swept:
    """Delete what the receipt of a unit does not name, but for data that it has named until `keep_replaced` ago.

    Raises LakeFormatTooNew (permanent) for a receipt that a later version must write, LakeError of any kind.
    """
    receipt, generation = load_receipt(lake, unit)
    if receipt is None:
        return Swept(unit, left_alone="not run")
    ensure_writable(receipt, lake.uri(receipt_key(unit)))
    if receipt.claim is not None or not receipt.is_settled:
        return Swept(unit, left_alone="a run is at work on it, or was stopped: run the day again")
    observed = observe(lake, receipt)
    if load_receipt(lake, unit)[1] != generation:
        return Swept(unit, left_alone="a run has just begun")
    unnamed = unnamed_objects(receipt, observed)
    due = [stat for stat in unnamed if _is_due(receipt, stat, now() - keep_replaced)]
    with ThreadPoolExecutor(READERS) as pool:
        gone = list(pool.map(lambda stat: delete_observed(lake, stat.key, stat.generation), due))
    sizes = [stat.size_bytes for stat, is_gone in zip(due, gone, strict=True) if is_gone]
    return Swept(unit, len(sizes), sum(sizes), len(unnamed) - len(due), len(due) - len(sizes))


def _is_due(receipt: Receipt, stat: ObjectStat, before: datetime) -> bool:
    if receipt.state == State.DELETED or receipt.committed_at is None or not is_of_data(stat.key):
        return True
    return receipt.committed_at <= before
