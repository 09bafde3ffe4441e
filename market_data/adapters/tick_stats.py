"""Statistics of one tick file, measured on its Parquet in one streaming pass.

Order, silence and repeats look at neighbouring rows only: whole-file sets would cost more than the decode itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from market_data.domain.data_types import TABLES, ColumnKind, DataType
from market_data.domain.tick_rules import TickStats

_SIDES = {
    DataType.TRADES: ("buy", "sell", "unknown"),
    DataType.LIQUIDATIONS: ("buy", "sell", "unknown"),
    DataType.INCREMENTAL_BOOK_L2: ("bid", "ask"),
}
_TOP_OF_BOOK = {
    DataType.QUOTES: ("bid_price", "ask_price", "bid_amount", "ask_amount"),
    DataType.BOOK_TICKER: ("bid_price", "ask_price", "bid_amount", "ask_amount"),
    DataType.BOOK_SNAPSHOT_5: ("bid_price_0", "ask_price_0", "bid_amount_0", "ask_amount_0"),
    DataType.BOOK_SNAPSHOT_25: ("bid_price_0", "ask_price_0", "bid_amount_0", "ask_amount_0"),
}
_MICROSECONDS = 1e6


def measure_ticks(path: Path, data_type: DataType) -> TickStats:
    """Return the statistics of a decoded file with at least one row; times are seconds, counts are rows."""
    counts, measures = _counts(data_type), _measures(data_type)
    nullable = [column.name for column in TABLES[data_type].vendor_columns if column.is_nullable]
    found = (
        pl.scan_parquet(path, glob=False)
        .select(
            pl.len().alias("rows"),
            *(expression.alias(f"count {name}") for name, expression in counts.items()),
            *(expression.alias(f"measure {name}") for name, expression in measures.items()),
            *(pl.col(name).null_count().alias(f"null {name}") for name in nullable),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    return TickStats(
        rows=found["rows"],
        counts={name: found[f"count {name}"] for name in counts},
        measures={name: found[f"measure {name}"] for name in measures if found[f"measure {name}"] is not None},
        nulls={name: found[f"null {name}"] for name in nullable if found[f"null {name}"]},
    )


def _counts(data_type: DataType) -> dict[str, pl.Expr]:
    arrival = pl.col("local_timestamp").to_physical()
    names = [column.name for column in TABLES[data_type].vendor_columns]
    counts = {"arrival_steps_back": (arrival.diff() < 0).sum(), "rows_repeated": _repeated(data_type, names)}
    if data_type in _SIDES:
        counts |= {
            "sides_unknown": (~pl.col("side").is_in(_SIDES[data_type])).sum(),
            "prices_not_positive": (pl.col("price") <= 0).sum(),
            "amounts_negative": (pl.col("amount") < 0).sum(),
        }
    if data_type is DataType.TRADES:
        counts["ids_repeated"] = (pl.col("id") == pl.col("id").shift(1)).sum()
    if data_type is DataType.INCREMENTAL_BOOK_L2:
        counts["opens_without_snapshot"] = (~pl.col("is_snapshot").first()).cast(pl.Int64)
    if data_type in _TOP_OF_BOOK:
        bid, ask, bid_amount, ask_amount = map(pl.col, _TOP_OF_BOOK[data_type])
        counts |= {
            "rows_crossed": (bid > ask).sum(),
            "rows_locked": (bid == ask).sum(),
            "rows_without_value": (bid.is_null() & ask.is_null()).sum(),
            "prices_not_positive": ((bid <= 0).fill_null(value=False) | (ask <= 0).fill_null(value=False)).sum(),
            "amounts_negative": (
                (bid_amount < 0).fill_null(value=False) | (ask_amount < 0).fill_null(value=False)
            ).sum(),
        }
    if data_type is DataType.DERIVATIVE_TICKER:
        counts["rows_without_value"] = pl.all_horizontal(pl.col(names[4:]).is_null()).sum()
    if data_type is DataType.OPTIONS_CHAIN:
        counts |= {
            "deltas_out_of_range": (pl.col("delta").abs() > 1).sum(),
            "volatilities_negative": pl.any_horizontal(
                (pl.col(name) < 0).fill_null(value=False) for name in ("bid_iv", "ask_iv", "mark_iv")
            ).sum(),
        }
    return counts


def _repeated(data_type: DataType, names: list[str]) -> pl.Expr:
    """Count rows equal to the row before, in every column but the recorder's time; wide books by their first levels."""
    compared = [name for name in names[: 14 if data_type in _TOP_OF_BOOK else None] if name != "local_timestamp"]
    return pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in compared).sum()


def _measures(data_type: DataType) -> Mapping[str, pl.Expr]:
    arrival, event = pl.col("local_timestamp").to_physical(), pl.col("timestamp").to_physical()
    measures = {
        # equal times mean that the venue sent none
        "median_delay_seconds": (arrival - event).filter(arrival != event).median() / _MICROSECONDS,
        "longest_silence_seconds": arrival.diff().max() / _MICROSECONDS,
    }
    prices = [
        column.name
        for column in TABLES[data_type].vendor_columns
        if column.kind is ColumnKind.NUMBER and column.name in {"price", "last_price", "bid_price", "bid_price_0"}
    ]
    for name in prices[:1]:
        measures |= {f"lowest_{name}": pl.col(name).min(), f"highest_{name}": pl.col(name).max()}
    return measures
