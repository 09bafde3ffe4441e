"""How an attempt at a unit begins: read the receipt, observe the objects, claim (`publish.py` says why so)."""

from __future__ import annotations

from market_data.errors import LakeError
from market_data.index.store import ensure_part
from market_data.ingest.assess import PublicationTarget, WantedUnit, assess
from market_data.ingest.objects import observe
from market_data.ingest.publish import Attempt
from market_data.lake.base import TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import (
    receipt_key,
)
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt


def begin(lake: TickLake, wanted: WantedUnit, target: PublicationTarget, writer: str) -> Attempt:
    """Read, observe and claim a unit; of one that is whole and current nothing is written but what the index lacks.

    Raises LakeConflict (transient) when another writer claims at the same moment, LakeError (permanent) when the unit
    was filled from another origin, LakeFormatTooNew (permanent) when a later version must write it.
    """
    unit = wanted.unit
    receipt, generation = load_receipt(lake, unit)
    known = receipt or Receipt(origin=target.origin, venue=unit.venue, data_type=unit.data_type, day=unit.day)
    if known.origin != target.origin:
        raise LakeError(f"{unit} was filled from {known.origin}, this run reads from {target.origin}: use another lake")
    ensure_writable(known, lake.uri(receipt_key(unit)))
    observed = observe(lake, known, (file.instrument_type for file in wanted.expected), target.layouts)
    work = assess(known, wanted, observed, target, writer)
    attempt = Attempt(lake, target, writer, work, observed, known, generation)
    if work.is_current:
        ensure_part(lake, known, generation)
    else:
        attempt.save(work.claimed)
    return attempt
