"""What a run tells while it is at work: files done of those that are to be done, failures, bytes and their speed.

Records go to the logger of this module, below `market_data`; `defs/logs.py` shows them in Dagster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from market_data.model.limits import MEGABYTE
from market_data.model.tick_file import Outcome
from market_data.receipts.evidence import FileEvidence

_LOG = logging.getLogger(__name__)
_TOLD_EVERY_SECONDS = 10.0


# How the error of a file begins that was left since the run had stopped; what stopped it follows.
UNTRIED = "not tried, for the run stopped"


class Progress:
    """Counts the files of a venue-day that are to be done; for one event loop."""

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._now = now
        self._started = now()
        self._files = self._done = self._failed = self._bytes = 0
        self._told_at, self._told_bytes = self._started, 0

    def expect(self, files: int) -> None:
        """Count files that are to be done."""
        self._files += files

    def add(self, file: FileEvidence, downloaded_bytes: int | None) -> None:
        """Count a file that is done, and tell of it when it failed."""
        self._done += 1
        self._bytes += downloaded_bytes or 0
        if file.outcome is Outcome.FAILED:
            self._failed += 1
            if (file.error or "").startswith(UNTRIED):
                return  # what stopped the run was told of the file that met it
            _LOG.warning("%s, file %d of %d failed: %s", self._what, self._done, self._files, file.error)

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Tell how it goes every ten seconds, and once more in the end; nothing where there was nothing to do."""
        teller = asyncio.create_task(self._tell_again_and_again())
        try:
            yield
        finally:
            teller.cancel()
            with suppress(asyncio.CancelledError):
                await teller
            if self._files:
                self._tell(self._started, 0, f" in {self._now() - self._started:.0f} s")

    async def _tell_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(_TOLD_EVERY_SECONDS)
            if self._files:
                self._tell(self._told_at, self._told_bytes, "")
            self._told_at, self._told_bytes = self._now(), self._bytes

    def _tell(self, since: float, since_bytes: int, took: str) -> None:
        seconds = max(self._now() - since, 1e-3)
        _LOG.info(
            "%s: %d of %d files done%s, %d failed, %.1f MB downloaded, %.1f MB/s",
            self._what,
            self._done,
            self._files,
            took,
            self._failed,
            self._bytes / MEGABYTE,
            (self._bytes - since_bytes) / MEGABYTE / seconds,
        )
