"""Vendor csv.gz -> proven facts about its bytes -> typed Parquet.

`verify_tick_file` inflates once, to the very end, and counts: Polars would turn a short row into nulls without a word.
`decode_tick_file` streams through Polars, reads the facts of the rows back from what was written, and refuses a file
whose rows are not of its symbol and day. Nothing is dropped, sorted or repaired.
Source of the format: docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
from isal import igzip, igzip_lib

from market_data.adapters.tick_lake import compute_crc32c
from market_data.adapters.tick_stats import measure_ticks
from market_data.domain.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, ColumnSpec, DataType, TableSpec
from market_data.domain.instruments import file_symbol, format_instrument_key, parse_instrument_key
from market_data.domain.symbology import parse_symbol
from market_data.domain.tick_file import TickFile
from market_data.domain.tick_rules import TickStats
from market_data.domain.venues import exchange_id_of
from market_data.errors import TickFileInvalid

# Names what a given vendor file becomes. Raise it with every change of the published bytes: days are then re-decoded.
DECODER_VERSION = "2"

_CHUNK_BYTES = 1 << 20
# the stub of isal declares its exception class as an instance
_INFLATE_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_ROW_GROUP_ROWS = 250_000
_ZSTD_LEVEL = 1
_GZIP_MAGIC = b"\x1f\x8b"
_MICROSECOND_DIGITS = 16
_OTHER_UNITS = {10: "seconds", 13: "milliseconds", 19: "nanoseconds"}  # by digits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DecodedObject:
    """One Parquet file on local disk: its rows, bytes and base64 CRC32C, and the name it is to be published under."""

    path: Path
    stem: str
    instrument_type: str
    instrument_key: str | None
    rows: int
    size_bytes: int
    crc32c: str


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """What a tick file became; `unknown_symbols` are those of a grouped file that the day's universe does not list."""

    objects: tuple[DecodedObject, ...]
    rows: int
    stats: TickStats
    first_local_timestamp: datetime
    last_local_timestamp: datetime
    unknown_symbols: tuple[str, ...] = ()


def verify_tick_file(path: Path, file: TickFile) -> int:
    """Return the number of rows after proving gzip, header, last line and the count of cells; 0 for an empty file.

    Raises TickFileInvalid (permanent for these bytes).
    """
    spec = TABLES[file.unit.data_type]
    _refuse_other_than_gzip(path, file)
    header = spec.csv_header.encode() + b"\n"
    start, last, lines, commas = b"", b"", 0, 0
    try:
        with igzip.open(path, "rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                if len(start) < len(header):
                    start += chunk[: len(header)]
                if b'"' in chunk:
                    raise TickFileInvalid(f"{file}: a cell holds a double quote; the format has none")
                lines += chunk.count(b"\n")
                commas += chunk.count(b",")
                last = chunk
    except (EOFError, OSError, zlib.error, _INFLATE_ERROR) as error:
        raise TickFileInvalid(f"{file}: the gzip stream is damaged or cut short ({error})") from error
    if not last:
        return 0
    if start != header.rstrip():  # a header cut off before its line end is told as the next fault
        _refuse_other_header(start, header, file)
    if not last.endswith(b"\n"):
        raise TickFileInvalid(f"{file}: the last line is cut short (no line end)")
    expected_commas = lines * (len(spec.vendor_columns) - 1)
    if commas != expected_commas:
        raise TickFileInvalid(
            f"{file}: {lines} lines hold {commas} commas where {len(spec.vendor_columns)} columns need "
            f"{expected_commas}: a row is short or long"
        )
    return lines - 1


def _refuse_other_than_gzip(path: Path, file: TickFile) -> None:
    with path.open("rb") as source:
        start = source.read(64)
    if not start.startswith(_GZIP_MAGIC):
        raise TickFileInvalid(f"{file}: not a gzip file; it starts with {start!r}")


def _refuse_other_header(start: bytes, header: bytes, file: TickFile) -> None:
    if start[: len(header)] == header:
        return
    found = start.split(b"\n", 1)[0].decode("utf-8", "replace")
    raise TickFileInvalid(f"{file}: the header is {found!r} where the format says {header.decode().strip()!r}")


def decode_tick_file(path: Path, file: TickFile, known_keys: Mapping[str, str], scratch: Path) -> DecodedFile:
    """Decode a verified tick file with at least one row into Parquet files below `scratch` (an empty folder).

    `known_keys` maps the vendor symbols of the day's universe to instrument keys; only grouped files use it. Row order
    is the vendor's. Raises TickFileInvalid (permanent for these bytes) when a cell, the symbol or the day is wrong.
    """
    spec = TABLES[file.unit.data_type]
    rows = _scan(path, spec)
    whole = scratch / "whole.parquet"
    key = [] if file.instrument_key is None else [pl.lit(file.instrument_key).alias(INSTRUMENT_KEY.name)]
    try:
        # a grouped file gets its keys, and so its published form, when it is split
        _sink(rows.select(*key, pl.all()), whole, _described_schema(file.unit.data_type) if key else None)
        facts = _read_facts(whole, spec)
        _refuse_wrong_rows(facts, file, spec)
        stats = measure_ticks(whole, file.unit.data_type)
        if file.instrument_key is None:
            decoded, unknown = _split_group(whole, file, known_keys, scratch)
        else:
            stem = parse_instrument_key(file.instrument_key)[2]
            decoded, unknown = [_describe(whole, stem, file.instrument_type, file.instrument_key)], ()
    except pl.exceptions.PolarsError as error:
        first_line = str(error).partition("\n")[0]
        raise TickFileInvalid(f"{file}: a cell is not what its column holds ({first_line})") from error
    return DecodedFile(
        objects=tuple(decoded),
        rows=int(facts["rows"]),
        stats=stats,
        first_local_timestamp=_instant(facts["local_timestamp_min"]),
        last_local_timestamp=_instant(facts["local_timestamp_max"]),
        unknown_symbols=unknown,
    )


def _scan(path: Path, spec: TableSpec) -> pl.LazyFrame:
    schema = {
        column.csv_name: pl.Int64() if column.kind is ColumnKind.TIME else column.kind.dtype
        for column in spec.vendor_columns
    }
    rows = pl.scan_csv(path, schema=schema, quote_char=None, glob=False)
    columns = [pl.col(c.csv_name).cast(c.kind.dtype).alias(c.name) for c in spec.vendor_columns]
    return rows.select(columns)


def _sink(rows: pl.LazyFrame, target: Path | pl.PartitionBy, schema: pa.Schema | None = None) -> None:
    rows.sink_parquet(
        target,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROW_GROUP_ROWS,
        arrow_schema=schema,
    )


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


def _read_facts(path: Path, spec: TableSpec) -> dict[str, Any]:
    """Return facts of the rows as they were written: count, bounds, nulls where none may be."""
    bounded = [pl.col(name) for name in ("exchange", "symbol")]
    bounded += [pl.col(column.name).to_physical() for column in _time_columns(spec)]
    facts = pl.scan_parquet(path, glob=False).select(
        pl.len().alias("rows"),
        *(column.min().name.suffix("_min") for column in bounded),
        *(column.max().name.suffix("_max") for column in bounded),
        *(pl.col(c.name).null_count().name.suffix("_nulls") for c in spec.vendor_columns if not c.is_nullable),
    )
    return facts.collect().row(0, named=True)


def _time_columns(spec: TableSpec) -> list[ColumnSpec]:
    return [column for column in spec.vendor_columns if column.kind is ColumnKind.TIME]


def _refuse_other_unit(value: int | None, name: str, file: TickFile) -> None:
    digits = len(str(value))
    if value is not None and digits != _MICROSECOND_DIGITS:
        unit = f", as {_OTHER_UNITS[digits]} have" if digits in _OTHER_UNITS else ""
        raise TickFileInvalid(
            f"{file}: {name} {value} has {digits} digits{unit}; the format's times are microseconds since epoch "
            f"({_MICROSECOND_DIGITS} digits)"
        )


def _refuse_wrong_rows(facts: Mapping[str, Any], file: TickFile, spec: TableSpec) -> None:
    for column in spec.vendor_columns:
        if not column.is_nullable and facts[f"{column.name}_nulls"]:
            raise TickFileInvalid(f"{file}: {facts[f'{column.name}_nulls']} rows have no {column.csv_name}")
    for column in _time_columns(spec):
        # where a time may be absent, a venue may also send a placeholder such as 0: only the unit is judged there
        for bound in ("max",) if column.is_nullable else ("min", "max"):
            _refuse_other_unit(facts[f"{column.name}_{bound}"], column.csv_name, file)
    exchange_id = exchange_id_of(file.unit.venue)
    if not facts["exchange_min"] == facts["exchange_max"] == exchange_id:
        raise TickFileInvalid(
            f"{file}: rows are of exchange {facts['exchange_min']!r} to {facts['exchange_max']!r}, not {exchange_id!r}"
        )
    symbols = {str(facts["symbol_min"]), str(facts["symbol_max"])}
    if not file.is_group and {file_symbol(symbol) for symbol in symbols} != {file.vendor_symbol}:
        raise TickFileInvalid(f"{file}: rows are of symbol {' and '.join(sorted(symbols))}, not {file.vendor_symbol}")
    # The day is decided by arrival; the venue's own time may lie on the day before.
    day_start = datetime.combine(file.unit.day, time(), UTC)
    first, last = _instant(facts["local_timestamp_min"]), _instant(facts["local_timestamp_max"])
    if first < day_start or last >= day_start + timedelta(days=1):
        raise TickFileInvalid(
            f"{file}: rows are of {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC by local_timestamp, "
            f"outside the day {file.unit.day}"
        )


def _split_group(
    whole: Path, file: TickFile, known_keys: Mapping[str, str], scratch: Path
) -> tuple[list[DecodedObject], tuple[str, ...]]:
    """Split a grouped file by base asset while streaming; rows get their own instrument key and keep their order."""
    rows = pl.scan_parquet(whole, glob=False)
    symbols = sorted(rows.select(pl.col("symbol").unique()).collect()["symbol"])
    keys, stems, unknown = [], [], []
    for symbol in symbols:
        name = file_symbol(symbol)
        parsed, _ = parse_symbol(file.unit.venue, file.instrument_type, name)
        if name not in known_keys:
            unknown.append(name)
        derived_key = format_instrument_key(file.unit.venue, file.instrument_type, parsed.symbol)
        keys.append(known_keys.get(name, derived_key))
        stems.append(f"{parsed.base or ''}~{file.vendor_symbol}")
    paths = {stem: scratch / f"part-{number}.parquet" for number, stem in enumerate(sorted(set(stems)))}
    by_base = pl.PartitionBy(
        scratch,
        key=pl.col("symbol").replace_strict(symbols, stems).alias("stem"),
        include_key=False,
        file_path_provider=lambda part: paths[part.partition_keys["stem"][0]].name,
        approximate_bytes_per_file=None,
    )
    keyed = rows.select(pl.col("symbol").replace_strict(symbols, keys).alias(INSTRUMENT_KEY.name), pl.all())
    _sink(keyed, by_base, _described_schema(file.unit.data_type))
    whole.unlink()
    return [_describe(path, stem, file.instrument_type, None) for stem, path in paths.items()], tuple(unknown)


def _describe(path: Path, stem: str, instrument_type: str, instrument_key: str | None) -> DecodedObject:
    with path.open("rb") as source:
        crc32c = compute_crc32c(source)
    return DecodedObject(
        path=path,
        stem=stem,
        instrument_type=instrument_type,
        instrument_key=instrument_key,
        rows=pl.scan_parquet(path, glob=False).select(pl.len()).collect().item(),
        size_bytes=path.stat().st_size,
        crc32c=crc32c,
    )


def _instant(microseconds: int | str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
