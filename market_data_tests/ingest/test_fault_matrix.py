"""Everything the vendor's HTTP answers can do to a venue-day, one fault at a time.

For each fault: what becomes of the file and what is said of it, how often it was asked for, what the lake holds, and
that the next run without the fault asks for exactly what is missing and ends as if there had been none.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import stamina.instrumentation

from market_data.ingest.progress import UNTRIED
from market_data.ingest.venue_day import UnitResult
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, failed_key, raw_key, receipt_key
from market_data.lake.open import open_lake
from market_data.model.limits import DEFAULT_FILES_AT_ONCE
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import DEFAULT_KEY
from market_data.vendor.client import TardisClient
from market_data.vendor.downloads import Downloaded, HeldFile, NotOffered, Unchanged
from market_data_tests.ingesting import (
    BOTH,
    CLOCK,
    DAY,
    OPTIONS,
    QUOTES,
    SPOT,
    TRADES,
    Vendor,
    contents_of,
    file_of,
    find_falsehoods,
    is_proven,
    plan_day,
    published_keys,
    run_day,
    stats_of,
)
from market_data_tests.patience import PATIENCE_SECONDS

SYMBOL = "ETHBTC"
SHORT_PATIENCE_SECONDS = 1.0
NEAR_THE_BOUND = date(2024, 8, 10)  # the last day exported at the simulator's clock

waitless = pytest.mark.usefixtures("retries_without_waits")


@dataclass(frozen=True)
class Fault:
    """One fault of one file, and what must come of it. `requests` for the file, in the run with the fault."""

    name: str
    action: str
    outcome: Outcome
    requests: int
    words: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    then: str | None = None  # the action of later attempts
    error_class: str | None = None
    is_transient: bool | None = None
    is_kept_aside: bool = False
    is_asked_again: bool = False
    is_other_raw: bool = False  # stored as the vendor sent it, which is not as it was without the fault
    day: date = DAY
    patience_seconds: float | None = None

    @property
    def rules(self) -> list[dict[str, Any]]:
        match = f"*/{TRADES}/*/{SYMBOL}.csv.gz"
        later = [{"match": match, "action": self.then}] if self.then else []
        return [{"match": match, "action": self.action, **self.fields}, *later]

    @property
    def leaves_a_trace(self) -> bool:
        """Whether the lake stays other than without the fault: the vendor's answer was taken at its word."""
        return self.is_other_raw or (self.outcome is Outcome.NOT_OFFERED and not self.is_asked_again)


def absent(name: str, *words: str, is_provisional: bool = False, **fields: Any) -> Fault:
    """The vendor says that it has no such file: accounted for, never asked again unless its export is still young."""
    day = NEAR_THE_BOUND if is_provisional else DAY
    said = {"message": "There is no such dataset."} if not fields.get("no_body") else {}
    return Fault(name, "status", Outcome.NOT_OFFERED, 1, words, said | fields, is_asked_again=is_provisional, day=day)


def unavailable(name: str, action: str, *words: str, patience_seconds: float | None = None, **fields: Any) -> Fault:
    """It may pass: five attempts, then the file is left to a later run."""
    return Fault(
        name,
        action,
        Outcome.FAILED,
        5,
        (*words, "5 attempts"),
        fields,
        error_class="VendorUnavailable",
        is_transient=True,
        is_asked_again=True,
        patience_seconds=patience_seconds,
    )


def invalid(name: str, action: str, *words: str, then: str | None = None, **fields: Any) -> Fault:
    """The bytes are not a tick file: fetched once more, then kept aside and left to people."""
    return Fault(
        name,
        action,
        Outcome.FAILED,
        2,
        words if then else (*words, "the vendor sent the same bytes twice"),
        fields,
        then=then,
        error_class="TickFileInvalid",
        is_transient=False,
        is_kept_aside=True,
        is_asked_again=True,
    )


def strange(name: str, action: str, *words: str, requests: int = 1, **fields: Any) -> Fault:
    """Not an answer of this vendor: asking again mends nothing."""
    return Fault(
        name,
        action,
        Outcome.FAILED,
        requests,
        words,
        fields,
        error_class="VendorError",
        is_transient=False,
        is_asked_again=True,
    )


def harmless(
    name: str, action: str, requests: int, *, then: str | None = None, is_other_raw: bool = False, **fields: Any
) -> Fault:
    """Overcome within the run."""
    return Fault(name, action, Outcome.STORED, requests, (), fields, then=then, is_other_raw=is_other_raw)


def empty(name: str, action: str) -> Fault:
    """A file without rows: kept and accounted for."""
    return Fault(name, action, Outcome.VENDOR_EMPTY, 1, is_other_raw=True)


DAMAGED_GZIP = "the gzip stream is damaged or cut short"
NOT_OURS = "no answer of the vendor's"

FAULTS = [
    absent("400 code 140", "400", "code 140", "no such dataset", code=400, error_code=140),
    absent("400 code 300", "400", "code 300", "no such dataset", code=400, error_code=300),
    absent("400 with a code nobody knows", "400", "code 999", code=400, error_code=999),
    absent("400 without a code", "400", "no such dataset", code=400),
    absent("404", "404", "no such dataset", code=404),
    absent("404 without a body", "404", code=404, no_body=True),
    absent("400 code 140 on the last exported day", "code 140", is_provisional=True, code=400, error_code=140),
    unavailable("400 about ISO 8601", "status", "ISO 8601 format", code=400, message="not in ISO 8601 format"),
    unavailable("500", "status", "500", "a fault inside", code=500, message="a fault inside"),
    unavailable("502 as a page", "status", "502", code=502, html=True),
    unavailable("503", "status", "503", "overloaded", code=503, message="overloaded"),
    unavailable("429 with a short Retry-After, for ever", "status", "429", code=429, retry_after=2),
    unavailable("reset before a byte of the body", "reset", after_bytes=0),
    unavailable("reset in mid-body", "reset", after_bytes=700),
    unavailable("stall", "stall", after_bytes=700, patience_seconds=SHORT_PATIENCE_SECONDS),
    unavailable("slow drip", "slow", bytes_per_second=200, patience_seconds=SHORT_PATIENCE_SECONDS),
    unavailable("longer than promised, shorter than said", "wrong_length", delta_bytes=1000),
    invalid("a length that says less than there is", "wrong_length", DAMAGED_GZIP, delta_bytes=-100),
    invalid("truncated", "truncate", DAMAGED_GZIP),
    invalid("bit flip", "bit_flip", DAMAGED_GZIP),
    invalid("trailing garbage", "trailing_garbage", DAMAGED_GZIP),
    invalid("HTML with 200", "html_200", "not a gzip file; it starts with b'<!DOCTYPE html>"),
    invalid("JSON with 200", "json_200", 'not a gzip file; it starts with b\'{"message"'),
    invalid("wrong header", "wrong_header", "the header is 'exchange,", ",renamed'"),
    invalid("extra column", "extra_column", "the header is 'exchange,"),
    invalid("short row", "short_row", "a row is short or long"),
    invalid("long row", "long_row", "a row is short or long"),
    invalid("wrong symbol", "wrong_symbol", f"rows are of symbol WRONGSYMBOL, not {SYMBOL}"),
    invalid("wrong day", "wrong_day", "rows are of 2024-08-07 ", "outside the day 2024-08-08"),
    invalid("milliseconds", "milliseconds", "13 digits, as milliseconds have"),
    invalid("nanoseconds", "nanoseconds", "19 digits, as nanoseconds have"),
    invalid("bomb", "bomb", "inflates to more than 200 times its", "limits.max_inflation_ratio in the venues file"),
    invalid("bad twice in two ways", "truncate", "not a gzip file", then="html_200", attempts=1),
    strange("400 as a page", "status", "400", NOT_OURS, "TARDIS_DATASETS_URL", code=400, html=True),
    strange("404 as a page", "status", "404", NOT_OURS, "TARDIS_DATASETS_URL", code=404, html=True),
    strange("redirect loop", "redirect_loop", "redirects more than 3 times", requests=4),
    empty("empty gzip", "empty_gzip"),
    empty("header only", "header_only"),
    harmless("two members", "two_members", 1, is_other_raw=True),
    harmless("bad once", "truncate", 2, attempts=1),
    harmless("500 four times", "status", 5, code=500, attempts="1-4"),
    harmless("429 with a short Retry-After, once", "status", 2, code=429, retry_after=300, attempts=1),
    harmless("reset once", "reset", 2, attempts=1),
    harmless("redirect to another origin", "redirect", 2),
]


class ImpatientClient(TardisClient):
    """A client that is impatient for the one file with the fault; a busy machine may be slow with the others."""

    def __init__(self, impatient: TardisClient, **options: Any) -> None:
        super().__init__(**options)
        self._impatient = impatient

    async def __aenter__(self) -> Self:
        await self._impatient.__aenter__()
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._impatient.__aexit__(*error)

    async def download(
        self,
        file: TickFile,
        destination: Path,
        *,
        admit: Callable[[int | None], Awaitable[None]] | None = None,
        held: HeldFile | None = None,
        most_bytes: int | None = None,
    ) -> Downloaded | Unchanged | NotOffered:
        has_fault = (file.unit.data_type, file.vendor_symbol) == (TRADES, SYMBOL)
        download = self._impatient.download if has_fault else super().download
        return await download(file, destination, admit=admit, held=held, most_bytes=most_bytes)


@dataclass(frozen=True)
class ImpatientVendor(Vendor):
    """The vendor, asked by such clients."""

    patience_seconds: float

    def client(self, key: str | None = DEFAULT_KEY, **options: Any) -> TardisClient:
        impatient = super().client(key, patience_seconds=self.patience_seconds)
        url = self.address.url
        return ImpatientClient(impatient, api_url=url, datasets_url=url, api_key=key, **options)


ON_GCS = {"400 code 140", "503", "truncated", "redirect to another origin", "reset once", "header only"}
PLACES = [pytest.param("local", fault, id=fault.name) for fault in FAULTS]
PLACES += [pytest.param("gcs", fault, id=f"{fault.name} on gs") for fault in FAULTS if fault.name in ON_GCS]


@waitless
@pytest.mark.parametrize(("make_lake_url", "fault"), PLACES, indirect=["make_lake_url"])
def test_a_fault_of_one_file(
    lake_url: str, fault: Fault, vendor: Vendor, undisturbed: Callable[..., dict[str, object]]
) -> None:
    lake = open_lake(lake_url)
    without_fault = undisturbed(BOTH, day=fault.day)
    plan = plan_day(lake, vendor, day=fault.day)
    before = held_keys(lake)
    vendor.simulator.set_faults(fault.rules)
    if fault.patience_seconds is not None:
        vendor = ImpatientVendor(vendor.simulator, fault.patience_seconds)

    results = run_day(lake, vendor, plan)

    asked = vendor.asked_files()
    assert asked.count(f"{TRADES} {SYMBOL}") == fault.requests
    assert sorted(set(asked)) == sorted(f"{data_type} {symbol}" for data_type in (TRADES, QUOTES) for symbol in SPOT)
    assert len(asked) - fault.requests == 2 * len(SPOT) - 1  # every other file once
    assert not any(entry["has_authorization"] for entry in vendor.simulator.requests() if entry["origin"] == "storage")
    assert_told(results[TRADES].receipt, fault)
    assert_held(lake, results, before, fault)
    if fault.is_kept_aside:
        assert lake.get_bytes(kept_aside_key(fault))[0] == bad_body(vendor, fault)
    assert is_proven(lake, plan, [QUOTES] if fault.outcome is Outcome.FAILED else [TRADES, QUOTES])

    after_fault = contents_of(lake)
    vendor.recover()
    results = run_day(lake, vendor, plan)

    assert vendor.asked_files() == ([f"{TRADES} {SYMBOL}"] if fault.is_asked_again else [])
    assert results[TRADES].was_current is not fault.is_asked_again
    assert results[QUOTES].was_current
    assert contents_of(lake) == (after_fault if fault.leaves_a_trace else without_fault)
    if fault.is_other_raw and fault.outcome is Outcome.STORED:
        assert {key: data for key, data in after_fault.items() if key.startswith("ticks/")} == {
            key: data for key, data in without_fault.items() if key.startswith("ticks/")
        }
    assert is_proven(lake, plan)


def held_keys(lake: TickLake) -> set[str]:
    return {stat.key for stat in stats_of(lake)}


def kept_aside_key(fault: Fault) -> str:
    return failed_key(DataTypeDay("BINANCE", TRADES, fault.day), SYMBOL)


def bad_body(vendor: Vendor, fault: Fault) -> bytes:
    """Ask as the run did."""
    url = f"{vendor.simulator.datasets_url}/binance/{TRADES}/{fault.day:%Y/%m/%d}/{SYMBOL}.csv.gz"
    return httpx.get(url, headers={"Authorization": f"Bearer {DEFAULT_KEY}"}, timeout=PATIENCE_SECONDS).content


def assert_told(trades: Receipt, fault: Fault) -> None:
    """The receipt counts the outcome, and says what happened to which file."""
    file = file_of(trades, SYMBOL)
    assert (file.outcome, file.error_class, file.is_transient) == (fault.outcome, fault.error_class, fault.is_transient)
    counts = dict.fromkeys(trades.counts(), 0) | {"stored": len(SPOT) - 1}
    counts[fault.outcome.value] += 1
    assert trades.counts() == counts
    if fault.words:
        assert file.error is not None
        assert [word for word in fault.words if word not in file.error] == [], file.error
    else:
        assert file.error is None
    if fault.outcome is Outcome.FAILED:
        assert file.error is not None
        assert file.error.startswith(f"BINANCE {TRADES} {fault.day} {SYMBOL}: ")
    if fault.outcome is Outcome.NOT_OFFERED:
        assert file.is_provisional is fault.is_asked_again
    assert trades.is_complete is (fault.outcome is not Outcome.FAILED)
    assert trades.claim is None


def assert_held(lake: TickLake, results: dict[Any, UnitResult], before: set[str], fault: Fault) -> None:
    """The lake holds the vendor's bytes of the good files, what whole units published, and nothing else."""
    wanted = set(before)
    for result in results.values():
        receipt = result.receipt
        assert load_receipt(lake, receipt.unit)[0] == receipt
        has_raw = {Outcome.STORED, Outcome.VENDOR_EMPTY}
        stored = [file.vendor_symbol for file in receipt.files if file.outcome is Outcome.STORED]
        assert [item.vendor_symbol for item in receipt.objects] == (stored if receipt.is_complete else [])
        assert len(published_keys(receipt)) == len(receipt.objects) * len(LAYOUTS)
        wanted |= {receipt_key(receipt.unit), *published_keys(receipt)}
        wanted |= {raw_key(receipt.unit, file.vendor_symbol) for file in receipt.files if file.outcome in has_raw}
    if fault.is_kept_aside:
        wanted.add(kept_aside_key(fault))
    assert held_keys(lake) == wanted
    assert find_falsehoods(lake) == []


@dataclass(frozen=True)
class KeyFault:
    """A fault of the key or the account: whatever is asked for is refused."""

    name: str
    error_class: str
    is_transient: bool
    words: tuple[str, ...]
    action: str = "status"
    fields: dict[str, Any] = field(default_factory=dict)
    has_key: bool = True


REMEDY = "TARDIS_API_KEY"
A_TIME = r"2\d{3}-\d\d-\d\d \d\d:\d\d UTC"
KEY_FAULTS = [
    KeyFault("no key on a paid day", "VendorAccessDenied", False, ("401", f"set {REMEDY}"), "slow", has_key=False),
    KeyFault(
        "401",
        "VendorAccessDenied",
        False,
        ("401", "code 11", REMEDY, "not accepted"),
        fields={"code": 401, "error_code": 11, "message": "The API key is invalid or expired."},
    ),
    KeyFault("403", "VendorAccessDenied", False, ("403", REMEDY), fields={"code": 403, "message": "Forbidden"}),
    KeyFault("403 as a page", "VendorAccessDenied", False, ("403", REMEDY), fields={"code": 403, "html": True}),
    KeyFault("key in use from another address", "VendorKeyInUse", True, ("403", "code 274", A_TIME), "ip_bound"),
    KeyFault(
        "quota used up",
        "VendorQuotaExceeded",
        True,
        ("429", "code 277", A_TIME),
        fields={"code": 429, "retry_after": 16_912, "error_code": 277, "message": "Quota exceeded."},
    ),
]
KEY_FAULTS_ON_GCS = {"401", "key in use from another address"}
KEY_PLACES = [pytest.param("local", fault, id=fault.name) for fault in KEY_FAULTS]
KEY_PLACES += [
    pytest.param("gcs", fault, id=f"{fault.name} on gs") for fault in KEY_FAULTS if fault.name in KEY_FAULTS_ON_GCS
]


@waitless
@pytest.mark.parametrize(("make_lake_url", "fault"), KEY_PLACES, indirect=["make_lake_url"])
def test_a_fault_of_the_key_stops_the_run_at_once(
    lake_url: str, fault: KeyFault, vendor: Vendor, undisturbed: Callable[..., dict[str, object]]
) -> None:
    lake = open_lake(lake_url)
    without_fault = undisturbed(OPTIONS, venue="DERIBIT")
    plan = plan_day(lake, vendor, OPTIONS, venue="DERIBIT")
    before = held_keys(lake)
    vendor.recover()
    vendor.spoil(fault.action, **fault.fields)

    results = run_day(lake, vendor, plan, key=DEFAULT_KEY if fault.has_key else None)

    asked = vendor.asked_files()
    assert 1 <= len(asked) <= DEFAULT_FILES_AT_ONCE
    assert len(set(asked)) == len(asked)  # nothing is asked for twice
    files = [file for result in results.values() for file in result.receipt.files]
    assert {file.outcome for file in files} == {Outcome.FAILED}
    assert {(file.error_class, file.is_transient) for file in files} == {(fault.error_class, fault.is_transient)}
    errors = [file.error or "" for file in files]
    met = [file for file in files if not (file.error or "").startswith(UNTRIED)]
    assert 1 <= len(met) == len(asked) < len(files) == 24
    named = met[0]
    assert any(error == f"{UNTRIED}: {file.error}" for error in errors for file in met)
    assert named.error is not None
    assert re.match(rf"DERIBIT (trades|quotes) {DAY} {named.vendor_symbol}: ", named.error)
    assert [word for word in fault.words if not re.search(word, named.error)] == [], named.error
    assert held_keys(lake) == before | {receipt_key(result.receipt.unit) for result in results.values()}
    assert {(result.receipt.state, result.receipt.claim) for result in results.values()} == {("open", None)}

    vendor.recover()
    run_day(lake, vendor, plan)

    symbols = [item.vendor_symbol for item in plan.universe.selected]
    assert vendor.asked_files() == sorted(
        f"{data_type} {symbol}" for data_type in (TRADES, QUOTES) for symbol in symbols
    )
    assert contents_of(lake) == without_fault
    assert is_proven(lake, plan)


def test_a_short_retry_after_is_waited_for(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    vendor.spoil("status", match=f"*/{TRADES}/*/{SYMBOL}.csv.gz", code=429, retry_after=1, attempts=1)
    waits: list[float] = []
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        results = run_day(lake, vendor, plan)
    finally:
        stamina.instrumentation.set_on_retry_hooks(before)
    assert waits == [1.0]
    file = file_of(results[TRADES].receipt, SYMBOL)
    assert (file.outcome, file.attempts) == (Outcome.STORED, 2)


@waitless
def test_an_absence_near_the_export_bound_is_asked_again_until_the_bound_has_moved_on(
    lake: TickLake, vendor: Vendor
) -> None:
    absence: dict[str, Any] = {"match": f"*/{TRADES}/*/{SYMBOL}.csv.gz", "code": 400, "error_code": 140}
    seen = []
    try:
        for clock in (CLOCK, "2024-08-12T07:00:00Z", "2024-08-13T07:00:00Z", "2024-08-13T08:00:00Z"):
            vendor.recover()
            vendor.simulator.set_clock(clock)
            vendor.spoil("status", **absence)
            today = date.fromisoformat(clock[:10])
            plan = plan_day(lake, vendor, day=NEAR_THE_BOUND, today=today)
            receipt = run_day(lake, vendor, plan)[TRADES].receipt
            file = file_of(receipt, SYMBOL)
            assert (file.outcome, receipt.is_complete) == (Outcome.NOT_OFFERED, True)
            asked = [line for line in vendor.asked_files() if line == f"{TRADES} {SYMBOL}"]
            seen.append((len(asked), file.is_provisional))
            assert is_proven(lake, plan)
    finally:
        vendor.recover()
    # days before the bound: the last, the last but one, older, older
    assert seen == [(1, True), (1, True), (1, False), (0, False)]
