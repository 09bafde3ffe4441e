"""Vendor text -> typed Parquet, in one pass: blocks of lines are parsed, judged, measured and encoded one by one.

Nothing is dropped, sorted or repaired, and nothing is of use before the last line is proven. Source of the format:
docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Self

import polars as pl
import pyarrow as pa

from market_data.errors import MarketDataError, ScratchError, TickFileInvalid
from market_data.lake.disk import describe_full_disk
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType
from market_data.model.instruments import file_symbol, format_instrument_key, parse_instrument_key
from market_data.model.tick_file import TickFile, base_of_part, part_stem
from market_data.symbology import parse_symbol
from market_data.ticks.encode import Encoded, TickWriter
from market_data.ticks.gzip import TickText
from market_data.ticks.rows import EPOCH, TickRows
from market_data.ticks.rules import TickStats

# Names which rows and statistics a given vendor file becomes. Raise it with every change of them: days are then decoded
# anew. How rows are held in Parquet has a version of its own (`ENCODING_VERSION`).
DECODER_VERSION = "3"

# Gzip from which on a file is likely the last one at work: it is encoded on a thread beside the parser, which ends
# sooner on a free core and takes 4 % more in all.
LARGE_BYTES = 128 * 2**20
# Objects of a grouped file stay below 2 GB: a row of the widest one (options_chain) takes some 60 bytes at most.
_PART_ROWS = 30_000_000
# Rows of all parts of a grouped file wait together for their row groups: 160 MB of numbers.
_WAITING_CELLS = 20_000_000


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


def decode_tick_file(text: TickText, known_keys: Mapping[str, str], target: Path) -> DecodedFile | None:
    """Prove a tick file and decode it to Parquet at `target`, where nothing is yet; None when it has no rows.

    It becomes a file, or a folder of files for a grouped one; what is there when this raises is of no use. `known_keys`
    maps the vendor symbols of the day's universe to instrument keys; only grouped files use it. Row order is the
    vendor's. Raises TickFileInvalid (permanent for these bytes) when gzip, text, a cell, the symbol or the day is
    wrong, ScratchError (transient), and what the text's `look` raises.
    """
    file, seen = text.file, TickRows(text.file)
    key, last = file.instrument_key, TABLES[file.unit.data_type].vendor_columns[-1].name
    parts = _Parts(file, known_keys, target) if key is None else _Single(file, key, target)
    try:
        try:
            with _Behind(parts.write) if text.size_bytes > LARGE_BYTES else nullcontext(parts.write) as write:
                for block in text.blocks():
                    rows = _parse(block, file.unit.data_type)
                    if rows.is_empty():  # of blank lines: their number refuses them in the end
                        continue
                    if rows[last].null_count():
                        text.refuse_other_cells(block)
                    seen.add(rows)
                    write(rows, seen.symbols)
        except (TickFileInvalid, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            text.prove()  # damaged gzip or a short row explains what is wrong with a cell: it is told instead
            raise
        decoded = parts.close()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError) as error:
        raise _told(file, target, error) from error
    finally:
        parts.abandon()
    decoded_rows = sum(item.rows for item in decoded)
    if decoded_rows != text.rows:
        raise TickFileInvalid(f"{file}: {text.rows} lines became {decoded_rows} rows")
    if not decoded_rows:
        return None
    return DecodedFile(
        objects=tuple(decoded),
        rows=decoded_rows,
        stats=seen.stats(),
        first_local_timestamp=_instant(seen.first_arrival_us),
        last_local_timestamp=_instant(seen.last_arrival_us),
        unknown_symbols=parts.unknown_symbols,
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


@lru_cache
def _csv_schema(data_type: DataType) -> dict[str, pl.DataType]:
    # every column is read: a projection would let rows with too many cells pass
    columns = TABLES[data_type].vendor_columns
    return {c.csv_name: pl.Int64() if c.kind is ColumnKind.TIME else c.kind.dtype for c in columns}


@lru_cache
def _names(data_type: DataType) -> list[str]:
    return [column.name for column in TABLES[data_type].vendor_columns]


def _parse(block: BytesIO, data_type: DataType) -> pl.DataFrame:
    """Return the rows of a block under their published names, with times as integers."""
    rows = pl.read_csv(block, schema=_csv_schema(data_type), quote_char=None)
    rows.columns = _names(data_type)
    return rows


class _Behind:
    """Makes calls in their order on another thread, while the caller goes on with the next rows.

    A call raises what the one before it raised, and so does the end.
    """

    def __init__(self, call: Callable[[pl.DataFrame, frozenset[str]], None]) -> None:
        self._call = call
        self._threads = ThreadPoolExecutor(1, "encode")
        self._last: Future[None] | None = None

    def __call__(self, rows: pl.DataFrame, symbols: frozenset[str]) -> None:
        self._wait()
        self._last = self._threads.submit(self._call, rows, symbols)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown()
        if kind is None:
            self._wait()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()


class _Single:
    """The Parquet of a file of one instrument, whose key and exchange, and nearly always symbol, are all rows' own."""

    unknown_symbols: tuple[str, ...] = ()

    def __init__(self, file: TickFile, key: str, target: Path) -> None:
        self._file = file
        self._key = key
        self._target = target
        self._writer: TickWriter | None = None

    def write(self, rows: pl.DataFrame, symbols: frozenset[str]) -> None:
        """Take the next rows, which are judged, and may be changed; `symbols` are all that were seen so far."""
        if self._writer is None:
            constants = {INSTRUMENT_KEY.name: self._key, "exchange": rows["exchange"][0], "symbol": min(symbols)}
            self._writer = TickWriter(self._target, self._file.unit.data_type, constants)
        if len(symbols) == 1:
            for name in ("exchange", "symbol"):
                rows.drop_in_place(name)
        self._writer.write(rows)

    def close(self) -> list[DecodedObject]:
        """Finish and describe the file; there is none when there were no rows."""
        if self._writer is None:
            return []
        stem = parse_instrument_key(self._key)[2]
        return [_object(self._target, stem, self._file.instrument_type, self._key, self._writer.close())]

    def abandon(self) -> None:
        """End what was not closed."""
        if self._writer is not None:
            self._writer.abandon()


class _Parts:
    """The Parquet files of a grouped file, by base asset; rows get their own instrument key and keep their order."""

    def __init__(self, file: TickFile, known_keys: Mapping[str, str], target: Path) -> None:
        self._file = file
        self._known_keys = known_keys
        self._target = target
        self._names: dict[str, tuple[str, str]] = {}
        self._by_symbol = pl.DataFrame()
        self._unknown: set[str] = set()
        self._writers: dict[str, list[TickWriter]] = {}
        self._waiting_rows = _WAITING_CELLS // len(TABLES[file.unit.data_type].published_schema)

    @property
    def unknown_symbols(self) -> tuple[str, ...]:
        """The symbols that the day's universe does not list, in file-name form and in the order of the vendor's."""
        return tuple(file_symbol(symbol) for symbol in sorted(self._unknown))

    def write(self, rows: pl.DataFrame, symbols: frozenset[str]) -> None:
        """Take the next rows, which are judged; `symbols` are all that were seen so far."""
        if new := symbols - self._names.keys():
            self._names |= {symbol: self._name(symbol) for symbol in new}
            names = [(symbol, *name) for symbol, name in self._names.items()]
            self._by_symbol = pl.DataFrame(names, schema=["symbol", INSTRUMENT_KEY.name, "stem"], orient="row")
        named = rows.join(self._by_symbol, on="symbol", how="left", maintain_order="left")
        for (stem,), part in named.partition_by("stem", include_key=False, as_dict=True).items():
            self._write_part(stem, part)
        writers = [writers[-1] for writers in self._writers.values()]
        while sum(writer.waiting_rows for writer in writers) > self._waiting_rows:
            max(writers, key=lambda writer: writer.waiting_rows).flush()

    def close(self) -> list[DecodedObject]:
        """Finish and describe the files, in the order of their stems."""
        return [
            _object(
                self._path(stem, number),
                part_stem(base_of_part(stem), self._file.vendor_symbol, number),
                self._file.instrument_type,
                None,
                writer.close(),
            )
            for stem in sorted(self._writers)
            for number, writer in enumerate(self._writers[stem], start=1)
        ]

    def abandon(self) -> None:
        """End what was not closed."""
        for writers in self._writers.values():
            for writer in writers:
                writer.abandon()

    def _name(self, symbol: str) -> tuple[str, str]:
        """Return the instrument key of a symbol and the stem of its part."""
        name = file_symbol(symbol)
        parsed, _ = parse_symbol(self._file.unit.venue, self._file.instrument_type, name)
        if name not in self._known_keys:
            self._unknown.add(symbol)
        derived_key = format_instrument_key(self._file.unit.venue, self._file.instrument_type, parsed.symbol)
        return self._known_keys.get(name, derived_key), part_stem(parsed.base, self._file.vendor_symbol)

    def _write_part(self, stem: str, rows: pl.DataFrame) -> None:
        writers = self._writers.setdefault(stem, [])
        while not rows.is_empty():
            if not writers or writers[-1].rows >= _PART_ROWS:
                self._target.mkdir(exist_ok=True)
                writers.append(TickWriter(self._path(stem, len(writers) + 1), self._file.unit.data_type, {}))
            room = _PART_ROWS - writers[-1].rows
            writers[-1].write(rows.head(room))
            rows = rows.slice(room)
        for full in writers[:-1]:
            full.flush()

    def _path(self, stem: str, number: int) -> Path:
        # a number for a name: a base asset may be anything
        place = list(self._writers).index(stem)
        return self._target / f"{place}-{number}.parquet"


def _object(path: Path, stem: str, instrument_type: str, key: str | None, encoded: Encoded) -> DecodedObject:
    return DecodedObject(
        path=path,
        stem=stem,
        instrument_type=instrument_type,
        instrument_key=key,
        rows=encoded.rows,
        size_bytes=encoded.size_bytes,
        crc32c=encoded.crc32c,
        content_id=encoded.content_id,
    )


def _instant(microseconds: int | str) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))
