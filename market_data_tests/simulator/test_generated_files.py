from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from io import BytesIO

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_data.model.data_types import TABLES, ColumnKind, DataType
from market_data.simulator.vendor.catalogue import GROUP_TYPES
from market_data.simulator.vendor.generated import GeneratedSource
from market_data.simulator.venues.venues import build_exchange

DAY = date(2024, 8, 8)
MIDNIGHT_US = int(datetime(2024, 8, 8, tzinfo=UTC).timestamp()) * 1_000_000
DAY_US = 86_400_000_000
SOURCE = GeneratedSource(seed=3, scale=0.3)

SYMBOLS = [
    ("binance", "BTCUSDT"),
    ("binance", "ETHBTC"),
    ("binance", "SPOT"),
    ("binance-futures", "BTCUSDT"),
    ("binance-futures", "1000SHIBUSDT"),
    ("binance-futures", "BTCUSDT_240927"),
    ("binance-futures", "PERPETUALS"),
    ("binance-futures", "FUTURES"),
    ("binance-delivery", "BTCUSD_PERP"),
    ("deribit", "BTC-PERPETUAL"),
    ("deribit", "BTC_USDC-PERPETUAL"),
    ("deribit", "BTC-9AUG24"),
    ("deribit", "BTC_USDC"),
    ("deribit", "BTC-8AUG24-60000-C"),  # expires on the day
    ("deribit", "BTC-9AUG24-65000-C"),  # nearly worthless
    ("deribit", "XRP_USDC-9AUG24-0D48-C"),
    ("deribit", "BTC-FS-27SEP24_PERP"),
    ("deribit", "OPTIONS"),
    ("deribit", "COMBOS"),
]
BOOKS = [pair for pair in SYMBOLS if pair[1] not in GROUP_TYPES]


def _files() -> list[tuple[str, str, DataType]]:
    files = []
    for exchange_id, symbol in SYMBOLS:
        exchange = build_exchange(exchange_id)
        listing = exchange.find(symbol) if exchange else None
        assert listing is not None, symbol
        files += [(exchange_id, symbol, data_type) for data_type in listing.data_types]
    return files


def _read(exchange_id: str, symbol: str, data_type: DataType, source: GeneratedSource = SOURCE) -> pl.DataFrame:
    body = source.read_file(exchange_id, data_type, symbol, DAY)
    assert body is not None
    text = gzip.decompress(body)
    spec = TABLES[data_type]
    dtypes: dict[str, pl.DataType] = {}
    for column in spec.vendor_columns:
        dtypes[column.csv_name] = pl.Int64() if column.kind is ColumnKind.TIME else column.kind.dtype
    if not text:
        return pl.DataFrame(schema=dtypes)
    assert text.decode().partition("\n")[0] == spec.csv_header
    return pl.read_csv(BytesIO(text), schema=dtypes)


@pytest.mark.parametrize(("exchange_id", "symbol", "data_type"), _files())
def test_every_file_keeps_the_rules_of_its_data_type(exchange_id: str, symbol: str, data_type: DataType) -> None:
    rows = _read(exchange_id, symbol, data_type)
    spec = TABLES[data_type]
    assert rows["exchange"].unique().to_list() in ([exchange_id], [])
    if symbol not in GROUP_TYPES:
        assert rows["symbol"].unique().to_list() in ([symbol], [])
    received = rows["local_timestamp"]
    assert received.is_sorted()
    assert received.is_between(MIDNIGHT_US, MIDNIGHT_US + DAY_US - 1).all()
    assert (rows["timestamp"] <= received).all()
    for column in spec.vendor_columns:
        assert column.is_nullable or rows[column.csv_name].null_count() == 0, column.csv_name
    for name in rows.columns:
        if name.endswith(("amount", "iv")):
            assert (rows[name].drop_nulls() >= 0).all(), name
        if name.endswith("price") and "COMBOS" not in symbol and "-FS-" not in symbol:
            assert (rows[name].drop_nulls() > 0).all() or name == "mark_price", name


def test_numbers_are_in_their_shortest_form() -> None:
    body = SOURCE.read_file("binance", DataType.TRADES, "BTCUSDT", DAY)
    assert body is not None
    for line in gzip.decompress(body).decode().splitlines()[1:]:
        for cell in line.split(",")[6:]:
            assert "e" not in cell
            assert "." not in cell or not cell.endswith("0")


def test_trades_happen_on_the_takers_side_of_the_best_prices() -> None:
    trades = _read("binance-futures", "BTCUSDT", DataType.TRADES)
    quotes = _read("binance-futures", "BTCUSDT", DataType.QUOTES)
    assert trades.height > 500
    assert trades["id"].is_unique().all()
    assert trades["timestamp"][0] < MIDNIGHT_US  # the first row left the venue on the day before
    joined = trades.filter(pl.col("local_timestamp") >= quotes["local_timestamp"][0]).join_asof(
        quotes.select("local_timestamp", "ask_price", "bid_price"), on="local_timestamp"
    )
    touched = pl.when(pl.col("side") == "buy").then("ask_price").otherwise("bid_price")
    assert joined.select((pl.col("price") == touched).all()).item()
    assert (quotes["ask_price"] > quotes["bid_price"]).all()


def _replay(rows: pl.DataFrame, levels: int) -> dict[int, list[float | None]]:
    """Return after each message the top levels, in the columns of a book snapshot."""
    books: dict[str, dict[float, float]] = {"ask": {}, "bid": {}}
    states: dict[int, list[float | None]] = {}
    was_snapshot = False
    for (received,), message in rows.group_by("local_timestamp", maintain_order=True):
        for is_snapshot, side, price, amount in message.select("is_snapshot", "side", "price", "amount").iter_rows():
            if is_snapshot and not was_snapshot:
                books["ask"].clear()
                books["bid"].clear()
            was_snapshot = is_snapshot
            if amount == 0:
                books[side].pop(price, None)
            else:
                books[side][price] = amount
        asks = sorted(books["ask"].items())[:levels]
        bids = sorted(books["bid"].items(), reverse=True)[:levels]
        state: list[float | None] = []
        for level in range(levels):
            for side_levels in (asks, bids):
                state += side_levels[level] if level < len(side_levels) else (None, None)
        assert isinstance(received, int)
        states[received] = state
    return states


@pytest.mark.parametrize(("exchange_id", "symbol"), BOOKS)
def test_a_replayed_book_equals_snapshots_and_quotes(exchange_id: str, symbol: str) -> None:
    changes = _read(exchange_id, symbol, DataType.INCREMENTAL_BOOK_L2)
    assert changes["is_snapshot"][0] is True
    first = changes["local_timestamp"][0] - MIDNIGHT_US
    assert 300_000 <= first <= 3_000_000
    for data_type, levels in ((DataType.BOOK_SNAPSHOT_25, 25), (DataType.BOOK_SNAPSHOT_5, 5)):
        states = _replay(changes, levels)
        snapshots = {row[3]: list(row[4:]) for row in _read(exchange_id, symbol, data_type).iter_rows()}
        assert len(snapshots) > 5
        shown: list[float | None] = []
        for received, state in states.items():
            if received in snapshots:
                shown = snapshots[received]
            assert state == shown, f"{data_type} at {received}"
    states = _replay(changes, 1)
    quotes = {row[3]: row[4:] for row in _read(exchange_id, symbol, DataType.QUOTES).iter_rows()}
    best: tuple[float | None, ...] = ()
    for received, (ask_price, ask_amount, bid_price, bid_amount) in states.items():
        best = quotes.get(received, best)
        assert (ask_amount, ask_price, bid_price, bid_amount) == best


def test_derivative_tickers_start_with_empty_cells_and_dated_futures_have_no_funding() -> None:
    perpetual = _read("binance-futures", "BTCUSDT", DataType.DERIVATIVE_TICKER)
    first = perpetual.row(0, named=True)
    assert first["last_price"] is not None
    assert first["funding_rate"] is None
    assert perpetual["funding_timestamp"].drop_nulls().unique().sort().to_list() == [
        MIDNIGHT_US + hours * 3_600_000_000 for hours in (8, 16, 24)
    ]
    dated = _read("binance-futures", "BTCUSDT_240927", DataType.DERIVATIVE_TICKER)
    assert dated["funding_timestamp"].null_count() == dated.height
    assert dated["mark_price"].drop_nulls().mean() > perpetual["mark_price"].drop_nulls().mean()  # type: ignore[operator]


def test_liquidations_have_empty_ids() -> None:
    liquidations = _read("binance-futures", "BTCUSDT", DataType.LIQUIDATIONS, GeneratedSource(3, 1.0))
    assert liquidations.height > 10
    assert liquidations["id"].null_count() == liquidations.height


def test_a_group_file_holds_the_rows_of_its_members() -> None:
    group = _read("binance-futures", "FUTURES", DataType.TRADES)
    assert set(group["symbol"]) == {"BTCUSDT_240927", "BTCUSDT_241227", "ETHUSDT_240927", "ETHUSDT_241227"}
    alone = _read("binance-futures", "BTCUSDT_240927", DataType.TRADES)
    assert_frame_equal(group.filter(pl.col("symbol") == "BTCUSDT_240927"), alone)


def test_the_options_chain_is_consistent_with_quotes_and_the_price_path() -> None:
    chain = _read("deribit", "OPTIONS", DataType.OPTIONS_CHAIN)
    assert chain.width == 24
    assert {"BTC", "ETH", "XRP_USDC"} == {symbol.split("-")[0] for symbol in chain["symbol"]}
    calls, puts = (chain.filter(pl.col("type") == kind) for kind in ("call", "put"))
    assert calls["delta"].is_between(0, 1).all()
    assert puts["delta"].is_between(-1, 0).all()
    assert chain["mark_iv"].is_between(15, 250).all()  # percent on this venue
    assert chain["bid_price"].null_count() > 0
    assert "SYN.BTC-10AUG24" in chain["underlying_index"].to_list()
    quotes = _read("deribit", "OPTIONS", DataType.QUOTES)
    # A quote appears when the best prices change: those of the chain are the newest before it.
    joined = chain.join_asof(quotes, on="local_timestamp", by="symbol", suffix="_quoted", check_sortedness=False)
    assert (joined["ask_price"] == joined["ask_price_quoted"]).all()


def test_an_instrument_is_silent_before_its_listing_and_after_its_expiry() -> None:
    expiring = _read("deribit", "BTC-8AUG24-60000-C", DataType.TRADES)
    assert expiring["local_timestamp"].max() < MIDNIGHT_US + DAY_US // 3  # type: ignore[operator]
    chain = _read("deribit", "OPTIONS", DataType.OPTIONS_CHAIN).filter(pl.col("symbol") == "BTC-10AUG24-60000-C")
    assert chain["local_timestamp"].min() > MIDNIGHT_US + DAY_US // 3  # type: ignore[operator]


def test_contracts_of_one_coin_follow_one_price() -> None:
    prices = [
        _read(exchange_id, symbol, DataType.QUOTES)["bid_price"].mean()
        for exchange_id, symbol in (
            ("binance", "BTCUSDT"),
            ("binance-futures", "BTCUSDT"),
            ("binance-delivery", "BTCUSD_PERP"),
            ("deribit", "BTC-PERPETUAL"),
        )
    ]
    assert all(price == pytest.approx(prices[0], rel=0.01) for price in prices)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    for exchange_id, symbol, data_type in _files():
        first, second, other = (
            GeneratedSource(seed, 0.05).read_file(exchange_id, data_type, symbol, DAY) for seed in (3, 3, 4)
        )
        assert first == second
        assert first != other or not gzip.decompress(first or b""), (symbol, data_type)
