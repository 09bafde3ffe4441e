"""The use case: hold the lake's trades against a second source's files, and against their own ids."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.instruments import list_universes, read_universes
from market_data.index.store import read_units
from market_data.index.unit import IndexedUnit
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.quality.binance_dumps import AGGREGATED, CANDLES, VENUES, Dump, find_dumps, read_dump
from market_data.quality.ids import CONTIGUOUS_SHARE, contiguous_share, missing_ids, whole_numbers
from market_data.quality.second_source import (
    AGREE,
    DIFFER,
    NOT_JUDGED,
    Reconciled,
    reconcile_aggregated,
    reconcile_candles,
    reconcile_trades,
)
from market_data.read.completeness import NOT_RUN, Wanted, cause_of
from market_data.read.scan import IncompleteTicksWarning, NothingMatchesWarning, scan_ticks

_DAY = timedelta(days=1)
_NAMED, _NEAREST = 20, 3
# More ids over midnight than this many times the trades on both its sides are no loss: the venue counts anew.
_PLAUSIBLE = 100
_DELIVERY = "BINANCE-DELIVERY"
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
# One row for each instrument and day, sorted by both: whether its ids rise by one, and how many are missing. What lacks
# between the last trade of a day and the first of the next counts on both days, for it may be of either. `edges_known`
# says whether both days beside are held: nothing is known of what was before the first trade, or after the last, else.
IDS_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "day": pl.Date(),
        "trades": pl.Int64(),
        "contiguous_share": pl.Float64(),
        "verdict": pl.String(),
        "told": pl.String(),
        "edges_known": pl.Boolean(),
        "missing": pl.Int64(),
        "ranges": pl.List(pl.String()),
    }
)


def compare_with_binance(
    lake: TickLake, directory: Path, venue: str, *, days: Sequence[date] = (), keys: Iterable[str] = ()
) -> pl.DataFrame:
    """Return `COMPARED_SCHEMA` of the dumps below a directory, of some days and instruments (none: all that is there).

    A day of ours that may not be read is compared with nothing, and differs. Raises ConfigurationError (permanent) for
    a file that is no dump, or another venue's, and for an instrument that the venue does not have; LakeError of any
    kind.
    """
    if venue not in VENUES:
        raise ConfigurationError(f"{venue} has no dumps of Binance's. Venues: {', '.join(VENUES)}")
    dumps = [dump for dump in find_dumps(directory) if not days or dump.day in days]
    every = sorted({dump.day for dump in dumps} | set(days))
    held = _Held(venue, read_units(lake, {venue: [DataType.TRADES]}, every))
    wanted = frozenset(keys)
    symbols = _wanted_symbols(lake, held, every, wanted)
    rows: list[dict[str, object]] = []
    for day in every:
        rows += _compare_day(lake, held, day, [dump for dump in dumps if dump.day == day], symbols)
    frame = pl.DataFrame(rows, schema=COMPARED_SCHEMA)
    return frame.sort("day", "symbol", "source")


@dataclass(frozen=True, slots=True)
class _Held:
    """What the lake holds of a venue's trades."""

    venue: str
    units: Mapping[DataTypeDay, IndexedUnit]

    def unit(self, day: date) -> IndexedUnit | None:
        return self.units.get(DataTypeDay(self.venue, DataType.TRADES, day))

    def symbols(self, day: date) -> dict[str, str]:
        """Return the instruments with a trades file on a day, by the vendor's symbol."""
        unit = self.unit(day)
        files = unit.files if unit else ()
        return {file.vendor_symbol: file.instrument_key for file in files if file.instrument_key}

    def stored(self, day: date) -> set[str]:
        """Return the instruments of which trades are held of a day."""
        unit = self.unit(day)
        files = unit.files if unit else ()
        return {it.instrument_key for it in files if it.instrument_key and it.outcome is Outcome.STORED}

    def cause(self, key: str, day: date) -> str | None:
        """Return why an instrument's trades of a day may not be read, None where they may."""
        unit = self.unit(day)
        if unit is None:
            return NOT_RUN
        own = replace(unit, files=tuple(file for file in unit.files if file.instrument_key in {key, None}))
        return cause_of(own, Wanted(frozenset([key])))


def _wanted_symbols(lake: TickLake, held: _Held, days: Sequence[date], wanted: frozenset[str]) -> dict[str, str]:
    """Return the instruments asked for by the vendor's symbol, as the lake has them on any of the days; none: none.

    Raises ConfigurationError (permanent) for one of another venue, and for one that the venue has on none of the days.
    """
    for key in sorted(wanted):
        if (of := parse_instrument_key(key)[0]) != held.venue:
            raise ConfigurationError(f"{key} is an instrument of {of}, and the venue asked for is {held.venue}")
    found = {symbol: key for day in days for symbol, key in held.symbols(day).items()}
    is_known = bool(held.units)
    if days and not wanted <= set(found.values()):  # what a venue lists need not be taken
        listings = list_universes(lake, min(days), max(days))
        listed = {pair: it for pair, it in listings.items() if pair[0] == held.venue and pair[1] in days}
        is_known = is_known or bool(listed)
        for frame in read_universes(lake, listed, ("instrument_key", "vendor_symbol")):
            names = frame.select(pl.col("vendor_symbol").str.to_uppercase(), "instrument_key")
            found = {**dict(names.iter_rows()), **found}
    known = sorted(set(found.values()))
    unknown = sorted(wanted - set(known))
    if unknown and is_known:
        near = ", ".join(get_close_matches(unknown[0], known, _NEAREST)) or "nothing"
        raise ConfigurationError(
            f"{held.venue} has no instrument {unknown[0]} on these days, as far as the lake knows. What comes near: "
            f"{near}. `market-data find` lists them"
        )
    # of days that were not run nothing is known, nor the vendor's symbols
    return {symbol: key for symbol, key in found.items() if key in wanted} | {
        parse_instrument_key(key)[2]: key for key in unknown
    }


def _compare_day(
    lake: TickLake, held: _Held, day: date, dumps: Sequence[Dump], wanted: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    known = {**held.symbols(day), **wanted}
    chosen = wanted or known
    seen = set()
    for dump in dumps:
        if wanted and dump.symbol not in wanted:
            continue
        seen.add(dump.symbol)
        key = known.get(dump.symbol)
        yield _row(day, dump.symbol, key, dump.kind, _compare_dump(lake, held, dump, key))
    for symbol in sorted(chosen.keys() - seen):
        told = "the second source has no file of it at hand: get it, or take it for not compared"
        if cause := held.cause(chosen[symbol], day):
            told = f"no file of it is at hand, and ours may not be read: {cause}"
        yield _row(day, symbol, chosen[symbol], "none", Reconciled(NOT_JUDGED, told))


def _compare_dump(lake: TickLake, held: _Held, dump: Dump, key: str | None) -> Reconciled:
    theirs = read_dump(dump, held.venue)
    count = _count_trades(dump, theirs)
    if key is None:
        told = "the lake holds no trades of this symbol on this day: `market-data coverage` says why"
        return Reconciled(DIFFER, told, theirs=count, theirs_only=count)
    if cause := held.cause(key, dump.day):
        told = f"ours may not be read, and nothing is compared: {cause} (`market-data why`)"
        return Reconciled(DIFFER, told, theirs=count, theirs_only=0 if key in held.stored(dump.day) else count)
    ours, are_held = _trades(lake, key, dump.day)
    if ours.is_empty() and count:
        told = "the lake holds no trade of it on this day: `market-data why` says why"
        return Reconciled(DIFFER, told, theirs=count, theirs_only=count)
    if dump.kind == CANDLES:
        # of coin-margined futures the first volume is in contracts, and the second in coins
        return reconcile_candles(ours, theirs, are_held=are_held, has_quote_volume=held.venue != _DELIVERY)
    reconcile = reconcile_aggregated if dump.kind == AGGREGATED else reconcile_trades
    return reconcile(ours, theirs, are_held=are_held)


def _count_trades(dump: Dump, rows: pl.DataFrame) -> int:
    """Return how many single trades a dump tells of."""
    if dump.kind == CANDLES:
        return int(rows["count"].sum())
    return int((rows["last_id"] - rows["first_id"] + 1).sum()) if dump.kind == AGGREGATED else rows.height


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

    The last id of the day before and the first of the day after are looked at too, where these days are held.
    Ids that do not rise by one prove nothing: `not_judged`. Raises ConfigurationError (permanent) for an instrument
    that the venue does not have; LakeError of any kind.
    """
    beside = {day + step for day in days for step in (-_DAY, timedelta(), _DAY) if _has(day, step)}
    held = _Held(venue, read_units(lake, {venue: [DataType.TRADES]}, sorted(beside)))
    wanted = frozenset(keys)
    _wanted_symbols(lake, held, sorted(beside), wanted)
    stored = {day: held.stored(day) for day in beside}
    asked = sorted((key, day) for day in days for key in wanted or stored[day])

    @lru_cache(maxsize=3)  # of a day, that before and that after: each is read once
    def read(key: str, day: date) -> pl.Series:
        return _read_ids(lake, key, day)

    def numbers(key: str, day: date, step: timedelta) -> pl.Series:
        is_held = _has(day, step) and key in stored[day + step]
        ids = whole_numbers(read(key, day + step)).drop_nulls() if is_held else pl.Series(dtype=pl.Int64)
        return ids.unique().sort()

    rows = []
    for key, day in asked:
        if key in stored[day]:
            rows.append(_judge_ids(key, day, read(key, day), numbers(key, day, -_DAY), numbers(key, day, _DAY)))
        else:
            told = f"no trades of it are held: {held.cause(key, day) or 'the vendor has none'}"
            rows.append({"instrument_key": key, "day": day, "trades": 0, "verdict": NOT_JUDGED, "told": told})
    return pl.DataFrame(rows, schema=IDS_SCHEMA)


def _has(day: date, step: timedelta) -> bool:
    """Whether there is a day beside one."""
    return not (step < timedelta() and day == date.min) and not (step > timedelta() and day == date.max)


def _read_ids(lake: TickLake, key: str, day: date) -> pl.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteTicksWarning)
        rows = scan_ticks("trades", instruments=key, start=day, end=day + _DAY, on_incomplete="include", lake=lake)
        return rows.select("id").collect()["id"]


def _judge_ids(key: str, day: date, ids: pl.Series, before: pl.Series, after: pl.Series) -> dict[str, object]:
    """Return the row of `IDS_SCHEMA` for a day's ids, and the whole numbers among those of the days beside."""
    share = contiguous_share(ids)
    row: dict[str, object] = {"instrument_key": key, "day": day, "trades": ids.len(), "contiguous_share": share}
    if share is None or share < CONTIGUOUS_SHARE:
        told = "its ids do not rise by one"
        return row | {"verdict": NOT_JUDGED, "told": told, "edges_known": None, "missing": None, "ranges": []}
    own = whole_numbers(ids).drop_nulls().unique().sort()
    first, last = int(own[0]), int(own[-1])
    edges = {"before": _edge("the day before", before, own), "after": _edge("the day after", own, after)}
    # rows of one message may come on both sides of midnight: an id is there on whichever day it is
    beside = [ids for ids, edge in zip((before, after), edges.values(), strict=True) if edge is None]
    every = pl.concat([own, *beside])
    low = first if edges["before"] else min(first, int(before[-1]))
    high = last if edges["after"] else max(last, int(after[0]))
    missing = missing_ids(every.filter((every >= low) & (every <= high)))
    ranges = [_describe_range(*it, first=first, last=last) for it in missing.head(_NAMED).iter_rows()]
    count, unknown = int(missing["ids"].sum()), [f"{side}: not known, {why}" for side, why in edges.items() if why]
    told = f"{count:,} ids are missing" if count else "complete"
    if unknown and not count:
        told = "complete between its first and last trade"
    told = "; ".join([told, *unknown])
    verdict = DIFFER if count else AGREE
    return row | {"verdict": verdict, "told": told, "edges_known": not unknown, "missing": count, "ranges": ranges}


def _edge(name: str, earlier: pl.Series, later: pl.Series) -> str | None:
    """Return why nothing is known of the ids between two days, of which one is judged; None where it is known."""
    if earlier.is_empty() or later.is_empty():
        return f"no trades of {name} are held"
    jump, trades = int(later[0]) - int(earlier[-1]), earlier.len() + later.len()
    # rows of one message may come on both sides of midnight
    is_anew = later[-1] < earlier[-1] or later[0] < earlier[0] or jump > _PLAUSIBLE * trades
    far = f" (they jump by {jump:,})" if jump > 0 else ""
    return f"the ids of {name} are another count{far}" if is_anew else None


def _describe_range(low: int, high: int, count: int, *, first: int, last: int) -> str:
    where = ", since the last trade of the day before" if high < first else ""
    where = ", until the first trade of the day after" if low > last else where
    return f"{low} to {high} ({count:,}){where}"
