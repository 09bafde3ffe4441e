"""Whoever is told what needs a person: an HTTP server on loopback that keeps what it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "T0KEN-of-the-address"


@dataclass
class Receiver:
    """`bodies` are the messages in their order; the next ones are answered by `answers`, then by 200."""

    url: str = ""
    bodies: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was told."""
        return [json.loads(body) for body in self.bodies]


@contextmanager
def receive(answers: Sequence[int] = ()) -> Iterator[Receiver]:
    """Run a receiver at an address with a token."""
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.bodies.append(body)
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's signature
            """Keep the terminal quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook/{TOKEN}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
