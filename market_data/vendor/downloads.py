"""What asking for a tick file can end with, and what is known of one that is held."""

from __future__ import annotations

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A body as it was received; `size_bytes` and `crc32c` (base64) are of the bytes on disk."""

    url: str
    status: int
    size_bytes: int
    crc32c: str
    etag: str | None
    last_modified: str | None
    x_md5: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class HeldFile:
    """What the vendor's headers said of a file that is held; None where they said nothing."""

    size_bytes: int
    etag: str | None
    x_md5: str | None

    def is_of(self, headers: httpx.Headers) -> bool:
        """Whether an answer is of the very bytes that are held: same length, and a same ETag or MD5."""
        if headers.get("Content-Length") != str(self.size_bytes):
            return False
        pairs = ((self.etag, headers.get("ETag")), (self.x_md5, headers.get("x-md5")))
        told = [held == offered for held, offered in pairs if held and offered]
        return bool(told) and all(told)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The vendor's headers say that a file is still the one that is held; its body was not read."""

    url: str
    status: int
    attempts: int


@dataclass(frozen=True, slots=True)
class NotOffered:
    """The vendor says that a file does not exist: 400 or 404 with its own JSON body, or with none."""

    url: str
    status: int
    message: str
    attempts: int
