"""`recall.*`: which injected faults are seen, by what, and how often it is a false alarm on days without any.

Days are made (`made_books.py`): a liquid instrument with its book, quotes, snapshots, the venue's own best prices and
trades. Faults of the recorder (R) are injected before L2, quotes and snapshots are made of its messages; those of a
file (F) into one type's rows. Seeds differ from those of the tests, by which limits were looked at.
`recall.1_percent` and `recall.0_1_percent` are of the faults of that size that `MATRIX.md` says can be seen,
`recall.common_mode` of all sizes of what the recorder lost, whether it can be seen or not.
"""

from __future__ import annotations

import gzip
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl

from market_data.errors import TickFileInvalid
from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.model.instruments import SPOT_PAIR
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.quality.agreement import compare_day
from market_data.quality.agreement_rules import AGREEMENT_RULES, RISE, SHIFT, judge_numbers, rise_over, shift_from
from market_data.quality.gaps import find_gaps, usual_silences
from market_data.quality.hours import DAY_US, midnight_us
from market_data.quality.ids import missing_ids
from market_data.quality.rhythm import RhythmMeter
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.ticks.rules import judge_ticks, rules_for
from market_data.ticks.stats import TickMeter
from market_data_tests.benchmarks.measured import Measured, Options, Results
from market_data_tests.quality.made_books import DAY, Frames, make_day

L2, QUOTES, TRADES = DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.TRADES
S25, TICKER = DataType.BOOK_SNAPSHOT_25, DataType.BOOK_TICKER
KEY = "BINANCE:SPOT_PAIR:BTC-USDT"
_LIQUID, _USUAL = 30_000, 2_000
_DAYS_BEFORE = 4
_FIRST_SEED, _FIRST_CLEAN = 10_000, 20_000
_ROLLOVER_US = 5_000_000
Inject = Callable[[Frames, np.random.Generator], Frames]


@dataclass(frozen=True)
class Fault:
    """One fault at one size: `size` is the share of rows, or of messages; `is_visible` as MATRIX.md says."""

    name: str
    depth: str
    size: float
    inject: Inject | None
    is_visible: bool
    has_ids: bool = True


def measure(options: Options) -> Results:
    """Give recall by size, of the common recording, and false alarms."""
    rounds = 2 if options.quick else 5
    seen: dict[Fault, list[set[str]]] = defaultdict(list)
    injected = list(faults())
    for number in range(rounds):
        for fault in injected:
            seen[fault].append(_look(fault, _FIRST_SEED + number))
    for fault, found in seen.items():
        print(_line(fault, found))  # noqa: T201  the table
    results = {
        "recall.1_percent": _recall(seen, lambda it: it.is_visible and it.size >= 0.01),
        "recall.0_1_percent": _recall(seen, lambda it: it.is_visible and it.size == 0.001),
        "recall.common_mode": _recall(seen, lambda it: it.depth == "R"),
    }
    return results | _false_alarms(3_000 if options.full else 60 if not options.quick else 10)


def _line(fault: Fault, found: list[set[str]]) -> str:
    hits = sum(bool(it) for it in found)
    finders = ", ".join(sorted(set().union(*found))) or "nobody"
    ids = "" if fault.has_ids else ", no ids"
    visible = "visible" if fault.is_visible else "not to be seen"
    return f"{fault.depth} {fault.name} {fault.size:.2%}{ids} ({visible}): {hits}/{len(found)} by {finders}"


def _recall(seen: Mapping[Fault, list[set[str]]], wanted: Callable[[Fault], bool]) -> Measured:
    found = [bool(it) for fault, every in seen.items() if wanted(fault) for it in every]
    return Measured((sum(found) / max(len(found), 1),), "share", f"of {len(found)} injected faults")


def _false_alarms(days: int) -> Results:
    errors: defaultdict[str, int] = defaultdict(int)
    warnings: defaultdict[str, int] = defaultdict(int)
    severe = {rule.name for rule in AGREEMENT_RULES if rule.severity.is_error}
    severe |= {rule.name for kind in DataType for rule in rules_for(kind, {}) if rule.severity.is_error}
    messages = [_LIQUID if number < days // 30 else _USUAL for number in range(days)]
    seeds = range(_FIRST_CLEAN, _FIRST_CLEAN + days)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # making a day is Python, and takes the most
        for found in pool.map(_alarms, seeds, messages, chunksize=10):
            for name in found:
                (errors if name in severe else warnings)[name] += 1
    for name, count in sorted({**errors, **warnings}.items()):
        print(f"false alarm: {name} on {count} of {days} clean instrument-days")  # noqa: T201
    return {
        "false_errors": Measured((float(sum(errors.values())),), "findings", f"on {days:,} clean instrument-days"),
        "false_warnings": Measured((sum(warnings.values()) / days,), "an instrument-day", f"of {days:,}"),
    }


def _alarms(seed: int, messages: int) -> set[str]:
    return finders(make_day(seed, messages), messages)


def _look(fault: Fault, seed: int) -> set[str]:
    rng = np.random.default_rng([seed, crc32(fault.name.encode()), round(fault.size * 1e6)])
    lost = _lost(fault, rng) if fault.inject is None else ()
    frames = make_day(seed, _LIQUID, lost=lost) if lost else _clean(seed)
    if fault.inject is not None:
        frames = fault.inject(dict(frames), rng)
    return finders(frames, _LIQUID, has_ids=fault.has_ids)


@cache
def _clean(seed: int) -> Frames:
    return make_day(seed, _LIQUID)


def _lost(fault: Fault, rng: np.random.Generator) -> set[int]:
    count = max(1, round(fault.size * _LIQUID))
    if "block" in fault.name:
        first = int(rng.integers(_LIQUID // 10, _LIQUID * 8 // 10))
        return set(range(first, first + count))
    return {int(it) for it in rng.choice(np.arange(10, _LIQUID), count, replace=False)}


def finders(frames: Frames, messages: int, *, has_ids: bool = True) -> set[str]:
    """Return the names of all rules that say something of a day: of its files, its silences, its agreement."""
    whole = {kind: _published(kind, frame, has_ids=has_ids) for kind, frame in frames.items()}
    found: set[str] = set()
    for kind, frame in whole.items():
        if (refused := _refused(kind, frame)) is not None:
            return {f"refused: {refused}"}
        meter = TickMeter(kind)
        meter.add(frame)
        found |= {it.rule for it in judge_ticks(meter.stats(), SPOT_PAIR, rules_for(kind, {}))}
        if _has_gap(kind, frame, messages):
            found.add("gap")
    if has_ids and missing_ids(whole[TRADES]["id"]).height:
        found.add("missing ids")
    compared, _ = compare_day({kind: partial(iter, [frame]) for kind, frame in whole.items()}, None)
    for item in compared:
        if item.value is not None:
            rise = rise_over(item.value, [0.0] * _DAYS_BEFORE) or 0.0
            numbers = {item.name: item.value, item.name + RISE: rise}
            found |= {it.rule for it in judge_numbers(numbers, {}, AGREEMENT_RULES)}
    for frame in whole.values():
        delay = float((frame["local_timestamp"] - frame["timestamp"]).dt.total_microseconds().median() or 0) / 1e6  # type: ignore[arg-type]
        shift = shift_from(delay, [_DELAY_SECONDS] * _DAYS_BEFORE) or 0.0
        found |= {it.rule for it in judge_numbers({f"median_delay_seconds{SHIFT}": shift}, {}, AGREEMENT_RULES)}
    return found


_DELAY_SECONDS = 0.012


def _published(kind: DataType, frame: pl.DataFrame, *, has_ids: bool) -> pl.DataFrame:
    """Return a frame with all columns of its table; what was injected stays."""
    step = 1 if has_ids else 7
    more = {
        "exchange": pl.lit("binance"),
        "symbol": pl.lit("BTCUSDT"),
        "timestamp": pl.col("local_timestamp") - pl.duration(microseconds=int(_DELAY_SECONDS * 1e6)),
        "id": (pl.int_range(pl.len()) * step).cast(pl.String),
        "side": pl.lit("buy"),
        "amount": pl.lit(1.0),
    }
    names = [column.name for column in TABLES[kind].vendor_columns]
    added = [expression.alias(name) for name, expression in more.items() if name in names and name not in frame.columns]
    return frame.with_columns(added).select(names)


def _refused(kind: DataType, frame: pl.DataFrame) -> str | None:
    """Return why the decoder refuses the rows as a file of the vendor's; only what could be refused is written."""
    times = frame["local_timestamp"].dt.epoch("us")
    start = midnight_us(DAY)
    if times.is_sorted() and start <= int(times[0]) and int(times[-1]) < start + DAY_US:
        return None
    columns = {column.name: column for column in TABLES[kind].vendor_columns}
    text = frame.with_columns(
        *(pl.col(name).dt.epoch("us") for name, it in columns.items() if it.kind is ColumnKind.TIME),
        *(pl.col(name).cast(pl.String) for name, it in columns.items() if it.kind is ColumnKind.FLAG),
    ).rename({name: it.csv_name for name, it in columns.items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv.gz"
        path.write_bytes(gzip.compress(text.write_csv().encode(), 1))
        file = TickFile(DataTypeDay("BINANCE", kind, DAY), "BTCUSDT", SPOT_PAIR, KEY)
        try:
            decode_tick_file(TickText(path, file), {}, Path(folder) / "decoded")
        except TickFileInvalid:
            return "the decoder"
    return None


def _has_gap(kind: DataType, frame: pl.DataFrame, messages: int) -> bool:
    meter = RhythmMeter(DAY)
    meter.add(frame)
    rhythm = meter.hours(KEY)
    found = find_gaps(rhythm, usual_silences(rhythm, _before(kind, messages), DAY), DAY)
    nightly = (pl.col("start_us") == midnight_us(DAY)) & (pl.col("end_us") - pl.col("start_us") <= _ROLLOVER_US)
    return not found.filter(~nightly).is_empty()


@cache
def _before(kind: DataType, messages: int) -> pl.DataFrame:
    """Return the rhythm of days before, whose rows come at random as often as on the day."""
    frames = []
    rows = messages // 2 if kind is TRADES else messages
    for back in range(1, _DAYS_BEFORE + 1):
        day = DAY - timedelta(days=back)
        times = np.sort(np.random.default_rng([back, rows]).integers(0, DAY_US, rows)) + midnight_us(day)
        meter = RhythmMeter(day)
        meter.add(pl.DataFrame({"local_timestamp": times.view("datetime64[us]")}))
        frames.append(meter.hours(KEY).with_columns(pl.lit(day).alias("day")))
    return pl.concat(frames)


def faults() -> Iterator[Fault]:
    """Yield every fault at every size; see MATRIX.md."""
    for size in (0.0001, 0.001, 0.01):
        for kind in (TRADES, QUOTES, L2, S25, TICKER):
            # 0.01 % are a few seconds, or rows below the limits of agreement; a jump of an id is one at any size
            is_seen = kind is TRADES or size >= 0.001
            yield Fault(f"block lost of {kind}", "F", size, partial(_drop_block, kind, size), is_seen)
            is_seen &= kind is not TICKER  # a stream of its own, which changes all the time
            yield Fault(f"rows lost of {kind}", "F", size, partial(_drop_some, kind, size), is_seen)
        yield Fault("rows lost of trades", "F", size, partial(_drop_some, TRADES, size), False, has_ids=False)
        yield Fault("messages lost", "R", size, None, is_visible=False)
        yield Fault("block of messages lost", "R", size, None, size >= 0.001)
    for kind in (TRADES, QUOTES, L2):
        yield Fault(f"head cut of {kind}", "F", 0.01, partial(_cut, kind, 0.01), is_visible=True)
        yield Fault(f"tail cut of {kind}", "F", 0.01, partial(_cut, kind, -0.01), is_visible=True)
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
    return frame.with_columns(ids) if kind is TRADES else frame


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


def _other(kind: DataType, share: float, frames: Frames, rng: np.random.Generator) -> Frames:
    """Take the last part of a file from another instrument's, whose prices are near but not the same."""
    other = _clean(30_000 + int(rng.integers(2)))[kind]
    prices = [pl.col(name) * 1.02 for name in other.columns if "price" in name]
    since = midnight_us(DAY) + int((1 - share) * DAY_US)
    late = pl.col("local_timestamp").dt.epoch("us") >= since
    return frames | {kind: pl.concat([frames[kind].filter(~late), other.with_columns(prices).filter(late)])}


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
