"""What an HTTP answer says, read without belief: it may be too large, lie about itself, or repeat the key."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import httpx

# What an answer can break in the library below: its status line, headers, lengths, encodings, redirects, connection.
BROKEN_ANSWERS = (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, aiohttp.ClientError)
EXCERPT_CHARACTERS = 200
ABSENT_STATUSES = {httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND}
# A parameter fault that passes: the vendor's own clients send such a request again.
PASSING_BAD_REQUEST = b"ISO 8601 format"
# Longer waits than a week are no waits.
_LONGEST_RETRY_AFTER_SECONDS = 7 * 86_400
_PLAIN_NUMBER = re.compile(r"[0-9]{1,15}")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PIECE_BYTES = 2**20
# Any sign that a terminal may obey, and others: those of ASCII that are printed, and the line's end, are none.
_SUSPECT = re.compile(r"[^\n -~]")
# JSON of metadata compresses 20 to 40 times.
_MOST_RATIO, _RATIO_COUNTS_FROM_BYTES = 200, 16 * 2**20


class AnswerTooLarge(Exception):
    """A body that is longer than it may be; the text says by what measure."""


class Secret:
    """The key, as something that must not be found: in an answer's text, headers or body."""

    _SHORTEST = 8  # what is shorter may stand anywhere by chance

    def __init__(self, key: str) -> None:
        self._key = key
        self._bytes = key.encode() if len(key) >= self._SHORTEST else b""

    def hide(self, text: str) -> str:
        """Return text of the vendor's that may go anywhere: without the key, and without what a terminal obeys."""
        hidden = text.replace(self._key, "***") if self._key else text
        return _SUSPECT.sub(lambda sign: sign[0] if sign[0].isprintable() else ascii(sign[0])[1:-1], hidden)

    def is_in(self, data: bytes) -> bool:
        """Whether some bytes repeat the key."""
        return bool(self._bytes) and self._bytes in data

    def hide_cause(self, error: BaseException) -> BaseException | None:
        """Return an error that may be told as a cause; None for one that repeats the key, or whose cause does."""
        cause: BaseException | None = error
        while cause is not None:
            if self._key and self._key in str(cause):
                return None
            cause = cause.__cause__ or cause.__context__
        return error

    def watch(self) -> Callable[[bytes], bool]:
        """Return what tells, piece by piece, whether a body repeats the key, over the seams of pieces too."""
        seam_bytes = max(len(self._bytes) - 1, 0)
        before = b""

        def sees(piece: bytes) -> bool:
            nonlocal before
            seam = before + piece[:seam_bytes]
            before = (before + piece[-seam_bytes:])[-seam_bytes:] if seam_bytes else b""
            return self.is_in(piece) or self.is_in(seam)

        return sees


async def read_body(response: httpx.Response, most_bytes: int) -> bytes:
    """Return a body, inflated where its headers say that it is gzip; never much more than `most_bytes` are held.

    Raises AnswerTooLarge; httpx.DecodingError for a body that is not what `Content-Encoding` says.
    """
    body = bytearray()
    async for piece in _inflated(response):
        body += piece
        if len(body) > most_bytes:
            raise AnswerTooLarge(f"more than {most_bytes // 2**20} MiB")
        if len(body) > max(_RATIO_COUNTS_FROM_BYTES, _MOST_RATIO * response.num_bytes_downloaded):
            raise AnswerTooLarge(
                f"what inflates to more than {_MOST_RATIO} times its {response.num_bytes_downloaded} bytes"
            )
    return bytes(body)


async def read_beginning(response: httpx.Response, most_bytes: int) -> bytes:
    """Return the beginning of a body that nobody relies on, as far as it can be read."""
    body = bytearray()
    try:
        async for piece in _inflated(response):
            body += piece
            if len(body) >= most_bytes:
                break
    except httpx.DecodingError as error:
        return bytes(body) or str(error).encode()
    return bytes(body[:most_bytes])


async def _inflated(response: httpx.Response) -> AsyncIterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise httpx.DecodingError(f"it is sent as {encoding[:EXCERPT_CHARACTERS]!r}, which nobody asked for")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        async for chunk in response.aiter_raw():
            rest = chunk
            while rest:  # piece by piece: a small chunk can become a thousand times as much
                yield inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError(f"it is sent as {encoding!r}, and is not so ({error})") from error
    yield inflater.flush()
    if not inflater.eof:
        raise httpx.DecodingError(f"it is sent as {encoding!r}, and cut short")


def parse_json(body: bytes) -> Any:
    """Return the value in a JSON document; raises ValueError for what is none, or is nested beyond all use."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def vendor_fields(body: bytes) -> Mapping[str, Any]:
    """Return the fields of the vendor's error body, none where the body is not its JSON."""
    try:
        fields = parse_json(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, Mapping) else {}


def plain_number(text: object) -> int | None:
    """Return a number of ordinary digits, None for any other text (`str.isdigit` and `int` take far more)."""
    text = str(text).strip()
    return int(text) if _PLAIN_NUMBER.fullmatch(text) else None


def retry_after_seconds(headers: httpx.Headers, body: bytes, now: datetime) -> float | None:
    """Return how long to wait: of the header (seconds or a date), else of the body; None where they do not say."""
    told = headers.get("Retry-After")
    seconds: float | None = plain_number(told if told is not None else vendor_fields(body).get("retryAfterSeconds"))
    if seconds is None and told is not None:
        try:
            until = parsedate_to_datetime(told)
        except (ValueError, OverflowError):
            return None
        seconds = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def says_absent(status: int, refusal: bytes) -> bool:
    """Whether a status of absence comes from the vendor: with its JSON body, or with none.

    A page in HTML comes from somewhere else, and taking it for absence would lose files without a word.
    """
    if status not in ABSENT_STATUSES or PASSING_BAD_REQUEST in refusal:
        return False
    return "message" in vendor_fields(refusal) or not refusal.strip()
