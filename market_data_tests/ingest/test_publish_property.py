"""Any interleaving of writers, kills and zombies leaves readers and receipts truthful.

Every call to the lake is a scheduling point: each actor is a thread of its own, and a stage lets exactly one of them
make exactly one call at a time, so a schedule is a list of numbers and replays exactly. A killed actor never continues;
a zombie is an actor that is not let go on until others are done.

After every single call a witness looks at the lake: a receipt in state `committed` names only what is there, and names
all that was ever published unless something else has superseded it.
"""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.errors import LakeConflict, LakeObjectMissing
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, object_key, receipt_key
from market_data.receipts.receipt import Receipt, lasting_facts
from market_data.receipts.store import load_receipt
from market_data_tests.fakes import MemoryLake, SteppedLake
from market_data_tests.object_keys import parse_object_key
from market_data_tests.patience import PATIENCE_SECONDS
from market_data_tests.publishing import (
    EMPTY,
    GROUP,
    NOT_OFFERED,
    UNIT,
    Workshop,
    Writer,
    as_an_earlier_version,
    contents,
    find_falsehoods,
    make_tick_file,
)

TO_THE_END = 10_000
EXPECTED_SETS = (
    ("BTCUSDT",),
    ("BTCUSDT", "ETHUSDT"),
    ("BTCUSDT", "ETHUSDT", "XBTUSD"),
    ("BTCUSDT", EMPTY, NOT_OFFERED),
    ("BTCUSDT", GROUP),
    ("BTCUSDT", "BTC-C", "ETH-P"),
)
LAYOUT_SETS = (LAYOUTS[:2], LAYOUTS[:1], LAYOUTS[1:])


@dataclass(frozen=True)
class Plan:
    """One example: what the lake holds before, who is at work, who is let go on when, and how it ends.

    `is_plain`: an earlier version published what was there before, under plain names. `damage` is what happens to the
    first publication: nothing, or the number of the object that is lost or damaged.
    `turns` are (actor, number of calls); then each actor of `ending` runs to its end or is killed, in that order.
    """

    is_local: bool
    before: Writer | None
    damage: tuple[str, int] | None
    writers: tuple[Writer, ...]
    attempts: int
    turns: tuple[tuple[int, int], ...]
    ending: tuple[tuple[int, bool], ...]
    is_plain: bool = False


class Killed(BaseException):
    """Ends the thread of a killed actor; nothing in the product catches it."""


class Actor:
    """One writer or reader on a thread of its own, which moves only while the stage waits for it."""

    def __init__(self, name: str, work: Callable[[TickLake], None], lake: MemoryLake) -> None:
        self.is_done = False
        self.failure: str | None = None
        self._is_killed = False
        self._go, self._parked = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work, SteppedLake(lake, self._pause)), name=name)
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Let the actor make its next call, up to the point before the one after."""
        if not self.is_done:
            self._go.release()
            self._wait()

    def kill(self) -> None:
        self._is_killed = True
        self.step()
        self._thread.join(PATIENCE_SECONDS)

    def _wait(self) -> None:
        assert self._parked.acquire(timeout=PATIENCE_SECONDS), "an actor hangs"

    def _pause(self) -> None:
        self._parked.release()
        self._go.acquire()
        if self._is_killed:
            raise Killed

    def _run(self, work: Callable[[TickLake], None], lake: TickLake) -> None:
        try:
            work(lake)
        except Killed:
            pass
        except BaseException:  # noqa: BLE001  handed to the stage, which fails the example with it
            self.failure = traceback.format_exc()
        finally:
            self.is_done = True
            self._parked.release()


class Witness:
    """Looks at the lake after every call; what was damaged beforehand is excused until the next commit."""

    def __init__(self, lake: MemoryLake, damaged_key: str | None) -> None:
        self._lake = lake
        self._seen_generation = 0
        self._receipt: Receipt | None = None
        self._damaged_key = damaged_key
        self._published: set[str] = set()
        before, _ = load_receipt(lake, UNIT)
        self._first_commit = before.committed_at if before else None
        self.look()

    def look(self) -> None:
        stat = self._lake.stat(receipt_key(UNIT))
        if stat is None:
            return
        if stat.generation != self._seen_generation:
            self._seen_generation = stat.generation
            self._receipt = load_receipt(self._lake, UNIT)[0]
            assert self._receipt is not None
            self._refuse_loss(self._receipt)
        if self._receipt is not None and self._receipt.state == "committed":
            found = find_falsehoods(self._lake, self._receipt)
            assert found <= self.excused(self._receipt), f"committed, but not true of the lake: {found}"

    def excused(self, receipt: Receipt) -> set[str]:
        is_before = self._first_commit is None or receipt.committed_at == self._first_commit
        return {self._damaged_key} if self._damaged_key and is_before else set()

    def _refuse_loss(self, receipt: Receipt) -> None:
        named = {item.vendor_symbol for item in receipt.objects}
        for symbol in self._published - named:
            file = make_tick_file(symbol)
            is_superseded = any(
                other.instrument_type == file.instrument_type and other.is_group != file.is_group
                for other in receipt.files
            )
            assert is_superseded, f"{symbol} was published and is lost: {receipt}"
        self._published = named


def read_again_and_again(witness: Witness, lake: TickLake) -> None:
    """Read as an analyst does: what a committed receipt names, then look whether the receipt is still the same."""
    for _ in range(4):
        receipt, generation = load_receipt(lake, UNIT)
        if receipt is None or receipt.state != "committed":
            continue
        wrong = set()
        for item, layout in itertools.product(receipt.objects, receipt.layouts):
            key = object_key(layout, item.name(UNIT))
            try:
                _, stat = lake.get_bytes(key)
            except LakeObjectMissing:
                wrong.add(key)
            else:
                wrong |= {key} if stat.crc32c != item.crc32c else set()
        if load_receipt(lake, UNIT)[1] == generation:
            assert wrong <= witness.excused(receipt), f"a reader was told wrongly of {wrong}"


def write_with_retries(workshop: Workshop, writer: Writer, attempts: int, lake: TickLake) -> None:
    """Do what ingest does with a unit, but for the waiting: a conflict is the only error, and is tried again."""
    for _ in range(attempts):
        try:
            workshop.run(lake, writer)
        except LakeConflict:
            continue
        return


@contextmanager
def on_stage(plan: Plan, workshop: Workshop) -> Iterator[tuple[MemoryLake, Witness, list[Actor]]]:
    lake = MemoryLake(is_local=plan.is_local)
    damaged_key = None
    if plan.before is not None:
        receipt = workshop.run(lake, plan.before)
        receipt = as_an_earlier_version(lake, receipt) if plan.is_plain else receipt
        damaged_key = _damage(lake, receipt, plan.damage) if plan.damage else None
    witness = Witness(lake, damaged_key)
    actors: list[Actor] = []
    try:
        for writer in plan.writers:
            actors += [Actor(writer.name, _writing(workshop, writer, plan.attempts), lake)]
        actors.append(Actor("reader", lambda stepped: read_again_and_again(witness, stepped), lake))
        yield lake, witness, actors
    finally:
        for actor in actors:
            actor.kill()


def _writing(workshop: Workshop, writer: Writer, attempts: int) -> Callable[[TickLake], None]:
    return lambda lake: write_with_retries(workshop, writer, attempts, lake)


def _damage(lake: MemoryLake, receipt: Receipt, damage: tuple[str, int]) -> str | None:
    kind, number = damage
    keys = sorted(contents(lake)) if receipt.objects else []
    if not keys:
        return None
    key = keys[number % len(keys)]
    lake.delete(key)
    if kind == "damaged":
        lake.put_bytes(b"damaged", key)
    return key


def perform(plan: Plan, workshop: Workshop) -> None:
    """Run a plan, with a witness after every call, and then a run that nobody disturbs."""
    with on_stage(plan, workshop) as (lake, witness, actors):
        for number, calls in plan.turns:
            _let_go(actors[number % len(actors)], calls, witness)
        for number, is_killed in plan.ending:
            actor = actors[number % len(actors)]
            if is_killed:
                actor.kill()
            _let_go(actor, None, witness)
        for actor in actors:
            _let_go(actor, None, witness)
    final = replace(plan.writers[0], name="final", failing=frozenset())
    receipt = workshop.run(lake, final)
    witness.look()
    assert_as_undisturbed(plan, workshop, lake, receipt, final)
    mutations = lake.mutations
    assert workshop.run(lake, final) == receipt
    assert lake.mutations == mutations, "a run of a current day wrote something"


def _let_go(actor: Actor, calls: int | None, witness: Witness) -> None:
    for _ in itertools.count() if calls is None else range(calls):
        if actor.is_done:
            break
        actor.step()
        witness.look()
    assert actor.failure is None, actor.failure


def assert_as_undisturbed(plan: Plan, workshop: Workshop, lake: MemoryLake, receipt: Receipt, final: Writer) -> None:
    """Compare with a lake that one writer filled alone, asked for the same files."""
    symbols = tuple(file.vendor_symbol for file in receipt.files)
    assert set(final.symbols) <= set(symbols)
    alone = MemoryLake(is_local=plan.is_local)
    wanted = workshop.run(alone, replace(final, symbols=symbols))
    assert receipt.is_complete
    assert receipt.claim is None
    assert find_falsehoods(lake, receipt) == set()
    if any(item.content_id is None for item in receipt.objects):  # what an earlier version published may stay
        receipt, wanted = _named_plainly(receipt), _named_plainly(wanted)
        assert lasting_facts(receipt.model_dump(mode="json")) == lasting_facts(wanted.model_dump(mode="json"))
        return
    assert lasting_facts(receipt.model_dump(mode="json")) == lasting_facts(wanted.model_dump(mode="json"))
    found, proper = contents(lake), contents(alone)
    assert {key: found.get(key) for key in proper} == proper
    # A zombie may put an object where nobody looks any more: below an instrument type that no later run knows of.
    known_types = {file.instrument_type for file in receipt.files}
    strays = {key for key in found.keys() - proper.keys() if key.startswith("ticks/")}
    assert {key for key in strays if parse_object_key(key)[1].instrument_type in known_types} == set()


def _named_plainly(receipt: Receipt) -> Receipt:
    objects = tuple(item.changed(content_id=None) for item in receipt.objects)
    return receipt.changed(objects=objects, min_reader_version=1, min_writer_version=1)


def writers(name: str) -> st.SearchStrategy[Writer]:
    """Draw a writer; simple ones first, since hypothesis shrinks towards them."""
    return st.builds(
        Writer,
        name=st.just(name),
        decoder_version=st.sampled_from(("1", "2")),
        symbols=st.sampled_from(EXPECTED_SETS),
        layouts=st.sampled_from(LAYOUT_SETS),
        failing=st.sampled_from((frozenset(), frozenset({"ETHUSDT"}), frozenset({"BTCUSDT", "BTC-C", GROUP}))),
        is_staging=st.booleans(),
    )


ACTORS = st.integers(0, 3)
PLANS = st.builds(
    Plan,
    is_local=st.booleans(),
    before=st.none() | writers("before").map(lambda writer: replace(writer, failing=frozenset())),
    damage=st.none() | st.tuples(st.sampled_from(("lost", "damaged")), st.integers(0, 9)),
    writers=st.tuples(writers("one"), writers("two"), writers("three")),
    attempts=st.integers(1, 2),
    turns=st.lists(st.tuples(ACTORS, st.integers(1, 12) | st.integers(10, 50) | st.just(TO_THE_END)), max_size=14).map(
        tuple
    ),
    ending=st.lists(st.tuples(ACTORS, st.booleans()), max_size=4, unique_by=lambda end: end[0]).map(tuple),
    is_plain=st.booleans(),
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@settings(max_examples=250)
@given(plan=PLANS)
def test_no_interleaving_of_writers_kills_and_zombies_spoils_the_lake(workshop: Workshop, plan: Plan) -> None:
    perform(plan, workshop)


@pytest.mark.long
@settings(max_examples=8000, derandomize=False)  # others each time
@given(plan=PLANS)
def test_no_interleaving_spoils_the_lake_at_length(workshop: Workshop, plan: Plan) -> None:
    perform(plan, workshop)


V1, V2 = Writer("one"), Writer("two", decoder_version="2")
GROUPED, SINGLE = Writer("grouped", symbols=EXPECTED_SETS[4]), Writer("single", symbols=EXPECTED_SETS[5])
WIDENED = Writer("widened", symbols=("BTCUSDT", "ETHUSDT", "XBTUSD", "BTC-C"), failing=frozenset({"BTC-C"}))
NARROW = Writer("narrow", layouts=LAYOUTS[:1])
# The name of each: (what was published before, the writer that is paused, those that run to their end meanwhile).
SCENARIOS: dict[str, tuple[Writer | None, Writer, tuple[Writer, ...]]] = {
    "two decoders publish for the first time": (None, V1, (V2,)),
    "the same decoder publishes twice for the first time": (None, V1, (replace(V1, name="again"),)),
    "a new decoder is paused while the old one runs": (V1, V2, (replace(V1, name="again"),)),
    "an old decoder is paused while the new one runs and the old one again": (V2, V1, (V2, replace(V1, name="again"))),
    "a new decoder is paused while one run fails and the next succeeds": (V1, V2, (WIDENED, replace(V1, name="again"))),
    "a new decoder is paused while another run fails": (V1, V2, (WIDENED,)),
    "a group is dropped while another run brings it back": (GROUPED, SINGLE, (GROUPED,)),
    "a group is brought while other runs bring single files, and it again": (SINGLE, GROUPED, (SINGLE, GROUPED)),
    "a writer that went on to new content is paused while others go back and on again": (
        V1,
        V2,
        (replace(V1, name="back"), replace(V2, name="on"), replace(V1, name="back again")),
    ),
    "layouts are dropped while another run brings them back": (V1, NARROW, (replace(V1, name="again"),)),
    "layouts are brought while another run drops them": (NARROW, V1, (NARROW,)),
}


def plan_of(scenario: str, *, is_local: bool) -> Plan:
    before, paused, others = SCENARIOS[scenario]
    return Plan(is_local, before, None, (paused, *others), 1, (), ())


def count_calls(plan: Plan, workshop: Workshop, number: int) -> int:
    """Give the number of calls that one writer of a plan makes when it is alone."""
    with on_stage(plan, workshop) as (_, witness, actors):
        calls = 0
        while not actors[number].is_done:
            _let_go(actors[number], 1, witness)
            calls += 1
    return calls


@pytest.mark.parametrize("is_local", [False, True], ids=["like gcs", "like a directory"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_writer_paused_before_any_of_its_calls_spoils_nothing(
    workshop: Workshop, scenario: str, *, is_local: bool
) -> None:
    plan = plan_of(scenario, is_local=is_local)
    others = tuple((number, TO_THE_END) for number in range(1, len(plan.writers)))
    for calls in range(count_calls(plan, workshop, 0) + 1):
        perform(replace(plan, turns=((0, calls), *others, (0, TO_THE_END))), workshop)


@pytest.mark.long
@pytest.mark.parametrize("is_local", [False, True], ids=["like gcs", "like a directory"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_writers_paused_before_any_two_of_their_calls_spoil_nothing(
    workshop: Workshop, scenario: str, *, is_local: bool
) -> None:
    plan = plan_of(scenario, is_local=is_local)
    rest = tuple((number, TO_THE_END) for number in range(2, len(plan.writers)))
    first_calls, second_calls = (count_calls(plan, workshop, number) for number in (0, 1))
    for first, second in itertools.product(range(first_calls + 1), range(second_calls + 1)):
        perform(replace(plan, turns=((0, first), (1, second), *rest, (0, TO_THE_END))), workshop)
