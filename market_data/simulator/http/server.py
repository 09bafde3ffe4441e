"""Run the simulator: in a thread of a test or a demo, or as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from market_data.errors import ConfigurationError
from market_data.simulator.faults.faults import FaultRule, parse_faults
from market_data.simulator.http.app import build_api, build_storage
from market_data.simulator.http.state import SimulatorState
from market_data.simulator.vendor.catalogue import Source, exported_until_at
from market_data.simulator.vendor.files import FilesSource
from market_data.simulator.vendor.generated import GeneratedSource
from market_data.simulator.vendor.vendor import Vendor, parse_instant

DEFAULT_KEY = "simulator-key"
_HOST = "127.0.0.1"
_STOP_SECONDS = 0.2  # how long requests under way may go on when the server stops: stalled ones would never end


@dataclass(frozen=True)
class SimulatorOptions:
    """What the simulator serves and how.

    `clock` fixes the time (default: real UTC); `files` is a directory of real files to serve instead of generated ones;
    `scale` multiplies the rows of generated files; `redirect` sends downloads to a second origin, as the vendor does.

    The last four ask for size and slowness, 0 is the ordinary mode. `symbols`: as many as Deribit lists when the
    simulator starts (the real one has 330,000); `options_rows`: rows of an OPTIONS file of options_chain, which is
    streamed as it is made, without Content-Length; `latency_ms`: passes before each answer; `bytes_per_second`: pace
    of each answer with data, unless a fault rule applies to it.
    """

    seed: int = 1
    clock: datetime | str | None = None
    files: Path | None = None
    faults: Sequence[FaultRule | Mapping[str, Any]] = ()
    keys: tuple[str, ...] = (DEFAULT_KEY,)
    scale: float = 1.0
    redirect: bool = False
    symbols: int = 0
    options_rows: int = 0
    latency_ms: float = 0.0
    bytes_per_second: int = 0


class RunningSimulator:
    """A simulator that answers; its methods may be called from any thread."""

    def __init__(self, state: SimulatorState, origin: str) -> None:
        self._state = state
        self.origin = origin

    @property
    def api_url(self) -> str:
        """Base URL of the metadata endpoints."""
        return f"{self.origin}/v1"

    @property
    def datasets_url(self) -> str:
        """Base URL of the tick files."""
        return f"{self.origin}/v1"

    @property
    def storage_url(self) -> str:
        """The second origin, to which downloads are redirected; it has the same `/v1` paths."""
        return self._state.storage_url

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests so far, oldest first: method, path, query, origin, status, has_authorization, bytes."""
        return [dict(entry) for entry in self._state.requests.copy()]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._state.requests.clear()

    def set_faults(self, faults: Sequence[FaultRule | Mapping[str, Any]]) -> None:
        """Replace the fault rules and count attempts from 1 again."""
        self._state.set_faults(_to_rules(faults))

    def set_clock(self, now: datetime | str | None, late: Mapping[str, date] | None = None) -> None:
        """Fix the time (None: real UTC); `late` maps an exchange id to its first day that is not exported."""
        self._state.vendor.set_clock(_to_instant(now), late)


def _to_rules(faults: Sequence[FaultRule | Mapping[str, Any]]) -> tuple[FaultRule, ...]:
    return parse_faults([fault if isinstance(fault, FaultRule) else dict(fault) for fault in faults])


def _to_instant(clock: datetime | str | None) -> datetime | None:
    return parse_instant(clock.isoformat() if isinstance(clock, datetime) else clock) if clock else None


def _build(options: SimulatorOptions) -> SimulatorState:
    if not options.scale > 0:
        raise ConfigurationError(f"scale {options.scale} must be above 0")
    for name in ("symbols", "options_rows", "latency_ms", "bytes_per_second"):
        if getattr(options, name) < 0:
            raise ConfigurationError(f"{name} {getattr(options, name)} must not be negative")
    if options.files and (options.symbols or options.options_rows):
        raise ConfigurationError("symbols and options_rows are of generated data: they do not go together with files")
    clock = _to_instant(options.clock)
    pace = FaultRule(match="*", action="slow", bytes_per_second=options.bytes_per_second or 1)
    return SimulatorState(
        Vendor(_make_source(options, clock), options.keys, clock),
        _to_rules(options.faults),
        redirect=options.redirect,
        latency_seconds=options.latency_ms / 1000,
        pace=pace if options.bytes_per_second else None,
    )


def _make_source(options: SimulatorOptions, clock: datetime | None) -> Source:
    if options.files:
        return FilesSource(options.files)
    until = exported_until_at(clock or datetime.now(UTC))
    return GeneratedSource(
        options.seed, options.scale, symbols=options.symbols, until=until, options_rows=options.options_rows
    )


async def _run(
    state: SimulatorState, port: int, ready: Callable[[RunningSimulator], None], stop: asyncio.Event
) -> None:
    runners = []
    try:
        for app, wanted_port in ((build_storage(state), 0), (build_api(state), port)):
            # Cancellation: a stalled answer ends when its reader has gone.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_SECONDS)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, _HOST, wanted_port).start()
        storage, api = (f"http://{_HOST}:{runner.addresses[0][1]}" for runner in runners)
        state.storage_url = storage
        ready(RunningSimulator(state, api))
        await stop.wait()
    finally:
        for runner in runners:
            await runner.cleanup()
        state.close()


@contextmanager
def run_simulator(options: SimulatorOptions | None = None, port: int = 0) -> Iterator[RunningSimulator]:
    """Run a simulator on loopback in a background thread with its own event loop; port 0 takes a free one."""
    state = _build(options or SimulatorOptions())
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    is_ready = threading.Event()
    started: list[RunningSimulator] = []
    failures: list[BaseException] = []

    def announce(running: RunningSimulator) -> None:
        started.append(running)
        is_ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(_run(state, port, announce, stop))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)
        finally:
            is_ready.set()

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    is_ready.wait()
    try:
        if not started:
            raise failures[0]
        yield started[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def serve(options: SimulatorOptions, port: int, ready: Callable[[RunningSimulator], None] = lambda _: None) -> None:
    """Serve on loopback until SIGINT or SIGTERM; `ready` is called once, when requests are answered."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _run(_build(options), port, ready, stop)

    asyncio.run(run())
