"""What the two origins of a simulator share: the vendor, its faults, the requests so far, and the files it has made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from market_data.simulator.cache import BytesCache
from market_data.simulator.faults import FaultBook
from market_data.simulator.vendor import FileRequest, Vendor

_CACHE_BYTES = 256 * 1024 * 1024
_LOGGED_REQUESTS = 200_000


class SimulatorState:
    """Changed from the event loop, or as a whole by one assignment from another thread."""

    def __init__(self, vendor: Vendor, faults: FaultBook, *, redirect: bool) -> None:
        self.vendor = vendor
        self.faults = faults
        self.redirect = redirect
        self.requests: deque[dict[str, Any]] = deque(maxlen=_LOGGED_REQUESTS)
        self.storage_url = ""
        self._cache = BytesCache(_CACHE_BYTES)
        # Two threads: numpy and polars leave the interpreter's lock for most of a file's work.
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="simulator")

    def close(self) -> None:
        """Stop the worker threads."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def read_file(self, wanted: FileRequest) -> bytes | None:
        """Return the csv.gz of a file, None when it does not exist after all."""
        read = self.vendor.source.read_file
        return await self.remember(
            wanted, lambda: read(wanted.exchange_id, wanted.data_type, wanted.symbol, wanted.day)
        )

    async def remember(self, key: Hashable, make: Callable[[], bytes | None]) -> bytes | None:
        """Return the bytes of a key, made in a worker thread unless they are held from before."""
        body = self._cache.get(key)
        if body is None:
            body = await asyncio.get_running_loop().run_in_executor(self._workers, make)
            if body is not None:
                self._cache.put(key, body)
        return body
