"""The ways to the vendor: straight, or through the proxies and with the certificates that the environment names."""

from __future__ import annotations

import asyncio
import http.server
import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from market_data.demo.vendor_at_hand import open_vendor
from market_data.errors import ConfigurationError, VendorUnavailable
from market_data.settings import load_settings
from market_data.vendor import transport
from market_data.vendor.client import TardisClient
from market_data_tests.lying_vendor import KEY, LyingVendor, lying_vendor

pytestmark = pytest.mark.usefixtures("retries_without_waits")
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def vendor() -> Iterator[LyingVendor]:
    with lying_vendor() as running:
        yield running


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy; give its address and what it was asked for."""
    asked: list[str] = []
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            with straight.open(urllib.request.Request(self.path)) as answer:  # noqa: S310
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:
            asked.append(f"CONNECT {self.path}")
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> object:
    async def details() -> object:
        async with TardisClient(api_url=url, datasets_url=url, api_key=KEY) as client:
            return (await client.exchange("BINANCE"))["id"]

    return asyncio.run(details())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_the_vendor_is_asked_through_the_proxy_of_the_environment(
    vendor: LyingVendor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with proxy() as (address, asked):
        # urllib, whose reading of the environment is used, takes the small letters where both are there
        monkeypatch.setenv(name, address)
        assert ask(vendor.url) == "binance"
    assert asked == [f"{vendor.url}/exchanges/binance"]


@pytest.mark.parametrize("hosts", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_hosts_of_no_proxy_are_asked_straight(vendor: LyingVendor, monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    with proxy() as (address, asked):
        monkeypatch.setenv("HTTP_PROXY", address)
        monkeypatch.setenv("NO_PROXY", hosts)
        assert ask(vendor.url) == "binance"
    assert asked == []


def test_an_address_with_tls_goes_through_a_tunnel_of_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises(VendorUnavailable, match="502"):
            ask("https://127.0.0.1:1/v1")
    assert set(asked) == {"CONNECT 127.0.0.1:1"}


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate that no authority has signed, of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a vendor on this machine")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def vendor_with_tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A vendor whose certificate is its own; give its address and the certificate."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"id": "binance"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", certificate
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def certificates_of_a_new_process() -> Iterator[None]:
    """The environment's certificates are read once by a process."""
    transport._tls_context.cache_clear()
    yield
    transport._tls_context.cache_clear()


@pytest.mark.usefixtures("certificates_of_a_new_process")
def test_a_certificate_is_trusted_where_ssl_cert_file_says_so(
    vendor_with_tls: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = vendor_with_tls
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(url) == "binance"


@pytest.mark.usefixtures("certificates_of_a_new_process")
def test_a_certificate_that_nobody_trusts_is_refused(vendor_with_tls: tuple[str, Path]) -> None:
    with pytest.raises(VendorUnavailable, match=r"[Cc]ertificate"):
        ask(vendor_with_tls[0])


def test_a_proxy_that_does_not_answer_is_told_and_its_password_is_not(
    vendor: LyingVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    with pytest.raises(VendorUnavailable, match=r"details of BINANCE: http://127") as caught:
        ask(vendor.url)
    assert "secret" not in repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "http://", "ftp://127.0.0.1"])
def test_what_is_no_proxy_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY names no proxy that can be used"):
        ask("http://127.0.0.1:1")


def test_the_simulator_is_reached_where_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.setenv("no_proxy", "example.com")  # to be put back after the test, as what is set here
    with open_vendor(load_settings({"MARKET_DATA_VENDOR": "simulator"})) as served:
        assert ask(served.api_url) == "binance"
