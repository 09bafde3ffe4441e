"""What `begin` and `Attempt` do with a unit, on a local directory and on a GCS server."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from market_data.errors import LakeConflict, LakeError
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import LAYOUTS, failed_key, object_key, raw_key, receipt_key
from market_data.model.tick_file import Outcome
from market_data.receipts.receipt import Receipt, State, lasting_facts
from market_data.receipts.store import load_receipt, save_receipt
from market_data_tests.fakes import InlineExecutor, MemoryLake, SteppedLake
from market_data_tests.lake.test_lake import start_python
from market_data_tests.publishing import (
    EMPTY,
    GROUP,
    NOT_OFFERED,
    UNIT,
    Workshop,
    Writer,
    as_an_earlier_version,
    contents,
    decode,
    find_falsehoods,
    vendor_bytes,
)

V1, V2 = Writer("one"), Writer("two", decoder_version="2")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


def held(lake: TickLake) -> dict[str, ObjectStat]:
    return {stat.key: stat for stat in lake.list_objects("", with_crc32c=True)}


def receipt_of(lake: TickLake) -> Receipt:
    receipt, _ = load_receipt(lake, UNIT)
    assert receipt is not None
    return receipt


def keys_of(receipt: Receipt, symbol: str) -> list[str]:
    return [
        object_key(layout, item.name(UNIT))
        for item in receipt.objects
        for layout in receipt.layouts
        if item.vendor_symbol == symbol
    ]


def assert_published(lake: TickLake, writer: Writer, workshop: Workshop) -> None:
    """Hold the lake to one that a single writer filled alone."""
    alone = MemoryLake()
    wanted = workshop.run(alone, replace(writer, failing=frozenset()))
    receipt = receipt_of(lake)
    assert (receipt.claim, receipt.is_complete) == (None, True)
    assert lasting_facts(receipt.model_dump(mode="json")) == lasting_facts(wanted.model_dump(mode="json"))
    assert contents(lake) == contents(alone)
    assert find_falsehoods(lake, receipt) == set()


def test_the_first_publication_writes_every_file_into_every_layout(lake: TickLake, workshop: Workshop) -> None:
    writer = replace(V1, symbols=("BTCUSDT", "XBTUSD", EMPTY, NOT_OFFERED, GROUP))
    receipt = workshop.run(lake, writer)
    assert receipt == receipt_of(lake)
    assert receipt.counts() == {
        "stored": 3,
        "vendor_empty": 1,
        "not_offered": 1,
        "waived": 0,
        "failed": 0,
    } | dict.fromkeys(("removed", "open"), 0)
    assert [item.stem for item in receipt.objects] == ["BTC-USDT", "BTC~OPTIONS", "ETH~OPTIONS", "XBTUSD-USD"]
    stats = held(lake)
    for item in receipt.objects:
        for layout in LAYOUTS:
            stat = stats[object_key(layout, item.name(UNIT))]
            assert (stat.generation, stat.crc32c) == (item.generations[layout], item.crc32c)
            assert lake.get_bytes(stat.key)[0] == decode(item.vendor_symbol, "1")[item.stem]
    assert len(stats) == 4 * len(LAYOUTS) + 4 + 1
    assert_published(lake, writer, workshop)


def test_a_day_of_which_nothing_is_expected_is_published_empty(lake: TickLake, workshop: Workshop) -> None:
    nothing = replace(V1, symbols=())
    assert workshop.run(lake, nothing).is_complete
    assert nothing.begin(lake).work.is_current
    assert list(held(lake)) == [receipt_key(UNIT)]


def test_a_second_begin_is_current_and_writes_nothing(lake: TickLake, workshop: Workshop) -> None:
    receipt = workshop.run(lake, V1)
    before = held(lake)
    attempt = replace(V1, name="again").begin(lake)
    assert (attempt.work.is_current, attempt.work.to_acquire, attempt.work.to_rebuild) == (True, (), ())
    assert attempt.receipt == receipt
    assert held(lake) == before


def test_a_narrowed_configuration_is_current_and_a_widened_one_keeps_the_objects_it_had(
    lake: TickLake, workshop: Workshop
) -> None:
    workshop.run(lake, V1)
    before = held(lake)
    assert replace(V1, symbols=("BTCUSDT",)).begin(lake).work.is_current
    wide = replace(V1, symbols=(*V1.symbols, GROUP))
    attempt = wide.begin(lake)
    assert [file.vendor_symbol for file in attempt.work.to_acquire] == [GROUP]
    assert attempt.work.to_rebuild == ()
    workshop.finish(attempt, wide)
    after = held(lake)
    assert {key: after[key] for key in before if key != receipt_key(UNIT)} == {
        key: stat for key, stat in before.items() if key != receipt_key(UNIT)
    }
    assert_published(lake, wide, workshop)


def test_a_new_decoder_publishes_beside_the_old_one_until_the_commit_and_keeps_what_comes_out_the_same(
    lake: TickLake, workshop: Workshop
) -> None:
    first = workshop.run(lake, V1)
    before = held(lake)

    def watch() -> None:
        receipt = receipt_of(lake)
        assert receipt.state == "committed"
        assert find_falsehoods(lake, receipt) == set()
        if receipt.objects == first.objects:  # not one byte of what is named has changed
            keys = {key for item in first.objects for key in item.object_keys(UNIT).values()}
            assert {key: lake.stat(key) for key in keys} == {key: before[key] for key in keys}

    second = workshop.run(SteppedLake(lake, watch), V2)
    after = held(lake)
    assert keys_of(first, "BTCUSDT") != keys_of(second, "BTCUSDT")
    assert [lake.stat(key) for key in keys_of(first, "BTCUSDT")] == [None] * len(LAYOUTS)
    assert [after[key] for key in keys_of(first, "XBTUSD")] == [before[key] for key in keys_of(first, "XBTUSD")]
    assert_published(lake, V2, workshop)


def test_what_an_earlier_version_published_is_kept_until_it_is_published_anew(
    lake: TickLake, workshop: Workshop
) -> None:
    earlier = as_an_earlier_version(lake, workshop.run(lake, V1))
    before = held(lake)
    assert {item.content_id for item in earlier.objects} == {None}
    assert V1.begin(lake).work.is_current
    assert held(lake) == before
    wide = replace(V1, symbols=(*V1.symbols, GROUP))
    widened = workshop.run(lake, wide)
    assert {item.vendor_symbol for item in widened.objects if item.content_id is None} == set(V1.symbols)
    assert (widened.min_reader_version, widened.min_writer_version) == (2, 2)
    anew = replace(V2, symbols=wide.symbols)
    workshop.run(lake, anew)
    assert_published(lake, anew, workshop)


def test_objects_no_longer_named_are_deleted_only_after_the_commit(lake: TickLake, workshop: Workshop) -> None:
    old_keys = keys_of(workshop.run(lake, V1), "ETHUSDT")
    seen = []

    def watch() -> None:
        receipt = receipt_of(lake)
        is_named = "ETH-USDT" in {item.stem for item in receipt.objects}
        seen.append((is_named, [key for key in old_keys if lake.stat(key) is None]))

    workshop.run(SteppedLake(lake, watch), V2)
    assert {tuple(gone) for is_named, gone in seen if is_named} == {()}
    assert {is_named for is_named, _ in seen} == {True, False}
    assert [lake.stat(key) for key in old_keys] == [None] * len(LAYOUTS)
    assert_published(lake, V2, workshop)


class UndeletableLake(SteppedLake):
    """A bucket with a retention lock, or an account without the right to delete."""

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        raise LakeError(f"{self.uri(key)}: deleting {if_generation} is not allowed")


def test_a_bucket_that_refuses_to_delete_fails_no_commit_and_is_swept_later(
    lake: TickLake, workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    first = workshop.run(lake, V1)
    locked = UndeletableLake(lake, lambda: None)
    second = workshop.run(locked, V2)
    assert second.is_complete
    assert receipt_of(lake) == second
    assert "what no receipt names any more stays" in caplog.text
    assert all(lake.stat(key) for key in keys_of(first, "BTCUSDT"))
    assert workshop.run(locked, V2).objects == second.objects
    workshop.run(lake, V2)
    assert_published(lake, V2, workshop)


def test_what_waited_in_the_lake_is_published_also_where_it_may_not_be_deleted(
    lake: TickLake, workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    staging = replace(V1, is_staging=True)
    receipt = workshop.run(UndeletableLake(lake, lambda: None), staging)
    assert (receipt.is_complete, find_falsehoods(lake, receipt)) == (True, set())
    assert "what no receipt names any more stays" in caplog.text
    assert lake.list_objects("staging/")
    workshop.run(lake, V1)
    assert lake.list_objects("staging/") == []
    assert_published(lake, V1, workshop)


def test_a_layout_that_is_dropped_is_removed_and_one_that_is_added_is_filled(
    lake: TickLake, workshop: Workshop
) -> None:
    workshop.run(lake, V1)
    for layouts in (LAYOUTS[:1], LAYOUTS[1:], LAYOUTS):
        writer = replace(V1, layouts=layouts)
        workshop.run(lake, writer)
        assert_published(lake, writer, workshop)


def test_a_failed_file_leaves_what_was_published_as_it_was(lake: TickLake, workshop: Workshop) -> None:
    first = workshop.run(lake, V1)
    before = contents(lake, ["ticks/"])
    released = workshop.run(lake, replace(V2, symbols=(*V1.symbols, GROUP), failing=frozenset({GROUP})))
    assert (released.state, released.claim, released.is_complete) == ("committed", None, False)
    assert (released.objects, released.committed_at) == (first.objects, first.committed_at)
    assert {file.vendor_symbol: file.error for file in released.open_files} == {GROUP: "the vendor failed"}
    assert contents(lake, ["ticks/"]) == before


def test_a_file_stored_by_an_attempt_that_failed_is_published_by_the_next(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, replace(V1, symbols=("BTCUSDT",)))
    workshop.run(lake, replace(V1, failing=frozenset({"ETHUSDT"})))
    attempt = V1.begin(lake)
    assert [file.vendor_symbol for file in attempt.work.to_acquire] == ["ETHUSDT"]
    assert [file.vendor_symbol for file in attempt.work.to_rebuild] == ["XBTUSD"]
    workshop.finish(attempt, V1)
    assert_published(lake, V1, workshop)


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "damaged"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_object_lost_or_damaged_in_one_layout_is_healed(
    lake: TickLake, workshop: Workshop, layout: str, *, is_lost: bool
) -> None:
    item, *_ = workshop.run(lake, V1).objects
    key = object_key(layout, item.name(UNIT))
    lake.delete(key)
    if not is_lost:
        lake.put_bytes(b"damaged", key)
    assert not V1.begin(lake).work.is_current
    workshop.run(lake, V1)
    assert_published(lake, V1, workshop)
    assert V1.begin(lake).work.is_current


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "damaged"])
def test_a_raw_object_that_is_lost_or_damaged_is_asked_for_again(
    lake: TickLake, workshop: Workshop, *, is_lost: bool
) -> None:
    workshop.run(lake, V1)
    published = {key: stat for key, stat in held(lake).items() if key.startswith("ticks/")}
    key = raw_key(UNIT, "XBTUSD")
    lake.delete(key)
    if not is_lost:
        lake.put_bytes(b"damaged", key)
    attempt = V1.begin(lake)
    assert [file.vendor_symbol for file in attempt.work.to_acquire] == ["XBTUSD"]
    (file,) = (file for file in attempt.receipt.files if file.vendor_symbol == "XBTUSD")
    assert (attempt.raw_of(file) is None) is is_lost
    workshop.finish(attempt, V1)
    assert lake.get_bytes(key)[0] == vendor_bytes("XBTUSD")
    assert {key: stat for key, stat in held(lake).items() if key.startswith("ticks/")} == published
    assert_published(lake, V1, workshop)


@pytest.mark.parametrize("outcome", [Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED])
def test_a_file_that_turns_out_to_hold_nothing_is_no_longer_published(
    lake: TickLake, workshop: Workshop, outcome: Outcome
) -> None:
    keys = keys_of(workshop.run(lake, V1), "XBTUSD")
    lake.delete(raw_key(UNIT, "XBTUSD"))
    attempt = V1.begin(lake)
    (file,) = attempt.work.to_acquire
    if outcome is Outcome.VENDOR_EMPTY:
        stat = attempt.put_raw(file, lambda key, generation: lake.put_bytes(b"", key, if_generation=generation))
        file = file.model_copy(update={"size_bytes": 0, "crc32c": stat.crc32c, "generation": stat.generation})
    file = file.model_copy(update={"outcome": outcome})
    receipt = attempt.publish([file], {}, InlineExecutor(), workshop.now)
    assert [item.vendor_symbol for item in receipt.objects] == ["BTCUSDT", "ETHUSDT"]
    assert [lake.stat(key) for key in keys] == [None] * len(LAYOUTS)
    assert V1.begin(lake).work.is_current


def test_a_waived_file_holds_nothing_back_as_long_as_the_waiver_stands(lake: TickLake, workshop: Workshop) -> None:
    failing = replace(V1, failing=frozenset({"XBTUSD"}))
    assert workshop.run(lake, failing).state == "open"
    waiving = replace(failing, waived=("XBTUSD",))
    receipt = workshop.run(lake, waiving)
    assert receipt.is_complete
    assert receipt.counts()["waived"] == 1
    assert [file.error for file in receipt.files if file.outcome is Outcome.WAIVED] == ["the recorder was down"]
    assert [item.vendor_symbol for item in receipt.objects] == ["BTCUSDT", "ETHUSDT"]
    assert waiving.begin(lake).work.is_current
    assert [file.vendor_symbol for file in V1.begin(lake).work.to_acquire] == ["XBTUSD"]


def test_what_is_stored_needs_no_waiver(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, V1)
    assert replace(V1, waived=("XBTUSD",)).begin(lake).work.is_current


def test_a_waiver_lets_go_what_was_published_and_is_lost(lake: TickLake, workshop: Workshop) -> None:
    keys = keys_of(workshop.run(lake, V1), "XBTUSD")
    lake.delete(raw_key(UNIT, "XBTUSD"))
    receipt = workshop.run(lake, replace(V1, waived=("XBTUSD",)))
    assert receipt.is_complete
    assert [lake.stat(key) for key in keys] == [None] * len(LAYOUTS)


def test_a_staged_file_is_published_like_any_other_and_leaves_nothing(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, replace(V1, is_staging=True))
    assert lake.list_objects("staging/") == []
    assert_published(lake, V1, workshop)


def test_what_a_killed_run_staged_or_kept_aside_is_removed_with_the_next_publication(
    lake: TickLake, workshop: Workshop
) -> None:
    failing = replace(V1, failing=frozenset({"BTCUSDT"}))
    killed = failing.begin(lake)
    (refused, stored, *_) = workshop.acquire_all(killed, failing)
    body = workshop.new_folder() / "body"
    body.write_bytes(b"refused")
    killed.keep_aside(refused, body)
    killed.stage(workshop.decode(stored.vendor_symbol, "1")[0])
    fresh = Workshop(workshop.new_folder())
    fresh.run(lake, failing)
    assert [stat.key for stat in lake.list_objects("failed/")] == [failed_key(UNIT, "BTCUSDT")]
    fresh.run(lake, V1)
    assert lake.list_objects("failed/") == lake.list_objects("staging/") == []
    assert_published(lake, V1, fresh)


def test_another_origin_is_refused_and_nothing_is_written(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, V1)
    before = held(lake)
    with pytest.raises(LakeError, match=r"was filled from https://vendor\.example, .* reads from https://other\.exam"):
        replace(V1, origin="https://other.example").begin(lake)
    assert held(lake) == before


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda document: json.dumps(document | {"day": "soon"}).encode(), "day: Input should be a valid date"),
        (lambda document: json.dumps(document | {"files": {}}).encode(), "files: Input should be a valid "),
        (lambda document: json.dumps(document).encode()[:-20], "Invalid JSON"),
        (lambda _: b"\x00\xff garbage", "Invalid JSON"),
        (lambda _: b"", "Invalid JSON"),
    ],
    ids=["no day", "no list", "cut short", "garbage", "empty"],
)
def test_a_receipt_that_cannot_be_read_is_refused_with_its_address_and_a_remedy(
    lake: TickLake, workshop: Workshop, make: Callable[[dict[str, object]], bytes], fault: str
) -> None:
    document = workshop.run(lake, V1).model_dump(mode="json")
    lake.put_bytes(make(document), receipt_key(UNIT))
    before = held(lake)
    with pytest.raises(LakeError, match=rf"{fault}.*not written by market_data: move it away and run") as caught:
        V1.begin(lake)
    assert str(caught.value).startswith(lake.uri(receipt_key(UNIT)))
    assert not caught.value.is_transient
    assert held(lake) == before


def test_a_writer_whose_unit_was_taken_over_is_refused_and_spoils_nothing(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, V1)
    slow = V2.begin(lake)
    assert workshop.run(lake, replace(V1, name="other")).is_complete
    before = held(lake)
    with pytest.raises(LakeConflict, match="another run took the unit over") as caught:
        workshop.finish(slow, V2)
    assert caught.value.is_transient
    assert {key: stat for key, stat in held(lake).items() if key in before} == before
    workshop.run(lake, V1)  # nobody names what the slow one has written: it is removed
    assert_published(lake, V1, workshop)


def test_of_two_writers_that_begin_at_once_one_is_refused(lake: TickLake, workshop: Workshop) -> None:
    has_begun: list[bool] = []

    def begin_too() -> None:
        if not has_begun and lake.stat(receipt_key(UNIT)) is not None:
            has_begun.append(V2.begin(lake).work.is_current)

    workshop.run(lake, V1)
    with pytest.raises(LakeConflict, match="another run took the unit over"):
        replace(V1, symbols=("BTCUSDT", GROUP)).begin(SteppedLakeAfter(lake, begin_too))
    assert receipt_of(lake).claim == "two"


class SteppedLakeAfter(SteppedLake):
    """Calls back only once the receipt was read."""

    def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
        self._before_call()
        return self._lake.list_objects(prefix, with_crc32c=with_crc32c)

    def stat(self, key: str) -> ObjectStat | None:
        return self._lake.stat(key)

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        return self._lake.get_bytes(key)


def test_what_a_killed_attempt_left_is_removed_by_the_next_run(lake: TickLake, workshop: Workshop) -> None:
    workshop.run(lake, V1)
    stray = object_key("by_type", receipt_of(lake).objects[0].name(UNIT)).replace("BTC-USDT", "LEFT-OVER")
    lake.put_bytes(b"left over", stray)
    attempt = V1.begin(lake)
    assert (attempt.work.is_current, attempt.work.to_acquire, attempt.work.to_rebuild) == (False, (), ())
    workshop.finish(attempt, V1)
    assert_published(lake, V1, workshop)


def test_what_a_killed_attempt_left_is_removed_also_when_nobody_asks_for_its_instrument_type_any_more(
    lake: TickLake, workshop: Workshop
) -> None:
    def die_before_the_commit() -> None:
        if len(lake.list_objects("ticks/")) == len(V1.symbols) * len(LAYOUTS):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.run(SteppedLake(lake, die_before_the_commit), V1)
    narrow = replace(V1, symbols=("BTCUSDT",), layouts=LAYOUTS[:1])
    receipt = workshop.run(lake, narrow)
    assert sorted(contents(lake, ["ticks/"])) == keys_of(receipt, "BTCUSDT")


def test_what_an_earlier_version_left_half_overwritten_is_published_anew(lake: TickLake, workshop: Workshop) -> None:
    earlier = as_an_earlier_version(lake, workshop.run(lake, V1))
    stat = lake.stat(receipt_key(UNIT))
    assert stat is not None
    save_receipt(lake, earlier.changed(state=State.REPLACING, claim="dead"), stat.generation)
    wide = replace(V1, symbols=(*V1.symbols, GROUP), failing=frozenset({GROUP}))
    released = workshop.run(lake, wide)
    assert (released.state, released.claim) == ("replacing", None)
    before = held(lake)
    workshop.run(lake, V1)
    after = held(lake)
    assert [key for key, stat in after.items() if key.startswith("ticks/") and stat == before.get(key)] == []
    assert_published(lake, V1, workshop)


def test_evidence_without_a_proof_in_the_lake_is_forgotten_at_the_claim(lake: TickLake, workshop: Workshop) -> None:
    receipt = workshop.run(lake, V1)
    lake.delete(raw_key(UNIT, "BTCUSDT"))
    attempt = V1.begin(lake)
    assert attempt.work.to_acquire == tuple(file.opened() for file in receipt.files if file.vendor_symbol == "BTCUSDT")
    assert receipt_of(lake).open_files == attempt.work.to_acquire
    assert receipt_of(lake).objects == receipt.objects


def kill_publishers(lake: TickLake, workshop: Workshop, folder: Path, *, kills: int, seed: int) -> None:
    """Kill -9 a process that publishes by turns with two decoders, at random moments; run again after each."""
    rng = random.Random(seed)
    script = folder / "publisher.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from market_data.lake.open import open_lake\n"
        "from market_data_tests.publishing import GROUP, Workshop, Writer\n"
        "lake, workshop = open_lake(sys.argv[1]), Workshop(Path(sys.argv[2]))\n"
        "while True:\n"
        "    for version in '12':\n"
        "        workshop.run(lake, Writer(f'process {version}', version, ('BTCUSDT', 'ETHUSDT', GROUP)))\n"
        "        print('published', flush=True)\n"
    )
    scratch = folder / "publisher"
    scratch.mkdir()
    for number in range(kills):
        with start_python(script, lake.url, str(scratch)) as publisher:
            assert publisher.stdout is not None
            started = time.monotonic()
            for _ in range(3):
                assert publisher.stdout.readline()
                took_seconds, started = time.monotonic() - started, time.monotonic()
            time.sleep(rng.uniform(0, 2 * took_seconds))
            os.kill(publisher.pid, signal.SIGKILL)
        receipt = receipt_of(lake)
        assert receipt.state != "committed" or find_falsehoods(lake, receipt) == set()
        writer = Writer(f"after {number}", rng.choice("12"), ("BTCUSDT", "ETHUSDT", GROUP))
        workshop.run(lake, writer)
        assert_published(lake, writer, workshop)


def test_a_publisher_killed_at_any_moment_leaves_a_lake_that_the_next_run_makes_whole(
    lake: TickLake, workshop: Workshop, tmp_path: Path
) -> None:
    kill_publishers(lake, workshop, tmp_path, kills=3, seed=1)


@pytest.mark.long
def test_many_publishers_killed_leave_a_lake_that_the_next_run_makes_whole(
    lake: TickLake, workshop: Workshop, tmp_path: Path
) -> None:
    kill_publishers(lake, workshop, tmp_path, kills=40, seed=2)
