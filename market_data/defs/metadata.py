"""What people see of a materialised partition, in the order they look: verdict, problems, sizes, where, how to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from market_data.checks.rules import summarize_coverage
from market_data.defs.failures import STOPS
from market_data.defs.tables import Table, make_table
from market_data.ingest.venue_day import UnitResult
from market_data.lake.base import TickLake
from market_data.lake.keys import object_key, raw_prefix
from market_data.model.data_types import INSTRUMENT_KEY, DataType, TableSpec
from market_data.model.instruments import KeySource
from market_data.model.limits import MEGABYTE
from market_data.model.tick_file import Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt
from market_data.universe.rules import Change, Universe
from market_data.universe.table import universe_frame

_NAMED_FILES = 50
_NAMED_IN_A_LINE = 3
_FIRST_ROWS = 10
_SNIPPET_WIDTH = 48

_VENDOR_FORM, _BY_TYPE, _FIRST = "keys in vendor form", "instruments by type", "first instruments"
# What an analyst looks at first; the rest is in the table itself.
_INSTRUMENT_COLUMNS = ("instrument_key", "vendor_symbol", "price_currency", "amount_unit", "first_day", "last_day")

Metadata = dict[str, Any]


def describe_columns(table: TableSpec) -> Metadata:
    """Describe the columns of a data type: dtype, unit and a sentence each."""
    columns = [
        dg.TableColumn(
            column.name,
            str(column.kind.dtype),
            f"{column.description}{f' Unit: {column.unit}.' if column.unit else ''}",
            constraints=dg.TableColumnConstraints(nullable=column.is_nullable),
        )
        for column in (INSTRUMENT_KEY, *table.vendor_columns)
    ]
    return {"dagster/column_schema": dg.TableSchema(columns), "one row is": table.grain}


def describe_universe(universe: Universe, changes: Sequence[Change] | None, uri: str, notes: Sequence[str]) -> Metadata:
    """Describe a day's instruments: what changed since the day before, the first of them, what each filter left out.

    `changes` are None where the listing of the day before is not known.
    """
    first = universe_frame(replace(universe, listed=universe.listed[:_FIRST_ROWS]))
    counts = Counter(change.what for change in changes or ())
    metadata: Metadata = {
        "verdict": summarize_universe(universe),
        "changes": "not known: the day before is not exported" if changes is None else _summarize_changes(counts),
        "changes since the day before": _changes_table(changes or ()),
        _FIRST: _instruments_table(first),
        "listed": counts["listed"],
        "delisted": counts["delisted"],
        "dagster/partition_row_count": len(universe.listed),
        "selected": len(universe.selected),
        _VENDOR_FORM: sum(item.key_source is not KeySource.SYMBOLOGY for item in universe.listed),
        "vendor's definition disagrees": _disagreements_table(universe),
        _BY_TYPE: _counts_table(Counter(item.instrument_type for item in universe.listed)),
        "grouped files offered": ", ".join(sorted(universe.group_data_types)) or "none",
        "object": dg.MetadataValue.path(uri),
    }
    if notes:
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))
    return metadata


def describe_instruments(table: pl.DataFrame, uri: str) -> Metadata:
    """Describe a day's instruments by their table alone, where no answer of the vendor's that is kept made it."""
    note = (
        "what was selected, what had changed since the day before and which grouped files were offered is not known: "
        "the vendor's newest answer that the lake keeps says otherwise of this day; materialise it, and they are told"
    )
    return {
        "verdict": f"{table.height} instruments listed",
        _FIRST: _instruments_table(table),
        "dagster/partition_row_count": table.height,
        _VENDOR_FORM: table.filter(pl.col("key_source") != KeySource.SYMBOLOGY.value).height,
        _BY_TYPE: _counts_table(Counter(table["instrument_type"])),
        "object": dg.MetadataValue.path(uri),
        "notes": dg.MetadataValue.md(f"- {note}"),
    }


def summarize_universe(universe: Universe) -> str:
    """Return one line: how many instruments are selected of those listed, or why the venue listed none."""
    if universe.doubt:
        return f"IN DOUBT {universe.doubt}"
    if universe.why_nothing_listed:
        return f"OK no instrument listed on {universe.day}, so no tick file is expected: {universe.why_nothing_listed}"
    left_out = ", ".join(f"{count} by {name}" for name, count in universe.left_out.items()) or "none"
    return f"{len(universe.selected)} of {len(universe.listed)} instruments selected; left out: {left_out}"


def describe_unit(receipt: Receipt, lake: TickLake, result: UnitResult | None = None) -> Metadata:
    """Describe one data type of a venue-day; without a run's result, by what the lake knows of it."""
    counts = receipt.counts()
    metadata: Metadata = {"verdict": summarize_coverage(receipt), "verdict on the ticks": receipt.verdict}
    notable = [file for file in receipt.files if _is_notable(file)]
    if notable:
        metadata["notable files"] = _files_table(notable)
    metadata |= {
        "dagster/partition_row_count": sum(file.rows or 0 for file in receipt.files),
        "raw MB": round(sum(file.size_bytes or 0 for file in receipt.files) / MEGABYTE, 3),
        "published MB": round(sum(item.size_bytes for item in receipt.objects) / MEGABYTE, 3),
        "files expected": len(receipt.files),
        "files stored": counts["stored"],
        "files empty": counts["vendor_empty"],
        "files not offered": counts["not_offered"],
        "files waived": counts["waived"],
        "raw folder": dg.MetadataValue.path(f"{lake.url}/{raw_prefix(receipt.unit)}"),
    }
    if receipt.objects:
        first = object_key(receipt.layouts[0], receipt.objects[0].name(receipt.unit))
        metadata[f"first of {len(receipt.objects)} objects"] = dg.MetadataValue.path(lake.uri(first))
    if result and result.replaced:
        metadata["replaced by a refresh"] = _replaced_table(result.replaced)
    if result and result.not_refreshed:
        metadata["not refreshed"] = dg.MetadataValue.md("\n".join(f"- {why}" for why in result.not_refreshed))
    if receipt.objects:
        metadata["read it"] = dg.MetadataValue.md(read_snippet(receipt.data_type, receipt.venue, receipt.day, lake.url))
    return metadata | (_describe_work(result) if result else {})


def _describe_work(result: UnitResult) -> Metadata:
    return {
        "already current": result.was_current,
        "files downloaded": result.downloads,
        "downloaded MB": round(result.downloaded_bytes / MEGABYTE, 3),
        "seconds": round(result.seconds, 1),
    }


def _replaced_table(files: Sequence[FileEvidence]) -> Table:
    records: list[dict[str, str | int]] = [
        {
            "vendor symbol": file.vendor_symbol,
            "rows before": file.previous[-1].rows or 0,
            "rows now": file.rows or 0,
            "bytes before": file.previous[-1].size_bytes or 0,
            "bytes now": file.size_bytes or 0,
        }
        for file in files[:_NAMED_FILES]
    ]
    return make_table(records)


def describe_open_files(venue: str, day: date, results: Sequence[UnitResult]) -> Mapping[str, Any]:
    """Return description and metadata of a venue-day's failure; the first line fits a run list.

    The body says what failed, whose fault it is, what the lake holds now, whether it is tried again, and what to do.
    """
    incomplete = [result.receipt for result in results if not result.receipt.is_complete]
    complete = sorted(result.receipt.data_type for result in results if result.receipt.is_complete)
    opened = [(receipt, file) for receipt in incomplete for file in receipt.open_files]
    is_transient = any(file.is_transient or file.outcome is None for _, file in opened)
    rest = f"{', '.join(complete)} complete" if complete else "nothing else was asked for"
    lines = [f"{venue} {day}: {', '.join(_count_faults(item) for item in incomplete)}; {rest}", ""]
    lines += [f"- {file.error or _not_tried(receipt, file)}" for receipt, file in opened[:_NAMED_FILES]]
    if len(opened) > _NAMED_FILES:
        lines.append(f"- ... and {len(opened) - _NAMED_FILES} more: see the receipts")
    what_to_do = _explain(opened, is_transient=is_transient)
    damaged = next(((receipt, file) for receipt, file in opened if file.error_class == "TickFileInvalid"), None)
    if_it_stays = _explain_damage(*damaged) if damaged else []
    lines += ["", *what_to_do, *(["", *if_it_stays] if if_it_stays else [])]
    classes = Counter(file.error_class or "NotTried" for _, file in opened)
    stop = next((name for name in classes if name in STOPS), None)
    metadata: Metadata = {
        "error": dg.MetadataValue.text(stop or classes.most_common(1)[0][0]),
        "is_transient": dg.MetadataValue.bool(is_transient),
        "open files": _files_table([file for _, file in opened[:_NAMED_FILES]]),
        "what to do": dg.MetadataValue.md("\n\n".join(what_to_do)),
    }
    if if_it_stays:
        metadata["if it stays damaged"] = dg.MetadataValue.md("\n\n".join(if_it_stays))
    if waits := [file.not_before for _, file in opened if file.not_before]:
        metadata["not before"] = dg.MetadataValue.text(max(waits).isoformat())
    return {"description": "\n".join(lines), "metadata": metadata}


def describe_failed_days(venue: str, days: int, failed: Mapping[date, dg.Failure]) -> Mapping[str, Any]:
    """Return description and metadata of the failure of a run of several days: each failed day with its headline."""
    headlines = {day: (failure.description or "").partition("\n")[0] for day, failure in failed.items()}
    named = ", ".join(map(str, list(failed)[:_NAMED_IN_A_LINE]))
    more = f" and {len(failed) - _NAMED_IN_A_LINE} more" if len(failed) > _NAMED_IN_A_LINE else ""
    rest = "; the others are done" if len(failed) < days else ""
    lines = [f"{venue}: {len(failed)} of {days} days failed ({named}{more}){rest}", ""]
    lines += [f"- {headline}" for headline in headlines.values()]
    lines += ["", "The log of this run tells each of them in full, where it failed."]
    facts = [failure.metadata for failure in failed.values()]
    classes = Counter(str(item["error"].value) for item in facts)
    metadata: Metadata = {
        "error": dg.MetadataValue.text(classes.most_common(1)[0][0]),
        "is_transient": dg.MetadataValue.bool(any(item["is_transient"].value for item in facts)),
        "failed days": make_table({"day": str(day), "what": headline} for day, headline in headlines.items()),
    }
    if waits := [item["not before"] for item in facts if "not before" in item]:
        metadata["not before"] = max(waits, key=lambda wait: str(wait.value))
    return {"description": "\n".join(lines), "metadata": metadata}


_FAULTS = {
    "TickFileInvalid": "damaged or not in the vendor's format",
    "VendorUnavailable": "vendor unavailable",
    "VendorAccessDenied": "access denied",
    "VendorQuotaExceeded": "quota used up",
    "VendorKeyInUse": "key in use from another address",
    None: "not tried",
}


def _count_faults(receipt: Receipt) -> str:
    """Return `trades 3 of 412 files failed (A, B, C: 2 damaged ..., 1 vendor unavailable)`."""
    counts = Counter(_FAULTS.get(file.error_class, file.error_class) for file in receipt.open_files)
    causes = ", ".join(f"{count} {cause}" for cause, count in counts.most_common())
    names = ", ".join(file.vendor_symbol for file in receipt.open_files[:_NAMED_IN_A_LINE])
    more = f" and {len(receipt.open_files) - _NAMED_IN_A_LINE} more" if receipt.open_files[_NAMED_IN_A_LINE:] else ""
    count = f"{len(receipt.open_files)} of {len(receipt.files)} files failed"
    return f"{receipt.data_type} {count} ({names}{more}: {causes})"


def _explain(opened: Sequence[tuple[Receipt, FileEvidence]], *, is_transient: bool) -> list[str]:
    classes = {file.error_class for _, file in opened}
    if "VendorAccessDenied" in classes:
        whose = "Whose fault: the account's. See TARDIS_API_KEY, its plan, and from where it is used."
    elif classes <= {"VendorQuotaExceeded", None}:
        whose = "Whose fault: nobody's; the account's quota is used up until the time named above."
    elif classes <= {"VendorKeyInUse", None}:
        whose = "Whose fault: the account's; its key works from one address at a time, and another one uses it."
    else:
        whose = "Whose fault: the vendor's answers, as quoted above."
    again = (
        "Tried again: by the sensor `failed_venue_days`, where it runs; else run this partition again."
        if is_transient
        else "Not tried again by itself: waiting does not mend this. Mend the cause, then run this partition again."
    )
    lake = (
        "The lake: what is complete is published and readable; of the others nothing was published now, and what was "
        "published before stays. The next run asks only for the files above."
    )
    return [whose, lake, again]


def _explain_damage(receipt: Receipt, file: FileEvidence) -> list[str]:
    """Say what a person can do about a file that stays damaged."""
    what = (
        "A damaged file: it was fetched twice. What came is kept below failed/ in the lake. Tell the vendor "
        "(support@tardis.dev) its address above and what is wrong with it. Should it never be mended, let the day "
        "stand without it, in the venues file:"
    )
    waiver = (
        f"    waivers: [{{data_type: {receipt.data_type}, symbol: {file.vendor_symbol}, from: {receipt.day}, "
        f"to: {receipt.day}, reason: damaged at the vendor}}]"
    )
    return [what, waiver]


def _is_notable(file: FileEvidence) -> bool:
    return bool(file.error or file.unknown_symbols or file.findings) or file.outcome is Outcome.VENDOR_EMPTY


def _not_tried(receipt: Receipt, file: FileEvidence) -> str:
    return f"{receipt.unit} {file.vendor_symbol}: not asked for, since the run stopped asking the vendor"


def read_snippet(data_type: DataType, venue: str, day: date, lake_url: str) -> str:
    """Return, in Markdown, what reads a day of a data type from anywhere; short lines, since the UI cuts long ones."""
    next_day = day + timedelta(days=1)
    pieces = [lake_url[start : start + _SNIPPET_WIDTH] for start in range(0, len(lake_url), _SNIPPET_WIDTH)]
    lake = repr(lake_url) if len(pieces) == 1 else "(" + "".join(f"\n        {item!r}" for item in pieces) + "\n    )"
    return (
        "```python\nfrom market_data.read import scan_ticks\n\n"
        f"scan_ticks(\n    {data_type.value!r},\n    venues={venue!r},\n"
        f"    start={day.isoformat()!r},\n    end={next_day.isoformat()!r},\n"
        f"    lake={lake},\n).head().collect()\n```"
    )


def _files_table(files: Sequence[FileEvidence]) -> Table:
    records = [
        {
            "vendor symbol": file.vendor_symbol,
            "outcome": file.outcome.value if file.outcome else "open",
            "what": _describe_file(file),
        }
        for file in files[:_NAMED_FILES]
    ]
    return make_table(records)


def _describe_file(file: FileEvidence) -> str:
    if file.error:
        return file.error
    parts = [f"{finding.severity.value}: {finding.text}" for finding in file.findings]
    if file.unknown_symbols:
        parts.append(f"symbols beside the universe: {', '.join(file.unknown_symbols[:5])}")
    return "; ".join(parts) or "no rows"


def _summarize_changes(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none since the day before"


def _instruments_table(table: pl.DataFrame) -> Table:
    shown = table.select(_INSTRUMENT_COLUMNS).head(_FIRST_ROWS)
    return make_table(shown.select(pl.all().cast(pl.String).fill_null("")).to_dicts())


def _changes_table(changes: Sequence[Change]) -> Table:
    records = [
        {"what": change.what, "instrument": change.instrument_key, "detail": change.detail}
        for change in changes[:_NAMED_FILES]
    ]
    return make_table(records)


def _disagreements_table(universe: Universe) -> Table:
    pairs = [(item, disagreement) for item in universe.listed for disagreement in item.disagreements]
    records = [
        {
            "instrument": item.instrument_key,
            "attribute": disagreement.attribute,
            "by its symbol (kept)": disagreement.of_symbol,
            "by the vendor's definition": disagreement.of_vendor,
        }
        for item, disagreement in pairs[:_NAMED_FILES]
    ]
    return make_table(records)


def _counts_table(counts: Counter[str]) -> Table:
    rows = sorted(counts.items())
    return make_table({"instrument type": name, "instruments": n} for name, n in rows)
