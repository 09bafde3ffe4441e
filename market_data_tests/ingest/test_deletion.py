"""What people take out of a lake, what runs replaced and keep for a while, and what nobody names any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

import pytest

from market_data.errors import ConfigurationError, LakeConflict, LakeError, TicksIncomplete
from market_data.index.compact import compact_index
from market_data.ingest import deletion, lease
from market_data.ingest.assess import PublicationTarget
from market_data.ingest.deletion import Deleter
from market_data.ingest.sweep import sweep_unit
from market_data.lake.base import TickLake
from market_data.lake.keys import failed_key, index_part_key, lease_key, object_key, raw_key, receipt_key
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.operate.coverage import DELETED, INCOMPLETE, measure_coverage
from market_data.read import scan_ticks
from market_data.receipts.receipt import Receipt, State
from market_data.receipts.store import load_receipt, save_receipt
from market_data_tests.fakes import Killed, MemoryLake, SteppedLake, kill_at
from market_data_tests.publishing import GROUP, ORIGIN, UNIT, Workshop, Writer, contents, find_falsehoods

V1, V2 = Writer("one"), Writer("two", decoder_version="2")
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
BTC = "BINANCE:SPOT_PAIR:BTCUSDT"
_T = TypeVar("_T")


@pytest.fixture
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def filled(lake: TickLake, workshop: Workshop) -> TickLake:
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)
    return lake


def receipt_of(lake: TickLake) -> Receipt:
    receipt, _ = load_receipt(lake, UNIT)
    assert receipt is not None
    return receipt


def deleter(lake: TickLake, *instruments: str) -> Deleter:
    return Deleter(lake, "ops", "the licence ended", frozenset(instruments) or None)


def coverage_of(lake: TickLake) -> dict[str, object]:
    return measure_coverage(lake, {UNIT.venue: (UNIT.data_type,)}, [UNIT.day]).to_dicts()[0]


def read(lake: TickLake, *instruments: str) -> None:
    scan_ticks("trades", instruments=instruments or None, start=UNIT.day, end=UNIT.day + timedelta(days=1), lake=lake)


def test_a_deleted_day_is_gone_and_says_so(filled: TickLake) -> None:
    list(compact_index(filled))
    deleted = deleter(filled).delete(UNIT, AT)
    assert deleted is not None
    assert (deleted.files, deleted.rows, deleted.objects, deleted.refused) == (3, 3, 12, 0)
    assert contents(filled, ("ticks/", "raw/", "failed/", "staging/")) == {}
    for _ in range(2):  # by the receipt, and by the index
        with pytest.raises(TicksIncomplete, match="deleted on 2026-11-27 by ops: the licence ended"):
            read(filled)
        row = coverage_of(filled)
        assert (row["state"], row["expected"], row["published_bytes"]) == (DELETED, 0, 0)
        assert row["cause"] == "deleted on 2026-11-27 by ops: the licence ended"
        list(compact_index(filled))
    (removal,) = receipt_of(filled).removals
    assert (removal.files, removal.rows, removal.raw_bytes) == (3, 3, deleted.raw_bytes)
    again = deleter(filled).delete(UNIT, AT)
    assert again is not None
    assert (again.files, again.objects) == (0, 0)
    assert receipt_of(filled).removals == (removal,)


def test_a_deleted_instrument_is_gone_and_the_others_stay(filled: TickLake) -> None:
    before = contents(filled)
    deleted = deleter(filled, BTC).delete(UNIT, AT)
    assert deleted is not None
    assert (deleted.files, deleted.objects) == (1, 4)
    gone = before.keys() - contents(filled).keys()
    assert len(gone) == 4
    assert all("BTC" in key for key in gone)
    read(filled, "BINANCE:SPOT_PAIR:ETHUSDT")
    for asked in ([BTC], []):
        with pytest.raises(TicksIncomplete, match=r"on 2026-11-27 by ops: the licence ended \(1 files: BTCUSDT"):
            read(filled, *asked)
    row = coverage_of(filled)
    assert (row["state"], row["expected"], row["removed"]) == (INCOMPLETE, 3, 1)
    assert receipt_of(filled).removals[0].instruments == (BTC,)
    assert deleter(filled, "BINANCE:SPOT_PAIR:DOGEUSDT").delete(UNIT, AT) is None
    assert find_falsehoods(filled, receipt_of(filled)) == set()


def test_what_was_never_run_is_not_deleted(filled: TickLake) -> None:
    other = DataTypeDay(UNIT.venue, DataType.QUOTES, UNIT.day)
    assert deleter(filled).delete(other, AT) is None
    assert load_receipt(filled, other) == (None, 0)


@pytest.mark.parametrize("instruments", [(), (BTC,)])
def test_a_run_that_wants_it_brings_it_back(filled: TickLake, workshop: Workshop, instruments: tuple[str, ...]) -> None:
    before = contents(filled)
    deleter(filled, *instruments).delete(UNIT, AT)
    workshop.run(filled, V1)
    assert contents(filled) == before
    assert coverage_of(filled)["state"] == "complete"
    assert len(receipt_of(filled).removals) == 1


def test_a_narrowed_run_does_not_bring_it_back(filled: TickLake, workshop: Workshop) -> None:
    deleter(filled, BTC).delete(UNIT, AT)
    workshop.run(filled, replace(V1, symbols=("ETHUSDT", "XBTUSD")))
    assert coverage_of(filled)["state"] == "complete"
    assert not any("BTC" in key for key in contents(filled))


def test_one_of_many_in_a_grouped_file_is_refused(lake: TickLake, workshop: Workshop) -> None:
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, replace(V1, symbols=("BTCUSDT", GROUP)))
    before = contents(lake, [""])
    with pytest.raises(ConfigurationError, match="lies in the grouped file OPTIONS"):
        deleter(lake, "BINANCE:OPTION:BTC-USD-240927-60000-CALL").delete(UNIT, AT)
    assert contents(lake, [""]) == before


def test_a_run_at_work_is_not_deleted_under_and_a_dead_one_is(
    filled: TickLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(deletion, "_POLLS", 30)
    V2.begin(filled)
    renewals = count()

    class Renewed(SteppedLake):
        def stat(self, key: str) -> object:  # type: ignore[override]
            if key == lease_key("two"):
                filled.put_bytes(str(next(renewals)).encode(), key)
            return super().stat(key)

    with pytest.raises(LakeConflict, match="a run is at work on it"):
        deleter(Renewed(filled, lambda: None)).delete(UNIT, AT)
    assert receipt_of(filled).claim == "two"
    monkeypatch.setattr(lease, "_DEAD_AFTER_SECONDS", 0.05)
    assert deleter(filled).delete(UNIT, AT) is not None
    assert receipt_of(filled).state == State.DELETED


def test_objects_that_a_store_does_not_let_go_are_told_and_swept_later(workshop: Workshop) -> None:
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)

    class Locked(SteppedLake):
        def delete(self, key: str, *, if_generation: int | None = None) -> None:
            if key.startswith(("ticks/", "raw/")):
                raise LakeError(f"{key}: it is under a retention policy")
            super().delete(key, if_generation=if_generation)

    deleted = deleter(Locked(lake, lambda: None)).delete(UNIT, AT)
    assert deleted is not None
    assert (deleted.objects, deleted.refused) == (0, 12)
    assert coverage_of(lake)["state"] == DELETED
    swept = sweep_unit(lake, UNIT, timedelta(days=1), lambda: AT)
    assert (swept.deleted, swept.kept, swept.refused) == (12, 0, 0)
    assert contents(lake, ("ticks/", "raw/")) == {}


def _killed_everywhere(act: Callable[[TickLake], _T], make: Callable[[], TickLake]) -> list[TickLake]:
    """Give a lake for each call of the act at which it can be killed, and one where it was not."""
    lakes = []
    for call in count():
        lakes.append(make())
        try:
            act(SteppedLake(lakes[-1], kill_at(call)))
        except Killed:
            continue
        return lakes
    raise AssertionError


@pytest.mark.parametrize("instruments", [(), (BTC,)])
@pytest.mark.parametrize("is_local", [True, False])
def test_killed_anywhere_it_is_run_again(workshop: Workshop, instruments: tuple[str, ...], *, is_local: bool) -> None:
    def make() -> TickLake:
        lake = MemoryLake(is_local=is_local)
        ensure_origin(lake, ORIGIN)
        workshop.run(lake, V1)
        return lake

    lakes = _killed_everywhere(lambda lake: deleter(lake, *instruments).delete(UNIT, AT), make)
    assert len(lakes) > 15
    whole = contents(lakes[-1])
    for lake in lakes:
        state = coverage_of(lake)["state"]
        assert state in {"complete", DELETED if not instruments else INCOMPLETE}
        if state == "complete":
            assert find_falsehoods(lake, receipt_of(lake)) == set()
        deleter(lake, *instruments).delete(UNIT, AT)
        assert contents(lake) == whole
        assert len(receipt_of(lake).removals) == 1


@pytest.mark.parametrize("instruments", [(), (BTC,)])
@pytest.mark.parametrize("is_local", [True, False])
def test_a_late_delete_spoils_nothing_that_a_run_brought_back(
    workshop: Workshop, instruments: tuple[str, ...], *, is_local: bool
) -> None:
    """A deletion pauses before any of its calls, a run of the day ends meanwhile, and then it goes on."""
    for call in count():
        lake = MemoryLake(is_local=is_local)
        ensure_origin(lake, ORIGIN)
        workshop.run(lake, V1)
        calls = count()
        has_paused = False

        def pause(call: int = call, calls: count[int] = calls, lake: TickLake = lake) -> None:
            nonlocal has_paused
            if next(calls) == call:
                has_paused = True
                _run_to_its_end(workshop, lake)

        deleter(SteppedLake(lake, pause), *instruments).delete(UNIT, AT)
        if not has_paused:
            return
        receipt = receipt_of(lake)
        assert find_falsehoods(lake, receipt) == set(), call
        assert receipt.is_complete or receipt.state == State.DELETED or receipt.files[0].outcome is Outcome.REMOVED


def _run_to_its_end(workshop: Workshop, lake: TickLake) -> None:
    """Run as ingest does: what other threads of the deletion take away beneath it lets it begin anew."""
    for _ in range(20):  # more often than there are objects
        with suppress(LakeConflict):
            workshop.run(lake, V1)
            return
    raise AssertionError


def _pausing(act: Callable[[], object], call: int) -> tuple[Callable[[], None], list[bool]]:
    """Give what does an act before one call of a lake, and whether it has."""
    calls, done = count(), [False]

    def pause() -> None:
        if next(calls) == call:
            done[0] = True
            act()

    return pause, done


@pytest.mark.parametrize("instruments", [(), (BTC,)])
@pytest.mark.parametrize("wanted", [V1, V2, replace(V2, symbols=("ETHUSDT", "XBTUSD"))], ids=["same", "new", "narrow"])
def test_a_second_deletion_takes_nothing_that_a_run_brings_back_meanwhile(
    workshop: Workshop, instruments: tuple[str, ...], wanted: Writer
) -> None:
    for call in count():
        lake = MemoryLake()
        ensure_origin(lake, ORIGIN)
        workshop.run(lake, V1)
        deleter(lake, *instruments).delete(UNIT, AT)
        pause, done = _pausing(lambda lake=lake: workshop.run(lake, wanted), call)  # type: ignore[misc]
        with suppress(LakeConflict):
            deleter(SteppedLake(lake, pause), *instruments).delete(UNIT, AT)
        assert find_falsehoods(lake, receipt_of(lake)) == set(), call
        if not done[0]:
            return


def test_a_run_that_was_taken_for_dead_gives_way_to_a_second_deletion(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_DEAD_AFTER_SECONDS", 0.02)
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)
    deleter(lake).delete(UNIT, AT)
    slow = V1.begin(lake)
    deleter(lake).delete(UNIT, AT)
    with pytest.raises(LakeConflict):
        workshop.finish(slow, V1)
    assert find_falsehoods(lake, receipt_of(lake)) == set()


def test_a_deleted_day_that_is_run_again_and_fails_has_failed(workshop: Workshop) -> None:
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)
    deleter(lake).delete(UNIT, AT)
    workshop.run(lake, replace(V1, failing=frozenset({"ETHUSDT"})))
    assert receipt_of(lake).state == State.OPEN
    row = coverage_of(lake)
    assert (row["state"], row["stored"], row["failed"]) == (INCOMPLETE, 2, 1)
    with pytest.raises(TicksIncomplete, match="the vendor failed"):
        read(lake)
    sweep_unit(lake, UNIT, timedelta(), lambda: AT)
    assert find_falsehoods(lake, receipt_of(lake)) == set()
    deleted = deleter(lake).delete(UNIT, AT)
    assert deleted is not None
    assert deleted.files == 3
    assert contents(lake) == {}
    assert len(receipt_of(lake).removals) == 2


def test_nothing_of_a_deleted_instrument_stays(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_data.index.store.SMALLEST_PART_FILES", 0)
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, replace(V1, failing=frozenset({"ETHUSDT"})))
    lake.put_bytes(b"refused", failed_key(UNIT, "ETHUSDT"))
    eth = "BINANCE:SPOT_PAIR:ETHUSDT"
    before = lake.get_bytes(index_part_key(UNIT))[0]
    deleter(lake, eth).delete(UNIT, AT)
    assert lake.stat(failed_key(UNIT, "ETHUSDT")) is None
    # a call that was killed before it had written the part
    lake.put_bytes(before, index_part_key(UNIT))
    deleter(lake, eth).delete(UNIT, AT)
    assert lake.get_bytes(index_part_key(UNIT))[0] != before


def test_what_is_kept_of_other_instruments_stays(workshop: Workshop) -> None:
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)
    workshop.run(lake, _Keeping("two", decoder_version="2"))
    kept = {key for key in contents(lake) if key not in _named(receipt_of(lake))}
    assert kept
    Deleter(lake, "ops", "why", {"BINANCE:PERPETUAL:XBTUSD"}, KEEPING).delete(UNIT, AT)
    assert kept <= contents(lake).keys()


def test_what_a_later_version_added_to_a_receipt_survives_its_deletion(workshop: Workshop) -> None:
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    document = json.loads(workshop.run(lake, V1).model_dump_json()) | {"later": 1}
    lake.put_bytes(json.dumps(document).encode(), receipt_key(UNIT))
    deleter(lake).delete(UNIT, AT)
    assert json.loads(lake.get_bytes(receipt_key(UNIT))[0])["later"] == 1


KEEPING = timedelta(hours=2)


class _Keeping(Writer):
    @property
    def target(self) -> PublicationTarget:
        return replace(super().target, keep_replaced=KEEPING)


def test_what_was_replaced_stays_for_a_while_and_is_swept_then(filled: TickLake, workshop: Workshop) -> None:
    before = contents(filled)
    keeping = _Keeping("two", decoder_version="2")
    committed = workshop.run(filled, keeping)
    assert committed.committed_at is not None
    at = committed.committed_at
    both = contents(filled)
    replaced = {key for key in before if key not in {*_named(committed)}}
    assert replaced
    assert replaced <= both.keys()
    assert keeping.begin(filled).work.is_current  # what is kept is no work
    early = sweep_unit(filled, UNIT, KEEPING, lambda: at + timedelta(hours=1))
    assert (early.deleted, early.kept) == (0, len(replaced))
    assert contents(filled) == both
    late = sweep_unit(filled, UNIT, KEEPING, lambda: at + KEEPING)
    assert (late.deleted, late.kept) == (len(replaced), 0)
    assert contents(filled).keys() == set(_named(committed))


def _named(receipt: Receipt) -> list[str]:
    keys = [raw_key(UNIT, file.vendor_symbol, file.raw_id) for file in receipt.files]
    return keys + [object_key(layout, item.name(UNIT)) for item in receipt.objects for layout in receipt.layouts]


def test_what_a_killed_run_left_of_a_day_is_swept_once_nobody_claims_it(workshop: Workshop) -> None:
    lake = MemoryLake()
    ensure_origin(lake, ORIGIN)
    workshop.run(lake, V1)
    attempt = V2.begin(lake)
    attempt.lake = SteppedLake(lake, kill_at(9))
    with pytest.raises(Killed):
        workshop.finish(attempt, V2)
    named = set(_named(receipt_of(lake)))
    assert contents(lake).keys() > named
    assert sweep_unit(lake, UNIT, timedelta(), lambda: AT).left_alone == (
        "a run is at work on it, or was stopped: run the day again"
    )
    receipt, generation = load_receipt(lake, UNIT)
    assert receipt is not None
    save_receipt(lake, receipt.released(), generation)
    assert sweep_unit(lake, UNIT, timedelta(), lambda: AT).deleted > 0
    assert contents(lake).keys() == named
    assert find_falsehoods(lake, receipt_of(lake)) == set()


@pytest.mark.parametrize("is_local", [True, False])
def test_a_sweep_at_any_moment_of_a_run_spoils_nothing(workshop: Workshop, *, is_local: bool) -> None:
    for call in count():
        lake = MemoryLake(is_local=is_local)
        ensure_origin(lake, ORIGIN)
        workshop.run(lake, V1)
        workshop.run(lake, _Keeping("two", decoder_version="2"))  # leaves what V1 published
        calls = count()
        has_swept = False

        def pause(call: int = call, calls: count[int] = calls, lake: TickLake = lake) -> None:
            nonlocal has_swept
            if next(calls) == call:
                has_swept = True
                sweep_unit(lake, UNIT, timedelta(), lambda: AT)

        workshop.run(SteppedLake(lake, pause), V1)
        assert find_falsehoods(lake, receipt_of(lake)) == set(), call
        assert receipt_of(lake).is_complete
        if not has_swept:
            return


@pytest.mark.parametrize("is_local", [True, False])
def test_a_run_at_any_moment_of_a_sweep_is_not_spoiled(workshop: Workshop, *, is_local: bool) -> None:
    for call in count():
        lake = MemoryLake(is_local=is_local)
        ensure_origin(lake, ORIGIN)
        workshop.run(lake, V1)
        workshop.run(lake, _Keeping("two", decoder_version="2"))
        calls = count()
        has_run = False

        def pause(call: int = call, calls: count[int] = calls, lake: TickLake = lake) -> None:
            nonlocal has_run
            if next(calls) == call:
                has_run = True
                workshop.run(lake, V1)

        sweep_unit(SteppedLake(lake, pause), UNIT, timedelta(), lambda: AT)
        assert find_falsehoods(lake, receipt_of(lake)) == set(), call
        if not has_run:
            return


def test_a_sweep_of_what_was_not_run_says_so(lake: TickLake) -> None:
    assert sweep_unit(lake, UNIT, timedelta(), lambda: AT).left_alone == "not run"
    assert lake.stat(receipt_key(UNIT)) is None
