"""The vendor's csv.gz as bytes: proven to its very end in one fast inflation, before anything is parsed.

Polars would turn a short row into nulls without a word, so lines and commas are counted here; the format has no quotes.
Text that is kept in memory meanwhile spares the decoder a second inflation; a file on disk would cost what it spares.
Source of the format: docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from isal import igzip_lib, isal_zlib

from market_data.errors import TickFileInvalid
from market_data.lake.disk import scratch_errors
from market_data.model.data_types import TABLES
from market_data.model.limits import RunLimits, SizeLimits
from market_data.model.tick_file import TickFile

# small enough to stay in the processor's cache while it is inflated, counted and written
_CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 17
_GZIP_ONLY = 16 + zlib.MAX_WBITS
# the stub of isal declares its exception class as an instance
_INFLATE_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_GZIP_MAGIC = b"\x1f\x8b"
_DEFAULT_LIMITS = RunLimits()
_NEWLINE, _COMMA, _QUOTE, _RETURN = 10, 44, b'"', b"\r"


class KeptText:
    """Inflated text in memory, unless it grows beyond `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._stream: io.BytesIO | None = io.BytesIO()

    def add(self, chunk: bytes) -> None:
        """Keep the next text."""
        if self._stream is not None and self._stream.tell() + len(chunk) > self._max_bytes:
            self._stream = None
        if self._stream is not None:
            self._stream.write(chunk)

    def value(self) -> bytes | None:
        """Return the whole text, None when it was too much."""
        return self._stream.getvalue() if self._stream is not None else None


def verify_tick_file(
    path: Path,
    file: TickFile,
    limits: SizeLimits | None = None,
    kept: KeptText | None = None,
    look: Callable[[bytes], None] = lambda _: None,
) -> int:
    """Return the number of rows after proving gzip, size, header, last line and count of cells; 0 for an empty file.

    The text that is proven goes to `kept`; each piece of it is first given to `look`, which may raise. Raises
    TickFileInvalid (permanent for these bytes), ScratchError (transient).
    """
    _refuse_other_than_gzip(path, file)
    counter = _Counter(file, path.stat().st_size, limits or _DEFAULT_LIMITS.sizes[file.unit.data_type])
    for chunk in _inflate(path, file):
        look(chunk)
        counter.add(chunk)
        if kept is not None:
            kept.add(chunk)
    return counter.rows()


def _inflate(path: Path, file: TickFile) -> Iterator[bytes]:
    """Yield the text, member by member; nothing but members may be there (no padding, which other readers refuse)."""
    with scratch_errors(str(file), path), path.open("rb", buffering=0) as source:
        try:
            yield from _inflate_members(iter(partial(source.read, _READ_BYTES), b""))
        except (EOFError, zlib.error, _INFLATE_ERROR) as error:
            raise TickFileInvalid(f"{file}: the gzip stream is damaged or cut short ({error})") from error


def _inflate_members(pieces: Iterator[bytes]) -> Iterator[bytes]:
    member = None
    for piece in pieces:
        rest = piece
        while rest:
            member = member or isal_zlib.decompressobj(_GZIP_ONLY)
            if text := member.decompress(rest, _CHUNK_BYTES):
                yield text
            rest = member.unused_data if member.eof else member.unconsumed_tail
            member = None if member.eof else member
    while member is not None and not member.eof:
        if not (text := member.decompress(b"", _CHUNK_BYTES)):
            raise EOFError("it ends within a member")
        yield text


class _Counter:
    """Counts lines and commas of inflated text, chunk by chunk, and refuses what the format does not have."""

    def __init__(self, file: TickFile, gzip_bytes: int, limits: SizeLimits) -> None:
        self._file = file
        self._spec = TABLES[file.unit.data_type]
        self._header = self._spec.csv_header.encode() + b"\n"
        self._gzip_bytes = gzip_bytes
        self._limits = limits
        self._start = b""
        self._last_byte = b""
        self._has_returns = False
        self._bytes = self._lines = self._commas = 0

    def add(self, chunk: bytes) -> None:
        """Look at the next text; the gzip may be a bomb, so its size is judged before anything else."""
        self._bytes += len(chunk)
        if excess := self._limits.describe_excess(self._bytes, self._gzip_bytes):
            raise TickFileInvalid(f"{self._file}: {excess}")
        if len(self._start) < len(self._header):
            self._start += chunk[: len(self._header)]
        if _QUOTE in chunk:
            raise TickFileInvalid(f"{self._file}: a cell holds a double quote; the format has none")
        self._has_returns = self._has_returns or _RETURN in chunk
        octets = np.frombuffer(chunk, np.uint8)
        self._lines += int(np.count_nonzero(octets == _NEWLINE))
        self._commas += int(np.count_nonzero(octets == _COMMA))
        self._last_byte = chunk[-1:]

    def rows(self) -> int:
        """Return the number of rows, after the last text."""
        if not self._bytes:
            return 0
        if self._start != self._header.rstrip():  # a header cut off before its line end is told as the next fault
            self._refuse_other_header()
        if self._has_returns:  # the parser would take it from the end of a cell without a word
            raise TickFileInvalid(f"{self._file}: a cell holds a carriage return; the format has none")
        if self._last_byte != b"\n":
            raise TickFileInvalid(f"{self._file}: the last line is cut short (no line end)")
        columns = len(self._spec.vendor_columns)
        expected_commas = self._lines * (columns - 1)
        if self._commas != expected_commas:
            raise TickFileInvalid(
                f"{self._file}: {self._lines} lines hold {self._commas} commas where {columns} columns need "
                f"{expected_commas}: a row is short or long"
            )
        return self._lines - 1

    def _refuse_other_header(self) -> None:
        if self._start[: len(self._header)] == self._header:
            return
        found = self._start.split(b"\n", 1)[0].decode("utf-8", "replace")
        header = self._header.decode().strip()
        raise TickFileInvalid(f"{self._file}: the header is {found!r} where the format says {header!r}")


def _refuse_other_than_gzip(path: Path, file: TickFile) -> None:
    with path.open("rb") as source:
        start = source.read(64)
    if not start.startswith(_GZIP_MAGIC):
        raise TickFileInvalid(f"{file}: not a gzip file; it starts with {start!r}")
