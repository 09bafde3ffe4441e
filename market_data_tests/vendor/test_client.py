"""The vendor's client against a vendor that answers as the real one does, and worse."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import google_crc32c
import pytest

from market_data.errors import (
    MarketDataError,
    VendorAccessDenied,
    VendorError,
    VendorKeyInUse,
    VendorQuotaExceeded,
    VendorUnavailable,
)
from market_data.lake.checksum import encode_crc32c
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.vendor.client import TardisClient
from market_data.vendor.downloads import Downloaded, NotOffered, Unchanged

pytestmark = pytest.mark.usefixtures("retries_without_waits")

PAID_DAY, FREE_DAY = date(2024, 8, 8), date(2024, 8, 1)
PATH = "/v1/binance/trades/2024/08/08/BTCUSDT.csv.gz"
HEADER = b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
T = TypeVar("T")


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[RunningSimulator]:
    options = SimulatorOptions(clock="2024-08-11T07:00:00Z", scale=0.05, redirect=True)
    with run_simulator(options) as running:
        yield running


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    shared_simulator.set_faults([])
    shared_simulator.clear_requests()
    return shared_simulator


def _file(day: date = PAID_DAY, symbol: str = "BTCUSDT") -> TickFile:
    unit = DataTypeDay("BINANCE", DataType.TRADES, day)
    return TickFile(unit, symbol, "SPOT_PAIR", "BINANCE:SPOT_PAIR:BTC-USDT")


def _ask(simulator: RunningSimulator, ask: Callable[[TardisClient], Awaitable[T]], key: str | None = DEFAULT_KEY) -> T:
    async def run() -> T:
        client = TardisClient(api_url=simulator.api_url, datasets_url=simulator.datasets_url, api_key=key)
        async with client:
            return await ask(client)

    return asyncio.run(run())


class Download:
    """Downloads one tick file with a vendor that misbehaves as told."""

    def __init__(self, simulator: RunningSimulator, path: Path) -> None:
        self._simulator = simulator
        self.path = path

    def __call__(
        self, file: TickFile | None = None, *, key: str | None = DEFAULT_KEY, **fault: Any
    ) -> Downloaded | Unchanged | NotOffered:
        if fault:
            self._simulator.set_faults([{"match": "*.csv.gz", **fault}])
        return _ask(self._simulator, lambda client: client.download(file or _file(), self.path), key)

    def fails(
        self, error: type[MarketDataError], file: TickFile | None = None, *, key: str | None = DEFAULT_KEY, **fault: Any
    ) -> str:
        with pytest.raises(error) as caught:
            self(file, key=key, **fault)
        assert type(caught.value) is error
        text = str(caught.value)
        assert text.startswith("BINANCE trades 2024-08-08 BTCUSDT: http://127.0.0.1:")
        return re.sub(r"http://127\.0\.0\.1:\d+", "URL", text)

    @property
    def asked(self) -> list[int]:
        return [entry["status"] for entry in self._simulator.requests() if entry["origin"] == "api"]


@pytest.fixture
def download(simulator: RunningSimulator, tmp_path: Path) -> Download:
    return Download(simulator, tmp_path / "body.csv.gz")


def test_a_file_is_stored_as_it_was_sent(download: Download) -> None:
    answer = download()
    assert isinstance(answer, Downloaded)
    body = download.path.read_bytes()
    assert gzip.decompress(body).startswith(HEADER)
    assert (answer.status, answer.attempts, answer.size_bytes) == (200, 1, len(body))
    assert answer.crc32c == encode_crc32c(google_crc32c.value(body))
    assert answer.etag
    assert answer.last_modified == "Fri, 09 Aug 2024 06:00:00 GMT"


def test_the_key_is_shown_to_the_vendor_and_never_to_the_storage_it_redirects_to(
    download: Download, simulator: RunningSimulator
) -> None:
    download()
    shown = [(entry["origin"], entry["path"], entry["has_authorization"]) for entry in simulator.requests()]
    assert shown == [("api", PATH, True), ("storage", PATH, False)]
    assert all("key" not in entry["query"].lower() for entry in simulator.requests())


def test_without_a_key_no_key_is_shown_and_the_first_day_of_the_month_is_free(
    download: Download, simulator: RunningSimulator
) -> None:
    assert isinstance(download(_file(FREE_DAY), key=None), Downloaded)
    assert not any(entry["has_authorization"] for entry in simulator.requests())


def test_a_key_with_a_line_end_from_a_secrets_file_is_accepted(download: Download) -> None:
    assert isinstance(download(key=f"{DEFAULT_KEY}\n"), Downloaded)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("@162", "%40162"), ("币安人生USDT", "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"), ("A$B", "A%24B")],
)
def test_an_odd_symbol_is_percent_encoded_in_the_address(symbol: str, name: str) -> None:
    client = TardisClient(api_url="http://x/v1", datasets_url="http://x/v1/", api_key=None)
    assert client.tick_file_url(_file(symbol=symbol)) == f"http://x/v1/binance/trades/2024/08/08/{name}.csv.gz"


@pytest.mark.parametrize(
    ("file", "fault", "status", "message"),
    [
        (_file(symbol="NOSUCH"), {}, 400, "code 300: Invalid 'symbol' param: 'NOSUCH' is not offered for 'binance'"),
        (
            _file(date(2024, 8, 11)),
            {},
            400,
            "code 140: BTCUSDT datasets are available until 2024-08-11T00:00:00.000Z (exclusive)",
        ),
        (_file(), {"action": "status", "code": 404, "message": "Not found"}, 404, "Not found"),
    ],
    ids=["400/300", "400/140", "404"],
)
def test_a_file_that_the_vendor_does_not_have_is_an_answer_and_is_asked_for_once(
    download: Download, file: TickFile, fault: dict[str, Any], status: int, message: str
) -> None:
    answer = download(file, **fault)
    assert isinstance(answer, NotOffered)
    assert (answer.status, answer.attempts) == (status, 1)
    assert answer.message == f"the vendor answered {status} ({message})"
    assert download.asked == [status]


def test_a_paid_day_without_a_key_is_denied_with_the_remedy(download: Download) -> None:
    assert download.fails(VendorAccessDenied, key=None) == (
        f"BINANCE trades 2024-08-08 BTCUSDT: URL{PATH} answered 401 (Unauthorized access: without an API key only "
        "the data of the first day of each month is available). No key is set, and without one only the first day of "
        "each month is free: set TARDIS_API_KEY"
    )
    assert download.asked == [401]


def test_a_wrong_key_is_denied_with_the_remedy_and_without_the_key(download: Download) -> None:
    assert download.fails(VendorAccessDenied, key="s3cret-typo") == (
        f"BINANCE trades 2024-08-08 BTCUSDT: URL{PATH} answered 401 (code 11: The API key is invalid or expired). "
        "The key in TARDIS_API_KEY is not accepted for this: see whether it is right, still valid, and used from one "
        "address only"
    )
    assert download.asked == [401]


def test_403_is_denied_and_not_asked_again(download: Download) -> None:
    text = download.fails(VendorAccessDenied, action="status", code=403, html=True)
    assert "answered 403 ('<!DOCTYPE html>" in text
    assert "used from one address only" in text
    assert download.asked == [403]


def test_a_key_in_use_from_another_address_ends_the_run_with_the_time_to_go_on(download: Download) -> None:
    before = datetime.now(UTC)
    with pytest.raises(VendorKeyInUse) as caught:
        download(action="ip_bound", retry_after=893)
    not_before = caught.value.not_before
    assert before + timedelta(seconds=893) <= not_before <= datetime.now(UTC) + timedelta(seconds=893)
    text = str(caught.value)
    assert "answered 403 (code 274: The API key is in use from another IP address)" in text
    assert f"stop the other use, or go on after {not_before:%Y-%m-%d %H:%M} UTC" in text
    assert download.asked == [403]


def test_a_short_wait_is_waited_and_a_long_one_ends_the_run_with_the_time_to_go_on(download: Download) -> None:
    answer = download(action="status", code=429, retry_after=300, attempts="1-2")
    assert isinstance(answer, Downloaded)
    assert answer.attempts == 3
    before = datetime.now(UTC)
    with pytest.raises(VendorQuotaExceeded) as caught:
        download(action="status", code=429, error_code=277, retry_after=16_912, message="Quota exceeded.")
    not_before = caught.value.not_before
    assert before + timedelta(seconds=16_912) <= not_before <= datetime.now(UTC) + timedelta(seconds=16_912)
    text = str(caught.value)
    assert (
        f"answered 429 (code 277: Quota exceeded). The account may go on after {not_before:%Y-%m-%d %H:%M} UTC" in text
    )
    assert download.asked == [429, 429, 302, 429]


def test_a_request_rate_that_stays_too_high_is_unavailable_in_the_end(download: Download) -> None:
    text = download.fails(VendorUnavailable, action="status", code=429, retry_after=2, message="Too many requests")
    assert text.endswith("answered 429 (Too many requests) (5 attempts)")
    assert download.asked == [429] * 5


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_server_errors_are_asked_again_until_one_succeeds(download: Download, code: int) -> None:
    answer = download(action="status", code=code, attempts="1-4", html=True)
    assert isinstance(answer, Downloaded)
    assert answer.attempts == 5
    assert download.asked == [code] * 4 + [302]


def test_server_errors_without_end_are_unavailable(download: Download) -> None:
    text = download.fails(VendorUnavailable, action="status", code=503, message="overloaded")
    assert text == f"BINANCE trades 2024-08-08 BTCUSDT: URL{PATH} answered 503 (overloaded) (5 attempts)"


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset", "after_bytes": 500},
        {"action": "reset", "after_bytes": 0},
        {"action": "wrong_length", "delta_bytes": 1000},
    ],
    ids=["cut in mid-body", "cut before the body", "more promised than sent"],
)
def test_a_body_that_breaks_off_is_fetched_again_from_the_start(download: Download, fault: dict[str, Any]) -> None:
    whole = download()
    assert isinstance(whole, Downloaded)
    answer = download(attempts="1-2", **fault)
    assert isinstance(answer, Downloaded)
    assert (answer.attempts, answer.crc32c, answer.size_bytes) == (3, whole.crc32c, whole.size_bytes)
    assert encode_crc32c(google_crc32c.value(download.path.read_bytes())) == whole.crc32c


def test_a_body_that_always_breaks_off_is_unavailable(download: Download) -> None:
    text = download.fails(VendorUnavailable, action="reset", after_bytes=500)
    assert "(5 attempts)" in text
    assert download.asked == [302] * 5


def test_a_body_longer_than_promised_is_never_taken_for_whole(download: Download) -> None:
    whole = download()
    assert isinstance(whole, Downloaded)
    # the rest of the body is beyond what HTTP lets a client read: what arrives is a file that is cut short
    answer = download(action="wrong_length", delta_bytes=-100)
    assert isinstance(answer, Downloaded)
    assert answer.size_bytes == whole.size_bytes - 100
    with pytest.raises(EOFError):
        gzip.decompress(download.path.read_bytes())


def test_a_redirect_that_leads_back_is_given_up(download: Download) -> None:
    text = download.fails(VendorError, action="redirect_loop")
    assert text == f"BINANCE trades 2024-08-08 BTCUSDT: URL{PATH} redirects more than 3 times"


@pytest.mark.parametrize(("fault", "start"), [("html_200", b"<!DOCTYPE html>"), ("json_200", b'{"message"')])
def test_a_page_or_document_with_200_is_a_body_for_the_decoder_to_refuse(
    download: Download, fault: str, start: bytes
) -> None:
    assert isinstance(download(action=fault), Downloaded)
    assert download.path.read_bytes().startswith(start)


@pytest.mark.parametrize("code", [406, 410, 451])
def test_a_status_that_nobody_documented_is_an_error_and_not_an_absence(download: Download, code: int) -> None:
    text = download.fails(VendorError, action="status", code=code, message="no")
    assert text.endswith(f"answered {code} (no). This status is not in the vendor's documentation for this request")
    assert download.asked == [code]


def test_a_vendor_that_is_not_there_is_unavailable(download: Download, simulator: RunningSimulator) -> None:
    nobody = "http://127.0.0.1:9/v1"  # the discard port: nobody listens

    async def run() -> None:
        async with TardisClient(api_url=nobody, datasets_url=nobody, api_key=DEFAULT_KEY) as client:
            await client.download(_file(), download.path)

    with pytest.raises(VendorUnavailable, match=r"BTCUSDT: http://127\.0\.0\.1:9/v1/.*: Connect.*\(5 attempts\)"):
        asyncio.run(run())
    assert simulator.requests() == []


def test_the_details_of_a_venue_need_no_key(simulator: RunningSimulator) -> None:
    details = _ask(simulator, lambda client: client.exchange("BINANCE"), key=None)
    assert details["id"] == "binance"
    assert details["datasets"]["exportedUntil"] == "2024-08-11T00:00:00.000Z"


def test_instruments_are_none_where_the_key_does_not_offer_them(simulator: RunningSimulator) -> None:
    assert _ask(simulator, lambda client: client.instruments("BINANCE"), key=None) is None
    instruments = _ask(simulator, lambda client: client.instruments("BINANCE"))
    assert instruments is not None
    assert {"btcusdt", "ethusdt"} <= {item["id"] for item in instruments}


def test_what_a_key_opens_is_asked_with_the_key_and_refused_without_one(simulator: RunningSimulator) -> None:
    plans = _ask(simulator, lambda client: client.key_info())
    assert "full" in {plan["accessType"] for plan in plans if plan["exchange"] == "binance"}
    (asked,) = simulator.requests()
    assert (asked["method"], asked["path"], asked["has_authorization"]) == ("GET", "/v1/api-key-info", True)
    for key in (None, "secret-canary"):
        with pytest.raises(VendorAccessDenied, match=r"^what the key opens: .*/v1/api-key-info answered 401") as caught:
            _ask(simulator, lambda client: client.key_info(), key)
        assert "secret-canary" not in str(caught.value)


def test_an_answer_about_the_key_that_is_no_list_is_refused(simulator: RunningSimulator) -> None:
    simulator.set_faults([{"match": "*/api-key-info", "action": "json_200"}])
    with pytest.raises(VendorError, match=r"what the key opens: .*/api-key-info answered dict, not a list"):
        _ask(simulator, lambda client: client.key_info())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"action": "html_200"}, "did not answer with JSON but with '<!DOCTYPE html>"),
        (
            {"action": "status", "code": 400, "error_code": 300, "message": "Invalid exchange"},
            "answered 400 (code 300:",
        ),
        ({"action": "status", "code": 404, "message": "Not found"}, "answered 404 (Not found)"),
        ({"action": "truncate"}, 'did not answer with JSON but with \'{"id":"binance"'),
    ],
    ids=["page", "400", "404", "cut short"],
)
def test_details_that_are_no_answer_are_an_error(
    simulator: RunningSimulator, fault: dict[str, Any], words: str
) -> None:
    simulator.set_faults([{"match": "/v1/exchanges/*", **fault}])
    with pytest.raises(VendorError) as caught:
        _ask(simulator, lambda client: client.exchange("BINANCE"))
    assert str(caught.value).startswith(f"details of BINANCE: {simulator.api_url}/exchanges/binance ")
    assert words in str(caught.value)
    assert not caught.value.is_transient


def test_details_are_asked_again_after_a_server_error(simulator: RunningSimulator) -> None:
    simulator.set_faults([{"match": "/v1/exchanges/*", "action": "status", "code": 502, "attempts": "1-2"}])
    assert _ask(simulator, lambda client: client.exchange("BINANCE"))["id"] == "binance"
    assert [entry["status"] for entry in simulator.requests()] == [502, 502, 200]


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "code": 401},
        {"action": "status", "code": 429, "retry_after": 16_912},
        {"action": "status", "code": 500},
        {"action": "status", "code": 418},
        {"action": "ip_bound"},
        {"action": "reset"},
        {"action": "redirect_loop"},
        {"action": "redirect", "location": "http://127.0.0.1:9/v1/elsewhere"},
        {"action": "redirect", "location": "ftp://127.0.0.1/elsewhere"},
    ],
)
def test_the_key_is_in_no_text_that_an_error_shows(
    simulator: RunningSimulator, tmp_path: Path, fault: dict[str, Any]
) -> None:
    simulator.set_faults([{"match": "*.csv.gz", **fault}])
    with pytest.raises(MarketDataError) as caught:
        _ask(simulator, lambda client: client.download(_file(), tmp_path / "body"))
    error: BaseException | None = caught.value
    while error is not None:
        assert DEFAULT_KEY not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
