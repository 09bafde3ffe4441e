"""Days on which a venue lists nothing are whole, with nothing expected, for runs, checks, readers and sensors alike."""

import gzip
import json
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import market_data
from market_data.defs.build import build_definitions
from market_data.defs.coverage import describe_coverage
from market_data.defs.tables import make_table
from market_data.errors import TicksIncomplete
from market_data.lake.base import TickLake
from market_data.lake.keys import vendor_answer_key
from market_data.model.data_types import DataType
from market_data.operate.coverage import COMPLETE, measure_coverage
from market_data.operate.coverage_picture import draw_coverage
from market_data.operate.plan import plan_backfill
from market_data.read import find_instruments, scan_ticks
from market_data.simulator.http.server import RunningSimulator
from market_data.universe.answers import VendorAnswer
from market_data_tests.in_process import Project, open_project

DAY = date(2024, 8, 8)
ONE_DAY = timedelta(days=1)
VENUES = {"binance": {"data_types": ["trades", "quotes"]}, "ftx": {"data_types": ["trades"]}}
DEAD_DAYS = [date(2023, 1, 5), date(2023, 1, 6), date(2023, 1, 7)]


@pytest.fixture
def project(tmp_path: Path, shared_simulator: RunningSimulator) -> Iterator[Project]:
    shared_simulator.set_faults([])
    automation = {"first_wait_seconds": 0, "max_attempts": 5, "days_per_check": 3}
    with open_project(tmp_path, shared_simulator, dict(VENUES), automation) as project:
        yield project


def answer(*lives: tuple[str, str], until: str = "2024-08-10", **venue: Any) -> dict[str, Any]:
    """The vendor's details of a venue that listed one spot pair in each of these spans."""
    rows = [
        {
            "id": f"COIN{number}USDT",
            "type": "spot",
            "dataTypes": ["trades", "quotes"],
            "availableSince": f"{since}T00:00:00.000Z",
            "availableTo": f"{to}T00:00:00.000Z",
        }
        for number, (since, to) in enumerate(lives)
    ]
    return {"datasets": {"exportedUntil": f"{until}T00:00:00.000Z", "symbols": rows}, **venue}


def keep_answer(lake: TickLake, venue: str, exchange: dict[str, Any]) -> None:
    """Let the lake hold what the vendor said today; a run asks it for nothing then."""
    data = gzip.compress(json.dumps({"exchange": exchange, "instruments": None}).encode())
    today = datetime.now(UTC).date()
    for asked in (today, today + ONE_DAY):  # a test may run over midnight
        lake.put_bytes(data, vendor_answer_key(venue, asked))


def read(lake: TickLake, start: date, end: date, **filters: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ticks = scan_ticks("trades", start=start, end=end, lake=lake, **filters).collect()
    return [str(day) for day in ticks["date"].unique().sort()]


def verdict_of(result: dg.ExecuteInProcessResult, key: str) -> str:
    events = [event for event in result.all_events if event.is_step_materialization]
    (told,) = (event.materialization for event in events if event.materialization.asset_key.to_user_string() == key)
    return str(told.metadata["verdict"].value)


def test_one_place_hands_tables_to_dagster_which_refuses_an_empty_one() -> None:
    package = Path(market_data.__file__).parent
    makers = [path.name for path in package.rglob("*.py") if re.search(r"\.table\(|TableRecord\(", path.read_text())]
    assert makers == ["tables.py"]
    assert make_table([]) == dg.MetadataValue.text("none")


@pytest.mark.parametrize(
    ("exchange", "words"),
    [
        (answer(("2024-08-09", "2024-08-10")), "the first one is listed from 2024-08-09 on"),
        (answer(("2024-08-01", "2024-08-08")), "the last one before ended with 2024-08-07"),
        (
            answer(("2024-08-01", "2024-08-08"), ("2024-08-09", "2024-08-10")),
            "the last one before ended with 2024-08-07, the next one is listed from 2024-08-09 on",
        ),
        (
            answer(("2024-08-01", "2024-08-08"), until="2024-08-08", delisted=True),
            "the vendor collects the venue no more; its last day is 2024-08-07",
        ),
    ],
    ids=["before the first", "after the last", "in a gap", "after the venue's end"],
)
def test_a_day_without_instruments_is_whole_and_green_and_says_why(
    project: Project, exchange: dict[str, Any], words: str
) -> None:
    project.venues = {"binance": VENUES["binance"]}
    keep_answer(project.lake, "BINANCE", exchange)
    for job in ("all_venues", "all_venues", "refresh", "recheck"):
        assert project.run(job, DAY).success
    result = project.run("all_venues", DAY)
    told = f"OK no instrument listed on 2024-08-08, so no tick file is expected: {words}"
    assert verdict_of(result, "binance/instruments") == told
    receipt = project.receipt("BINANCE", DataType.QUOTES, DAY)
    assert (receipt.state, receipt.files, receipt.instruments_listed) == ("committed", (), 0)
    (record,) = project.check_results("binance/raw/trades", "coverage", DAY)[:1]
    assert record.event is not None
    assert record.event.dagster_event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert evaluation.passed
    assert evaluation.description == "OK nothing expected: the venue listed no instrument that day"
    assert isinstance(project.look("failed_venue_days"), dg.SkipReason)

    assert read(project.lake, DAY, DAY + ONE_DAY, venues="binance") == []
    assert read(project.lake, DAY, DAY + ONE_DAY, venues="binance", base="COIN0") == []
    assert read(project.lake, DAY, DAY + ONE_DAY, instruments="BINANCE:SPOT_PAIR:COIN0-USDT") == []
    assert find_instruments(lake=project.lake).is_empty()
    frame = measure_coverage(project.lake, {"BINANCE": (DataType.TRADES, DataType.QUOTES)}, [DAY])
    assert frame["state"].to_list() == [COMPLETE] * 2
    assert draw_coverage(frame)
    assert describe_coverage(frame)["verdict"].startswith("2 of 2 complete")
    selection = project.settings().config.venues["BINANCE"].selection
    known = VendorAnswer("BINANCE", DAY + ONE_DAY, exchange)
    plan = plan_backfill(project.lake, {"BINANCE": selection}, [DAY], {"BINANCE": known})
    assert plan.venues.select("whole_days", "runs", "estimated_days").row(0) == (1, 0, 0)
    assert plan.data_types["expected"].sum() == 0


def test_all_venues_together_list_nothing(project: Project) -> None:
    for venue in ("BINANCE", "FTX"):
        keep_answer(project.lake, venue, answer())
    assert project.run("all_venues", DAY).success
    result = project.run("combined_universe", DAY)
    assert result.success
    assert verdict_of(result, "universe") == "OK 2 of 2 venues"


def test_a_read_over_the_first_day_of_a_venue_skips_the_days_before(project: Project) -> None:
    keep_answer(project.lake, "BINANCE", answer(("2024-08-08", "2024-08-10")))
    keep_answer(project.lake, "FTX", answer(("2024-08-08", "2024-08-10")))
    project.venues = {"binance": {"data_types": ["trades"]}}
    project.simulator.set_faults([{"match": "*.csv.gz", "action": "empty_gzip"}])
    for day in (DAY - ONE_DAY, DAY):
        project.run("all_venues", day)
    with pytest.raises(TicksIncomplete) as caught:  # the day that was not run is still a fault, the day before is none
        read(project.lake, DAY - ONE_DAY, DAY + 2 * ONE_DAY, venues="binance")
    assert "BINANCE trades 2024-08-09: not run" in str(caught.value)
    assert "2024-08-07" not in str(caught.value)


def test_what_a_filter_takes_away_is_told_unless_other_days_have_it(project: Project) -> None:
    keep_answer(project.lake, "BINANCE", answer(("2024-08-01", "2024-08-10")))
    project.venues = {"binance": {"data_types": ["trades"], "include": ["NOSUCH*"]}}
    assert project.run("all_venues", DAY).success
    receipt = project.receipt("BINANCE", DataType.TRADES, DAY)
    assert (receipt.files, receipt.instruments_listed) == ((), 1)
    with pytest.raises(TicksIncomplete, match="not offered"):
        read(project.lake, DAY, DAY + ONE_DAY, venues="binance")


def test_days_after_the_end_of_a_delisted_venue_are_whole_and_keep_no_other_day_from_its_re_run(
    project: Project,
) -> None:
    project.venues = {"ftx": VENUES["ftx"], "binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}}
    project.simulator.set_faults([{"match": "*/binance/trades/*", "action": "status", "code": 503}])
    for day in DEAD_DAYS:
        assert project.run("all_venues", day, {"venue": "FTX"}).success is False  # binance fails beside it
    for day in DEAD_DAYS:
        assert project.receipt("FTX", DataType.TRADES, day).is_nothing_expected
    found = project.look("failed_venue_days")
    assert isinstance(found, dg.SkipReason), found
    assert project.run("all_venues", DAY, {"venue": "BINANCE"}).success is False
    found = project.look("failed_venue_days")
    assert isinstance(found, dg.SensorResult)
    requests = [(item.tags["venue"], item.partition_key) for item in found.run_requests or []]
    assert requests == [("BINANCE", str(DAY))]


def test_days_that_the_vendor_has_not_exported_take_turns_with_other_failed_days(project: Project) -> None:
    """Such days cost no attempt, so they come back at every look: they must not be the first each time."""
    late = [date(2024, 8, 10), date(2024, 8, 11), date(2024, 8, 12)]
    project.venues = {"binance": {"data_types": ["trades"], "include": ["BTCUSDT"]}}
    project.simulator.set_faults([{"match": "*/2024/08/08/*", "action": "status", "code": 503}])
    for day in (*late, DAY):
        assert not project.run("all_venues", day, {"venue": "BINANCE"}).success
    launched: list[str] = []
    for _ in range(3):
        found = project.look("failed_venue_days")
        assert isinstance(found, dg.SensorResult)
        for item in found.run_requests or []:
            assert item.partition_key is not None
            launched.append(item.partition_key)
            project.run("all_venues", date.fromisoformat(item.partition_key), item.tags)
    assert str(DAY) in launched[:4]
    assert set(launched) == {str(day) for day in (*late, DAY)}


@contextmanager
def answering(document: dict[str, Any]) -> Iterator[str]:
    """A vendor that says one thing about every venue, and that there are no definitions; gives its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_details = "/exchanges/" in self.path
            body = json.dumps(document if is_details else {"code": 11, "message": "no plan"}).encode()
            self.send_response(200 if is_details else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_a_day_behind_last_days_that_may_be_on_their_way_is_whole(project: Project) -> None:
    project.venues = {"binance": VENUES["binance"]}
    newest = datetime.now(UTC).date() - 3 * ONE_DAY
    ended = {"delisted": True, "availableTo": f"{newest}T13:00:00.000Z"}
    with answering(answer(("2024-08-01", str(newest)), until=str(newest), **ended)) as url:
        definitions = build_definitions(project.settings().model_copy(update={"api_url": url, "datasets_url": url}))
        job = definitions.resolve_job_def("all_venues")
        results = [
            job.execute_in_process(partition_key=str(day), instance=project.instance, raise_on_error=False)
            for day in (newest, newest + ONE_DAY)
        ]
    assert [result.success for result in results] == [False, True]
    assert verdict_of(results[1], "binance/instruments").endswith(f"its last day is {newest}")
