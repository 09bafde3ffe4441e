"""The directories of a local lake: made so that they survive a power cut, and walked through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


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
