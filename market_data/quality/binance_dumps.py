"""Binance's own public dumps of a day: trades, aggregated trades and one-minute candles, read from files at hand.

Source: github.com/binance/binance-public-data (README): names, columns, `.CHECKSUM` files; times of spot files are
microseconds from 2025-01-01 on, others milliseconds. Futures' files have a header line since 2022 (its issues 246 and
278), spot's have none. The dumps are no truth either: trades and whole symbols are missing on some days (issues 213 and
458). All faults here are permanent: get the file again.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl

from market_data.errors import ConfigurationError

TRADES, AGGREGATED, CANDLES = "trades", "aggTrades", "1m"
_NAME = re.compile(r"(?P<symbol>[A-Z0-9_]+)-(?P<kind>trades|aggTrades|1m)-(?P<day>\d{4}-\d\d-\d\d)\.(zip|csv)")
_SPOT = "BINANCE"
VENUES = (_SPOT, "BINANCE-US", "BINANCE-FUTURES", "BINANCE-DELIVERY")
# columns by kind; spot files have one more at the end, which says nothing here
_COLUMNS = {
    TRADES: ["id", "price", "amount", "quote", "time", "is_buyer_maker"],
    AGGREGATED: ["aggregated_id", "price", "amount", "first_id", "last_id", "time", "is_buyer_maker"],
    CANDLES: [
        "time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker", "taker_quote",
        "ignore",
    ],
}  # fmt: skip
_WHOLE = {"id", "first_id", "last_id", "aggregated_id", "time", "close_time", "count"}
_FIRST_MICROSECOND = 10**14  # before, a number of 13 digits is milliseconds


@dataclass(frozen=True, slots=True)
class Dump:
    """One file of a symbol and day."""

    path: Path
    symbol: str
    kind: str
    day: date


def find_dumps(directory: Path) -> list[Dump]:
    """Return the dumps below a directory, by day, symbol and kind; raises ConfigurationError where there is none."""
    found = sorted(_dumps_in(directory), key=lambda dump: (dump.day, dump.symbol, dump.kind, str(dump.path)))
    if not found:
        raise ConfigurationError(
            f"{directory} holds no dump of Binance's: files are named as in its collection, such as "
            "BTCUSDT-trades-2024-08-08.zip, BTCUSDT-aggTrades-2024-08-08.csv or BTCUSDT-1m-2024-08-08.zip"
        )
    for one, other in pairwise(found):
        if (one.symbol, one.kind, one.day) == (other.symbol, other.kind, other.day):
            raise ConfigurationError(f"{one.path} and {other.path} are the same dump twice: take one of them away")
    return found


def _dumps_in(directory: Path) -> Iterator[Dump]:
    for path in directory.rglob("*"):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            yield Dump(path, match["symbol"], match["kind"], date.fromisoformat(match["day"]))


def read_dump(dump: Dump, venue: str) -> pl.DataFrame:
    """Return the rows of a dump, with `time_us` (microseconds) and, of trades, the taker's `side`.

    Raises ConfigurationError (permanent) for a file that is damaged, of another market or day, or has other columns.
    """
    rows = _parse(dump, _text_of(dump), venue)
    if rows.is_empty():
        raise ConfigurationError(f"{dump.path} has no rows: a day without trades has no dump. Get it again")
    times = pl.when(pl.col("time") >= _FIRST_MICROSECOND).then(pl.col("time")).otherwise(pl.col("time") * 1000)
    rows = rows.with_columns(time_us=times)
    days = rows.select(pl.from_epoch("time_us", time_unit="us").dt.date().unique())["time_us"].to_list()
    if days != [dump.day]:
        raise ConfigurationError(
            f"{dump.path} holds rows of {', '.join(map(str, sorted(days)[:3]))}, and is named after {dump.day}"
        )
    if dump.kind == CANDLES:
        return rows
    side = pl.when("is_buyer_maker").then(pl.lit("sell")).otherwise(pl.lit("buy"))
    return rows.with_columns(side=side)


def _text_of(dump: Dump) -> bytes:
    try:
        data = dump.path.read_bytes()
        _refuse_other_checksum(dump, data)
        if dump.path.suffix == ".csv":
            return data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(names) != 1:
                raise ConfigurationError(f"{dump.path} holds {len(names)} CSV files, and should hold one")
            return archive.read(names[0])
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError) as error:
        raise ConfigurationError(f"{dump.path} cannot be read ({error}): get it again") from error


def _refuse_other_checksum(dump: Dump, data: bytes) -> None:
    beside = dump.path.with_name(f"{dump.path.name}.CHECKSUM")
    if beside.is_file():
        wanted = beside.read_text(encoding="utf-8", errors="replace").split()
        if wanted and hashlib.sha256(data).hexdigest() != wanted[0].lower():
            raise ConfigurationError(f"{dump.path} is not what {beside.name} says (SHA-256): get both again")


def _parse(dump: Dump, text: bytes, venue: str) -> pl.DataFrame:
    columns = _COLUMNS[dump.kind]
    first = text[:4096].split(b"\n", 1)[0].rstrip(b"\r")
    has_header = bool(first) and not first[:1].isdigit()
    extra = len(first.split(b",")) - len(columns)
    is_spot = venue in {_SPOT, "BINANCE-US"}
    if dump.kind != CANDLES and extra != int(is_spot):
        market = "the spot market's" if extra == 1 else "a futures market's" if extra == 0 else "no known"
        raise ConfigurationError(
            f"{dump.path} has {len(columns) + extra} columns, {market} form, and {venue} is asked for: name the venue "
            f"of the market that the file is of ({', '.join(VENUES)})"
        )
    names = [*columns, *(["ignored"] if extra == 1 else [])]
    types = [_dtype(name) for name in names]
    try:
        rows = pl.read_csv(io.BytesIO(text), has_header=has_header, new_columns=names, schema_overrides=types)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(
            f"{dump.path} is not of the form {','.join(columns)} ({error}): get it again"
        ) from error
    if rows.width != len(names) or any(rows[name].null_count() for name in columns):
        raise ConfigurationError(f"{dump.path} has rows with missing cells: it is cut off, or damaged. Get it again")
    if "is_buyer_maker" not in names:
        return rows
    maker = pl.col("is_buyer_maker").str.to_lowercase()
    if not rows.select(maker.is_in(["true", "false"]).all()).item():
        raise ConfigurationError(f"{dump.path}: column is_buyer_maker holds other words than true and false")
    return rows.with_columns(is_buyer_maker=maker == "true")


def _dtype(name: str) -> pl.DataType:
    if name in _WHOLE:
        return pl.Int64()
    return pl.String() if name in {"is_buyer_maker", "ignored", "ignore"} else pl.Float64()
