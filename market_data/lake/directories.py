"""The directories of a local lake: made so that they survive a power cut, and walked through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Lock

_FLUSHES_AT_ONCE = 16


def is_shown(entry: os.DirEntry[str]) -> bool:
    """Whether an entry may be the lake's: names with a leading dot are of the lake's own files, or of other tools."""
    return not entry.name.startswith(".")


def walk_files(directory: Path) -> Iterator[Path]:
    """Yield every file below a directory, in no order; nothing where there is none."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not is_shown(entry):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


class SharedFlush:
    """Flushes directories in which many threads name files at once: those who wait for one share a flush."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next: dict[Path, Future[None]] = {}
        # one flush of a directory at a time; two that share a lock wait a little longer
        self._running = [Lock() for _ in range(_FLUSHES_AT_ONCE)]

    def flush(self, directory: Path) -> None:
        """Let what was named in a directory before this call survive a power cut; raises OSError."""
        with self._lock:
            coming = self._next.get(directory)
            mine = Future[None]() if coming is None else None
            if mine is not None:
                self._next[directory] = mine
        if coming is not None:
            coming.result()
        elif mine is not None:
            self._flush_for_all(directory, mine)

    def _flush_for_all(self, directory: Path, waited_for: Future[None]) -> None:
        try:
            with self._running[hash(directory) % _FLUSHES_AT_ONCE]:
                self._close(directory)  # who comes from here on may have named a file too late for this flush
                flush_directory(directory)
        except BaseException as error:
            self._close(directory)
            is_of_disk = isinstance(error, OSError)
            waited_for.set_exception(error if is_of_disk else OSError(f"{directory} was not flushed ({error!r})"))
            raise
        waited_for.set_result(None)

    def _close(self, directory: Path) -> None:
        with self._lock:
            self._next.pop(directory, None)


def make_directory(directory: Path) -> None:
    """Make a directory and its parents so that they survive a power cut; another thread may be doing the same."""
    if directory.is_dir():
        return
    if directory.parent != directory:
        make_directory(directory.parent)
    try:
        directory.mkdir()
    except FileExistsError:
        if not directory.is_dir():
            raise
    else:
        flush_directory(directory.parent)


def flush_directory(directory: Path) -> None:
    """Let what was named or removed in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
