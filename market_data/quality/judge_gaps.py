"""The use case: look for the gaps of a venue's day, tell their causes, and keep both where readers find them.

Asks the vendor for nothing and changes nothing that is published. May run again at any time: what was judged by the
same is not judged again, and a unit that a run is at work on is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from market_data.index.store import save_judged
from market_data.ingest.objects import delete_observed
from market_data.lake.base import TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import gaps_key, receipt_key
from market_data.lake.origin import ensure_lake_writable
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.gap_look import GapLook
from market_data.quality.gap_rules import GAP_RULE_NAMES, GAP_RULES, judge_gaps_of_file
from market_data.quality.gap_table import load_gaps, save_gaps
from market_data.quality.measure import series_of
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.ticks.rules import Rule

_RULES = dict.fromkeys(DataType, GAP_RULES)


@dataclass(frozen=True, slots=True)
class JudgedUnit:
    """One unit after a look: its gaps (`GAPS_SCHEMA`; None: not looked for), and why it was left alone."""

    unit: DataTypeDay
    gaps: pl.DataFrame | None = None
    days_before: int = 0
    left_alone: str | None = None


def judge_gaps(
    lake: TickLake,
    venue: str,
    data_types: Sequence[DataType],
    day: date,
    rules: Mapping[DataType, Iterable[Rule]] = _RULES,
) -> list[JudgedUnit]:
    """Judge each unit of a venue's day that is whole: keep its rhythm and its gaps, and name them in its receipt.

    Raises LakeConflict (transient) when a run changed a receipt meanwhile; LakeUnavailable (transient);
    LakeFormatTooNew (permanent) for a lake or a receipt that a later version must write; LakeError.
    """
    ensure_lake_writable(lake)
    read = {data_type: load_receipt(lake, DataTypeDay(venue, data_type, day)) for data_type in data_types}
    held = {data_type: (receipt, generation) for data_type, (receipt, generation) in read.items() if receipt}
    alone = {data_type: _why_left_alone(receipt) for data_type, (receipt, _) in read.items()}
    whole = {data_type: receipt for data_type, (receipt, _) in held.items() if alone[data_type] is None}
    look = GapLook(lake, venue, day, whole)
    judged = []
    for data_type in data_types:
        unit = DataTypeDay(venue, data_type, day)
        if data_type not in whole:
            judged.append(JudgedUnit(unit, left_alone=alone[data_type]))
            continue
        gaps = look.gaps_of(data_type)
        receipt, generation = held[data_type]
        ensure_writable(receipt, lake.uri(receipt_key(unit)))
        named = save_gaps(lake, receipt, gaps, look.visible_of(data_type), look.days_before[data_type])
        changed = _with_findings(receipt, gaps, tuple(rules[data_type])).changed(gaps=named)
        _keep(lake, receipt, generation, changed)
        judged.append(JudgedUnit(unit, gaps, look.days_before[data_type]))
    return judged


def _why_left_alone(receipt: Receipt | None) -> str | None:
    if receipt is None:
        return "not run"
    if receipt.claim is not None or not receipt.is_settled:
        return "a run is at work on it, or was stopped: run the day again"
    if not receipt.is_complete:
        return "not whole: its gaps are judged once it is"
    return None


def recall_gaps(lake: TickLake, receipt: Receipt) -> JudgedUnit | None:
    """Return what the last look at a unit found, as its receipt has it; None where nobody has looked.

    Raises LakeError (permanent) where the table that the receipt names is missing or damaged.
    """
    if (why := _why_left_alone(receipt)) is not None:
        return JudgedUnit(receipt.unit, left_alone=why)
    judged = receipt.gaps_in_force
    return JudgedUnit(receipt.unit, load_gaps(lake, receipt.unit, judged), judged.days_before) if judged else None


def _keep(lake: TickLake, receipt: Receipt, generation: int, changed: Receipt) -> None:
    """Name the gaps in the receipt; what it named before is deleted once nobody names it."""
    if changed == receipt:
        return
    save_judged(lake, changed, generation, "its gaps were judged")
    former = receipt.gaps
    if former is not None and changed.gaps is not None and former.content_id != changed.gaps.content_id:
        delete_observed(lake, gaps_key(receipt.unit, former.content_id))


def _with_findings(receipt: Receipt, gaps: pl.DataFrame, rules: tuple[Rule, ...]) -> Receipt:
    series: dict[str, list[str]] = {}
    for item in receipt.objects:
        series.setdefault(item.vendor_symbol, []).append(series_of(item, receipt.unit))
    found = []
    for file in receipt.files:
        keys = series.get(file.vendor_symbol, [file.instrument_key] if file.instrument_key else [])
        own = gaps.filter(pl.col("instrument_key").is_in(keys))
        if not own.is_empty() or any(item.rule in GAP_RULE_NAMES for item in file.findings):
            found.append(file.found(GAP_RULE_NAMES, judge_gaps_of_file(own, rules)))
    return receipt.with_evidence(found)
