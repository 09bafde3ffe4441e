"""Whatever one answer of the vendor is, it ends as an error of ours for what it concerns; the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
import random
import traceback
import zlib
from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
import stamina

from market_data.errors import MarketDataError
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.limits import RunLimits, SizeLimits
from market_data.model.tick_file import Outcome
from market_data.receipts.receipt import Receipt
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection, Universe
from market_data.vendor.client import TardisClient
from market_data_tests.fakes import MemoryLake
from market_data_tests.lying_vendor import (
    DAY,
    DRIPS,
    KEY,
    LyingVendor,
    body_lies,
    definitions,
    details,
    edited,
    http_lies,
    lying_vendor,
)

TYPES = (DataType.QUOTES, DataType.TRADES)
SELECTION = Selection(TYPES)
FILE = "trades/2024/08/08/BTCUSDT.csv.gz"
PATIENCE_SECONDS = 60.0
HTTP_LIES, BODY_LIES = http_lies(), body_lies()


@pytest.fixture(scope="module")
def vendor() -> Iterator[LyingVendor]:
    with lying_vendor() as running:
        yield running


@pytest.fixture(autouse=True)
def few_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


def run(
    lake: TickLake,
    vendor: LyingVendor,
    patience_seconds: float = PATIENCE_SECONDS,
    limits: RunLimits | None = None,
) -> dict[DataType, Receipt]:
    """Do what a run of the venue-day does."""
    ensure_origin(lake, "vendor")
    day = date.fromisoformat(DAY)

    def client() -> TardisClient:
        return TardisClient(api_url=vendor.url, datasets_url=vendor.url, api_key=KEY, patience_seconds=patience_seconds)

    universes: list[Universe] = []  # and not returned: `asyncio.run` writes out what is

    async def learn() -> None:
        async with client() as opened:
            universes.extend(await learn_universes(lake, opened, "BINANCE", (day,), SELECTION, today=date(2024, 8, 20)))

    asyncio.run(learn())
    (universe,) = universes
    plan = VenueDay(universe, SELECTION, TYPES, LAYOUTS, "vendor", "config", limits=limits or RunLimits())
    return {result.receipt.data_type: result.receipt for result in ingest_venue_day(lake, client, plan)}


def leaks(lake: TickLake, log: str) -> list[str]:
    """Where the key is kept, as it is, packed or in a cell."""
    found = ["a log"] if KEY in log else []
    for stat in lake.list_objects(""):
        data, _ = lake.get_bytes(stat.key)
        texts = [stat.key.encode(), data]
        if stat.key.endswith(".gz"):
            with contextlib.suppress(OSError, EOFError, zlib.error):
                texts.append(gzip.decompress(data))
            with contextlib.suppress(zlib.error):  # a file that was refused may be damaged from somewhere on
                texts.append(zlib.decompressobj(31).decompress(data[:-8]))
        if stat.key.endswith(".parquet"):
            texts.append(pl.read_parquet(io.BytesIO(data)).write_csv().encode())
        found += [stat.key for text in texts if KEY.encode() in text]
    return found


@pytest.mark.parametrize("name", [*HTTP_LIES, *BODY_LIES])
def test_a_lie_about_one_file_concerns_that_file(
    vendor: LyingVendor, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    lake = MemoryLake()
    vendor.lies = {FILE: (HTTP_LIES | BODY_LIES)[name]}
    receipts = run(lake, vendor)
    assert receipts[DataType.QUOTES].is_complete
    assert {receipt.claim for receipt in receipts.values()} == {None}
    lied, honest = receipts[DataType.TRADES].files
    assert lied.outcome is not None
    # a fault of the key or of the account stops the run
    is_stop = lied.error_class in {"VendorAccessDenied", "VendorKeyInUse", "VendorQuotaExceeded"}
    assert honest.outcome is Outcome.STORED or is_stop
    if lied.outcome is Outcome.FAILED:
        assert lied.error
        assert "BTCUSDT" in lied.error
        assert len(lied.error) < 1500
    assert leaks(lake, caplog.text) == []
    vendor.lies = {}
    assert all(receipt.is_complete for receipt in run(lake, vendor).values())


@pytest.mark.parametrize(
    ("end", "name"),
    [
        # all of them meet a tick file above; metadata are read by the same code
        *(("/exchanges/binance", name) for name in list(HTTP_LIES)[::3]),
        *(("/instruments/binance", name) for name in list(HTTP_LIES)[1::9]),
    ],
)
def test_a_lie_in_the_metadata_is_an_error_of_ours(
    vendor: LyingVendor, caplog: pytest.LogCaptureFixture, end: str, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    lake = MemoryLake()
    vendor.lies = {end: HTTP_LIES[name]}
    try:
        receipts = run(lake, vendor)
    except MarketDataError as error:
        refusal = str(error)
        told = "".join(traceback.format_exception(error))
    else:
        refusal, told = "BINANCE", ""
        assert all(receipt.is_complete for receipt in receipts.values())
    assert "BINANCE" in refusal
    assert len(refusal) < 1500
    assert KEY not in told
    assert leaks(lake, caplog.text) == []
    vendor.lies = {}
    assert all(receipt.is_complete for receipt in run(lake, vendor).values())


@pytest.mark.parametrize("seed", range(60))
def test_metadata_that_is_partly_wrong_stops_only_what_it_concerns(
    vendor: LyingVendor, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    caplog.set_level(logging.DEBUG)
    chance, lake = random.Random(seed), MemoryLake()
    vendor.lies = {}
    done = ""
    try:
        if chance.random() < 0.6:
            vendor.details, done = edited(details(), chance)
        else:
            vendor.definitions, done = edited(definitions(), chance)
        receipts = run(lake, vendor)
    except MarketDataError:  # nothing is known of the venue, or the answer holds the key
        is_of_the_venue = "datasets" in done or KEY[:20] in done
    except BaseException as error:
        error.add_note(done)
        raise
    else:
        files = {file.vendor_symbol: file for receipt in receipts.values() for file in receipt.files}
        is_of_the_venue = True
        open_files = {symbol for symbol, file in files.items() if not file.is_accounted}
        assert {"BTCUSDT", "ETHUSDT"} - open_files or "symbols" in done
        assert {receipt.claim for receipt in receipts.values()} == {None}
    finally:
        vendor.details, vendor.definitions = details(), definitions()
    assert is_of_the_venue, done
    assert leaks(lake, caplog.text) == []


@pytest.mark.parametrize("name", DRIPS)
@pytest.mark.parametrize("end", [FILE, "/exchanges/binance", "/instruments/binance"])
def test_what_never_ends_is_given_up(vendor: LyingVendor, end: str, name: str) -> None:
    lake = MemoryLake()
    vendor.lies = {end: DRIPS[name]}
    limits = RunLimits(sizes={item: SizeLimits(2**20) for item in DataType})
    try:
        receipts = run(lake, vendor, patience_seconds=1.5, limits=limits)
    except MarketDataError as error:
        assert error.is_transient or "MiB" in str(error)  # noqa: PT017
    else:
        assert not receipts[DataType.TRADES].is_complete
        assert {receipt.claim for receipt in receipts.values()} == {None}
