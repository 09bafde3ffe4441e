"""Scratch disk of one run: a folder that dies with it, and a budget of bytes.

A folder is held by a lock that the kernel gives up with the process, so what a killed run leaves is found and removed
by the next run on the same disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from market_data.errors import ConfigurationError, ScratchError
from market_data.lake.disk import scratch_errors
from market_data.model.limits import GIGABYTE
from market_data.ticks.decode import DecodedObject

_LOG = logging.getLogger(__name__)
_PREFIX = "market_data-"
_LOCK = "lock"
# of the free disk, where no limit is set: others write there too
_SHARE_OF_FREE = 0.8
_TOLD_EVERY_SECONDS, _LONGEST_WAIT_SECONDS = 60, 3600


@contextmanager
def open_scratch(limit_bytes: int | None) -> Iterator[tuple[Path, int]]:
    """Make a folder and give it with the bytes that may be used; removes it, and what dead runs left, in the end.

    Raises ConfigurationError (permanent) when the disk has less free than `limit_bytes`, ScratchError (transient) when
    nothing can be written there.
    """
    root = Path(tempfile.gettempdir())
    _sweep(root)
    with scratch_errors("a run begins", root):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        new_lock = folder / "new"
        opened = new_lock.open("wb")
    with opened as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new_lock.rename(folder / _LOCK)  # a sweep never sees it unlocked while this run lives
        try:
            yield folder, _usable_bytes(folder, limit_bytes)
        finally:
            shutil.rmtree(folder)


def _usable_bytes(folder: Path, limit_bytes: int | None) -> int:
    free_bytes = shutil.disk_usage(folder).free
    if limit_bytes is None:
        return round(free_bytes * _SHARE_OF_FREE)
    if free_bytes < limit_bytes:
        raise ConfigurationError(
            f"limits.scratch_gb is {limit_bytes / GIGABYTE:g}, but {folder.parent} has {free_bytes / GIGABYTE:.1f} GB "
            "free: lower the limit, free space, or set TMPDIR to a folder on a larger disk"
        )
    return limit_bytes


def _sweep(root: Path) -> None:
    for lock_path in root.glob(f"{_PREFIX}*/{_LOCK}"):
        # gone or another account's: not ours to remove
        with suppress(FileNotFoundError, PermissionError), lock_path.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its run is alive
            shutil.rmtree(lock_path.parent, ignore_errors=True)


class Budget:
    """Bytes that may be used, of scratch or of memory; for one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used_bytes = 0
        self._waiting = 0
        self._freed = asyncio.Event()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for bytes that others hold."""
        return self._waiting > 0

    async def take(self, size_bytes: int, what: str, make_room: Callable[[], Awaitable[None]] | None = None) -> None:
        """Take bytes, as soon as they are free; what is larger than the whole budget is taken alone.

        `make_room` frees what is held without being at work. Raises ScratchError (transient) when nobody gave anything
        back for an hour.
        """
        self._waiting += 1
        try:
            if make_room is not None and not self._fits(size_bytes):
                await make_room()
            while not self._fits(size_bytes):
                await self._wait_for_others(size_bytes, what)
            self._used_bytes += size_bytes
        finally:
            self._waiting -= 1

    def try_take(self, size_bytes: int) -> bool:
        """Take bytes if they are free now."""
        if self._used_bytes + size_bytes > self.limit_bytes:
            return False
        self._used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """Free bytes that were taken."""
        self._used_bytes -= size_bytes
        self._freed.set()
        self._freed = asyncio.Event()  # whoever waits from now on waits for the next time

    def _fits(self, size_bytes: int) -> bool:
        return not self._used_bytes or self._used_bytes + size_bytes <= self.limit_bytes

    async def _wait_for_others(self, size_bytes: int, what: str) -> None:
        freed = self._freed
        for _ in range(_LONGEST_WAIT_SECONDS // _TOLD_EVERY_SECONDS):
            try:
                async with asyncio.timeout(_TOLD_EVERY_SECONDS):
                    await freed.wait()
            except TimeoutError:
                held = f"{self._used_bytes:,} of {self.limit_bytes:,} bytes of scratch are in use"
                _LOG.info("%s waits for %s bytes of scratch disk: %s", what, f"{size_bytes:,}", held)
            else:
                return
        raise ScratchError(
            f"{what}: {size_bytes:,} bytes of scratch disk were not free within {_LONGEST_WAIT_SECONDS} s, while "
            f"{self._used_bytes:,} of {self.limit_bytes:,} were in use and none came free: raise limits.scratch_gb, or "
            "set TMPDIR to a folder on a larger disk"
        )


@dataclass(eq=False, slots=True)
class Parked:
    """Decoded files that wait for the rest of their unit: on scratch, or in the lake where scratch was short.

    `scratch_bytes` of the budget are taken for them. Whoever moves or uses them holds the lock.
    """

    objects: tuple[DecodedObject, ...]
    scratch_bytes: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
