"""Whether the data types of one instrument's day agree: what the book rebuilt from L2 shows against everything else.

`quotes` and snapshots come from the same recording as L2: their agreement proves the decoder and the vendor's
computation. `book_ticker` is a stream of its own, trades are too: they speak of the market (see MATRIX.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.book import arrivals_of
from market_data.quality.book_day import (
    L2,
    SNAPSHOTS,
    Batches,
    BookDay,
    Compared,
    DayBefore,
    build_book,
    longest_of,
    spans_of,
)
from market_data.quality.book_kernel import Ints
from market_data.quality.lapses import Spans, alive_for, are_within, far_apart, silences_between, without_silences
from market_data.quality.merge_kernel import (
    AGREE,
    COMPARED,
    EQUAL,
    LAST_OTHER,
    SLOTS,
    Changes,
    Merged,
    count_inside,
    finish,
    merge,
)

QUOTES, TICKER, TRADES = DataType.QUOTES, DataType.BOOK_TICKER, DataType.TRADES
_APART_TICKS = 5
_APART_US = 2_000_000
_RETURN_US = 3_000_000
_SPREADS, _SIGMAS = 5, 6
_LONGEST_NIGHT_US = 60_000_000
_FEWEST = 100
_NEAR = 0.01


def compare_day(held: Mapping[DataType, Batches], before: DayBefore | None) -> tuple[list[Compared], DayBefore | None]:
    """Return each comparison that the held data types allow, and how the book ended (None without L2)."""
    if L2 not in held:
        return list(_without_book(held)), None
    book = build_book(held)
    if not len(book.tops.times):
        why = "no image of the book came that day, so that it cannot be rebuilt"
        return [Compared("crossed_seconds", (L2,), why=why)], None
    found = [*book.compared.values(), *_of_the_book(book), _over_midnight(book, before)]
    if QUOTES in held:
        found.append(_hold(book, held[QUOTES], "quotes_unlike_book", (QUOTES, L2)))
    if TICKER in held:
        found.append(_apart(book, held[TICKER]))
    if TRADES in held:
        found.append(_inside(book, held[TRADES]))
    if DataType.DERIVATIVE_TICKER in held:
        batches = held[DataType.DERIVATIVE_TICKER]
        found += [_ticker_price(book, batches, column) for column in ("last_price", "mark_price")]
    bid, _, ask, _ = book.tops.levels[-1]
    found = accuse(found)
    return found, DayBefore(float(bid), float(ask), book.last_us)


def accuse(found: Sequence[Compared]) -> list[Compared]:
    """Return the comparisons with the book so that the odd one out stands accused alone.

    L2 where quotes and snapshots all differ from it, else the one that does; of two nobody can tell.
    """
    held_against_book = [it for it in found if it.name.endswith("_unlike_book") and it.value is not None]
    differing = [it for it in held_against_book if it.value]
    if len(held_against_book) == 1 or not differing:
        return list(found)
    accused = {it.name: (L2,) if len(differing) == len(held_against_book) else it.data_types[:1] for it in differing}
    return [replace(it, data_types=accused.get(it.name, it.data_types)) for it in found]


def _of_the_book(book: BookDay) -> Iterator[Compared]:
    seconds = sum(end - start for start, end in book.crossed) / 1e6
    yield Compared("crossed_seconds", (L2,), book.messages, value=seconds, spans=longest_of(book.crossed))
    unknown, removals = book.unknown_removals
    few = None if removals >= _FEWEST else f"{removals} removals are too few"
    share = unknown / removals if removals and few is None else None
    yield Compared("unknown_removals", (L2,), removals, removals - unknown, share, few)
    corrected, images = book.corrections
    value = float(corrected) if images else None
    none = None if images else "there was no image after the first, which could have corrected the book"
    yield Compared("corrected_by_images", (L2,), images, value=value, why=none)


def _over_midnight(book: BookDay, before: DayBefore | None) -> Compared:
    """Compare the mid over midnight by touch: how often the allowed change it moved."""
    name, types = "mid_over_midnight", (L2,)
    if before is None:
        return Compared(name, types, why="the day before is not held, or was not judged")
    bid, ask = book.tops.levels[0, 0], book.tops.levels[0, 2]
    night = int(book.tops.times[0]) - before.time_us
    if np.isnan([bid, ask, before.bid, before.ask]).any() or not 0 < night <= _LONGEST_NIGHT_US:
        return Compared(name, types, why="a side of the book is empty at midnight, or a minute and more lies between")
    spread = float(np.nanmedian(book.tops.levels[:, 2] - book.tops.levels[:, 0]))
    sigma = _sigma(book.tops) * max(1.0, (night / _RETURN_US) ** 0.5)
    allowed = max(_SPREADS * spread, _SIGMAS * sigma)
    change = abs((bid + ask) / 2 - (before.bid + before.ask) / 2)
    return Compared(name, types, 1, int(change <= allowed), change / allowed if allowed > 0 else None)


def _sigma(tops: Changes) -> float:
    """Return the standard deviation of the mid's change in 3 seconds."""
    mids = (tops.levels[:, 0] + tops.levels[:, 2]) / 2
    is_whole = ~np.isnan(mids)
    times, mids = tops.times[is_whole], mids[is_whole]
    if len(times) < _FEWEST:
        return 0.0
    grid = np.arange(times[0], times[-1], _RETURN_US)
    return float(np.std(np.diff(mids[np.searchsorted(times, grid, side="right") - 1])))


def _touches(batch: pl.DataFrame) -> Changes:
    columns = [batch[name].to_numpy() for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")]
    return Changes(arrivals_of(batch), np.column_stack(columns).astype(np.float64))


def _merged(book: BookDay, batches: Iterator[pl.DataFrame], tolerance: float) -> tuple[int, int, Spans]:
    """Return how many instants were compared, how many agreed, and the spans in which they did not."""
    reference, silences = book.tops, book.silences
    state = np.zeros(SLOTS, np.int64)
    state[AGREE] = 1
    last, changes = np.full(4, np.nan), [np.empty((0, 2), np.int64)]

    def keep(out: Ints, written: int) -> None:
        changes.append(out[:written].copy())

    pending, arrivals, seen_until = None, [np.empty(0, np.int64)], 0
    end_us = int(reference.times[-1])
    for batch in batches:
        rows = batch if pending is None else pl.concat([pending, batch])
        times = arrivals_of(rows)
        arrivals.append(far_apart(times, seen_until))
        seen_until = int(times[-1])
        whole = int(np.searchsorted(times, times[-1], side="left"))  # the last message may go on in the next batch
        pending = rows[whole:]
        end_us = max(end_us, int(times[-1]))
        out = np.empty((2 * (whole + len(reference.times) + 1) + len(silences), 2), np.int64)
        merged = Merged(state, last, out, silences, book.alive_us)
        keep(out, merge(reference, _touches(rows[:whole]), merged, tolerance))
    out = np.empty((2 * (len(reference.times) + 2) + len(silences), 2), np.int64)
    merged = Merged(state, last, out, silences, book.alive_us)
    if pending is not None:
        keep(out, merge(reference, _touches(pending), merged, tolerance))
    keep(out, finish(reference, merged, tolerance))
    last_us = int(state[LAST_OTHER])
    known_until = end_us if end_us - last_us <= book.alive_us else last_us
    spans = spans_of(np.concatenate(changes), known_until)
    # once a silence is known to be one, nothing is known from its begin on
    for silent in (silences, silences_between(np.concatenate(arrivals), book.alive_us)):
        spans = without_silences(spans, silent - np.array([book.alive_us, 0]))
    return int(state[COMPARED]), int(state[EQUAL]), spans


def _hold(book: BookDay, batches: Batches, name: str, types: tuple[DataType, ...]) -> Compared:
    compared, equal, spans = _merged(book, batches(), -1.0)
    value = (compared - equal) / compared if compared else None
    why = None if compared else "none of its rows falls between the first image of the book and its end"
    return Compared(name, types, compared, equal, value, why, longest_of(spans))


def _apart(book: BookDay, batches: Batches) -> Compared:
    """Hold the venue's own best prices against the book: the seconds in which they stay further apart than 5 ticks."""
    compared, equal, spans = _merged(book, batches(), _APART_TICKS * book.tick * (1 + 1e-9))
    longer = [span for span in spans if span[1] - span[0] > _APART_US]
    seconds = sum(end - start for start, end in longer) / 1e6
    return Compared("book_ticker_apart_seconds", (L2, TICKER), compared, equal, seconds, spans=longest_of(longer))


def _inside(book: BookDay, batches: Batches) -> Compared:
    """Hold trades against the best prices of two messages around them: the share outside, by a tick more."""
    window = max(int(2 * book.interval_us), 1)
    inside = judged = 0
    for batch in batches():
        times, prices = arrivals_of(batch), batch["price"].to_numpy()
        is_known = (times >= book.tops.times[0]) & (times <= book.last_us + window)
        is_known &= ~are_within(times, book.silences)
        more = count_inside(book.tops, times[is_known], prices[is_known], window, book.tick * (1 + 1e-9))
        inside, judged = inside + more[0], judged + more[1]
    few = None if judged >= _FEWEST else f"{judged} trades are too few"
    return Compared("trades_outside_book", (TRADES, L2), judged, inside, None if few else 1 - inside / judged, few)


def _ticker_price(book: BookDay, batches: Batches, column: str) -> Compared:
    """Hold a price of a derivative's ticker against the book: the share 1 % and more outside of the best prices.

    Only where it changes: a last price may be hours old.
    """
    near = judged = 0
    before = np.full(1, np.nan)
    for batch in batches():
        rows = batch.drop_nulls(column)
        prices = rows[column].to_numpy()
        is_new = np.diff(prices, prepend=before) != 0
        at = np.searchsorted(book.tops.times, arrivals_of(rows), side="right") - 1
        touch = np.where((at >= 0)[:, None], book.tops.levels[at], np.nan)
        low, high = touch[:, 0] * (1 - _NEAR), touch[:, 2] * (1 + _NEAR)
        is_known = is_new & ~np.isnan(low) & ~np.isnan(high) & ~are_within(arrivals_of(rows), book.silences)
        judged += int(np.count_nonzero(is_known))
        near += int(np.count_nonzero(is_known & (low <= prices) & (prices <= high)))
        before = prices[-1:] if len(prices) else before
    few = None if judged >= _FEWEST else f"{judged} changes of it are too few"
    types = (DataType.DERIVATIVE_TICKER, L2)
    return Compared(f"{column}_off_book", types, judged, near, None if few else 1 - near / judged, few)


def _without_book(held: Mapping[DataType, Batches]) -> Iterator[Compared]:
    """Yield what can be compared where no L2 is held: quotes with the first level of the deepest snapshots."""
    deepest = next((it for it in SNAPSHOTS if it in held), None)
    if QUOTES not in held or deepest is None:
        return
    pieces = [_first_level(batch) for batch in held[deepest]() if not batch.is_empty()]
    if not pieces:
        return
    tops = Changes(np.concatenate([it.times for it in pieces]), np.concatenate([it.levels for it in pieces]))
    is_last = np.append(tops.times[1:] != tops.times[:-1], True)
    if len(tops.times):
        reference = Changes(tops.times[is_last], tops.levels[is_last])
        alive_us = alive_for(int(reference.times[-1] - reference.times[0]), len(reference.times))
        silences = silences_between(far_apart(reference.times, 0), alive_us)
        book = BookDay(reference, silences=silences, alive_us=alive_us)
        yield _hold(book, held[QUOTES], "quotes_unlike_snapshots", (QUOTES, deepest))


def _first_level(batch: pl.DataFrame) -> Changes:
    names = {"bid_price_0": "bid_price", "bid_amount_0": "bid_amount", "ask_price_0": "ask_price"}
    return _touches(batch.rename(names | {"ask_amount_0": "ask_amount"}))
