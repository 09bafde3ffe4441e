"""A lake in a Google Cloud Storage bucket: preconditions on every mutation, CRC32C on every byte.

Retries belong to google-cloud-storage. A retried write whose first answer was lost would meet its own object and look
like a conflict, so every write and copy carries a random `write_id` in the object's metadata: an object found under
the key that carries this id is this very write, whoever else is at work.
"""

from __future__ import annotations

import io
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import google_crc32c
from google.api_core.exceptions import (
    ClientError,
    Forbidden,
    GatewayTimeout,
    GoogleAPICallError,
    NotFound,
    PreconditionFailed,
    RetryError,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from market_data.errors import LakeConflict, LakeError, LakeObjectMissing, LakeUnavailable
from market_data.lake.base import (
    DEFAULT_CONTENT_TYPE,
    ObjectStat,
    check_generation,
    check_key,
    check_prefix,
    describe_conflict,
)
from market_data.lake.checksum import compute_crc32c, encode_crc32c
from market_data.lake.copying import CopyingLake
from market_data.lake.disk import scratch_errors

_UPLOAD_CHUNK_BYTES = 8 * 2**20  # google-cloud-storage sends more than this in chunks, less in one request
_CONNECTIONS = 32
_REFUSED_OR_ALREADY_DONE = {404, 410, 412}
_UNANSWERED = (RetryError, ServerError, TooManyRequests, GatewayTimeout, RequestException, TransportError)


class GcsLake(CopyingLake):
    """The lake in `bucket` below `prefix` ('' for the whole bucket).

    `client_factory` is called once in each process, at the first request; the usual one takes the default credentials,
    or none for an emulator. A request that fails in a way that may pass is repeated for `retry_seconds` before
    `LakeUnavailable` (transient) is raised.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client_factory: Callable[[], Client] = Client,
        retry_seconds: float = 120.0,
    ) -> None:
        self.url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._bucket_name = bucket
        self._name_start = f"{prefix}/" if prefix else ""
        self._client_factory = client_factory
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)
        self._clients: dict[int, Client] = {}
        self._client_locks: dict[int, threading.Lock] = {}
        self._has_seen_bucket = False

    def stat(self, key: str) -> ObjectStat | None:
        """See `TickLake.stat`."""
        with self._named_errors(f"look at {check_key(key)}"):
            blob = self._load(key)
        return self._describe(blob, key) if blob is not None else None

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        """See `TickLake.list_objects`: the CRC32C comes with every listing."""
        del with_crc32c
        return self._list(prefix)

    def list_between(self, prefix: str, first: str, before: str) -> list[ObjectStat]:
        """See `TickLake.list_between`."""
        bounds = {"start_offset": self._name_start + first, "end_offset": self._name_start + before}
        return [stat for stat in self._list(prefix, **bounds) if first <= stat.key < before]

    def list_level(self, prefix: str) -> tuple[list[str], list[ObjectStat]]:
        """See `TickLake.list_level`."""
        folders, found = self._list_page_by_page(prefix, delimiter="/")
        return [folder for folder in folders if _is_shown(folder[:-1])], found

    def _list(self, prefix: str, **bounds: str) -> list[ObjectStat]:
        return self._list_page_by_page(prefix, **bounds)[1]

    def _list_page_by_page(self, prefix: str, **options: str) -> tuple[list[str], list[ObjectStat]]:
        """Return the folders (of a listing with a delimiter) and the objects below a prefix, sorted."""
        with self._named_errors(f"list {check_prefix(prefix) or 'the lake'}"):
            pages = self._client().list_blobs(
                self._bucket_name,
                prefix=self._name_start + prefix,
                **options,
                fields="items(name,size,generation,crc32c),prefixes,nextPageToken",
                retry=self._retry,
            )
            blobs = list(pages)
            self._has_seen_bucket = True
        keyed = ((blob.name.removeprefix(self._name_start), blob) for blob in blobs)
        found = [self._describe(blob, key) for key, blob in keyed if _is_shown(key)]
        folders = sorted(name.removeprefix(self._name_start) for name in pages.prefixes)
        return folders, sorted(found, key=lambda stat: stat.key)

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        """See `TickLake.get_bytes`."""
        stream = io.BytesIO()
        blob = self._download(key, stream)
        data = stream.getvalue()
        return data, ObjectStat(key, len(data), blob.generation, encode_crc32c(google_crc32c.value(data)))

    def fetch_file(self, key: str, directory: Path) -> Path:
        """Download the object into `directory`. See `TickLake.fetch_file`."""
        path = directory / f"{uuid.uuid4().hex}-{check_key(key).rpartition('/')[2][-80:]}"
        try:
            with scratch_errors(f"downloading {self.uri(key)}", directory), path.open("xb") as stream:
                self._download(key, stream)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def put_file(
        self, path: Path, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """See `TickLake.put_file`."""
        try:
            with path.open("rb") as stream:
                return self._put(stream, key, if_generation, content_type)
        except OSError as error:
            raise LakeError(f"cannot read {path} to write {self.uri(key)}: {error}") from error

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        """See `TickLake.put_bytes`."""
        return self._put(io.BytesIO(data), key, if_generation, content_type)

    def copy(self, source_key: str, key: str, *, if_generation: int | None = None) -> ObjectStat:
        """Rewrite the object inside GCS. See `TickLake.copy`."""
        action = f"copy {check_key(source_key)} to {check_key(key)}"
        with self._named_errors(action):
            source = self._load(source_key)
            if source is None:
                raise LakeObjectMissing(f"{self.uri(source_key)} is not in the lake: cannot {action}")
            copied = self._blob(key)
            copied.content_type = source.content_type
            wanted = self._describe(source, source_key)
            return self._write(copied, key, if_generation, wanted, lambda: self._rewrite(source, copied, if_generation))

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        """See `TickLake.delete`."""
        failures: list[Exception] = []
        delete = partial(
            self._blob(check_key(key)).delete, if_generation_match=check_generation(if_generation), retry=None
        )
        with self._named_errors(f"delete {key}"):
            try:
                self._retry(delete, on_error=failures.append)()
            except (NotFound, PreconditionFailed) as error:
                found = self._load(key)
                # After a failed attempt the object may be gone by our own hand: what was asked for is the case.
                if found is None and (failures or not if_generation):
                    return
                raise self._conflict(key, if_generation, found) from error

    def uri(self, key: str) -> str:
        """See `TickLake.uri`."""
        return f"gs://{self._bucket_name}/{self._name_start}{check_key(key)}"

    def _client(self) -> Client:
        process_id = os.getpid()  # a client inherited through fork shares its parent's sockets and breaks
        with self._client_locks.setdefault(process_id, threading.Lock()):
            if process_id not in self._clients:
                client = self._client_factory()
                for scheme in ("https://", "http://"):
                    adapter = HTTPAdapter(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS)
                    client._http.mount(scheme, adapter)  # noqa: SLF001  the client has no public way to size its pool
                self._clients[process_id] = client
            return self._clients[process_id]

    def _blob(self, key: str) -> Blob:
        with self._named_errors(f"name {key}"):
            return self._client().bucket(self._bucket_name).blob(self._name_start + key)

    def _load(self, key: str) -> Blob | None:
        blob = self._blob(key)
        try:
            blob.reload(projection="noAcl", retry=self._retry)
        except NotFound:
            self._require_bucket()
            return None
        return blob

    def _require_bucket(self) -> None:
        """Tell a missing bucket from a missing object; listing needs no right that a reader of the lake lacks."""
        if not self._has_seen_bucket:
            list(self._client().list_blobs(self._bucket_name, max_results=1, retry=self._retry))
            self._has_seen_bucket = True

    def _describe(self, blob: Blob, key: str) -> ObjectStat:
        if not blob.crc32c or not blob.generation:
            raise LakeError(f"{self.uri(key)}: the store gave no CRC32C or no generation, so nothing can be proven")
        return ObjectStat(key, int(blob.size), int(blob.generation), str(blob.crc32c))

    def _conflict(self, key: str, expected: int | None, found: Blob | None) -> LakeConflict:
        return describe_conflict(self.uri(key), expected=expected, found=found.generation if found else 0)

    def _download(self, key: str, stream: BinaryIO) -> Blob:
        blob = self._blob(check_key(key))
        with self._named_errors(f"read {key}"):
            try:
                blob.download_to_file(stream, raw_download=True, checksum="crc32c", retry=self._retry)
            except NotFound as error:
                self._require_bucket()
                raise LakeObjectMissing(f"{self.uri(key)} is not in the lake") from error
        return blob

    def _put(self, stream: BinaryIO, key: str, if_generation: int | None, content_type: str) -> ObjectStat:
        blob = self._blob(check_key(key))
        crc32c = compute_crc32c(stream)
        wanted = ObjectStat(key, stream.tell(), 0, crc32c)
        is_one_request = wanted.size_bytes <= _UPLOAD_CHUNK_BYTES
        blob.chunk_size = None if is_one_request else _UPLOAD_CHUNK_BYTES
        upload = partial(
            blob.upload_from_file,
            stream,
            rewind=True,
            size=wanted.size_bytes,
            content_type=content_type,
            if_generation_match=check_generation(if_generation),
            # Chunked: declared up front, since the library answers a mismatch that it finds itself with an
            # unconditional delete, which could hit another writer's object.
            checksum="crc32c" if is_one_request else None,
            crc32c_checksum_value=crc32c,
            retry=self._retry,
        )
        with self._named_errors(f"write {key}"):
            return self._write(blob, key, if_generation, wanted, upload)

    def _write(
        self, blob: Blob, key: str, if_generation: int | None, wanted: ObjectStat, send: Callable[[], None]
    ) -> ObjectStat:
        write_id = uuid.uuid4().hex
        blob.metadata = {"write_id": write_id}
        try:
            send()
        except ClientError as error:
            if error.code not in _REFUSED_OR_ALREADY_DONE:
                raise
            found = self._load(key)
            if found is None or (found.metadata or {}).get("write_id") != write_id:
                if error.code == PreconditionFailed.code:
                    raise self._conflict(key, if_generation, found) from error
                raise LakeUnavailable(
                    f"cannot write {self.uri(key)}: the upload's session or the copy's source is gone: {error}"
                ) from error
            blob = found  # written by an attempt whose answer was lost
        written = self._describe(blob, key)
        if (written.size_bytes, written.crc32c) != (wanted.size_bytes, wanted.crc32c):
            self.delete(key, if_generation=written.generation)
            raise LakeUnavailable(f"{self.uri(key)} arrived damaged and was deleted: {wanted} sent, {written} stored")
        return written

    def _rewrite(self, source: Blob, copied: Blob, if_generation: int | None) -> None:
        token: str | None = None
        while True:
            token, _, _ = copied.rewrite(
                source, token=token, if_generation_match=check_generation(if_generation), retry=self._retry
            )
            if token is None:
                return

    @contextmanager
    def _named_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except _UNANSWERED as error:
            raise LakeUnavailable(f"cannot {action} in {self.url}: the store did not answer: {error}") from error
        except DataCorruption as error:
            raise LakeUnavailable(f"cannot {action} in {self.url}: bytes arrived damaged: {error}") from error
        except NotFound as error:
            raise LakeError(
                f"cannot {action}: the bucket {self._bucket_name!r} does not exist or this account cannot see it; "
                f"create it, or correct the lake URL {self.url}"
            ) from error
        except (Forbidden, Unauthorized) as error:
            raise LakeError(
                f"cannot {action} in {self.url}: {error}; grant this account roles/storage.objectUser on the bucket "
                f"(roles/storage.objectViewer is enough to read)"
            ) from error
        except GoogleAuthError as error:
            raise LakeError(
                f"cannot {action} in {self.url}: no usable Google credentials: {error}; run `gcloud auth "
                f"application-default login`, or run under a service account"
            ) from error
        except GoogleAPICallError as error:
            raise LakeError(f"cannot {action} in {self.url}: {error}") from error


def _is_shown(key: str) -> bool:
    return all(segment and not segment.startswith(".") for segment in key.split("/"))
