"""The version before and this one at the same lake: each reads, writes and refuses what it should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from market_data.index.compact import compact_index
from market_data.ingest.deletion import Deleter
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, ORIGIN_KEY, receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.read import scan_ticks
from market_data.receipts.receipt import Receipt, State
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.gcs_server import GcsServer
from market_data_tests.ingesting import find_falsehoods
from market_data_tests.version_before import FORMAT_1, Refusal, VersionBefore, start_version_before

TRADES = DataType.TRADES
FIRST, SECOND = date(2024, 8, 8), date(2024, 8, 9)
UNIT = DataTypeDay("BINANCE", TRADES, FIRST)
SPOT = Selection(data_types=(TRADES,), include=("BTCUSDT", "ETHBTC"))
MORE = Selection(data_types=(TRADES,), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
OPTIONS = Selection(data_types=(TRADES,), instrument_types=("OPTION",))
SPOILT = {"BTCUSDT": "header_only", "ETHUSDT": "wrong_header"}
BTC, ETH = "BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE:SPOT_PAIR:ETH-BTC"
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
DAY: dict[str, Any] = {"venues": "binance", "start": "2024-08-08", "end": "2024-08-09"}


@pytest.fixture(scope="module")
def before(gcs_server: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersionBefore]:
    del gcs_server  # its address is in the environment
    with start_version_before(FORMAT_1, tmp_path_factory.mktemp("version before")) as started:
        yield started


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.002)) as running:
        yield running


@pytest.fixture
def vendor(simulator: RunningSimulator) -> RunningSimulator:
    simulator.set_faults([])
    simulator.clear_requests()
    return simulator


def bytes_of(lake: TickLake, *prefixes: str) -> dict[str, tuple[int, str]]:
    """Return the generation and the hash of every object, or of those below some prefixes."""
    found = [stat for prefix in prefixes or ("",) for stat in lake.list_objects(prefix)]
    return {stat.key: (stat.generation, hashlib.sha256(lake.get_bytes(stat.key)[0]).hexdigest()) for stat in found}


def receipt_of(lake: TickLake, unit: DataTypeDay = UNIT) -> Receipt:
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    return receipt


def rows_of(lake: TickLake, **asked: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(scan_ticks("trades", lake=lake, **DAY | asked).collect().write_json())
    return rows


def names_of(receipt: Receipt) -> dict[str, str | None]:
    return {item.stem: item.content_id for item in receipt.objects}


def formats_of(receipt: Receipt) -> tuple[int, int]:
    return receipt.min_reader_version, receipt.min_writer_version


def test_what_this_version_published_the_version_before_neither_reads_nor_writes_and_says_so_in_a_sentence(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    held = bytes_of(lake)
    vendor.clear_requests()
    sentence = (
        f"{lake.uri(receipt_key(UNIT))} is to be read by versions of market_data that read format 2; this one reads 1: "
        "install a newer one"
    )
    closed = Refusal("LakeFormatTooNew", _closed(lake))
    assert before.run(lake.url, vendor, FIRST, SPOT) == closed
    assert before.run(lake.url, vendor, FIRST, MORE) == closed
    refused = Refusal("LakeFormatTooNew", sentence)
    assert before.read(lake.url, **DAY) == refused
    assert before.read(lake.url, **DAY, on_incomplete="skip") == refused
    assert bytes_of(lake) == held
    assert [entry for entry in vendor.requests() if entry["path"].endswith(".csv.gz")] == []


def _closed(lake: TickLake) -> str:
    return (
        f"{lake.uri(ORIGIN_KEY)} may be changed by versions of market_data that write format 2; this one writes 1. "
        "Nothing was changed: install a newer one, here and wherever runs are made"
    )


def test_the_version_before_reads_days_of_its_own_beside_those_of_this_one_and_writes_none(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    ingest_day(lake, vendor, "BINANCE", SECOND, SPOT)
    list(compact_index(lake))
    held = bytes_of(lake)
    assert before.read(lake.url, **DAY) == rows_of(lake) != []
    # its readers refuse a range as soon as one day of it is this version's
    refusal = before.read(lake.url, **DAY | {"end": "2024-08-10"})
    assert isinstance(refusal, Refusal)
    assert (refusal.kind, f"{SECOND}.json is to be read by" in refusal.text) == ("LakeFormatTooNew", True)
    # it would overwrite what readers of this version are at
    assert before.run(lake.url, vendor, FIRST, MORE) == Refusal("LakeFormatTooNew", _closed(lake))
    assert bytes_of(lake) == held


@pytest.mark.parametrize("instruments", [None, frozenset({BTC})], ids=["a day", "an instrument"])
def test_what_this_version_deleted_is_not_whole_to_the_version_before_until_it_is_run_again(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator, instruments: frozenset[str] | None
) -> None:
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    whole = before.read(lake.url, **DAY)
    assert Deleter(lake, "ops", "the licence ended", instruments).delete(UNIT, AT)
    held = bytes_of(lake)
    refusal = before.read(lake.url, **DAY)
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "TicksIncomplete"
    sentence = (
        "BTCUSDT is 'removed', a word of a later version of market_data: install a newer one"
        if instruments
        else "published by a later version of market_data, whose state 'deleted' this one does not know: "
        "install a newer one"
    )
    assert sentence in refusal.text
    assert before.read(lake.url, **DAY, on_incomplete="skip") == []
    assert bytes_of(lake) == held
    # whoever wants the day brings it back, and this version still knows who took it out
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    assert before.read(lake.url, **DAY) == rows_of(lake) == whole
    assert [removal.by for removal in receipt_of(lake).removals] == ["ops"]


@pytest.mark.parametrize("instruments", [None, frozenset({BTC})], ids=["a day", "an instrument"])
def test_what_this_version_published_and_deleted_stays_closed_to_the_version_before(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator, instruments: frozenset[str] | None
) -> None:
    ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)
    assert Deleter(lake, "ops", "the licence ended", instruments).delete(UNIT, AT)
    assert receipt_of(lake).state == (State.COMMITTED if instruments else State.DELETED)
    held = bytes_of(lake)
    for answer in (before.read(lake.url, **DAY), before.run(lake.url, vendor, FIRST, SPOT)):
        assert isinstance(answer, Refusal)
        assert answer.kind == "LakeFormatTooNew"
    assert bytes_of(lake) == held


def test_a_lake_of_the_version_before_is_read_compacted_and_run_again_with_nothing_rewritten(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    held, vendor_asked = bytes_of(lake), len(vendor.requests())
    assert rows_of(lake) == before.read(lake.url, **DAY) != []
    made = [(it.venue, it.data_type, it.days) for it in compact_index(lake)]
    assert made == [("BINANCE", None, 1), ("BINANCE", TRADES, 1)]
    assert rows_of(lake) == before.read(lake.url, **DAY)
    index = bytes_of(lake, "index/")
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT)[TRADES]
    assert receipt.is_complete
    assert names_of(receipt) == {"BTC-USDT": None, "ETH-BTC": None}
    assert formats_of(receipt) == (1, 1)
    assert len(vendor.requests()) == vendor_asked
    # the lake is closed to earlier writers from now on
    assert bytes_of(lake) == held | index | {ORIGIN_KEY: bytes_of(lake)[ORIGIN_KEY]}


def test_a_refresh_of_a_lake_of_the_version_before_renames_what_it_replaces_and_nothing_else(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    vendor.set_faults([{"match": "*/BTCUSDT.csv.gz", "action": "two_members"}])
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    held, rows = bytes_of(lake, "raw/", "ticks/"), rows_of(lake)
    vendor.set_faults([])
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, SPOT, is_refresh=True)[TRADES]
    renamed = {stem for stem, content_id in names_of(receipt).items() if content_id}
    assert (renamed, names_of(receipt).keys() - renamed) == ({"BTC-USDT"}, {"ETH-BTC"})
    assert [file.vendor_symbol for file in receipt.files if file.raw_id] == ["BTCUSDT"]
    assert formats_of(receipt) == (2, 2)
    after = bytes_of(lake, "raw/", "ticks/")
    gone, new = held.keys() - after.keys(), after.keys() - held.keys()
    assert len(gone) == len(new) == 1 + len(LAYOUTS)  # the vendor's bytes, and the object in each layout
    assert all("BTC" in key for key in gone | new)
    assert {key: after[key] for key in after.keys() - new} == {key: held[key] for key in held.keys() - gone}
    assert rows_of(lake) == rows
    assert isinstance(before.run(lake.url, vendor, FIRST, SPOT), Refusal)
    assert bytes_of(lake, "raw/", "ticks/") == after


def test_a_refresh_that_could_not_publish_closes_the_day_to_the_version_before(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    """It would keep the id of bytes that are not those it then stores."""
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    faults = [{"match": f"*/{symbol}.csv.gz", "action": action} for symbol, action in SPOILT.items()]
    vendor.set_faults(faults)
    receipt = ingest_day(lake, vendor, "BINANCE", FIRST, MORE, is_refresh=True)[TRADES]
    assert [file.vendor_symbol for file in receipt.files if file.raw_id] == ["BTCUSDT"]
    assert set(names_of(receipt).values()) == {None}
    vendor.set_faults([])
    held = bytes_of(lake)
    refusal = before.run(lake.url, vendor, FIRST, MORE)
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "LakeFormatTooNew"
    assert bytes_of(lake) == held
    assert ingest_day(lake, vendor, "BINANCE", FIRST, MORE)[TRADES].is_complete
    assert find_falsehoods(lake) == []


def test_another_decoder_gives_all_of_a_lake_of_the_version_before_new_names_and_the_same_rows(
    lake: TickLake, before: VersionBefore, vendor: RunningSimulator
) -> None:
    assert before.run(lake.url, vendor, FIRST, SPOT) == {"trades": True}
    assert before.run(lake.url, vendor, FIRST, OPTIONS, venue="DERIBIT") == {"trades": True}
    both = DAY | {"venues": ["binance", "deribit"]}
    rows, raw, plain = rows_of(lake, **both), bytes_of(lake, "raw/"), bytes_of(lake, "ticks/")
    vendor.clear_requests()
    for venue, selection in (("BINANCE", SPOT), ("DERIBIT", OPTIONS)):
        receipt = ingest_day(lake, vendor, venue, FIRST, selection, decoder_version="another")[TRADES]
        assert all(names_of(receipt).values())
        assert formats_of(receipt) == (2, 2)
        assert receipt.is_complete
    assert vendor.requests() == []
    assert rows_of(lake, **both) == rows
    assert bytes_of(lake, "raw/") == raw
    named = bytes_of(lake, "ticks/")
    assert len(named) == len(plain)
    assert named.keys() & plain.keys() == set()
    assert {digest for _, digest in named.values()}.isdisjoint(
        digest for _, digest in plain.values()
    )  # other encodings
    assert find_falsehoods(lake) == []
