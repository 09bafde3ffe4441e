"""Answers on the wire: the vendor's headers and error bodies, and the faults that spoil an answer on its way."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from email.utils import format_datetime
from itertools import islice
from typing import Any

from aiohttp import web
from isal import igzip

from market_data.simulator.faults.damage import BODY_ACTIONS
from market_data.simulator.faults.faults import FaultRule
from market_data.simulator.market.frames import open_gzip
from market_data.simulator.vendor.catalogue import DAY, EXPORT_TIME
from market_data.simulator.vendor.vendor import Refusal

LOG_ENTRY: web.RequestKey[dict[str, Any]] = web.RequestKey("log_entry", dict)
_HTML = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Attention required</body></html>"
_SLICE_SECONDS = 0.05
_PIECES_AT_ONCE = 1000
_IP_CODE, _IP_SECONDS = 274, 893


def html_answer(status: int) -> web.Response:
    """Return a page as a content delivery network sends it where JSON or data is expected."""
    return web.Response(status=status, text=_HTML, content_type="text/html")


def json_answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON document."""
    return web.json_response(document, status=status, headers=headers)


def error_answer(refusal: Refusal, retry_after_seconds: int | None = None) -> web.Response:
    """Return the vendor's error body; `code` is absent where the vendor sends none."""
    body: dict[str, Any] = {} if refusal.code is None else {"code": refusal.code}
    body["message"] = refusal.message
    headers = {}
    if retry_after_seconds is not None:
        body["retryAfterSeconds"] = retry_after_seconds
        headers["Retry-After"] = str(retry_after_seconds)
    return json_answer(body, refusal.status, headers)


def _status(rule: FaultRule, _request: web.Request, _storage_url: str) -> web.Response:
    if rule.html:
        page = html_answer(rule.code)
        if rule.retry_after is not None:
            page.headers["Retry-After"] = str(rule.retry_after)
        return page
    if rule.no_body:
        return web.Response(status=rule.code)
    return error_answer(Refusal(rule.code, rule.error_code, rule.message), rule.retry_after)


def _see(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location})


def _elsewhere(rule: FaultRule, request: web.Request, storage_url: str) -> web.Response:
    return _see(rule.location or f"{storage_url}{request.rel_url.raw_path}")


def _ip_bound(rule: FaultRule, _request: web.Request, _storage_url: str) -> web.Response:
    seconds = _IP_SECONDS if rule.retry_after is None else rule.retry_after
    return error_answer(Refusal(403, _IP_CODE, "The API key is in use from another IP address."), seconds)


_ANSWERS: dict[str, Callable[[FaultRule, web.Request, str], web.Response]] = {
    "status": _status,
    "html_200": lambda _rule, _request, _storage: html_answer(200),
    "json_200": lambda rule, _request, _storage: json_answer({"message": rule.message}),
    "redirect_loop": lambda _rule, request, _storage: _see(str(request.rel_url)),
    "redirect": _elsewhere,
    "ip_bound": _ip_bound,
}


def answer_instead(rule: FaultRule | None, request: web.Request, storage_url: str) -> web.Response | None:
    """Return the answer that a rule gives instead of the right one, None when it spoils the right one or is none."""
    make = _ANSWERS.get(rule.action) if rule else None
    return make(rule, request, storage_url) if make and rule else None


def file_headers(body: bytes, day: date) -> dict[str, str]:
    """Return the headers of a tick file: the checksum stands in double quotes."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return _stream_headers(day) | {"x-md5": f'"{digest}"', "ETag": f'"{digest}"'}


def _stream_headers(day: date) -> dict[str, str]:
    exported = datetime.combine(day + DAY, EXPORT_TIME, UTC)
    return {"Content-Type": "text/csv", "Last-Modified": format_datetime(exported, usegmt=True)}


async def send_file(request: web.Request, body: bytes, day: date, rule: FaultRule | None) -> web.StreamResponse:
    """Send a tick file, spoilt by a rule's body or transport action."""
    action = BODY_ACTIONS.get(rule.action) if rule else None
    spoilt = await asyncio.to_thread(action.spoil, body) if action else body
    headers = file_headers(body if action and action.keeps_checksum else spoilt, day)
    return await _send(request, spoilt, headers, rule)


async def send_stream(
    request: web.Request, pieces: AsyncIterator[bytes], day: date, rule: FaultRule | None
) -> web.StreamResponse:
    """Send a tick file as it is made, without length and checksum; of the rules only `slow` has an effect here."""
    response = web.StreamResponse(headers=_stream_headers(day))
    await response.prepare(request)
    async for piece in pieces:
        if rule is not None and rule.action == "slow":
            await _slow(request, response, piece, rule)
        else:
            await _write(request, response, piece)
    return response


async def send_json(request: web.Request, packed: bytes, rule: FaultRule | None) -> web.StreamResponse:
    """Send a JSON document that is held as a gzip; actions on the contents of tick files leave it alone."""
    action = BODY_ACTIONS.get(rule.action) if rule else None
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if action is None and "gzip" in request.headers.get("Accept-Encoding", ""):
        return await _send(request, packed, headers | {"Content-Encoding": "gzip"}, rule)
    plain = await asyncio.to_thread(igzip.decompress, packed)
    return await _send(request, action.spoil(plain) if action and not action.is_content else plain, headers, rule)


async def _send(
    request: web.Request, body: bytes, headers: dict[str, str], rule: FaultRule | None
) -> web.StreamResponse:
    transport = _TRANSPORTS.get(rule.action) if rule else None
    if transport is None or rule is None:
        request[LOG_ENTRY]["bytes"] = len(body)
        return web.Response(body=body, headers=headers)
    promised = len(body) + (rule.delta_bytes if rule.action == "wrong_length" else 0)
    response = web.StreamResponse(headers=headers | {"Content-Length": str(max(0, promised))})
    await response.prepare(request)
    await transport(request, response, body, rule)
    return response


async def _write(request: web.Request, response: web.StreamResponse, part: bytes) -> None:
    # Counted before it is sent: whoever has read an answer also finds its size in the log.
    request[LOG_ENTRY]["bytes"] += len(part)
    if part:
        await response.write(part)


async def _reset(request: web.Request, response: web.StreamResponse, body: bytes, rule: FaultRule) -> None:
    await _write(request, response, body[: rule.after_bytes])
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        if raw is not None:  # linger 0: the peer sees "connection reset", not a regular end
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.close()


async def _stall(request: web.Request, response: web.StreamResponse, body: bytes, rule: FaultRule) -> None:
    await _write(request, response, body[: rule.after_bytes])
    await sleep(rule.seconds)
    await _write(request, response, body[rule.after_bytes :])


async def _slow(request: web.Request, response: web.StreamResponse, body: bytes, rule: FaultRule) -> None:
    size = max(1, round(rule.bytes_per_second * _SLICE_SECONDS))
    for start in range(0, len(body), size):
        await sleep(size / rule.bytes_per_second)
        await _write(request, response, body[start : start + size])


async def _wrong_length(request: web.Request, response: web.StreamResponse, body: bytes, rule: FaultRule) -> None:
    await _write(request, response, body[: len(body) + min(0, rule.delta_bytes)])
    if request.transport is not None:
        request.transport.close()  # a regular end, before or after what was promised


_TRANSPORTS: dict[str, Callable[[web.Request, web.StreamResponse, bytes, FaultRule], Awaitable[None]]] = {
    "reset": _reset,
    "stall": _stall,
    "slow": _slow,
    "wrong_length": _wrong_length,
}


def pack_json(pieces: Iterable[str]) -> bytes:
    """Return a JSON text, given in pieces, as a gzip."""
    compressor = open_gzip()
    packed = [compressor.compress("".join(batch).encode()) for batch in _batches(pieces)]
    return b"".join([*packed, compressor.flush()])


def _batches(pieces: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(pieces)
    while batch := list(islice(remaining, _PIECES_AT_ONCE)):
        yield batch
