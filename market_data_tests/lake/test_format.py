"""Documents can grow: what a later version adds is ignored, kept, and never taken for more than it is."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from market_data.checks.recheck import recheck_unit
from market_data.errors import ConfigurationError, LakeError, LakeFormatTooNew, TicksIncomplete
from market_data.lake.base import TickLake
from market_data.lake.format import READER_VERSION, WRITER_VERSION
from market_data.lake.keys import LAYOUTS, ORIGIN_KEY, receipt_key, universe_key, vendor_answer_key
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import INCOMPLETE, measure_coverage
from market_data.operate.plan import plan_backfill
from market_data.read import IncompleteTicksWarning, find_instruments, scan_ticks
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.rules import Override, Severity, rules_for
from market_data.universe.answers import load_newest_answer
from market_data.universe.rules import Selection
from market_data_tests.fakes import MemoryLake
from market_data_tests.filled_lake import CLOCK, ORIGIN, TODAY, ingest_day
from market_data_tests.publishing import GROUP, Workshop, Writer
from market_data_tests.publishing import UNIT as PUBLISHED_UNIT

V1 = Writer("first", "1", ("BTCUSDT", "ETHUSDT", GROUP))
V2 = Writer("second", "2", ("BTCUSDT", "ETHUSDT", GROUP))
DAY = date(2024, 8, 8)
UNIT = DataTypeDay("BINANCE", DataType.TRADES, DAY)
SPOT = Selection(data_types=(DataType.TRADES,), include=("BTCUSDT", "ETHBTC"))
OLD = ("files", 0, "stats"), ("files", 0, "findings", 0), ("files", 0), ("files", 1), ("objects", 0), ("objects", 1), ()


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.01)) as running:
        yield running


def document_of(lake: TickLake, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lake.get_bytes(key)[0])
    return document


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def change(lake: TickLake, key: str, *paths: tuple[str | int, ...], **facts: object) -> None:
    """Write a document as a later version would: with more in some of its parts."""
    document = document_of(lake, key)
    for path in paths or ((),):
        at(document, path).update(facts)
    lake.put_bytes(json.dumps(document).encode(), key)


def rows_of(lake: TickLake, **options: Any) -> int:
    ticks = scan_ticks("trades", venues="binance", start="2024-08-08", end="2024-08-09", lake=lake, **options)
    return ticks.collect().height


@pytest.fixture
def filled(lake: TickLake, vendor: RunningSimulator) -> TickLake:
    """A lake of each kind with one whole day, in which one rule is broken."""
    vendor.set_faults([])
    ingest_day(lake, vendor, "BINANCE", DAY, SPOT)
    assert recheck_unit(lake, UNIT, rules_that_break()).changed
    return lake


def rules_that_break(severity: Severity = Severity.WARN) -> tuple[Any, ...]:
    """Rules that each file breaks: as many steps back in time as it has, none, are too many."""
    return rules_for(DataType.TRADES, {"arrival_order": Override(limit=-1, severity=severity)})


def test_what_a_later_version_adds_is_ignored_by_readers_and_kept_by_whoever_changes_a_verdict(
    filled: TickLake,
) -> None:
    before = rows_of(filled)
    change(filled, receipt_key(UNIT), *OLD, later={"anything": [1]})
    change(filled, ORIGIN_KEY, later=True)
    assert rows_of(filled) == before > 0
    assert find_instruments(lake=filled).height > 0
    ensure_origin(filled, ORIGIN)
    assert recheck_unit(filled, UNIT, rules_for(DataType.TRADES, {})).changed
    document = document_of(filled, receipt_key(UNIT))
    kept = [path for path in OLD if path != ("files", 0, "findings", 0)]  # that finding is no more
    assert [at(document, path).get("later") for path in kept] == [{"anything": [1]}] * len(kept)


@pytest.mark.parametrize("is_takeover", [False, True], ids=["", "after a dead writer"])
@pytest.mark.parametrize("writer", [V1, V2], ids=["the same decoder", "another decoder"])
def test_what_a_later_version_adds_is_kept_by_a_run(tmp_path: Path, writer: Writer, *, is_takeover: bool) -> None:
    lake, workshop = MemoryLake(), Workshop(tmp_path)
    workshop.run(lake, V1)
    key = receipt_key(PUBLISHED_UNIT)
    parts = [(), *((part, number) for part in ("files", "objects") for number in range(2))]
    change(lake, key, *parts, later=1)
    if is_takeover:
        change(lake, key, claim="a writer that died")
    marked = {(item["stem"], item["content_id"]) for item in document_of(lake, key)["objects"][:2]}
    lost = document_of(lake, key)["objects"][0]["content_id"]
    (gone,) = [stat.key for stat in lake.list_objects("ticks/by_type/") if stat.key.endswith(f".{lost}.parquet")]
    lake.delete(gone)  # so that there is something to do
    assert workshop.run(lake, writer).is_complete
    document = document_of(lake, key)
    assert document["later"] == 1
    assert [file.get("later") for file in document["files"][:2]] == [1, 1]
    assert len(document["objects"]) > 1
    # of an object that is written under another name nothing is kept
    named = {(item["stem"], item["content_id"]): item.get("later") for item in document["objects"]}
    assert [named[name] for name in marked & named.keys()] == [1] * (2 if writer is V1 else 0)


@pytest.mark.parametrize(
    ("path", "facts", "told"),
    [
        (("files", 0), {"outcome": "quarantined"}, "BTCUSDT is 'quarantined', a word of a later version"),
        (
            ("files", 0, "findings", 0),
            {"severity": "fatal"},
            "in doubt: a rule of severity fatal (a word of a later version of market_data) is broken",
        ),
        ((), {"state": "sealed"}, "published by a later version of market_data, whose state 'sealed'"),
        ((), {"layouts": ["by_moon"]}, "published by a later version of market_data, whose layouts by_moon"),
    ],
)
def test_a_word_that_is_not_known_never_counts_as_whole(
    filled: TickLake, path: tuple[str | int, ...], facts: dict[str, object], told: str
) -> None:
    change(filled, receipt_key(UNIT), path, **facts)
    with pytest.raises(TicksIncomplete) as caught:
        rows_of(filled)
    assert told in str(caught.value)
    with pytest.warns(IncompleteTicksWarning):
        assert rows_of(filled, on_incomplete="skip") == 0
    if "severity" not in facts:
        (row,) = measure_coverage(filled, {"BINANCE": (DataType.TRADES,)}, [DAY]).to_dicts()
        assert row["state"] == INCOMPLETE
        assert re.search("later version|no layout that this version knows", row["cause"])
        assert row["expected"] == sum(row[name] for name in ("stored", "open")) == 2
        assert find_instruments(text="btcusdt", lake=filled)["days_held"][0]["trades"] == (
            1 if "outcome" in facts else 0
        )


def test_what_a_later_version_found_in_the_ticks_outlives_a_recheck(filled: TickLake) -> None:
    finding = {"rule": "rule_of_2030", "family": "order", "severity": "fatal", "text": "corrupt", "later": 1}
    change(filled, receipt_key(UNIT), ("files", 0), findings=[finding])
    recheck_unit(filled, UNIT, rules_for(DataType.TRADES, {}))
    assert document_of(filled, receipt_key(UNIT))["files"][0]["findings"] == [finding]
    with pytest.raises(TicksIncomplete, match=r"severity fatal \(a word of a later version of market_data\) is broken"):
        rows_of(filled)


@pytest.mark.parametrize(
    ("change_it", "told"),
    [
        (lambda document: document | {"day": "2024-08-09"}, "it is of BINANCE trades 2024-08-09"),
        (lambda document: document | {"venue": "DERIBIT"}, "it is of DERIBIT trades 2024-08-08"),
        (lambda document: document | {"data_type": "quotes"}, "it is of BINANCE quotes 2024-08-08"),
        (lambda document: {name: document[name] for name in document if name != "files"}, "without files"),
        (
            lambda document: {name: document[name] for name in document if name not in {"layouts", "state"}},
            "without lay",
        ),
        (lambda document: document | {"files": [document["files"][0] | {"instrument_key": "nokey"}]}, "instrument_key"),
        (lambda document: [document], "the whole file: "),
    ],
)
def test_a_receipt_that_is_damaged_or_of_another_key_is_refused_by_name(
    filled: TickLake, change_it: Callable[[dict[str, Any]], object], told: str
) -> None:
    key = receipt_key(UNIT)
    filled.put_bytes(json.dumps(change_it(document_of(filled, key))).encode(), key)
    for read in (READS["scan_ticks"], READS["coverage"], READS["find_instruments"]):
        with pytest.raises(LakeError, match=r"move it away and run the day again") as caught:
            read(filled)
        assert str(caught.value).startswith(filled.uri(key))
        assert told in str(caught.value)


def test_what_people_keep_beside_receipts_and_answers_is_no_hindrance(filled: TickLake) -> None:
    before = rows_of(filled)
    for key in (f"{receipt_key(UNIT)}.bak", "receipt/venue=BINANCE/data_type=trades/notes.txt"):
        filled.put_bytes(b"mine", key)
    filled.put_bytes(b"mine", "universe/date=2024-99-99/venue=BINANCE/instruments.parquet")
    filled.put_bytes(b"mine", "vendor/venue=BINANCE/notes.txt")
    assert rows_of(filled) == before
    assert find_instruments(lake=filled).height > 0
    answer = load_newest_answer(filled, "BINANCE")
    assert answer is not None
    days = [DAY, date(2024, 8, 9)]
    plan = plan_backfill(filled, {"BINANCE": SPOT}, days, {"BINANCE": answer})
    assert plan.venues["whole_days"].to_list() == [1]


def test_a_kept_answer_and_a_table_of_instruments_that_are_damaged_are_refused_by_name(filled: TickLake) -> None:
    for key, read in (
        (vendor_answer_key("BINANCE", TODAY), lambda: load_newest_answer(filled, "BINANCE")),
        (universe_key("BINANCE", DAY), lambda: find_instruments(lake=filled)),
    ):
        filled.put_bytes(b"junk", key)
        with pytest.raises(LakeError) as caught:
            read()
        assert str(caught.value).startswith(filled.uri(key))


def test_a_layout_that_was_not_published_is_refused(filled: TickLake) -> None:
    change(filled, receipt_key(UNIT), layouts=["by_date"])
    change(filled, receipt_key(UNIT), ("objects", 0), ("objects", 1), generations={"by_date": 1})
    with pytest.raises(
        ConfigurationError, match="BINANCE trades 2024-08-08 is not published in 'by_type', but in by_d"
    ):
        rows_of(filled, layout="by_type")


def test_a_layout_more_is_no_hindrance(filled: TickLake) -> None:
    before = rows_of(filled)
    change(filled, receipt_key(UNIT), layouts=["by_moon", *LAYOUTS])
    assert rows_of(filled) == before


READS: dict[str, Callable[[TickLake], object]] = {
    "scan_ticks": rows_of,
    "coverage": lambda lake: measure_coverage(lake, {"BINANCE": (DataType.TRADES,)}, [DAY]),
    "find_instruments": lambda lake: find_instruments(lake=lake),
}


@pytest.mark.parametrize(
    ("read", "key"),
    [
        ("scan_ticks", receipt_key(UNIT)),
        ("scan_ticks", ORIGIN_KEY),
        ("coverage", receipt_key(UNIT)),
        ("find_instruments", ORIGIN_KEY),
        ("find_instruments", receipt_key(UNIT)),
    ],
)
def test_a_reader_refuses_what_asks_for_a_later_reader(filled: TickLake, read: str, key: str) -> None:
    # whatever else such a document holds
    change(filled, key, min_reader_version=READER_VERSION + 1, files="elsewhere", origin=["several"])
    with pytest.raises(
        LakeFormatTooNew, match=f"{key} is to be read by versions of market_data that read format {READER_VERSION + 1}"
    ):
        READS[read](filled)


@pytest.mark.parametrize("key", [receipt_key(UNIT), ORIGIN_KEY])
def test_a_writer_refuses_what_asks_for_a_later_writer_and_has_changed_nothing(
    filled: TickLake, vendor: RunningSimulator, key: str
) -> None:
    change(filled, key, min_writer_version=WRITER_VERSION + 1)
    before = {stat.key: stat.generation for stat in filled.list_objects("")}
    assert rows_of(filled) > 0
    more = Selection(data_types=(DataType.TRADES,), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
    with pytest.raises(LakeFormatTooNew, match="Nothing was changed: install a newer one"):
        ingest_day(filled, vendor, "BINANCE", DAY, more)
    if key != ORIGIN_KEY:
        with pytest.raises(LakeFormatTooNew, match=f"write format {WRITER_VERSION + 1}"):
            recheck_unit(filled, UNIT, rules_for(DataType.TRADES, {}))
    assert {stat.key: stat.generation for stat in filled.list_objects("")} == before


def test_a_lake_that_this_version_writes_into_is_closed_to_earlier_writers(lake: TickLake) -> None:
    lake.put_bytes(json.dumps({"origin": ORIGIN, "later": [1]}).encode(), ORIGIN_KEY)
    ensure_origin(lake, ORIGIN)
    data, written = lake.get_bytes(ORIGIN_KEY)
    document = json.loads(data)
    assert (document["min_writer_version"], document["min_reader_version"]) == (WRITER_VERSION, 1)
    assert document["later"] == [1]
    ensure_origin(lake, ORIGIN)
    assert lake.get_bytes(ORIGIN_KEY)[1].generation == written.generation
