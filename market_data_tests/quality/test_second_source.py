"""Trades held against a second source's: what either lacks is told wherever it lies; none agrees by being short."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.quality.second_source import (
    AGREE,
    DIFFER,
    NOT_JUDGED,
    RUN_LIMIT,
    SHARE_LIMIT,
    Reconciled,
    reconcile_aggregated,
    reconcile_candles,
    reconcile_trades,
)

MIDNIGHT = int(datetime(2024, 8, 8, tzinfo=UTC).timestamp() * 1_000_000)
DAY_US, SECOND_US, MINUTE_US = 86_400_000_000, 1_000_000, 60_000_000
BOTH = (True, True)
FIRST_ID = 3_000_000


def made(count: int, step_us: int = 0) -> pl.DataFrame:
    """Give trades spread over the day as the exchange has them, to microseconds."""
    step = step_us or DAY_US // count
    number = pl.int_range(count, dtype=pl.Int64)
    rows = pl.select(
        id=FIRST_ID + number,
        time_us=MIDNIGHT + number * step + 345,
        price=60_000.0 + number % 7,
        amount=0.001 * (1 + number % 5),
    )
    return rows.with_columns(side=pl.when(pl.col("id") % 2 == 0).then(pl.lit("buy")).otherwise(pl.lit("sell")))


def as_ours(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("id").cast(pl.String))


def in_ms(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("time_us") // 1000 * 1000)


def compare(ours: pl.DataFrame, theirs: pl.DataFrame, are_held: tuple[bool, bool] = BOTH) -> Reconciled:
    return reconcile_trades(as_ours(ours), theirs, are_held=are_held)


@settings(max_examples=60, deadline=None)
@given(lost=st.sets(st.integers(60, 1939)), theirs_lost=st.sets(st.integers(60, 1939)), has_ms=st.booleans())
def test_what_either_lacks_is_counted_and_judged_alike(*, lost: set[int], theirs_lost: set[int], has_ms: bool) -> None:
    whole = made(2000)
    ours, theirs = (whole.filter(~(pl.col("id") - FIRST_ID).is_in(sorted(gone))) for gone in (lost, theirs_lost))
    found = compare(ours.sample(fraction=1, shuffle=True, seed=3), in_ms(theirs) if has_ms else theirs)
    assert (found.theirs_only, found.ours_only) == (len(lost - theirs_lost), len(theirs_lost - lost))
    assert found.common == 2000 - len(lost | theirs_lost)
    assert found.verdict == (AGREE if lost == theirs_lost else DIFFER)
    assert ("we lack" in found.told, "they lack" in found.told) == (bool(lost - theirs_lost), bool(theirs_lost - lost))


@pytest.mark.parametrize("kept", [1, 155, 1000, 1990])
def test_a_file_that_is_cut_off_at_either_end_is_no_agreement(kept: int) -> None:
    whole = made(2000)
    for theirs, where in ((whole.head(kept), "23:59:16"), (whole.tail(kept), "00:00:43")):
        found = compare(whole, theirs)
        assert (found.verdict, found.common) == (DIFFER, kept)
        assert found.told.startswith(f"they lack {found.ours_only:,} that we have")
        assert any(span.startswith("they lack ids") and where in span for span in found.spans)
        mirrored = compare(theirs, whole)
        assert (mirrored.verdict, mirrored.theirs_only) == (DIFFER, 2000 - kept)
        assert any(span.startswith("we lack ids") for span in mirrored.spans)


def test_a_run_of_more_than_the_limit_differs_however_large_the_day() -> None:
    whole, count = made(5_200_000), RUN_LIMIT + 1
    assert count <= SHARE_LIMIT * whole.height
    rest = whole.filter(~pl.int_range(pl.len()).is_between(500_000, 500_000 + count - 1))
    found = reconcile_trades(whole, rest, are_held=BOTH)
    assert (found.verdict, found.ours_only) == (DIFFER, count)


def test_times_of_another_resolution_move_no_trade_over_an_edge() -> None:
    whole = made(10_000)
    for are_held in (BOTH, (False, True), (True, False), (False, False)):
        for ours, theirs in ((whole, in_ms(whole)), (in_ms(whole), whole)):
            found = compare(ours, theirs, are_held)
            assert (found.verdict, found.ours_only, found.theirs_only) == (AGREE, 0, 0)


def test_a_day_beside_that_is_not_held_leaves_seconds_out_and_says_so() -> None:
    whole = made(86_400)
    late = pl.col("time_us") >= MIDNIGHT + DAY_US - 3 * SECOND_US
    assert compare(whole.filter(~late), whole).verdict == DIFFER
    found = compare(whole.filter(~late), whole, (True, False))
    assert found.verdict == AGREE
    assert "the last 5 seconds are left out: the day after is not held" in found.told
    alone = whole.tail(4)
    assert compare(alone, alone, (True, False)).verdict == NOT_JUDGED


def test_a_few_trades_of_ours_at_midnight_that_a_file_by_arrival_lacks_are_no_difference() -> None:
    whole = made(86_400)
    for seconds, verdict in ((4, AGREE), (8, DIFFER)):
        kept = whole.filter(pl.col("time_us") < MIDNIGHT + DAY_US - seconds * SECOND_US)
        assert compare(whole, kept).verdict == verdict
    # as many as no accident of an edge has
    dense = pl.concat([whole.head(80_000), made(200, 10_000).with_columns(pl.col("id") + 80_000)]).with_columns(
        time_us=pl.when(pl.col("id") < FIRST_ID + 80_000)
        .then("time_us")
        .otherwise(pl.col("time_us") + DAY_US - 3 * SECOND_US)
    )
    assert compare(dense, dense.head(80_000)).verdict == DIFFER


def test_a_file_of_another_symbol_is_told_as_such() -> None:
    whole = made(2000)
    found = compare(whole, whole.with_columns(pl.col("id") + 452_997_086))
    assert found.verdict == DIFFER
    assert "is the file another symbol's?" in found.told
    assert "both lack" not in found.told


def aggregated(rows: pl.DataFrame) -> pl.DataFrame:
    groups = (pl.col("id") - FIRST_ID) // 2
    return (
        rows.with_columns(price=60_000.0, side=pl.lit("buy"))
        .group_by(groups.alias("group"), maintain_order=True)
        .agg(
            pl.col("id").min().alias("first_id"),
            pl.col("id").max().alias("last_id"),
            pl.col("time_us", "price", "side").first(),
        )
    )


def test_aggregated_trades_are_of_the_whole_day_too() -> None:
    whole = made(2000).with_columns(price=60_000.0, side=pl.lit("buy"))
    theirs = aggregated(whole)
    assert reconcile_aggregated(as_ours(whole), theirs, are_held=BOTH).verdict == AGREE
    found = reconcile_aggregated(as_ours(whole), theirs.head(100), are_held=BOTH)
    assert (found.verdict, found.ours_only) == (DIFFER, 1800)


def candles(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the candles of a whole day, as Binance does: minutes without trades have one too."""
    minutes = pl.DataFrame({"time_us": [MIDNIGHT + it * MINUTE_US for it in range(1440)]})
    sums = rows.group_by(pl.col("time_us") // MINUTE_US * MINUTE_US).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.col("amount").sum().alias("volume"),
        (pl.col("amount") * pl.col("price")).sum().alias("quote_volume"),
    )
    return minutes.join(sums, on="time_us", how="left").fill_null(0).sort("time_us")


def by_minutes(
    ours: pl.DataFrame, theirs: pl.DataFrame, are_held: tuple[bool, bool] = BOTH, *, has_quote_volume: bool = True
) -> Reconciled:
    return reconcile_candles(ours, theirs, are_held=are_held, has_quote_volume=has_quote_volume)


def scaled(rows: pl.DataFrame, name: str, minutes: list[int], factor: float = 1.01) -> pl.DataFrame:
    is_chosen = pl.int_range(pl.len()).is_in(minutes)
    return rows.with_columns(pl.when(is_chosen).then(pl.col(name) * factor).otherwise(name).alias(name))


TRADES = made(20_000)
CANDLES = candles(TRADES)


def test_candles_of_the_same_trades_agree_also_where_minutes_are_empty_and_sums_are_rounded() -> None:
    assert by_minutes(TRADES, CANDLES).verdict == AGREE
    rounded = CANDLES.with_columns(pl.col("volume", "quote_volume").round(8))
    assert by_minutes(in_ms(TRADES), rounded).verdict == AGREE
    thin = made(50)
    assert by_minutes(thin, candles(thin)).verdict == AGREE


@pytest.mark.parametrize("minute", [0, 1, 700, 1438, 1439])
@pytest.mark.parametrize("name", ["count", "volume", "quote_volume"])
def test_every_number_of_every_minute_is_judged(name: str, minute: int) -> None:
    changed = (
        scaled(CANDLES, name, [minute])
        if name != "count"
        else CANDLES.with_columns(pl.col("count") + (pl.int_range(pl.len()) == minute).cast(pl.Int64) * 100)
    )
    found = by_minutes(TRADES, changed)
    assert found.verdict == DIFFER
    assert {"count": "trades more than we hold", "volume": "base volume", "quote_volume": "quote volume"}[
        name
    ] in found.told
    assert any(f"{minute // 60:02}:{minute % 60:02}" in span for span in found.spans)


def test_a_quote_volume_of_another_unit_is_not_compared_and_told() -> None:
    found = by_minutes(TRADES, scaled(CANDLES, "quote_volume", list(range(1440)), 0.01), has_quote_volume=False)
    assert found.verdict == AGREE
    assert "quote volume is of another unit, and not compared" in found.told


def test_minutes_that_the_file_lacks_are_told_and_differ() -> None:
    for kept in (CANDLES.head(800), CANDLES.tail(800), CANDLES.filter(~pl.int_range(pl.len()).is_between(300, 939))):
        found = by_minutes(TRADES, kept)
        assert found.verdict == DIFFER
        assert "they lack 640 minutes: in 640 of them we hold" in found.told
        assert found.ours_only == TRADES.height - int(kept["count"].sum())
    # where trading was suspended there are neither trades nor candles
    open_hours = pl.col("time_us") < MIDNIGHT + 20 * 60 * MINUTE_US
    found = by_minutes(TRADES.filter(open_hours), CANDLES.filter(open_hours))
    assert found.verdict == AGREE
    assert "they lack 240 minutes, in which we hold no trades either" in found.told


@pytest.mark.parametrize("lines", [1, 2, 10, 59])
def test_a_file_of_few_minutes_is_nothing_to_compare_with(lines: int) -> None:
    for rows in (CANDLES.head(lines), CANDLES.head(lines).with_columns(count=pl.lit(999_999, pl.Int64))):
        found = by_minutes(TRADES, rows)
        assert found.verdict == NOT_JUDGED
        assert found.told.startswith("nothing is compared")


def test_the_edge_minutes_are_left_out_where_the_day_beside_is_not_held() -> None:
    changed = scaled(CANDLES, "volume", [0, 1439])
    assert by_minutes(TRADES, changed).verdict == DIFFER
    assert by_minutes(TRADES, changed, (True, False)).verdict == DIFFER
    found = by_minutes(TRADES, changed, (False, False))
    assert found.verdict == AGREE
    assert "the first 60 seconds are left out" in found.told
    assert "the last 60 seconds are left out" in found.told
