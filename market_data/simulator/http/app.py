"""Routes of the two origins: the vendor's API with its files, and the object storage that files may redirect to."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from market_data.simulator.faults.faults import Attempt
from market_data.simulator.http.control import add_control_routes
from market_data.simulator.http.delivery import (
    LOG_ENTRY,
    answer_instead,
    error_answer,
    html_answer,
    send_file,
    send_stream,
)
from market_data.simulator.http.metadata_routes import MetadataRoutes
from market_data.simulator.http.state import SimulatorState
from market_data.simulator.vendor.vendor import FileRequest, KeyState, Refusal, no_file

FILE_PATH = r"/v1/{exchange}/{data_type}/{year:\d{4}}/{month:\d\d}/{day:\d\d}/{symbol}.csv.gz"
_BLOCKED_AGENT = "Python-urllib"

GuardedHandler = Callable[[web.Request, Attempt], Awaitable[web.StreamResponse]]


def build_api(state: SimulatorState) -> web.Application:
    """Return the vendor's own origin."""
    app = web.Application(middlewares=[_log_requests(state, "api"), *_wait_first(state), _block_robots])
    metadata = MetadataRoutes(state)
    routes: dict[str, GuardedHandler] = {
        "/v1/exchanges": metadata.get_exchanges,
        "/v1/exchanges/{exchange}": metadata.get_exchange,
        "/v1/instruments/{exchange}": metadata.get_instruments,
        "/v1/instruments/{exchange}/{symbol}": metadata.get_instrument,
        "/v1/api-key-info": metadata.get_key_info,
        FILE_PATH: _FileRoutes(state).get_file,
    }
    for path, handler in routes.items():
        app.router.add_get(path, _guard(state, handler), allow_head=False)  # HEAD is 404, as the vendor's
    add_control_routes(app, state)
    app.router.add_route("*", "/{rest:.*}", _not_found)
    return app


def build_storage(state: SimulatorState) -> web.Application:
    """Return the storage origin: it has files only, and refuses anyone who shows it a key."""
    app = web.Application(middlewares=[_log_requests(state, "storage"), *_wait_first(state)])
    app.router.add_get(FILE_PATH, _FileRoutes(state).get_stored_file, allow_head=False)
    app.router.add_route("*", "/{rest:.*}", _not_found)
    return app


def _log_requests(state: SimulatorState, origin: str) -> Middleware:
    @web.middleware
    async def log(request: web.Request, handler: Handler) -> web.StreamResponse:
        entry: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "origin": origin,
            "status": 200,
            "has_authorization": "Authorization" in request.headers,  # never the key itself
            "bytes": 0,
        }
        request[LOG_ENTRY] = entry
        if not request.path.startswith("/_simulator/"):
            # Before the answer: whoever has read the answer also finds it in the log.
            state.requests.append(entry)
        response = await handler(request)
        entry["status"] = response.status
        return response

    return log


def _wait_first(state: SimulatorState) -> list[Middleware]:
    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            await sleep(state.latency_seconds)
        return await handler(request)

    return [wait] if state.latency_seconds else []


@web.middleware
async def _block_robots(request: web.Request, handler: Handler) -> web.StreamResponse:
    is_robot = request.headers.get("User-Agent", "").startswith(_BLOCKED_AGENT) or "Range" in request.headers
    if is_robot and request.path.startswith("/v1/"):
        return html_answer(403)  # the challenge page of the network in front of the vendor
    return await handler(request)


def _guard(state: SimulatorState, handler: GuardedHandler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        attempt = state.faults.count(request.path)
        instead = answer_instead(attempt.rule, request, state.storage_url)
        return instead or await handler(request, attempt)

    return guarded


async def _not_found(request: web.Request) -> web.StreamResponse:
    return error_answer(Refusal(404, None, f"Not found: {request.method} {request.path}"))


class _FileRoutes:
    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    async def get_file(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        vendor = self._state.vendor
        wanted = vendor.find_file(request.match_info, vendor.judge_key(request.headers.get("Authorization")))
        if isinstance(wanted, Refusal):
            return error_answer(wanted)
        if self._state.redirect:
            # The number of the attempt travels along: the storage must not count it again.
            query = f"X-Amz-Signature=simulated&attempt={attempt.number}"
            location = f"{self._state.storage_url}{request.rel_url.raw_path}?{query}"
            return web.Response(status=302, headers={"Location": location})
        return await self._send(request, wanted, attempt)

    async def get_stored_file(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return error_answer(Refusal(400, None, "InvalidArgument: the key of the API was sent to the storage."))
        wanted = self._state.vendor.find_file(request.match_info, KeyState.GOOD)
        if isinstance(wanted, Refusal):
            return error_answer(wanted)
        number = request.query.get("attempt", "1")
        attempt = self._state.faults.find(request.path, int(number) if number.isdecimal() else 1)
        return await self._send(request, wanted, attempt)

    async def _send(self, request: web.Request, wanted: FileRequest, attempt: Attempt) -> web.StreamResponse:
        pieces = self._state.stream_file(wanted)
        if pieces is not None:
            return await send_stream(request, pieces, wanted.day, attempt.rule)
        body = await self._state.read_file(wanted)
        return await send_file(request, body, wanted.day, attempt.rule) if body else error_answer(no_file(wanted))
