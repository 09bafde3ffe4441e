"""A lake that was copied to another place: its generations are all others, and nothing of it is written anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from market_data.checks.recheck import recheck_unit
from market_data.ingest.venue_day import VenueDay
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import receipt_key
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.read import scan_ticks
from market_data.receipts.store import load_receipt
from market_data.ticks.rules import Override, Severity, rules_for
from market_data_tests.fakes import SteppedLake
from market_data_tests.gcs_server import GcsServer
from market_data_tests.ingesting import (
    DAY,
    QUOTES,
    SPOT,
    TRADES,
    Vendor,
    contents_of,
    file_of,
    find_falsehoods,
    is_proven,
    plan_day,
    run_day,
    stats_of,
)
from market_data_tests.publishing import UNIT, Workshop, Writer
from market_data_tests.publishing import find_falsehoods as falsehoods_of

pytestmark = pytest.mark.usefixtures("retries_without_waits")

MOVES = [("local", "local"), ("local", "gcs"), ("gcs", "local")]
STRICT = rules_for(TRADES, {"repeated_row": Override(limit=0), "clock_skew": Override(0, Severity.ERROR)})


@pytest.fixture
def make_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], TickLake]:
    """Makes an empty lake of a kind at each call."""

    def make(kind: str) -> TickLake:
        name = f"moved-{uuid.uuid4().hex}"
        if kind == "local":
            return open_lake((tmp_path / name).as_uri())
        server: GcsServer = request.getfixturevalue("gcs_server")
        server.create_bucket(name)
        return open_lake(f"gs://{name}/some/prefix")

    return make


def move(source: TickLake, target: TickLake) -> TickLake:
    """Copy every object under its key, as rclone does and `gcloud storage cp`."""
    for stat in source.list_objects(""):
        target.put_bytes(source.get_bytes(stat.key)[0], stat.key)
    return target


def fill(lake: TickLake, vendor: Vendor) -> VenueDay:
    ensure_origin(lake, "simulator")
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    vendor.recover()
    return plan


def rows_of(lake: TickLake, data_type: DataType) -> object:
    found = scan_ticks(data_type, venues="binance", start="2024-08-08", end="2024-08-09", lake=lake.url).collect()
    assert found.height
    return found.sort("instrument_key", "local_timestamp", maintain_order=True).to_dicts()


def run_again(lake: TickLake, vendor: Vendor, plan: VenueDay) -> None:
    """Run a day that is whole: nobody is asked for anything, and nothing is touched."""
    before = stats_of(lake)
    results = run_day(lake, vendor, plan)
    assert {result.was_current for result in results.values()} == {True}
    assert vendor.asked_files() == []
    assert stats_of(lake) == before


@pytest.mark.parametrize(("kind", "other"), MOVES)
def test_a_moved_lake_is_read_run_refreshed_and_rechecked_as_before(
    make_lake: Callable[[str], TickLake], vendor: Vendor, kind: str, other: str
) -> None:
    lake = make_lake(kind)
    plan = fill(lake, vendor)
    moved = move(lake, make_lake(other))
    generations = {stat.key: stat.generation for stat in stats_of(lake)}
    assert not any(stat.generation == generations[stat.key] for stat in stats_of(moved))
    assert all(rows_of(moved, data_type) == rows_of(lake, data_type) for data_type in (TRADES, QUOTES))
    run_again(moved, vendor, plan)
    assert contents_of(moved) == contents_of(lake)
    assert is_proven(moved, plan)

    vendor.spoil("header_only", match="*/trades/*/BTCUSDT.csv.gz")
    before = {stat.key: stat for stat in stats_of(moved)}
    refreshed = run_day(moved, vendor, replace(plan, is_refresh=True))
    assert [file.vendor_symbol for file in refreshed[TRADES].replaced] == ["BTCUSDT"]
    assert refreshed[QUOTES].replaced == ()
    assert file_of(refreshed[TRADES].receipt, "BTCUSDT").outcome is Outcome.VENDOR_EMPTY
    after = {stat.key: stat for stat in stats_of(moved)}
    changed = {key for key in before if after.get(key) != before[key] and key.startswith(("ticks/", "raw/"))}
    assert {key.rpartition("/")[2].partition(".")[0] for key in changed} == {"BTC-USDT", "BTCUSDT"}
    assert find_falsehoods(moved) == []
    assert is_proven(moved, plan)
    vendor.recover()
    run_again(moved, vendor, plan)

    rechecked = recheck_unit(moved, DataTypeDay("BINANCE", TRADES, DAY), STRICT)
    assert set(rechecked.changed) == set(SPOT) - {"BTCUSDT"}
    run_again(moved, vendor, plan)


class ReadingLake(SteppedLake):
    """A lake that tells how often it was asked for checksums in a listing."""

    checksums_asked = 0

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        self.checksums_asked += with_crc32c
        return super().list_objects(prefix, with_crc32c=with_crc32c)


@pytest.mark.parametrize(("options", "has_times"), [("-r", False), ("-a", True)])
def test_a_directory_that_was_copied_is_the_same_lake_and_its_bytes_are_read_where_times_were_lost(
    make_lake: Callable[[str], TickLake], tmp_path: Path, vendor: Vendor, options: str, *, has_times: bool
) -> None:
    lake = make_lake("local")
    plan = fill(lake, vendor)
    subprocess.run(["cp", options, lake.uri("origin.json").removesuffix("/origin.json"), tmp_path / "copy"], check=True)
    copied = open_lake((tmp_path / "copy").as_uri())
    links = {Path(copied.uri(stat.key)).stat().st_nlink for stat in copied.list_objects("ticks/")}
    assert links == ({3} if has_times else {1})
    assert rows_of(copied, TRADES) == rows_of(lake, TRADES)
    reading = ReadingLake(copied, lambda: None)
    run_again(copied, vendor, plan)
    run_day(reading, vendor, plan)
    assert (reading.checksums_asked == 0) is has_times
    vendor.spoil("header_only", match="*/trades/*/BTCUSDT.csv.gz")
    assert run_day(copied, vendor, replace(plan, is_refresh=True))[TRADES].replaced
    assert find_falsehoods(copied) == []
    assert is_proven(copied, plan)


@pytest.mark.parametrize(("kind", "other"), MOVES)
def test_what_was_left_at_work_is_taken_over_where_it_was_moved_to(
    make_lake: Callable[[str], TickLake], tmp_path: Path, kind: str, other: str
) -> None:
    lake, workshop = make_lake(kind), Workshop(tmp_path)
    workshop.run(lake, Writer("one"))
    dead = Writer("dead", decoder_version="2")
    dead.begin(lake)
    moved = move(lake, make_lake(other))
    receipt = workshop.run(moved, Writer("two", decoder_version="2"))
    assert (receipt.is_complete, receipt.claim, falsehoods_of(moved, receipt)) == (True, None, set())
    named = {key for item in receipt.objects for key in item.object_keys(UNIT).values()}
    assert {stat.key for stat in moved.list_objects("ticks/")} == named  # the former ones are gone


@pytest.mark.parametrize("time_ns", [0, 1, 4_000_000_000 * 10**9], ids=["no times", "one nanosecond", "the future"])
def test_times_that_a_copy_invented_are_generations_like_others(
    make_lake: Callable[[str], TickLake], tmp_path: Path, time_ns: int
) -> None:
    lake, workshop = make_lake("local"), Workshop(tmp_path)
    first = workshop.run(lake, Writer("one"))
    for stat in lake.list_objects(""):
        os.utime(lake.uri(stat.key), ns=(time_ns, time_ns))
    held = lake.list_objects("")
    assert {stat.generation for stat in held} == {time_ns}
    assert workshop.run(lake, Writer("again")) == first
    assert lake.list_objects("") == held
    second = workshop.run(lake, Writer("two", decoder_version="2"))
    assert (second.is_complete, falsehoods_of(lake, second)) == (True, set())
    assert load_receipt(lake, UNIT)[0] == second
    receipt = lake.stat(receipt_key(UNIT))
    assert receipt is not None
    assert receipt.generation > time_ns
    named = {key for item in second.objects for key in item.object_keys(UNIT).values()}
    assert {stat.key for stat in lake.list_objects("ticks/")} == named


def test_a_lake_without_its_hard_links_is_published_into_as_before(
    make_lake: Callable[[str], TickLake], tmp_path: Path
) -> None:
    lake, workshop = make_lake("local"), Workshop(tmp_path)
    workshop.run(lake, Writer("one"))
    shutil.copytree(Path(lake.uri("x")).parent, tmp_path / "copy", copy_function=shutil.copyfile)
    copied = open_lake((tmp_path / "copy").as_uri())
    receipt = workshop.run(copied, Writer("two", decoder_version="2"))
    assert (receipt.is_complete, falsehoods_of(copied, receipt)) == (True, set())
