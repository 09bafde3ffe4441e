"""What one layout's Parquet weighs, against the vendor's gzip and Parquet as Polars writes it, and what it costs.

`layout_bytes_over_gzip` is the benchmark's day; `layout_bytes_over_today` are the real samples, where they lie beside
the repository, against Polars at zstd 1 in groups of 250,000 rows, which is what version 1 of the encoding was.
Encoding and scanning compare the same two ways on the same rows, made for each data type, by CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType
from market_data.model.instruments import SPOT_PAIR
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.encode import TickWriter
from market_data.ticks.gzip import TickText
from market_data_tests.benchmarks.measured import Measured, Options, Results, Side, disk_folder, measure_in_turn, ratio
from market_data_tests.benchmarks.tick_files import TickFileSpec, make_rows, rows_in
from market_data_tests.benchmarks.venue_day import day_files

SAMPLES = Path(__file__).parents[3] / "shared/samples"
_KEY = "BINANCE:SPOT_PAIR:BTC-USDT"
_TYPES = (
    DataType.TRADES,
    DataType.INCREMENTAL_BOOK_L2,
    DataType.QUOTES,
    DataType.BOOK_TICKER,
    DataType.BOOK_SNAPSHOT_5,
    DataType.BOOK_SNAPSHOT_25,
)
_CONSTANT = ("exchange", "symbol")
_COLUMN = {DataType.BOOK_SNAPSHOT_5: "bid_price_0", DataType.BOOK_SNAPSHOT_25: "bid_price_0"}


def write_now(rows: pl.DataFrame, data_type: DataType, path: Path) -> None:
    """Write rows with integer times as one file, as ingestion does."""
    rows = _published_names(rows, data_type)
    constants = {INSTRUMENT_KEY.name: _KEY} | {name: rows[name][0] for name in _CONSTANT}
    writer = TickWriter(path, data_type, constants)
    writer.write(rows.drop(_CONSTANT))
    writer.close()


def write_as_before(rows: pl.DataFrame, data_type: DataType, path: Path) -> None:
    """Write the same rows as version 1 of the encoding did."""
    rows = _published_names(rows, data_type)
    times = [pl.col(c.name).cast(c.kind.dtype) for c in TABLES[data_type].vendor_columns if c.kind is ColumnKind.TIME]
    published = rows.with_columns(times).select(pl.lit(_KEY).alias(INSTRUMENT_KEY.name), pl.all())
    published.write_parquet(path, compression="zstd", compression_level=1, row_group_size=250_000)


def _published_names(rows: pl.DataFrame, data_type: DataType) -> pl.DataFrame:
    names = {column.csv_name: column.name for column in TABLES[data_type].vendor_columns}
    return rows.rename(names)


def measure_over_gzip(options: Options) -> Results:
    """Give the Parquet of one layout over the vendor's gzip, for the day and by data type."""
    folder = day_files(100 if options.quick else 1000)
    gzip_bytes: Counter[str] = Counter()
    parquet_bytes: Counter[str] = Counter()
    for path in sorted(folder.glob("*.csv.gz")):
        unit, symbol = _parts_of(path)
        decoded_bytes = _decoded_bytes(path, unit, symbol)
        for name in (f".{unit.data_type}", ""):
            gzip_bytes[name] += path.stat().st_size
            parquet_bytes[name] += decoded_bytes
    return {
        f"layout_bytes_over_gzip{name}": Measured((parquet_bytes[name] / size,), "x")
        for name, size in gzip_bytes.items()
    }


def measure_over_today(_: Options) -> Results:
    """Give the bytes of the real samples over those of version 1, all together and by data type."""
    now: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for path in sorted(SAMPLES.glob("*.csv.gz")):
        unit, symbol = _parts_of(path)
        data_type = unit.data_type
        rows = _read(path, data_type)
        with disk_folder() as folder:
            write_as_before(rows, data_type, folder / "before.parquet")
            size_before = (folder / "before.parquet").stat().st_size
        size_now = _decoded_bytes(path, unit, symbol)
        for name in (f".{data_type}", ""):
            now[name] += size_now
            before[name] += size_before
    return {
        f"layout_bytes_over_today{name}": Measured((now[name] / size,), "x", f"{size / 1e6:.2f} MB before")
        for name, size in before.items()
    }


def measure_cpu(options: Options) -> Results:
    """Give the CPU of encoding, and of scanning one column of a whole file, over that of version 1."""
    results: Results = {}
    for data_type in _TYPES:
        rows = make_rows(TickFileSpec(data_type, "BTCUSDT", rows_in(data_type, 20e6 if options.quick else 150e6)))
        sides: dict[str, Side] = {
            "now": partial(_write_in, write_now, rows, data_type),
            "before": partial(_write_in, write_as_before, rows, data_type),
        }
        measure_in_turn(1, sides)
        spent = measure_in_turn(max(5, options.rounds), sides)
        results[f"encode_over_today.{data_type}.cpu"] = ratio(spent["now"].cpu_seconds, spent["before"].cpu_seconds)
        with disk_folder() as folder:
            write_now(rows, data_type, folder / "now.parquet")
            write_as_before(rows, data_type, folder / "before.parquet")
            column = _COLUMN.get(data_type, "bid_price" if "bid_price" in rows.columns else "price")
            results |= _measure_scans(folder, data_type, column, max(5, options.rounds))
    return results


def _write_in(write: Callable[[pl.DataFrame, DataType, Path], None], rows: pl.DataFrame, *where: Any) -> None:
    data_type, folder = where
    write(rows, data_type, folder / "ticks.parquet")


def _measure_scans(folder: Path, data_type: DataType, column: str, rounds: int) -> Results:
    engines: dict[str, Callable[[Path], object]] = {
        "polars": lambda path: pl.scan_parquet(path, glob=False).select(pl.col(column).sum()).collect().item(),
        "duckdb": lambda path: duckdb.read_parquet(str(path)).aggregate(f"sum({column})").fetchall(),
        "pyarrow": lambda path: pc.sum(pq.read_table(path, columns=[column])[column]).as_py(),
    }
    results: Results = {}
    for name, read in engines.items():
        sides: dict[str, Side] = {
            side: partial(_read_often, read, folder / f"{side}.parquet") for side in ("now", "before")
        }
        measure_in_turn(1, sides)
        spent = measure_in_turn(rounds, sides)
        results[f"column_scan_over_today.{data_type}.{name}"] = ratio(
            spent["now"].cpu_seconds, spent["before"].cpu_seconds, "CPU"
        )
    return results


def _read_often(read: Callable[[Path], object], path: Path, _: Path) -> None:
    for _number in range(10):
        read(path)


def _parts_of(path: Path) -> tuple[DataTypeDay, str]:
    """Return unit and symbol of a file under the vendor client's local name."""
    data_type = next(item for item in DataType if f"_{item}_" in path.name)
    exchange_id, _, rest = path.name.removesuffix(".csv.gz").partition(f"_{data_type}_")
    day, _, symbol = rest.partition("_")
    return DataTypeDay(exchange_id.upper(), data_type, date.fromisoformat(day)), symbol


def _decoded_bytes(path: Path, unit: DataTypeDay, symbol: str) -> int:
    with disk_folder() as folder:
        file = TickFile(unit, symbol, SPOT_PAIR, f"{unit.venue}:{SPOT_PAIR}:{symbol}")
        decoded = decode_tick_file(TickText(path, file), {}, folder / "ticks.parquet")
        assert decoded is not None
        return decoded.objects[0].size_bytes


def _read(path: Path, data_type: DataType) -> pl.DataFrame:
    columns = TABLES[data_type].vendor_columns
    schema = {c.csv_name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}
    return pl.read_csv(path, schema=schema, glob=False)
