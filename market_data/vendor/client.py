"""The vendor's HTTP API: exchange details, instruments, tick files.

Sources: docs.tardis.dev, "HTTP API" and "Downloadable CSV files". Statuses: 401 and 403 are faults of the key, 400 and
404 with the vendor's own body say that a file does not exist, 429 and 5xx pass. The key travels only in the
Authorization header, and httpx drops that header when a redirect leads to another origin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import google_crc32c
import httpx
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from market_data.errors import (
    VendorAccessDenied,
    VendorError,
    VendorKeyInUse,
    VendorQuotaExceeded,
    VendorUnavailable,
)
from market_data.lake.checksum import encode_crc32c
from market_data.lake.disk import scratch_errors
from market_data.model.limits import DEFAULT_FILES_AT_ONCE
from market_data.model.tick_file import TickFile
from market_data.model.venues import exchange_id_of
from market_data.vendor.downloads import Downloaded, HeldFile, NotOffered, Unchanged
from market_data.vendor.secret import KeyWatch, Secret
from market_data.vendor.transport import USER_AGENT, EnvironmentTransport
from market_data.vendor.wire import (
    ABSENT_STATUSES,
    BROKEN_ANSWERS,
    EXCERPT_CHARACTERS,
    PASSING_BAD_REQUEST,
    AnswerTooLarge,
    parse_json,
    plain_number,
    read_beginning,
    read_body,
    retry_after_seconds,
    says_absent,
    vendor_fields,
)

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 5
# doubled after each attempt: a request waits about 8 s in all; longer outages are the re-run sensor's
_FIRST_WAIT_SECONDS = 0.5
# A longer Retry-After is not worth a waiting run: the run stops and says when to go on.
_LONGEST_WAIT_SECONDS = 300
_MAX_REDIRECTS = 3
# The largest metadata known is that of some 200,000 options.
_METADATA_BYTES = 512 * 2**20
_REFUSAL_BYTES = 64 * 2**10
_METADATA_PATIENCES = 5
_DEFAULT_PATIENCE_SECONDS = 60.0
# A body that brings less than this while one waits for `patience_seconds` will not arrive today.
_LEAST_BYTES = 64 * 2**10
_IN_USE_CODE = 274
_IN_USE_WAIT_SECONDS = 900  # what the vendor says is 893 s; this when it says nothing


class _Transient(Exception):
    """A failed request that may succeed when it is sent again."""

    def __init__(self, message: str, *, status: int | None, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_seconds = wait_seconds


def _tell_of_retry(details: RetryDetails) -> None:
    _LOG.info("%s; asked again in %.1f s (attempt %d failed)", details.caused_by, details.wait_for, details.retry_num)


# else the library prints them on its own, where they help nobody
set_on_retry_hooks([_tell_of_retry])


def _wait_before_retry(error: Exception) -> bool | float:
    if isinstance(error, _Transient):
        return True if error.wait_seconds is None else error.wait_seconds
    return False


class TardisClient:
    """One account's view of the vendor; use it as an async context manager, from one event loop.

    `api_key` None asks for what is free. Requests that fail in a way that passes are sent again, with growing waits or
    as long as the vendor's Retry-After says. `patience_seconds` is the longest silence of a connection, and the time in
    which a body must bring at least 64 KiB.
    """

    def __init__(
        self,
        *,
        api_url: str,
        datasets_url: str,
        api_key: str | None,
        connections: int = DEFAULT_FILES_AT_ONCE,
        patience_seconds: float = _DEFAULT_PATIENCE_SECONDS,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._datasets_url = datasets_url.rstrip("/")
        # a line end from a secrets file is no part of the key
        api_key = (api_key or "").strip()
        self._has_key = bool(api_key)
        self._secret = Secret(api_key)
        self._patience_seconds = patience_seconds
        self._http = httpx.AsyncClient(
            transport=EnvironmentTransport(connections),
            headers={"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=httpx.Timeout(patience_seconds, connect=min(10, patience_seconds), pool=None),
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

    async def key_info(self) -> list[dict[str, Any]]:
        """Return what the key opens: one plan for each exchange, data plan and period (`/api-key-info`).

        Raises VendorAccessDenied, VendorError (permanent) without a key that the vendor accepts; VendorUnavailable.
        """
        url = f"{self._api_url}/api-key-info"
        answer = await self._get_json(url, "what the key opens")
        if not isinstance(answer, list):
            raise VendorError(f"what the key opens: {url} answered {type(answer).__name__}, not a list")
        return answer

    async def download(
        self,
        file: TickFile,
        destination: Path,
        *,
        admit: Callable[[int | None], Awaitable[None]] | None = None,
        held: HeldFile | None = None,
        most_bytes: int | None = None,
    ) -> Downloaded | Unchanged | NotOffered:
        """Stream a tick file's bytes, as they are, to a local path; its length is checked, its content is not.

        A body of more than `most_bytes` is refused, so that one without end has one. `admit` is told the declared
        length and awaited before a body is read. With `held`, the body is not read when the answer's headers prove that
        it is the file that is held.
        Raises VendorUnavailable, VendorQuotaExceeded, VendorKeyInUse (transient); VendorAccessDenied, VendorError.
        """
        url = self.tick_file_url(file)
        attempts = 0
        async for attempt in self._attempts(str(file)):
            with attempt:
                attempts = attempt.num
                async with self._get(url, str(file), absent_is_answer=True) as (response, refusal):
                    if response.status_code != httpx.codes.OK:
                        message = f"the vendor answered {self._describe(response.status_code, refusal)}"
                        return NotOffered(url, response.status_code, message, attempts)
                    if held is not None and held.is_of(response.headers):
                        return Unchanged(url, response.status_code, attempts)
                    if admit is not None:
                        await admit(_declared_bytes(response, url))
                    return await self._store_body(response, url, destination, attempts, most_bytes)
        raise AssertionError(f"no attempt was made on {url} after {attempts}")

    async def _get_json(self, url: str, what: str) -> Any:
        limit_seconds = _METADATA_PATIENCES * self._patience_seconds
        async for attempt in self._attempts(what):
            with attempt:
                try:
                    async with asyncio.timeout(limit_seconds), self._get(url, what) as (response, _):
                        body = await read_body(response, _METADATA_BYTES)
                except TimeoutError as error:
                    raise _Transient(
                        f"{url}: the answer was not whole after {limit_seconds:g} s", status=None
                    ) from error
                except AnswerTooLarge as error:
                    raise VendorError(
                        f"{what}: {url} answered {error}, as no metadata is: nothing of it is used"
                    ) from error
                return self._parse(body, url, what)
        raise AssertionError(f"no attempt was made on {url}")

    def _parse(self, body: bytes, url: str, what: str) -> Any:
        if self._secret.is_in(body):
            raise VendorError(f"{what}: {url} answered with the key in its text: nothing of it is used or kept")
        try:
            return parse_json(body)
        except ValueError as error:
            excerpt = body.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
            raise VendorError(f"{what}: {url} did not answer with JSON but with {excerpt!r}") from error

    async def _attempts(self, what: str) -> AsyncIterator[Any]:
        made = 0
        try:
            async for attempt in stamina.retry_context(
                on=_wait_before_retry,
                attempts=_ATTEMPTS,
                timeout=None,
                wait_initial=_FIRST_WAIT_SECONDS,
                wait_max=_LONGEST_WAIT_SECONDS,
            ):
                made = attempt.num
                yield attempt
        except _Transient as error:
            _LOG.warning("%s: given up after %d attempts: %s", what, made, error)
            raise VendorUnavailable(f"{what}: {error} ({made} attempts)") from error

    @asynccontextmanager
    async def _get(
        self, url: str, what: str, *, absent_is_answer: bool = False
    ) -> AsyncIterator[tuple[httpx.Response, bytes]]:
        """Give an answer whose body is to be read, or, of a file that is absent, the beginning of the refusal.

        Whatever breaks HTTP (status line, headers, lengths, encoding, redirects, connection, time) passes: it is asked
        for again. What is whole and says something else than it should is permanent.
        """
        try:
            async with AsyncExitStack() as stack:
                response, refusal = await self._open(url, stack)
                if response.status_code != httpx.codes.OK and not (
                    absent_is_answer and says_absent(response.status_code, refusal)
                ):
                    self._raise_for_status(response, refusal, url, what)
                yield response, refusal
        except httpx.TooManyRedirects as error:
            raise VendorError(f"{what}: {url} redirects more than {_MAX_REDIRECTS} times") from error
        except BROKEN_ANSWERS as error:
            text = self._secret.hide(f"{type(error).__name__} {error}".rstrip())[: 2 * EXCERPT_CHARACTERS]
            raise _Transient(f"{url}: {text}", status=None) from self._secret.hide_cause(error)

    async def _open(self, url: str, stack: AsyncExitStack) -> tuple[httpx.Response, bytes]:
        try:
            async with asyncio.timeout(self._patience_seconds):  # silence has a limit of its own; headers may drip
                response = await stack.enter_async_context(self._http.stream("GET", url))
                is_ok = response.status_code == httpx.codes.OK
                return response, b"" if is_ok else await read_beginning(response, _REFUSAL_BYTES)
        except TimeoutError as error:
            raise _Transient(f"{url}: no answer within {self._patience_seconds:g} s", status=None) from error
        except UnicodeError as error:  # the library below reads headers as text
            raise _Transient(f"{url}: its headers are no text ({type(error).__name__})", status=None) from None

    def _raise_for_status(self, response: httpx.Response, refusal: bytes, url: str, what: str) -> None:
        status = response.status_code
        answer = f"{url} answered {self._describe(status, refusal)}"
        wait_seconds = retry_after_seconds(response.headers, refusal, datetime.now(UTC))
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            self._raise_for_key(refusal, f"{what}: {answer}", wait_seconds)
        if status == httpx.codes.TOO_MANY_REQUESTS:
            if wait_seconds is not None and wait_seconds > _LONGEST_WAIT_SECONDS:
                not_before = datetime.now(UTC) + timedelta(seconds=wait_seconds)
                raise VendorQuotaExceeded(
                    f"{what}: {answer}. The account may go on after {not_before:%Y-%m-%d %H:%M} UTC",
                    not_before=not_before,
                )
            raise _Transient(answer, status=status, wait_seconds=wait_seconds)
        if response.is_server_error or PASSING_BAD_REQUEST in refusal:
            raise _Transient(answer, status=status)
        if status in ABSENT_STATUSES:
            raise VendorError(
                f"{what}: {answer}. That is no answer of the vendor's: see whether TARDIS_API_URL and "
                "TARDIS_DATASETS_URL are right, and what stands between here and there"
            )
        raise VendorError(f"{what}: {answer}. This status is not in the vendor's documentation for this request")

    def _raise_for_key(self, refusal: bytes, answer: str, wait_seconds: float | None) -> None:
        if vendor_fields(refusal).get("code") == _IN_USE_CODE:
            not_before = datetime.now(UTC) + timedelta(seconds=wait_seconds or _IN_USE_WAIT_SECONDS)
            raise VendorKeyInUse(
                f"{answer}. One key works from one address at a time: stop the other use, or go on after "
                f"{not_before:%Y-%m-%d %H:%M} UTC",
                not_before=not_before,
            )
        remedy = (
            "The key in TARDIS_API_KEY is not accepted for this: see whether it is right, still valid, and used "
            "from one address only"
            if self._has_key
            else "No key is set, and without one only the first day of each month is free: set TARDIS_API_KEY"
        )
        raise VendorAccessDenied(f"{answer}. {remedy}")

    def _describe(self, status: int, refusal: bytes) -> str:
        """Return the status with the vendor's `code` and `message`, or the start of a body that is not its JSON."""
        fields = vendor_fields(refusal)
        if not fields:
            text = self._secret.hide(refusal.decode("utf-8", "replace"))
            return f"{status} ({text[:EXCERPT_CHARACTERS]!r})"
        code = f"code {fields['code']}: " if fields.get("code") is not None else ""
        text = self._secret.hide(f"{code}{str(fields.get('message')).rstrip('.')}")
        return f"{status} ({text[: 2 * EXCERPT_CHARACTERS]})"

    def _said(self, response: httpx.Response, name: str) -> str | None:
        """Return what a header says of a body, fit to be kept."""
        text = response.headers.get(name)
        return None if text is None else self._secret.hide(text)[:EXCERPT_CHARACTERS]

    def watch_for_key(self, what: str) -> KeyWatch:
        """Return what looks at a body piece by piece, and raises VendorError (permanent) where it repeats the key."""
        return self._secret.watch(what)

    async def _store_body(
        self, response: httpx.Response, url: str, destination: Path, attempts: int, most_bytes: int | None
    ) -> Downloaded:
        declared, look = _declared_bytes(response, url), self.watch_for_key(url)
        crc32c, size_bytes = 0, 0
        window_ends, window_bytes = time.monotonic() + self._patience_seconds, 0
        with scratch_errors(url, destination):
            opened = destination.open("wb")
        with opened as sink:
            async for chunk in response.aiter_raw():
                look(chunk)
                with scratch_errors(url, destination):
                    sink.write(chunk)
                crc32c = google_crc32c.extend(crc32c, chunk)
                size_bytes += len(chunk)
                if most_bytes is not None and size_bytes > most_bytes:
                    raise VendorError(
                        f"{url}: the body has more than {most_bytes:,} bytes, as much as its text may have: where that "
                        "is right, raise limits.max_csv_gb in the venues file"
                    )
                if time.monotonic() > window_ends:
                    if size_bytes - window_bytes < _LEAST_BYTES:
                        slow = f"{size_bytes - window_bytes} bytes in {self._patience_seconds:g} s"
                        raise _Transient(f"{url}: the body drips, {slow}", status=response.status_code)
                    window_ends, window_bytes = time.monotonic() + self._patience_seconds, size_bytes
            with scratch_errors(url, destination):
                sink.flush()
        if declared is not None and declared != size_bytes:
            raise _Transient(f"{url}: received {size_bytes} of {declared} bytes", status=response.status_code)
        return Downloaded(
            url=url,
            status=response.status_code,
            size_bytes=size_bytes,
            crc32c=encode_crc32c(crc32c),
            etag=self._said(response, "ETag"),
            last_modified=self._said(response, "Last-Modified"),
            x_md5=self._said(response, "x-md5"),
            attempts=attempts,
        )


def _declared_bytes(response: httpx.Response, url: str) -> int | None:
    text = response.headers.get("Content-Length")
    number = None if text is None else plain_number(text)
    if text is not None and number is None:
        raise _Transient(f"{url}: the length of the body is said to be {text[:40]!r}", status=response.status_code)
    return number
