"""The use case: hold the lake's trades against a second source's files, and against their own ids."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.store import read_units
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.quality.binance_dumps import AGGREGATED, CANDLES, VENUES, Dump, find_dumps, read_dump
from market_data.quality.ids import CONTIGUOUS_SHARE, contiguous_share, missing_ids
from market_data.quality.second_source import (
    AGREE,
    DIFFER,
    NOT_JUDGED,
    Reconciled,
    reconcile_aggregated,
    reconcile_candles,
    reconcile_trades,
)
from market_data.read.scan import IncompleteTicksWarning, NothingMatchesWarning, scan_ticks

_DAY = timedelta(days=1)
_NAMED = 20
# One row for each day, symbol and file of the second source, sorted by them; a symbol that only one side has is a row
# too. `instrument_key` is null where the lake does not know the symbol. See `Reconciled` for the numbers.
COMPARED_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "symbol": pl.String(),
        "instrument_key": pl.String(),
        "source": pl.String(),
        "verdict": pl.String(),
        "told": pl.String(),
        **dict.fromkeys(
            ("ours", "theirs", "common", "ours_only", "theirs_only", "longest_run", "neither", "differing"), pl.Int64()
        ),
        "spans": pl.List(pl.String()),
    }
)
# One row for each instrument and day, sorted by both: whether its ids rise by one, and how many are missing.
IDS_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "day": pl.Date(),
        "trades": pl.Int64(),
        "contiguous_share": pl.Float64(),
        "verdict": pl.String(),
        "missing": pl.Int64(),
        "ranges": pl.List(pl.String()),
    }
)


def compare_with_binance(
    lake: TickLake, directory: Path, venue: str, *, days: Sequence[date] = (), keys: Iterable[str] = ()
) -> pl.DataFrame:
    """Return `COMPARED_SCHEMA` of the dumps below a directory, of some days and instruments (none: all that is there).

    Raises ConfigurationError (permanent) for a file that is no dump, or another venue's; LakeError of any kind.
    """
    if venue not in VENUES:
        raise ConfigurationError(f"{venue} has no dumps of Binance's. Venues: {', '.join(VENUES)}")
    wanted = frozenset(keys)
    dumps = [dump for dump in find_dumps(directory) if not days or dump.day in days]
    rows: list[dict[str, object]] = []
    for day in sorted({dump.day for dump in dumps} | set(days)):
        rows += _compare_day(lake, venue, day, [dump for dump in dumps if dump.day == day], wanted)
    frame = pl.DataFrame(rows, schema=COMPARED_SCHEMA)
    return frame.sort("day", "symbol", "source")


def _compare_day(
    lake: TickLake, venue: str, day: date, dumps: Sequence[Dump], wanted: frozenset[str]
) -> Iterator[dict[str, object]]:
    known = _instruments(lake, venue, day)
    chosen = {symbol: key for symbol, key in known.items() if not wanted or key in wanted}
    seen = set()
    for dump in dumps:
        key = known.get(dump.symbol)
        if wanted and key not in wanted:
            continue
        seen.add(dump.symbol)
        found = _compare_dump(lake, venue, dump, key)
        yield _row(day, dump.symbol, key, dump.kind, found)
    for symbol in sorted(chosen.keys() - seen):
        told = "the second source has no file of it at hand: get it, or take it for not compared"
        yield _row(day, symbol, chosen[symbol], "none", Reconciled(NOT_JUDGED, told))


def _instruments(lake: TickLake, venue: str, day: date) -> dict[str, str]:
    """Return the instruments with a trades file on a day, by the vendor's symbol."""
    units = read_units(lake, {venue: [DataType.TRADES]}, [day])
    unit = units.get(DataTypeDay(venue, DataType.TRADES, day))
    files = unit.files if unit else ()
    return {file.vendor_symbol: file.instrument_key for file in files if file.instrument_key}


def _compare_dump(lake: TickLake, venue: str, dump: Dump, key: str | None) -> Reconciled:
    theirs = read_dump(dump, venue)
    if key is None:
        told = "the lake holds no trades of this symbol on this day: `market-data coverage` says why"
        return Reconciled(DIFFER, told, theirs=theirs.height, theirs_only=theirs.height)
    ours, are_held = _trades(lake, key, dump.day)
    if ours.is_empty():
        told = "the lake holds no trades of it that may be read: `market-data why` says why"
        return Reconciled(DIFFER, told, theirs=theirs.height, theirs_only=theirs.height)
    if dump.kind == CANDLES:
        return reconcile_candles(ours, theirs)
    reconcile = reconcile_aggregated if dump.kind == AGGREGATED else reconcile_trades
    return reconcile(ours, theirs, are_held=are_held)


def _trades(lake: TickLake, key: str, day: date) -> tuple[pl.DataFrame, tuple[bool, bool]]:
    """Return an instrument's trades of a day by the venue's own time, and whether the days beside it are held.

    What happened shortly before midnight may have arrived after it, so the days beside are read too, where held.
    """
    columns = ("id", pl.col("timestamp").dt.epoch("us").alias("time_us"), "price", "amount", "side")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteTicksWarning)
        warnings.simplefilter("ignore", NothingMatchesWarning)
        rows = scan_ticks(
            "trades", instruments=key, start=day - _DAY, end=day + 2 * _DAY, on_incomplete="skip", lake=lake
        )
        found = rows.select("date", "timestamp", *columns).collect()
    held = set(found["date"].unique())
    own = found.filter(pl.col("timestamp").dt.date() == day)
    return own.drop("date", "timestamp"), (day - _DAY in held, day + _DAY in held)


def _row(day: date, symbol: str, key: str | None, source: str, found: Reconciled) -> dict[str, object]:
    numbers = ("ours", "theirs", "common", "ours_only", "theirs_only", "longest_run", "neither", "differing")
    head: Mapping[str, object] = {"day": day, "symbol": symbol, "instrument_key": key, "source": source}
    told = {"verdict": found.verdict, "told": found.told, "spans": list(found.spans)}
    return {**head, **told, **{name: getattr(found, name) for name in numbers}}


def check_ids(lake: TickLake, venue: str, days: Sequence[date], keys: Iterable[str] = ()) -> pl.DataFrame:
    """Return `IDS_SCHEMA` of the venue's trades: where ids rise by one, a day is proven complete, or names what lacks.

    Ids that do not rise by one prove nothing: `not_judged`. Raises LakeError of any kind.
    """
    wanted = frozenset(keys)
    units = read_units(lake, {venue: [DataType.TRADES]}, days)
    rows: list[dict[str, object]] = []
    for unit in units.values():
        held = [file for file in unit.files if file.outcome is Outcome.STORED and file.instrument_key]
        for file in held:
            key = file.instrument_key
            if key is not None and (not wanted or key in wanted):
                rows.append(_ids_of(lake, key, unit.head.day))
    return pl.DataFrame(rows, schema=IDS_SCHEMA).sort("instrument_key", "day")


def _ids_of(lake: TickLake, key: str, day: date) -> dict[str, object]:
    rows = scan_ticks("trades", instruments=key, start=day, end=day + _DAY, on_incomplete="include", lake=lake)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteTicksWarning)
        ids = rows.select("id").collect()["id"]
    share = contiguous_share(ids)
    told: dict[str, object] = {"instrument_key": key, "day": day, "trades": ids.len(), "contiguous_share": share}
    if share is None or share < CONTIGUOUS_SHARE:
        return told | {"verdict": NOT_JUDGED, "missing": None, "ranges": []}
    missing = missing_ids(ids)
    ranges = [f"{first} to {last} ({count:,})" for first, last, count in missing.head(_NAMED).iter_rows()]
    verdict = DIFFER if missing.height else AGREE
    return told | {"verdict": verdict, "missing": int(missing["ids"].sum()), "ranges": ranges}
