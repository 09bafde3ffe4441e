"""An absence is doubted before it is believed: the vendor is asked again, and nobody is shown a plain OK."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from market_data.checks.facts import observe_unit
from market_data.checks.rules import judge_coverage
from market_data.errors import TicksIncomplete
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, vendor_answer_key
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.operate.coverage import measure_coverage
from market_data.read import scan_ticks
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection, Universe
from market_data.universe.table import store_universe
from market_data.vendor.client import TardisClient
from market_data_tests.lying_vendor import DAY, KEY, LyingVendor, details, lying_vendor

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date.fromisoformat(DAY))
SELECTION = Selection((DataType.TRADES,))
MANY = tuple(f"A{number:02}USDT" for number in range(12))


@pytest.fixture
def vendor() -> Iterator[LyingVendor]:
    with lying_vendor() as running:
        yield running


def client(vendor: LyingVendor) -> TardisClient:
    return TardisClient(api_url=vendor.url, datasets_url=vendor.url, api_key=KEY)


def learn(lake: TickLake, vendor: LyingVendor, day: date = UNIT.day, today: date = date(2024, 8, 20)) -> Universe:
    async def ask() -> Universe:
        async with client(vendor) as opened:
            (universe,) = await learn_universes(lake, opened, "BINANCE", (day,), SELECTION, today=today)
        return universe

    universe = asyncio.run(ask())
    store_universe(lake, universe)
    return universe


def ingest(lake: TickLake, vendor: LyingVendor, universe: Universe) -> None:
    ensure_origin(lake, "vendor")
    plan = VenueDay(universe, SELECTION, SELECTION.data_types, LAYOUTS, "vendor", "config")
    list(ingest_venue_day(lake, lambda: client(vendor), plan))


def asked_for_metadata(vendor: LyingVendor) -> int:
    return sum(path.endswith("/exchanges/binance") for path in vendor.asked)


@pytest.mark.parametrize("lie", ["not one symbol", "none that day"])
def test_nothing_where_much_was_listed_is_asked_again_and_is_no_whole_day(
    lake: TickLake, vendor: LyingVendor, lie: str
) -> None:
    vendor.details = details(MANY)
    learn(lake, vendor, date(2024, 8, 7))
    honest = details(MANY)
    vendor.details = details(() if lie == "not one symbol" else MANY)
    for row in vendor.details["datasets"]["symbols"]:
        row["availableTo"] = "2024-08-08T00:00:00.000Z"
    today = date(2024, 8, 21)
    universe = learn(lake, vendor, today=today)
    assert universe.doubt is not None
    assert universe.doubt.endswith("it is asked again")
    ingest(lake, vendor, universe)
    verdict = judge_coverage(observe_unit(lake, UNIT))
    assert (verdict.is_passed, verdict.is_error) == (False, False)
    assert verdict.summary.startswith("IN DOUBT nothing expected: the vendor lists")
    coverage = measure_coverage(lake, {"BINANCE": (DataType.TRADES,)}, [UNIT.day])
    assert coverage.select("state", "cause").rows() == [("incomplete", f"in doubt: {universe.doubt}")]
    with pytest.raises(TicksIncomplete, match="in doubt: the vendor lists"):
        scan_ticks("trades", venues="binance", start=DAY, end="2024-08-09", lake=lake)
    before = asked_for_metadata(vendor)
    learn(lake, vendor, today=today)
    assert asked_for_metadata(vendor) == before + 1  # what is kept of today is not believed
    vendor.details = honest
    assert len(learn(lake, vendor, today=today).listed) == len(MANY)


def test_a_gap_of_a_venue_with_few_instruments_is_believed(lake: TickLake, vendor: LyingVendor) -> None:
    learn(lake, vendor, date(2024, 8, 7))
    for row in vendor.details["datasets"]["symbols"]:
        row["availableTo"] = "2024-08-08T00:00:00.000Z"
    universe = learn(lake, vendor, today=date(2024, 8, 21))
    assert (universe.listed, universe.doubt) == ((), None)
    ingest(lake, vendor, universe)
    assert judge_coverage(observe_unit(lake, UNIT)).is_passed


def test_a_day_of_which_every_file_is_refused_is_amber_and_asked_for_again(lake: TickLake, vendor: LyingVendor) -> None:
    files, vendor.files = vendor.files, {}
    ingest(lake, vendor, learn(lake, vendor))
    verdict = judge_coverage(observe_unit(lake, UNIT))
    assert (verdict.is_passed, verdict.is_error) == (False, False)
    assert verdict.summary == "IN DOUBT 0 of 2 stored, 2 not offered: the vendor is asked again"
    vendor.files = files
    ingest(lake, vendor, learn(lake, vendor))
    assert judge_coverage(observe_unit(lake, UNIT)).summary == "OK 2/2, 0 empty, 0 failed"


def test_a_bound_that_moves_backwards_is_told(lake: TickLake, vendor: LyingVendor) -> None:
    learn(lake, vendor)
    vendor.details["datasets"]["exportedUntil"] = "2024-08-09T00:00:00.000Z"
    (note,) = learn(lake, vendor, today=date(2024, 8, 21)).notes
    assert note == (
        "on 2024-08-20 the vendor said that BINANCE is exported until 2024-08-10, now it says until 2024-08-09: days "
        "between may have been taken back"
    )


@pytest.mark.parametrize("data", [b"", b"no gzip", b"\x1f\x8b\x08damaged"])
def test_a_kept_answer_that_is_damaged_is_asked_for_again(
    lake: TickLake, vendor: LyingVendor, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    whole = learn(lake, vendor)
    lake.put_bytes(data, vendor_answer_key("BINANCE", date(2024, 8, 20)))
    assert learn(lake, vendor) == whole
    assert "is no answer of the vendor's that was kept" in caplog.text
    assert asked_for_metadata(vendor) == 2
    assert learn(lake, vendor) == whole
    assert asked_for_metadata(vendor) == 2


@pytest.mark.parametrize("folder", ["env=prod/ticks", "date=2020-01-01/venue=X", "a b=c d"])
def test_a_lake_below_a_folder_with_an_equals_sign_reads(tmp_path: Path, vendor: LyingVendor, folder: str) -> None:
    lake = open_lake((tmp_path / folder).as_uri())
    ingest(lake, vendor, learn(lake, vendor))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layout in LAYOUTS:
            scan = scan_ticks("trades", venues="binance", start=DAY, end="2024-08-09", lake=lake, layout=layout)
            rows = scan.select("date", "venue", "instrument_type", "symbol").unique().sort("symbol").collect().rows()
            kinds = (UNIT.day, "BINANCE", "SPOT_PAIR")
            assert rows == [(*kinds, "BTCUSDT"), (*kinds, "ETHUSDT")]
