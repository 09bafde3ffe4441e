"""TickLake: the one small interface behind which a local directory and a GCS bucket look alike.

Every write publishes a whole object or nothing, can be made conditional on the object's generation, and is checked
with CRC32C. `open_lake` gives the lake behind a URL; the backends are `local.py` and `gcs.py`.

Methods raise `LakeError` (permanent) for a refused key, missing rights or a full disk, `LakeConflict` (transient) when
a generation does not match, `LakeObjectMissing` (permanent) for a key that holds nothing, and `LakeUnavailable`
(transient) when the store did not answer for longer than its client retried. All methods may be called from many
threads at once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from market_data.errors import LakeConflict, LakeError

DEFAULT_CONTENT_TYPE = "application/octet-stream"
JSON_CONTENT = "application/json"
GZIP_CONTENT = "application/gzip"
PARQUET_CONTENT = "application/vnd.apache.parquet"
# how many small objects are read at once
READERS = 16

_LONGEST_KEY_BYTES = 1024  # the limit of GCS; https://cloud.google.com/storage/docs/objects#naming
# What nearly every key looks like, told at once.
_ORDINARY = re.compile(r"[!-\-0-~][!-.0-~]*(?:/[!-\-0-~][!-.0-~]*)*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """One object of a lake as it was when asked for.

    `key` is relative to the lake and '/'-separated. `generation` is greater than 0 and changes with every write of the
    key. `crc32c` is the base64 of the big-endian CRC32C, as GCS prints it; None only in a local listing that was not
    asked for it.
    """

    key: str
    size_bytes: int
    generation: int
    crc32c: str | None


class TickLake(ABC):
    """Objects under keys. `url` is `file:///...` or `gs://bucket/prefix`, without a trailing slash.

    `if_generation`: None writes unconditionally, 0 demands that the key holds nothing, N that it holds generation N;
    otherwise `LakeConflict` (transient) is raised and nothing is changed.
    """

    url: str

    @abstractmethod
    def stat(self, key: str) -> ObjectStat | None:
        """Describe the object, or give None when the key holds nothing. A local lake reads the bytes for the CRC32C."""

    @abstractmethod
    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        """List the objects below `prefix` ('' or ending in '/'), recursively, sorted by key.

        GCS always fills `crc32c`. A local lake fills it only when asked: it reads the bytes, once per inode.
        """

    def list_between(self, prefix: str, first: str, before: str) -> list[ObjectStat]:
        """List the objects of a folder with `first <= key < before`, sorted by key; GCS is asked for no others."""
        return [stat for stat in self.list_objects(prefix) if first <= stat.key < before]

    def list_folders(self, prefixes: Iterable[str], *, with_crc32c: bool = False) -> list[ObjectStat]:
        """List the objects below prefixes that do not overlap, as `list_objects` does each of them, sorted by key.

        A local lake that is asked for CRC32C reads the bytes once per inode over all of them.
        """
        found = [stat for prefix in prefixes for stat in self.list_objects(prefix, with_crc32c=with_crc32c)]
        return sorted(found, key=lambda stat: stat.key)

    def list_level(self, prefix: str) -> tuple[list[str], list[ObjectStat]]:
        """List one level below `prefix`: its folders, each a prefix, and the objects directly in it; sorted.

        `crc32c` as in a listing that was not asked for it. Both backends look at this level alone.
        """
        found = self.list_objects(prefix)
        rests = [(stat, stat.key.removeprefix(prefix)) for stat in found]
        folders = {f"{prefix}{rest.partition('/')[0]}/" for _, rest in rests if "/" in rest}
        return sorted(folders), [stat for stat, rest in rests if "/" not in rest]

    @abstractmethod
    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        """Read a whole small object with the stat of exactly these bytes. `LakeObjectMissing` (permanent)."""

    @abstractmethod
    def fetch_file(self, key: str, directory: Path) -> Path:
        """Give a local file with the object's bytes, to be read and never changed. `LakeObjectMissing` (permanent).

        A local lake gives the object's own path; GCS downloads into `directory` under a name used once, CRC32C checked.
        """

    @abstractmethod
    def put_file(
        self, path: Path, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """Publish the bytes of a file, which stays the caller's. `LakeConflict` (transient)."""

    @abstractmethod
    def take_file(
        self,
        path: Path,
        key: str,
        *,
        crc32c: str,
        if_generation: int | None = None,
        content_type: str = DEFAULT_CONTENT_TYPE,
    ) -> ObjectStat:
        """Publish a file that is given away: it is gone afterwards, or still there when this raises.

        `crc32c` is of its bytes, as the caller knows it; bytes that move are checked again. `LakeConflict` (transient).
        """

    @abstractmethod
    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """Publish `data`. `LakeConflict` (transient)."""

    @abstractmethod
    def copy(self, source_key: str, key: str, *, if_generation: int | None = None) -> ObjectStat:
        """Publish the bytes of `source_key` under `key` too, without moving them through this process.

        `LakeObjectMissing` (permanent) without a source, `LakeConflict` (transient) for `key`'s generation.
        """

    @abstractmethod
    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        """Remove the object.

        A key that holds nothing is an error, `LakeConflict` (transient), only when a generation > 0 is demanded.
        """

    @abstractmethod
    def uri(self, key: str) -> str:
        """Give what Polars and DuckDB read (without globbing): an absolute path, or `gs://...`."""


def check_key(key: str) -> str:
    """Give `key` back, or raise `LakeError` (permanent) for one that no backend should hold.

    A segment must not start with '.': that rules out '.' and '..', and a local lake keeps its own files so.
    """
    if len(key) <= _LONGEST_KEY_BYTES and _ORDINARY.fullmatch(key):
        return key
    for is_wrong, reason in (
        (not key, "it is empty"),
        (_UNPRINTABLE.search(key), "it contains a control character or half a surrogate pair"),
        (key.startswith("/"), "it starts with '/'"),
        (any(not segment for segment in key.split("/")), "it has an empty segment"),
        (any(segment.startswith(".") for segment in key.split("/")), "a segment starts with '.'"),
    ):
        if is_wrong:
            raise LakeError(f"object key {key!r} is refused: {reason}")
    if len(key.encode()) > _LONGEST_KEY_BYTES:
        raise LakeError(f"object key {key[:80]!r}... is refused: it is longer than {_LONGEST_KEY_BYTES} bytes")
    return key


def check_prefix(prefix: str) -> str:
    """Give `prefix` back, or raise `LakeError` (permanent) when it is neither '' nor a valid key followed by '/'."""
    if prefix:
        if not prefix.endswith("/"):
            raise LakeError(f"listing prefix {prefix!r} is refused: it must be '' or end in '/'")
        check_key(prefix[:-1])
    return prefix


def check_generation(if_generation: int | None) -> int | None:
    """Give `if_generation` back, or raise `LakeError` (permanent) when it is negative."""
    if if_generation is not None and if_generation < 0:
        raise LakeError(f"if_generation {if_generation} is refused: None, 0 or a generation is accepted")
    return if_generation


def describe_conflict(uri: str, *, expected: int | None, found: int) -> LakeConflict:
    """Make the error of a conditional write; generation 0 stands for no object."""
    expected_text = f"generation {expected}" if expected else "no object"
    found_text = f"generation {found}" if found else "no object"
    return LakeConflict(
        f"{uri}: expected {expected_text}, found {found_text}; another writer is at work: read the object again "
        f"and decide anew"
    )
