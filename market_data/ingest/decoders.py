"""Decoding in processes of their own: what Python, Polars and pyarrow cannot share is not shared.

On threads of one process two decoders wait for each other and for the event loop, and with them a fifth of the machine.
A process takes some 100 MB and a CPU second to start, so the first files of a venue-day are decoded on threads, and
processes stay for the next ones once they are there. They end with the process that started them, however it ends, and
touch nothing but the body and the target that a job names.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from market_data.errors import DecoderLost
from market_data.model.limits import SizeLimits
from market_data.model.tick_file import TickFile
from market_data.ticks.decode import DecodedFile, decode_tick_file
from market_data.ticks.gzip import TickText

# So many inflate and parse what a line of one gigabit a second brings.
_MOST_DECODERS = 8
# Gzip of a venue-day from which on processes are started: to decode as much takes about what their start costs.
_WORTH_BYTES = 32 * 2**20
_LEAST_WEIGHT = 2**16  # a file costs as much as one of this size, however short it is
# One thread by process: they are as many as cores.
_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_LOST = (
    "{file}: the process that decoded it {how}, the machine has too little memory for so many at once: "
    "give it more, or lower limits.files_at_once"
)
_LOG = logging.getLogger(__name__)
_Answer: TypeAlias = tuple[DecodedFile | None, None] | tuple[BaseException, str]


def count_decoders() -> int:
    """Return how many files are decoded at once on this machine."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 2, _MOST_DECODERS)


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One body on local disk, what it is to be, and where its Parquet goes; see `decode_tick_file`."""

    body: Path
    file: TickFile
    sizes: SizeLimits
    look: Callable[[bytes], None]
    known_keys: Mapping[str, str]
    target: Path

    def run(self) -> DecodedFile | None:
        """Decode it here."""
        return decode_tick_file(TickText(self.body, self.file, self.sizes, self.look), self.known_keys, self.target)


class Decoders:
    """What decodes the files of one venue-day, on as many threads as there are decoders; for any of them."""

    def __init__(self) -> None:
        self._weight = 0.0

    def decode(self, job: DecodeJob, gzip_bytes: int) -> DecodedFile | None:
        """Decode a file of so many bytes on this thread, or wait here for a process that does.

        Raises as `decode_tick_file`, and DecoderLost (transient) when the process ended in the midst of it.
        """
        self._weight += max(gzip_bytes, _LEAST_WEIGHT)
        if not _IDLE and self._weight <= _WORTH_BYTES:
            return job.run()
        with _PLACES:
            process = _take_idle() or self._start()
            if process is None:
                return job.run()
            try:
                result, told = process.ask(job)
            except BaseException:
                process.end()
                raise
            _IDLE.append(process)
        if isinstance(result, BaseException):
            raise result from _ToldByProcess(told)
        return result

    def _start(self) -> _Process | None:
        try:
            return _Process()
        except OSError as error:  # of files, processes, memory, or a Python that is not where it was
            self._weight = -math.inf
            _LOG.warning("files are decoded on threads, which takes longer: no process can be started (%s)", error)
            return None


class _ToldByProcess(Exception):
    """The traceback of an error that was raised in a decoder's process."""


class _Process:
    """A decoder's process, as the one that started it sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable or "", "-P", "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))},
                stdin=subprocess.DEVNULL,
                process_group=0,  # a terminal's Ctrl-C is meant for the one that starts this
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())
        _PROCESSES.add(self)

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked; it may have been ended for the memory that others need."""
        return self._process.poll() is None

    def ask(self, job: DecodeJob) -> _Answer:
        """Send a job and wait for what becomes of it."""
        try:
            self._connection.send(job)
            answer: _Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            how = f"ended with {self._process.wait()}; where that is -9"
            raise DecoderLost(_LOST.format(file=job.file, how=how)) from error
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self.leave()

    def leave(self) -> None:
        """Have nothing to do with it any more; it ends when nobody has."""
        self._connection.close()
        _PROCESSES.discard(self)


# Those of this process, whichever venue-day started them; the idle ones; and how many there may be.
_PROCESSES: set[_Process] = set()
_IDLE: list[_Process] = []
_PLACES = threading.BoundedSemaphore(count_decoders())


def _leave_all() -> None:
    global _PLACES  # noqa: PLW0603  those who held a place are not here
    _IDLE.clear()
    _PLACES = threading.BoundedSemaphore(count_decoders())
    for process in list(_PROCESSES):
        process.leave()


if hasattr(os, "register_at_fork"):  # else a fork would keep them when its parent has gone
    os.register_at_fork(after_in_child=_leave_all)


def _take_idle() -> _Process | None:
    with suppress(IndexError):
        while True:
            process = _IDLE.pop()
            if process.is_alive:
                return process
            process.end()
    return None


def serve(socket_number: int) -> None:
    """Be such a process: do the jobs that come over an open socket, one by one, until its other end is gone."""
    jobs: queue.SimpleQueue[DecodeJob] = queue.SimpleQueue()
    with Connection(socket_number) as connection:
        threading.Thread(target=_receive, args=(connection, jobs), daemon=True).start()
        while True:
            connection.send(_answer(jobs.get()))


def _receive(connection: Connection, jobs: queue.SimpleQueue[DecodeJob]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # nobody waits for what is decoded now
    except BaseException:  # noqa: BLE001  a job that is none here, where another version was installed meanwhile
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _answer(job: DecodeJob) -> _Answer:
    try:
        return job.run(), None
    except MemoryError as error:
        return DecoderLost(_LOST.format(file=job.file, how=f"found no memory ({error or 'MemoryError'})")), ""
    except BaseException as error:  # noqa: BLE001  handed to the one that waits, which raises it
        return error, traceback.format_exc()
