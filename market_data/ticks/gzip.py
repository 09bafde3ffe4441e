"""The vendor's csv.gz as text: inflated once, and proven to its very end while the decoder parses it.

Polars would turn a short row into nulls without a word, so lines and commas are counted here; the format has no quotes.
Source of the format: docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from isal import igzip_lib, isal_zlib

from market_data.errors import TickFileInvalid
from market_data.lake.disk import scratch_errors
from market_data.model.data_types import TABLES
from market_data.model.limits import RunLimits, SizeLimits
from market_data.model.tick_file import TickFile

# small enough to stay in the processor's cache while it is inflated and counted
_CHUNK_BYTES, _READ_BYTES = 1 << 18, 1 << 16
# parsed at once: below 4 MB setting up a parse costs more than it does, above 16 nothing is gained
_BLOCK_BYTES = 1 << 23
_LONG_LINE_BYTES = 1 << 16
_GZIP_ONLY = 16 + zlib.MAX_WBITS
# the stub of isal declares its exception class as an instance
_INFLATE_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_GZIP_MAGIC = b"\x1f\x8b"
_DEFAULT_LIMITS = RunLimits()
_START_BYTES = 4096  # of a foreign header, so much is told
_NEWLINE, _COMMA, _QUOTE, _RETURN = 10, 44, b'"', b"\r"


class TickText:
    """The text of one tick file at `path`; each piece of it is given to `look`, which may raise, before anything else.

    Raises TickFileInvalid (permanent for these bytes) and ScratchError (transient).
    """

    def __init__(
        self,
        path: Path,
        file: TickFile,
        limits: SizeLimits | None = None,
        look: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.file = file
        self.rows = 0
        self._header = TABLES[file.unit.data_type].csv_header.encode() + b"\n"
        self._path = path
        self._limits = limits or _DEFAULT_LIMITS.sizes[file.unit.data_type]
        self._look = look

    @property
    def size_bytes(self) -> int:
        """The bytes of the gzip."""
        return self._path.stat().st_size

    def prove(self) -> int:
        """Return the number of rows after proving gzip, size, header, last line and number of cells."""
        per_line = len(TABLES[self.file.unit.data_type].vendor_columns) - 1
        lines, commas, refusal = 1, per_line, ""  # the header
        for block in self.blocks():
            more_lines, more_commas = self._count(block)
            lines, commas = lines + more_lines, commas + more_commas
            if not refusal and commas != lines * per_line:
                refusal = f"{lines} lines hold {commas} commas where {per_line + 1} columns need {lines * per_line}"
        if refusal:
            raise TickFileInvalid(f"{self.file}: {refusal}: a row is short or long")
        return self.rows

    def refuse_other_cells(self, block: BytesIO) -> None:
        """Raise TickFileInvalid when a row of a block is short or long.

        It need not be asked where the last column holds a value in each row: then no row is short, and the parser
        refuses long ones.
        """
        lines, commas = self._count(block)
        if commas != lines * (len(TABLES[self.file.unit.data_type].vendor_columns) - 1):
            raise TickFileInvalid(f"{self.file}: a row is short or long")

    def blocks(self) -> Iterator[BytesIO]:
        """Yield the text as blocks of the header and whole lines: each time the same stream, at its start.

        Each block begins with the header, since the parser takes some bytes at the start of a text for more than text
        (marks of an encoding, of a compression), and rows may begin with anything.

        Only after the last block are gzip, size, header and last line proven, and are there `rows`: 0 for an empty file
        and for a header alone. What was made of earlier blocks is of no use before.
        """
        _refuse_other_than_gzip(self._path, self.file)
        counter = _Counter(self.file, self._header, self.size_bytes, self._limits)
        # memory that is used again: the system is slow to give new memory
        stream = BytesIO()
        size = stream.write(self._header)
        header_rest = size
        for chunk in _inflate(self._path, self.file):
            self._look(chunk)
            counter.add(chunk)
            size += stream.write(chunk[header_rest:])
            header_rest = max(0, header_rest - len(chunk))
            while size >= len(self._header) + _BLOCK_BYTES:
                end, rest = self._cut(stream, size)
                # what is wrong with the whole is told at its end; until then it is not kept
                counter.has_endless_line |= not end
                if counter.may_be_parsed:
                    yield stream
                stream.seek(len(self._header))
                size = len(self._header) + stream.write(rest)
        self.rows = counter.rows()
        if size > len(self._header):
            stream.truncate(size)
            stream.seek(0)
            yield stream

    def _count(self, block: BytesIO) -> tuple[int, int]:
        """Return the lines and commas of a block behind the header."""
        octets = np.frombuffer(block.getvalue(), np.uint8)[len(self._header) :]
        return int(np.count_nonzero(octets == _NEWLINE)), int(np.count_nonzero(octets == _COMMA))

    def _cut(self, stream: BytesIO, size: int) -> tuple[int, bytes]:
        """Let a stream end after the last whole line of a block; return where that is, 0 for nowhere, and the rest."""
        first, most = len(self._header), len(self._header) + _BLOCK_BYTES
        with stream.getbuffer() as text:
            start = max(first, most - _LONG_LINE_BYTES)
            end = start + bytes(text[start:most]).rfind(b"\n") + 1
            if end == start:
                end = first + bytes(text[first:most]).rfind(b"\n") + 1
            end = 0 if end == first else end
            rest = bytes(text[end:size]) if end else b""
        stream.truncate(end or first)
        stream.seek(0)
        return end, rest


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
    """Counts lines of inflated text, chunk by chunk, and refuses what the format does not have."""

    def __init__(self, file: TickFile, header: bytes, gzip_bytes: int, limits: SizeLimits) -> None:
        self._file = file
        self._header = header
        self._gzip_bytes = gzip_bytes
        self._limits = limits
        self._flags = np.empty(_CHUNK_BYTES, np.bool_)
        self._start = b""
        self._last_byte = b""
        self._has_returns = False
        self.has_endless_line = False
        self._bytes = self._lines = 0

    def add(self, chunk: bytes) -> None:
        """Look at the next text; the gzip may be a bomb, so its size is judged before anything else."""
        self._bytes += len(chunk)
        if excess := self._limits.describe_excess(self._bytes, self._gzip_bytes):
            raise TickFileInvalid(f"{self._file}: {excess}")
        if len(self._start) < _START_BYTES:
            self._start += chunk[: _START_BYTES - len(self._start)]
        if _QUOTE in chunk:
            raise TickFileInvalid(f"{self._file}: a cell holds a double quote; the format has none")
        self._has_returns = self._has_returns or _RETURN in chunk
        octets = np.frombuffer(chunk, np.uint8)
        flags = self._flags[: octets.size]
        self._lines += int(np.count_nonzero(np.equal(octets, _NEWLINE, out=flags)))
        self._last_byte = chunk[-1:]

    @property
    def may_be_parsed(self) -> bool:
        """Whether nothing is known yet that makes the text one of another format."""
        return not self.has_endless_line and self._start.startswith(self._header)

    def rows(self) -> int:
        """Return the number of rows, after the last chunk; raises TickFileInvalid for what is wrong with the whole."""
        if not self._bytes:
            return 0
        if self._start != self._header.rstrip():  # a header cut off before its line end is told as the next fault
            self._refuse_other_header()
        if self._has_returns:  # the parser would take it from the end of a cell without a word
            raise TickFileInvalid(f"{self._file}: a cell holds a carriage return; the format has none")
        if self.has_endless_line:
            raise TickFileInvalid(f"{self._file}: a line is longer than {_BLOCK_BYTES:,} bytes")
        if self._last_byte != b"\n":
            raise TickFileInvalid(f"{self._file}: the last line is cut short (no line end)")
        return self._lines - 1

    def _refuse_other_header(self) -> None:
        if self._start.startswith(self._header):
            return
        found = self._start.split(b"\n", 1)[0].decode("utf-8", "replace")
        header = self._header.decode().strip()
        raise TickFileInvalid(f"{self._file}: the header is {found!r} where the format says {header!r}")


def _refuse_other_than_gzip(path: Path, file: TickFile) -> None:
    with path.open("rb") as source:
        start = source.read(64)
    if not start.startswith(_GZIP_MAGIC):
        raise TickFileInvalid(f"{file}: not a gzip file; it starts with {start!r}")
