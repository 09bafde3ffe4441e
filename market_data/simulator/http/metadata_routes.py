"""The handlers of the metadata endpoints."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from market_data.simulator.faults.faults import Attempt
from market_data.simulator.http.delivery import error_answer, pack_json, send_json
from market_data.simulator.http.state import SimulatorState
from market_data.simulator.vendor.catalogue import ExchangeCatalogue
from market_data.simulator.vendor.instrument_metadata import instrument_json, instruments_json
from market_data.simulator.vendor.metadata import Json, exchange_json, exchanges_json, key_info_json
from market_data.simulator.vendor.vendor import NO_KEY, WRONG_KEY, KeyState, Refusal

# Its instruments are shown without a key (docs.tardis.dev, "Instruments metadata API").
_OPEN_EXCHANGE = "bitmex"


class MetadataRoutes:
    """Answers about exchanges, instruments and keys."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._vendor = state.vendor

    async def get_exchanges(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/exchanges`."""
        return await send_json(request, pack_json(exchanges_json(self._vendor)), attempt.rule)

    async def get_exchange(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/exchanges/:exchange`."""
        exchange = self._vendor.find_exchange(request.match_info["exchange"])
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        return await self._send_list(request, attempt, exchange, None)

    async def get_instruments(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/instruments/:exchange`, with its `filter`."""
        is_open = request.match_info["exchange"] == _OPEN_EXCHANGE
        refusal = None if is_open else self._refuse_key(request)
        exchange = refusal or self._vendor.find_exchange(request.match_info["exchange"])
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        try:
            wanted = json.loads(request.query.get("filter", "{}"))
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            return error_answer(Refusal(400, 300, "Invalid 'filter' param: a URL-encoded JSON object is expected."))
        return await self._send_list(request, attempt, exchange, wanted)

    async def get_instrument(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/instruments/:exchange/:symbol`; the symbol is matched in any case."""
        is_open = request.match_info["exchange"] == _OPEN_EXCHANGE
        refusal = None if is_open else self._refuse_key(request)
        exchange = refusal or self._vendor.find_exchange(request.match_info["exchange"])
        if isinstance(exchange, Refusal):
            return error_answer(exchange)
        symbol = request.match_info["symbol"]
        found = await asyncio.to_thread(instrument_json, self._vendor, exchange, symbol)
        if found is None:
            return error_answer(Refusal(400, 300, f"Invalid 'symbol' param: '{symbol}'."))
        return await send_json(request, pack_json([found]), attempt.rule)

    async def get_key_info(self, request: web.Request, attempt: Attempt) -> web.StreamResponse:
        """Answer `/api-key-info`."""
        if refusal := self._refuse_key(request):
            return error_answer(refusal)
        return await send_json(request, pack_json(key_info_json(self._vendor)), attempt.rule)

    async def _send_list(
        self, request: web.Request, attempt: Attempt, exchange: ExchangeCatalogue, wanted: Json | None
    ) -> web.StreamResponse:
        """Send an exchange's details, or with a filter its instruments; made once for each state of the clock."""
        vendor = self._vendor
        until = vendor.exported_until(exchange.exchange_id)
        key = (exchange.exchange_id, json.dumps(wanted, sort_keys=True), until, vendor.now().date())

        def make() -> bytes:
            is_details = wanted is None
            return pack_json(
                exchange_json(vendor, exchange) if is_details else instruments_json(vendor, exchange, wanted or {})
            )

        body = await self._state.remember(key, make)
        return await send_json(request, body or b"", attempt.rule)

    def _refuse_key(self, request: web.Request) -> Refusal | None:
        match self._vendor.judge_key(request.headers.get("Authorization")):
            case KeyState.MISSING:
                return Refusal(401, None, f"API key is missing. {NO_KEY.message}")
            case KeyState.WRONG:
                return WRONG_KEY
            case KeyState.GOOD:
                return None
