"""A vendor that answers as the real one does, but for one address, where it lies in every way that a socket allows.

It is written to the wire by hand, so that nothing sane stands between a lie and the client.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

KEY = "TD.lying-vendor-0123456789abcdef"
DAY = "2024-08-08"
VENUE = "binance"
_START_US = 1_723_075_200_000_000
HEADERS = {
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "quotes": "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
}
CELLS = {"trades": "{id},buy,{price},1", "quotes": "1,{ask},{price},1"}
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def tick_text(data_type: str, symbol: str, rows: int = 20) -> bytes:
    """Give a tick file's text: one row a minute."""
    lines = [HEADERS[data_type]]
    for number in range(rows):
        at = _START_US + 60_000_000 * (number + 1)
        cells = CELLS[data_type].format(id=number, price=100 + number, ask=101 + number)
        lines.append(f"{VENUE},{symbol},{at},{at + 1000},{cells}")
    return "\n".join([*lines, ""]).encode()


def details(symbols: tuple[str, ...] = SYMBOLS) -> dict[str, Any]:
    """Give what `/exchanges/:exchange` says."""
    row = {"type": "spot", "dataTypes": sorted(HEADERS), "availableSince": "2024-08-01T00:00:00.000Z"}
    rows = [{"id": symbol, **row, "availableTo": "2024-08-10T00:00:00.000Z"} for symbol in symbols]
    return {
        "id": VENUE,
        "name": "Binance",
        "availableSince": "2024-08-01T00:00:00.000Z",
        "datasets": {"formats": ["csv"], "exportedUntil": "2024-08-10T00:00:00.000Z", "symbols": rows},
    }


def definitions(symbols: tuple[str, ...] = SYMBOLS) -> list[dict[str, Any]]:
    """Give what `/instruments/:exchange` says."""
    return [
        {
            "id": symbol,
            "datasetId": symbol,
            "exchange": VENUE,
            "baseCurrency": symbol[:3],
            "quoteCurrency": "USDT",
            "type": "spot",
            "active": True,
            "availableSince": "2024-08-01T00:00:00.000Z",
            "priceIncrement": 0.01,
            "changes": [{"until": "2024-08-05T00:00:00.000Z", "priceIncrement": 0.1}],
        }
        for symbol in symbols
    ]


@dataclass
class Answer:
    """One answer in its parts; `headers` are written as they are, `pieces` after pauses where it drips."""

    status_line: bytes = b"HTTP/1.1 200 OK"
    headers: list[bytes] = field(default_factory=list)
    body: bytes = b""
    is_endless: bool = False
    drips: bool = False

    def with_length(self) -> Answer:
        """Give the answer with its true length."""
        self.headers.append(b"Content-Length: %d" % len(self.body))
        return self


Lie = Callable[[Answer], Answer]


class LyingVendor:
    """Serves one venue-day; `lies` maps the end of an address to what becomes of its honest answer."""

    def __init__(self) -> None:
        self.lies: dict[str, Lie] = {}
        self.details: Any = details()
        self.definitions: Any = definitions()
        self.files: dict[str, bytes] = {
            f"{data_type}/2024/08/08/{symbol}.csv.gz": gzip.compress(tick_text(data_type, symbol), mtime=0)
            for data_type in HEADERS
            for symbol in SYMBOLS
        }
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._is_closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop; what drips stops too."""
        self._is_closed.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while not self._is_closed.is_set():
                line = stream.readline()
                while stream.readline() not in {b"\r\n", b"\n", b""}:
                    pass
                words = line.split()
                if len(words) < 2 or not self._answer(connection, words[1].decode("latin-1")):
                    connection.shutdown(socket.SHUT_RDWR)
                    return

    def _answer(self, connection: socket.socket, path: str) -> bool:
        """Answer once; give whether the connection goes on."""
        self.asked.append(path)
        answer = self._honest(path)
        lie = next((lie for end, lie in self.lies.items() if path.endswith(end)), Answer.with_length)
        answer = lie(answer)
        head = b"\r\n".join([answer.status_line, *answer.headers]) + b"\r\n\r\n"
        if answer.drips:
            for at in range(len(head)):
                if self._is_closed.wait(0.2):
                    return False
                connection.sendall(head[at : at + 1])
        connection.sendall(head + answer.body)
        while answer.is_endless and not self._is_closed.is_set():
            connection.sendall(b"x" * 65_536)
        return lie is Answer.with_length

    def _honest(self, path: str) -> Answer:
        if path.endswith(f"/exchanges/{VENUE}"):
            return Answer(body=_json(self.details))
        if path.endswith(f"/instruments/{VENUE}"):
            return Answer(body=_json(self.definitions))
        body = self.files.get(path.partition(f"/{VENUE}/")[2])
        if body is None:
            return Answer(b"HTTP/1.1 400 Bad Request", body=b'{"code": 300, "message": "no such file"}')
        return Answer(body=body)


def _json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@contextlib.contextmanager
def lying_vendor() -> Iterator[LyingVendor]:
    """Run such a vendor on a port of its own."""
    vendor = LyingVendor()
    try:
        yield vendor
    finally:
        vendor.close()


_KEY = KEY.encode()
_DEEP = b"[" * 100_000 + b"]" * 100_000
_MEGABYTES = 300


@dataclass(frozen=True)
class Change:
    """A lie in parts: what takes the place of the honest status line and body, more headers, the true length or none.

    `cut` leaves so many sixths of the body, behind a length that promises all of it; `behind` is sent after it.
    """

    status: bytes | None = None
    headers: tuple[bytes, ...] = ()
    body: bytes | None = None
    has_length: bool = True
    cut: int = 6
    behind: bytes = b""
    is_endless: bool = False
    drips: bool = False

    def __call__(self, answer: Answer) -> Answer:
        """Give the lie."""
        body = answer.body if self.body is None else self.body
        length = [b"Content-Length: %d" % len(body)] if self.has_length else []
        return Answer(
            answer.status_line if self.status is None else self.status,
            [*length, *self.headers],
            body[: len(body) * self.cut // 6] + self.behind,
            self.is_endless,
            self.drips,
        )


STATUS_LINES = [
    b"HTP/1.1 200 OK", b"HTTP/1.1 OK", b"HTTP/9.9 200 OK", b"HTTP/1.1 99 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 -200 OK",
    b"HTTP/1.1 2O0 OK", b"", b"\x00\x01\x02", b"GET / HTTP/1.1", b"HTTP/1.1 200 " + b"x" * 100_000, b"HTTP/1.1 204 No",
    b"HTTP/1.1 206 Partial", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 101 Switching", b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 200 \xff\xfe", b"<html>", b"HTTP/1.0 200 OK", b"HTTP/1.1  200  OK", b"HTTP/1.1 200 " + _KEY,
    b"HTTP/2 200", b"200 OK", b'{"message": 1}', _KEY,
]  # fmt: skip
NUMBERS = [
    b"-1", b"+5", b"1e3", b"0x10", "²".encode(), b"\xef\xbc\x91\xef\xbc\x92", b"9" * 400, b"", b"5, 5",
    b"5", b"0", b"1.5", b"nan", b"99999999999999", b"99999999999999999999", b"inf",
    b"Wed, 21 Oct 2099 07:28:00 GMT", b"Wed, 99 Foo 0000", b"None",
    b"\xff", b"1 2", b"1_000", b"Fri, 31 Dec 9999 23:59:59 +9999",
]  # fmt: skip
ODD_HEADERS = [
    b"X-Long: " + b"a" * 100_000, b"NoColon", b"X Space: 1", b": nameless", b"X-Nul: a\x00b", b" folded: x",
    "X-Ü: ü".encode(), b"X-Raw: \xff\xfe", b"Set-Cookie: \x00=;;;=", b"Set-Cookie: a=" + b"b" * 5000, b"X-CR: a\rb",
    b"Connection: close, keep-alive", b"Upgrade: h2c", b"Content-Type: text/html; charset=hex", b"Trailer: X",
    b"Content-Type: application/json; charset=utf-7", b"Content-Type: \xff/\xff; charset=\xff", b"Keep-Alive: x",
    b"Content-Type: ;;;charset=;;", b"ETag: " + _KEY, b"x-md5: " + _KEY, b"X-Key: " + _KEY, b"X-\x00: " + _KEY,
    b"Last-Modified: Bearer " + _KEY, b"ETag: \xff", b"Content-Range: bytes 0-5/3", b"Location: " + _KEY,
    b"X-Long: " + _KEY * 4000, _KEY,
]  # fmt: skip
ENCODINGS = [
    b"br", b"zstd", b"gzip", b"deflate", b"gzip, gzip", b"x" * 1000, b"identity", b"", b"GZIP", b"\xff", b"compress",
    b"identity, gzip", b"x-gzip", b"gzip;q=1", _KEY,
]  # fmt: skip
CHUNKS = [
    b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc\r\n", b"ffffffffffffffffffff\r\nabc", b"3\r\nabc", b"0\r\n\r\n", b"",
    b"3\r\nabcdef\r\n0\r\n\r\n", b"3;x=" + b"y" * 70_000 + b"\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n",
    b"0\r\nX-T: \x00\r\n\r\n", _KEY + b"\r\n",
]  # fmt: skip
# Addresses of this machine only, or of none.
LOCATIONS = [
    b"http://[::1", b"http://", b"//", b"javascript:x", b"http://\x00", b"http://127.0.0.1:99999/", b"http:///x", b"",
    b"http://127.0.0.1:1/", b"ftp://127.0.0.1/", b"\xff", b"http://127.0.0.1:x/", b"%zz", b"../" * 2000, b"?" + _KEY,
    b"http://user:" + _KEY + b"@127.0.0.1:1/", b"http://127.0.0.1:-1/", b"://", b"file:///etc/passwd", b"http:x",
    b"http://127.0.0.1:1/" + b"a" * 70_000, b"https://127.0.0.1:1/", b"http://[::ffff:7f00:1]:1/",
    b"http://127.0.0.1:1/\r",
]  # fmt: skip
STATUSES = [b"400", b"401", b"403", b"404", b"410", b"418", b"429", b"500", b"503", b"599"]
REFUSALS = [
    b"", b"{}", b"[]", b"null", b'"x"', _DEEP, b'{"message": null}', b'{"code": {"a": 1}, "message": [1]}', _KEY,
    b"\xff\xfe\x00", b'{"message": "' + _KEY + b'"}', b'{"retryAfterSeconds": "\xc2\xb2"}', b'{"message": "\\ud800"}',
    b'{"retryAfterSeconds": 1e400}', b'{"code": 274, "retryAfterSeconds": -5}', b"<html>" + b"x" * 3_000_000,
    b'{"code": ', b'{"code": 274, "retryAfterSeconds": 99999999999999999999}', b'{"message": {"x": ' + _DEEP + b"}}",
    b"ISO 8601 format", b'{"code": 1' + b"0" * 5000 + b"}", b'{"message": NaN}',
]  # fmt: skip


def http_lies(seed: int = 1) -> dict[str, Change]:
    """Give what can be wrong with an answer whatever it is of, by name."""
    chance = random.Random(seed)
    lies = {
        "10,000 headers": Change(headers=tuple(b"X-%d: 1" % number for number in range(10_000))),
        "two encodings": Change(headers=(b"Transfer-Encoding: gzip, chunked",)),
        "a bomb": Change(headers=(b"Content-Encoding: gzip",), body=_bomb()),
        "an endless refusal": Change(b"HTTP/1.1 500 No", is_endless=True, has_length=False),
        "random bytes": Change(chance.randbytes(300), body=b""),
    }
    lies |= {f"status line {line[:20]!r}": Change(line) for line in STATUS_LINES}
    lies |= {f"length {number[:20]!r}": _length(number, has_length=False) for number in NUMBERS}
    lies |= {f"two lengths {number[:20]!r}": _length(number, has_length=True) for number in NUMBERS}
    lies |= {f"wait {number[:20]!r}": _wait(chance.choice((b"429", b"403", b"503")), number) for number in NUMBERS}
    lies |= {f"header {header[:24]!r}": Change(headers=(header,)) for header in ODD_HEADERS}
    lies |= {f"encoding {name[:20]!r}": Change(headers=(b"Content-Encoding: " + name,)) for name in ENCODINGS}
    chunked = (b"Transfer-Encoding: chunked",)
    lies |= {f"chunks {chunk[:20]!r}": Change(headers=chunked, body=chunk, has_length=False) for chunk in CHUNKS}
    lies |= {
        f"redirect {to[:20]!r}": Change(
            b"HTTP/1.1 %s Go" % chance.choice((b"301", b"302", b"307")), (b"Location: " + to,), b"x"
        )
        for to in LOCATIONS
    }
    lies |= {
        f"{status.decode()} with {refusal[:24]!r}": Change(b"HTTP/1.1 %s No" % status, body=refusal)
        for refusal in REFUSALS
        for status in chance.sample(STATUSES, 3)
    }
    lies |= {f"ends after {sixths} sixths": Change(cut=sixths) for sixths in range(6)}
    return lies | {f"{count} bytes more than said": Change(behind=b"y" * count) for count in (1, 50, 100_000)}


def _length(number: bytes, *, has_length: bool) -> Change:
    return Change(headers=(b"Content-Length: " + number,), has_length=has_length)


def _wait(status: bytes, number: bytes) -> Change:
    return Change(b"HTTP/1.1 %s No" % status, (b"Retry-After: " + number,), b"")


def _bomb() -> bytes:
    """One megabyte packed once: after a full flush the next one packs to the same bytes."""
    megabyte, packer, checksum = b" " * 2**20, zlib.compressobj(9, wbits=-15), 0
    piece = packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(_MEGABYTES):
        checksum = zlib.crc32(megabyte, checksum)
    tail = packer.flush() + struct.pack("<LL", checksum, _MEGABYTES * 2**20)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * _MEGABYTES + tail


def body_lies() -> dict[str, Change]:
    """Give what can be wrong with the body of a tick file, by name."""
    text = tick_text("trades", "BTCUSDT")
    whole = gzip.compress(text, mtime=0)

    def packed(old: bytes, new: bytes, count: int = 1) -> bytes:
        assert old in text
        return gzip.compress(text.replace(old, new, count), mtime=0)

    bodies = {
        "the key": _KEY,
        "an echo of the request": b"GET / HTTP/1.1\r\nAuthorization: Bearer " + _KEY,
        "the key in a cell": packed(b"buy", _KEY),
        "the key in the header line": gzip.compress(_KEY + b",symbol\n1,2\n"),
        "the key behind a member": whole + _KEY,
        "the key in the gzip's name": b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03" + _KEY + b"\x00" + whole[10:],
        "zeros behind": whole + bytes(512),
        "zeros between": whole + bytes(64) + whole,
        "two members": gzip.compress(text[:300]) + gzip.compress(text[300:]),
        "an empty member behind": whole + gzip.compress(b""),
        "nothing": b"",
        "one byte": b"\x1f",
        "half a member": whole[: len(whole) // 2],
        "a wrong checksum": whole[:-8] + bytes(4) + whole[-4:],
        "another type": gzip.compress(tick_text("quotes", "BTCUSDT"), mtime=0),
        "no last line end": gzip.compress(text[:-1]),
        "a cell too many": packed(b",1\n", b",1,1\n"),
        "a cell too few": packed(b",1\n", b"\n"),
        "no number": packed(b",100,", b",abc,"),
        "a huge number": packed(b",100,", b"," + b"9" * 400 + b","),
        "not UTF-8": packed(b"buy", b"\xff\xfe"),
        "NUL": packed(b"buy", b"b\x00y"),
        "quotes": packed(b"buy", b'"buy"'),
        "a far year": packed(b",17230", b",99999999930"),
        "a negative time": packed(b",17230", b",-17230"),
        "carriage returns": packed(b"\n", b"\r\n", -1),
        "another symbol": packed(b"BTCUSDT", b"ETHUSDT", -1),
        "a bomb of lines": gzip.compress(b"\n" * 70_000_000),
    }
    return {name: Change(body=body) for name, body in bodies.items()}


DRIPS = {
    "headers drip": Change(headers=(b"X-Long: " + b"a" * 4000,), drips=True),
    "a page that never ends": Change(body=b"", is_endless=True, has_length=False),
}


# What a lie puts into a JSON document.
ODD_VALUES: tuple[Any, ...] = (
    None, "", "x", 0, -1, 10**400, 1.5, float("nan"), float("inf"), True, [], {}, [None], {"a": None}, "\ud800",
    "2024-08-08", "9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00Z", "not a day", 1723075200, "a" * 5000, "a/../b",
    "x:y", "\x00", KEY,
)  # fmt: skip


def edited(document: Any, chance: random.Random) -> tuple[Any, str]:
    """Give a document with one to three odd values in it, and what was done."""
    changed, done = json.loads(json.dumps(document)), []
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(list(_places(changed)))
        place = changed
        for name in path[:-1]:
            place = place[name]
        if chance.random() < 0.2:
            del place[path[-1]]
            done.append(f"without {path}")
        else:
            place[path[-1]] = chance.choice(ODD_VALUES)
            done.append(f"{path} = {str(place[path[-1]])[:30]!r}")
        if not list(_places(changed)):
            break
    return changed, ", ".join(done)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from _places(inner, (*path, name))
