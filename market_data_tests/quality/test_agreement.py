"""Data types of a day held against each other: what agrees is seen to, in any pieces, and each kind of fault shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from market_data.model.data_types import DataType
from market_data.quality.agreement import compare_day
from market_data.quality.book_day import Batches, Compared, DayBefore
from market_data.quality.compiled import compiled
from market_data_tests.quality.made_books import Frames, make_day, record_again
from market_data_tests.quality.vendor_samples import SAMPLE_DAYS, SAMPLES, load_sample, load_sample_day

L2, QUOTES, TRADES = DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.TRADES
S25, S5, TICKER = DataType.BOOK_SNAPSHOT_25, DataType.BOOK_SNAPSHOT_5, DataType.BOOK_TICKER


def in_pieces(frames: Frames, size: int) -> dict[DataType, Batches]:
    def read(frame: pl.DataFrame) -> Callable[[], Iterator[pl.DataFrame]]:
        return lambda: (frame[start : start + size] for start in range(0, frame.height, size))

    return {data_type: read(frame) for data_type, frame in frames.items()}


def compared(frames: Frames, size: int = 10**6, before: DayBefore | None = None) -> dict[str, Compared]:
    found, _ = compare_day(in_pieces(frames, size), before)
    return {it.name: it for it in found}


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_all_that_agrees_is_seen_to_agree_in_pieces_of_any_size(size: int) -> None:
    frames = make_day(1, 60 if size == 1 else 400)
    found = compared(frames, size)
    messages = frames[L2]["local_timestamp"].n_unique()
    for name in ("snapshot_25_unlike_book", "snapshot_5_unlike_book"):
        assert (found[name].compared, found[name].value) == (messages, 0.0)
    assert found["quotes_unlike_book"].value == 0.0
    assert found["book_ticker_apart_seconds"].value == 0.0
    assert found["trades_outside_book"].value == 0.0
    assert found["crossed_seconds"].value == 0.0
    assert found["mid_over_midnight"].value is None


def drop(frame: pl.DataFrame, share: float, seed: int = 3) -> pl.DataFrame:
    kept = np.random.default_rng(seed).random(frame.height) >= share
    kept[:200] = True  # the image
    return frame.filter(pl.Series(kept))


def test_rows_lost_of_the_book_alone_accuse_the_book() -> None:
    frames = make_day(2)
    found = compared(frames | {L2: drop(frames[L2], 0.01)})
    differing = [found[name] for name in ("snapshot_25_unlike_book", "quotes_unlike_book")]
    assert all((it.value or 0) > 1e-4 and it.spans for it in differing)
    assert {it.data_types for it in differing} == {(L2,)}
    assert (found["book_ticker_apart_seconds"].value or 0) >= 0


@pytest.mark.parametrize("data_type", [QUOTES, S25, S5])
def test_rows_lost_of_one_other_type_accuse_that_type(data_type: DataType) -> None:
    frames = make_day(3)
    found = compared(frames | {data_type: drop(frames[data_type], 0.01)})
    name = f"{data_type.value.removeprefix('book_')}_unlike_book"
    assert (found[name].value or 0) > 1e-4
    assert found[name].data_types == (data_type,)
    others = [it for it in found.values() if it.name.endswith("_unlike_book") and it.name != name]
    assert [it.value for it in others] == [0.0] * len(others)


def test_what_the_common_recording_lost_shows_in_the_stream_of_its_own() -> None:
    """A lost message corrupts L2, quotes and snapshots alike, which go on agreeing; book_ticker does not."""
    lost = make_day(4, lost=range(300, 420, 2))
    found = compared(lost)
    assert (found["book_ticker_apart_seconds"].value or 0) > 60
    assert found["quotes_unlike_book"].value == 0


@pytest.mark.parametrize("silent", [TICKER, QUOTES])
@pytest.mark.parametrize("size", [400, 10**6])
def test_a_stream_that_is_silent_does_not_disagree(silent: DataType, size: int) -> None:
    """What it said last is old, which is no evidence against another; that it is silent is told as a gap."""
    day = make_day(8, 3_000)
    times = day[TICKER]["local_timestamp"]
    hole = pl.col("local_timestamp").is_between(times[1000], times[1400])
    found = compared(day | {silent: day[silent].filter(~hole)}, size)
    assert found["book_ticker_apart_seconds"].value == 0
    # its last word holds for a few of the usual intervals
    assert (found["quotes_unlike_book"].value or 0) < 0.003
    assert found["quotes_unlike_book"].compared > (2_550 if silent is QUOTES else 2_900)


def test_a_book_that_is_silent_does_not_disagree() -> None:
    """Nothing changed in it meanwhile, so that it is right again after the hole; trades and quotes went on."""
    day = make_day(8, 3_000)
    times = day[L2]["local_timestamp"].unique().sort()
    hole = pl.col("local_timestamp").is_between(times[1000], times[1400])
    still = {kind: frame.filter(~hole) for kind, frame in day.items() if kind in {S25, S5}}
    image = day[L2].filter(pl.col("local_timestamp") <= times[1400])
    after = day[L2].filter(pl.col("local_timestamp") > times[1400])
    levels = image.group_by("side", "price", maintain_order=True).last().filter(pl.col("amount") > 0)
    again = levels.with_columns(local_timestamp=pl.lit(times[1400]), is_snapshot=pl.lit(value=True))
    rows = [day[L2].filter(pl.col("local_timestamp") < times[1000]), again.select(day[L2].columns), after]
    found = compared(day | still | {L2: pl.concat(rows)})
    assert found["book_ticker_apart_seconds"].value == 0
    assert (found["quotes_unlike_book"].value or 0) < 0.003
    assert (found["trades_outside_book"].value or 0) < 0.01


def test_rows_lost_one_by_one_show_however_seldom_they_come() -> None:
    """For a quiet instrument the last word holds longer."""
    day = make_day(9, 200)
    some = pl.int_range(pl.len()) % 20 == 10
    found = compared(day | {QUOTES: day[QUOTES].filter(~some)})
    assert (found["quotes_unlike_book"].value or 0) > 0.03


def test_prices_of_another_scale_and_removals_that_never_came_show() -> None:
    frames = make_day(5)
    dear = frames[TRADES].with_columns(pl.col("price") * 1000)
    assert compared(frames | {TRADES: dear})["trades_outside_book"].value == 1.0
    kept = frames[L2].filter((pl.col("amount") > 0) | pl.col("is_snapshot"))
    assert (compared(frames | {L2: kept})["crossed_seconds"].value or 0) > 3600


def test_the_mid_over_midnight_is_judged_by_what_it_usually_moves() -> None:
    frames = make_day(6)
    first = frames[QUOTES].row(0, named=True)
    time_us = int(first["local_timestamp"].timestamp() * 1e6) - 10**6
    near = DayBefore(first["bid_price"], first["ask_price"], time_us)
    far = DayBefore(first["bid_price"] * 2, first["ask_price"] * 2, time_us)
    assert compared(frames, before=near)["mid_over_midnight"].value == 0.0
    assert (compared(frames, before=far)["mid_over_midnight"].value or 0) > 1


def test_a_day_without_an_image_is_not_judged() -> None:
    frames = make_day(7)
    found = compared(frames | {L2: frames[L2].filter(~pl.col("is_snapshot"))})
    assert found["crossed_seconds"].value is None
    assert "no image" in (found["crossed_seconds"].why or "")


def test_without_l2_quotes_are_held_against_the_snapshots() -> None:
    frames = make_day(8)
    del frames[L2]
    assert compared(frames)["quotes_unlike_snapshots"].value == 0.0
    found = compared(frames | {QUOTES: drop(frames[QUOTES], 0.02)})
    assert (found["quotes_unlike_snapshots"].value or 0) > 1e-4


def test_of_two_snapshots_at_one_instant_the_last_holds_in_batches_of_any_size() -> None:
    frames = make_day(9, 60)
    passing = frames[S5].with_columns(pl.col("bid_amount_0") + 1)
    twice = pl.concat([passing, frames[S5]]).sort("local_timestamp", maintain_order=True)
    assert compared(frames | {S5: twice}, 1)["snapshot_5_unlike_book"].value == 0.0


def test_a_day_ends_with_its_last_message_however_long_the_best_prices_stood() -> None:
    frames = make_day(10)
    deep = frames[L2][-1].with_columns(pl.col("local_timestamp") + timedelta(hours=1), side=pl.lit("bid"), price=0.5)
    _, end = compare_day(in_pieces({L2: pl.concat([frames[L2], deep])}, 10**6), None)
    assert end is not None
    assert end.time_us == int(deep["local_timestamp"][0].timestamp() * 1e6)


def test_prices_of_a_ticker_are_held_against_the_book_where_they_change() -> None:
    frames = make_day(11)
    middle = (pl.col("bid_price") + pl.col("ask_price")) / 2
    stale = pl.when(pl.int_range(pl.len()) < 400).then(middle).otherwise(middle.get(399))
    ticker = frames[QUOTES].select("local_timestamp", last_price=stale, mark_price=middle * 2)
    found = compared(frames | {DataType.DERIVATIVE_TICKER: ticker})
    assert found["last_price_off_book"].value == 0.0
    assert found["mark_price_off_book"].value == 1.0


def test_functions_compile_where_there_is_no_place_to_keep_them() -> None:
    room: dict[str, Callable[[int], int]] = {}
    exec("def double(number):\n    return 2 * number", room)  # noqa: S102  a function without a file has no place
    assert compiled(room["double"])(21) == 42


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendor's files are kept beside the repository, in shared/samples")
@pytest.mark.parametrize(("venue", "symbol", "days"), SAMPLE_DAYS)
def test_real_data_agree_in_every_instant_over_midnight_too(venue: str, symbol: str, days: Sequence[str]) -> None:
    frames = {it: load_sample(it, venue, symbol, days) for it in (L2, QUOTES, S25, S5, TICKER, TRADES)}
    found = compared(frames, 20_000)
    for name in ("snapshot_25_unlike_book", "snapshot_5_unlike_book", "quotes_unlike_book"):
        assert found[name].compared > 5000
        assert found[name].compared == found[name].equal
    assert found["book_ticker_apart_seconds"].value == 0.0
    assert (found["trades_outside_book"].value or 0) < 0.05


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendor's files are kept beside the repository, in shared/samples")
def test_a_book_made_again_of_real_messages_shows_what_the_vendor_shows() -> None:
    """What faults of the recorder are injected by: without one it changes nothing."""
    day = load_sample_day("binance", "BTCUSDT", "2024-08-08")
    for data_type in (QUOTES, S5):
        assert record_again(day[L2], day[data_type]).equals(day[data_type])
