"""For each rule about ticks one file that breaks it and one that passes; limits and severities can be changed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.model.instruments import COMBO, FUTURE, PERPETUAL
from market_data.ticks.rules import RULES, Override, Severity, TickStats, judge_ticks, rules_for
from market_data.ticks.stats import TickMeter, measure_ticks

START = int(datetime(2024, 8, 8, tzinfo=UTC).timestamp() * 1e6)
ROWS = 200
STEP_SECONDS = 430  # the rows fill the day
Columns = Mapping[str, object]


def clean_ticks(data_type: DataType) -> pl.DataFrame:
    """Plausible rows: one every STEP_SECONDS, a tenth of a second late, a steady spread."""
    row = pl.int_range(ROWS)
    columns = []
    for column in TABLES[data_type].vendor_columns:
        expression = pl.lit("x") + row.cast(pl.String)
        if column.name == "timestamp":
            expression = START + row * STEP_SECONDS * 1_000_000
        elif column.kind is ColumnKind.TIME:
            expression = START + row * STEP_SECONDS * 1_000_000 + 100_000
        elif column.kind is ColumnKind.FLAG:
            expression = row == 0
        elif column.kind is ColumnKind.NUMBER:
            side = 1 if "ask" in column.name else -1
            expression = 100.0 + side + (row % 7) * 0.01
        if column.name == "side":
            expression = pl.lit("bid" if data_type is DataType.INCREMENTAL_BOOK_L2 else "buy")
        elif column.name == "delta":
            expression = pl.lit(0.5)
        elif column.name == "type":
            expression = pl.lit("call")
        columns.append(expression.cast(column.kind.dtype).alias(column.name))
    return pl.select(columns)


def measure(ticks: pl.DataFrame, data_type: DataType, directory: Path) -> TickStats:
    path = directory / "ticks.parquet"
    ticks.write_parquet(path)
    return measure_ticks(path, data_type)


def broken_rules(ticks: pl.DataFrame, data_type: DataType, directory: Path, kind: str = PERPETUAL) -> set[str]:
    stats = measure(ticks, data_type, directory)
    return {finding.rule for finding in judge_ticks(stats, kind, rules_for(data_type, {}))}


def set_rows(column: str, value: object, rows: range) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()).is_in(list(rows))).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


def shifted(column: str, seconds: float, rows: range) -> pl.Expr:
    moved = pl.col(column) + pl.duration(microseconds=round(seconds * 1e6))
    return pl.when(pl.int_range(pl.len()).is_in(list(rows))).then(moved).otherwise(pl.col(column)).alias(column)


NOTHING: list[pl.Expr] = [pl.lit(None, pl.Float64).alias(name) for name in ("bid_price", "ask_price")]
FAULTS: list[tuple[str, DataType, list[pl.Expr]]] = [
    ("arrival_order", DataType.TRADES, [shifted("local_timestamp", -600, range(100, 101))]),
    ("price_not_positive", DataType.TRADES, [set_rows("price", 0.0, range(3, 4))]),
    ("price_not_positive", DataType.BOOK_SNAPSHOT_5, [set_rows("bid_price_0", -1.0, range(3, 4))]),
    ("prices_mostly_wrong", DataType.TRADES, [set_rows("price", 0.0, range(3, 9))]),
    ("negative_amount", DataType.QUOTES, [set_rows("ask_amount", -0.1, range(3, 4))]),
    ("not_finite", DataType.TRADES, [set_rows("price", float("nan"), range(3, 4))]),
    ("not_finite", DataType.OPTIONS_CHAIN, [set_rows("mark_iv", float("inf"), range(3, 4))]),
    ("rounded", DataType.TRADES, [set_rows("amount", 9007199254740993.0, range(3, 4))]),
    ("rounded", DataType.OPTIONS_CHAIN, [set_rows("rho", -1e16, range(3, 4))]),
    ("unknown_side", DataType.INCREMENTAL_BOOK_L2, [set_rows("side", "buy", range(3, 4))]),
    ("empty_row", DataType.QUOTES, NOTHING),
    (
        "empty_row",
        DataType.DERIVATIVE_TICKER,
        [pl.lit(None, c.kind.dtype).alias(c.name) for c in TABLES[DataType.DERIVATIVE_TICKER].vendor_columns[4:]],
    ),
    ("delta_out_of_range", DataType.OPTIONS_CHAIN, [set_rows("delta", 1.5, range(3, 4))]),
    ("negative_volatility", DataType.OPTIONS_CHAIN, [set_rows("mark_iv", -1.0, range(3, 4))]),
    ("option_without_terms", DataType.OPTIONS_CHAIN, [set_rows("strike_price", None, range(3, 4))]),
    ("option_without_terms", DataType.OPTIONS_CHAIN, [set_rows("type", None, range(3, 4))]),
    ("option_without_terms", DataType.OPTIONS_CHAIN, [set_rows("type", "C", range(3, 4))]),
    ("option_without_terms", DataType.OPTIONS_CHAIN, [set_rows("strike_price", 0.0, range(3, 4))]),
    ("after_expiry", DataType.OPTIONS_CHAIN, [shifted("expiration", -90, range(3, 4))]),
    ("one_sided", DataType.QUOTES, [set_rows("bid_price", None, range(150))]),
    ("clock_skew", DataType.TRADES, [shifted("timestamp", -30, range(ROWS))]),
    ("late_liquidations", DataType.LIQUIDATIONS, [shifted("timestamp", -900, range(ROWS))]),
    ("silence", DataType.QUOTES, [shifted("local_timestamp", 4000, range(100, ROWS))]),
    ("late_start", DataType.INCREMENTAL_BOOK_L2, [shifted("local_timestamp", 4000, range(ROWS))]),
    ("early_end", DataType.BOOK_SNAPSHOT_25, [shifted("local_timestamp", -4000, range(190, ROWS))]),
    ("crossed", DataType.QUOTES, [set_rows("bid_price", 1000.0, range(5))]),
    ("mostly_crossed", DataType.BOOK_TICKER, [set_rows("bid_price", 1000.0, range(150))]),
    ("locked", DataType.QUOTES, [pl.col("ask_price").alias("bid_price")]),
    ("no_opening_snapshot", DataType.INCREMENTAL_BOOK_L2, [pl.lit(value=False).alias("is_snapshot")]),
    ("repeated_id", DataType.TRADES, [set_rows("id", "7", range(10))]),
    ("repeated_row", DataType.LIQUIDATIONS, [pl.all().first()]),
]


@pytest.mark.parametrize("data_type", list(DataType))
def test_clean_ticks_break_no_rule(data_type: DataType, tmp_path: Path) -> None:
    assert broken_rules(clean_ticks(data_type), data_type, tmp_path) == set()


@pytest.mark.parametrize(("rule", "data_type", "fault"), FAULTS, ids=[f"{name}-{kind}" for name, kind, _ in FAULTS])
def test_a_rule_finds_its_fault(rule: str, data_type: DataType, fault: list[pl.Expr], tmp_path: Path) -> None:
    assert rule in broken_rules(clean_ticks(data_type).with_columns(fault), data_type, tmp_path)


def test_every_rule_has_a_fault_that_it_finds() -> None:
    assert {rule.name for rule in RULES} == {name for name, _, _ in FAULTS}


def test_a_single_price_of_nothing_keeps_nobody_from_reading(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.TRADES).with_columns(set_rows("price", 0.0, range(3, 4)))
    stats = measure(ticks, DataType.TRADES, tmp_path)
    assert [finding.severity for finding in judge_ticks(stats, PERPETUAL, rules_for(DataType.TRADES, {}))] == ["warn"]


def test_of_a_few_rows_a_single_wrong_price_is_no_error(tmp_path: Path) -> None:
    few = clean_ticks(DataType.LIQUIDATIONS).head(3).with_columns(set_rows("price", 0.0, range(1)))
    stats = measure(few, DataType.LIQUIDATIONS, tmp_path)
    found = judge_ticks(stats, PERPETUAL, rules_for(DataType.LIQUIDATIONS, {}))
    assert {finding.rule: finding.severity for finding in found} == {"price_not_positive": "warn"}


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_an_empty_side_that_is_printed_as_nothing_is_no_price_and_crosses_nothing(tmp_path: Path, side: str) -> None:
    empty = [set_rows(f"{side}_{what}", 0.0, range(100)) for what in ("price", "amount")]
    ticks = clean_ticks(DataType.BOOK_TICKER).with_columns(empty)
    assert broken_rules(ticks, DataType.BOOK_TICKER, tmp_path) == set()
    with_amount = ticks.with_columns(set_rows(f"{side}_amount", 1.0, range(100)))
    assert "prices_mostly_wrong" in broken_rules(with_amount, DataType.BOOK_TICKER, tmp_path)


def test_rows_of_a_contract_that_has_expired_are_counted_but_not_those_of_its_settlement() -> None:
    ticks = clean_ticks(DataType.TRADES)
    for past_expiry_seconds, late in ((61, 1), (59, 0), (-100_000, 0), (61 + 3 * STEP_SECONDS, 4)):
        expiry = ticks["local_timestamp"][-1] - timedelta(seconds=past_expiry_seconds)
        meter = TickMeter(DataType.TRADES, expiry)
        meter.add(ticks.head(120))
        meter.add(ticks.tail(ROWS - 120))
        assert meter.stats().counts["rows_after_expiry"] == late
        findings = judge_ticks(meter.stats(), FUTURE, rules_for(DataType.TRADES, {}))
        assert [finding.rule for finding in findings] == ["after_expiry"] * bool(late)


def test_what_is_no_number_is_not_one_that_was_rounded(tmp_path: Path) -> None:
    cells = [set_rows("amount", float("nan"), range(3)), set_rows("price", float("inf"), range(3, 4))]
    counts = measure(clean_ticks(DataType.TRADES).with_columns(cells), DataType.TRADES, tmp_path).counts
    assert (counts["cells_not_finite"], counts.get("cells_rounded")) == (4, None)


def test_rows_with_one_side_are_counted_as_such(tmp_path: Path) -> None:
    empty = [set_rows("ask_price", None, range(7)), set_rows("bid_price", None, range(5, 9))]
    counts = measure(clean_ticks(DataType.QUOTES).with_columns(empty), DataType.QUOTES, tmp_path).counts
    assert (counts["rows_one_sided"], counts["rows_without_value"]) == (7, 2)
    assert counts["rows_crossed"] == counts["rows_locked"] == 0


def test_a_flag_is_told_as_one(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.INCREMENTAL_BOOK_L2).with_columns(pl.lit(value=False).alias("is_snapshot"))
    stats = measure(ticks, DataType.INCREMENTAL_BOOK_L2, tmp_path)
    (finding,) = judge_ticks(stats, PERPETUAL, rules_for(DataType.INCREMENTAL_BOOK_L2, {}))
    assert finding.text.startswith("no_opening_snapshot: A day of L2 opens with a snapshot")


def test_a_combo_may_trade_at_or_below_zero(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.TRADES).with_columns(set_rows("price", -0.5, range(9)))
    assert "price_not_positive" not in broken_rules(ticks, DataType.TRADES, tmp_path, COMBO)


def test_a_dated_contract_may_be_silent_for_hours(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.QUOTES).with_columns(shifted("local_timestamp", 4000, range(100, ROWS)))
    assert "silence" in broken_rules(ticks, DataType.QUOTES, tmp_path, PERPETUAL)
    assert "silence" not in broken_rules(ticks, DataType.QUOTES, tmp_path, FUTURE)


# quotes that begin at 02:00 and end at 22:00 UTC
PART_OF_A_DAY = TickStats(
    rows=9, counts={}, measures={"first_row_seconds": 7200.0, "last_row_seconds": 79200.0}, nulls={}
)


def edge_findings(stats: TickStats, kind: str = PERPETUAL, **days: bool) -> list[str]:
    return [finding.text for finding in judge_ticks(stats, kind, rules_for(DataType.QUOTES, {}), **days)]


def test_a_book_that_begins_late_and_ends_early_is_told_of_with_the_seconds_it_lacks() -> None:
    late, early = edge_findings(PART_OF_A_DAY)
    assert late.startswith("late_start: first row seconds 7200.0 (limit 3600). A book that is silent from 00:00 UTC on")
    assert early.startswith("early_end: seconds after last row 7200.0 (limit 3600). A book that is silent for the last")


def test_an_instrument_that_is_listed_or_ends_inside_the_day_is_not_told_of() -> None:
    (early,) = edge_findings(PART_OF_A_DAY, is_first_day=True)
    (late,) = edge_findings(PART_OF_A_DAY, is_last_day=True)
    assert (early.split(":")[0], late.split(":")[0]) == ("early_end", "late_start")
    assert edge_findings(PART_OF_A_DAY, is_first_day=True, is_last_day=True) == []


def test_the_edges_of_the_day_are_judged_of_always_active_books_only() -> None:
    assert edge_findings(PART_OF_A_DAY, FUTURE) == []
    rules = rules_for(DataType.TRADES, {})
    assert judge_ticks(PART_OF_A_DAY, PERPETUAL, rules) == ()


def test_a_rule_whose_statistic_was_not_measured_is_skipped() -> None:
    assert edge_findings(PART_OF_A_DAY.model_copy(update={"measures": {}})) == []


def test_rows_at_both_edges_of_the_day_are_measured_from_midnight(tmp_path: Path) -> None:
    measures = measure(clean_ticks(DataType.QUOTES), DataType.QUOTES, tmp_path).measures
    assert measures["first_row_seconds"] == pytest.approx(0.1)
    assert measures["last_row_seconds"] == pytest.approx((ROWS - 1) * STEP_SECONDS + 0.1)


def test_equal_consecutive_rows_are_legitimate_in_book_ticker(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.BOOK_TICKER).with_columns(pl.all().first())
    assert "repeated_row" not in broken_rules(ticks, DataType.BOOK_TICKER, tmp_path)


def test_times_that_the_venue_did_not_send_say_nothing_of_its_clock(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.TRADES).with_columns(timestamp="local_timestamp")
    assert "median_delay_seconds" not in measure(ticks, DataType.TRADES, tmp_path).measures


def test_statistics_count_rows_nulls_and_bounds(tmp_path: Path) -> None:
    ticks = clean_ticks(DataType.TRADES).with_columns(
        set_rows("id", None, range(3)), set_rows("price", 250.0, range(1))
    )
    stats = measure(ticks, DataType.TRADES, tmp_path)
    assert stats.rows == ROWS
    assert stats.nulls == {"id": 3}
    assert stats.measures["highest_price"] == 250.0
    assert stats.measures["longest_silence_seconds"] == STEP_SECONDS
    assert stats.measures["median_delay_seconds"] == pytest.approx(0.1)


def test_a_limit_a_severity_and_a_rule_can_be_changed(tmp_path: Path) -> None:
    stats = measure(
        clean_ticks(DataType.QUOTES).with_columns(set_rows("bid_price", 1000.0, range(5))), DataType.QUOTES, tmp_path
    )
    (finding,) = judge_ticks(
        stats, PERPETUAL, rules_for(DataType.QUOTES, {"crossed": Override(severity=Severity.ERROR)})
    )
    assert finding.severity is Severity.ERROR
    assert finding.text.startswith("crossed: 5 of 200 rows, 2.50% (limit 1.00%). A bid above the ask is normal")
    assert judge_ticks(stats, PERPETUAL, rules_for(DataType.QUOTES, {"crossed": Override(limit=0.03)})) == ()
    assert judge_ticks(stats, PERPETUAL, rules_for(DataType.QUOTES, {"crossed": Override(is_off=True)})) == ()
