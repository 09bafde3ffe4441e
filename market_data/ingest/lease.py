"""Whether a run that has claimed a unit still lives: a small object of its own, written anew every few seconds.

Nobody compares clocks: an observer looks at the object's generation, and counts by its own clock since it first saw it.
A run that is taken for dead and is not gives way, as any writer that loses its claim (`publish.py`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from market_data.errors import LakeError
from market_data.lake.base import JSON_CONTENT, TickLake
from market_data.lake.keys import LEASE_PREFIX, lease_key

_LOG = logging.getLogger(__name__)
_RENEWED_EVERY_SECONDS = 10.0
# Longer than a slow disk or a busy machine keeps a living run from writing.
_DEAD_AFTER_SECONDS = 40.0
# Killed runs leave theirs: nobody looks at one any more after that time, whatever the clocks say.
_FORGOTTEN_AFTER = timedelta(days=2)


class Lease:
    """One run's word that it lives; it begins with the run's first claim, and ends with the run."""

    def __init__(self, lake: TickLake, writer: str) -> None:
        self._lake = lake
        self._key = lease_key(writer)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Write it from now on; whoever runs nothing but what is current writes none."""
        if self._task is None:
            self._task = asyncio.create_task(self._renew())

    async def end(self) -> None:
        """Take it away: what is claimed is given back, or belongs to a run that has been stopped."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(LakeError):
            await asyncio.to_thread(self._lake.delete, self._key)

    async def _renew(self) -> None:
        work = self._write_the_first
        while True:
            try:
                await asyncio.to_thread(work)
            except LakeError as error:  # the run's own writes tell of it, where it matters
                _LOG.warning("the lease could not be renewed: %s", error)
            work = self._write
            await asyncio.sleep(_RENEWED_EVERY_SECONDS)

    def _write_the_first(self) -> None:
        self._write()
        for stat in self._lake.list_objects(LEASE_PREFIX):
            with suppress(LakeError, ValueError, KeyError, TypeError):
                renewed = datetime.fromisoformat(json.loads(self._lake.get_bytes(stat.key)[0])["renewed"])
                if datetime.now(UTC) - renewed > _FORGOTTEN_AFTER:
                    self._lake.delete(stat.key, if_generation=stat.generation)

    def _write(self) -> None:
        document = json.dumps({"renewed": datetime.now(UTC).isoformat(timespec="seconds")})
        self._lake.put_bytes(document.encode(), self._key, content_type=JSON_CONTENT)


class LeaseWatch:
    """An observer of another run's lease."""

    def __init__(self, lake: TickLake, writer: str) -> None:
        self.writer = writer
        self._lake = lake
        self._generation: int | None = None
        self._seen_at = 0.0

    def is_dead(self) -> bool:
        """Whether the lease has not changed for so long that its run is dead; none at all is one that does not."""
        stat = self._lake.stat(lease_key(self.writer))
        generation = stat.generation if stat else 0
        if generation != self._generation:
            self._generation, self._seen_at = generation, time.monotonic()
        return time.monotonic() - self._seen_at > _DEAD_AFTER_SECONDS
