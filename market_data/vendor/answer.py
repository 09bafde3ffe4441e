"""An HTTP answer of the vendor's as it was, for whoever judges the vendor itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_REFUSALS_FROM = 300
_QUOTED_BYTES = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a request without a key; `body` is its beginning, `error` says what broke instead of one.

    `value` is that of a JSON body, None for any other. `url` is what was asked for, `hosts` are those that redirects
    led to. Names of headers are in small letters.
    """

    url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    value: Any = None
    hosts: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    @property
    def refusal(self) -> str | None:
        """What a refusal says, on one line; None of what is none."""
        if self.status < _REFUSALS_FROM:
            return None
        return " ".join(self.body.decode("utf-8", "replace").split())

    def __str__(self) -> str:
        if self.error:
            return f"{self.url}: {self.error}"
        told = f" ({self.refusal[:_QUOTED_BYTES]})" if self.refusal else ""
        return f"{self.url} answered {self.status}{told}"
