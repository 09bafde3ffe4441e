"""Three recipes for analysts, kept true by running: copy the body of a test, with your own lake and dates.

1. What BTC perpetuals of three venues turned over, linear and inverse ones, in Polars and in DuckDB.
2. Each trade with the book strictly before it.
3. One delisted future, from its listing to its expiry.
"""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.read import find_instruments, scan_ticks, with_turnover
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

FIRST, END = date(2024, 8, 8), date(2024, 8, 10)
EXPIRY = date(2024, 8, 9)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recipes") / "lake"
    lake = open_lake(directory.as_uri())
    types = (DataType.TRADES, DataType.QUOTES)
    wanted = {
        "BINANCE-FUTURES": Selection(types, include=("BTCUSDT",)),
        "BINANCE-DELIVERY": Selection(types, include=("BTCUSD_PERP",)),
        "DERIBIT": Selection(types, instrument_types=("PERPETUAL", "FUTURE"), include=("BTC-*",)),
    }
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as vendor:
        for venue, selection in wanted.items():
            for offset in range((END - FIRST).days):
                ingest_day(lake, vendor, venue, FIRST + timedelta(days=offset), selection)
    return directory


@pytest.fixture
def lake(directory: Path) -> TickLake:
    return open_lake(directory.as_uri())


def test_btc_perpetuals_of_three_venues_in_polars_and_duckdb(lake: TickLake, directory: Path) -> None:
    units = find_instruments(base="BTC", types="PERPETUAL", between=(FIRST, END), lake=lake)
    trades = scan_ticks("trades", base="BTC", instrument_types="PERPETUAL", start=FIRST, end=END, lake=lake)
    # amounts are coins, dollars or contracts, by venue: they are converted before they are added up
    daily = (
        with_turnover(trades, units)
        .group_by("date", "venue", "turnover_currency")
        .agg(
            trades=pl.len(),
            coins=pl.col("quantity").sum(),
            turnover=pl.col("turnover").sum(),
            vwap=(pl.col("price") * pl.col("quantity")).sum() / pl.col("quantity").sum(),
        )
        .sort("date", "venue")
        .collect()
    )
    # by_type holds one kind of instrument across venues; a glob must fix data_type=
    files = f"{directory}/ticks/by_type/instrument_type=PERPETUAL/data_type=trades/date=*/venue=*/BTC-*.parquet"
    relation = duckdb.sql(
        f"""with of_unit as (
                select instrument_key, case amount_unit when 'contracts' then contract_multiplier else 1 end as value,
                       amount_unit = 'quote' or (amount_unit = 'contracts' and contract_kind = 'inverse') as is_money
                from units)
            select date, venue, count(*) as trades,
                   sum(value * amount * case when is_money then 1 / price else 1 end) as coins
            from read_parquet('{files}', hive_partitioning = true) join of_unit using (instrument_key)
            where date >= '{FIRST}' and date < '{END}' group by all order by all"""  # noqa: S608  our own paths and dates
    )
    assert relation is not None
    in_duckdb = relation.pl()
    assert daily["venue"].unique().sort().to_list() == ["BINANCE-DELIVERY", "BINANCE-FUTURES", "DERIBIT"]
    assert daily.height == 6
    assert in_duckdb["trades"].to_list() == daily["trades"].to_list()
    assert in_duckdb["coins"].to_list() == pytest.approx(daily["coins"].to_list())
    currencies = dict(daily.select("venue", "turnover_currency").iter_rows())
    assert currencies == {"BINANCE-DELIVERY": "USD", "BINANCE-FUTURES": "USDT", "DERIBIT": "USD"}
    assert daily["turnover"].to_list() == pytest.approx((daily["vwap"] * daily["coins"]).to_list())
    highest, lowest = max(daily["vwap"].to_list()), min(daily["vwap"].to_list())
    assert highest < 1.1 * lowest  # one coin has one price


def test_each_trade_with_the_book_strictly_before_it(lake: TickLake) -> None:
    def scan(data_type: str) -> pl.LazyFrame:
        return scan_ticks(data_type, venues="binance-futures", base="BTC", start=FIRST, end=END, lake=lake)

    quotes = scan("quotes").select("local_timestamp", "bid_price", "ask_price", quoted_at="local_timestamp")
    joined = (
        scan("trades")
        .select("local_timestamp", "side", "price", "amount")
        # what arrived in the same microsecond was not known before the trade
        .join_asof(quotes, on="local_timestamp", strategy="backward", allow_exact_matches=False)
        .collect()
    )
    known = joined.drop_nulls("quoted_at")
    assert known.height > joined.height / 2
    assert known.filter(pl.col("quoted_at") >= pl.col("local_timestamp")).is_empty()


def test_one_delisted_future_to_its_expiry(lake: TickLake) -> None:
    (future,) = (
        find_instruments(base="BTC", types="FUTURE", venues="deribit", lake=lake)
        .filter(pl.col("expiry").dt.date() == EXPIRY)
        .iter_rows(named=True)
    )
    assert future["instrument_key"] == "DERIBIT:FUTURE:BTC-USD-240809"
    ticks = scan_ticks(
        "trades",
        instruments=future["instrument_key"],
        start=max(future["first_day"], FIRST),
        end=future["last_day"] + timedelta(days=1),
        lake=lake,
    ).collect()
    assert not ticks.is_empty()
    assert ticks["local_timestamp"].max() < future["expiry"] + timedelta(minutes=1)
