"""The vendor's HTTP API: exchange details, instruments, tick files.

Sources: docs.tardis.dev, "HTTP API" and "Downloadable CSV files". Statuses: 401 and 403 are faults of the key, 400 and
404 say that a file does not exist, 429 and 5xx pass. The key travels only in the Authorization header, and httpx drops
that header when a redirect leads to another origin.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import google_crc32c
import httpx
import stamina
from httpx_aiohttp import AiohttpTransport

from market_data.adapters.tick_lake import encode_crc32c
from market_data.domain.tick_file import TickFile
from market_data.domain.venues import exchange_id_of
from market_data.errors import (
    VendorAccessDenied,
    VendorError,
    VendorQuotaExceeded,
    VendorUnavailable,
)

_USER_AGENT = "market-data/0.1 (Dagster ingestion of tick files)"
_ATTEMPTS = 5
# doubled after each attempt: a request waits about 8 s in all; longer outages are the re-run sensor's
_FIRST_WAIT_SECONDS = 0.5
# A longer Retry-After is not worth a waiting run: the run stops and says when to go on.
_LONGEST_WAIT_SECONDS = 300
_MAX_REDIRECTS = 3
_BODY_EXCERPT_CHARACTERS = 200


class _Transient(Exception):
    """A failed request that may succeed when it is sent again."""

    def __init__(self, message: str, *, status: int | None, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_seconds = wait_seconds


def _wait_before_retry(error: Exception) -> bool | float:
    if isinstance(error, _Transient):
        return True if error.wait_seconds is None else error.wait_seconds
    return False


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A body as it was received; `size_bytes` and `crc32c` (base64) are of the bytes on disk."""

    url: str
    status: int
    size_bytes: int
    crc32c: str
    etag: str | None
    last_modified: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class NotOffered:
    """The vendor says that a file does not exist (400/140, 400/300, or an ambiguous 404)."""

    url: str
    status: int
    message: str
    attempts: int


class TardisClient:
    """One account's view of the vendor; use it as an async context manager, from one event loop.

    `api_key` None asks for what is free. Requests that fail in a way that passes are sent again, with growing waits or
    as long as the vendor's Retry-After says.
    """

    def __init__(self, *, api_url: str, datasets_url: str, api_key: str | None, connections: int = 16) -> None:
        self._api_url = api_url.rstrip("/")
        self._datasets_url = datasets_url.rstrip("/")
        # a line end from a secrets file is no part of the key
        api_key = (api_key or "").strip()
        self._has_key = bool(api_key)
        self._http = httpx.AsyncClient(
            transport=AiohttpTransport(limits=httpx.Limits(max_connections=connections)),
            headers={"User-Agent": _USER_AGENT} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(60, connect=10, pool=None),
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    def tick_file_url(self, file: TickFile) -> str:
        """Return the address of a tick file: one for each exchange, data type, UTC day and symbol."""
        unit = file.unit
        path = f"{exchange_id_of(unit.venue)}/{unit.data_type}/{unit.day:%Y/%m/%d}"
        return f"{self._datasets_url}/{path}/{quote(file.vendor_symbol, safe='')}.csv.gz"

    async def exchange(self, venue: str) -> dict[str, Any]:
        """Return the vendor's details of a venue: datasets, symbols, availability (`/exchanges/:exchange`, no key).

        Raises VendorUnavailable (transient); VendorError, VendorAccessDenied (permanent).
        """
        url = f"{self._api_url}/exchanges/{exchange_id_of(venue)}"
        answer = await self._get_json(url, f"details of {venue}")
        if not isinstance(answer, dict):
            raise VendorError(f"details of {venue}: {url} answered {type(answer).__name__}, not an object")
        return answer

    async def instruments(self, venue: str) -> list[dict[str, Any]] | None:
        """Return the vendor's instrument definitions, or None where the key's plan does not offer them."""
        url = f"{self._api_url}/instruments/{exchange_id_of(venue)}"
        try:
            answer = await self._get_json(url, f"instruments of {venue}")
        except VendorAccessDenied:
            return None
        if not isinstance(answer, list):
            raise VendorError(f"instruments of {venue}: {url} answered {type(answer).__name__}, not a list")
        return answer

    async def download(self, file: TickFile, destination: Path) -> Downloaded | NotOffered:
        """Stream a tick file's bytes, as they are, to a local path; its length is checked, its content is not.

        Raises VendorUnavailable, VendorQuotaExceeded (transient); VendorAccessDenied, VendorError (permanent).
        """
        url = self.tick_file_url(file)
        attempts = 0
        async for attempt in self._attempts(str(file)):
            with attempt:
                attempts = attempt.num
                async with self._get(url, str(file), absent_is_answer=True) as response:
                    if response.status_code != httpx.codes.OK:
                        message = f"the vendor answered {await _describe(response)}"
                        return NotOffered(url, response.status_code, message, attempts)
                    return await _store_body(response, url, destination, attempts)
        raise AssertionError(f"no attempt was made on {url} after {attempts}")

    async def _get_json(self, url: str, what: str) -> Any:
        async for attempt in self._attempts(what):
            with attempt:
                async with self._get(url, what) as response:
                    body = await response.aread()
                    try:
                        return json.loads(body)
                    except ValueError as error:
                        excerpt = body[:_BODY_EXCERPT_CHARACTERS].decode("utf-8", "replace")
                        raise VendorError(f"{what}: {url} did not answer with JSON but with {excerpt!r}") from error
        raise AssertionError(f"no attempt was made on {url}")

    async def _attempts(self, what: str) -> AsyncIterator[Any]:
        try:
            async for attempt in stamina.retry_context(
                on=_wait_before_retry,
                attempts=_ATTEMPTS,
                timeout=None,
                wait_initial=_FIRST_WAIT_SECONDS,
                wait_max=_LONGEST_WAIT_SECONDS,
            ):
                yield attempt
        except _Transient as error:
            raise VendorUnavailable(f"{what}: {error} ({_ATTEMPTS} attempts)") from error

    @asynccontextmanager
    async def _get(self, url: str, what: str, *, absent_is_answer: bool = False) -> AsyncIterator[httpx.Response]:
        try:
            async with self._http.stream("GET", url) as response:
                absent = absent_is_answer and response.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND}
                if response.status_code != httpx.codes.OK and not absent:
                    await self._raise_for_status(response, url, what)
                yield response
        except httpx.TooManyRedirects as error:
            raise VendorError(f"{what}: {url} redirects more than {_MAX_REDIRECTS} times") from error
        except httpx.TransportError as error:
            raise _Transient(f"{url}: {type(error).__name__} {error}".rstrip(), status=None) from error

    async def _raise_for_status(self, response: httpx.Response, url: str, what: str) -> None:
        status = response.status_code
        answer = f"{url} answered {await _describe(response)}"
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            remedy = (
                "The key in TARDIS_API_KEY is not accepted for this: see whether it is right, still valid, and used "
                "from one address only"
                if self._has_key
                else "No key is set, and without one only the first day of each month is free: set TARDIS_API_KEY"
            )
            raise VendorAccessDenied(f"{what}: {answer}. {remedy}")
        wait_seconds = _retry_after_seconds(response)
        if status == httpx.codes.TOO_MANY_REQUESTS:
            if wait_seconds is not None and wait_seconds > _LONGEST_WAIT_SECONDS:
                not_before = datetime.now(UTC) + timedelta(seconds=wait_seconds)
                raise VendorQuotaExceeded(
                    f"{what}: {answer}. The account may go on after {not_before:%Y-%m-%d %H:%M} UTC",
                    not_before=not_before,
                )
            raise _Transient(answer, status=status, wait_seconds=wait_seconds)
        if response.is_server_error:
            raise _Transient(answer, status=status)
        raise VendorError(f"{what}: {answer}. This status is not in the vendor's documentation for this request")


async def _store_body(response: httpx.Response, url: str, destination: Path, attempts: int) -> Downloaded:
    crc32c, size_bytes = 0, 0
    with destination.open("wb") as sink:
        async for chunk in response.aiter_raw():
            sink.write(chunk)
            crc32c = google_crc32c.extend(crc32c, chunk)
            size_bytes += len(chunk)
    declared = response.headers.get("Content-Length")
    if declared is not None and int(declared) != size_bytes:
        raise _Transient(f"{url}: received {size_bytes} of {declared} bytes", status=response.status_code)
    return Downloaded(
        url=url,
        status=response.status_code,
        size_bytes=size_bytes,
        crc32c=encode_crc32c(crc32c),
        etag=response.headers.get("ETag"),
        last_modified=response.headers.get("Last-Modified"),
        attempts=attempts,
    )


async def _describe(response: httpx.Response) -> str:
    """Return the status with the vendor's `code` and `message`, or the start of a body that is not its JSON."""
    body = await response.aread()
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, Mapping):
        return f"{response.status_code} ({body[:_BODY_EXCERPT_CHARACTERS].decode('utf-8', 'replace')!r})"
    code = f"code {fields['code']}: " if fields.get("code") is not None else ""
    return f"{response.status_code} ({code}{str(fields.get('message')).rstrip('.')})"


def _retry_after_seconds(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
