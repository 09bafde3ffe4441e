"""A seeded injector of faults into the frames of one instrument's day; see `market_data/quality/MATRIX.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.hours import DAY_US
from market_data_tests.quality.made_books import Frames, record_again

L2, QUOTES, TRADES = DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.TRADES
S25, S5, TICKER = DataType.BOOK_SNAPSHOT_25, DataType.BOOK_SNAPSHOT_5, DataType.BOOK_TICKER
Inject = Callable[[Frames, np.random.Generator], Frames]


@dataclass(frozen=True)
class Fault:
    """One fault at one size: `size` is the share of rows, or of messages; `is_visible` as MATRIX.md says.

    `depth` R: in the recorder, before normalising, by `inject` or, without one, by messages that it lost; F: in one
    type's file. `needs_day`: it shows in the rhythm of a day, or in what day it is, and not in minutes.
    """

    name: str
    depth: str
    size: float
    inject: Inject | None
    is_visible: bool
    has_ids: bool = True
    needs_day: bool = False


def lost_messages(fault: Fault, messages: int, rng: np.random.Generator) -> set[int]:
    """Return which of a day's messages never reached the recorder; the first ten, with the image, always do."""
    count = max(1, round(fault.size * messages))
    if "block" in fault.name:
        first = int(rng.integers(messages // 10, messages * 8 // 10))
        return set(range(first, first + count))
    return {int(it) for it in rng.choice(np.arange(10, messages), count, replace=False)}


def inject(fault: Fault, frames: Frames, rng: np.random.Generator) -> Frames:
    """Return frames of the vendor's with a fault; what a recorder that lost messages would have made is made anew."""
    if fault.inject is not None:
        return fault.inject(dict(frames), rng)
    times = frames[L2]["local_timestamp"].unique().sort()
    lost = times.gather(sorted(lost_messages(fault, times.len(), rng)))
    kept = {kind: frame.filter(~pl.col("local_timestamp").is_in(lost.implode())) for kind, frame in frames.items()}
    books = {L2: kept[L2], TRADES: frames[TRADES], TICKER: frames[TICKER]}
    return books | {kind: record_again(kept[L2], kept[kind]) for kind in (QUOTES, S25, S5) if kind in kept}


def faults() -> Iterator[Fault]:
    """Yield every fault at every size; see MATRIX.md."""
    for size in (0.0001, 0.001, 0.01):
        for kind in (TRADES, QUOTES, L2, S25, TICKER):
            # 0.01 % are a few seconds, or rows below the limits of agreement; a jump of an id is one at any size
            is_seen = kind is TRADES or size >= 0.001
            block, needs_day = partial(_drop_block, kind, size), kind is TICKER
            yield Fault(f"block lost of {kind}", "F", size, block, is_seen, needs_day=needs_day)
            is_seen &= kind is not TICKER  # a stream of its own, which changes all the time
            yield Fault(f"rows lost of {kind}", "F", size, partial(_drop_some, kind, size), is_seen)
        yield Fault("rows lost of trades", "F", size, partial(_drop_some, TRADES, size), False, has_ids=False)
        yield Fault("messages lost", "R", size, None, is_visible=False)
        yield Fault("block of messages lost", "R", size, None, size >= 0.001)
    for kind in (TRADES, QUOTES, L2):
        yield Fault(f"head cut of {kind}", "F", 0.01, partial(_cut, kind, 0.01), is_visible=True, needs_day=True)
        yield Fault(f"tail cut of {kind}", "F", 0.01, partial(_cut, kind, -0.01), is_visible=True, needs_day=True)
        yield Fault(f"block twice in {kind}", "F", 0.01, partial(_twice, kind), is_visible=True)
        yield Fault(f"blocks reordered in {kind}", "F", 0.01, partial(_reorder, kind), is_visible=True)
        yield Fault(f"ms for us in {kind}", "F", 1, partial(_scale_times, kind), is_visible=True)
        yield Fault(f"yesterday's {kind}", "F", 1, partial(_move, kind, -DAY_US), is_visible=True)
        yield Fault(f"another instrument's {kind}", "F", 1, partial(_other, kind, 1.0), is_visible=True)
        yield Fault(f"{kind} spliced of two days", "F", 0.5, partial(_other, kind, 0.5), is_visible=True)
        yield Fault(f"x1000 in {kind}", "F", 1, partial(_times_thousand, kind), is_visible=True)
    yield Fault("clock shifted by 1 s", "R", 1, _shift_clock, is_visible=True)
    yield Fault("sides of quotes swapped", "F", 1, _swap_sides, is_visible=True)
    yield Fault("one side of quotes gone", "F", 1, _one_side, is_visible=True)
    yield Fault("quotes frozen", "F", 0.01, _freeze, is_visible=True)
    yield Fault("price and amount of trades swapped", "F", 1, _swap_columns, is_visible=True)
    yield Fault("removals dropped", "F", 1, _no_removals, is_visible=True)
    yield Fault("image dropped", "F", 1, _no_image, is_visible=True)


def _drop_some(kind: DataType, share: float, frames: Frames, rng: np.random.Generator) -> Frames:
    frame = frames[kind]
    first = 100 if kind is L2 else 0  # the image
    lost = rng.choice(np.arange(first, frame.height - 1), max(1, round(share * frame.height)), replace=False)
    kept = np.ones(frame.height, bool)
    kept[lost] = False
    return frames | {kind: _numbered(kind, frame).filter(pl.Series(kept))}


def _numbered(kind: DataType, frame: pl.DataFrame) -> pl.DataFrame:
    """Give trades their ids before rows go."""
    ids = pl.int_range(pl.len()).cast(pl.String).alias("id")
    return frame.with_columns(ids) if kind is TRADES and "id" not in frame.columns else frame


def _drop_block(kind: DataType, share: float, frames: Frames, rng: np.random.Generator) -> Frames:
    frame = _numbered(kind, frames[kind])
    size = max(1, round(share * frame.height))
    first = int(rng.integers(frame.height // 10, frame.height * 8 // 10))
    return frames | {kind: pl.concat([frame[:first], frame[first + size :]])}


def _cut(kind: DataType, share: float, frames: Frames, _: np.random.Generator) -> Frames:
    frame = frames[kind]
    size = round(abs(share) * frame.height)
    return frames | {kind: frame[size:] if share > 0 else frame[:-size]}


def _twice(kind: DataType, frames: Frames, rng: np.random.Generator) -> Frames:
    frame, size = frames[kind], frames[kind].height // 100
    first = int(rng.integers(frame.height // 10, frame.height * 8 // 10))
    return frames | {kind: pl.concat([frame[: first + size], frame[first : first + size], frame[first + size :]])}


def _reorder(kind: DataType, frames: Frames, rng: np.random.Generator) -> Frames:
    frame, size = frames[kind], frames[kind].height // 100
    first = int(rng.integers(frame.height // 10, frame.height * 8 // 10))
    middle = [frame[first + size : first + 2 * size], frame[first : first + size]]
    return frames | {kind: pl.concat([frame[:first], *middle, frame[first + 2 * size :]])}


def _scale_times(kind: DataType, frames: Frames, _: np.random.Generator) -> Frames:
    times = pl.from_epoch(frames[kind]["local_timestamp"].dt.epoch("us") // 1000, "us").dt.replace_time_zone("UTC")
    return frames | {kind: frames[kind].with_columns(times.alias("local_timestamp"))}


def _move(kind: DataType, by_us: int, frames: Frames, _: np.random.Generator) -> Frames:
    return frames | {kind: frames[kind].with_columns(pl.col("local_timestamp") + pl.duration(microseconds=by_us))}


def _other(kind: DataType, share: float, frames: Frames, _: np.random.Generator) -> Frames:
    """Take the last part of a file from another instrument's, whose prices are near but not the same."""
    frame = frames[kind]
    prices = [pl.col(name) * 1.02 for name in frame.columns if "price" in name]
    own = round((1 - share) * frame.height)
    return frames | {kind: pl.concat([frame[:own], frame.with_columns(prices)[own:]])}


def _times_thousand(kind: DataType, frames: Frames, _: np.random.Generator) -> Frames:
    prices = [pl.col(name) * 1000 for name in frames[kind].columns if "price" in name]
    return frames | {kind: frames[kind].with_columns(prices)}


def _shift_clock(frames: Frames, _: np.random.Generator) -> Frames:
    late = pl.col("local_timestamp") - pl.duration(microseconds=1_012_000)
    return {kind: frame.with_columns(late.alias("timestamp")) for kind, frame in frames.items()}


def _swap_sides(frames: Frames, _: np.random.Generator) -> Frames:
    swapped = frames[QUOTES].with_columns(bid_price=pl.col("ask_price"), ask_price=pl.col("bid_price"))
    return frames | {QUOTES: swapped}


def _one_side(frames: Frames, _: np.random.Generator) -> Frames:
    none = pl.lit(None, dtype=pl.Float64())
    return frames | {QUOTES: frames[QUOTES].with_columns(bid_price=none, bid_amount=none)}


def _freeze(frames: Frames, rng: np.random.Generator) -> Frames:
    frame, size = frames[QUOTES], frames[QUOTES].height // 100
    first = int(rng.integers(frame.height // 10, frame.height * 8 // 10))
    number = pl.int_range(pl.len())
    held = [
        pl.when(number.is_between(first, first + size))
        .then(pl.col(name).get(first))
        .otherwise(pl.col(name))
        .alias(name)
        for name in frame.columns
        if name != "local_timestamp"
    ]
    return frames | {QUOTES: frame.with_columns(held)}


def _swap_columns(frames: Frames, _: np.random.Generator) -> Frames:
    return frames | {TRADES: frames[TRADES].with_columns(amount=pl.col("price"), price=pl.lit(1.0))}


def _no_removals(frames: Frames, _: np.random.Generator) -> Frames:
    return frames | {L2: frames[L2].filter((pl.col("amount") > 0) | pl.col("is_snapshot"))}


def _no_image(frames: Frames, _: np.random.Generator) -> Frames:
    return frames | {L2: frames[L2].filter(~pl.col("is_snapshot"))}
