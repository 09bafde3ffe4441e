"""A lake in a local directory: whole objects or nothing, also after kill -9 or a power cut.

A write goes to `<root>/.incoming/`, is flushed, and is renamed to its key while one of 64 lock files in
`<root>/.locks/` is held, so the generation is compared and replaced in one step across threads and processes; the
kernel releases the lock of a killed process. What a killed writer leaves in `.incoming` is never listed, and is removed
by a later write once it is an hour old. (One such directory rather than a temporary file beside each object: finding
the left-overs then never means scanning thousands of published files.)

The generation is the file's modification time in nanoseconds, which we set. A copy is a hard link and so carries its
source's generation. That is sound: a published file is never written again, so one generation still names the same
bytes of the same write, and whoever demands it gets what he saw.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from market_data.errors import LakeError, LakeObjectMissing, LakeUnavailable
from market_data.lake.base import (
    DEFAULT_CONTENT_TYPE,
    ObjectStat,
    TickLake,
    check_generation,
    check_key,
    check_prefix,
    describe_conflict,
)
from market_data.lake.checksum import READ_CHUNK_BYTES, compute_crc32c, encode_crc32c
from market_data.lake.directories import SharedFlush, is_shown, make_directory, walk_files
from market_data.lake.disk import describe_full_disk

_LOCK_COUNT = 64
_LEFT_OVER_AFTER_SECONDS = 3600
_REMEMBERED_FILES = 256
_NOTHING_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_LINK_IMPOSSIBLE = {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
_REMEDIES = {
    errno.EACCES: "give this account the right to write there, or name another lake directory",
    errno.EPERM: "give this account the right to write there, or name another lake directory",
    errno.EROFS: "the file system is mounted read-only: name another lake directory",
    errno.ENOSPC: "the disk is full: free space or name a lake directory on another disk",
    errno.EDQUOT: "the disk quota is used up: free space or name a lake directory on another disk",
    errno.ENOTDIR: "a file stands where a directory is needed: move it away or name another lake directory",
    errno.EEXIST: "a file stands where a directory is needed: move it away or name another lake directory",
    errno.EISDIR: "a directory stands where the object is needed: a local key cannot also be the prefix of others",
    errno.ENAMETOOLONG: "local file names end at 255 bytes: shorten the key",
}


class LocalLake(TickLake):
    """The lake in the directory `root`, which the first write creates."""

    def __init__(self, root: Path) -> None:
        self.url = root.as_uri()
        self._root = root
        self._incoming = root / ".incoming"
        self._locks = root / ".locks"
        self._directories = SharedFlush()
        self._swept_at_seconds = float("-inf")
        self._last_published: dict[int, ObjectStat] = {}

    def stat(self, key: str) -> ObjectStat | None:
        """See `TickLake.stat`."""
        with self._named_errors(f"look at {check_key(key)}"):
            try:
                with self._path(key).open("rb", buffering=0) as stream:
                    return _describe(key, stream)
            except _NOTHING_THERE:
                return None

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        """See `TickLake.list_objects`."""
        return self.list_folders([prefix], with_crc32c=with_crc32c)

    def list_between(self, prefix: str, first: str, before: str) -> list[ObjectStat]:
        """See `TickLake.list_between`: only files between the two are looked at."""
        with self._named_errors(f"list {check_prefix(prefix) or 'the lake'}"):
            self._require_directory()
            root = str(self._root / "_")[:-1]
            paths = (path for path in walk_files(self._root / prefix) if root + first <= str(path) < root + before)
            return sorted(self._describe_all(paths, None), key=lambda described: described.key)

    def list_folders(self, prefixes: Iterable[str], *, with_crc32c: bool = False) -> list[ObjectStat]:
        """See `TickLake.list_folders`."""
        checksums: dict[tuple[int, int], str] | None = {} if with_crc32c else None
        found: list[ObjectStat] = []
        for prefix in prefixes:
            with self._named_errors(f"list {check_prefix(prefix) or 'the lake'}"):
                self._require_directory()
                found.extend(self._describe_all(walk_files(self._root / prefix), checksums))
        return sorted(found, key=lambda described: described.key)

    def list_level(self, prefix: str) -> tuple[list[str], list[ObjectStat]]:
        """See `TickLake.list_level`."""
        with self._named_errors(f"list {check_prefix(prefix) or 'the lake'}"):
            self._require_directory()
            try:
                entries = [entry for entry in os.scandir(self._root / prefix) if is_shown(entry)]
            except _NOTHING_THERE:
                return [], []
            folders = [f"{prefix}{entry.name}/" for entry in entries if entry.is_dir(follow_symlinks=False)]
            found = list(self._describe_all((Path(entry.path) for entry in entries if entry.is_file()), None))
        return sorted(folders), sorted(found, key=lambda described: described.key)

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        """See `TickLake.get_bytes`."""
        with self._named_errors(f"read {check_key(key)}"):
            try:
                with self._path(key).open("rb", buffering=0) as stream:
                    data = stream.readall()
                    status = os.fstat(stream.fileno())
            except _NOTHING_THERE as error:
                raise self._missing(key) from error
        return data, ObjectStat(key, len(data), status.st_mtime_ns, encode_crc32c(google_crc32c.value(data)))

    def fetch_file(self, key: str, directory: Path) -> Path:
        """Give the object's own path: nothing is copied into `directory`. See `TickLake.fetch_file`."""
        del directory
        path = self._path(check_key(key))
        if not path.is_file():
            raise self._missing(key)
        return path

    def put_file(
        self, path: Path, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """See `TickLake.put_file`."""
        del content_type  # a directory keeps none
        with (
            self._named_errors(f"write {check_key(key)} from {path}"),
            self._incoming_file() as temporary,
            path.open("rb", buffering=0) as source,
        ):
            written = _write_new_file(temporary, iter(partial(source.read, READ_CHUNK_BYTES), b""), key)
            return self._publish(temporary, written, if_generation, is_link=False)

    def take_file(
        self,
        path: Path,
        key: str,
        *,
        crc32c: str,
        if_generation: int | None = None,
        content_type: str = DEFAULT_CONTENT_TYPE,
    ) -> ObjectStat:
        """Move the file where it lies on the lake's disk, which spares its bytes a copy. See `TickLake.take_file`."""
        with self._named_errors(f"write {check_key(key)} from {path}"), self._incoming_file() as temporary:
            if _take_over(path, temporary):
                published = self._publish(temporary, _settle_file(temporary, key, crc32c), if_generation, is_link=False)
            else:
                published = self.put_file(path, key, if_generation=if_generation, content_type=content_type)
            path.unlink()
            return published

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """See `TickLake.put_bytes`."""
        del content_type  # a directory keeps none
        with self._named_errors(f"write {check_key(key)}"), self._incoming_file() as temporary:
            return self._publish(temporary, _write_new_file(temporary, [data], key), if_generation, is_link=False)

    def copy(self, source_key: str, key: str, *, if_generation: int | None = None) -> ObjectStat:
        """Hard-link the object where the file system can, else copy its bytes. See `TickLake.copy`."""
        source = self._path(check_key(source_key))
        with self._named_errors(f"copy {source_key} to {check_key(key)}"):
            if not source.is_file():
                raise self._missing(source_key)
            with self._incoming_file() as temporary:
                try:
                    os.link(source, temporary)
                except OSError as error:
                    if error.errno not in _LINK_IMPOSSIBLE:
                        raise
                    return self.put_file(source, key, if_generation=if_generation)
                return self._publish(temporary, self._describe_link(temporary, key), if_generation, is_link=True)

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        """See `TickLake.delete`."""
        path = self._path(check_key(key))
        with self._named_errors(f"delete {key}"):
            if not path.is_file():
                if check_generation(if_generation):
                    raise describe_conflict(self.uri(key), expected=if_generation, found=0)
                return
            with self._locked(key):
                self._check_generation(path, key, if_generation)
                with suppress(FileNotFoundError):
                    path.unlink()
            self._directories.flush(path.parent)

    def uri(self, key: str) -> str:
        """See `TickLake.uri`."""
        return str(self._path(check_key(key)))

    def _require_directory(self) -> None:
        if self._root.is_file():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))

    def _describe_all(
        self, paths: Iterable[Path], checksums: dict[tuple[int, int], str] | None
    ) -> Iterator[ObjectStat]:
        for path in paths:
            with suppress(FileNotFoundError):
                yield _describe_listed(path.relative_to(self._root).as_posix(), path, checksums)

    def _path(self, key: str) -> Path:
        return self._root / key

    def _missing(self, key: str) -> LakeObjectMissing:
        return LakeObjectMissing(f"{self._path(key)} is not in the lake {self.url}")

    def _describe_link(self, temporary: Path, key: str) -> ObjectStat:
        """Describe a link; its bytes are not read again when the file behind it was just published by this process."""
        status = temporary.stat()
        published = self._last_published.get(status.st_ino)
        if published is not None and (published.size_bytes, published.generation) == (
            status.st_size,
            status.st_mtime_ns,
        ):
            return replace(published, key=key)
        with temporary.open("rb", buffering=0) as stream:
            return _describe(key, stream)

    def _publish(self, temporary: Path, new: ObjectStat, if_generation: int | None, *, is_link: bool) -> ObjectStat:
        path = self._path(new.key)
        with self._locked(new.key):
            found = self._check_generation(path, new.key, if_generation)
            generation = new.generation
            if generation <= found and not is_link:
                generation = found + 1
                _set_generation(temporary, generation)
            inode = temporary.stat().st_ino
            try:
                temporary.replace(path)
            except FileNotFoundError:
                make_directory(path.parent)
                temporary.replace(path)
        self._directories.flush(path.parent)
        published = ObjectStat(new.key, new.size_bytes, generation, new.crc32c)
        self._remember(inode, published)
        return published

    def _remember(self, inode: int, published: ObjectStat) -> None:
        self._last_published[inode] = published
        while len(self._last_published) > _REMEMBERED_FILES:
            with suppress(KeyError, RuntimeError):  # another thread was faster
                del self._last_published[next(iter(self._last_published))]

    def _check_generation(self, path: Path, key: str, if_generation: int | None) -> int:
        try:
            status = path.stat()
        except FileNotFoundError:
            found = 0
        else:
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            found = status.st_mtime_ns
        if check_generation(if_generation) not in (None, found):
            raise describe_conflict(self.uri(key), expected=if_generation, found=found)
        return found

    @contextmanager
    def _incoming_file(self) -> Iterator[Path]:
        make_directory(self._incoming)
        self._sweep_left_overs()
        temporary = self._incoming / f"{uuid.uuid4().hex}.tmp"
        try:
            yield temporary
        finally:
            # Needed after success too: renaming one link of a file over another link of it leaves both in place.
            temporary.unlink(missing_ok=True)

    def _sweep_left_overs(self) -> None:
        if time.monotonic() - self._swept_at_seconds < _LEFT_OVER_AFTER_SECONDS:
            return
        self._swept_at_seconds = time.monotonic()
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                # The change time: a hard link has the modification time of its source, which may be years old.
                if time.time() - path.stat().st_ctime > _LEFT_OVER_AFTER_SECONDS:
                    path.unlink()

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        path = self._locks / f"{zlib.crc32(key.encode()) % _LOCK_COUNT:02d}"
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            make_directory(self._locks)
            descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would not release it if a fork inherited it
            os.close(descriptor)

    @contextmanager
    def _named_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if full := describe_full_disk(error, self._root):
                raise LakeUnavailable(f"cannot {action} in the lake {self.url}: {full}. Free space there") from error
            remedy = _REMEDIES.get(error.errno or 0, "see the cause")
            where = f" ({error.filename})" if error.filename else ""
            raise LakeError(f"cannot {action} in the lake {self.url}: {error.strerror}{where}; {remedy}") from error


def _describe(key: str, stream: BinaryIO) -> ObjectStat:
    status = os.fstat(stream.fileno())
    return ObjectStat(key, status.st_size, status.st_mtime_ns, compute_crc32c(stream))


def _describe_listed(key: str, path: Path, checksums: dict[tuple[int, int], str] | None) -> ObjectStat:
    if checksums is None:
        status = path.stat()
        return ObjectStat(key, status.st_size, status.st_mtime_ns, None)
    with path.open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        inode = (status.st_dev, status.st_ino)
        if inode not in checksums:
            checksums[inode] = compute_crc32c(stream)
        return ObjectStat(key, status.st_size, status.st_mtime_ns, checksums[inode])


def _take_over(path: Path, temporary: Path) -> bool:
    """Link a file into the lake; says whether that could be done.

    A file with other links may be published already: settling it again would change that object's generation.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_nlink != 1:
        return False
    try:
        os.link(path, temporary)
    except OSError as error:
        if error.errno not in _LINK_IMPOSSIBLE:
            raise
        return False
    return True


def _settle_file(path: Path, key: str, crc32c: str) -> ObjectStat:
    with path.open("rb", buffering=0) as stream:
        return _settle(stream, key, crc32c)


def _write_new_file(path: Path, chunks: Iterable[bytes], key: str) -> ObjectStat:
    value = 0
    with path.open("xb", buffering=0) as stream:
        for chunk in chunks:
            value = google_crc32c.extend(value, chunk)
            _write_all(stream, chunk)
        return _settle(stream, key, encode_crc32c(value))


def _settle(stream: RawIOBase, key: str, crc32c: str) -> ObjectStat:
    """Make read-only as far as the umask lets others read, set the generation and flush."""
    descriptor = stream.fileno()
    os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o444)
    wanted = time.time_ns()
    os.utime(descriptor, ns=(wanted, wanted))
    os.fsync(descriptor)
    status = os.fstat(descriptor)  # a file system may keep times less finely
    return ObjectStat(key, status.st_size, status.st_mtime_ns, crc32c)


def _write_all(stream: RawIOBase, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[stream.write(rest) or 0 :]


def _set_generation(path: Path, generation: int) -> None:
    os.utime(path, ns=(generation, generation))
    if path.stat().st_mtime_ns != generation:
        raise LakeError(f"{path}: the file system keeps times too coarsely to tell two writes of a key apart")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
