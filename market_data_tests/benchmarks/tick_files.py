"""Tick files for the benchmarks: made once with the shape and compressibility of the vendor's, then kept.

Prices walk in ticks, a message brings several rows with one time, amounts come from a long tail with favourites, and
only a part of a book changes at once: that is what gives vendor files their ratio of 7 to 15 (gzip level 6).
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from market_data.model.data_types import TABLES, DataType

BENCH_HOME = Path(__file__).parents[2] / ".market_data/bench"
EXCHANGE_ID, VENUE, DAY = "binance", "BINANCE", date(2024, 8, 8)
_VERSION = 1  # raise it with every change of what is made here: kept files are then made anew
_DAY_US = 86_400_000_000
_GZIP_LEVEL, _GZIP_WINDOW = 6, 31
_CENTS, _LOTS = 100, 100_000  # ticks and lots in one

Ints = npt.NDArray[np.int64]
Columns = dict[str, object]


@dataclass(frozen=True, slots=True)
class TickFileSpec:
    """One file to make: what it holds and how many rows of it."""

    data_type: DataType
    symbol: str
    rows: int
    day: date = DAY

    @property
    def name(self) -> str:
        """The vendor client's local name."""
        return f"{EXCHANGE_ID}_{self.data_type}_{self.day}_{self.symbol}.csv.gz"


def _messages(rng: np.random.Generator, rows: int, mean_rows: float) -> Ints:
    """Return the message of each row: rows of one message share their times."""
    starts = rng.random(rows) < 1 / mean_rows
    starts[0] = False
    return np.cumsum(starts)


def _times(rng: np.random.Generator, message: Ints) -> Columns:
    """Return arrival times since midnight that never step back, and the venue's own in whole milliseconds."""
    gaps = rng.exponential(1.0, int(message[-1]) + 1)
    arrival = np.cumsum(gaps)
    local = (arrival / arrival[-1] * (_DAY_US - 2_000_000)).astype(np.int64) + 1_000_000
    sent = (local - rng.integers(3_000, 40_000, len(local))) // 1000 * 1000
    return {"timestamp": sent[message], "local_timestamp": local[message]}


def _walk(rng: np.random.Generator, count: int, share: float = 0.3) -> Ints:
    """Return prices in ticks that mostly stay and sometimes move a little."""
    steps = np.where(rng.random(count) < share, rng.integers(-12, 13, count), 0)
    return 6_000_000 + np.cumsum(steps)


def _amounts(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    lots = np.maximum(1, np.round(3_000 * rng.lognormal(-0.5, 1.6, count))).astype(np.int64)
    favourites = rng.choice([100, 1_000, 2_000, 10_000, 50_000], count)
    return np.where(rng.random(count) < 0.35, favourites, lots) / _LOTS


def _held(rng: np.random.Generator, shape: tuple[int, int], share: float) -> npt.NDArray[np.float64]:
    """Return amounts of which a share changes from row to row."""
    rows, levels = shape
    changed = rng.random(shape) < share
    last = np.maximum.accumulate(np.where(changed, np.arange(rows)[:, None], 0), axis=0)
    return np.take_along_axis(_amounts(rng, rows * levels).reshape(shape), last, axis=0)


def _trades(rng: np.random.Generator, rows: int) -> Columns:
    message = _messages(rng, rows, 2.5)
    price = _walk(rng, int(message[-1]) + 1)[message]
    side = rng.random(int(message[-1]) + 1)[message] < 0.5
    return _times(rng, message) | {
        "id": pl.Series(3_735_683_259 + np.arange(rows)).cast(pl.String),
        "side": np.where(side, "buy", "sell"),
        "price": (price + side) / _CENTS,
        "amount": _amounts(rng, rows),
    }


def _book_changes(rng: np.random.Generator, rows: int) -> Columns:
    message = _messages(rng, rows, 24)
    is_bid = rng.random(rows) < 0.5
    away = np.round(rng.exponential(60, rows)).astype(np.int64) ** 2 // 60
    price = _walk(rng, int(message[-1]) + 1)[message] + np.where(is_bid, -away, 1 + away)
    order = np.lexsort((away, is_bid, message))
    return _times(rng, message) | {
        "is_snapshot": np.arange(rows) < min(rows // 20, 2_000),
        "side": np.where(is_bid, "bid", "ask")[order],
        "price": price[order] / _CENTS,
        "amount": np.where(rng.random(rows) < 0.45, 0, _amounts(rng, rows)),
    }


def _top_of_book(rng: np.random.Generator, rows: int, share: float) -> Columns:
    bid, amounts = _walk(rng, rows, share / 4), _held(rng, (rows, 2), share)
    return _times(rng, np.arange(rows)) | {
        "ask_amount": amounts[:, 0],
        "ask_price": (bid + 1) / _CENTS,
        "bid_price": bid / _CENTS,
        "bid_amount": amounts[:, 1],
    }


def _snapshots(rng: np.random.Generator, rows: int, depth: int) -> Columns:
    bid = _walk(rng, rows, 0.1)
    columns = _times(rng, np.arange(rows))
    for side, start, sign in (("ask", bid + 1, 1), ("bid", bid, -1)):
        steps = _held(rng, (rows, depth), 0.02) * 300
        prices = start[:, None] + sign * np.cumsum(1 + steps.astype(np.int64), axis=1)
        amounts = _held(rng, (rows, depth), 0.06)
        for level in range(depth):
            columns[f"{side}s[{level}].price"] = prices[:, level] / _CENTS
            columns[f"{side}s[{level}].amount"] = amounts[:, level]
    return columns


# How each kind is made, and the bytes of its usual CSV row.
_MAKERS: dict[DataType, tuple[Callable[[np.random.Generator, int], Columns], int]] = {
    DataType.TRADES: (_trades, 81),
    DataType.INCREMENTAL_BOOK_L2: (_book_changes, 73),
    DataType.QUOTES: (lambda rng, rows: _top_of_book(rng, rows, 0.5), 81),
    DataType.BOOK_TICKER: (lambda rng, rows: _top_of_book(rng, rows, 0.2), 81),
    DataType.BOOK_SNAPSHOT_5: (lambda rng, rows: _snapshots(rng, rows, 5), 206),
    DataType.BOOK_SNAPSHOT_25: (lambda rng, rows: _snapshots(rng, rows, 25), 835),
}


def rows_in(data_type: DataType, csv_bytes: float) -> int:
    """Return about how many rows make so many bytes of CSV."""
    return max(1, int(csv_bytes) // _MAKERS[data_type][1])


def make_rows(spec: TickFileSpec) -> pl.DataFrame:
    """Return the rows of a file; the same file has the same rows."""
    rng = np.random.default_rng(zlib.crc32(spec.name.encode()))
    columns = _MAKERS[spec.data_type][0](rng, spec.rows)
    names = [column.csv_name for column in TABLES[spec.data_type].vendor_columns[2:]]
    midnight_us = int(datetime.combine(spec.day, time(), UTC).timestamp()) * 1_000_000
    rows = pl.DataFrame({name: columns[name] for name in names})
    return rows.select(
        pl.lit(EXCHANGE_ID).alias("exchange"), pl.lit(spec.symbol).alias("symbol"), pl.col(names)
    ).with_columns(pl.col("timestamp", "local_timestamp") + midnight_us)


def to_csv(rows: pl.DataFrame, *, has_header: bool = True) -> bytes:
    """Return the rows as the vendor writes them: numbers as their shortest decimal, without exponents."""
    return rows.write_csv(include_header=has_header, float_scientific=False).encode()


def _write_file(spec: TickFileSpec, folder: Path) -> int:
    text = to_csv(make_rows(spec))
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    (folder / spec.name).write_bytes(packer.compress(text) + packer.flush())
    return len(text)


def keep_tick_files(name: str, specs: Iterable[TickFileSpec]) -> Path:
    """Return the folder of these files, made now unless an earlier run did; `csv_bytes` in it holds their CSV size."""
    folder = BENCH_HOME / f"{name}-{_VERSION}"
    if not (folder / "csv_bytes").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        specs = list(specs)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            sizes = list(pool.map(_write_file, specs, [folder] * len(specs), chunksize=1 + len(specs) // 64))
        (folder / "csv_bytes").write_text(f"{sum(sizes)}\n")
    return folder


def csv_bytes_of(folder: Path) -> int:
    """Return the bytes of CSV in a folder that `keep_tick_files` made."""
    return int((folder / "csv_bytes").read_text())
