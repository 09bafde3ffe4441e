"""Tables on a terminal of 80 columns, with the widest names there are: nothing is wider, and no name is broken."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import polars as pl
import pytest
from rich.console import Console, RenderableType

from market_data.cli.fitted_table import Column, FittedTable
from market_data.cli.tables import coverage_table, instruments_table, plan_table, records_table, stale_table
from market_data.operate.coverage import COVERAGE_SCHEMA, FILE_COUNTS, SIZES, STATES, summarize_data_types
from market_data.operate.plan import DATA_TYPES_SCHEMA, STALE_SCHEMA, VENUES_SCHEMA, Plan

DAY = date(2024, 8, 8)
VENUE, DATA_TYPE = "BINANCE-EUROPEAN-OPTIONS", "incremental_book_L2"
KEY = f"{VENUE}:OPTION:1000000MOG-USDC-250425-200000.25-CALL"
SYMBOL = "1000000MOG-USDC-250425-200000D25-C"
LARGE = 123_456_789_012
SIZED_FROM = "held days and told sizes"


def rendered(table: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def coverage() -> FittedTable:
    numbers = dict.fromkeys((*FILE_COUNTS, *SIZES), LARGE)
    rows = [
        {"venue": VENUE, "data_type": DATA_TYPE, "day": DAY, "state": state, "cause": None} | numbers
        for state in STATES
    ]
    return coverage_table(summarize_data_types(pl.DataFrame(rows, schema=COVERAGE_SCHEMA)))


def plan() -> FittedTable:
    low, high = LARGE // 100, LARGE
    sizes = {
        f"{name}_{bound}": at
        for name in ("raw_bytes", "published_bytes")
        for bound, at in (("low", low), ("high", high))
    }
    row: dict[str, Any] = {"venue": VENUE, "data_type": DATA_TYPE, "expected": LARGE, "held": LARGE, "to_fetch": LARGE}
    data_types = pl.DataFrame([row | sizes | {"sized_from": SIZED_FROM}], schema=DATA_TYPES_SCHEMA)
    return plan_table(Plan(VENUES_SCHEMA.to_frame(), data_types))


def stale() -> FittedTable:
    row = {"venue": VENUE, "data_type": DATA_TYPE, "day": DAY, "cause": "decoder", "reason": "", "files": LARGE}
    frame = pl.DataFrame([row | {"raw_bytes": LARGE, "published_bytes": LARGE}], schema=STALE_SCHEMA)
    return stale_table(frame)


def instruments() -> FittedTable:
    row = {
        "instrument_key": KEY,
        "vendor_symbol": SYMBOL,
        "first_day": DAY,
        "last_day": DAY,
        "price_currency": "USDC",
        "amount_unit": "contracts",
        "contract_multiplier": 0.001,
        "contract_kind": "linear",
        "base": "1000000MOG",
        "quote": "USDC",
        "settlement_asset": "USDC",
        "days_listed": 365,
        "days_held": {DATA_TYPE: 365, "options_chain": 365},
    }
    return instruments_table(pl.DataFrame([row, row]))


def schema() -> FittedTable:
    words = "Rate of the interval after the one that ends at funding_timestamp, as the venue says it."
    row = {"column": "predicted_funding_rate", "dtype": "Datetime(us, UTC)", "is_nullable": True}
    return records_table([row | {"unit": "not known (contracts, base or quote, by venue)", "description": words}])


def deletions() -> FittedTable:
    counts = {"days": LARGE, "deleted before": LARGE, "files": LARGE, "rows": LARGE, "raw": "123 GB"}
    return records_table([{"venue": VENUE, "data_type": DATA_TYPE} | counts])


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (coverage(), [VENUE, DATA_TYPE, "617,283,945,060", "617 GB"]),
        (plan(), [VENUE, DATA_TYPE, SIZED_FROM, "1.23 GB to 123 GB", "123,456,789,012"]),
        (stale(), [VENUE, DATA_TYPE, "123,456,789,012"]),
        (instruments(), [KEY, SYMBOL, f"{DATA_TYPE} 365", "contracts of 0.001 1000000MOG (linear)"]),
        (schema(), ["predicted_funding_rate", "Datetime(us, UTC)", "funding_timestamp"]),
        (deletions(), [VENUE, DATA_TYPE, "123,456,789,012", "123 GB"]),
    ],
    ids=["coverage", "plan", "stale", "find", "schema", "delete"],
)
@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_table_fits_and_breaks_no_name(table: FittedTable, names: list[str], width: int) -> None:
    text = rendered(table, width)
    assert max(map(len, text.splitlines())) <= width
    for name in names:
        assert name in text


def test_what_has_no_room_is_told_below_its_row_without_what_says_nothing() -> None:
    table = FittedTable([Column("venue", is_kept=True), Column("files", "right"), Column("left out"), Column("failed")])
    table.add_row("BINANCE", "12", "a reason", "0")
    table.add_row("DERIBIT-OPTIONS", "3", "another", "7")
    words = [line.split() for line in rendered(table, 30).splitlines() if line.strip()]
    assert words[-4:] == [
        ["BINANCE", "12"],
        ["left", "out", "a", "reason"],
        ["DERIBIT-OPTIONS", "3"],
        ["left", "out", "another,", "failed", "7"],
    ]
    assert "left out" in rendered(table, 80).splitlines()[1]
