"""A run tells how it goes as records of the standard library's logging, and nothing on any other way."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re

import pytest

from market_data.ingest import progress
from market_data.ingest.progress import Progress
from market_data.lake.base import TickLake
from market_data.receipts.evidence import FileEvidence
from market_data_tests.ingesting import BOTH, TRADES, Vendor, plan_day, run_day

pytestmark = pytest.mark.usefixtures("retries_without_waits")

FILE = FileEvidence(vendor_symbol="BTCUSDT", instrument_type="SPOT_PAIR", instrument_key="BINANCE:SPOT_PAIR:BTC-USDT")


def told(caplog: pytest.LogCaptureFixture, module: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == f"market_data.{module}"]


def test_a_run_tells_its_failures_and_what_came_of_it(
    lake: TickLake, vendor: Vendor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "market_data")
    vendor.spoil("bit_flip", match="*/trades/*/BTCUSDT.csv.gz")
    plan = plan_day(lake, vendor, BOTH)
    results = run_day(lake, vendor, plan)
    files = sum(len(result.receipt.files) for result in results.values())
    *failures, last = told(caplog, "ingest.progress")
    assert re.fullmatch(
        rf"{plan.universe.venue} {plan.universe.day}: {files} of {files} files done in \d+ s, 1 failed, "
        r"\d+\.\d MB downloaded, \d+\.\d MB/s",
        last,
    )
    (failure,) = (line for line in failures if "failed: " in line and not line.endswith("MB/s"))
    (file,) = results[TRADES].receipt.open_files
    assert failure.endswith(f"of {files} failed: {file.error}")
    assert capfd.readouterr() == ("", "")
    caplog.clear()
    vendor.recover()
    run_day(lake, vendor, plan)
    # those of its unit that are held are decoded again
    assert re.search(r": (\d+) of \1 files done in \d+ s, 0 failed, ", told(caplog, "ingest.progress")[-1])
    caplog.clear()
    run_day(lake, vendor, plan)
    assert told(caplog, "ingest.progress") == []  # there was nothing to do


def test_each_failed_request_that_is_sent_again_is_a_record(
    lake: TickLake, vendor: Vendor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "market_data")
    vendor.spoil("status", match="*/trades/*/BTCUSDT.csv.gz", code=503, attempts="1-2")
    assert all(result.receipt.is_complete for result in run_day(lake, vendor, plan_day(lake, vendor)).values())
    first, second = told(caplog, "vendor.client")
    assert re.search(r"/BTCUSDT\.csv\.gz answered 503 .*; asked again in \d+\.\d s \(attempt 1 failed\)", first)
    assert "(attempt 2 failed)" in second
    assert capfd.readouterr() == ("", "")


def test_it_is_told_again_and_again_with_the_speed_since_the_last_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "market_data")
    monkeypatch.setattr(progress, "_TOLD_EVERY_SECONDS", 0.001)
    seconds = itertools.count(start=0, step=10)  # each look at the clock is ten seconds after the last
    counts = Progress("BINANCE 2024-08-08", lambda: float(next(seconds)))

    async def work() -> None:
        async with counts.told():
            for _ in range(3):
                counts.expect(1)
                before = len(caplog.records)
                counts.add(FILE, 40_000_000)
                while len(caplog.records) < before + 2:  # noqa: ASYNC110  another task writes them
                    await asyncio.sleep(0.001)

    asyncio.run(work())
    lines = told(caplog, "ingest.progress")
    assert [line for line in lines if " files done, 0 failed, 40.0 MB downloaded, 4.0 MB/s" in line]
    assert [line for line in lines if line.startswith("BINANCE 2024-08-08: 2 of 2 files done, 0 failed, 80.0 MB")]
    assert [line for line in lines if line.endswith("MB downloaded, 0.0 MB/s")]  # nothing came since
    assert re.match(r"BINANCE 2024-08-08: 3 of 3 files done in \d+ s, 0 failed, 120.0 MB downloaded", lines[-1])
