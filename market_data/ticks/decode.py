"""Vendor text -> typed Parquet, in one streaming pass that also measures the ticks and refuses what is not theirs.

`decode_tick_file` reads text (or its gzip) that `tick_gzip` has proven, streams through Polars, and looks at each batch
of rows on its way into the file: symbol, day, time unit, and the statistics that the rules judge. Nothing is dropped,
sorted or repaired. Source of the format: docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import polars as pl
import pyarrow as pa

from market_data.errors import MarketDataError, ScratchError, TickFileInvalid
from market_data.lake.checksum import describe_content
from market_data.lake.disk import describe_full_disk
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType, TableSpec
from market_data.model.instruments import file_symbol, format_instrument_key, parse_instrument_key
from market_data.model.tick_file import TickFile, base_of_part, part_stem
from market_data.symbology import parse_symbol
from market_data.ticks.rows import EPOCH, TickRows
from market_data.ticks.rules import TickStats
from market_data.ticks.stats import BATCH_ROWS

if TYPE_CHECKING:
    from polars._typing import ParquetCompression

# Names what a given vendor file becomes. Raise it with every change of the published bytes: days are then re-decoded.
DECODER_VERSION = "3"

# Objects of a grouped file stay below 2 GB: a row of the widest one (options_chain) takes some 60 bytes at most.
_PART_ROWS = 30_000_000
# Decoded at once instead of in a stream.
_FEW_ROWS = 10_000


class _ParquetOptions(TypedDict):
    compression: ParquetCompression
    compression_level: int
    row_group_size: int


_PARQUET = _ParquetOptions(compression="zstd", compression_level=1, row_group_size=250_000)
# All parts of a grouped file are open at once, each with the rows of a group: smaller ones, for 20 bases and more.
_PARQUET_OF_PARTS = _ParquetOptions(compression="zstd", compression_level=1, row_group_size=100_000)


@dataclass(frozen=True, slots=True)
class DecodedObject:
    """One Parquet file: its rows, bytes, base64 CRC32C and content id, and the name it is to be published under.

    It is on local disk at `path`, unless it waits in the lake under `staged_key`.
    """

    path: Path
    stem: str
    instrument_type: str
    instrument_key: str | None
    rows: int
    size_bytes: int
    crc32c: str
    content_id: str
    staged_key: str | None = None


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """What a tick file became; `unknown_symbols` are those of a grouped file that the day's universe does not list."""

    objects: tuple[DecodedObject, ...]
    rows: int
    stats: TickStats
    first_local_timestamp: datetime
    last_local_timestamp: datetime
    unknown_symbols: tuple[str, ...] = ()


def decode_tick_file(
    source: Path | bytes, file: TickFile, rows: int, known_keys: Mapping[str, str], target: Path
) -> DecodedFile:
    """Decode a tick file with at least one row to Parquet at `target`, where nothing is yet.

    It becomes a file, or a folder of files for a grouped one; what is there when this raises is of no use. `source` is
    the file's gzip or its text, which was proven to hold `rows` rows. `known_keys` maps the vendor symbols of the day's
    universe to instrument keys; only grouped files use it. Row order is the vendor's. Raises TickFileInvalid (permanent
    for these bytes) when a cell, the symbol or the day is wrong, ScratchError (transient).
    """
    spec = TABLES[file.unit.data_type]
    cells = _scan(source, spec)
    seen = TickRows(file)
    try:
        if file.instrument_key is None:
            # read twice: an instrument's key and its part are known once all symbols are
            _look(cells, seen)
            target.mkdir()
            decoded, unknown = _split_group(cells, file, seen.symbols, known_keys, target)
        else:
            key = pl.lit(file.instrument_key).alias(INSTRUMENT_KEY.name)
            schema = _described_schema(file.unit.data_type)
            write = _write if rows <= _FEW_ROWS else _sink
            write(cells.select(key, pl.all()), target, seen, schema)
            stem = parse_instrument_key(file.instrument_key)[2]
            decoded, unknown = [_describe(target, stem, file.instrument_type, file.instrument_key)], ()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError) as error:
        raise _told(file, target, error) from error
    decoded_rows = sum(item.rows for item in decoded)
    if decoded_rows != rows:
        raise TickFileInvalid(f"{file}: {rows} lines became {decoded_rows} rows")
    return DecodedFile(
        objects=tuple(decoded),
        rows=decoded_rows,
        stats=seen.stats(),
        first_local_timestamp=_instant(seen.first_arrival_us),
        last_local_timestamp=_instant(seen.last_arrival_us),
        unknown_symbols=unknown,
    )


def _told(file: TickFile, target: Path, error: BaseException) -> MarketDataError:
    """Return what Polars, pyarrow or the disk failed of, as an error of this file."""
    if full := describe_full_disk(error, target.parent):
        return ScratchError(f"{file}: {full}. Free space there, or set TMPDIR to a folder on a larger disk")
    first_line = str(error).partition("\n")[0]
    if isinstance(error, OSError):
        return ScratchError(f"{file}: its Parquet cannot be written at {target} ({first_line})")
    if isinstance(error, pl.exceptions.PolarsError):
        return TickFileInvalid(f"{file}: a cell is not what its column holds ({first_line})")
    return TickFileInvalid(f"{file}: its text cannot be decoded ({type(error).__name__}: {first_line})")


def _scan(source: Path | bytes, spec: TableSpec) -> pl.LazyFrame:
    # every column is read: a projection would let rows with too many cells pass
    schema = {
        column.csv_name: pl.Int64() if column.kind is ColumnKind.TIME else column.kind.dtype
        for column in spec.vendor_columns
    }
    cells = pl.scan_csv(source, schema=schema, quote_char=None, glob=False)
    return cells.select(pl.col(c.csv_name).cast(c.kind.dtype).alias(c.name) for c in spec.vendor_columns)


def _write(rows: pl.LazyFrame, target: Path, seen: TickRows, schema: pa.Schema) -> None:
    """Write a few rows; setting up a stream would cost more than they do."""
    frame = rows.collect(engine="in-memory")
    seen.add(frame)
    if seen.refusal is not None:
        raise seen.refusal
    frame.write_parquet(target, **_PARQUET, arrow_schema=schema)


def _sink(rows: pl.LazyFrame, target: Path, seen: TickRows, schema: pa.Schema) -> None:
    """Write rows to one file while `seen` looks at them; raises what `seen` refuses."""
    written = rows.sink_parquet(target, **_PARQUET, arrow_schema=schema, lazy=True)
    looked_at = rows.sink_batches(seen.add, chunk_size=BATCH_ROWS, lazy=True)
    _stream([written, looked_at], seen)


def _look(rows: pl.LazyFrame, seen: TickRows) -> None:
    """Let `seen` look at rows that are not written; raises what it refuses."""
    _stream([rows.sink_batches(seen.add, chunk_size=BATCH_ROWS, lazy=True)], seen)


def _stream(sinks: list[pl.LazyFrame], seen: TickRows) -> None:
    try:
        pl.collect_all(sinks, engine="streaming")
    except pl.exceptions.PolarsError as error:
        if seen.refusal is None:
            raise
        raise seen.refusal from error
    if seen.refusal is not None:
        raise seen.refusal


@lru_cache
def _described_schema(data_type: DataType) -> pa.Schema:
    """Return the published schema whose fields carry their unit and a sentence, for whoever opens a file alone."""
    spec = TABLES[data_type]
    columns = (INSTRUMENT_KEY, *spec.vendor_columns)
    plain = pl.DataFrame(schema=spec.published_schema).to_arrow().schema
    described = [
        arrow.with_metadata({"unit": column.unit, "description": column.description})
        for arrow, column in zip(plain, columns, strict=True)
    ]
    return pa.schema(described)


def _split_group(
    cells: pl.LazyFrame, file: TickFile, symbols: frozenset[str], known_keys: Mapping[str, str], target: Path
) -> tuple[list[DecodedObject], tuple[str, ...]]:
    """Split a grouped file by base asset while streaming; rows get their own instrument key and keep their order."""
    unknown, names = [], []
    for symbol in sorted(symbols):
        name = file_symbol(symbol)
        parsed, _ = parse_symbol(file.unit.venue, file.instrument_type, name)
        if name not in known_keys:
            unknown.append(name)
        derived_key = format_instrument_key(file.unit.venue, file.instrument_type, parsed.symbol)
        names.append((symbol, known_keys.get(name, derived_key), part_stem(parsed.base, file.vendor_symbol)))
    by_symbol = pl.LazyFrame(names, schema=["symbol", INSTRUMENT_KEY.name, "stem"], orient="row")
    numbers = {stem: number for number, stem in enumerate(sorted({stem for _, _, stem in names}))}
    by_base = pl.PartitionBy(
        target,
        key="stem",
        include_key=False,
        file_path_provider=lambda part: f"{numbers[part.partition_keys['stem'][0]]}-{part.index_in_partition}.parquet",
        max_rows_per_file=_PART_ROWS,
        approximate_bytes_per_file=None,
    )
    # a join streams; replacing values by values would hold the column in memory
    named = cells.join(by_symbol, on="symbol", how="left", maintain_order="left")
    columns = TABLES[file.unit.data_type].published_schema.names()
    schema = _described_schema(file.unit.data_type)
    named.select(*columns, "stem").sink_parquet(by_base, **_PARQUET_OF_PARTS, arrow_schema=schema)
    return [
        _describe(path, part_stem(base_of_part(stem), file.vendor_symbol, part), file.instrument_type, None)
        for stem, number in numbers.items()
        for part, path in enumerate(_parts(target, number), start=1)
    ], tuple(unknown)


def _parts(target: Path, number: int) -> list[Path]:
    return sorted(target.glob(f"{number}-*.parquet"), key=lambda path: int(path.stem.partition("-")[2]))


def _describe(path: Path, stem: str, instrument_type: str, instrument_key: str | None) -> DecodedObject:
    with path.open("rb") as source:
        crc32c, content_id = describe_content(source)
    return DecodedObject(
        path=path,
        stem=stem,
        instrument_type=instrument_type,
        instrument_key=instrument_key,
        rows=pl.scan_parquet(path, glob=False).select(pl.len()).collect().item(),
        size_bytes=path.stat().st_size,
        crc32c=crc32c,
        content_id=content_id,
    )


def _instant(microseconds: int | str) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))
