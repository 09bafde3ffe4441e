"""Faults of the bytes of a csv.gz file: each function makes one defect and leaves everything else right.

Content faults inflate the file, change it and deflate it again, so that length, checksum and gzip are those of the new
bytes; damage in transit keeps the header's checksum of the undamaged file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from isal import igzip

_DAY_US = 86_400_000_000
_TIMES = ("timestamp", "local_timestamp")
_GZIP_BITS = 31
_BOMB_MEMBER_BYTES, _BOMB_MEMBERS = 16 * 2**20, 128

Lines = list[str]


@dataclass(frozen=True, slots=True)
class BodyAction:
    """How to spoil a body; `keeps_checksum`: headers still tell the MD5 of the original bytes."""

    spoil: Callable[[bytes], bytes]
    keeps_checksum: bool = False
    is_content: bool = True  # needs a csv.gz body: leaves JSON answers alone


def _deflate(text: str) -> bytes:
    return bytes(igzip.compress(text.encode(), compresslevel=2, mtime=0))


def _on_lines(change: Callable[[Lines], Lines]) -> BodyAction:
    def spoil(body: bytes) -> bytes:
        lines = igzip.decompress(body).decode().splitlines()
        # An empty file has no rows to spoil.
        return _deflate("\n".join(change(lines)) + "\n") if lines else body

    return BodyAction(spoil)


def _on_columns(names: tuple[str, ...], change: Callable[[str], str]) -> BodyAction:
    def edit(lines: Lines) -> Lines:
        places = [place for place, name in enumerate(lines[0].split(",")) if name in names]

        def edit_line(line: str) -> str:
            cells = line.split(",")
            for place in places:
                cells[place] = change(cells[place])
            return ",".join(cells)

        return [lines[0], *map(edit_line, lines[1:])]

    return _on_lines(edit)


def _on_middle_row(change: Callable[[str], str]) -> BodyAction:
    def edit(lines: Lines) -> Lines:
        middle = (len(lines) + 1) // 2
        return [change(line) if number == middle else line for number, line in enumerate(lines)]

    return _on_lines(edit)


def _flip_bit(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x10]) + body[middle + 1 :]


def _split_members(body: bytes) -> bytes:
    text = igzip.decompress(body).decode()
    middle = text.find("\n", len(text) // 2) + 1
    return _deflate(text[:middle]) + _deflate(text[middle:])


def _make_bomb(body: bytes) -> bytes:
    """Let the first row's last number go on for 2 GiB, in 2 MB.

    The end is cut off, so that nobody can store what it inflates to.
    """
    lines = igzip.decompress(body).splitlines(keepends=True)
    start = zlib.compress(b"".join(lines[:2]).rstrip() + b".", wbits=_GZIP_BITS)
    zeros = zlib.compress(b"0" * _BOMB_MEMBER_BYTES, 9, wbits=_GZIP_BITS)
    return (start + zeros * _BOMB_MEMBERS)[:-8]


def _rename_last(lines: Lines) -> Lines:
    return [lines[0].rsplit(",", 1)[0] + ",renamed", *lines[1:]]


BODY_ACTIONS: dict[str, BodyAction] = {
    # in transit
    "truncate": BodyAction(lambda body: body[: len(body) * 2 // 3], keeps_checksum=True, is_content=False),
    "bit_flip": BodyAction(_flip_bit, keeps_checksum=True, is_content=False),
    # gzip
    "empty_gzip": BodyAction(lambda _: _deflate("")),
    "two_members": BodyAction(_split_members),  # valid: readers must go on after the first member
    "bomb": BodyAction(_make_bomb),
    "trailing_garbage": BodyAction(lambda body: body + b"garbage after the gzip", is_content=False),
    # header
    "header_only": _on_lines(lambda lines: lines[:1]),
    "wrong_header": _on_lines(_rename_last),
    "extra_column": _on_lines(lambda lines: [lines[0] + ",extra", *(line + ",0" for line in lines[1:])]),
    # rows
    "short_row": _on_middle_row(lambda line: line.rsplit(",", 1)[0]),
    "long_row": _on_middle_row(lambda line: line + ",0"),
    # cells
    "wrong_symbol": _on_columns(("symbol",), lambda _: "WRONGSYMBOL"),
    "wrong_day": _on_columns(_TIMES, lambda cell: str(int(cell) - _DAY_US)),
    "nanoseconds": _on_columns(_TIMES, lambda cell: str(int(cell) * 1000)),
    "milliseconds": _on_columns(_TIMES, lambda cell: str(int(cell) // 1000)),
}
