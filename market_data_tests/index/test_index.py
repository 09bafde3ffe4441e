"""Whatever of the index is there, old, damaged or missing: readers see what the receipts say, and nothing else."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.errors import LakeFormatTooNew
from market_data.index import store, table
from market_data.index.compact import compact_index
from market_data.index.store import held_venues, read_heads, read_units, save_part
from market_data.index.unit import IndexedUnit, index_receipt
from market_data.lake.base import TickLake
from market_data.lake.keys import index_files_key, index_part_key, index_units_key, receipt_key
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt, Removal, State
from market_data.receipts.store import load_receipt, save_receipt
from market_data.ticks.rules import Finding, Severity, TickStats
from market_data_tests.fakes import Killed, MemoryLake, SteppedLake, kill_at

TRADES, QUOTES = DataType.TRADES, DataType.QUOTES
VENUES = ("BINANCE", "DERIBIT")
DAYS = [date(2024, 7, 30) + timedelta(days=offset) for offset in range(4)]  # over the end of a month
WANTED = dict.fromkeys(VENUES, (TRADES, QUOTES))
UNITS = [DataTypeDay(venue, data_type, day) for venue in VENUES for data_type in (TRADES, QUOTES) for day in DAYS]
LAYOUTS = ("by_date", "by_venue")
INSTANT = datetime(2024, 8, 1, 12, 30, 1, 250, tzinfo=UTC)
GROUP = "OPTIONS"


@pytest.fixture(autouse=True)
def _parts_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SMALLEST_PART_FILES", 0)


def make_file(unit: DataTypeDay, symbol: str, outcome: Outcome | None, finding: Severity | None = None) -> FileEvidence:
    """Evidence as a run leaves it."""
    kind = "OPTION" if symbol == GROUP else "SPOT_PAIR"
    file = FileEvidence(
        vendor_symbol=symbol,
        instrument_type=kind,
        instrument_key=None if symbol == GROUP else f"{unit.venue}:{kind}:{symbol}-USD",
    )
    if outcome is Outcome.STORED:
        file = file.stored(size_bytes=1_000 + len(symbol), crc32c="AAAAAA==", generation=3)
        file = file.decoded(4, INSTANT, INSTANT + timedelta(hours=1), ())
        if finding is not None:
            stats = TickStats(rows=4, counts={}, measures={}, nulls={})
            file = file.judged(stats, [Finding(rule="order", family="f", severity=finding, text=f"{symbol} is odd")])
    elif outcome is Outcome.VENDOR_EMPTY:
        file = file.stored(size_bytes=20, crc32c="AAAAAA==", generation=3)
    elif outcome is Outcome.FAILED:
        file = file.failed("VendorUnavailable", f"{symbol}: no answer", is_transient=True)
    elif outcome is not None:
        file = file.changed(outcome=outcome, error=f"{outcome} of {symbol}")
    return file


def make_objects(file: FileEvidence, content: int) -> list[PublishedObject]:
    """What is published of a stored file: parts of a grouped one."""
    stems = {"BTC~OPTIONS": 3, "~OPTIONS": 1} if file.is_group else {f"{file.vendor_symbol}-USD": 4}
    return [
        PublishedObject(
            vendor_symbol=file.vendor_symbol,
            instrument_type=file.instrument_type,
            instrument_key=file.instrument_key,
            stem=stem,
            rows=rows,
            size_bytes=100 * rows,
            crc32c="AAAAAA==",
            content_id=f"{content:016x}" if content else None,
            generations=dict.fromkeys(LAYOUTS, 7),
        )
        for stem, rows in stems.items()
    ]


OUTCOMES = st.sampled_from([*Outcome, Outcome.STORED, Outcome.STORED, None])
FINDINGS = st.sampled_from([None, Severity.WARN, Severity.ERROR])


@st.composite
def receipts(draw: st.DrawFn, unit: DataTypeDay) -> Receipt:
    """Receipts of all states, as runs, kills and people leave them."""
    empty = Receipt(origin="vendor", venue=unit.venue, data_type=unit.data_type, day=unit.day)
    at = draw(st.datetimes(datetime(2025, 1, 1), datetime(2026, 1, 1))).replace(tzinfo=UTC)  # noqa: DTZ001
    if draw(st.integers(0, 9)) == 0:
        removal = Removal(
            at=at, by="ops", reason="the licence ended", files=3, rows=9, raw_bytes=99, instrument_types=("SPOT_PAIR",)
        )
        return empty.changed(state=State.DELETED, removals=(removal,))
    symbols = draw(st.lists(st.sampled_from(["BTC", "ETH", "SOL", "~X:Y", GROUP]), unique=True, max_size=5))
    files = [make_file(unit, symbol, draw(OUTCOMES), draw(FINDINGS)) for symbol in sorted(symbols)]
    receipt = empty.changed(files=tuple(files), instruments_listed=draw(st.sampled_from([None, 0, 7])))
    if draw(st.booleans()):
        return receipt.changed(claim="writer", doubt=draw(st.sampled_from([None, "nothing is listed"])))
    stored = [file for file in files if file.outcome is Outcome.STORED]
    if draw(st.integers(0, 4)) == 0:  # a day that waits for one file publishes nothing new
        stored = stored[1:]
    objects = [item for file in stored for item in make_objects(file, draw(st.integers(0, 2**64 - 1)))]
    if draw(st.integers(0, 4)) == 0 and GROUP not in symbols:  # superseded by single files, and still published
        receipt = receipt.changed(claim="writer")
        objects += make_objects(make_file(unit, GROUP, Outcome.STORED), 5)
    claim = receipt.claim or (None if len(stored) == len(symbols) else "writer")
    return receipt.committed(objects, decoder_version="1", layouts=LAYOUTS, at=at).changed(claim=claim)


def expected(lake: TickLake, units: list[DataTypeDay]) -> dict[DataTypeDay, IndexedUnit]:
    """What the receipts say, read one by one."""
    found = {unit: load_receipt(lake, unit) for unit in units}
    return {unit: index_receipt(receipt, at) for unit, (receipt, at) in found.items() if receipt is not None}


def assert_readers_see_the_receipts(lake: TickLake) -> None:
    """Heads, all files, one instrument's files: each as the receipts say."""
    truth = expected(lake, UNITS)
    assert read_units(lake, WANTED, DAYS) == truth
    assert read_heads(lake, WANTED, DAYS) == {unit: it.head for unit, it in truth.items()}
    key = "BINANCE:SPOT_PAIR:BTC-USD"
    one = read_units(lake, WANTED, DAYS, pl.col("instrument_key") == key)
    for unit, it in truth.items():
        assert one[unit].head == it.head
        assert one[unit].files == tuple(file for file in it.files if file.instrument_key in {None, key})
        assert one[unit].objects == tuple(item for item in it.objects if item.instrument_key in {None, key})


@settings(max_examples=15)
@given(data=st.data(), is_local=st.booleans())
def test_whatever_was_written_when_readers_see_what_the_receipts_say(data: st.DataObject, *, is_local: bool) -> None:
    see_what_the_receipts_say(data, is_local=is_local)


@pytest.mark.long
@settings(max_examples=600, derandomize=False)  # others each time
@given(data=st.data(), is_local=st.booleans())
def test_whatever_else_was_written_readers_see_what_the_receipts_say(data: st.DataObject, *, is_local: bool) -> None:
    see_what_the_receipts_say(data, is_local=is_local)


def see_what_the_receipts_say(data: st.DataObject, *, is_local: bool) -> None:
    lake = MemoryLake(is_local=is_local)
    ensure_origin(lake, "vendor")
    for _ in range(data.draw(st.integers(1, 14))):
        match data.draw(st.sampled_from(["run", "run", "run", "killed run", "compact", "rebuild", "delete", "damage"])):
            case "run" | "killed run" as event:
                receipt = data.draw(st.sampled_from(UNITS).flatmap(receipts))
                _, generation = load_receipt(lake, receipt.unit)
                generation = save_receipt(lake, receipt, generation)
                if event == "run":
                    save_part(lake, receipt, generation)
            case "compact" | "rebuild" as event:
                call = data.draw(st.integers(0, 80))
                venues = data.draw(st.sampled_from([None, ["BINANCE"], ["DERIBIT"]]))
                try:
                    stepped = SteppedLake(lake, kill_at(call))
                    list(compact_index(stepped, venues, is_rebuild=event == "rebuild"))
                except Killed:
                    pass
            case "delete":
                lake.delete(receipt_key(data.draw(st.sampled_from(UNITS))))
            case _:
                if made := [stat.key for stat in lake.list_objects("index/")]:
                    lake.put_bytes(data.draw(st.sampled_from([b"", b"PAR1", b"{}"])), data.draw(st.sampled_from(made)))
        assert_readers_see_the_receipts(lake)
    list(compact_index(lake))
    assert_readers_see_the_receipts(lake)


def _fill(lake: TickLake, units: list[DataTypeDay]) -> None:
    ensure_origin(lake, "vendor")
    for number, unit in enumerate(units, 1):
        files = [make_file(unit, symbol, Outcome.STORED) for symbol in ("BTC", "ETH", GROUP)]
        objects = [item for file in files for item in make_objects(file, number)]
        receipt = Receipt(origin="vendor", venue=unit.venue, data_type=unit.data_type, day=unit.day, files=tuple(files))
        receipt = receipt.committed(objects, decoder_version="1", layouts=LAYOUTS, at=INSTANT)
        save_part(lake, receipt, save_receipt(lake, receipt, 0))


def test_a_lake_of_each_kind_is_read_by_its_months_and_anew_after_changes(lake: TickLake) -> None:
    _fill(lake, UNITS)
    assert held_venues(lake) == sorted(VENUES)
    assert_readers_see_the_receipts(lake)
    written = list(compact_index(lake))
    assert sum(item.days for item in written) == len(UNITS)
    assert list(compact_index(lake)) == []  # nothing is left to do
    assert_readers_see_the_receipts(lake)
    receipt, generation = load_receipt(lake, UNITS[0])
    assert receipt is not None
    save_receipt(lake, receipt.changed(doubt="so it is"), generation)
    lake.delete(receipt_key(UNITS[-1]))
    assert_readers_see_the_receipts(lake)
    assert {(item.venue, item.data_type) for item in compact_index(lake)} == {("BINANCE", TRADES), ("DERIBIT", QUOTES)}
    assert_readers_see_the_receipts(lake)


def test_receipts_of_few_files_have_no_parts_and_are_read_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SMALLEST_PART_FILES", 40)
    monkeypatch.setattr(store, "_SMALL_AT_ONCE", 3)  # of the four days of each venue and data type
    lake = MemoryLake()
    _fill(lake, UNITS)
    assert lake.list_objects("index/") == []
    assert_readers_see_the_receipts(lake)
    list(compact_index(lake))
    assert_readers_see_the_receipts(lake)


class _CountingLake(SteppedLake):
    def __init__(self, lake: TickLake) -> None:
        self.calls = 0
        super().__init__(lake, self._count)

    def _count(self) -> None:
        self.calls += 1


def _requests(lake: TickLake, days: list[date]) -> int:
    counting = _CountingLake(lake)
    units = read_units(counting, {"BINANCE": (TRADES,)}, days, pl.col("instrument_key") == "BINANCE:SPOT_PAIR:BTC-USD")
    assert len(units) == len(days)
    return counting.calls


def test_requests_grow_with_months_and_not_with_days() -> None:
    lake = MemoryLake()
    year = [date(2024, 1, 1) + timedelta(days=offset) for offset in range(366)]
    _fill(lake, [DataTypeDay("BINANCE", TRADES, day) for day in year])
    assert _requests(lake, year) > len(year)
    list(compact_index(lake))
    months = 12
    # the lake's document, a listing, and two tables of each month
    assert _requests(lake, year) == 2 + 2 * months
    assert _requests(lake, year[:31]) == 2 + 2


def test_no_receipt_is_opened_where_the_index_has_its_unit(caplog: pytest.LogCaptureFixture) -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)

    def reads(wanted: TickLake) -> list[str]:
        keys: list[str] = []

        class Reading(SteppedLake):
            def get_bytes(self, key: str) -> tuple[bytes, object]:  # type: ignore[override]
                keys.append(key)
                return super().get_bytes(key)

        read_units(Reading(wanted, lambda: None), WANTED, DAYS)
        return [key for key in keys if key.startswith("receipt/")]

    assert reads(lake) == []
    lake.delete(index_part_key(UNITS[0]))
    assert reads(lake) == [receipt_key(UNITS[0])]
    list(compact_index(lake))
    assert reads(lake) == []
    lake.put_bytes(b"broken", index_files_key(date(2024, 8, 1), "DERIBIT", QUOTES))
    lake.delete(index_part_key(UNITS[-1]))
    with caplog.at_level(logging.WARNING):
        assert reads(lake) == [receipt_key(UNITS[-1])]
    assert "market-data index --rebuild" in caplog.text


def test_what_a_later_version_wrote_is_refused_with_the_index_as_without_it() -> None:
    lake = MemoryLake()
    _fill(lake, UNITS[:2])
    receipt, generation = load_receipt(lake, UNITS[0])
    assert receipt is not None
    newer = receipt.changed(min_reader_version=99)
    save_part(lake, newer, save_receipt(lake, newer, generation))
    with pytest.raises(LakeFormatTooNew, match="99"):
        read_heads(lake, WANTED, DAYS)


def test_a_compaction_that_loses_the_race_for_a_month_merges_with_the_other() -> None:
    lake = MemoryLake()
    _fill(lake, [unit for unit in UNITS if unit.day.month == 8])
    rival: Iterator[object] = iter(())

    class Racing(SteppedLake):
        def put_bytes(self, data: bytes, key: str, **conditions: object) -> object:  # type: ignore[override]
            nonlocal rival
            if key == index_units_key(date(2024, 8, 1)) and rival is not None:
                rival = None  # type: ignore[assignment]
                list(compact_index(lake, ["DERIBIT"]))
            return super().put_bytes(data, key, **conditions)  # type: ignore[arg-type]

    list(compact_index(Racing(lake, lambda: None), ["BINANCE"]))
    assert list(compact_index(lake)) == []
    assert_readers_see_the_receipts(lake)


def test_a_table_that_a_slow_compaction_wrote_last_is_not_believed_for_days_that_changed() -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)
    list(compact_index(lake))
    key = index_files_key(UNITS[0].day.replace(day=1), UNITS[0].venue, UNITS[0].data_type)
    older = lake.get_bytes(key)[0]
    receipt, generation = load_receipt(lake, UNITS[0])
    assert receipt is not None
    changed = receipt.changed(files=receipt.files[:1], objects=receipt.objects[:1])
    save_part(lake, changed, save_receipt(lake, changed, generation))
    list(compact_index(lake))
    lake.put_bytes(older, key)
    assert_readers_see_the_receipts(lake)


def test_a_few_small_receipts_are_read_themselves() -> None:
    lake = MemoryLake()
    _fill(lake, [unit for unit in UNITS if unit.venue == "BINANCE" and unit.data_type is TRADES])
    list(compact_index(lake))
    # of each month two days: the lake's document, a listing, one of parts, and what is listed
    assert _requests(lake, DAYS) == 3 + len(DAYS)


def test_tables_whose_counts_are_of_other_words_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)
    with monkeypatch.context() as patch:
        patch.setattr(table, "_VERSION", {"version": 1, "counts": ["stored", "lost"]})
        list(compact_index(lake, is_rebuild=True))
    assert_readers_see_the_receipts(lake)
    assert list(compact_index(lake)) != []
    assert list(compact_index(lake)) == []


def test_a_bit_that_flipped_anywhere_in_the_index_changes_no_answer() -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)
    list(compact_index(lake))
    rng = random.Random(1)
    for stat in lake.list_objects("index/"):
        whole = lake.get_bytes(stat.key)[0]
        for _ in range(12):
            damaged = bytearray(whole)
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            lake.put_bytes(bytes(damaged), stat.key)
            assert read_units(lake, WANTED, DAYS) == expected(lake, UNITS)
        lake.put_bytes(whole, stat.key)


def test_a_table_that_lies_under_the_key_of_another_is_not_believed() -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)
    # two data types whose receipts have the same generations, as after a move that keeps whole seconds
    list(compact_index(lake))
    month = DAYS[-1].replace(day=1)
    trades, quotes = (index_files_key(month, "BINANCE", data_type) for data_type in (TRADES, QUOTES))
    lake.put_bytes(lake.get_bytes(trades)[0], quotes)
    with pytest.raises(ValueError, match="it was written for"):
        table.ensure_sound(lake.get_bytes(quotes)[0], quotes)
    assert_readers_see_the_receipts(lake)


@pytest.mark.parametrize("change", ["lost", "older"])
def test_a_table_of_files_that_is_lost_or_older_is_made_anew(change: str) -> None:
    lake = MemoryLake()
    _fill(lake, UNITS)
    list(compact_index(lake))
    key = index_files_key(DAYS[0].replace(day=1), "BINANCE", TRADES)
    older = lake.get_bytes(key)[0]
    receipt, generation = load_receipt(lake, UNITS[0])
    assert receipt is not None
    save_receipt(lake, receipt.changed(doubt="so it is"), generation)
    list(compact_index(lake))
    newer = lake.get_bytes(key)[0]
    if change == "lost":
        lake.delete(key)
    else:
        lake.put_bytes(older, key)
    assert [(item.venue, item.data_type) for item in compact_index(lake)] == [("BINANCE", TRADES)]
    assert lake.get_bytes(key)[0] == newer
    assert list(compact_index(lake)) == []
