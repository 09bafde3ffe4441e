"""Rows -> one Parquet file, row group by row group, each column encoded as its table spec says.

A row group of a large file ends with a UTC hour of `local_timestamp`, so that an hour is read as an hour. Groups depend
on the rows alone, not on the pieces they come in: the same rows become the same bytes. (Of a grouped file, and of one
that spells its symbol in several ways, also on the decoder's blocks, which the text decides.)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from market_data.lake.checksum import ContentDigest
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType, Encoding

# Names how rows are held in Parquet, in the file's own metadata. Files of all versions hold the same rows and are read
# as one: a change makes no day stale.
ENCODING_VERSION = "2"
ENCODING_FIELD = "market_data.encoding"

# A row group ends with an hour once it has so many rows. Smaller groups would repeat too much (with half as many, files
# of a day are up to 10 % larger), and footers would take longer to read than a column does.
_ENOUGH_ROWS = 60_000
# It ends anywhere with so many cells, or the rows above: wide tables take little more memory than narrow ones.
_MOST_CELLS = 2_500_000
_TIME = pa.timestamp("us", "UTC")
_HOUR_US = 3_600_000_000
_WRITE_BYTES = 1 << 20
_ZSTD_LEVEL = 3  # level 1 makes files 4 % larger in 5 % less time, level 6 makes them 6 % smaller in twice the time


@dataclass(frozen=True, slots=True)
class Encoded:
    """What was written: rows, bytes, base64 CRC32C, content id."""

    rows: int
    size_bytes: int
    crc32c: str
    content_id: str


class TickWriter:
    """Writes rows of one data type to a file that is not there yet; it is a Parquet file once `close` has returned.

    `constants` are text columns with one value in all rows: they cost nothing by row, and rows come without them, but
    for those that have other values after all.
    Raises pa.ArrowException and OSError, which leave a file that is of no use.
    """

    def __init__(self, path: Path, data_type: DataType, constants: Mapping[str, str]) -> None:
        names = TABLES[data_type].published_schema.names()
        self.rows = self.waiting_rows = 0
        self._constants = constants
        self._names = names
        self._times = {column.name for column in TABLES[data_type].vendor_columns if column.kind is ColumnKind.TIME}
        self._data_type = data_type
        self._most = max(_ENOUGH_ROWS, _MOST_CELLS // len(names))
        self._waiting: list[pa.Table] = []
        self._hour: int | None = None
        self._file = _DigestedFile(path)
        self._writer: Any = None

    def write(self, rows: pl.DataFrame) -> None:
        """Take the next rows, in their order, and write the row groups that they complete.

        Times are integers: microseconds since epoch.
        """
        if rows.is_empty():
            return
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._waiting and self._waiting[0].column_names != table.column_names:
            self.flush()
        start = 0
        for change in [*self._hour_changes(rows), rows.height]:
            while change - start + self.waiting_rows > self._most:
                start = self._take(table, start, start + self._most - self.waiting_rows)
                self.flush()
            if change < rows.height and change - start + self.waiting_rows >= _ENOUGH_ROWS:
                start = self._take(table, start, change)
                self.flush()
        self._take(table, start, rows.height)

    def flush(self) -> None:
        """Write the rows that wait as a row group, whatever their number."""
        if not self.waiting_rows:
            return
        # in one piece, so that pages do not depend on the pieces
        waiting = pa.concat_tables(self._waiting).combine_chunks()
        group = pa.Table.from_arrays([self._column(name, waiting) for name in self._names], names=self._names)
        self._open(group.schema).write_table(group, row_group_size=group.num_rows)
        self._waiting, self.waiting_rows = [], 0

    def close(self) -> Encoded:
        """Write what waits and the footer."""
        self.flush()
        self._writer.add_key_value_metadata(_described(self._data_type))
        self._writer.close()
        self._file.finish()
        digest = self._file.digest
        return Encoded(self.rows, self._file.size_bytes, digest.crc32c, digest.content_id)

    def abandon(self) -> None:
        """End without a Parquet file; what is there of it is of no use, and nothing is written to it any more."""
        self._file.is_abandoned = True
        if self._writer is not None:
            self._writer.close()

    def _hour_changes(self, rows: pl.DataFrame) -> list[int]:
        """Return the rows that begin another hour than the row before, once a row group may end there."""
        hours = rows["local_timestamp"].to_numpy() // _HOUR_US
        before, self._hour = self._hour, int(hours[-1])
        if self.waiting_rows + rows.height < _ENOUGH_ROWS:
            return []
        first = [0] if before is not None and hours[0] != before else []
        return [*first, *(np.flatnonzero(np.diff(hours)) + 1).tolist()]

    def _take(self, table: pa.Table, start: int, end: int) -> int:
        if end > start:
            self._waiting.append(table.slice(start, end - start))
            self.waiting_rows += end - start
            self.rows += end - start
        return end

    def _column(self, name: str, waiting: pa.Table) -> pa.ChunkedArray | pa.Array:
        if name in self._constants:
            is_whole = name in waiting.column_names
            return waiting[name].dictionary_encode() if is_whole else _repeat(self._constants[name], waiting.num_rows)
        return waiting[name].cast(_TIME) if name in self._times else waiting[name]

    def _open(self, schema: pa.Schema) -> Any:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, **_options(self._data_type))
        return self._writer


class _DigestedFile:
    """A file that is written from start to end, and its digest; it is open only while a piece is written.

    There may be more of them at once than a process may have files open.
    """

    def __init__(self, path: Path) -> None:
        self.digest = ContentDigest()
        self.size_bytes = 0
        self.closed = self.is_abandoned = False
        self._path = path
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0

    def write(self, piece: bytes) -> int:
        if self.is_abandoned:
            return len(piece)
        self._pieces.append(bytes(piece))
        self._waiting_bytes += len(piece)
        if self._waiting_bytes >= _WRITE_BYTES:
            self.finish()
        return len(piece)

    def finish(self) -> None:
        """Let all that was written be in the file."""
        piece = b"".join(self._pieces)
        self._pieces, self._waiting_bytes = [], 0
        with self._path.open("ab") as sink:
            sink.write(piece)
        self.digest.update(piece)
        self.size_bytes += len(piece)

    def flush(self) -> None:
        """Parquet asks for it after each row group; nobody reads before the end."""

    def tell(self) -> int:
        return self.size_bytes + self._waiting_bytes

    def close(self) -> None:
        self.closed = True


def _repeat(value: str, rows: int) -> pa.Array:
    indices = pa.array(np.zeros(rows, np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([value], pa.large_string()))


@lru_cache
def _options(data_type: DataType) -> dict[str, Any]:
    columns = (INSTRUMENT_KEY, *TABLES[data_type].vendor_columns)
    encodings = {column.name: column.encoding for column in columns}
    return {
        "compression": "zstd",
        "compression_level": _ZSTD_LEVEL,
        "use_dictionary": [name for name, encoding in encodings.items() if encoding is Encoding.DICTIONARY],
        "column_encoding": {
            name: encoding.value for name, encoding in encodings.items() if encoding is not Encoding.DICTIONARY
        },
        "dictionary_pagesize_limit": _MOST_CELLS * 8,  # never given up in the middle of a row group
        "write_statistics": [column.name for column in columns if column.has_bounds],
        "store_schema": False,  # it would say that constants are dictionaries
    }


@lru_cache
def _described(data_type: DataType) -> dict[str, str]:
    """Return a file's metadata: the published schema whose fields carry their unit and a sentence, for its reader."""
    spec = TABLES[data_type]
    plain = pl.DataFrame(schema=spec.published_schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    schema = pa.schema(
        arrow.with_metadata({"unit": column.unit, "description": column.description})
        for arrow, column in zip(plain, (INSTRUMENT_KEY, *spec.vendor_columns), strict=True)
    )
    text = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return {"ARROW:schema": text, ENCODING_FIELD: ENCODING_VERSION}
