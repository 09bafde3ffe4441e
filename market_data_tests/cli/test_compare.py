"""`market-data compare`: a simulated day against dumps made of it, as they are and with something wrong."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest
from click.testing import CliRunner, Result

from market_data.cli.main import main
from market_data.lake.base import PARQUET_CONTENT
from market_data.lake.keys import object_key
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.judge_gaps import judge_gaps
from market_data.read import scan_ticks
from market_data.receipts.store import load_receipt
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import CLOCK, ingest_day

DAY = date(2024, 8, 8)
SPOT = Selection(data_types=(DataType.TRADES,), include=("BTCUSDT", "ETHBTC"))
BTC = "BINANCE:SPOT_PAIR:BTC-USDT"
SYMBOLS = {"BTCUSDT": BTC, "ETHBTC": "BINANCE:SPOT_PAIR:ETH-BTC"}
Run = Callable[..., Result]
HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


@pytest.fixture(scope="module")
def lake_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = (tmp_path_factory.mktemp("compare") / "lake").as_uri()
    lake = open_lake(url)
    with run_simulator(SimulatorOptions(clock=CLOCK)) as vendor:
        for day in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
            ingest_day(lake, vendor, "BINANCE", day, SPOT)
    return url


def trades(lake_url: str, key: str) -> pl.DataFrame:
    """Give the trades of the day by the exchange's time, as its dumps have them: some arrived on the next."""
    rows = scan_ticks("trades", instruments=key, start=DAY, end=DAY + timedelta(days=2), lake=lake_url).collect()
    own = rows.filter(pl.col("timestamp").dt.date() == DAY)
    return own.select(
        "id",
        "price",
        "amount",
        quote=pl.col("price") * pl.col("amount"),
        time=pl.col("timestamp").dt.epoch("us"),
        maker=pl.col("side") == "sell",
        best=True,
    )


def write(rows: pl.DataFrame, path: Path, header: str = "") -> None:
    """Write a dump: its times in milliseconds where its name says 2024, booleans as Binance writes them."""
    text = rows.with_columns(pl.col(pl.Boolean).cast(pl.String).str.to_titlecase()).write_csv(include_header=False)
    text = f"{header}\n{text}" if header else text
    if path.suffix == ".csv":
        path.write_text(text)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}.csv", text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")


@pytest.fixture
def dumps(tmp_path: Path, lake_url: str) -> Path:
    folder = tmp_path / "dumps"
    folder.mkdir()
    for symbol, key in SYMBOLS.items():
        write(trades(lake_url, key), folder / f"{symbol}-trades-{DAY}.zip")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, lake_url: str, tmp_path: Path) -> Run:
    monkeypatch.setenv("MARKET_DATA_LAKE_URL", lake_url)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["compare", "--venue", "binance", *arguments])


def against(run: Run, folder: Path, *more: str) -> tuple[int, list[dict[str, object]]]:
    result = run("--with", "binance-public", "--files", str(folder), "--json", *more)
    return result.exit_code, json.loads(result.output)


def test_a_dump_of_the_day_agrees_trade_for_trade(run: Run, dumps: Path) -> None:
    code, rows = against(run, dumps)
    assert code == 0
    assert [(row["symbol"], row["verdict"], row["ours_only"], row["theirs_only"]) for row in rows] == [
        ("BTCUSDT", "agree", 0, 0),
        ("ETHBTC", "agree", 0, 0),
    ]
    assert all(row["common"] == row["theirs"] for row in rows)


def test_a_dump_without_a_minute_or_a_symbol_is_told_apart_from_our_own_loss(
    run: Run, dumps: Path, lake_url: str
) -> None:
    whole = trades(lake_url, BTC)
    minute = pl.col("time").is_between(whole["time"][300], whole["time"][360])
    write(whole.filter(~minute), dumps / f"BTCUSDT-trades-{DAY}.zip")
    (dumps / f"ETHBTC-trades-{DAY}.zip").unlink()
    code, rows = against(run, dumps)
    assert code == 1  # it is they who lack it, more than one in 100,000: neither source is the truth
    told = {row["symbol"]: row for row in rows}
    assert told["BTCUSDT"]["ours_only"] == whole.filter(minute).height
    assert "they lack" in str(told["BTCUSDT"]["told"])
    assert "we lack" not in str(told["BTCUSDT"]["told"])
    assert (told["ETHBTC"]["verdict"], told["ETHBTC"]["source"]) == ("not_judged", "none")


def test_what_we_lack_is_told_with_its_ids_and_times(run: Run, dumps: Path, lake_url: str) -> None:
    whole = trades(lake_url, BTC)
    last = int(whole["id"].cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    more = whole.tail(3).with_columns(id=pl.Series([str(last + it) for it in (1, 2, 3)]), time=whole["time"][-1])
    write(pl.concat([whole, more]), dumps / f"BTCUSDT-trades-{DAY}.zip")
    code, rows = against(run, dumps, "--instrument", BTC)
    assert code == 1
    (row,) = rows
    assert (row["theirs_only"], row["longest_run"]) == (3, 3)
    assert f"ids {last + 1} to {last + 3} (3)" in str(row["spans"])
    shown = run("--with", "binance-public", "--files", str(dumps))
    assert "we lack 3 that they have" in " ".join(shown.output.split())


def test_other_values_of_the_same_trade_are_no_agreement(run: Run, dumps: Path, lake_url: str) -> None:
    changed = trades(lake_url, BTC).with_columns(
        price=pl.when(pl.int_range(pl.len()) == 5).then(pl.col("price") * 2).otherwise("price")
    )
    write(changed, dumps / f"BTCUSDT-trades-{DAY}.zip")
    code, rows = against(run, dumps, "--instrument", BTC)
    assert (code, rows[0]["differing"]) == (1, 1)


def candles_of(whole: pl.DataFrame) -> pl.DataFrame:
    """Give the candles of a day, one for each minute, as Binance has them."""
    minute = (pl.col("time") // 60_000_000 * 60_000_000).alias("minute")
    sums = whole.group_by(minute).agg(pl.len().cast(pl.Int64).alias("n"), pl.col("amount").sum(), pl.col("quote").sum())
    midnight = whole["time"][0] // 86_400_000_000 * 86_400_000_000
    every = pl.DataFrame({"minute": [midnight + it * 60_000_000 for it in range(1440)]})
    return every.join(sums, on="minute", how="left").fill_null(0).sort("minute")


def as_dump(candles: pl.DataFrame) -> pl.DataFrame:
    nothing = [pl.lit(0.0).alias(name) for name in ("open", "high", "low", "close", "taker", "taker_quote")]
    closes = (pl.col("minute") + 59_999_999).alias("closes")
    return candles.select("minute", *nothing[:4], "amount", closes, "quote", "n", *nothing[4:], pl.lit(0))


def test_aggregated_trades_and_candles_are_taken_too(run: Run, tmp_path: Path, lake_url: str) -> None:
    whole = trades(lake_url, BTC).with_columns(pl.col("id").cast(pl.Int64))
    folder = tmp_path / "others"
    folder.mkdir()
    ids = (pl.col("id").alias(name) for name in ("aggregated", "first", "last"))
    single = whole.select(next(ids), "price", "amount", *ids, "time", "maker", "best")
    write(single, folder / f"BTCUSDT-aggTrades-{DAY}.csv")
    candles = candles_of(whole)
    write(as_dump(candles), folder / f"BTCUSDT-1m-{DAY}.zip")
    code, rows = against(run, folder, "--instrument", BTC)
    assert code == 0
    assert {row["source"]: row["verdict"] for row in rows} == {"aggTrades": "agree", "1m": "agree"}
    lost = candles.with_columns(n=pl.when(pl.int_range(pl.len()) == 30).then(pl.col("n") + 7).otherwise("n"))
    write(as_dump(lost), folder / f"BTCUSDT-1m-{DAY}.zip")
    code, rows = against(run, folder, "--instrument", BTC)
    assert (code, {row["source"]: row["theirs_only"] for row in rows}) == (1, {"aggTrades": 0, "1m": 7})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "is not what"),
        (lambda path: path.rename(path.with_name("BTCUSDT-trades-2024-08-07.zip")), "holds rows of 2024-08-08"),
        (lambda path: path.with_name(f"{path.name}.CHECKSUM").write_text("0" * 64), "SHA-256"),
        (lambda path: path.rename(path.with_name("notes.zip")), "holds no dump"),
    ],
)
def test_a_file_that_is_not_right_is_named_with_the_remedy(
    run: Run, dumps: Path, damage: Callable[[Path], object], told: str
) -> None:
    (dumps / f"ETHBTC-trades-{DAY}.zip").unlink()
    damage(dumps / f"BTCUSDT-trades-{DAY}.zip")
    result = run("--with", "binance-public", "--files", str(dumps))
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_a_file_of_the_other_market_is_refused(run: Run, tmp_path: Path, lake_url: str) -> None:
    folder = tmp_path / "futures"
    folder.mkdir()
    write(trades(lake_url, BTC).drop("best"), folder / f"BTCUSDT-trades-{DAY}.csv", HEADER)
    result = run("--with", "binance-public", "--files", str(folder))
    assert result.exit_code == 2
    assert "a futures market's form" in " ".join(result.output.split())


def test_ids_that_rise_by_one_prove_a_day_complete(run: Run) -> None:
    result = run("--ids", "--from", str(DAY), "--to", str(DAY), "--json")
    rows = json.loads(result.output)
    assert result.exit_code == 0
    assert {row["instrument_key"]: (row["verdict"], row["missing"]) for row in rows}[BTC] == ("agree", 0)
    shown = run("--ids", "--from", str(DAY), "--to", str(DAY))
    assert "proven complete by their ids" in shown.output


def test_it_says_what_to_give_where_it_was_asked_wrongly(run: Run) -> None:
    for arguments in ((), ("--ids", "--with", "binance-public"), ("--with", "binance-public")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "give --with binance-public --files DIRECTORY, or --ids" in " ".join(result.output.split())


def test_a_dump_of_a_part_of_the_day_does_not_agree(run: Run, dumps: Path, lake_url: str) -> None:
    whole = trades(lake_url, BTC)
    for part in (whole.head(155), whole.tail(155)):
        write(part, dumps / f"BTCUSDT-trades-{DAY}.zip")
        code, (row,) = against(run, dumps, "--instrument", BTC)
        assert (code, row["verdict"], row["common"]) == (1, "differ", 155)
        assert row["ours_only"] == row["ours"] - 155  # type: ignore[operator]


def test_rows_of_another_symbol_are_told_as_such(run: Run, dumps: Path, lake_url: str) -> None:
    write(trades(lake_url, SYMBOLS["ETHBTC"]), dumps / f"BTCUSDT-trades-{DAY}.zip")
    code, (row,) = against(run, dumps, "--instrument", BTC)
    assert code == 1
    assert "is the file another symbol's?" in str(row["told"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--instrument", "BINANCE:SPOT_PAIR:BTC-USDTT"), "What comes near: BINANCE:SPOT_PAIR:BTC-USDT"),
        (
            ("--instrument", "DERIBIT:PERPETUAL:BTC-USD"),
            "is an instrument of DERIBIT, and the venue asked for is BINANCE",
        ),
        (("--instrument", BTC, "--venue", "binance-futures"), "the venue asked for is BINANCE-FUTURES"),
    ],
)
def test_an_instrument_that_the_venue_does_not_have_is_told(
    run: Run, dumps: Path, arguments: tuple[str, ...], told: str
) -> None:
    for kind in (("--with", "binance-public", "--files", str(dumps)), ("--ids", "--from", str(DAY), "--to", str(DAY))):
        result = run(*kind, *arguments)
        assert result.exit_code == 2
        assert told in " ".join(result.output.split())


def test_an_instrument_of_which_no_trades_are_held_is_told_with_the_cause(run: Run, dumps: Path, lake_url: str) -> None:
    listed = "BINANCE:SPOT_PAIR:ETH-USDT"  # the venue lists it, and the lake does not take it
    code, (row,) = against(run, dumps, "--instrument", listed)
    assert (code, row["verdict"], row["symbol"]) == (0, "not_judged", "ETHUSDT")
    assert "ours may not be read: not requested" in str(row["told"])
    whole = trades(lake_url, BTC)
    write(whole, dumps / f"ETHUSDT-trades-{DAY}.zip")
    write(as_dump(candles_of(whole)), dumps / f"ETHUSDT-1m-{DAY}.csv")
    code, rows = against(run, dumps, "--instrument", listed)
    assert (code, {row["verdict"] for row in rows}) == (1, {"differ"})
    assert [(row["theirs"], row["theirs_only"]) for row in rows] == [(whole.height, whole.height)] * 2
    not_run = ("--from", "2024-08-02", "--to", "2024-08-02")
    code, (row,) = against(run, dumps, "--instrument", BTC, *not_run)
    assert (code, row["verdict"]) == (0, "not_judged")
    assert "not run" in str(row["told"])
    result = run("--ids", "--json", "--instrument", BTC, *not_run)
    assert [(row["verdict"], row["told"]) for row in json.loads(result.output)] == [
        ("not_judged", "no trades of it are held: not run")
    ]


def test_a_day_of_ours_that_may_not_be_read_is_said_first(
    run: Run, dumps: Path, lake_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unquote(urlsplit(lake_url).path), tmp_path / "copy")
    lake, unit = open_lake((tmp_path / "copy").as_uri()), DataTypeDay("BINANCE", DataType.TRADES, DAY)
    receipt, _ = load_receipt(lake, unit)
    assert receipt is not None
    (item,) = [it for it in receipt.objects if it.instrument_key == BTC]
    key = object_key(receipt.layouts[0], item.name(unit))
    rows = pl.read_parquet(io.BytesIO(lake.get_bytes(key)[0]))
    sink = io.BytesIO()
    rows.filter(~pl.int_range(pl.len()).is_between(1000, 1100)).write_parquet(sink)
    lake.put_bytes(sink.getvalue(), key, content_type=PARQUET_CONTENT)
    judge_gaps(lake, "BINANCE", (DataType.TRADES,), DAY)
    monkeypatch.setenv("MARKET_DATA_LAKE_URL", lake.url)
    code, (row,) = against(run, dumps, "--instrument", BTC)
    assert (code, row["verdict"]) == (1, "differ")
    assert str(row["told"]).startswith("ours may not be read, and nothing is compared: in doubt")
    # the days beside are whole, and a trade of this day arrived on the next: no word of what we lack
    assert (row["theirs_only"], row["common"], row["ours"]) == (0, 0, 0)


def test_candles_are_held_against_every_minute_and_volume_of_the_day(run: Run, tmp_path: Path, lake_url: str) -> None:
    candles, number = candles_of(trades(lake_url, BTC)), pl.int_range(pl.len())
    busy = int(candles["n"].arg_max() or 0)

    def judged(changed: pl.DataFrame) -> tuple[int, object, str]:
        folder = tmp_path / "candles"
        folder.mkdir(exist_ok=True)
        write(as_dump(changed), folder / f"BTCUSDT-1m-{DAY}.zip")
        code, (row,) = against(run, folder, "--instrument", BTC)
        return code, row["verdict"], str(row["told"])

    assert judged(candles)[:2] == (0, "agree")
    for minute in (0, 1439):
        more = pl.when(number == minute).then(pl.col("n") + 7).otherwise("n").alias("n")
        assert judged(candles.with_columns(more))[:2] == (1, "differ")
    for column, name in (("amount", "base volume"), ("quote", "quote volume")):
        other = pl.when(number == busy).then(pl.col(column) * 1.001).otherwise(column).alias(column)
        code, verdict, told = judged(candles.with_columns(other))
        assert (code, verdict) == (1, "differ")
        assert f"in 1 minutes as many trades have another {name}" in told
    code, verdict, told = judged(candles.filter(~number.is_between(300, 599)))
    assert (code, verdict) == (1, "differ")
    assert "they lack 300 minutes" in told
    code, verdict, told = judged(candles.head(10))
    assert (code, verdict) == (0, "not_judged")
    assert "nothing is compared" in told
