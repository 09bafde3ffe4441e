"""What analysts read: filters, time ranges, order, and what they are told about days that are not whole."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest
import stamina

from market_data.errors import ConfigurationError, TicksIncomplete
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, receipt_key
from market_data.lake.open import open_lake
from market_data.model.data_types import TABLES, DataType
from market_data.model.tick_file import DataTypeDay
from market_data.model.venues import VENUES
from market_data.read import IncompleteTicksWarning, scan_ticks
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, run_simulator
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection
from market_data.vendor.client import TardisClient
from market_data_tests.gcs_server import GcsServer

FIRST, SECOND, LAST = date(2024, 8, 8), date(2024, 8, 9), date(2024, 8, 10)
TODAY = date(2024, 8, 11)
SPOT_KEYS = ["BINANCE:SPOT_PAIR:BTC-USDT", "BINANCE:SPOT_PAIR:ETH-BTC", "BINANCE:SPOT_PAIR:ETH-USDT"]
SPOT = Selection(data_types=(DataType.TRADES,), include=("BTC*", "ETH*"))
FUTURES = Selection(data_types=(DataType.TRADES,), include=("BTCUSD*", "ETHUSDT"))
OPTIONS = Selection(data_types=(DataType.TRADES, DataType.LIQUIDATIONS), instrument_types=("OPTION", "PERPETUAL"))
DAY = timedelta(days=1)


def _ingest(
    lake: TickLake,
    vendor: RunningSimulator,
    venue_day: tuple[str, date],
    selection: Selection,
    layouts: tuple[str, ...] = LAYOUTS,
) -> None:
    venue, day = venue_day

    def client() -> TardisClient:
        return TardisClient(api_url=vendor.api_url, datasets_url=vendor.datasets_url, api_key=DEFAULT_KEY)

    async def plan() -> VenueDay:
        async with client() as open_client:
            (universe,) = await learn_universes(lake, open_client, venue, (day,), selection, today=TODAY)
        return VenueDay(universe, selection, selection.data_types, layouts, "simulator", "config")

    with stamina.set_testing(True, attempts=1):
        assert list(ingest_venue_day(lake, client, asyncio.run(plan())))


@pytest.fixture(scope="module")
def vendor() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock="2024-08-11T07:00:00Z", scale=0.05)) as running:
        yield running


@pytest.fixture(scope="module", params=["local", "gcs"])
def filled(
    request: pytest.FixtureRequest, vendor: RunningSimulator, tmp_path_factory: pytest.TempPathFactory
) -> TickLake:
    """A lake with two whole days of three venues; tests that read it leave it as it is."""
    url = (tmp_path_factory.mktemp("filled") / "lake").as_uri()
    if request.param == "gcs":
        server: GcsServer = request.getfixturevalue("gcs_server")
        bucket = f"filled-{uuid.uuid4().hex}"
        server.create_bucket(bucket)
        url = f"gs://{bucket}"
    lake = open_lake(url)
    for day in (FIRST, SECOND):
        _ingest(lake, vendor, ("BINANCE", day), SPOT)
        _ingest(lake, vendor, ("BINANCE-FUTURES", day), FUTURES)
        _ingest(lake, vendor, ("DERIBIT", day), OPTIONS)
    return lake


def _read(lake: TickLake, **filters: Any) -> pl.DataFrame:
    window: dict[str, Any] = {"start": FIRST, "end": SECOND} | filters
    return scan_ticks(window.pop("data_type", "trades"), lake=lake, **window).collect()


def _keys(frame: pl.DataFrame) -> list[str]:
    return sorted(frame["instrument_key"].unique())


@pytest.mark.parametrize("spelling", ["BINANCE", "binance", ["binance"], ("BINANCE", "binance")])
def test_a_venue_is_read_by_any_spelling_and_once(filled: TickLake, spelling: Any) -> None:
    frame = _read(filled, venues=spelling)
    assert _keys(frame) == SPOT_KEYS
    assert frame.height == frame.unique().height == _read(filled, instruments=SPOT_KEYS).height


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({"instruments": "BINANCE:SPOT_PAIR:BTC-USDT"}, ["BINANCE:SPOT_PAIR:BTC-USDT"]),
        ({"instruments": ["binance:spot_pair:eth-btc"]}, ["BINANCE:SPOT_PAIR:ETH-BTC"]),
        ({"venues": "binance", "base": "eth"}, ["BINANCE:SPOT_PAIR:ETH-BTC", "BINANCE:SPOT_PAIR:ETH-USDT"]),
        ({"venues": "binance", "base": ["ETH"], "quote": "usdt"}, ["BINANCE:SPOT_PAIR:ETH-USDT"]),
        (
            {"quote": "USDT", "instrument_types": ["perpetual", "SPOT-PAIR"]},
            [
                "BINANCE-FUTURES:PERPETUAL:BTC-USDT",
                "BINANCE-FUTURES:PERPETUAL:ETH-USDT",
                "BINANCE:SPOT_PAIR:BTC-USDT",
                "BINANCE:SPOT_PAIR:ETH-USDT",
            ],
        ),
        (
            {"venues": "binance_futures", "instrument_types": "FUTURE"},
            ["BINANCE-FUTURES:FUTURE:BTC-USDT-240927", "BINANCE-FUTURES:FUTURE:BTC-USDT-241227"],
        ),
    ],
)
def test_filters_take_instruments_assets_and_types(filled: TickLake, filters: dict[str, Any], keys: list[str]) -> None:
    assert _keys(_read(filled, **filters)) == keys


def test_without_filters_every_venue_of_the_lake_is_read(filled: TickLake) -> None:
    frame = _read(filled, end=LAST)
    assert sorted(frame["venue"].unique()) == ["BINANCE", "BINANCE-FUTURES", "DERIBIT"]
    assert sorted(frame["date"].unique()) == [FIRST, SECOND]


def test_options_of_a_grouped_file_are_filtered_by_base_and_by_instrument(filled: TickLake) -> None:
    every = _read(filled, venues="deribit", instrument_types="OPTION", end=LAST)
    bitcoin = _read(filled, venues="deribit", instrument_types="OPTION", base="BTC", end=LAST)
    assert {key.split(":")[2].split("-")[0] for key in _keys(every)} > {"BTC"}
    assert bitcoin.equals(every.filter(pl.col("instrument_key").str.starts_with("DERIBIT:OPTION:BTC-")))
    assert 0 < bitcoin.height < every.height
    one = _keys(every)[0]
    single = _read(filled, instruments=one, end=LAST)
    assert single.equals(every.filter(pl.col("instrument_key") == one))
    usd = _read(filled, venues="deribit", quote="USD", instrument_types="OPTION", end=LAST)
    assert usd.equals(every.filter(pl.col("instrument_key").str.contains("^DERIBIT:OPTION:[A-Z]+-USD-")))


def test_an_option_that_did_not_trade_has_no_rows_and_is_no_fault(filled: TickLake) -> None:
    assert _read(filled, instruments="DERIBIT:OPTION:BTC-USD-240830-1-CALL").height == 0


def test_a_day_is_read_from_its_midnight_to_the_next_one(filled: TickLake) -> None:
    both = _read(filled, venues="binance", end=LAST)
    first, second = _read(filled, venues="binance"), _read(filled, venues="binance", start=SECOND, end=LAST)
    assert both.equals(pl.concat([first, second]))
    assert set(first["date"]) == {FIRST}
    assert set(second["date"]) == {SECOND}


NOON = datetime(2024, 8, 8, 12)  # noqa: DTZ001  naive on purpose: it is taken for UTC
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON, NOON + 6 * timedelta(hours=1)),
        (NOON.replace(tzinfo=UTC), datetime(2024, 8, 8, 18, tzinfo=UTC)),
        (datetime(2024, 8, 8, 14, tzinfo=EAST), datetime(2024, 8, 8, 20, tzinfo=EAST)),
        ("2024-08-08T12:00:00", "2024-08-08T18:00:00Z"),
        ("2024-08-08T14:00+02:00", NOON + timedelta(hours=6)),
    ],
    ids=["naive", "aware", "other zone", "text", "mixed"],
)
def test_a_range_is_half_open_and_naive_times_are_utc(filled: TickLake, start: Any, end: Any) -> None:
    frame = _read(filled, instruments=SPOT_KEYS[0], start=start, end=end)
    day = _read(filled, instruments=SPOT_KEYS[0])
    low, high = datetime(2024, 8, 8, 12, tzinfo=UTC), datetime(2024, 8, 8, 18, tzinfo=UTC)
    assert frame.equals(day.filter(pl.col("local_timestamp") >= low, pl.col("local_timestamp") < high))
    assert 0 < frame.height < day.height


def test_the_bounds_are_start_inclusive_and_end_exclusive(filled: TickLake) -> None:
    times = _read(filled, instruments=SPOT_KEYS[0])["local_timestamp"].unique().sort()
    start, end = times[3], times[9]
    frame = _read(filled, instruments=SPOT_KEYS[0], start=start, end=end)
    assert (frame["local_timestamp"].min(), frame["local_timestamp"].max()) == (start, times[8])


def test_a_range_over_midnight_reads_both_days(filled: TickLake) -> None:
    hour = timedelta(hours=1)
    frame = _read(filled, instruments=SPOT_KEYS[0], start=datetime(2024, 8, 8, 23), end=datetime(2024, 8, 9, 1))  # noqa: DTZ001
    assert sorted(frame["date"].unique()) == [FIRST, SECOND]
    assert frame["local_timestamp"].max() - frame["local_timestamp"].min() < 2 * hour  # type: ignore[operator]


@pytest.mark.parametrize("data_type", ["trades", "liquidations"])
def test_partition_values_stand_before_the_published_columns(filled: TickLake, data_type: str) -> None:
    schema = scan_ticks(data_type, venues="deribit", start=FIRST, end=SECOND, lake=filled).collect_schema()
    added = {"date": pl.Date(), "venue": pl.String(), "instrument_type": pl.String()}
    assert list(schema.items()) == [*added.items(), *TABLES[DataType(data_type)].published_schema.items()]


def test_a_result_without_rows_has_the_same_columns(filled: TickLake) -> None:
    nothing = _read(filled, venues="binance", base="DOGE")
    assert nothing.height == 0
    assert nothing.schema == _read(filled, venues="binance").schema


def test_rows_come_by_day_venue_and_instrument_and_within_these_as_the_vendor_sent_them(filled: TickLake) -> None:
    frame = _read(filled, venues=["binance-futures", "binance"], end=LAST)
    files = frame.select("date", "venue", "instrument_key").unique(maintain_order=True).rows()
    assert [row[:2] for row in files] == sorted(row[:2] for row in files)
    assert [row[2] for row in files[:3]] == SPOT_KEYS
    runs = frame.select(pl.struct("date", "instrument_key").rle()).unnest("date").height
    assert runs == len(files), "each file's rows stand together"
    for _, rows in frame.group_by("date", "instrument_key"):
        assert rows["local_timestamp"].is_sorted()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_the_same(filled: TickLake, layout: str) -> None:
    assert _read(filled, layout=layout, end=LAST).equals(_read(filled, end=LAST))


def test_a_layout_that_nobody_knows_is_refused(filled: TickLake) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown layout 'by_moon'\. Known: by_date, by_venue, by_type"):
        _read(filled, layout="by_moon")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"start": None}, "None is not a day or an instant"),
        ({"start": "0001-01-01T00:00+05:00"}, "0001-01-01 00:00:00+05:00 is outside of all days"),
        (
            {"venues": "binance", "instruments": "DERIBIT:OPTION:X-Y"},
            "instruments of DERIBIT are asked for, but venues",
        ),
        ({"data_type": "trade"}, "unknown data type 'trade'. Known data types: trades, "),
        ({"venues": "binanse"}, "unknown venue 'binanse'. Known venues: ASCENDEX, "),
        (
            {"instruments": "BTC-USDT"},
            "'BTC-USDT' is not an instrument key; expected VENUE:TYPE:SYMBOL, such as BINANCE:",
        ),
        ({"instruments": "BINANSE:SPOT_PAIR:BTC-USDT"}, "unknown venue 'BINANSE'. Known venues: "),
        ({"instrument_types": "PERP"}, "unknown instrument type 'PERP'. Known: COMBO, FUTURE, OPTION, PERPETUAL, "),
        ({"start": "yesterday"}, "'yesterday' is not an ISO 8601 date or time, such as 2024-08-08"),
        ({"end": FIRST}, "start 2024-08-08 is not before end 2024-08-08"),
        ({"on_incomplete": "ignore"}, "on_incomplete is 'ignore'; it must be one of raise, skip, include"),
    ],
)
def test_a_wrong_argument_is_named_with_what_would_be_right(
    filled: TickLake, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _read(filled, **filters)
    assert str(caught.value).startswith(message)


def test_a_path_is_no_lake_and_the_url_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"give a URL, such as 'file:///data/lake' or path\.as_uri\(\)"):
        scan_ticks("trades", start=FIRST, end=SECOND, lake=tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["base", "venues", "instrument_types", "quote"])
def test_a_filter_may_be_an_iterator(filled: TickLake, name: str) -> None:
    names = {"base": ["BTC"], "venues": ["binance"], "instrument_types": ["SPOT_PAIR"], "quote": ["USDT"]}[name]
    window: dict[str, Any] = {"venues": "binance", name: iter(names)}
    assert _read(filled, **window).equals(_read(filled, **{"venues": "binance", name: names}))
    assert _read(filled, **{"venues": "binance", name: iter(names)}).height > 0


@pytest.mark.parametrize(
    "window",
    [{"base": [None]}, {"base": 5}, {"venues": 5}, {"instruments": [1]}, {"start": pd.NaT}, {"start": 20240808}],
    ids=str,
)
def test_what_is_no_name_and_no_instant_is_refused(filled: TickLake, window: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"is no name: give a text|is not a day or an instant"):
        _read(filled, **window)


def test_an_empty_lake_says_that_it_may_be_the_wrong_one(lake: TickLake) -> None:
    with pytest.raises(TicksIncomplete, match=r"the lake .* holds no trades of any venue. Is it the right lake?"):
        _read(lake)


# days that are not whole


def _is_incomplete(lake: TickLake, **filters: Any) -> list[str]:
    with pytest.raises(TicksIncomplete) as caught:
        _read(lake, **filters)
    head, *lines, remedy = str(caught.value).split("\n")
    assert head.endswith(f"venue-days are not whole in {lake.url}:")
    is_left_out = all("not requested: " in line for line in lines)
    advice = "Name what the venue lists (`find_instruments` knows), or" if is_left_out else "Run those days, or pass"
    assert remedy.startswith(advice)
    assert remedy.endswith('pass on_incomplete="skip" (leave them out) or "include"')
    return [line.strip() for line in lines]


def _warned(lake: TickLake, **filters: Any) -> tuple[pl.DataFrame, str]:
    with pytest.warns(IncompleteTicksWarning) as caught:
        frame = _read(lake, **filters)
    assert caught[0].filename == __file__, "the warning points to the caller's line"
    return frame, str(caught[0].message)


def _spoil_ethbtc(vendor: RunningSimulator) -> None:
    vendor.set_faults([{"match": "*/ETHBTC.csv.gz", "action": "html_200"}])


@pytest.fixture
def local(tmp_path: Path) -> TickLake:
    return open_lake((tmp_path / "lake").as_uri())


@pytest.fixture
def healthy(vendor: RunningSimulator) -> Iterator[RunningSimulator]:
    yield vendor
    vendor.set_faults([])


def test_a_day_that_was_not_run_is_named(filled: TickLake) -> None:
    window = {"venues": ["binance", "okex"], "start": SECOND, "end": date(2024, 8, 11)}
    assert _is_incomplete(filled, **window) == [
        "OKX trades 2024-08-09 to 2024-08-10 (2 days): not run",
        "BINANCE trades 2024-08-10: not run",
    ]


def test_a_data_type_that_runs_did_not_take_is_told_as_such(filled: TickLake) -> None:
    with pytest.raises(TicksIncomplete) as caught:
        scan_ticks("quotes", venues="binance", start=FIRST, end=LAST + DAY, lake=filled)
    told = str(caught.value)
    assert "BINANCE quotes 2024-08-08 to 2024-08-09 (2 days): not taken: the day was run for trades alone" in told
    assert "2024-08-10: not run" in told
    assert "\nRun those days, or pass" in told
    with pytest.raises(TicksIncomplete, match="\nAdd that data type to `data_types` of the venue in the venues file"):
        scan_ticks("quotes", venues="binance", start=FIRST, end=LAST, lake=filled)


@pytest.mark.parametrize("choice", ["skip", "include"])
def test_days_that_were_not_run_are_left_out_with_a_warning_when_told_so(filled: TickLake, choice: str) -> None:
    frame, warning = _warned(filled, venues=["binance", "okex"], end=LAST + DAY, on_incomplete=choice)
    assert frame.equals(_read(filled, venues="binance", end=LAST))
    told = "  OKX trades 2024-08-08 to 2024-08-10 (3 days): not run\n  BINANCE trades 2024-08-10: not run"
    assert warning == f"4 of 6 venue-days are not whole in {filled.url}:\n{told}"


def test_only_the_first_of_many_causes_are_named(filled: TickLake) -> None:
    lines = _is_incomplete(filled, venues=list(VENUES), start="2024-01-01", end="2024-02-01")
    assert len(lines) == 21
    assert lines[-1] == f"... and {len(VENUES) - 20} more"


def test_an_instrument_that_was_not_selected_is_named(filled: TickLake) -> None:
    keys = ["BINANCE:SPOT_PAIR:DOGE-USDT", SPOT_KEYS[0]]
    assert _is_incomplete(filled, instruments=keys) == [
        "BINANCE trades 2024-08-08: not requested: BINANCE:SPOT_PAIR:DOGE-USDT (not among the 3 files of the day)"
    ]


def test_an_instrument_of_another_type_than_the_grouped_files_is_named(filled: TickLake) -> None:
    assert _is_incomplete(filled, instruments="DERIBIT:FUTURE:BTC-USD-240927") == [
        "DERIBIT trades 2024-08-08: not requested: DERIBIT:FUTURE:BTC-USD-240927 (not among the 5 files of the day)"
    ]


def test_a_data_type_that_the_venue_lacks_is_not_offered(local: TickLake, healthy: RunningSimulator) -> None:
    selection = Selection(data_types=(DataType.LIQUIDATIONS,))
    _ingest(local, healthy, ("BINANCE", FIRST), selection)
    assert _is_incomplete(local, data_type="liquidations") == [
        "BINANCE liquidations 2024-08-08: not offered: the vendor lists no such file of this venue for this day"
    ]


def test_an_instrument_whose_file_the_vendor_lacks_is_not_offered(local: TickLake, healthy: RunningSimulator) -> None:
    healthy.set_faults([{"match": "*/ETHBTC.csv.gz", "action": "status", "code": 400, "error_code": 140}])
    _ingest(local, healthy, ("BINANCE", FIRST), SPOT)
    assert _is_incomplete(local, instruments=SPOT_KEYS) == [
        "BINANCE trades 2024-08-08: not offered: BINANCE:SPOT_PAIR:ETH-BTC"
    ]
    assert _keys(_read(local, venues="binance")) == [SPOT_KEYS[0], SPOT_KEYS[2]]


def test_a_day_of_which_the_vendor_has_nothing_is_not_offered(local: TickLake, healthy: RunningSimulator) -> None:
    healthy.set_faults([{"match": "*.csv.gz", "action": "status", "code": 404, "message": "Not found"}])
    _ingest(local, healthy, ("BINANCE", FIRST), SPOT)
    assert _is_incomplete(local) == [
        (
            "BINANCE trades 2024-08-08: not offered: the vendor has none of the 3 files: "
            "the vendor answered 404 (Not found)"
        )
    ]


def test_a_failed_day_is_named_with_its_files_and_the_first_error(local: TickLake, healthy: RunningSimulator) -> None:
    _spoil_ethbtc(healthy)
    _ingest(local, healthy, ("BINANCE", FIRST), SPOT)
    (cause,) = _is_incomplete(local)
    assert cause.startswith(
        "BINANCE trades 2024-08-08: failed: 1 of 3 files open (ETHBTC): BINANCE trades 2024-08-08 ETHBTC: not a gzip"
    )
    for choice in ("skip", "include"):
        frame, _ = _warned(local, on_incomplete=choice)
        assert frame.height == 0, "a data type is published whole or not at all"


def test_a_wider_run_that_failed_keeps_what_was_published_readable(local: TickLake, healthy: RunningSimulator) -> None:
    _ingest(local, healthy, ("BINANCE", FIRST), Selection(data_types=(DataType.TRADES,), include=("BTC*",)))
    before = _read(local, instruments=SPOT_KEYS[0])
    _spoil_ethbtc(healthy)
    _ingest(local, healthy, ("BINANCE", FIRST), SPOT)
    assert _read(local, instruments=SPOT_KEYS[0]).equals(before)
    (cause,) = _is_incomplete(local, venues="binance")
    assert "failed: 1 of 3 files open (ETHBTC)" in cause
    included, _ = _warned(local, venues="binance", on_incomplete="include")
    assert included.equals(before)
    skipped, _ = _warned(local, venues="binance", on_incomplete="skip")
    assert skipped.height == 0


def test_a_file_that_waits_for_others_to_be_published_is_named(local: TickLake, healthy: RunningSimulator) -> None:
    _ingest(local, healthy, ("BINANCE", FIRST), Selection(data_types=(DataType.TRADES,), include=("BTC*",)))
    _spoil_ethbtc(healthy)
    _ingest(local, healthy, ("BINANCE", FIRST), SPOT)
    assert _is_incomplete(local, instruments=SPOT_KEYS[2]) == [
        (
            "BINANCE trades 2024-08-08: failed: ETHUSDT stored but not published, for other files of the day are "
            "open, or a run was stopped; run the day again"
        )
    ]


@pytest.mark.parametrize("choice", ["skip", "include"])
def test_a_day_that_is_being_replaced_is_never_read(local: TickLake, healthy: RunningSimulator, choice: str) -> None:
    for day in (FIRST, SECOND):
        _ingest(local, healthy, ("BINANCE", day), SPOT)
    key = receipt_key(DataTypeDay("BINANCE", DataType.TRADES, SECOND))
    document = json.loads(local.get_bytes(key)[0]) | {"state": "replacing"}
    local.put_bytes(json.dumps(document).encode(), key)
    assert _is_incomplete(local, end=LAST) == [
        (
            "BINANCE trades 2024-08-09: replacing: its files are being rewritten, or a run died while it did; "
            "run the day again"
        )
    ]
    frame, _ = _warned(local, end=LAST, on_incomplete=choice)
    assert set(frame["date"]) == {FIRST}


def test_days_published_in_different_layouts_are_read_in_order(local: TickLake, healthy: RunningSimulator) -> None:
    for day, layouts in ((FIRST, ("by_venue",)), (SECOND, ("by_date",)), (LAST, ("by_venue", "by_date"))):
        _ingest(local, healthy, ("BINANCE", day), SPOT, layouts)
    frame = _read(local, end=LAST + DAY)
    assert frame["date"].is_sorted()
    assert frame["date"].n_unique() == 3


def test_a_whole_range_is_read_without_a_warning(filled: TickLake) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _read(filled, end=LAST).height > 0


def test_only_what_is_selected_is_read_from_the_plan(filled: TickLake) -> None:
    frame = scan_ticks("trades", venues="binance", base="BTC", start=FIRST, end=SECOND, lake=filled.url)
    plan = frame.select("price").explain()
    assert plan.count(".parquet") == 1


def test_reading_loads_neither_dagster_nor_the_vendors_client() -> None:
    script = "import sys, market_data.read; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "polars" in loaded
    assert not loaded & {"dagster", "dagster_gcp", "httpx", "aiohttp", "httpx_aiohttp", "stamina", "gcsfs"}
