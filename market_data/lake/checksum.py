"""CRC32C, as GCS prints it, and the id of a content."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import BinaryIO

import google_crc32c

READ_CHUNK_BYTES = 4 * 2**20
_CONTENT_ID_BYTES = 8


def encode_crc32c(value: int) -> str:
    """Give the base64 of the big-endian CRC32C, as GCS prints it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


class ContentDigest:
    """CRC32C and content id (64 bits of BLAKE2b, in hexadecimal) of bytes as they come."""

    def __init__(self) -> None:
        self._crc32c = 0
        self._digest = hashlib.blake2b(digest_size=_CONTENT_ID_BYTES)

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        self._digest.update(piece)

    @property
    def crc32c(self) -> str:
        """The checksum as GCS prints it."""
        return encode_crc32c(self._crc32c)

    @property
    def content_id(self) -> str:
        """The id that a published object's name holds."""
        return self._digest.hexdigest()


def content_id_of(path: Path) -> str:
    """Return the content id of a local file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=_CONTENT_ID_BYTES)).hexdigest()


def content_id_of_bytes(data: bytes) -> str:
    """Return the content id of what is in memory."""
    return hashlib.blake2b(data, digest_size=_CONTENT_ID_BYTES).hexdigest()


def compute_crc32c(stream: BinaryIO) -> str:
    """Read a stream to its end and give its CRC32C as GCS prints it."""
    value = 0
    while chunk := stream.read(READ_CHUNK_BYTES):
        value = google_crc32c.extend(value, chunk)
    return encode_crc32c(value)
