"""What the two origins of a simulator share: the vendor, its faults, the requests so far, and the files it has made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from market_data.simulator.faults.faults import FaultBook, FaultRule
from market_data.simulator.http.cache import BytesCache
from market_data.simulator.vendor.vendor import FileRequest, Vendor

_CACHE_BYTES = 256 * 1024 * 1024
_LOGGED_REQUESTS = 200_000


class SimulatorState:
    """Changed from the event loop, or as a whole by one assignment from another thread.

    `latency_seconds` pass before each answer; `pace` is the rule for what no fault rule spoils: a slow line.
    """

    def __init__(
        self,
        vendor: Vendor,
        faults: Sequence[FaultRule] = (),
        *,
        redirect: bool = False,
        latency_seconds: float = 0.0,
        pace: FaultRule | None = None,
    ) -> None:
        self.vendor = vendor
        self.redirect = redirect
        self.latency_seconds = latency_seconds
        self._pace = pace
        self.set_faults(faults)
        self.requests: deque[dict[str, Any]] = deque(maxlen=_LOGGED_REQUESTS)
        self.storage_url = ""
        self._cache = BytesCache(_CACHE_BYTES)
        # Two threads: numpy and polars leave the interpreter's lock for most of a file's work.
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="simulator")

    def set_faults(self, rules: Sequence[FaultRule]) -> None:
        """Replace the fault rules and count attempts from 1 again."""
        self.faults = FaultBook(rules, self._pace)

    def close(self) -> None:
        """Stop the worker threads."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def read_file(self, wanted: FileRequest) -> bytes | None:
        """Return the csv.gz of a file, None when it does not exist after all."""
        read = self.vendor.source.read_file
        return await self.remember(
            wanted, lambda: read(wanted.exchange_id, wanted.data_type, wanted.symbol, wanted.day)
        )

    def stream_file(self, wanted: FileRequest) -> AsyncIterator[bytes] | None:
        """Return the pieces of a file too large for memory, made in a worker thread; None for an ordinary file."""
        pieces = self.vendor.source.stream_file(wanted.exchange_id, wanted.data_type, wanted.symbol, wanted.day)
        return self._in_worker(pieces) if pieces is not None else None

    async def _in_worker(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        while piece := await asyncio.get_running_loop().run_in_executor(self._workers, _next_piece, pieces):
            yield piece

    async def remember(self, key: Hashable, make: Callable[[], bytes | None]) -> bytes | None:
        """Return the bytes of a key, made in a worker thread unless they are held from before."""
        body = self._cache.get(key)
        if body is None:
            body = await asyncio.get_running_loop().run_in_executor(self._workers, make)
            if body is not None:
                self._cache.put(key, body)
        return body


def _next_piece(pieces: Iterator[bytes]) -> bytes:
    # A compressor keeps small pieces to itself: an empty one is not the end.
    return next((piece for piece in pieces if piece), b"")
