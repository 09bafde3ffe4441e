"""A lake is what its receipts say, or each unit that is not is named with what is wrong and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pytest

from market_data.errors import LakeUnavailable
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.checksum import compute_crc32c
from market_data.lake.keys import LAYOUTS, ORIGIN_KEY, raw_key, receipt_key
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.doctor import Diagnosis, Level
from market_data.operate.proof import prove_lake
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.fakes import SteppedLake
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.publishing import ORIGIN, UNIT, Workshop, Writer

SYMBOLS = ("BTCUSDT", "ETHUSDT", "OPTIONS", "XBTUSD")
# two pairs, two parts of a group and a swap in three layouts
OBJECTS, RAW_FILES = 15, 4
WRITER = Writer(symbols=SYMBOLS)
OTHER_DECODER = Writer("other", decoder_version="2", symbols=SYMBOLS)
DAYS = [date(2024, 8, day) for day in (8, 9)]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


@pytest.fixture
def held(lake: TickLake, workshop: Workshop) -> TickLake:
    """A lake of each kind that holds one unit whole."""
    ensure_origin(lake, ORIGIN)
    assert workshop.run(lake, WRITER).is_complete
    return lake


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture
def two_days(lake: TickLake, simulator: RunningSimulator) -> TickLake:
    """A lake of each kind with two days of two data types of one pair."""
    for day in DAYS:
        selection = Selection((DataType.TRADES, DataType.QUOTES), include=("BTCUSDT",))
        ingest_day(lake, simulator, "BINANCE", day, selection)
    return lake


def object_keys(lake: TickLake, layout: str = "by_date") -> list[str]:
    receipt, _ = load_receipt(lake, UNIT)
    assert receipt is not None
    return [item.object_keys(UNIT)[layout] for item in receipt.objects]


def failures(diagnoses: list[Diagnosis]) -> list[str]:
    return [f"{item.name}: {item.what}" for item in diagnoses if item.level is Level.FAIL]


def test_a_lake_that_is_what_its_receipts_say_is_proven_and_left_as_it_was(held: TickLake) -> None:
    before = held.list_objects("")
    (proven,) = prove_lake(held)
    assert (proven.level, proven.name) == (Level.OK, "lake contents")
    words = f"all that 1 receipts name is in {held.url}: {OBJECTS} published objects and {RAW_FILES} of the vendor's"
    assert proven.what.startswith(words)
    assert held.list_objects("") == before


def test_a_lake_that_was_moved_is_proven_and_one_that_was_moved_in_part_is_not(
    two_days: TickLake, make_lake_url: Callable[[], str]
) -> None:
    moved, half = open_lake(make_lake_url()), open_lake(make_lake_url())
    for stat in two_days.list_objects(""):
        data, _ = two_days.get_bytes(stat.key)
        moved.put_bytes(data, stat.key)
        if not stat.key.startswith("ticks/by_venue/"):
            half.put_bytes(data, stat.key)
    (proven,) = prove_lake(moved)
    assert proven.level is Level.OK
    diagnoses = list(prove_lake(half))
    assert [item.name for item in diagnoses] == [
        *(f"BINANCE {data_type} {day}" for data_type in ("quotes", "trades") for day in DAYS),
        "lake contents",
    ]
    assert "1 of 4 files that its receipt names are not as it says: " in diagnoses[0].what
    assert "/ticks/by_venue/" in diagnoses[0].what
    assert diagnoses[0].what.endswith(" is not there")
    assert "copy it again from where the lake was, or run the day again" in diagnoses[0].remedy
    assert diagnoses[-1].what == "4 of 4 units are not as their receipts say"


def test_the_range_says_what_is_looked_at(two_days: TickLake) -> None:
    spoilt = DataTypeDay("BINANCE", DataType.TRADES, DAYS[0])
    two_days.delete(raw_key(spoilt, "BTCUSDT"))
    two_days.put_bytes(b"x", "raw/elsewhere")
    assert len(failures(list(prove_lake(two_days, last=DAYS[0])))) == 2
    for first, last in ((DAYS[1], DAYS[1]), (DAYS[1], date.max)):
        (proven,) = prove_lake(two_days, ["BINANCE"], first, last)
        assert (proven.level, "all that 2 receipts name" in proven.what) == (Level.OK, True)
    (nothing,) = prove_lake(two_days, ["DERIBIT"])
    assert str(nothing) == (
        f"FAIL lake contents: {two_days.url} holds no receipt that is asked for, so nothing is proven; copy the "
        "receipts too, or name the lake, the venues and the days that are meant"
    )


def test_every_object_and_every_raw_file_is_held_against_the_receipt(held: TickLake, workshop: Workshop) -> None:
    keys = [raw_key(UNIT, "OPTIONS"), *(object_keys(held, layout)[1] for layout in LAYOUTS)]
    for key in keys:
        data, _ = held.get_bytes(key)
        spoilt = {
            " is not there": None,
            " has changed: its size in bytes is ": data[:-1],
            " has changed: its CRC32C is ": data[::-1],
        }
        for words, other in spoilt.items():
            held.delete(key)
            if other is not None:
                held.put_bytes(other, key)
            unit, total = failures(list(prove_lake(held, [UNIT.venue])))
            named = f"{UNIT}: 1 of {OBJECTS + RAW_FILES} files that its receipt names are not as it says: "
            assert unit.startswith(f"{named}{held.uri(key)}{words}")
            assert total == "lake contents: 1 of 1 units are not as their receipts say"
            held.put_bytes(data, key)
    for key in keys:
        held.delete(key)
    told, _ = failures(list(prove_lake(held)))
    assert told.startswith(f"{UNIT}: {len(keys)} of ")
    assert workshop.run(held, WRITER).is_complete  # the remedy
    assert failures(list(prove_lake(held))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": None}, "is not a receipt that this version can read"),
        ({"layouts": ["by_date", "by_date"]}, "the layout by_date stands in it twice"),
        ({"min_reader_version": 99}, "99"),
        ({"origin": "https://other.example"}, "it was filled from https://other.example, the lake from "),
    ],
    ids=["damaged", "contradicts itself", "of a later version", "of another origin"],
)
def test_a_receipt_that_cannot_be_believed_fails_with_what_is_wrong(
    held: TickLake, changes: dict[str, object], words: str
) -> None:
    document = json.loads(held.get_bytes(receipt_key(UNIT))[0]) | changes
    held.put_bytes(json.dumps(document).encode(), receipt_key(UNIT))
    diagnoses = list(prove_lake(held))
    unit, _ = failures(diagnoses)
    assert (unit.startswith(f"{UNIT}: "), words in unit) == (True, True)
    assert len(diagnoses) == 2  # of objects whose receipt says nothing, nothing is said


def test_objects_that_no_receipt_names_are_a_warning_and_the_next_run_removes_those_of_its_day(
    held: TickLake, workshop: Workshop
) -> None:
    folder = object_keys(held)[0].rpartition("/")[0]
    of_the_day = [f"{folder}/LEFT.{number:016x}.parquet" for number in range(3)]
    elsewhere = [
        "raw/venue=BINANCE/data_type=trades/date=2024-08-01/BTCUSDT.csv.gz",
        object_keys(held)[0].replace("SPOT_PAIR", "FUTURE"),
        "ticks/by_date/notes.txt",
    ]
    for key in (*of_the_day, *elsewhere):
        held.put_bytes(b"left", key)
    leftovers, proven = prove_lake(held)
    assert (leftovers.level, leftovers.name, proven.level) == (Level.WARN, "leftovers", Level.OK)
    assert leftovers.what == f"6 objects that no receipt names: {', '.join(of_the_day)} and 3 more"
    assert "the next run of their day removes those under ticks/" in leftovers.remedy
    workshop.run(held, WRITER)
    leftovers, _ = prove_lake(held)
    assert leftovers.what.startswith("3 objects that no receipt names: ")
    assert all(key in leftovers.what for key in elsewhere)
    (proven,) = prove_lake(held, ["BINANCE"])  # of a range, its own folders alone
    assert proven.level is Level.OK


def test_a_unit_at_work_or_half_replaced_is_a_warning(held: TickLake, workshop: Workshop) -> None:
    OTHER_DECODER.begin(held)
    claimed, proven = prove_lake(held)
    assert (claimed.level, proven.level) == (Level.WARN, Level.OK)
    assert claimed.what == f"1 units: {UNIT} is claimed by a run that is at work, or died"
    document = json.loads(held.get_bytes(receipt_key(UNIT))[0]) | {"state": "replacing"}
    held.put_bytes(json.dumps(document).encode(), receipt_key(UNIT))
    held.delete(object_keys(held)[0])
    replacing, proven = prove_lake(held)
    assert replacing.what.endswith("is replacing: its published objects were not looked at")
    assert f": 0 published objects and {RAW_FILES} of the vendor's files" in proven.what
    workshop.run(held, OTHER_DECODER)
    assert [item.level for item in prove_lake(held)] == [Level.OK]


class RepublishedLake(SteppedLake):
    """A lake of which a unit is published anew while its folders are listed."""

    def __init__(self, lake: TickLake, publish: Callable[[], object]) -> None:
        super().__init__(lake, lambda: None)
        self._publish = publish
        self.looks = 0

    def list_folders(self, prefixes: object, *, with_crc32c: bool = False) -> list[ObjectStat]:
        self.looks += 1
        if self.looks == 1:
            self._publish()
        assert isinstance(prefixes, tuple)
        return super().list_folders(prefixes, with_crc32c=with_crc32c)


def test_a_unit_that_is_published_anew_meanwhile_is_looked_at_again(held: TickLake, workshop: Workshop) -> None:
    busy = RepublishedLake(held, lambda: workshop.run(held, OTHER_DECODER))
    assert [item.level for item in prove_lake(busy)] == [Level.OK]
    assert busy.looks == 2


def test_a_lake_without_its_document_is_a_warning_and_one_of_a_later_version_is_not_looked_at(held: TickLake) -> None:
    document, _ = held.get_bytes(ORIGIN_KEY)
    held.delete(ORIGIN_KEY)
    missing, proven = prove_lake(held)
    assert (missing.level, missing.what, proven.level) == (Level.WARN, f"{held.uri(ORIGIN_KEY)} is not there", Level.OK)
    held.put_bytes(json.dumps(json.loads(document) | {"min_reader_version": 99}).encode(), ORIGIN_KEY)
    (refused,) = prove_lake(held)
    assert (refused.level, refused.name) == (Level.FAIL, "lake")


def test_of_many_units_that_fail_the_first_are_named_and_all_are_counted(tmp_path: Path, workshop: Workshop) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    workshop.run(lake, WRITER)
    document = lake.get_bytes(receipt_key(UNIT))[0]
    for day in range(1, 31):  # of another day than they say
        lake.put_bytes(document, receipt_key(DataTypeDay("BINANCE", DataType.QUOTES, date(2024, 9, day))))
    told = failures(list(prove_lake(lake)))
    assert len(told) == 21
    assert "it is of BINANCE trades 2024-08-08" in told[0]
    assert told[-1] == "lake contents: 30 of 31 units are not as their receipts say, of which 20 are named above"


def test_a_file_that_the_disk_does_not_give_back_fails_its_unit(
    tmp_path: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    workshop.run(lake, WRITER)
    sick = Path(lake.uri(object_keys(lake)[0]))
    healthy = Path.open

    def open_unless_sick(path: Path, *args: object, **options: object) -> object:
        if path == sick:
            raise OSError(5, "Input/output error", str(path))
        return healthy(path, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_unless_sick)
    unit, _ = failures(list(prove_lake(lake)))
    assert (unit.startswith(f"{UNIT}: cannot list "), f"Input/output error ({sick})" in unit) == (True, True)


def test_a_store_that_does_not_answer_is_no_verdict(held: TickLake) -> None:
    class SilentLake(SteppedLake):
        def list_folders(self, prefixes: object, *, with_crc32c: bool = False) -> list[ObjectStat]:
            raise LakeUnavailable(f"{prefixes} {with_crc32c}: the store did not answer")

    with pytest.raises(LakeUnavailable, match="did not answer"):
        list(prove_lake(SilentLake(held, lambda: None)))


def test_hard_links_are_read_once(tmp_path: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, WRITER)
    read: list[BinaryIO] = []

    def compute(stream: BinaryIO) -> str:
        read.append(stream)
        return compute_crc32c(stream)

    monkeypatch.setattr("market_data.lake.local.compute_crc32c", compute)
    (proven,) = prove_lake(lake)
    assert (len(read), f" {OBJECTS} published objects" in proven.what) == (OBJECTS // 3 + RAW_FILES, True)
