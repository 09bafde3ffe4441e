"""Scratch disk of one run: a folder that dies with it, and a budget of bytes.

A folder is held by a lock that the kernel gives up with the process, so what a killed run leaves is found and removed
by the next run on the same disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from market_data.errors import ConfigurationError
from market_data.model.limits import GIGABYTE

_PREFIX = "market_data-"
_LOCK = "lock"
# of the free disk, where no limit is set: others write there too
_SHARE_OF_FREE = 0.8


@contextmanager
def open_scratch(limit_bytes: int | None) -> Iterator[tuple[Path, int]]:
    """Make a folder and give it with the bytes that may be used; removes it, and what dead runs left, in the end.

    Raises ConfigurationError (permanent) when the disk has less free than `limit_bytes`.
    """
    root = Path(tempfile.gettempdir())
    _sweep(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    new_lock = folder / "new"
    with new_lock.open("wb") as lock:
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
        self._freed = asyncio.Condition()

    async def take(self, size_bytes: int) -> None:
        """Take bytes, as soon as they are free; what is larger than the whole budget is taken alone."""
        async with self._freed:
            await self._freed.wait_for(
                lambda: not self._used_bytes or self._used_bytes + size_bytes <= self.limit_bytes
            )
            self._used_bytes += size_bytes

    def try_take(self, size_bytes: int) -> bool:
        """Take bytes if they are free now."""
        if self._used_bytes + size_bytes > self.limit_bytes:
            return False
        self._used_bytes += size_bytes
        return True

    async def give_back(self, size_bytes: int) -> None:
        """Free bytes that were taken."""
        async with self._freed:
            self._used_bytes -= size_bytes
            self._freed.notify_all()
