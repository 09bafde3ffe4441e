"""What a full disk says, wherever it says so: to us, to Polars, or to a library below."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from market_data.errors import ScratchError

_FULL = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "files may not be so large",
}


def describe_full_disk(error: BaseException, path: Path) -> str | None:
    """Return what to say of a write below `path` that found the disk full; None where it failed of anything else."""
    cause: BaseException | None = error
    while cause is not None:
        for number, why in _FULL.items():
            # libraries that are not written in Python keep no number but in their text
            is_it = isinstance(cause, OSError) and cause.errno == number
            if is_it or f"(os error {number})" in str(cause) or os.strerror(number) in str(cause):
                return f"the disk of {path} is full: {why}; {_free_bytes(path)}"
        cause = cause.__cause__ or cause.__context__
    return None


def _free_bytes(path: Path) -> str:
    try:
        usage = shutil.disk_usage(path if path.is_dir() else path.parent)
    except OSError as error:
        return f"how much is free cannot be seen ({error.strerror})"
    return f"{usage.free:,} of its {usage.total:,} bytes are free"


@contextmanager
def scratch_errors(what: str, path: Path) -> Iterator[None]:
    """Let what the local disk refuses of a piece of work be a ScratchError (transient) that names disk and bytes."""
    try:
        yield
    except OSError as error:
        full = describe_full_disk(error, path)
        told = full or f"the disk of {path} failed ({error})"
        raise ScratchError(f"{what}: {told}. Free space there, or set TMPDIR to a folder on a larger disk") from error
