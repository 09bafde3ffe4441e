"""The routes under `/_simulator/`: clock, faults and the log of requests, for tests that use a simulator process."""

from __future__ import annotations

from datetime import date

from aiohttp import web

from market_data.errors import ConfigurationError
from market_data.simulator.faults.faults import parse_faults
from market_data.simulator.http.delivery import json_answer
from market_data.simulator.http.state import SimulatorState
from market_data.simulator.vendor.vendor import parse_instant


def add_control_routes(app: web.Application, state: SimulatorState) -> None:
    """Add the control routes to an application."""

    async def set_clock(request: web.Request) -> web.StreamResponse:
        try:
            document = await request.json()
            now = parse_instant(document["now"]) if document.get("now") else None
            late = {name: date.fromisoformat(day) for name, day in document.get("late", {}).items()}
        except (ValueError, AttributeError, TypeError, ConfigurationError) as error:
            return json_answer({"message": f"clock: {error}"}, 422)
        state.vendor.set_clock(now, late)
        until = {name: f"{state.vendor.exported_until(name)}" for name in state.vendor.source.exchange_ids()}
        return json_answer({"now": state.vendor.now().isoformat(), "exportedUntil": until})

    async def set_faults(request: web.Request) -> web.StreamResponse:
        try:
            rules = parse_faults(await request.json())
        except (ValueError, ConfigurationError) as error:
            return json_answer({"message": str(error)}, 422)
        state.set_faults(rules)
        return json_answer({"rules": len(rules)})

    async def get_requests(_request: web.Request) -> web.StreamResponse:
        return json_answer(list(state.requests))

    async def clear_requests(_request: web.Request) -> web.StreamResponse:
        state.requests.clear()
        return json_answer({})

    app.router.add_post("/_simulator/clock", set_clock)
    app.router.add_post("/_simulator/faults", set_faults)
    app.router.add_get("/_simulator/requests", get_requests)
    app.router.add_delete("/_simulator/requests", clear_requests)
