"""A venue-day into a GCS server that fails: at each kind of operation, in each way, once and for long, and at random.

Whatever happens, a run ends whole or says that the store is unavailable; readers never see what is not so; and the lake
in the end is the one of an undisturbed run.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from threading import Event, Thread
from typing import Literal
from urllib.parse import quote, urlencode

import pytest

from market_data.errors import LakeUnavailable
from market_data.ingest.venue_day import VenueDay
from market_data.lake.gcs import GcsLake
from market_data.lake.keys import object_prefix, raw_key
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.store import parse_receipt
from market_data.ticks import encode
from market_data_tests.gcs_server import Fault, GcsServer
from market_data_tests.ingesting import (
    ALL_THREE,
    DAY,
    SPOT,
    TRADES,
    Vendor,
    contents_of,
    find_falsehoods,
    is_proven,
    plan_day,
    published_keys,
    run_day,
)

pytestmark = pytest.mark.usefixtures("retries_without_waits", "quick_polls")

How = int | Literal["reset", "drop_answer", "late"]

PREFIX = "some/prefix"
PATIENT_SECONDS, IMPATIENT_SECONDS = 60.0, 0.3
# kind of operation: method, what its path has, what its object's name has
OPERATIONS: dict[str, tuple[str, str, str]] = {
    "raw upload": ("POST", "/upload/", "raw/"),
    "parquet upload": ("POST", "/upload/", "ticks/"),
    "receipt upload": ("POST", "/upload/", "receipt/"),
    "copy": ("POST", "/rewriteTo/", ""),
    "delete": ("DELETE", "/o/", ""),
    "list": ("GET", "prefix=", ""),
    "receipt read": ("GET", "alt=media", "receipt/"),
    "raw read": ("GET", "alt=media", "raw/"),
    "look": ("GET", "projection=", ""),
}
WAYS: tuple[How, ...] = (429, 503, "reset", "drop_answer", "late")
ONE_BAD_FILE = "*/trades/*/ETHBTC.csv.gz"


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that takes its own lost answer for another writer must not wait minutes to tell."""
    monkeypatch.setattr("market_data.ingest.venue_day._OTHER_WRITER_POLL_SECONDS", 0.01)


class Store:
    """A bucket, the faults of its server, and a look past them at what it holds."""

    def __init__(self, server: GcsServer) -> None:
        self._server = server
        self._bucket = f"faulty-{uuid.uuid4().hex}"
        server.create_bucket(self._bucket)

    def lake(self, retry_seconds: float = PATIENT_SECONDS) -> GcsLake:
        lake = GcsLake(self._bucket, PREFIX, retry_seconds=retry_seconds)
        lake._retry = lake._retry.with_delay(initial=0.01, maximum=0.02)
        return lake

    def fail(self, *faults: Fault) -> None:
        self._server.faults[:] = faults

    def unused_faults(self) -> list[Fault]:
        return [fault for fault in self._server.faults if fault.times]

    def look(self) -> list[str]:
        """Return what committed receipts name at this moment and is not so."""
        receipts = {key: (generation, self._read(key)) for key, generation in self._list("receipt/").items()}
        held = {key: (int(size), crc32c) for key, size, crc32c in self._details("ticks/")}
        unchanged = self._list("receipt/")
        falsehoods = []
        for key, (generation, document) in receipts.items():
            named = published_keys(parse_receipt(json.dumps(document).encode(), key))
            if unchanged.get(key) == generation:
                falsehoods += [name for name, facts in named.items() if held.get(name) != facts]
        return falsehoods

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again; in the end nothing may have been false at any look."""
        looks: list[list[str]] = []
        stop = Event()

        def watch() -> None:
            looks.append(self.look())
            while not stop.wait(0.01):
                looks.append(self.look())

        watcher = Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
        assert looks
        assert [look for look in looks if look] == []

    def _read(self, key: str) -> dict[str, object]:
        name = quote(f"{PREFIX}/{key}", safe="")
        return self._server.ask_upstream("GET", f"/storage/v1/b/{self._bucket}/o/{name}?alt=media")[1]

    def _list(self, folder: str) -> dict[str, int]:
        return {item["name"].removeprefix(f"{PREFIX}/"): int(item["generation"]) for item in self._items(folder)}

    def _details(self, folder: str) -> list[tuple[str, str, str]]:
        return [(item["name"].removeprefix(f"{PREFIX}/"), item["size"], item["crc32c"]) for item in self._items(folder)]

    def _items(self, folder: str) -> list[dict[str, str]]:
        query = urlencode({"prefix": f"{PREFIX}/{folder}"})
        _, answer = self._server.ask_upstream("GET", f"/storage/v1/b/{self._bucket}/o?{query}")
        items: list[dict[str, str]] = answer.get("items", [])
        return items


@pytest.fixture
def store(gcs_server: GcsServer) -> Iterator[Store]:
    yield Store(gcs_server)
    gcs_server.faults.clear()


@pytest.fixture
def wanted(undisturbed: Callable[..., dict[str, object]]) -> dict[str, object]:
    return undisturbed(ALL_THREE)


@pytest.fixture
def plan(wanted: dict[str, object], store: Store, vendor: Vendor) -> VenueDay:
    del wanted  # only first: it forgets the vendor's faults
    return prepare(store, vendor)


def prepare(store: Store, vendor: Vendor) -> VenueDay:
    """Plan three data types, of which one was left open by an earlier run, with a stray object beside it.

    So the next run has every kind of operation to do.
    """
    lake = store.lake()
    plan = plan_day(lake, vendor, ALL_THREE)
    vendor.spoil("truncate", match=ONE_BAD_FILE)
    run_day(lake, vendor, replace(plan, data_types=(TRADES,)))
    unit = DataTypeDay("BINANCE", TRADES, DAY)
    lake.put_bytes(b"left over", f"{object_prefix('by_type', unit, 'SPOT_PAIR')}LEFT-OVER.parquet")
    vendor.recover()
    return plan


def fault_at(operation: str, action: How, *, times: int = 1, after: int = 0) -> Fault:
    method, path_part, name_part = OPERATIONS[operation]
    return Fault(method, path_part, action, times=times, after=after, name_part=name_part)


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_at_each_operation_is_overcome(
    store: Store, vendor: Vendor, plan: VenueDay, wanted: dict[str, object], way: How
) -> None:
    repeated = [operation for operation in OPERATIONS if operation != "delete"]
    store.fail(
        *(fault_at(operation, way) for operation in OPERATIONS),
        *(fault_at(operation, way, after=1) for operation in repeated),
    )
    with store.watched():
        results = run_day(store.lake(), vendor, plan)
    assert store.unused_faults() == []
    assert all(result.receipt.is_complete for result in results.values())
    assert contents_of(store.lake()) == wanted
    assert is_proven(store.lake(), plan)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_store_that_stays_down_is_told_and_the_next_run_loses_nothing(
    store: Store, vendor: Vendor, plan: VenueDay, wanted: dict[str, object], operation: str
) -> None:
    first_good = 2 if "upload" in operation or operation == "copy" else 0
    store.fail(fault_at(operation, 503, times=10_000, after=first_good))
    with store.watched(), pytest.raises(LakeUnavailable) as caught:
        run_day(store.lake(IMPATIENT_SECONDS), vendor, plan)
    assert caught.value.is_transient
    assert "gs://" in str(caught.value)
    store.fail()
    assert_healed(store, vendor, plan, wanted)


def assert_healed(store: Store, vendor: Vendor, plan: VenueDay, wanted: dict[str, object]) -> None:
    """Run again without faults: only what the lake does not hold is asked for."""
    lake = store.lake()
    assert find_falsehoods(lake) == []
    held = {stat.key for stat in lake.list_objects("raw/")}
    units = [DataTypeDay(plan.universe.venue, data_type, plan.universe.day) for data_type in plan.data_types]
    missing = [f"{unit.data_type} {symbol}" for unit in units for symbol in SPOT if raw_key(unit, symbol) not in held]
    vendor.recover()
    with store.watched():
        run_day(lake, vendor, plan)
    assert vendor.asked_files() == sorted(missing)
    assert contents_of(lake) == wanted
    assert is_proven(lake, plan)


@contextmanager
def another_decoder() -> Iterator[None]:
    """Write the same rows as other bytes: what is published must then be replaced."""
    options = encode._options
    other = {"compression": "snappy", "compression_level": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "_options", lambda data_type: options(data_type) | other)
        yield


def run_with_random_faults(
    store: Store, vendor: Vendor, wanted: dict[str, object], *, seed: int, rounds: int
) -> list[bool]:
    """Run a day by turns of two decoders while random operations fail, then once without faults.

    Says of each run whether it ended whole.
    """
    plan, rng = prepare(store, vendor), random.Random(seed)
    has_ended = []
    for number in range(rounds):
        store.fail(*(random_fault(rng) for _ in range(25)))
        lake = store.lake(rng.choice((IMPATIENT_SECONDS, PATIENT_SECONDS)))
        is_other = number % 2 == 1
        with store.watched(), another_decoder() if is_other else nullcontext():
            has_ended.append(ends_whole(lake, vendor, replace(plan, decoder_version="next") if is_other else plan))
    store.fail()
    assert_healed(store, vendor, plan, wanted)
    return has_ended


def random_fault(rng: random.Random) -> Fault:
    operation = rng.choice(list(OPERATIONS))
    return fault_at(operation, rng.choice(WAYS), times=rng.choice((1, 2, 3, 40)), after=rng.randint(0, 25))


def ends_whole(lake: GcsLake, vendor: Vendor, plan: VenueDay) -> bool:
    try:
        results = run_day(lake, vendor, plan)
    except LakeUnavailable:
        return False
    return all(result.receipt.is_complete for result in results.values())


def test_another_decoder_replaces_every_object_although_the_store_fails(
    store: Store, vendor: Vendor, plan: VenueDay, wanted: dict[str, object]
) -> None:
    run_day(store.lake(), vendor, plan)
    store.fail(*(fault_at("parquet upload", way, after=number) for number, way in enumerate(WAYS)))
    with store.watched(), another_decoder():
        run_day(store.lake(), vendor, replace(plan, decoder_version="next"))
    ticks = {key: data for key, data in contents_of(store.lake()).items() if key.startswith("ticks/")}
    assert ticks
    assert ticks.keys() & wanted.keys() == set()  # other bytes have other names, and the former ones are gone
    assert store.unused_faults() == []
    assert is_proven(store.lake(), plan)


@pytest.mark.parametrize("seed", range(2))
def test_random_faults_lose_nothing_and_show_nothing_half(
    store: Store, vendor: Vendor, wanted: dict[str, object], seed: int
) -> None:
    run_with_random_faults(store, vendor, wanted, seed=seed, rounds=4)


@pytest.mark.long
def test_many_random_faults_lose_nothing_and_show_nothing_half(
    gcs_server: GcsServer, vendor: Vendor, wanted: dict[str, object]
) -> None:
    has_ended = [
        is_whole
        for seed in range(100, 120)
        for is_whole in run_with_random_faults(Store(gcs_server), vendor, wanted, seed=seed, rounds=6)
    ]
    assert 20 < has_ended.count(True) < len(has_ended) - 20  # both ends were seen
