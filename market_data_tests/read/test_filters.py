"""What filters take: the universes decide about bases and quotes, and what was not listed is no gap."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from market_data.errors import TicksIncomplete
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.venues import EXCHANGE_IDS, parse_venue
from market_data.read import NothingMatchesWarning, find_instruments, scan_ticks
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day
from market_data_tests.lying_vendor import LyingVendor, details, lying_vendor

DAY, NEXT = date(2024, 8, 8), date(2024, 8, 9)
TRADES = Selection((DataType.TRADES,))
# venues whose keys do not spell base and quote of all that they list
VENUES = ("HUOBI-DM", "OKX-FUTURES", "OKX-SWAP", "BYBIT", "CRYPTOFACILITIES", "BITMEX", "PHEMEX", "DERIBIT", "BINANCE")


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.02)) as running:
        yield running


@pytest.fixture(scope="module")
def filled(simulator: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> TickLake:
    lake = open_lake((tmp_path_factory.mktemp("filters") / "lake").as_uri())
    for venue in VENUES:
        ingest_day(lake, simulator, venue, DAY, TRADES)
    return lake


def keys_read(lake: TickLake, day: date = DAY, **filters: Any) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingMatchesWarning)
        scan = scan_ticks("trades", start=day, end=day + timedelta(days=1), lake=lake, **filters)
    return set(scan.select("instrument_key").unique().collect()["instrument_key"])


def assert_read_as_found(lake: TickLake, venue: str, day: date) -> None:
    """Whatever base and quote there are, what is read is what is found of it."""
    whole = keys_read(lake, day, venues=venue)
    assert whole
    known = find_instruments(venues=venue, on=day, lake=lake)
    assert whole <= set(known["instrument_key"])
    pairs = known.filter(pl.col("instrument_key").is_in(whole)).select("base", "quote").unique().rows(named=True)
    asked = [{name: asset} for name in ("base", "quote") for asset in known[name].drop_nulls().unique()]
    for filters in [*asked, *pairs]:
        wanted = {name: asset for name, asset in filters.items() if asset is not None}
        found = set(find_instruments(venues=venue, on=day, lake=lake, **wanted)["instrument_key"])
        assert keys_read(lake, day, venues=venue, **wanted) == found & whole, wanted


@pytest.mark.parametrize("venue", VENUES)
def test_bases_and_quotes_are_those_of_the_universe(filled: TickLake, venue: str) -> None:
    assert_read_as_found(filled, venue, DAY)


@pytest.mark.long
@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_bases_and_quotes_of_every_venue_are_those_of_its_last_universe(tmp_path: Path, exchange: str) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    with run_simulator(SimulatorOptions(clock="2026-11-22T07:00:00Z", scale=0.02)) as running:
        datasets = httpx.get(f"{running.api_url}/exchanges/{exchange}", trust_env=False).json()["datasets"]
        last = max(row["availableTo"] for row in datasets["symbols"])[:10]
        day = date.fromisoformat(last) - timedelta(days=1)
        for groups in ((), ("OPTIONS",)):
            wanted = Selection((DataType.TRADES,), max_instruments=None if groups else 40, prefer_grouped=groups)
            ingest_day(lake, running, parse_venue(exchange), day, wanted)
    assert_read_as_found(lake, parse_venue(exchange), day)


@pytest.mark.parametrize("name", ["venues", "instruments", "base", "quote", "instrument_types"])
@pytest.mark.parametrize("nothing", [[], (), pl.Series([], dtype=pl.String)], ids=["list", "tuple", "series"])
def test_an_empty_list_asks_for_nothing(filled: TickLake, name: str, nothing: Any) -> None:
    frame = scan_ticks("trades", start=DAY, end=NEXT, lake=filled, **{name: nothing}).collect()
    assert frame.height == 0
    assert frame.columns == scan_ticks("trades", start=DAY, end=NEXT, lake=filled, venues="binance").collect().columns


@pytest.mark.parametrize("name", ["venues", "base", "quote", "types"])
def test_an_empty_list_finds_nothing(filled: TickLake, name: str) -> None:
    found = find_instruments(lake=filled, **{name: []})  # type: ignore[arg-type]
    assert found.height == 0
    assert found.columns == find_instruments(lake=filled).columns


def test_contracts_are_found_by_their_day_of_expiry(filled: TickLake) -> None:
    dated = find_instruments(lake=filled, venues="okex-futures").filter(pl.col("expiry").is_not_null())
    expiry = dated["expiry"][0].date()
    found = find_instruments(lake=filled, venues="okex-futures", expiry=expiry)
    assert found["instrument_key"].to_list() == sorted(
        dated.filter(pl.col("expiry").dt.date() == expiry)["instrument_key"]
    )


def test_a_filter_that_matches_nothing_says_so_with_what_comes_near(filled: TickLake) -> None:
    with pytest.warns(NothingMatchesWarning, match=r"hold no file of base BTCC \(near: BTC"):
        scan = scan_ticks("trades", venues="binance", base="btcc", start=DAY, end=NEXT, lake=filled)
    assert scan.collect().height == 0


@pytest.fixture
def vendor() -> Iterator[LyingVendor]:
    with lying_vendor() as running:
        yield running


@pytest.mark.parametrize("choice", ["raise", "skip", "include"])
def test_an_instrument_that_ended_holds_the_living_up_on_no_day(
    vendor: LyingVendor, lake: TickLake, choice: Any
) -> None:
    vendor.details = details()
    vendor.details["datasets"]["symbols"][1]["availableTo"] = "2024-08-08T00:00:00.000Z"
    vendor.files |= {f"trades/2024/08/07/{symbol}.csv.gz": gzip.compress(b"") for symbol in ("BTCUSDT", "ETHUSDT")}
    simulated: Any = vendor  # it has both addresses
    simulated.api_url = simulated.datasets_url = vendor.url
    for day in (date(2024, 8, 7), DAY):
        ingest_day(lake, simulated, "BINANCE", day, TRADES)
    keys = ["BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE:SPOT_PAIR:ETH-USDT"]
    window: dict[str, Any] = {"start": date(2024, 8, 7), "end": NEXT, "lake": lake}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = scan_ticks("trades", instruments=keys, on_incomplete=choice, **window).collect()
    assert frame["instrument_key"].unique().to_list() == keys[:1]
    with pytest.raises(TicksIncomplete, match="not requested: BINANCE:SPOT_PAIR:ETH-USD "):
        scan_ticks("trades", instruments="BINANCE:SPOT_PAIR:ETH-USD", **window)
