"""The use case: hold the data types of a venue's day against each other, and keep what is found where readers find it.

Reads every row of the day, off the venue-day. Asks the vendor for nothing and changes nothing that is published.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from market_data.index.store import save_judged
from market_data.lake.base import TickLake
from market_data.lake.format import ensure_writable
from market_data.lake.keys import object_key, receipt_key
from market_data.lake.origin import ensure_lake_writable
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.agreement import TICKER, TRADES, compare_day
from market_data.quality.agreement_rules import (
    AGREEMENT_RULE_NAMES,
    AGREEMENT_RULES,
    RISE,
    SHIFT,
    judge_numbers,
    rise_over,
    shift_from,
    times_of,
)
from market_data.quality.agreement_table import (
    AGREEMENT_SCHEMA,
    BOOK_END,
    VERIFIABILITY,
    JudgedAgreement,
    basis_of_agreement,
    save_agreement,
)
from market_data.quality.book_day import L2, Batches, Compared
from market_data.quality.hours import instant_of
from market_data.quality.past import Past
from market_data.quality.published_rows import named_errors, read_batches
from market_data.quality.rhythm_table import load_rhythm
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import EVIDENCE, IDS, NONE, SECOND_STREAM, PublishedObject, Receipt
from market_data.receipts.store import load_receipt
from market_data.ticks.rules import Finding, Rule

_LIQUID_ROWS, _FEWEST_COMPARED = 1_000, 100
_OF_BOOKS = {L2, TICKER, DataType.QUOTES, DataType.BOOK_SNAPSHOT_5, DataType.BOOK_SNAPSHOT_25}
_FEW_DAYS = "too few of the days before were compared, or no rule asks for it"
_FEW_WEEKDAYS = "too few of the same weekdays before were compared"
_RULES = dict.fromkeys(DataType, AGREEMENT_RULES)


def judge_agreement(
    lake: TickLake,
    venue: str,
    data_types: Sequence[DataType],
    day: date,
    rules: Mapping[DataType, Iterable[Rule]] = _RULES,
) -> JudgedAgreement:
    """Compare each instrument's data types of a day, keep the table, and put findings into the receipts.

    Raises LakeConflict (transient) when a run changed a receipt meanwhile, LakeUnavailable (transient), LakeError.
    """
    ensure_lake_writable(lake)
    read = {data_type: load_receipt(lake, DataTypeDay(venue, data_type, day)) for data_type in data_types}
    held = {it: (receipt, generation) for it, (receipt, generation) in read.items() if _can_be_judged(receipt)}
    receipts = {data_type: receipt for data_type, (receipt, _) in held.items() if receipt is not None}
    alone = {
        it: "not run" if read[it][0] is None else "not whole, or a run is at work"
        for it in data_types
        if it not in held
    }
    past, with_ids = Past.load(lake, venue, day), _with_contiguous_ids(lake, receipts)
    files = {(kind, file.vendor_symbol): file for kind, receipt in receipts.items() for file in receipt.files}
    rows: list[dict[str, Any]] = []
    findings: dict[tuple[DataType, str], list[Finding]] = {}
    for key, objects in sorted(_instruments(receipts).items()):
        look = _InstrumentLook(lake, receipts, key, objects, files=files, past=past, has_ids=key in with_ids)
        rows += look.rows(rules)
        for data_type, found in look.findings.items():
            findings.setdefault((data_type, objects[data_type].vendor_symbol), []).extend(found)
    table = pl.DataFrame(rows, schema=AGREEMENT_SCHEMA)
    if receipts:
        save_agreement(
            lake, venue, day, table, basis_of_agreement(receipts.values(), has_day_before=past.has_day_before)
        )
    for data_type, receipt in receipts.items():
        own = {symbol: found for (kind, symbol), found in findings.items() if kind is data_type}
        _keep(lake, held[data_type], _with_findings(_with_evidence(receipt, table, with_ids), own))
    return JudgedAgreement(venue, day, table, alone)


def _can_be_judged(receipt: Receipt | None) -> bool:
    return receipt is not None and receipt.claim is None and receipt.is_settled and receipt.is_complete


def _with_contiguous_ids(lake: TickLake, receipts: Mapping[DataType, Receipt]) -> set[str]:
    """Return the instruments whose trade ids rise by one, so that a missing trade shows."""
    trades = receipts.get(TRADES)
    rhythm = load_rhythm(lake, trades.unit, trades.committed_at) if trades else None
    return set() if rhythm is None else set(rhythm.filter(pl.col("has_contiguous_ids"))["instrument_key"])


def _instruments(receipts: Mapping[DataType, Receipt]) -> dict[str, dict[DataType, PublishedObject]]:
    """Return the published object of each single instrument and data type; grouped files have nothing to compare."""
    found: dict[str, dict[DataType, PublishedObject]] = {}
    for data_type, receipt in receipts.items():
        for item in receipt.objects:
            if item.instrument_key is not None:
                found.setdefault(item.instrument_key, {})[data_type] = item
    return found


@dataclass
class _InstrumentLook:
    """One instrument's day: its comparisons, judged against the days before."""

    lake: TickLake
    receipts: Mapping[DataType, Receipt]
    key: str
    objects: Mapping[DataType, PublishedObject]
    files: Mapping[tuple[DataType, str], FileEvidence]
    past: Past
    has_ids: bool
    findings: dict[DataType, list[Finding]] = field(default_factory=dict)

    def rows(self, rules: Mapping[DataType, Iterable[Rule]]) -> list[dict[str, Any]]:
        """Return the rows of the table, and note the findings of each data type."""
        with tempfile.TemporaryDirectory(prefix="market_data-") as folder:
            held = {it: self._batches(it, item, Path(folder)) for it, item in self.objects.items()}
            compared, end = compare_day(held, self.past.end_of(self.key))
        compared = [*compared, *self._of_receipts()]
        rows = [self._judged(item, rules) for item in compared]
        if end is not None:
            last = {"last_bid": end.bid, "last_ask": end.ask, "last_us": end.time_us}
            rows.append(_row(self.key, BOOK_END) | last)
        has_stream = any(it.compared >= _FEWEST_COMPARED and it.data_types == (L2, TICKER) for it in compared)
        told = SECOND_STREAM if has_stream else IDS if self.has_ids else NONE
        return [*rows, _row(self.key, VERIFIABILITY) | {"told": told}]

    def _batches(self, data_type: DataType, item: PublishedObject, folder: Path) -> Batches:
        receipt = self.receipts[data_type]
        key = object_key(receipt.known_layouts[0], item.name(receipt.unit))

        def read() -> Iterator[pl.DataFrame]:
            with named_errors(self.lake, receipt, key):
                yield from read_batches(self.lake.fetch_file(key, folder), data_type)

        return read

    def _of_receipts(self) -> Iterator[Compared]:
        """Yield what the receipts know: the usual delay, and how many rows there were."""
        for data_type, item in self.objects.items():
            file = self.files[data_type, item.vendor_symbol]
            delay = file.stats.value("median_delay_seconds") if file.stats else None
            if delay is not None:
                yield Compared(f"median_delay_seconds {data_type}", (data_type,), item.rows, value=delay)
            yield Compared(f"rows {data_type}", (data_type,), item.rows, value=float(item.rows))

    def _judged(self, item: Compared, rules: Mapping[DataType, Iterable[Rule]]) -> dict[str, Any]:
        row = _row(self.key, item.name) | {
            "accused": [it.value for it in item.data_types],
            "compared": item.compared,
            "equal": item.equal,
            "value": item.value,
            "spans": [{"start": instant_of(start), "end": instant_of(end)} for start, end in item.spans],
        }
        if item.value is None:
            return row | {"verdict": "not_judged", "told": item.why or "nothing to judge it by"}
        numbers, number, why_not = self._numbers(item)
        if not any(rule.statistic in numbers for it in item.data_types for rule in rules[it]):
            return row | {"number": number, "verdict": "not_judged", "told": why_not}
        found = {it: judge_numbers(numbers, _told(item), rules[it]) for it in item.data_types}
        for data_type, findings in found.items():
            self.findings.setdefault(data_type, []).extend(findings)
        every = [finding for findings in found.values() for finding in findings]
        verdict = "error" if any(it.severity.is_error for it in every) else "warn" if every else "ok"
        worst = sorted(every, key=lambda it: not it.severity.is_error)
        return row | {"number": number, "verdict": verdict, "told": worst[0].text if worst else ""}

    def _numbers(self, item: Compared) -> tuple[dict[str, float], float | None, str]:
        """Return the statistics that rules may ask of a comparison, the one against the days before, why none is."""
        assert item.value is not None  # noqa: S101
        kind = item.name.partition(" ")[0]
        past = self.past.values(self.key, item.name)
        if kind == "median_delay_seconds":
            shift = None if self.past.has_moved() else shift_from(item.value, past)
            why = "the vendor moved its recorder in the weeks before" if self.past.has_moved() else _FEW_DAYS
            return ({} if shift is None else {kind + SHIFT: shift}), shift, why
        if kind == "rows":
            times = times_of(item.value, self.past.weekday_values(self.key, item.name))
            why = self._why_not_rows(item) or (_FEW_WEEKDAYS if times is None else "")
            return ({} if times is None or why else {"rows_over_weekdays": times}), times, why
        rise = rise_over(item.value, past)
        return {kind: item.value} | ({} if rise is None else {kind + RISE: rise}), rise, _FEW_DAYS

    def _why_not_rows(self, item: Compared) -> str:
        if item.compared <= _LIQUID_ROWS:
            return f"{_LIQUID_ROWS:,} rows or fewer"
        return "gaps, or its first or last day, explain how many there are" if self._has_gaps(item) else ""

    def _has_gaps(self, item: Compared) -> bool:
        """Whether gaps, or its first or last day, explain that there are fewer rows."""
        data_type = item.data_types[0]
        file = self.files[data_type, self.objects[data_type].vendor_symbol]
        return file.is_first_day or file.is_last_day or any(it.family == "gaps" for it in file.findings)


def _row(key: str, comparison: str) -> dict[str, Any]:
    return dict.fromkeys(AGREEMENT_SCHEMA) | {
        "instrument_key": key,
        "comparison": comparison,
        "verdict": "ok",
        "told": "",
    }


def _told(item: Compared) -> dict[str, str]:
    if not item.spans:
        return {}
    start, end = (instant_of(it) for it in item.spans[0])
    return {item.name: f", longest {start:%H:%M:%S} to {end:%H:%M:%S}"}


def _keep(lake: TickLake, held: tuple[Receipt | None, int], judged: Receipt) -> None:
    receipt, generation = held
    ensure_writable(judged, lake.uri(receipt_key(judged.unit)))
    if judged != receipt:
        save_judged(lake, judged, generation, "it was judged")


def _with_evidence(receipt: Receipt, table: pl.DataFrame, with_ids: set[str]) -> Receipt:
    """Say in a receipt by what its instruments' rows can be verified; what lies in grouped files by nothing.

    Ids are those of trades, and say nothing of books; a second stream of best prices nothing of trades.
    """
    gaps = receipt.gaps_in_force
    if gaps is None:
        return receipt
    with_stream = table.filter(pl.col("comparison") == VERIFIABILITY, pl.col("told") == SECOND_STREAM)
    kind, keys = NONE, set[str]()
    if receipt.data_type is TRADES:
        kind, keys = IDS, with_ids
    elif receipt.data_type in _OF_BOOKS:
        kind, keys = SECOND_STREAM, set(with_stream["instrument_key"])
    found = Counter(kind if item.instrument_key in keys else NONE for item in receipt.objects)
    return receipt.changed(gaps=gaps.changed(verifiable={it: found[it] for it in EVIDENCE}))


def _with_findings(receipt: Receipt, findings: Mapping[str, list[Finding]]) -> Receipt:
    """Put the findings into a receipt, by vendor symbol, and take out those that hold no more."""

    def changed(file: FileEvidence) -> FileEvidence:
        return file.found(AGREEMENT_RULE_NAMES, _once(findings.get(file.vendor_symbol, [])))

    concerned = [it for it in receipt.files if it.vendor_symbol in findings or _has_findings(it)]
    return receipt.with_evidence(map(changed, concerned))


def _has_findings(file: FileEvidence) -> bool:
    return any(finding.rule in AGREEMENT_RULE_NAMES for finding in file.findings)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    return list({finding.rule: finding for finding in findings}.values())
