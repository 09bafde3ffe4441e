"""Scratch disk that is short, full or of no use: runs go on, or say what the disk lacks, and judge no file by it."""

from __future__ import annotations

import asyncio
import gzip
import random
import resource
import string
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.errors import LakeUnavailable, ScratchError
from market_data.ingest import scratch
from market_data.ingest.scratch import Budget
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.lake.local import LocalLake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.limits import RunLimits
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.receipt import Receipt
from market_data.ticks.decode import decode_tick_file
from market_data.ticks.gzip import TickText
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection
from market_data.vendor.client import TardisClient
from market_data_tests.fakes import MemoryLake
from market_data_tests.lying_vendor import DAY, KEY, LyingVendor, details, lying_vendor, tick_text

TYPES = (DataType.QUOTES, DataType.TRADES)


@pytest.fixture(scope="module")
def vendor() -> Iterator[LyingVendor]:
    with lying_vendor() as running:
        yield running


def run(lake: TickLake, vendor: LyingVendor, limits: RunLimits) -> dict[DataType, Receipt]:
    ensure_origin(lake, "vendor")

    def client() -> TardisClient:
        return TardisClient(api_url=vendor.url, datasets_url=vendor.url, api_key=KEY)

    async def learn() -> VenueDay:
        selection = Selection(TYPES)
        async with client() as opened:
            (universe,) = await learn_universes(
                lake, opened, "BINANCE", (date.fromisoformat(DAY),), selection, today=date(2024, 8, 20)
            )
        return VenueDay(universe, selection, TYPES, LAYOUTS, "vendor", "config", limits=limits)

    plan = asyncio.run(learn())
    return {result.receipt.data_type: result.receipt for result in ingest_venue_day(lake, client, plan)}


def offer(vendor: LyingVendor, rows: list[int]) -> int:
    """Let the vendor have files with so many rows for each data type; give the bytes of the largest."""
    symbols = tuple(f"{letter}{letter}{letter}USDT" for letter, _ in zip(string.ascii_uppercase, rows, strict=False))
    vendor.details = details(symbols)
    vendor.files = {
        f"{data_type}/2024/08/08/{symbol}.csv.gz": gzip.compress(tick_text(data_type, symbol, count), 1, mtime=0)
        for data_type in ("trades", "quotes")
        for symbol, count in zip(symbols, rows, strict=True)
    }
    return max(map(len, vendor.files.values()))


@settings(max_examples=25)
@given(
    rows=st.lists(st.integers(1, 1400), min_size=1, max_size=6),
    share=st.floats(0.05, 8),
    files_at_once=st.integers(1, 6),
)
def test_whatever_scratch_there_is_a_run_ends_with_everything(
    vendor: LyingVendor, rows: list[int], share: float, files_at_once: int
) -> None:
    largest_bytes = offer(vendor, rows)
    limits = RunLimits(files_at_once=files_at_once, scratch_bytes=max(1, round(share * largest_bytes)))
    lake = MemoryLake()
    with pytest.MonkeyPatch.context() as patch:
        # far more than any of it takes; a run that waits for itself ends with an error that is seen below
        patch.setattr(scratch, "_LONGEST_WAIT_SECONDS", 120)
        receipts = run(lake, vendor, limits)
    assert {receipt.is_complete for receipt in receipts.values()} == {True}
    assert lake.list_objects("staging/") == []


def test_a_file_that_needs_what_its_siblings_hold_gets_it(vendor: LyingVendor) -> None:
    """Three times the file is just what there is: as long as a decoded sibling lies there it cannot begin."""
    largest_bytes = offer(vendor, [1400, 1400, 1400])
    limits = RunLimits(files_at_once=1, scratch_bytes=round(3.15 * largest_bytes))
    receipts = run(MemoryLake(), vendor, limits)
    assert {receipt.is_complete for receipt in receipts.values()} == {True}


def test_who_waits_says_so_and_not_for_ever(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "market_data")
    monkeypatch.setattr(scratch, "_TOLD_EVERY_SECONDS", 1)
    monkeypatch.setattr(scratch, "_LONGEST_WAIT_SECONDS", 2)

    async def wait() -> None:
        budget = Budget(100)
        await budget.take(60, "the first")
        await budget.take(60, "the second")

    with pytest.raises(ScratchError, match="the second: 60 bytes of scratch disk were not free within 2 s") as caught:
        asyncio.run(wait())
    assert caught.value.is_transient
    told = "the second waits for 60 bytes of scratch disk: 60 of 100 bytes of scratch are in use"
    assert [record.message for record in caplog.records] == [told, told]


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """Let every write beyond a size fail, as on a full disk: the system says EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("rows", [5, 20_000], ids=["at once", "in a stream"])
@pytest.mark.parametrize("key", ["BINANCE:SPOT_PAIR:BTC-USDT", None], ids=["one instrument", "a group"])
def test_a_full_disk_is_no_verdict_on_a_file_that_is_decoded(tmp_path: Path, rows: int, key: str | None) -> None:
    unit = DataTypeDay("BINANCE", DataType.TRADES, date.fromisoformat(DAY))
    file = TickFile(unit, "BTCUSDT" if key else "SPOT", "SPOT_PAIR", key)
    text = tick_text("trades", "BTCUSDT", 20).splitlines(keepends=True)
    chance = random.Random(1)
    lines = [text[0], *(text[1].replace(b",100,", b",%d.5," % chance.randrange(10**9)) for _ in range(rows))]
    body = tmp_path / "body.csv.gz"
    body.write_bytes(gzip.compress(b"".join(lines)))
    with (
        files_end_at(600),
        pytest.raises(ScratchError, match=r"trades 2024-08-08 .*: the disk of .* is full: .* bytes are free") as caught,
    ):
        decode_tick_file(TickText(body, file), {}, tmp_path / "target")
    assert caught.value.is_transient


def test_a_full_disk_is_the_cause_of_the_files_that_it_held_up(vendor: LyingVendor) -> None:
    offer(vendor, [1400, 1])
    lake = MemoryLake()
    with files_end_at(9000):
        receipts = run(lake, vendor, RunLimits())
    files = [file for receipt in receipts.values() for file in receipt.files if file.outcome is Outcome.FAILED]
    assert {file.vendor_symbol for file in files} == {"AAAUSDT"}
    assert {(file.error_class, file.is_transient) for file in files} == {("ScratchError", True)}
    assert all("is full: files may not be so large" in str(file.error) for file in files)
    assert lake.list_objects("failed/") == []
    assert all(receipt.is_complete for receipt in run(lake, vendor, RunLimits()).values())


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_a_full_lake_is_told_with_its_bytes_and_nothing_half_written_stays(tmp_path: Path, way: str) -> None:
    lake = LocalLake(tmp_path / "lake")
    lake.put_bytes(b"before", "raw/a")
    source = tmp_path / "source"
    source.write_bytes(bytes(10_000))
    write = {"bytes": lambda: lake.put_bytes(bytes(10_000), "raw/a"), "file": lambda: lake.put_file(source, "raw/a")}
    told = r"cannot write raw/a .*the disk of .* is full: .* bytes are free"
    with files_end_at(4000), pytest.raises(LakeUnavailable, match=told) as caught:
        write[way]()
    assert caught.value.is_transient
    assert lake.get_bytes("raw/a")[0] == b"before"
    files = [path for path in (tmp_path / "lake").rglob("*") if path.is_file() and path.parent.name != ".locks"]
    assert [path.name for path in files] == ["a"]
