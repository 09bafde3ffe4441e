"""Hand-written stand-ins for the outside world: an object store in memory, exact as to generations and CRC32C."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import google_crc32c

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import (
    DEFAULT_CONTENT_TYPE,
    ObjectStat,
    TickLake,
    check_generation,
    check_key,
    check_prefix,
    describe_conflict,
)
from market_data.lake.checksum import encode_crc32c
from market_data.lake.copying import CopyingLake

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_P = ParamSpec("_P")


class MemoryLake(CopyingLake):
    """A lake in a dictionary. `mutations` counts the calls that changed it.

    Like a directory (`is_local`): a copy carries its source's generation, and a listing has CRC32C only when asked for
    it. Otherwise like GCS: every write has a generation of its own, every listing the CRC32C.
    """

    url = "memory://lake"

    def __init__(self, *, is_local: bool = False) -> None:
        self.mutations = 0
        self._is_local = is_local
        self._objects: dict[str, tuple[bytes, ObjectStat]] = {}
        self._last_generation = 0
        self._lock = threading.Lock()

    def stat(self, key: str) -> ObjectStat | None:
        found = self._objects.get(check_key(key))
        return found[1] if found else None

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        check_prefix(prefix)
        with self._lock:
            found = [self._objects[key][1] for key in sorted(self._objects) if key.startswith(prefix)]
        if self._is_local and not with_crc32c:
            return [ObjectStat(stat.key, stat.size_bytes, stat.generation, None) for stat in found]
        return found

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        found = self._objects.get(check_key(key))
        if found is None:
            raise LakeObjectMissing(f"{self.uri(key)} is not in the lake")
        return found

    def fetch_file(self, key: str, directory: Path) -> Path:
        path = directory / uuid.uuid4().hex
        path.write_bytes(self.get_bytes(key)[0])
        return path

    def put_file(
        self, path: Path, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LakeError(f"cannot read {path}: {error}") from error
        return self.put_bytes(data, key, if_generation=if_generation, content_type=content_type)

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        del content_type
        return self._publish(data, check_key(key), if_generation, None)

    def copy(self, source_key: str, key: str, *, if_generation: int | None = None) -> ObjectStat:
        check_key(key)
        data, source = self.get_bytes(source_key)
        return self._publish(data, key, if_generation, source.generation if self._is_local else None)

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        with self._lock:
            found = self._check_generation(check_key(key), if_generation)
            if found:
                del self._objects[key]
                self.mutations += 1

    def uri(self, key: str) -> str:
        return f"{self.url}/{check_key(key)}"

    def _publish(self, data: bytes, key: str, if_generation: int | None, generation: int | None) -> ObjectStat:
        crc32c = encode_crc32c(google_crc32c.value(data))
        with self._lock:
            self._check_generation(key, if_generation)
            if generation is None:
                self._last_generation += 1
                generation = self._last_generation
            written = ObjectStat(key, len(data), generation, crc32c)
            self._objects[key] = (data, written)
            self.mutations += 1
        return written

    def _check_generation(self, key: str, if_generation: int | None) -> int:
        held = self._objects.get(key)
        found = held[1].generation if held else 0
        if check_generation(if_generation) not in (None, found):
            raise describe_conflict(self.uri(key), expected=if_generation, found=found)
        return found


class SteppedLake(CopyingLake):
    """A lake that calls back before every call."""

    def __init__(self, lake: TickLake, before_call: Callable[[], None]) -> None:
        self.url = lake.url
        self._lake, self._before_call = lake, before_call

    def stat(self, key: str) -> ObjectStat | None:
        self._before_call()
        return self._lake.stat(key)

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        self._before_call()
        return self._lake.list_objects(prefix, with_crc32c=with_crc32c)

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        self._before_call()
        return self._lake.get_bytes(key)

    def fetch_file(self, key: str, directory: Path) -> Path:
        self._before_call()
        return self._lake.fetch_file(key, directory)

    def put_file(
        self, path: Path, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        self._before_call()
        return self._lake.put_file(path, key, if_generation=if_generation, content_type=content_type)

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        self._before_call()
        return self._lake.put_bytes(data, key, if_generation=if_generation, content_type=content_type)

    def copy(self, source_key: str, key: str, *, if_generation: int | None = None) -> ObjectStat:
        self._before_call()
        return self._lake.copy(source_key, key, if_generation=if_generation)

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        self._before_call()
        self._lake.delete(key, if_generation=if_generation)

    def uri(self, key: str) -> str:
        return self._lake.uri(key)


class Killed(BaseException):
    """What ends a process in the middle of a call, and nothing catches."""


def kill_at(call: int) -> Callable[[], None]:
    """Give what raises `Killed` before the call of that number, counted from 0, and before every later one."""
    calls = iter(range(call))

    def before_call() -> None:
        if next(calls, None) is None:
            raise Killed

    return before_call


class InlineExecutor(Executor):
    """Runs each call at once on the calling thread; like a pool, it runs the others also when one fails."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  a pool hands any error to whoever asks for the result
            future.set_exception(error)
        return future
