"""Validation rules: pure functions of what the lake holds of one unit (venue, data type, day).

Each rule looks at facts that were read back from the lake and gives a verdict: a sentence, counts, and the worst cases
as rows for people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

from market_data.lake.keys import is_named_by_content, layout_prefix, object_key
from market_data.model.data_types import TABLES
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.receipt import Receipt, State
from market_data.ticks.rules import Family

_WORST_CASES = 20


@dataclass(frozen=True, slots=True)
class HeldObject:
    """What a listing says of one object: bytes, and base64 CRC32C."""

    size_bytes: int
    crc32c: str


@dataclass(frozen=True, slots=True)
class Footer:
    """What a published file's Parquet footer says: rows, column types in order, bounds of `local_timestamp`."""

    rows: int
    columns: Mapping[str, str]
    first_local_timestamp: datetime | None
    last_local_timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What the lake holds of one unit: its receipt, the objects under its folders, and one footer for each object.

    `held` is by object key, `footers` by the object key in the receipt's first layout.
    """

    unit: DataTypeDay
    receipt: Receipt | None
    held: Mapping[str, HeldObject]
    footers: Mapping[str, Footer]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one rule: whether it passed, a sentence, counts, the worst cases as rows; an error or a warning."""

    is_passed: bool
    summary: str
    counts: Mapping[str, int] = field(default_factory=dict)
    worst: tuple[Mapping[str, str], ...] = ()
    is_error: bool = True


def judge_coverage(facts: UnitFacts) -> Verdict:
    """Judge that every expected tick file is accounted for, and the unit is committed; or a person deleted it."""
    receipt = facts.receipt
    if receipt is None:
        return Verdict(is_passed=False, summary="no receipt: this day was not run")
    counts = {"expected": len(receipt.files)} | receipt.counts()
    worst = tuple(
        {
            "vendor symbol": file.vendor_symbol,
            "outcome": file.outcome.value if file.outcome else "open",
            "error": file.error or "",
        }
        for file in receipt.open_files[:_WORST_CASES]
    )
    summary = summarize_coverage(receipt)
    if not receipt.open_files and (receipt.doubt or is_nothing_offered(receipt)):
        return Verdict(is_passed=False, summary=summary, counts=counts, worst=worst, is_error=False)
    return Verdict(receipt.is_as_wanted, summary, counts, worst)


def is_nothing_offered(receipt: Receipt) -> bool:
    """Whether the vendor says of each file that was expected that it has none: not to be believed at once."""
    return bool(receipt.files) and all(file.outcome is Outcome.NOT_OFFERED for file in receipt.files)


def summarize_coverage(receipt: Receipt) -> str:
    """Return one line: `OK 412/412, 3 empty, 0 failed`, or `OK nothing expected: ...`."""
    if receipt.state == State.DELETED:
        return receipt.removals[-1].told if receipt.removals else "deleted"
    if receipt.is_nothing_expected:
        return f"OK nothing expected: {_why_nothing(receipt)}"
    if receipt.doubt and not receipt.open_files:
        return f"IN DOUBT nothing expected: {receipt.doubt}"
    counts = receipt.counts()
    if is_nothing_offered(receipt):
        return (
            f"IN DOUBT 0 of {len(receipt.files)} stored, {counts['not_offered']} not offered: the vendor is asked again"
        )
    removed = [file for file in receipt.open_files if file.outcome is Outcome.REMOVED]
    accounted = len(receipt.files) - len(receipt.open_files)
    parts = [f"{accounted}/{len(receipt.files)}", f"{counts['vendor_empty']} empty"]
    parts += [f"{counts[name]} {name.replace('_', ' ')}" for name in ("not_offered", "waived") if counts[name]]
    parts.append(f"{len(receipt.open_files) - len(removed)} failed")
    parts += [f"{len(removed)} removed ({removed[0].error})"] if removed else []
    verdict = "OK" if receipt.is_as_wanted else "INCOMPLETE"
    return f"{verdict} {', '.join(parts)}" + ("" if receipt.is_settled else "; objects are being replaced")


def _why_nothing(receipt: Receipt) -> str:
    listed = receipt.instruments_listed
    if listed == 0:
        return "the venue listed no instrument that day"
    many = "the" if listed is None else f"the {listed:,}"
    return f"none of {many} instruments that the venue listed is both selected and offered with {receipt.data_type}"


def judge_schema(facts: UnitFacts) -> Verdict:
    """Judge that every published file has exactly the columns and types of its data type, in order."""
    wanted = {name: str(dtype) for name, dtype in TABLES[facts.unit.data_type].published_schema.items()}
    wrong = [
        {"object": key, "columns": ", ".join(f"{name} {dtype}" for name, dtype in footer.columns.items())}
        for key, footer in facts.footers.items()
        if list(footer.columns.items()) != list(wanted.items())
    ]
    return _verdict(wrong, f"{len(facts.footers)} files have the {len(wanted)} columns of {facts.unit.data_type}")


def judge_row_conservation(facts: UnitFacts) -> Verdict:
    """Judge that vendor rows = rows published, for each file, in every layout (equal checksums: equal rows)."""
    receipt = facts.receipt
    if receipt is None:
        return Verdict(is_passed=False, summary="no receipt: this day was not run")
    published = {file.vendor_symbol: 0 for file in receipt.files}
    wrong: list[Mapping[str, str]] = []
    for item in receipt.objects:
        name = item.name(facts.unit)
        footer = facts.footers.get(object_key(receipt.known_layouts[0], name))
        # an object may outlive its file in the receipt: single files supersede a grouped one, and one of them failed
        published[item.vendor_symbol] = published.get(item.vendor_symbol, 0) + (footer.rows if footer else 0)
        for layout in receipt.known_layouts:
            held = facts.held.get(object_key(layout, name))
            if held is None or held.crc32c != item.crc32c:
                found = "missing" if held is None else "other bytes"
                wrong.append({"vendor symbol": item.vendor_symbol, "layout": layout, "found": found})
    for file in receipt.files if receipt.state == State.COMMITTED else ():
        if file.is_accounted and published[file.vendor_symbol] != (file.rows or 0):
            found = f"{file.rows} vendor rows, {published[file.vendor_symbol]} published"
            wrong.append({"vendor symbol": file.vendor_symbol, "layout": receipt.layouts[0], "found": found})
    rows = sum(published.values())
    summary = (
        f"{rows:,} vendor rows = rows in {', '.join(receipt.layouts)}" if receipt.layouts else "nothing is published"
    )
    return _verdict(wrong, summary, {"rows": rows})


def judge_inside_day(facts: UnitFacts) -> Verdict:
    """Judge that every row arrived (`local_timestamp`) on its UTC day."""
    start = datetime.combine(facts.unit.day, time(), UTC)
    wrong = [
        {"object": key, "first": str(footer.first_local_timestamp), "last": str(footer.last_local_timestamp)}
        for key, footer in facts.footers.items()
        if footer.first_local_timestamp is None
        or footer.last_local_timestamp is None
        or footer.first_local_timestamp < start
        or footer.last_local_timestamp >= start + timedelta(days=1)
    ]
    return _verdict(wrong, f"{len(facts.footers)} files lie inside {facts.unit.day} by local_timestamp")


def judge_layout(facts: UnitFacts, layout: str) -> Verdict:
    """Judge that a layout holds exactly the objects that the receipt names: keys, sizes, CRC32C.

    What was replaced, or is of a killed run, is named by its content and harms no reader: it is only counted.
    """
    receipt = facts.receipt
    if receipt is None:
        return Verdict(is_passed=False, summary=f"{facts.unit.data_type}: not run")
    named = {object_key(layout, item.name(facts.unit)): item for item in receipt.objects if layout in item.generations}
    held = {key: item for key, item in facts.held.items() if key.startswith(layout_prefix(layout))}
    unnamed = held.keys() - named.keys()
    stray = sorted(key for key in unnamed if not is_named_by_content(key))
    wrong: list[Mapping[str, str]] = [{"object": key, "found": "not in any receipt"} for key in stray]
    for key, item in named.items():
        found = held.get(key)
        if found is None:
            wrong.append({"object": key, "found": "missing"})
        elif (found.size_bytes, found.crc32c) != (item.size_bytes, item.crc32c):
            wrong.append({"object": key, "found": f"{found.size_bytes} bytes, crc32c {found.crc32c}"})
    if not receipt.is_as_wanted:
        wrong.append({"object": facts.unit.data_type.value, "found": summarize_coverage(receipt)})
    elif layout not in receipt.layouts and receipt.state != State.DELETED:
        wrong.append({"object": facts.unit.data_type.value, "found": "not published in this layout"})
    counts = {"objects": len(named), "size_bytes": sum(item.size_bytes for item in named.values())}
    counts["unnamed"] = len(unnamed) - len(stray)
    return _verdict(wrong, f"{len(named)} objects as the receipts name them", counts)


def _verdict(wrong: Sequence[Mapping[str, str]], if_passed: str, counts: Mapping[str, int] | None = None) -> Verdict:
    summary = if_passed if not wrong else f"{len(wrong)} wrong, the first: {' '.join(wrong[0].values())}"
    return Verdict(not wrong, summary, {"wrong": len(wrong)} | dict(counts or {}), tuple(wrong[:_WORST_CASES]))


def judge_findings(facts: UnitFacts, family: Family) -> Verdict:
    """Judge that the ticks broke no rule of a family, by the findings in the receipt; the worst severity counts."""
    receipt = facts.receipt
    if receipt is None:
        return Verdict(is_passed=False, summary="no receipt: this day was not run")
    broken = [
        (file.vendor_symbol, finding)
        for file in receipt.files
        for finding in sorted(file.findings, key=lambda item: not item.severity.is_error)
        if finding.family == family
    ]
    is_error = any(finding.severity.is_error for _, finding in broken)
    wrong = [
        {"vendor symbol": symbol, "severity": item.severity.value, "finding": item.text} for symbol, item in broken
    ]
    checked = sum(file.stats is not None for file in receipt.files)
    verdict = _verdict(wrong, f"{checked} files broke no rule", {"unchecked files": len(receipt.unchecked_files)})
    return replace(verdict, is_error=is_error or not broken)


# The rules of one data type, by check name.
UNIT_RULES: Mapping[str, Callable[[UnitFacts], Verdict]] = {
    "coverage": judge_coverage,
    "schema": judge_schema,
    "row_conservation": judge_row_conservation,
    "inside_day": judge_inside_day,
}
LAYOUT_RULE = "matches_receipts"
