"""One message to an address of the user's, as a POST of JSON. The address is a secret: such URLs hold tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
import stamina

from market_data.errors import AlertUndelivered
from market_data.vendor.secret import Secret
from market_data.vendor.transport import USER_AGENT

_ATTEMPTS = 3
_PATIENCE_SECONDS = 5.0


class _PassingRefusal(Exception):
    """It may be taken when it is sent again; the text names no address."""


def post_message(url: str, document: Mapping[str, object], *, key: str = "") -> None:
    """POST a document, three times at most; `key` is never in it. Raises AlertUndelivered (transient)."""
    body = Secret(key).hide(json.dumps(document))
    try:
        for attempt in stamina.retry_context(on=_PassingRefusal, attempts=_ATTEMPTS, wait_initial=0.5, wait_max=2):
            with attempt:
                _post(url, body)
    except _PassingRefusal as error:
        raise AlertUndelivered(
            f"the address in MARKET_DATA_ALERT_URL took no message, {_ATTEMPTS} times: {error}. It is tried again at "
            "the next look"
        ) from None


def _post(url: str, body: str) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    try:
        response = httpx.post(url, content=body, headers=headers, timeout=_PATIENCE_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # their texts may hold the address
        raise _PassingRefusal(f"the connection failed ({type(error).__name__})") from None
    if response.is_success:
        return
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _PassingRefusal(f"it answered {response.status_code}")
    raise AlertUndelivered(
        f"the address in MARKET_DATA_ALERT_URL refused a message: it answered {response.status_code}. See that the "
        "address is right, and takes a POST of JSON"
    )
