"""Asks the vendor without a key, and gives whatever comes back: for whoever judges the vendor itself."""

from __future__ import annotations

import asyncio
import time
from typing import Self

import httpx

from market_data.vendor.answer import Answer
from market_data.vendor.transport import USER_AGENT, EnvironmentTransport
from market_data.vendor.wire import BROKEN_ANSWERS, AnswerTooLarge, parse_json, read_beginning, read_body

_LONGEST_SECONDS = 300
_METADATA_BYTES = 512 * 2**20
_BEGINNING_BYTES = 2**12
_CONNECTIONS = 8


class Probe:
    """Gives every answer, also a broken one, as an Answer; an async context manager."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url.rstrip("/")
        self._http = httpx.AsyncClient(
            transport=EnvironmentTransport(_CONNECTIONS),
            headers={"User-Agent": USER_AGENT},
            timeout=httpx.Timeout(60, pool=None),
            follow_redirects=True,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    async def metadata(self, path: str) -> Answer:
        """Return a whole answer of the API."""
        return await self._ask(f"{self._api_url}/{path}", has_body=True)

    async def headers(self, url: str) -> Answer:
        """Return the headers of a file's answer, and the beginning of a refusal."""
        return await self._ask(url, has_body=False)

    async def _ask(self, url: str, *, has_body: bool) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_LONGEST_SECONDS), self._http.stream("GET", url) as response:
                body = b""
                if not response.is_success:
                    body = await read_beginning(response, _BEGINNING_BYTES)
                elif has_body:
                    body = await read_body(response, _METADATA_BYTES)
                return Answer(
                    url,
                    response.status_code,
                    dict(response.headers),
                    body,
                    _value(body),
                    tuple(step.next_request.url.host for step in response.history if step.next_request),
                    time.monotonic() - started,
                )
        except (*BROKEN_ANSWERS, TimeoutError, AnswerTooLarge, httpx.TooManyRedirects) as error:
            what = f"{type(error).__name__} {error}".strip()
            return Answer(url, seconds=time.monotonic() - started, error=what)


def _value(body: bytes) -> object:
    try:
        return parse_json(body)
    except ValueError:
        return None
