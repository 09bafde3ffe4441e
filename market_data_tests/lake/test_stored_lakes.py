"""Lakes that earlier versions wrote are read, run again and judged by this one.

Each archive in `golden/lakes` is a small lake as the version of that day filled it, from its simulator (CLOCK of
`filled_lake.py`, BINANCE spot on two days, DERIBIT options with a grouped file). It is never written again. Those since
2026-11-27 were made by `golden/make_lake.py`, which says what else is in them.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_data.checks.facts import observe_unit
from market_data.checks.recheck import recheck_unit
from market_data.checks.rules import UNIT_RULES, judge_layout
from market_data.errors import TicksIncomplete
from market_data.index.compact import compact_index
from market_data.index.store import read_units
from market_data.index.unit import index_receipt
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import LAYOUTS, ORIGIN_KEY
from market_data.lake.open import open_lake
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.operate.coverage import measure_coverage
from market_data.read import WaivedTicksWarning, find_instruments, scan_ticks
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.ticks.decode import DECODER_VERSION
from market_data.ticks.rules import rules_for
from market_data.universe.rules import Selection
from market_data.universe.table import UNIVERSE_SCHEMA
from market_data_tests.fakes import SteppedLake
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.golden.make_lake import DELETED, FIRST, ODD, OPTIONS, QUOTES, SECOND, SPOT, TRADES
from market_data_tests.ingesting import find_falsehoods

ARCHIVES = sorted((Path(__file__).parents[1] / "golden" / "lakes").glob("*.tar.gz"))
ODD_ARCHIVES = [path for path in ARCHIVES if path.name >= "2026-11-27"]
UNITS = [
    *(DataTypeDay("BINANCE", data_type, day) for data_type in (TRADES, QUOTES) for day in (FIRST, SECOND)),
    DataTypeDay("DERIBIT", TRADES, FIRST),
]


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> TickLake:
    return unpack(request.param, tmp_path)


@pytest.fixture(params=ODD_ARCHIVES, ids=lambda path: path.name)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> TickLake:
    """A stored lake with something of everything, and an index."""
    return unpack(request.param, tmp_path)


def unpack(path: Path, directory: Path) -> TickLake:
    with tarfile.open(path) as archive:
        # Python 3.11.0 to 3.11.3 have no filters; the archive is of this repository
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(directory, **options)  # noqa: S202
    return open_lake(directory.as_uri())


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.002)) as running:
        yield running


def contents(lake: TickLake, prefix: str = "") -> dict[str, tuple[int, str | None]]:
    return {stat.key: (stat.generation, stat.crc32c) for stat in lake.list_objects(prefix, with_crc32c=True)}


def spot_of(lake: TickLake) -> pl.DataFrame:
    return scan_ticks("trades", venues="binance", start=FIRST, end="2024-08-10", lake=lake).collect()


def load_known(lake: TickLake, unit: DataTypeDay) -> tuple[Receipt, int]:
    receipt, generation = load_receipt(lake, unit)
    assert receipt is not None
    return receipt, generation


def receipt_of(lake: TickLake, unit: DataTypeDay) -> Receipt:
    return load_known(lake, unit)[0]


def test_there_are_stored_lakes() -> None:
    assert ARCHIVES
    assert ODD_ARCHIVES


def test_a_stored_lake_is_read(stored: TickLake) -> None:
    spot = spot_of(stored)
    assert spot["date"].unique().sort().to_list() == [FIRST, SECOND]
    assert spot["instrument_key"].n_unique() == 2
    for layout in LAYOUTS:
        again = scan_ticks("trades", venues="binance", start=FIRST, end="2024-08-10", lake=stored, layout=layout)
        assert again.collect().equals(spot)
    options = scan_ticks("trades", venues="deribit", base="BTC", start=FIRST, end=SECOND, lake=stored).collect()
    assert options.height > 0
    assert options["instrument_key"].str.starts_with("DERIBIT:OPTION:BTC-USD-").all()
    found = find_instruments(text="btcusdt", between=(FIRST, "2024-08-10"), lake=stored)
    assert found["days_held"][0]["quotes"] == 2
    coverage = measure_coverage(stored, {"BINANCE": (TRADES, QUOTES)}, [FIRST, SECOND])
    assert coverage["state"].unique().to_list() == ["complete"]


def universes(lake: TickLake) -> dict[str, pl.DataFrame]:
    return {
        stat.key: pl.read_parquet(io.BytesIO(lake.get_bytes(stat.key)[0])) for stat in lake.list_objects("universe/")
    }


def test_a_stored_lake_is_run_again_without_a_request_and_nothing_is_rewritten_but_what_instruments_are(
    stored: TickLake, vendor: RunningSimulator
) -> None:
    before, listed = contents(stored), universes(stored)
    vendor.clear_requests()
    receipts = [
        *ingest_day(stored, vendor, "BINANCE", FIRST, SPOT).values(),
        *ingest_day(stored, vendor, "BINANCE", SECOND, SPOT).values(),
        *ingest_day(stored, vendor, "DERIBIT", FIRST, OPTIONS).values(),
    ]
    assert {receipt.unit for receipt in receipts} == set(UNITS)
    assert all(receipt.is_complete for receipt in receipts)
    assert vendor.requests() == []
    if {receipt.decoder_version for receipt in receipts} == {DECODER_VERSION}:
        after = contents(stored)
        assert {key for key, facts in before.items() if after.get(key) != facts} <= {*listed, ORIGIN_KEY}
        assert after.keys() == before.keys()
    for key, frame in universes(stored).items():  # columns are added, and null where a version did not write them
        assert frame.columns == list(UNIVERSE_SCHEMA)
        assert frame.select(listed[key].columns).equals(listed[key])


def test_a_stored_lake_whose_instruments_have_fewer_columns_is_found_in(stored: TickLake) -> None:
    (listed,) = [frame for key, frame in universes(stored).items() if f"date={SECOND}/venue=BINANCE" in key]
    found = find_instruments(lake=stored, text="btcusdt")
    assert found.columns[: len(UNIVERSE_SCHEMA)] == list(UNIVERSE_SCHEMA)
    has_currency = "price_currency" in listed.columns
    assert found["price_currency"].to_list() == ["USDT" if has_currency else None]


def test_a_stored_lake_is_judged_as_it_was(stored: TickLake) -> None:
    before = contents(stored)
    for unit in UNITS:
        rechecked = recheck_unit(stored, unit, rules_for(unit.data_type, {}))
        assert (rechecked.changed, rechecked.left_alone) == ((), None)
        facts = observe_unit(stored, unit)
        verdicts = {name: rule(facts) for name, rule in UNIT_RULES.items()}
        verdicts |= {layout: judge_layout(facts, layout) for layout in LAYOUTS}
        assert {name: verdict.summary for name, verdict in verdicts.items() if not verdict.is_passed} == {}
    assert contents(stored) == before


def test_a_stored_lake_gets_an_index_and_reads_the_same(stored: TickLake) -> None:
    before, spot = contents(stored), spot_of(stored)
    list(compact_index(stored))
    assert spot_of(stored).equals(spot)
    after = contents(stored)
    assert {key: facts for key, facts in after.items() if key in before} == before
    assert all(key.startswith("index/") for key in after.keys() - before.keys())
    assert stored.list_objects("index/")
    assert list(compact_index(stored)) == []


def test_another_decoder_writes_a_stored_lake_anew_from_the_vendors_bytes(
    stored: TickLake, vendor: RunningSimulator
) -> None:
    spot, raw, named = spot_of(stored), contents(stored, "raw/"), contents(stored, "ticks/")
    has_plain_names = not any(item.content_id for unit in UNITS for item in receipt_of(stored, unit).objects)
    vendor.clear_requests()
    for venue, day, selection in (("BINANCE", FIRST, SPOT), ("BINANCE", SECOND, SPOT), ("DERIBIT", FIRST, OPTIONS)):
        for receipt in ingest_day(stored, vendor, venue, day, selection, decoder_version="another").values():
            assert receipt.is_complete
            assert receipt.decoder_version == "another"
            assert all(item.content_id for item in receipt.objects)
    assert vendor.requests() == []
    assert spot_of(stored).equals(spot)
    assert contents(stored, "raw/") == raw
    # the same rows: what had its content in its name is kept as it is
    assert (named.keys() & contents(stored, "ticks/").keys() == set()) == has_plain_names
    assert len(contents(stored, "ticks/")) == len(named)
    assert find_falsehoods(stored) == []


ODD_UNITS = {
    DataTypeDay("BINANCE", TRADES, DELETED): "deleted on 2026-11-27 by ops: the licence ended",
    DataTypeDay("BINANCE", QUOTES, DELETED): "deleted on 2026-11-27 by ops: the licence ended (1 files: BTCUSDT)",
    DataTypeDay("BINANCE", TRADES, ODD): "1 of 3 files open (ETHUSDT)",
}


def test_what_was_deleted_failed_or_was_waived_is_told_of_a_stored_lake(odd: TickLake) -> None:
    for unit, told in ODD_UNITS.items():
        with pytest.raises(TicksIncomplete) as caught:
            scan_ticks(unit.data_type, venues="binance", start=unit.day, end=unit.day + timedelta(days=1), lake=odd)
        assert told in str(caught.value)
    with pytest.warns(WaivedTicksWarning, match="the vendor will not mend it"):
        quotes = scan_ticks("quotes", venues="binance", start=ODD, end=FIRST, lake=odd).collect()
    assert quotes["instrument_key"].unique().to_list() == ["BINANCE:SPOT_PAIR:BTC-USDT"]
    coverage = measure_coverage(odd, {"BINANCE": (TRADES, QUOTES)}, [DELETED, ODD])
    states = {(row["data_type"], row["day"]): row["state"] for row in coverage.to_dicts()}
    assert states == {
        ("trades", DELETED): "deleted",
        ("trades", ODD): "incomplete",
        ("quotes", DELETED): "incomplete",
        ("quotes", ODD): "complete",
    }
    outcomes = {file.vendor_symbol: file.outcome for file in receipt_of(odd, DataTypeDay("BINANCE", QUOTES, ODD)).files}
    assert outcomes == {"BTCUSDT": Outcome.STORED, "ETHBTC": Outcome.VENDOR_EMPTY, "ETHUSDT": Outcome.WAIVED}
    refreshed, _ = receipt_of(odd, DataTypeDay("BINANCE", QUOTES, SECOND)).files
    assert refreshed.raw_id
    assert [past.rows for past in refreshed.previous] == [0]
    assert find_falsehoods(odd) == []


def test_what_was_deleted_or_failed_in_a_stored_lake_comes_back_with_a_run(
    odd: TickLake, vendor: RunningSimulator
) -> None:
    more = Selection((TRADES, QUOTES), include=("BTCUSDT", "ETHBTC", "ETHUSDT"))
    for day in (DELETED, ODD):
        assert all(receipt.is_complete for receipt in ingest_day(odd, vendor, "BINANCE", day, more).values())
    list(compact_index(odd))
    coverage = measure_coverage(odd, {"BINANCE": (TRADES, QUOTES)}, [DELETED, ODD, FIRST, SECOND])
    assert coverage["state"].unique().to_list() == ["complete"]
    assert len(receipt_of(odd, DataTypeDay("BINANCE", TRADES, DELETED)).removals) == 1
    assert odd.list_objects("failed/") == []
    assert find_falsehoods(odd) == []


class OpenedLake(SteppedLake):
    """A lake that remembers what was read whole."""

    def __init__(self, lake: TickLake) -> None:
        super().__init__(lake, lambda: None)
        self.opened: set[str] = set()

    def get_bytes(self, key: str) -> tuple[bytes, ObjectStat]:
        self.opened.add(key)
        return super().get_bytes(key)


@pytest.mark.parametrize("has_times", [True, False], ids=["as it was", "with other times"])
def test_the_index_of_a_stored_lake_is_read_instead_of_receipts_as_long_as_it_names_them(
    odd: TickLake, tmp_path: Path, *, has_times: bool
) -> None:
    keys = {stat.key for stat in odd.list_objects("receipt/")}
    truth = {unit: index_receipt(*load_known(odd, unit)) for unit in (*UNITS, *ODD_UNITS)}
    spot = spot_of(odd)
    if not has_times:
        for key in keys:
            os.utime(tmp_path / key)
    lake, days = OpenedLake(odd), [DELETED, ODD, FIRST, SECOND]
    found = read_units(lake, {"BINANCE": (TRADES, QUOTES), "DERIBIT": (TRADES,)}, days)
    assert {unit: (it.files, it.objects) for unit, it in found.items() if unit in truth} == {
        unit: (it.files, it.objects) for unit, it in truth.items()
    }
    assert len(found) == len(keys)
    assert lake.opened & keys == (set() if has_times else keys)
    assert spot_of(odd).equals(spot)
    made = [(it.venue, it.data_type) for it in compact_index(odd)]
    assert made == ([] if has_times else [("BINANCE", QUOTES), ("BINANCE", TRADES), ("DERIBIT", TRADES)])
    again = OpenedLake(odd)
    assert read_units(again, {"BINANCE": (TRADES,)}, days)
    assert again.opened & keys == set()
