"""The key, as something that must not be found in what the vendor answers."""

from __future__ import annotations

import re

from market_data.errors import VendorError

# Any sign that a terminal may obey, and others: those of ASCII that are printed, and the line's end, are none.
_SUSPECT = re.compile(r"[^\n -~]")


class Secret:
    """The key, as something that must not be found: in an answer's text, headers or body."""

    _SHORTEST = 8  # what is shorter may stand anywhere by chance

    def __init__(self, key: str) -> None:
        self._key = key
        self._bytes = key.encode() if len(key) >= self._SHORTEST else b""

    def hide(self, text: str) -> str:
        """Return text of the vendor's that may go anywhere: without the key, and without what a terminal obeys."""
        hidden = text.replace(self._key, "***") if self._key else text
        return _SUSPECT.sub(lambda sign: sign[0] if sign[0].isprintable() else ascii(sign[0])[1:-1], hidden)

    def is_in(self, data: bytes) -> bool:
        """Whether some bytes repeat the key."""
        return bool(self._bytes) and self._bytes in data

    def hide_cause(self, error: BaseException) -> BaseException | None:
        """Return an error that may be told as a cause; None for one that repeats the key, or whose cause does."""
        cause: BaseException | None = error
        while cause is not None:
            if self._key and self._key in str(cause):
                return None
            cause = cause.__cause__ or cause.__context__
        return error

    def watch(self, what: str) -> KeyWatch:
        """Return what looks at the pieces of one body, in their order."""
        return KeyWatch(what, self._bytes)


class KeyWatch:
    """Looks at one body piece by piece; raises VendorError (permanent) where it repeats the key, also over a seam.

    It may be sent to another process of this machine.
    """

    def __init__(self, what: str, key: bytes) -> None:
        self._what = what
        self._key = key
        self._before = b""

    def __call__(self, piece: bytes) -> None:
        """Look at the next piece."""
        if not self._key:
            return
        seam_bytes = len(self._key) - 1
        if self._key in piece or self._key in self._before + piece[:seam_bytes]:
            raise VendorError(f"{self._what}: the answer repeats the key. Nothing of it is kept; tell the vendor")
        self._before = (self._before + piece[-seam_bytes:])[-seam_bytes:]
