"""Each rule on one clean unit, and on the same unit with one fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from market_data.checks.rules import (
    UNIT_RULES,
    Footer,
    HeldObject,
    UnitFacts,
    judge_coverage,
    judge_inside_day,
    judge_layout,
    judge_row_conservation,
    judge_schema,
    summarize_coverage,
)
from market_data.lake.keys import LAYOUTS, object_key
from market_data.model.data_types import TABLES, DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt, Removal

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date(2024, 8, 8))
MIDNIGHT = datetime(2024, 8, 8, tzinfo=UTC)
COLUMNS = {name: str(dtype) for name, dtype in TABLES[DataType.TRADES].published_schema.items()}


def _file(symbol: str, outcome: Outcome | None = Outcome.STORED, rows: int | None = 10, **more: Any) -> FileEvidence:
    key = f"BINANCE:SPOT_PAIR:{symbol}"
    return FileEvidence(
        vendor_symbol=symbol, instrument_type="SPOT_PAIR", instrument_key=key, outcome=outcome, rows=rows, **more
    )


def _object(symbol: str, rows: int = 10) -> PublishedObject:
    return PublishedObject(
        vendor_symbol=symbol,
        instrument_type="SPOT_PAIR",
        instrument_key=f"BINANCE:SPOT_PAIR:{symbol}",
        stem=symbol,
        rows=rows,
        size_bytes=100,
        crc32c=f"crc-{symbol}",
        generations=dict.fromkeys(LAYOUTS, 1),
    )


RECEIPT = Receipt(
    origin="simulator",
    venue="BINANCE",
    data_type=DataType.TRADES,
    day=UNIT.day,
    state="committed",
    layouts=LAYOUTS,
    files=(_file("A"), _file("B"), _file("C", Outcome.VENDOR_EMPTY, 0), _file("D", Outcome.NOT_OFFERED, None)),
    objects=(_object("A"), _object("B")),
)
A_BY_DATE, A_BY_TYPE = (object_key(layout, RECEIPT.objects[0].name(UNIT)) for layout in ("by_date", "by_type"))
FOOTER = Footer(10, COLUMNS, MIDNIGHT, MIDNIGHT + timedelta(days=1, microseconds=-1))


def _facts(receipt: Receipt | None = RECEIPT) -> UnitFacts:
    held = {
        object_key(layout, item.name(UNIT)): HeldObject(item.size_bytes, item.crc32c)
        for item in RECEIPT.objects
        for layout in LAYOUTS
    }
    footers = {object_key("by_date", item.name(UNIT)): FOOTER for item in RECEIPT.objects}
    return UnitFacts(UNIT, receipt, held, footers)


def _with(receipt: Receipt = RECEIPT, **fields: object) -> UnitFacts:
    return _facts(receipt.model_copy(update=fields))


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _with_footer(**fields: Any) -> UnitFacts:
    facts = _facts()
    return replace(facts, footers={**facts.footers, A_BY_DATE: replace(FOOTER, **fields)})


def _with_held(key: str, held: HeldObject | None) -> UnitFacts:
    facts = _facts()
    others = _without(facts.held, key)
    return replace(facts, held=others if held is None else others | {key: held})


@pytest.mark.parametrize("name", UNIT_RULES)
def test_a_clean_unit_passes_every_rule(name: str) -> None:
    verdict = UNIT_RULES[name](_facts())
    assert verdict.is_passed
    assert verdict.worst == ()
    assert verdict.summary


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_clean_unit_is_in_every_layout_what_its_receipt_names(layout: str) -> None:
    verdict = judge_layout(_facts(), layout)
    assert (verdict.is_passed, verdict.summary) == (True, "2 objects as the receipts name them")
    assert verdict.counts == {"wrong": 0, "objects": 2, "size_bytes": 200, "unnamed": 0}


def test_a_day_that_was_not_run_fails_coverage_conservation_and_layouts() -> None:
    facts = UnitFacts(UNIT, None, {}, {})
    for verdict in (judge_coverage(facts), judge_row_conservation(facts), judge_layout(facts, "by_date")):
        assert not verdict.is_passed
        assert "not run" in verdict.summary


def test_coverage_counts_what_became_of_the_expected_files() -> None:
    assert judge_coverage(_facts()).summary == "OK 4/4, 1 empty, 1 not offered, 0 failed"


@pytest.mark.parametrize(
    ("facts", "summary"),
    [
        (
            _with(files=(*RECEIPT.files, _file("E", Outcome.FAILED, None, error="E: the gzip stream is cut short"))),
            "INCOMPLETE 4/5, 1 empty, 1 not offered, 1 failed",
        ),
        (_with(files=(*RECEIPT.files, _file("E", None, None))), "INCOMPLETE 4/5, 1 empty, 1 not offered, 1 failed"),
        (
            _with(state="replacing"),
            "INCOMPLETE 4/4, 1 empty, 1 not offered, 0 failed; objects are being replaced",
        ),
        (_with(state="open"), "INCOMPLETE 4/4, 1 empty, 1 not offered, 0 failed"),
    ],
    ids=["failed", "not tried", "replacing", "not committed"],
)
def test_coverage_fails_while_a_file_is_open_or_the_unit_is_not_committed(facts: UnitFacts, summary: str) -> None:
    verdict = judge_coverage(facts)
    assert (verdict.is_passed, verdict.summary) == (False, summary)


def test_coverage_names_the_open_files_with_their_errors() -> None:
    error = "BINANCE trades 2024-08-08 E: the gzip stream is cut short"
    verdict = judge_coverage(_with(files=(*RECEIPT.files, _file("E", Outcome.FAILED, None, error=error))))
    assert verdict.worst == ({"vendor symbol": "E", "outcome": "failed", "error": error},)
    assert verdict.counts["failed"] == 1


@pytest.mark.parametrize(
    "columns",
    [
        _without(COLUMNS, "price"),
        COLUMNS | {"price": "Decimal(precision=38, scale=2)"},
        dict(reversed(COLUMNS.items())),
        COLUMNS | {"extra": "String"},
    ],
    ids=["column missing", "other type", "other order", "extra column"],
)
def test_the_schema_rule_fails_for_other_columns_types_or_order(columns: dict[str, str]) -> None:
    verdict = judge_schema(_with_footer(columns=columns))
    assert not verdict.is_passed
    assert [case["object"] for case in verdict.worst] == [A_BY_DATE]


@pytest.mark.parametrize(
    ("facts", "vendor_symbol", "found"),
    [
        (_with_footer(rows=9), "A", "10 vendor rows, 9 published"),
        (_with_held(A_BY_TYPE, None), "A", "missing"),
        (_with_held(A_BY_TYPE, HeldObject(100, "other")), "A", "other bytes"),
        (_with(files=(*RECEIPT.files, _file("E", rows=7))), "E", "7 vendor rows, 0 published"),
    ],
    ids=["fewer rows", "missing in one layout", "other bytes in one layout", "file without object"],
)
def test_row_conservation_fails_where_rows_or_bytes_differ(facts: UnitFacts, vendor_symbol: str, found: str) -> None:
    verdict = judge_row_conservation(facts)
    assert not verdict.is_passed
    assert [(case["vendor symbol"], case["found"]) for case in verdict.worst] == [(vendor_symbol, found)]


def test_row_conservation_counts_the_rows() -> None:
    verdict = judge_row_conservation(_facts())
    assert verdict.summary == "20 vendor rows = rows in by_date, by_venue, by_type"
    assert verdict.counts == {"wrong": 0, "rows": 20}


def test_row_conservation_of_an_unpublished_unit_says_so() -> None:
    facts = UnitFacts(UNIT, RECEIPT.model_copy(update={"state": "open", "objects": (), "layouts": ()}), {}, {})
    verdict = judge_row_conservation(facts)
    assert (verdict.is_passed, verdict.summary) == (True, "nothing is published")


def test_objects_of_a_superseded_file_count_as_published_until_they_are_replaced() -> None:
    # A grouped file was published; single files are expected now, and one of them failed: the objects stay for now.
    facts = _with(files=(_file("A"), _file("E", Outcome.FAILED, None)))
    assert judge_row_conservation(facts).is_passed


@pytest.mark.parametrize(
    "bounds",
    [
        {"first_local_timestamp": MIDNIGHT - timedelta(microseconds=1)},
        {"last_local_timestamp": MIDNIGHT + timedelta(days=1)},
        {"first_local_timestamp": None, "last_local_timestamp": None},
    ],
    ids=["before midnight", "at the next midnight", "unknown"],
)
def test_the_day_rule_fails_for_a_file_with_rows_of_another_day(bounds: dict[str, Any]) -> None:
    verdict = judge_inside_day(_with_footer(**bounds))
    assert not verdict.is_passed
    assert [case["object"] for case in verdict.worst] == [A_BY_DATE]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (_with_held(A_BY_TYPE, None), "missing"),
        (_with_held(A_BY_TYPE, HeldObject(99, "crc-A")), "99 bytes, crc32c crc-A"),
        (_with_held(A_BY_TYPE, HeldObject(100, "other")), "100 bytes, crc32c other"),
        (_with_held("ticks/by_type/stray.parquet", HeldObject(1, "x")), "not in any receipt"),
        (_with(layouts=("by_date", "by_venue")), "not published in this layout"),
        (_with(state="replacing"), "INCOMPLETE 4/4, 1 empty, 1 not offered, 0 failed; objects are being replaced"),
    ],
    ids=["missing", "other size", "other bytes", "stray", "not in this layout", "not complete"],
)
def test_the_layout_rule_fails_where_the_lake_and_the_receipt_differ(facts: UnitFacts, found: str) -> None:
    verdict = judge_layout(facts, "by_type")
    assert not verdict.is_passed
    assert [case["found"] for case in verdict.worst] == [found]


def test_a_layout_that_is_untouched_by_a_fault_elsewhere_passes() -> None:
    assert judge_layout(_with_held(A_BY_TYPE, None), "by_date").is_passed


def test_only_the_worst_cases_are_listed_and_all_are_counted() -> None:
    files = tuple(_file(f"F{number:03}", rows=1) for number in range(50))
    verdict = judge_row_conservation(_with(files=files, objects=()))
    assert verdict.counts["wrong"] == 50
    assert len(verdict.worst) == 20
    assert verdict.summary == "50 wrong, the first: F000 by_date 1 vendor rows, 0 published"


@pytest.mark.parametrize(
    ("change", "summary"),
    [
        (lambda receipt: receipt, "OK 4/4, 1 empty, 1 not offered, 0 failed"),
        (
            lambda receipt: receipt.model_copy(update={"files": (), "instruments_listed": 0}),
            "OK nothing expected: the venue listed no instrument that day",
        ),
        (
            lambda receipt: receipt.model_copy(update={"files": (), "instruments_listed": 12}),
            (
                "OK nothing expected: none of the 12 instruments that the venue listed is both selected and offered "
                "with trades"
            ),
        ),
        (
            lambda receipt: receipt.model_copy(update={"files": (), "state": "open"}),
            "INCOMPLETE 0/0, 0 empty, 0 failed",
        ),
    ],
)
def test_the_verdict_line_says_how_many_files_are_accounted_for(
    change: Callable[[Receipt], Receipt], summary: str
) -> None:
    assert summarize_coverage(change(RECEIPT)) == summary


def test_what_was_replaced_is_counted_and_fails_no_layout() -> None:
    key = f"ticks/by_type/BTC-USDT.{'0a' * 8}.parquet"
    verdict = judge_layout(_with_held(key, HeldObject(1, "x")), "by_type")
    assert verdict.is_passed
    assert verdict.counts["unnamed"] == 1


REMOVAL = Removal(
    at=datetime(2026, 11, 27, tzinfo=UTC),
    by="ops",
    reason="why",
    instrument_types=("SPOT_PAIR",),
    files=4,
    rows=1,
    raw_bytes=1,
)


def test_what_a_person_deleted_is_no_fault() -> None:
    receipt = _with().receipt
    assert receipt is not None
    deleted = UnitFacts(receipt.unit, receipt.deleted(REMOVAL), {}, {})
    assert judge_coverage(deleted).is_passed
    assert judge_coverage(deleted).summary == "deleted on 2026-11-27 by ops: why"
    assert judge_layout(deleted, "by_type").is_passed
    assert all(rule(deleted).is_passed for rule in UNIT_RULES.values())


def test_an_instrument_that_a_person_took_out_is_no_fault_and_what_else_is_missing_is() -> None:
    gone, failed = _file("G", Outcome.REMOVED, None), _file("E", Outcome.FAILED, None)
    cut = _with(files=(_file("A"), gone.changed(error="deleted on 2026-11-27 by ops: why")))
    assert judge_coverage(cut).is_passed
    assert judge_coverage(cut).summary.startswith("OK 1/2, 0 empty, 0 failed, 1 removed (deleted on 2026-11-27 by ops")
    assert not judge_coverage(_with(files=(_file("A"), gone, failed))).is_passed
