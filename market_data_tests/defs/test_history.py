"""Dagster's database is lost, the lake is kept: the job `rebuild_history` tells a new Dagster what the old one knew."""

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_data.defs.build import build_definitions
from market_data.defs.resources import LakeResource
from market_data.errors import LakeUnavailable
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import receipt_key, universe_key, vendor_answer_prefix
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.fakes import SteppedLake
from market_data_tests.in_process import Project, open_project
from market_data_tests.told import OF_A_RUN, Place, told_by

WHOLE_DAY, BROKEN_DAY = date(2024, 8, 8), date(2024, 8, 9)
DAYS = (WHOLE_DAY, BROKEN_DAY)
VENUES: dict[str, dict[str, Any]] = {
    "binance": {"data_types": ["trades", "quotes"], "include": ["BTCUSDT", "ETHUSDT"]},
    "deribit": {
        "data_types": ["quotes"],
        "include": ["BTC-PERPETUAL"],
        # each silence is a fault, so that a check of a whole day fails
        "quality": {"quotes": {"silence": {"limit": 0, "severity": "error"}}},
    },
}
DAMAGED_FILE = {"match": "*/binance/trades/2024/08/09/ETHUSDT.csv.gz", "action": "wrong_header"}


def contents(lake: TickLake) -> dict[str, tuple[int, bytes]]:
    return {stat.key: (stat.generation, lake.get_bytes(stat.key)[0]) for stat in lake.list_objects("")}


def rebuild(project: Project, lake: LakeResource | None = None, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_definitions(project.settings()).resolve_job_def("rebuild_history")
    return job.execute_in_process(
        instance=project.instance,
        raise_on_error=False,
        run_config={"ops": {"history": {"config": config}}},
        resources={"lake": lake} if lake else None,
    )


def recorded(result: dg.ExecuteInProcessResult) -> list[Place]:
    """The materialisations of a run, in order."""
    events = result.get_asset_materialization_events()
    return [(event.asset_key.to_user_string(), str(event.partition)) for event in events if event.asset_key]


def why_failed(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    data = result.failure_data_for_node("history")
    assert data is not None
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-10T07:00:00Z", scale=0.05)) as running:
        yield running


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, simulator: RunningSimulator) -> Iterator[Project]:
    """A project as it was before its Dagster was lost: two venues, two days, one data type of one day failed."""
    with open_project(tmp_path_factory.mktemp("lived"), simulator, VENUES) as project:
        simulator.set_faults([DAMAGED_FILE])
        assert [project.run("all_venues", day).success for day in DAYS] == [True, False]
        simulator.set_faults([])
        yield project


@pytest.fixture
def project(lived: Project, tmp_path: Path) -> Iterator[Project]:
    """The same lake, in a copy, and a Dagster that knows nothing; the vendor was asked for nothing so far."""
    shutil.copytree(lived.directory / "lake", tmp_path / "lake")
    lived.simulator.clear_requests()
    with dg.DagsterInstance.ephemeral() as instance:
        yield replace(lived, directory=tmp_path, instance=instance, venues=dict(VENUES))


def test_a_new_dagster_shows_what_the_lost_one_showed(lived: Project, tmp_path: Path) -> None:
    before, lake_before = told_by(lived), contents(lived.lake)
    lived.simulator.clear_requests()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        project = replace(lived, instance=instance)
        assert rebuild(project).success
        after = told_by(project)
    assert lived.simulator.requests() == []
    assert contents(lived.lake) == lake_before

    assert after.materialized.keys() == before.materialized.keys()
    assert after.lasting == before.lasting
    assert after.checked == before.checked
    assert after.statuses == before.statuses
    # what is compared is there
    places = set(after.materialized)
    assert {("binance/raw/trades", "2024-08-08"), ("deribit/by_type", "2024-08-09")} < places
    assert not {("binance/raw/trades", "2024-08-09"), ("binance/by_date", "2024-08-09")} & places
    assert len(places) == 2 * (6 + 5) - 4
    assert after.checked["binance/raw/trades coverage", "2024-08-09"]["status"] == "FAILED"
    assert after.checked["binance/by_date matches_receipts", "2024-08-09"]["status"] == "FAILED"
    assert after.checked["deribit/raw/quotes ticks_timing", "2024-08-08"]["status"] == "FAILED"
    assert {name for item in before.materialized.values() for name in item} >= OF_A_RUN


def test_what_dagster_knows_is_recorded_again_only_when_that_is_asked_for(project: Project) -> None:
    assert len(recorded(rebuild(project))) == 18
    once = told_by(project)
    again = rebuild(project)
    assert again.success
    assert (list(again.get_asset_check_evaluations()), recorded(again)) == ([], [])
    with_known = rebuild(project, with_known=True)
    assert len(recorded(with_known)) == 18
    assert told_by(project) == once
    (newest, oldest) = project.check_results("binance/raw/quotes", "coverage", WHOLE_DAY)
    assert (newest.run_id, newest.status) == (with_known.run_id, oldest.status)


def test_the_sensor_of_failed_days_goes_by_runs_which_do_not_come_back(lived: Project, project: Project) -> None:
    rebuild(project)
    found, found_before = project.look("failed_venue_days"), lived.look("failed_venue_days")
    assert isinstance(found, dg.SkipReason)
    assert isinstance(found_before, dg.SkipReason)
    assert "BINANCE 2024-08-09" in str(found_before.skip_message)
    assert "2024" not in str(found.skip_message)


def test_a_range_of_days_and_some_venues_can_be_chosen(project: Project) -> None:
    result = rebuild(project, venues=["Deribit"], first_day="2024-08-09", last_day="2030-01-01")
    names = ("instruments", "raw/quotes", "by_date", "by_venue", "by_type")
    # in the order in which a run makes them: none is older than what it is made of
    assert recorded(result) == [(f"deribit/{name}", "2024-08-09") for name in names]
    rest = rebuild(project, last_day="2024-08-09")
    assert len(recorded(rest)) == 18 - 5


def test_what_was_published_after_dagster_was_saved_is_recorded(project: Project) -> None:
    """As after a restored backup: what Dagster knows is of before."""
    rebuild(project)
    with dg.DagsterInstance.ephemeral() as other:
        assert replace(project, instance=other).run("all_venues", BROKEN_DAY).success  # the file is whole by now
    result = rebuild(project, venues=["binance"])
    assert recorded(result) == [
        (f"binance/{name}", "2024-08-09") for name in ("raw/trades", "by_date", "by_venue", "by_type")
    ]
    told = told_by(project)
    assert told.checked["binance/raw/trades coverage", "2024-08-09"]["status"] == "SUCCEEDED"
    assert "2024-08-09" in told.statuses["binance/by_date matches_receipts"]["SUCCEEDED"]


def test_damaged_documents_are_told_by_name_and_stop_nothing_else(project: Project) -> None:
    unit = DataTypeDay("BINANCE", DataType.TRADES, WHOLE_DAY)
    project.lake.put_bytes(b"{", receipt_key(unit))
    project.lake.put_bytes(b"no table", universe_key("DERIBIT", BROKEN_DAY))
    before = contents(project.lake)
    result = rebuild(project)
    why = why_failed(result)
    assert why.startswith("2 things in the lake could not be read; everything else is recorded\n")
    assert f"- {unit}: {project.lake.uri(receipt_key(unit))} is not a receipt that this version can read" in why
    assert "- DERIBIT 2024-08-09 instruments: " in why
    # the layouts of that day hold what nobody can vouch for
    lost = {(f"binance/{name}", "2024-08-08") for name in ("raw/trades", "by_date", "by_venue", "by_type")}
    known = told_by(project)
    assert not known.materialized.keys() & {*lost, ("deribit/instruments", "2024-08-09")}
    assert len(known.materialized) == 18 - 5
    assert ("binance/raw/trades coverage", "2024-08-08") not in known.checked
    assert contents(project.lake) == before


def test_a_layout_and_a_data_type_that_were_configured_later_are_not_called_published(project: Project) -> None:
    unit = DataTypeDay("DERIBIT", DataType.QUOTES, WHOLE_DAY)
    document = json.loads(project.lake.get_bytes(receipt_key(unit))[0])
    document["layouts"] = ["by_date"]
    project.lake.put_bytes(json.dumps(document).encode(), receipt_key(unit))
    project.venues["binance"] = VENUES["binance"] | {"data_types": ["trades", "quotes", "book_snapshot_5"]}
    rebuild(project, last_day="2024-08-08")
    known = set(told_by(project).materialized)
    assert ("deribit/by_date", "2024-08-08") in known
    assert ("deribit/by_type", "2024-08-08") not in known
    assert ("binance/raw/quotes", "2024-08-08") in known
    assert ("binance/by_date", "2024-08-08") not in known


def test_instruments_that_the_kept_answer_does_not_tell_of_are_described_by_their_table(project: Project) -> None:
    (answer,) = project.lake.list_objects(vendor_answer_prefix("DERIBIT"))
    project.lake.delete(answer.key)
    assert rebuild(project, venues=["deribit"], last_day="2024-08-08").success
    shown = told_by(project).materialized["deribit/instruments", "2024-08-08"]
    rows = shown["dagster/partition_row_count"].value
    assert shown["verdict"].value == f"{rows} instruments listed"
    assert "materialise it, and they are told" in shown["notes"].value
    assert "selected" not in shown


def test_a_day_that_a_run_is_at_work_on_is_left_to_it(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    tags = {"dagster/partition": "2024-08-08", "venue": "BINANCE"}
    definitions = build_definitions(project.settings())
    job = definitions.resolve_job_def("all_venues")
    project.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert rebuild(project).success
    assert "BINANCE 2024-08-08: a run is queued for it or at work on it" in capfd.readouterr().err
    known = told_by(project).materialized
    assert ("binance/raw/quotes", "2024-08-08") not in known
    assert {("binance/raw/quotes", "2024-08-09"), ("deribit/raw/quotes", "2024-08-08")} < known.keys()


def test_a_cancelled_run_ends_cancelled_and_the_next_one_goes_on(project: Project) -> None:
    class LakeOfTheCancelled(SteppedLake):
        def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
            if key == receipt_key(DataTypeDay("BINANCE", DataType.TRADES, BROKEN_DAY)):
                (run,) = project.instance.get_runs()
                project.instance.report_run_canceling(run)
                signal.raise_signal(signal.SIGINT)  # what the launcher does
            return super().get_bytes(key)

    class Resource(LakeResource):
        def open_to_read(self) -> TickLake:
            return LakeOfTheCancelled(super().open_to_read(), lambda: None)

    rebuild(project, Resource(url=project.lake.url, origin="simulator"))
    (run,) = project.instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert len(told_by(project).materialized) == 7
    assert len(recorded(rebuild(project))) == 18 - 7


def test_a_store_that_is_down_stops_the_run_at_once_and_another_attempt_may_help(project: Project) -> None:
    asked: list[str] = []

    class LakeThatIsDown(SteppedLake):
        def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
            if key.startswith("receipt/"):
                asked.append(key)
                raise LakeUnavailable("the store did not answer")
            return super().get_bytes(key)

    class Resource(LakeResource):
        def open_to_read(self) -> TickLake:
            return LakeThatIsDown(super().open_to_read(), lambda: None)

    result = rebuild(project, Resource(url=project.lake.url, origin="simulator"))
    assert why_failed(result) == "the store did not answer"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"first_day": "yesterday"}, "first_day and last_day are dates such as 2024-08-01"),
        ({"first_day": "2024-08-10", "last_day": "2024-08-08"}, "first_day 2024-08-10 is after last_day 2024-08-08"),
        ({"venues": ["okex"]}, "OKX is not in the venues file; it has BINANCE, DERIBIT"),
        ({"last_day": "2024-08-07"}, "holds no day of BINANCE, DERIBIT from 2019-03-30 to 2024-08-07"),
    ],
)
def test_what_names_no_day_fails_with_a_sentence(project: Project, config: dict[str, Any], words: str) -> None:
    assert words in why_failed(rebuild(project, **config))


def test_a_wrong_lake_is_told_and_stays_empty(project: Project, tmp_path: Path) -> None:
    wrong = replace(project, directory=tmp_path / "elsewhere")
    wrong.directory.mkdir()
    assert "Is it the lake that is meant (MARKET_DATA_LAKE_URL)" in why_failed(rebuild(wrong))
    assert contents(wrong.lake) == {}
    wrong.lake.put_bytes(b'{"origin": "https://datasets.tardis.dev"}', "origin.json")
    assert "was filled from https://datasets.tardis.dev" in why_failed(rebuild(wrong))
