"""How long tests wait for what is bound to come.

Nothing is measured by these bounds: they only end a wait that would last for ever. They are far longer than anything
takes on a machine with five times more to do than it can, so that no test depends on how busy it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 600.0


def wait_until(is_true: Callable[[], bool], what: str | Callable[[], str], look_every_seconds: float = 0.25) -> None:
    """Look again and again; `what` tells in the error what did not come, a callable as things stand then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise TimeoutError(f"gave up after {PATIENCE_SECONDS:.0f} s waiting until {told}")
        time.sleep(look_every_seconds)
