"""The doctor names what is missing and how to get it, tries what a run does, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import stamina
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from market_data.defs.instance import check_instance
from market_data.demo.local_dagster import prepare_home
from market_data.errors import LakeConflict, LakeError, LakeUnavailable
from market_data.lake.base import DEFAULT_CONTENT_TYPE, ObjectStat, TickLake
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.operate.doctor import (
    Diagnosis,
    Level,
    check_automation,
    check_disk,
    check_key,
    check_lake,
    check_vendor,
)
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.vendor.client import TardisClient
from market_data_tests.fakes import SteppedLake
from market_data_tests.filled_lake import CLOCK, ORIGIN
from market_data_tests.gcs_server import Fault, GcsServer


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK)) as running:
        yield running


def _ask(
    vendor: RunningSimulator,
    check: Callable[[TardisClient], Any],
    *,
    key: str | None = DEFAULT_KEY,
    api_url: str = "",
) -> Diagnosis:
    async def ask() -> Diagnosis:
        client = TardisClient(api_url=api_url or vendor.api_url, datasets_url=vendor.datasets_url, api_key=key)
        async with client:
            diagnosis: Diagnosis = await check(client)
            return diagnosis

    with stamina.set_testing(True, attempts=1):
        return asyncio.run(ask())


def test_a_line_is_a_level_a_name_what_was_found_and_the_remedy() -> None:
    assert str(Diagnosis(Level.OK, "key", "accepted")) == "ok   key: accepted"
    assert str(Diagnosis(Level.FAIL, "lake", "is full", "free space")) == "FAIL lake: is full; free space"


def test_automation_is_said_to_be_on_or_off() -> None:
    assert check_automation(is_on=True).what.startswith("on: ")
    off = check_automation(is_on=False)
    assert (off.level, off.what.startswith("off: "), "MARKET_DATA_AUTOMATION=on" in off.what) == (Level.OK, True, True)


def test_a_vendor_that_answers_says_until_when_it_exported(vendor: RunningSimulator) -> None:
    diagnosis = _ask(vendor, lambda client: check_vendor(client, "BINANCE"), key=None)
    assert str(diagnosis) == "ok   vendor: answers; it has exported the days of BINANCE before 2024-08-11"


def test_a_vendor_that_cannot_be_reached_fails_with_its_address(vendor: RunningSimulator) -> None:
    diagnosis = _ask(vendor, lambda client: check_vendor(client, "BINANCE"), api_url="http://127.0.0.1:9/v1")
    assert diagnosis.level is Level.FAIL
    assert "http://127.0.0.1:9/v1/exchanges/binance" in diagnosis.what
    assert "TARDIS_API_URL" in diagnosis.remedy


def test_without_a_key_only_free_days_can_be_had(vendor: RunningSimulator) -> None:
    diagnosis = _ask(vendor, lambda client: check_key(client, has_key=False), key=None)
    assert (diagnosis.level, diagnosis.remedy) == (Level.WARN, "set TARDIS_API_KEY")


def test_a_key_is_tried(vendor: RunningSimulator) -> None:
    good = _ask(vendor, lambda client: check_key(client, has_key=True))
    assert (good.level, good.what.startswith("accepted; it opens ")) == (Level.OK, True)
    bad = _ask(vendor, lambda client: check_key(client, has_key=True), key="secret-canary")
    assert (bad.level, "401" in bad.what, "secret-canary" in str(bad)) == (Level.FAIL, True, False)


def test_a_lake_that_takes_all_that_a_run_does_is_left_as_it_was(lake: TickLake) -> None:
    empty, rights = check_lake(lake, ORIGIN)
    assert (empty.level, rights.level) == (Level.OK, Level.OK)
    assert empty.what == f"{lake.url} is empty; the first run marks it as filled from simulator"
    assert lake.list_objects("") == []
    ensure_origin(lake, ORIGIN)
    filled, _ = check_lake(lake, ORIGIN)
    assert str(filled) == f"ok   lake: {lake.url} is filled from simulator"
    assert [stat.key for stat in lake.list_objects("")] == ["origin.json"]


def test_a_lake_of_another_vendor_fails(lake: TickLake) -> None:
    ensure_origin(lake, ORIGIN)
    mismatch, rights = check_lake(lake, "https://vendor.example")
    assert (mismatch.level, rights.level) == (Level.FAIL, Level.OK)
    assert "is filled from simulator, the settings name https://vendor.example" in mismatch.what


def test_a_lake_that_cannot_be_written_names_the_step_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    *_, rights = check_lake(open_lake((tmp_path / "file" / "lake").as_uri()), ORIGIN)
    assert rights.level is Level.FAIL
    assert rights.what.startswith("cannot write in file://")
    assert "MARKET_DATA_LAKE_URL" in rights.remedy


def test_a_bucket_that_does_not_exist_fails(gcs_server: GcsServer) -> None:
    assert gcs_server.environment
    diagnoses = list(check_lake(open_lake("gs://no-such-bucket-anywhere"), ORIGIN))
    assert diagnoses[-1].level is Level.FAIL
    assert "Storage Object Admin" in diagnoses[-1].remedy


class CarelessLake(SteppedLake):
    """A store that writes whatever the condition."""

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        del if_generation
        return super().put_bytes(data, key, content_type=content_type)


def test_a_store_that_ignores_preconditions_fails(lake: TickLake) -> None:
    *_, rights = check_lake(CarelessLake(lake, lambda: None), ORIGIN)
    assert rights.level is Level.FAIL
    assert rights.what.startswith("cannot refuse a stale write (the store ignores preconditions) in ")
    assert lake.list_objects("") == []


class RefusingLake(SteppedLake):
    """A store that refuses deletes, or overwrites too, with an error."""

    def __init__(self, lake: TickLake, error: LakeError, *, is_overwriting: bool = True) -> None:
        super().__init__(lake, lambda: None)
        self._error, self._is_overwriting = error, is_overwriting
        self.refused: list[tuple[str, int | None]] = []

    def put_bytes(
        self, data: bytes, key: str, *, if_generation: int | None = None, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectStat:
        if if_generation and not self._is_overwriting:
            raise self._error
        return super().put_bytes(data, key, if_generation=if_generation, content_type=content_type)

    def delete(self, key: str, *, if_generation: int | None = None) -> None:
        self.refused.append((key, if_generation))
        raise self._error


def test_a_store_that_refuses_deletes_alone_is_a_warning_that_says_what_follows(lake: TickLake) -> None:
    *_, rights = check_lake(RefusingLake(lake, LakeError("deleting is not allowed")), ORIGIN)
    assert (rights.level, rights.name) == (Level.WARN, "lake rights")
    assert rights.what == f"cannot delete in {lake.url}: deleting is not allowed"
    assert rights.remedy == (
        "this account may not delete (retention policy, hold, or a missing right): replaced files stay until "
        "it may; readers are not affected, globbing engines see both"
    )


def test_a_bucket_that_answers_403_to_deletes_is_a_warning(gcs_server: GcsServer) -> None:
    gcs_server.create_bucket("nothing-is-deleted")
    gcs_server.faults.append(Fault("DELETE", "/o/", 403, times=9))
    try:
        *_, rights = check_lake(open_lake("gs://nothing-is-deleted"), ORIGIN)
    finally:
        gcs_server.faults.clear()
    assert (rights.level, "cannot delete in gs://nothing-is-deleted: " in rights.what) == (Level.WARN, True)


def test_a_store_that_refuses_overwrites_too_fails_for_no_receipt_can_be_committed_there(lake: TickLake) -> None:
    refusing = RefusingLake(lake, LakeError("the object is under retention"), is_overwriting=False)
    *_, rights = check_lake(refusing, ORIGIN)
    assert (rights.level, rights.what.partition(" in ")[0]) == (Level.FAIL, "cannot overwrite")


@pytest.mark.parametrize("error", [LakeUnavailable("did not answer"), LakeConflict("expected another generation")])
def test_a_delete_that_fails_in_passing_is_no_missing_right(lake: TickLake, error: LakeError) -> None:
    *_, rights = check_lake(RefusingLake(lake, error), ORIGIN)
    assert (rights.level, rights.what.partition(" in ")[0]) == (Level.FAIL, "cannot delete")


@pytest.mark.parametrize(
    ("free_gb", "level"), [(0.5, Level.FAIL), (2, Level.WARN), (19.9, Level.WARN), (20, Level.OK), (500, Level.OK)]
)
def test_a_disk_is_judged_by_its_free_space(tmp_path: Path, free_gb: float, level: Level) -> None:
    diagnosis = check_disk("scratch disk", tmp_path, round(free_gb * 1e9))
    assert (diagnosis.level, f"{free_gb:.1f} GB free" in diagnosis.what) == (level, True)
    assert bool(diagnosis.remedy) is (level is not Level.OK)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new instance, with nothing running on it."""
    directory = tmp_path_factory.mktemp("doctor") / "dagster"
    prepare_home(directory)
    return directory


def _diagnose(home: Path, *, is_automation_on: bool = False) -> dict[str, Diagnosis]:
    return {item.name: item for item in check_instance(home, is_automation_on=is_automation_on)}


def test_an_instance_that_opens_tells_of_its_runs_and_its_pool(home: Path) -> None:
    diagnoses = _diagnose(home)
    assert str(diagnoses["dagster"]) == f"ok   dagster: the instance in {home} opens; it knows 0 runs"
    assert str(diagnoses["pool limits"]) == "ok   pool limits: pool tardis: no limit, at most 2 runs at once"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("tardis", 4)
    assert "pool tardis: at most 4 downloading steps" in _diagnose(home)["pool limits"].what


def test_a_daemon_that_does_not_run_matters_most_with_automation(home: Path) -> None:
    assert _diagnose(home)["daemon"].level is Level.WARN
    diagnosis = _diagnose(home, is_automation_on=True)["daemon"]
    assert (diagnosis.level, diagnosis.what.startswith("the daemon never ran: ")) == (Level.FAIL, True)


def test_sensors_that_were_switched_by_hand_are_told(home: Path) -> None:
    assert _diagnose(home)["sensors"].what == "all stopped, as MARKET_DATA_AUTOMATION says"
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("market_data"), "__repository__")
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, "new_days"), InstigatorType.SENSOR, InstigatorStatus.RUNNING
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_instigator_state(state)
    against = _diagnose(home)["sensors"]
    assert (against.level, against.what) == (Level.WARN, "switched in the UI: new_days running; the others stopped")
    assert _diagnose(home, is_automation_on=True)["sensors"].level is Level.OK


def test_a_home_without_an_instance_file_fails(tmp_path: Path) -> None:
    (diagnosis,) = check_instance(tmp_path, is_automation_on=False)
    assert str(diagnosis).startswith(f"FAIL dagster: {tmp_path} holds no dagster.yaml; set DAGSTER_HOME")


def test_an_instance_that_cannot_be_opened_fails(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: {postgres: {postgres_url: {env: NOT_SET_ANYWHERE}}}")
    (diagnosis,) = check_instance(tmp_path, is_automation_on=False)
    assert (diagnosis.level, "cannot be opened" in diagnosis.what) == (Level.FAIL, True)
    assert "NOT_SET_ANYWHERE" in diagnosis.what
