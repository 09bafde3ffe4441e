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


def describe_content(stream: BinaryIO) -> tuple[str, str]:
    """Read a stream to its end and give its CRC32C and its content id: 64 bits of BLAKE2b, in hexadecimal."""
    crc32c, digest = 0, hashlib.blake2b(digest_size=_CONTENT_ID_BYTES)
    while chunk := stream.read(READ_CHUNK_BYTES):
        crc32c = google_crc32c.extend(crc32c, chunk)
        digest.update(chunk)
    return encode_crc32c(crc32c), digest.hexdigest()


def content_id_of(path: Path) -> str:
    """Return the content id of a local file."""
    with path.open("rb") as stream:
        return describe_content(stream)[1]


def compute_crc32c(stream: BinaryIO) -> str:
    """Read a stream to its end and give its CRC32C as GCS prints it."""
    value = 0
    while chunk := stream.read(READ_CHUNK_BYTES):
        value = google_crc32c.extend(value, chunk)
    return encode_crc32c(value)
