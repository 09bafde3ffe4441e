"""Decoding in processes of their own: what Python, Polars and pyarrow cannot share is not shared.

On threads of one process two decoders wait for each other and for the event loop, and with them a fifth of the machine.
A process takes some 100 MB, and a CPU second to start, so files are decoded on threads until there were enough of them;
processes stay for the next ones once they are there. Grouped files always are decoded on threads. Processes end with
the one that started them, however it ends, and touch nothing but the body and the target that a job names.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from market_data.errors import DecoderLost
from market_data.model.limits import SizeLimits
from market_data.model.tick_file import TickFile
from market_data.ticks.decode import DECODER_VERSION, DecodedFile, decode_tick_file
from market_data.ticks.encode import ENCODING_VERSION
from market_data.ticks.gzip import TickText

# So many inflate and parse what a line of one gigabit a second brings.
_MOST_DECODERS = 8
# Gzip decoded from which on processes are started: by then they would have won about what their start costs.
_WORTH_BYTES = 128 * 2**20
_LEAST_WEIGHT = 2**16  # a file costs as much as one of this size, however short it is
# One thread by process: they are as many as cores.
_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# What a process must be of, to do what its parent would: another version may be installed under a run.
_CODE = (DECODER_VERSION, ENCODING_VERSION)
_LOG = logging.getLogger(__name__)
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_Answer: TypeAlias = tuple[DecodedFile | None, None] | tuple[BaseException, str]


@cache
def count_decoders() -> int:
    """Return how many files are decoded at once on this machine, or in this container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    with suppress(OSError, ValueError):  # not a container, or one without a limit ("max")
        quota, period = map(int, _CPU_LIMIT.read_text(encoding="ascii").split())
        usable = min(usable, math.ceil(quota / period))
    return min(usable, _MOST_DECODERS)


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One body on local disk, what it is to be, and where its Parquet goes; see `decode_tick_file`.

    All of it can be sent to another process.
    """

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
    """The decoders of this process, for any of its threads, whichever venue-day the files are of."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._places = threading.BoundedSemaphore(count_decoders())
        self._processes: set[_Process] = set()
        self._idle: list[_Process] = []
        if hasattr(os, "register_at_fork"):  # else a fork would keep them when its parent has gone
            os.register_at_fork(after_in_child=self._leave_all)

    def decode(self, job: DecodeJob, gzip_bytes: int) -> DecodedFile | None:
        """Decode a file of so many bytes on this thread, or wait here for a process that does.

        Raises as `decode_tick_file`, and DecoderLost (transient) when the process ended in the midst of it.
        """
        self._weight += max(gzip_bytes, _LEAST_WEIGHT)
        if job.file.is_group:  # rows of all its bases wait in memory: not beside what the run has already
            return job.run()
        if not self._idle and self._weight <= _WORTH_BYTES:
            return job.run()
        with self._places:
            process = self._take_idle() or self._start()
            if process is None:
                return job.run()
            try:
                result, told = process.ask(job)
            except BaseException:
                self._end(process)
                raise
            self._idle.append(process)
        if isinstance(result, BaseException):
            raise result from _ToldByProcess(told)
        return result

    def close(self) -> None:
        """End all processes; those at work are lost."""
        self._idle.clear()
        for process in list(self._processes):
            self._end(process)

    def _take_idle(self) -> _Process | None:
        with suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                self._end(process)
        return None

    def _start(self) -> _Process | None:
        try:
            process = _Process()
        except (OSError, EOFError) as error:  # of files, processes, memory, or a Python that is not where it was
            self._go_without(str(error) or "it ended at once")
            return None
        self._processes.add(process)
        if process.code == _CODE:
            return process
        self._end(process)
        self._go_without(f"decoder and encoding {process.code} are installed now where this run is of {_CODE}")
        return None

    def _go_without(self, why: str) -> None:
        self._weight = -math.inf
        _LOG.warning("files are decoded on threads, which takes longer: no process can be started (%s)", why)

    def _end(self, process: _Process) -> None:
        process.end()
        self._processes.discard(process)

    def _leave_all(self) -> None:
        self._idle.clear()
        self._places = threading.BoundedSemaphore(count_decoders())  # those who held one are not here
        for process in self._processes:
            process.leave()
        self._processes.clear()


@cache
def shared_decoders() -> Decoders:
    """Return the decoders of this process."""
    return Decoders()


class _ToldByProcess(Exception):
    """The traceback of an error that was raised in a decoder's process."""


class _Process:
    """A decoder's process, as the one that started it sees it; raises OSError or EOFError where there is none."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                    [sys.executable or "", "-P", "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
                    env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))},
                    stdin=subprocess.DEVNULL,
                    process_group=0,  # a terminal's Ctrl-C is meant for the one that starts this
                    pass_fds=[theirs.fileno()],
                )
        except OSError:
            self._connection.close()
            raise
        try:
            self.code: object = self._connection.recv()
        except (EOFError, OSError):
            self.end()
            raise

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
            raise _lost(job.file, self._process.wait()) from error
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self.leave()

    def leave(self) -> None:
        """Have nothing to do with it any more; it ends when nobody has."""
        self._connection.close()


def _lost(file: TickFile, status: int | None) -> DecoderLost:
    """Return what to say of a process that ended with a status, or that found no memory."""
    how = {None: "found no memory", -9: "was killed, as where memory is short"}.get(status)
    remedy = "give the machine more memory, or lower limits.files_at_once"
    told = f"{how}: {remedy}" if how else f"ended with {status}; what it said stands in the output of this run"
    return DecoderLost(f"{file}: the process that decoded it {told}")


def serve(socket_number: int) -> None:
    """Be such a process: do the jobs that come over an open socket, one by one, until its other end is gone."""
    jobs: queue.SimpleQueue[DecodeJob] = queue.SimpleQueue()
    with Connection(socket_number) as connection:
        connection.send(_CODE)
        threading.Thread(target=_receive, args=(connection, jobs), daemon=True).start()
        while True:
            connection.send(_answer(jobs.get()))


def _receive(connection: Connection, jobs: queue.SimpleQueue[DecodeJob]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # nobody waits for what is decoded now
    except BaseException:  # noqa: BLE001  a job that is none here: whoever waits for it is told
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _answer(job: DecodeJob) -> _Answer:
    try:
        return job.run(), None
    except MemoryError:
        return _lost(job.file, None), traceback.format_exc()
    except BaseException as error:  # noqa: BLE001  handed to the one that waits, which raises it
        told = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  our own
        except Exception:  # noqa: BLE001  an error of any kind can be told, if not be sent
            return RuntimeError(f"{type(error).__name__}: {error}"), told
        return error, told
