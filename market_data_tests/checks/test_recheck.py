"""Judging a unit anew: what is measured, what is left alone, what two writers do to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from itertools import count
from typing import Any

import pytest

from market_data.checks.recheck import recheck_unit
from market_data.errors import LakeConflict, LakeFormatTooNew
from market_data.index import store
from market_data.index.store import read_units
from market_data.lake.base import TickLake
from market_data.lake.keys import ORIGIN_KEY, object_key, receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.rules import Override, Severity, rules_for
from market_data.universe.rules import Selection
from market_data_tests.fakes import Killed, SteppedLake, kill_at
from market_data_tests.filled_lake import CLOCK, ingest_day

DAY = date(2024, 8, 8)
SPOT = DataTypeDay("BINANCE", DataType.TRADES, DAY)
OPTIONS = DataTypeDay("DERIBIT", DataType.TRADES, DAY)
ORDINARY = rules_for(DataType.TRADES, {})
# every file with two rows breaks it
STRICT = rules_for(DataType.TRADES, {"repeated_row": Override(limit=0), "clock_skew": Override(0, Severity.ERROR)})


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture
def spot(lake: TickLake, simulator: RunningSimulator) -> TickLake:
    """A lake of each kind with the trades of two pairs."""
    ingest_day(lake, simulator, "BINANCE", DAY, Selection((DataType.TRADES,), include=("BTCUSDT", "ETHUSDT")))
    return lake


def receipt_of(lake: TickLake, unit: DataTypeDay) -> Receipt:
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    return receipt


def spoil_receipt(lake: TickLake, unit: DataTypeDay, **changes: Any) -> None:
    document = json.loads(lake.get_bytes(receipt_key(unit))[0]) | changes
    lake.put_bytes(json.dumps(document).encode(), receipt_key(unit))


def forget_statistics(lake: TickLake, unit: DataTypeDay, *symbols: str) -> None:
    """Let the receipt be as a version without rules wrote it."""
    files = json.loads(lake.get_bytes(receipt_key(unit))[0])["files"]
    for file in files:
        if not symbols or file["vendor_symbol"] in symbols:
            del file["stats"]
            file.pop("findings", None)  # not written where there is none
    spoil_receipt(lake, unit, files=files)


def test_a_unit_is_judged_by_the_rules_given_and_only_its_findings_change(spot: TickLake) -> None:
    before = receipt_of(spot, SPOT)
    found = recheck_unit(spot, SPOT, STRICT)
    assert (found.changed, found.left_alone) == (("BTCUSDT", "ETHUSDT"), None)
    after = receipt_of(spot, SPOT)
    assert found.receipt == after
    assert after.verdict == "error"
    assert {finding.rule for file in after.files for finding in file.findings} == {"clock_skew"}
    as_before = zip(after.files, before.files, strict=True)
    assert after.with_evidence(file.model_copy(update={"findings": old.findings}) for file, old in as_before) == before


def test_an_unchanged_verdict_writes_nothing(spot: TickLake) -> None:
    before = spot.stat(receipt_key(SPOT))
    assert recheck_unit(spot, SPOT, ORDINARY).changed == ()
    assert spot.stat(receipt_key(SPOT)) == before


def test_a_file_without_statistics_is_measured_on_its_published_object(spot: TickLake) -> None:
    before = receipt_of(spot, SPOT)
    forget_statistics(spot, SPOT, "ETHUSDT")
    assert receipt_of(spot, SPOT).verdict == "unchecked"
    assert recheck_unit(spot, SPOT, ORDINARY).changed == ("ETHUSDT",)
    assert receipt_of(spot, SPOT) == before


def test_an_object_that_is_not_as_the_receipt_says_is_not_measured(spot: TickLake) -> None:
    item = receipt_of(spot, SPOT).objects[0]
    forget_statistics(spot, SPOT)
    key = object_key("by_date", item.name(SPOT))
    spot.delete(key)
    assert recheck_unit(spot, SPOT, ORDINARY).changed == ("ETHUSDT",)
    spot.put_bytes(b"other bytes", key)
    assert recheck_unit(spot, SPOT, ORDINARY).changed == ()
    assert receipt_of(spot, SPOT).verdict == "unchecked"


def test_the_first_day_of_an_instrument_is_judged_as_such(lake: TickLake, simulator: RunningSimulator) -> None:
    ingest_day(lake, simulator, "BINANCE", DAY, Selection((DataType.QUOTES,), include=("BTCUSDT",)))
    unit = DataTypeDay("BINANCE", DataType.QUOTES, DAY)
    edges = {"late_start": Override(limit=0), "early_end": Override(limit=0)}
    rules = [rule for rule in rules_for(DataType.QUOTES, edges) if rule.name in edges]
    recheck_unit(lake, unit, rules)
    assert [finding.rule for finding in receipt_of(lake, unit).files[0].findings] == ["late_start", "early_end"]
    files = json.loads(lake.get_bytes(receipt_key(unit))[0])["files"]
    spoil_receipt(lake, unit, files=[file | {"is_first_day": True} for file in files])
    recheck_unit(lake, unit, rules)
    assert [finding.rule for finding in receipt_of(lake, unit).files[0].findings] == ["early_end"]


def test_a_group_in_several_objects_stays_unchecked_but_is_judged_by_statistics_that_it_has(
    lake: TickLake, simulator: RunningSimulator
) -> None:
    ingest_day(lake, simulator, "DERIBIT", DAY, Selection((DataType.TRADES,), instrument_types=("OPTION",)))
    assert len({item.stem for item in receipt_of(lake, OPTIONS).objects}) > 1
    assert recheck_unit(lake, OPTIONS, STRICT).changed == ("OPTIONS",)
    assert receipt_of(lake, OPTIONS).verdict == "error"
    forget_statistics(lake, OPTIONS)
    assert recheck_unit(lake, OPTIONS, STRICT).changed == ()
    assert receipt_of(lake, OPTIONS).verdict == "unchecked"


@pytest.mark.parametrize("changes", [{"claim": "a run"}, {"state": "replacing"}], ids=["claimed", "replacing"])
def test_a_unit_at_work_is_left_alone_with_a_sentence(spot: TickLake, changes: dict[str, Any]) -> None:
    spoil_receipt(spot, SPOT, **changes)
    before = spot.stat(receipt_key(SPOT))
    found = recheck_unit(spot, SPOT, STRICT)
    assert (found.changed, spot.stat(receipt_key(SPOT))) == ((), before)
    assert found.left_alone == (
        "BINANCE trades 2024-08-08: its verdict stays, for a run is at work on it or died at it"
    )


def test_a_unit_that_was_never_run_has_no_receipt_afterwards_either(lake: TickLake) -> None:
    assert recheck_unit(lake, SPOT, STRICT).receipt is None
    assert lake.list_objects("") == []


def test_a_lake_that_a_later_version_must_write_is_left_alone(spot: TickLake) -> None:
    document = json.loads(spot.get_bytes(ORIGIN_KEY)[0]) | {"min_writer_version": 99}
    spot.put_bytes(json.dumps(document).encode(), ORIGIN_KEY)
    before = spot.get_bytes(receipt_key(SPOT))
    with pytest.raises(LakeFormatTooNew, match=r"origin\.json may be changed by versions of market_data that write"):
        recheck_unit(spot, SPOT, STRICT)
    assert spot.get_bytes(receipt_key(SPOT)) == before


def test_of_two_writers_the_one_that_came_second_is_refused(spot: TickLake) -> None:
    calls = iter(range(10))

    def interfere() -> None:
        if next(calls) == 2:  # after the lake's document and the receipt was read, before it is saved
            spoil_receipt(spot, SPOT, claim="a run")

    with pytest.raises(
        LakeConflict, match=r"BINANCE trades 2024-08-08: a run changed it while it was judged"
    ) as caught:
        recheck_unit(SteppedLake(spot, interfere), SPOT, STRICT)
    assert caught.value.is_transient
    assert (receipt_of(spot, SPOT).claim, receipt_of(spot, SPOT).verdict) == ("a run", "ok")


def test_killed_anywhere_it_leaves_the_old_verdict_or_the_new_one_and_is_done_again(
    spot: TickLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SMALLEST_PART_FILES", 0)
    forget_statistics(spot, SPOT)
    forgotten = receipt_of(spot, SPOT)
    recheck_unit(spot, SPOT, STRICT)
    judged = receipt_of(spot, SPOT)
    for call in count():
        spot.put_bytes(forgotten.model_dump_json().encode(), receipt_key(SPOT))
        try:
            recheck_unit(SteppedLake(spot, kill_at(call)), SPOT, STRICT)
        except Killed:
            assert receipt_of(spot, SPOT) in (forgotten, judged)
            assert read_units(spot, {SPOT.venue: (SPOT.data_type,)}, [DAY])[SPOT].head.verdict in {"unchecked", "error"}
            recheck_unit(spot, SPOT, STRICT)
            assert receipt_of(spot, SPOT) == judged
            assert read_units(spot, {SPOT.venue: (SPOT.data_type,)}, [DAY])[SPOT].head.verdict == "error"
        else:
            assert call > 4
            return
