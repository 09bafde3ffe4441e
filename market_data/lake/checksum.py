"""CRC32C, as GCS prints it."""

from __future__ import annotations

import base64
from typing import BinaryIO

import google_crc32c

READ_CHUNK_BYTES = 4 * 2**20


def encode_crc32c(value: int) -> str:
    """Give the base64 of the big-endian CRC32C, as GCS prints it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def compute_crc32c(stream: BinaryIO) -> str:
    """Read a stream to its end and give its CRC32C as GCS prints it."""
    value = 0
    while chunk := stream.read(READ_CHUNK_BYTES):
        value = google_crc32c.extend(value, chunk)
    return encode_crc32c(value)
