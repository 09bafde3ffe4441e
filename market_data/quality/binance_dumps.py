"""Binance's own public dumps of a day: trades, aggregated trades and one-minute candles, read from files at hand.

Source: github.com/binance/binance-public-data (README): names, columns, `.CHECKSUM` files; times of spot files are
microseconds from 2025-01-01 on, others milliseconds. Futures' files have a header line since 2022 (its issues 246 and
278), spot's have none. The dumps are no truth either: trades and whole symbols are missing on some days (issues 213 and
458). A file of candles has a line for every minute, also without trades, but for those in which trading was suspended
(issues 153 and 169). All faults here are permanent: get the file again.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

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
_DAY_US, _MINUTE_US = 86_400_000_000, 60_000_000
_EPOCH = date(1970, 1, 1)
_LARGEST_ID = 2**62
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# An aggregated trade is one order's: thousands of single trades at most, tens of millions in a day.
_LONGEST_RANGE, _MOST_TRADES = 1_000_000, 200_000_000
# What damaged bytes make of a ZIP file's reader and its decoders, and of Polars' parser.
_DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, RuntimeError, ArithmeticError, MemoryError, struct.error),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)


@dataclass(frozen=True, slots=True)
class Dump:
    """One file of a symbol and day."""

    path: Path
    symbol: str
    kind: str
    day: date


def find_dumps(directory: Path) -> list[Dump]:
    """Return the dumps of days below a directory, by day, symbol and kind.

    Raises ConfigurationError (permanent) where there is none, where one is there twice, or named after no day.
    """
    try:
        named = [(path, match) for path in directory.rglob("*") if (match := _NAME.fullmatch(path.name))]
        dumps = [_named_dump(path, match) for path, match in named if path.is_file()]
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be looked through ({error}): may you read it?") from error
    found = sorted(dumps, key=lambda dump: (dump.day, dump.symbol, dump.kind, str(dump.path)))
    if not found:
        raise ConfigurationError(
            f"{directory} holds no dump of Binance's: files are named as in its collection, such as "
            "BTCUSDT-trades-2024-08-08.zip, BTCUSDT-aggTrades-2024-08-08.csv or BTCUSDT-1m-2024-08-08.zip. Those of "
            "months are not read: get the days"
        )
    for one, other in pairwise(found):
        if (one.symbol, one.kind, one.day) == (other.symbol, other.kind, other.day):
            raise ConfigurationError(f"{one.path} and {other.path} {_describe_twice(one.path, other.path)}")
    return found


def _named_dump(path: Path, match: re.Match[str]) -> Dump:
    try:
        return Dump(path, match["symbol"], match["kind"], date.fromisoformat(match["day"]))
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is named after {match['day']}, a day that there is not: name it as it was downloaded, or take "
            "it away"
        ) from error


def _describe_twice(one: Path, other: Path) -> str:
    """Return what to do about two files of one symbol, kind and day: trees of two markets may lie side by side."""
    if one.parent == other.parent:
        return "are the same dump twice: take one of them away"
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one.parts, other.parts, strict=False))))
    folders = " or ".join(str(Path(*path.parts[: common + 1])) for path in (one, other))
    return (
        f"are two files of one symbol and day. Are they of two markets, spot and futures? Then name one market's "
        f"folder in --files ({folders}); if they are the same dump twice, take one of them away"
    )


def read_dump(dump: Dump, venue: str) -> pl.DataFrame:
    """Return the rows of a dump, with `time_us` (microseconds) and, of trades, the taker's `side`.

    Raises ConfigurationError (permanent), and nothing else, for a file that is damaged, of another market or day, or
    has other columns.
    """
    try:
        rows = _parse(dump, _text_of(dump), venue)
        times = pl.when(pl.col("time") >= _FIRST_MICROSECOND).then(pl.col("time")).otherwise(pl.col("time") * 1000)
        rows = rows.with_columns(time_us=times)
        _refuse_other_days(dump, rows["time_us"])
        _refuse_impossible(dump, rows)
    except _DAMAGE as error:
        raise ConfigurationError(f"{dump.path} cannot be read ({_brief(error)}): get it again") from error
    if dump.kind == CANDLES:
        return rows
    side = pl.when("is_buyer_maker").then(pl.lit("sell")).otherwise(pl.lit("buy"))
    return rows.with_columns(side=side)


def _brief(error: BaseException) -> str:
    """Return the first line of an error: Polars goes on with advice about its own arguments."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(":. ") if lines else type(error).__name__


def _text_of(dump: Dump) -> bytes:
    data = dump.path.read_bytes()
    _refuse_other_checksum(dump, data)
    if dump.path.suffix == ".csv":
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise ConfigurationError(f"{dump.path} holds {len(names)} CSV files, and should hold one: get it again")
        return archive.read(names[0])


def _refuse_other_checksum(dump: Dump, data: bytes) -> None:
    beside = dump.path.with_name(f"{dump.path.name}.CHECKSUM")
    if beside.is_file():
        wanted = beside.read_text(encoding="utf-8", errors="replace").split()
        if wanted and hashlib.sha256(data).hexdigest() != wanted[0].lower():
            raise ConfigurationError(f"{dump.path} is not what {beside.name} says (SHA-256): get both again")


def _refuse_other_days(dump: Dump, times_us: pl.Series) -> None:
    """Raise ConfigurationError for rows of other days than the file is named after."""
    days = (times_us // _DAY_US).unique().sort()
    if days.to_list() != [(dump.day - _EPOCH).days]:
        told = ", ".join(_describe_day(day) for day in days.head(3))
        raise ConfigurationError(f"{dump.path} holds rows of {told}, and is named after {dump.day}: get it again")


def _describe_day(number: int) -> str:
    try:
        return str(_EPOCH + timedelta(days=number))
    except OverflowError:
        return "no day that there is"


def _refuse_impossible(dump: Dump, rows: pl.DataFrame) -> None:
    """Raise ConfigurationError for what no dump says: ranges of ids that fall, candles of other lengths, no numbers."""
    told = None
    numbers = [name for name, dtype in rows.schema.items() if dtype == pl.Float64]
    if not rows.select(pl.all_horizontal(pl.col(numbers).is_finite().all())).item():
        told = "numbers that are infinite or none"
    elif dump.kind == TRADES and not rows["id"].is_between(0, _LARGEST_ID).all():
        told = "ids that are none"
    elif dump.kind == AGGREGATED:
        first, last = rows["first_id"], rows["last_id"]
        if not ((first >= 0) & (first <= last) & (last < _LARGEST_ID)).all():
            told = "ranges of ids that end before they begin"
        elif (last - first).max() >= _LONGEST_RANGE or (last - first).sum() > _MOST_TRADES:  # type: ignore[operator]
            told = "more single trades in an aggregated one than there can be"
    elif dump.kind == CANDLES:
        if (rows["time_us"] % _MINUTE_US != 0).any() or (rows["count"] < 0).any():
            told = "candles that are none of a minute"
        elif rows["time_us"].is_duplicated().any():
            told = "some minutes twice"
    if told:
        raise ConfigurationError(f"{dump.path} holds {told}: it is damaged. Get it again")


def _parse(dump: Dump, text: bytes, venue: str) -> pl.DataFrame:
    columns = _COLUMNS[dump.kind]
    text = text.removeprefix(_BYTE_ORDER_MARK)
    first = text[:4096].split(b"\n", 1)[0].strip()
    has_header = _is_header(first)
    if not text.strip() or (has_header and not text.partition(b"\n")[2].strip()):
        raise ConfigurationError(f"{dump.path} is empty: a day without trades has no dump. Get it again")
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
    # no dump has quotes around its cells: one that is damaged into a quote must not swallow lines
    options: dict[str, Any] = {"has_header": has_header, "new_columns": names, "quote_char": None}
    try:
        rows = pl.read_csv(io.BytesIO(text), schema_overrides=types, **options)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(
            f"{dump.path} is not of the form {','.join(columns)} ({_brief(error)}): get it again"
        ) from error
    if rows.width != len(names) or any(rows[name].null_count() for name in columns):
        raise ConfigurationError(f"{dump.path} has rows with missing cells: it is cut off, or damaged. Get it again")
    if "is_buyer_maker" not in names:
        return rows
    maker = pl.col("is_buyer_maker").str.to_lowercase()
    if not rows.select(maker.is_in(["true", "false"]).all()).item():
        raise ConfigurationError(
            f"{dump.path}: column is_buyer_maker holds other words than true and false: get it again"
        )
    return rows.with_columns(is_buyer_maker=maker == "true")


def _is_header(line: bytes) -> bool:
    """Whether a first line is one of names: in none of its cells is a number, as in a trade with a damaged byte."""
    cells = [cell.strip(b' "').decode("utf-8", errors="replace") for cell in line.split(b",")]
    return all(cell[:1].isalpha() and cell.lower() not in {"true", "false"} for cell in cells)


def _dtype(name: str) -> pl.DataType:
    if name in _WHOLE:
        return pl.Int64()
    return pl.String() if name in {"is_buyer_maker", "ignored", "ignore"} else pl.Float64()
