"""The decoders' processes of this one: who they are, and the CPU time that they have taken."""

from __future__ import annotations

import os
from pathlib import Path

from market_data.ingest import decoders

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def decoder_pids(parent: int | str = "self") -> list[int]:
    """Return the processes that decode for another, in no order; those that have ended are none."""
    children = [pid for task in Path(f"/proc/{parent}/task").glob("*") for pid in _read(task / "children").split()]
    name = f"from {decoders.__name__} import".encode()
    return [int(pid) for pid in children if name in _read(Path(f"/proc/{int(pid)}/cmdline"))]


def decoder_cpu_seconds() -> float:
    """Return the CPU time of the processes that decode for this one and live."""
    fields = [_read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split() for pid in decoder_pids()]
    return sum(int(of[11]) + int(of[12]) for of in fields) / _TICKS_A_SECOND


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
