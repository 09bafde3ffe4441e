"""How requests reach the vendor: trusted certificates, and the proxies that the environment names.

As plain httpx does it: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in any case; SSL_CERT_FILE or SSL_CERT_DIR name
the trusted certificates. (httpx looks at its proxies only where it is given no transport of one's own.)
"""

from __future__ import annotations

import logging
import ssl
from functools import cache
from typing import Self
from urllib.request import getproxies, proxy_bypass

import httpx
from httpx_aiohttp import AiohttpTransport

from market_data.errors import ConfigurationError

# They print addresses, reasons and cookies as they are sent, which may repeat the key or hold another secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("aiohttp").setLevel(logging.ERROR)
# The vendor turns away what many programs call themselves.
USER_AGENT = "market-data/0.1 (Dagster ingestion of tick files)"
_PROXY_SCHEMES = {"http", "https"}


@cache
def _tls_context() -> ssl.SSLContext:
    """Read the machine's trusted certificates once: that costs more than all else in making a client."""
    return httpx.create_ssl_context()


class EnvironmentTransport(httpx.AsyncBaseTransport):
    """Sends each request directly, or through the proxy that the environment names for its address.

    Raises ConfigurationError (permanent) for a proxy that is none.
    """

    def __init__(self, connections: int) -> None:
        self._limits = httpx.Limits(max_connections=connections)
        self._direct = AiohttpTransport(_tls_context(), limits=self._limits)
        self._proxies = getproxies()
        self._by_proxy = {
            name: AiohttpTransport(_tls_context(), limits=self._limits, proxy=_proxy(name, address))
            for name, address in self._proxies.items()
            if name in {*_PROXY_SCHEMES, "all"} and address
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        return await self._transport_to(request.url).handle_async_request(request)

    def _transport_to(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        through = self._by_proxy.get(url.scheme) or self._by_proxy.get("all")
        return self._direct if through is None or proxy_bypass(url.host) else through

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the connections of every way."""
        for transport in (self._direct, *self._by_proxy.values()):
            await transport.aclose()


def _proxy(name: str, address: str) -> httpx.Proxy:
    variable = f"{name.upper()}_PROXY"
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
        is_usable = url.scheme in _PROXY_SCHEMES and url.host
    except httpx.InvalidURL:
        is_usable = False
    if not is_usable:  # its text may hold a password
        raise ConfigurationError(
            f"{variable} names no proxy that can be used: it has to be http://HOST:PORT or https://HOST:PORT (SOCKS is "
            "not supported); take it away, or name the vendor's hosts in NO_PROXY"
        )
    return httpx.Proxy(url)
