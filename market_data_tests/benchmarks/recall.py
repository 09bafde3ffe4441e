"""`recall.*`: which injected faults are seen, by what, and how often it is a false alarm on days without any.

Days are made (`made_books.py`): a liquid instrument with its book, quotes, snapshots, the venue's own best prices and
trades. Faults of the recorder (R) are injected before L2, quotes and snapshots are made of its messages; those of a
file (F) into one type's rows. Seeds differ from those of the tests, by which limits were looked at. `recall.samples` is
the same of minutes of the vendor's own files, where they are kept beside the repository.
`recall.1_percent` and `recall.0_1_percent` are of the faults of that size that `MATRIX.md` says can be seen,
`recall.common_mode` of all sizes of what the recorder lost, whether it can be seen or not.
"""

from __future__ import annotations

import gzip
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl

from market_data.errors import TickFileInvalid
from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.model.instruments import PERPETUAL, SPOT_PAIR
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.quality.agreement import compare_day
from market_data.quality.agreement_rules import AGREEMENT_RULES, RISE, SHIFT, judge_numbers, rise_over, shift_from
from market_data.quality.gaps import find_gaps, usual_silences
from market_data.quality.hours import DAY_US, midnight_us, with_learned_ids
from market_data.quality.rhythm import RhythmMeter
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.ticks.rules import judge_ticks, rules_for
from market_data.ticks.stats import TickMeter
from market_data_tests.benchmarks.measured import Measured, Options, Results
from market_data_tests.quality.injected import L2, TRADES, Fault, faults, inject, lost_messages
from market_data_tests.quality.made_books import DAY, Frames, make_day
from market_data_tests.quality.vendor_samples import SAMPLE_DAYS, SAMPLES, load_sample_day

KEY = "BINANCE:SPOT_PAIR:BTC-USDT"
_LIQUID, _USUAL = 30_000, 2_000
_DAYS_BEFORE = 4
_FIRST_SEED, _FIRST_CLEAN = 10_000, 20_000
_ROLLOVER_US = 5_000_000


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
    results = _of_samples(rounds) | {
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
    return finders(make_day(seed, messages), Usual(messages))


def _look(fault: Fault, seed: int) -> set[str]:
    rng = np.random.default_rng([seed, crc32(fault.name.encode()), round(fault.size * 1e6)])
    lost = lost_messages(fault, _LIQUID, rng) if fault.inject is None else ()
    frames = make_day(seed, _LIQUID, lost=lost) if lost else _clean(seed)
    if fault.inject is not None:
        frames = fault.inject(dict(frames), rng)
    return finders(frames, Usual(_LIQUID), has_ids=fault.has_ids)


def _of_samples(rounds: int) -> Results:
    """Inject into the vendor's own minutes what can show in minutes."""
    if not SAMPLES.is_dir():
        return {}
    seen: dict[Fault, list[set[str]]] = defaultdict(list)
    alarms: list[set[str]] = []
    injected = list(faults())
    for venue, symbol, days in SAMPLE_DAYS:
        for day in days:
            sample = load_sample_day(venue, symbol, day)
            if not sample[L2]["is_snapshot"].any():
                continue  # without an image there is no book, and nothing to compare
            usual = Usual(
                None,
                date.fromisoformat(day),
                PERPETUAL if symbol.endswith("PERP") else SPOT_PAIR,
                {kind: _delay(frame) for kind, frame in sample.items()},
                compared_numbers(sample),
                _as_days_before(rhythm_of(sample[TRADES], date.fromisoformat(day)), date.fromisoformat(day)),
            )
            usual_finders = finders(sample, usual)
            alarms.append(usual_finders)
            for fault, number in product(injected, range(rounds)):
                rng = np.random.default_rng([number, crc32(f"{venue} {day} {fault.name}".encode())])
                seen[fault].append(finders(inject(fault, sample, rng), usual, has_ids=fault.has_ids) - usual_finders)
    for fault, found in seen.items():
        print("samples:", _line(fault, found))  # noqa: T201  the table
    print(f"samples without a fault: {sorted(set().union(*alarms)) or 'nothing'}")  # noqa: T201
    return {
        "recall.samples": _recall(seen, lambda it: it.is_visible and not it.needs_day and it.size >= 0.001),
        "recall.samples_common_mode": _recall(seen, lambda it: it.depth == "R"),
    }


@cache
def _clean(seed: int) -> Frames:
    return make_day(seed, _LIQUID)


@dataclass(frozen=True)
class Usual:
    """What an instrument's days before were like: its messages a day (None: minutes of it, which have no rhythm),
    its delay, and what was compared without a fault."""

    messages: int | None
    day: date = DAY
    instrument_type: str = SPOT_PAIR
    delays: Mapping[DataType, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    before: pl.DataFrame = field(default_factory=pl.DataFrame)


def finders(frames: Frames, usual: Usual, *, has_ids: bool = True) -> set[str]:
    """Return the names of all rules that say something of a day: of its files, its silences, its agreement."""
    whole = {kind: _published(kind, frame, has_ids=has_ids) for kind, frame in frames.items()}
    found: set[str] = set()
    for kind, frame in whole.items():
        if _is_refused(kind, frame, usual.day):
            return {"refused: the decoder"}
        meter = TickMeter(kind)
        meter.add(frame)
        found |= {it.rule for it in judge_ticks(meter.stats(), usual.instrument_type, rules_for(kind, {}))}
        found |= _gaps(kind, frame, usual, has_ids=has_ids)
        shift = shift_from(_delay(frame), [usual.delays.get(kind, _DELAY_SECONDS)] * _DAYS_BEFORE) or 0.0
        found |= {it.rule for it in judge_numbers({f"median_delay_seconds{SHIFT}": shift}, {}, AGREEMENT_RULES)}
    for name, value in compared_numbers(whole).items():
        rise = rise_over(value, [usual.numbers.get(name, 0.0)] * _DAYS_BEFORE) or 0.0
        found |= {it.rule for it in judge_numbers({name: value, name + RISE: rise}, {}, AGREEMENT_RULES)}
    return found


def compared_numbers(frames: Frames) -> dict[str, float]:
    """Return the number of each comparison of a day that can be judged."""
    compared, _ = compare_day({kind: partial(iter, [frame]) for kind, frame in frames.items()}, None)
    return {item.name: item.value for item in compared if item.value is not None}


_DELAY_SECONDS = 0.012


def _delay(frame: pl.DataFrame) -> float:
    return float((frame["local_timestamp"] - frame["timestamp"]).dt.total_microseconds().median() or 0) / 1e6  # type: ignore[arg-type]


def _published(kind: DataType, frame: pl.DataFrame, *, has_ids: bool) -> pl.DataFrame:
    """Return a frame with all columns of its table; what was injected stays."""
    step = 1 if has_ids else 7
    if kind is TRADES and "id" in frame.columns and not has_ids:
        frame = frame.drop("id")
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


def _is_refused(kind: DataType, frame: pl.DataFrame, day: date) -> bool:
    """Whether the decoder refuses the rows as a file of the vendor's; only what could be refused is written."""
    times = frame["local_timestamp"].dt.epoch("us")
    start = midnight_us(day)
    if times.is_sorted() and start <= int(times[0]) and int(times[-1]) < start + DAY_US:
        return False
    columns = {column.name: column for column in TABLES[kind].vendor_columns}
    text = frame.with_columns(
        *(pl.col(name).dt.epoch("us") for name, it in columns.items() if it.kind is ColumnKind.TIME),
        *(pl.col(name).cast(pl.String) for name, it in columns.items() if it.kind is ColumnKind.FLAG),
    ).rename({name: it.csv_name for name, it in columns.items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv.gz"
        path.write_bytes(gzip.compress(text.write_csv().encode(), 1))
        file = TickFile(DataTypeDay("BINANCE", kind, day), "BTCUSDT", SPOT_PAIR, KEY)
        try:
            decode_tick_file(TickText(path, file), {}, Path(folder) / "decoded")
        except TickFileInvalid:
            return True
    return False


def _gaps(kind: DataType, frame: pl.DataFrame, usual: Usual, *, has_ids: bool) -> set[str]:
    """Return what the look for gaps says, as the product looks: also jumps of ids that were contiguous before."""
    rhythm = rhythm_of(frame, usual.day)
    before = usual.before if usual.messages is None else _before(kind, usual.messages, has_ids=has_ids)
    if kind is not TRADES and usual.messages is None:
        return set()
    rhythm = with_learned_ids(rhythm, before)
    found = find_gaps(rhythm, usual_silences(rhythm, before, usual.day), usual.day)
    nightly = (pl.col("start_us") == midnight_us(usual.day)) & (pl.col("end_us") - pl.col("start_us") <= _ROLLOVER_US)
    has_jump = pl.col("ids_missing").fill_null(0) > 0
    told = {"missing ids"} if not found.filter(has_jump).is_empty() else set()
    if usual.messages is not None and not found.filter(~nightly & ~has_jump).is_empty():
        told.add("gap")
    return told


def rhythm_of(frame: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the rhythm of a day's rows."""
    meter = RhythmMeter(day)
    meter.add(frame)
    return meter.hours(KEY)


def _as_days_before(rhythm: pl.DataFrame, day: date) -> pl.DataFrame:
    days = [day - timedelta(days=back) for back in range(1, _DAYS_BEFORE + 1)]
    return pl.concat([rhythm.with_columns(pl.lit(it).alias("day")) for it in days])


@cache
def _before(kind: DataType, messages: int, *, has_ids: bool) -> pl.DataFrame:
    """Return the rhythm of days before, whose rows come at random as often as on the day."""
    frames = []
    rows = messages // 2 if kind is TRADES else messages
    for back in range(1, _DAYS_BEFORE + 1):
        day = DAY - timedelta(days=back)
        times = np.sort(np.random.default_rng([back, rows]).integers(0, DAY_US, rows)) + midnight_us(day)
        columns = {"local_timestamp": times.view("datetime64[us]")}
        if kind is TRADES:
            columns["id"] = (np.arange(rows) * (1 if has_ids else 7)).astype(str)
        frames.append(rhythm_of(pl.DataFrame(columns), day).with_columns(pl.lit(day).alias("day")))
    return pl.concat(frames)
