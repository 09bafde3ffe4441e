"""The handlers of the metadata endpoints."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from market_data.simulator.catalogue import ExchangeCatalogue
from market_data.simulator.delivery import encode_json, error_answer, send_json
from market_data.simulator.faults import Attempt
from market_data.simulator.metadata import exchange_json, exchanges_json, instruments_json, key_info_json
from market_data.simulator.state import SimulatorState
from market_data.simulator.vendor import NO_KEY, WRONG_KEY, KeyState, Refusal


class MetadataRoutes:
    """Answers about exchanges, instruments and keys."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._vendor = state.vendor

    async def get_exchanges(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/exchanges`."""
        return await send_json(request, encode_json(exchanges_json(self._vendor)), attempt.rule)

    async def get_exchange(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/exchanges/:exchange`."""
        exchange = self._find_exchange(request)
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        # availableSymbols depends on the clock's day, the rest on the first day that is not exported.
        until = self._vendor.exported_until(exchange.exchange_id)
        key = ("exchange", exchange.exchange_id, until, self._vendor.now().date())
        body = await self._state.remember(key, lambda: encode_json(exchange_json(self._vendor, exchange)))
        return await send_json(request, body or b"", attempt.rule)

    async def get_instruments(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/instruments/:exchange`, with its `filter`."""
        exchange = self._refuse_key(request) or self._find_exchange(request)
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        try:
            wanted = json.loads(request.query.get("filter", "{}"))
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            return error_answer(Refusal(400, 300, "Invalid 'filter' param: a URL-encoded JSON object is expected."))
        instruments = await asyncio.to_thread(instruments_json, self._vendor, exchange, wanted)
        return await send_json(request, encode_json(instruments), attempt.rule)

    async def get_instrument(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/instruments/:exchange/:symbol`; the symbol is matched in any case."""
        exchange = self._refuse_key(request) or self._find_exchange(request)
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        symbol = request.match_info["symbol"]
        instruments = await asyncio.to_thread(instruments_json, self._vendor, exchange, {})
        found = [instrument for instrument in instruments if instrument["id"].upper() == symbol.upper()]
        if not found:
            return error_answer(Refusal(400, 300, f"Invalid 'symbol' param: '{symbol}'."))
        return await send_json(request, encode_json(found[0]), attempt.rule)

    async def get_key_info(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/api-key-info`."""
        if refusal := self._refuse_key(request):
            return error_answer(refusal)
        return await send_json(request, encode_json(key_info_json(self._vendor)), attempt.rule)

    def _find_exchange(self, request: web.Request) -> ExchangeCatalogue | Refusal:
        exchange_id = request.match_info["exchange"]
        return self._vendor.source.exchange(exchange_id) or Refusal(400, 300, f"Invalid exchange: '{exchange_id}'.")

    def _refuse_key(self, request: web.Request) -> Refusal | None:
        match self._vendor.judge_key(request.headers.get("Authorization")):
            case KeyState.MISSING:
                return Refusal(401, None, f"API key is missing. {NO_KEY.message}")
            case KeyState.WRONG:
                return WRONG_KEY
            case KeyState.GOOD:
                return None
