"""A day's trades held against a second source's: by ids on exchange time, or by minutes where ids do not help. Pure.

Neither source is the truth. Its file is of a whole UTC day, as its name says: what only one of both has is told,
wherever in the day it lies. A trade that both lack shows as a jump of the id in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from market_data.quality.ids import are_contiguous, ranges_of_steps, runs_of

# More than one trade in 100,000, or so many in a row, is no accident of an edge.
SHARE_LIMIT, RUN_LIMIT = 1e-5, 50
_EDGE_US = 5_000_000
_DAY_US, _MINUTE_US = 86_400_000_000, 60_000_000
_NAMED = 20
_CLOSE = 1e-9
# Candles bound a loss where they are of most of a day; of fewer lines nothing is compared. (A day has 1,440.)
FEWEST_MINUTES, _MINUTES = 60, 1440
# Volumes of a minute agree within one in a million and, for each trade, the eighth decimal that they are rounded at.
VOLUME_LIMIT, _ROUNDED_AT = 1e-6, 1e-8
_WORDS = {"volume": "base volume", "quote_volume": "quote volume"}

AGREE, DIFFER, NOT_JUDGED = "agree", "differ", "not_judged"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One instrument's day held against one file of a second source; counts are of trades.

    `longest_run` is the longest run of ids that we lack (of candles: of minutes in which we lack some), `differing` the
    trades (minutes) with other values, `spans` words for the longest ranges that one of both lacks.
    """

    verdict: str
    told: str
    ours: int = 0
    theirs: int = 0
    common: int = 0
    ours_only: int = 0
    theirs_only: int = 0
    longest_run: int = 0
    neither: int = 0
    differing: int = 0
    spans: tuple[str, ...] = field(default=())


def reconcile_trades(ours: pl.DataFrame, theirs: pl.DataFrame, *, are_held: tuple[bool, bool]) -> Reconciled:
    """Hold trades (`id`, `time_us`, `price`, `amount`, `side`) of one whole day against each other by their ids.

    Both go by the exchange's time, so that both have the whole day, to its first and last instant. Two things are left
    out within five seconds of midnight, where a trade may have arrived on its other side: trades of ours (50 at most)
    before their first or after their last, and everything at an edge beside which we do not hold the day (`are_held`:
    the day before, the day after).
    """
    if theirs["id"].n_unique() != theirs.height:
        repeated = theirs.height - theirs["id"].n_unique()
        return Reconciled(NOT_JUDGED, f"the second source repeats {repeated:,} ids: get it again", theirs=theirs.height)
    numbers = ours.with_columns(pl.col("id").cast(pl.Int64, strict=False)).unique("id", keep="first")
    if numbers["id"].null_count():
        return Reconciled(
            NOT_JUDGED, "our ids are no whole numbers, as the second source's are", ours.height, theirs.height
        )
    # by id, since one of both may have milliseconds where the other has microseconds
    at_edge = pl.concat([rows.filter(_is_at_edge(are_held)).select("id") for rows in (numbers, theirs)])
    numbers = _without(numbers, pl.concat([at_edge, _beyond(numbers, theirs)]))
    theirs = _without(theirs, at_edge)
    edges = _describe_edges(are_held, "5 seconds")
    common = numbers.join(theirs, on="id", suffix="_theirs")
    ours_only, theirs_only = (_without(rows, common, rows.height - common.height) for rows in (numbers, theirs))
    counts = Reconciled(DIFFER, "", numbers.height, theirs.height, common.height, ours_only.height, theirs_only.height)
    if numbers.is_empty() and theirs.is_empty():
        return replace(counts, verdict=NOT_JUDGED, told=f"nothing is compared: no trade of either is left ({edges})")
    lacking, more = runs_of(theirs_only["id"]), runs_of(ours_only["id"])
    spans = (*_spans("we lack", lacking, theirs_only), *_spans("they lack", more, ours_only))
    longest = _longest(lacking)
    if common.is_empty() and not (numbers.is_empty() or theirs.is_empty()):
        told = f"no id of theirs ({theirs.height:,}) is one of ours ({numbers.height:,}): is the file another symbol's?"
        return replace(counts, told=told, longest_run=longest, spans=spans)
    differing = common.filter(
        ((pl.col("price") - pl.col("price_theirs")).abs() > _CLOSE * pl.col("price").abs())
        | ((pl.col("amount") - pl.col("amount_theirs")).abs() > _CLOSE * pl.col("amount").abs())
        | (pl.col("side") != pl.col("side_theirs"))
    )
    every = pl.concat([numbers["id"], theirs["id"]]).unique().sort()
    neither = int(ranges_of_steps(every)["ids"].sum()) if are_contiguous(every) else 0
    is_fine = not differing.height and _is_little(lacking, theirs.height) and _is_little(more, numbers.height)
    told = _tell(theirs_only.height, ours_only.height, neither, differing.height)
    return replace(
        counts,
        verdict=AGREE if is_fine else DIFFER,
        told="; ".join(filter(None, (told, edges))),
        longest_run=longest,
        neither=neither,
        differing=differing.height,
        spans=spans,
    )


def _is_at_edge(are_held: tuple[bool, bool]) -> pl.Expr:
    of_day = pl.col("time_us") % _DAY_US
    is_first = (of_day < _EDGE_US) & pl.lit(not are_held[0])
    return is_first | ((of_day >= _DAY_US - _EDGE_US) & pl.lit(not are_held[1]))


def _without(rows: pl.DataFrame, others: pl.DataFrame, left: int | None = None) -> pl.DataFrame:
    """Return the rows whose ids are not among others; `left` is how many these are, where that is known."""
    if left == 0:
        return rows.clear()
    return rows.join(others.select("id"), on="id", how="anti") if others.height else rows


def _beyond(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Return the few ids of ours within seconds of midnight that are before their first trade, or after their last."""
    first, last = theirs.select(pl.col("time_us").min().alias("first"), pl.col("time_us").max().alias("last")).row(0)
    is_outside = (pl.col("time_us") < first) | (pl.col("time_us") > last)
    outside = ours.filter(is_outside & _is_at_edge((False, False)))
    # a time of theirs in milliseconds is before that of ours in microseconds
    found = outside.join(theirs.filter(_is_at_edge((False, False))), on="id", how="anti").select("id")
    return found if found.height <= RUN_LIMIT else found.clear()


def _describe_edges(are_held: tuple[bool, bool], span: str) -> str:
    sides = (("first", "the day before"), ("last", "the day after"))
    open_sides = [side for side, is_held in zip(sides, are_held, strict=True) if not is_held]
    return "; ".join(f"the {which} {span} are left out: {day} is not held" for which, day in open_sides)


def _is_little(runs: pl.DataFrame, of: int) -> bool:
    """Whether what one of both lacks is no more than an accident of an edge."""
    return int(runs["ids"].sum()) <= SHARE_LIMIT * of and _longest(runs) <= RUN_LIMIT


def _longest(runs: pl.DataFrame) -> int:
    return int(runs["ids"].max() or 0)  # type: ignore[arg-type]


def _tell(lacking: int, more: int, neither: int, differing: int) -> str:
    parts = []
    if lacking:
        parts.append(f"we lack {lacking:,} that they have")
    if more:
        parts.append(f"they lack {more:,} that we have")
    if neither:
        parts.append(f"both lack {neither:,}: the ids jump")
    if differing:
        parts.append(f"{differing:,} have another price, amount or side")
    return "; ".join(parts) or "every trade is in both, with the same values"


def _spans(who: str, runs: pl.DataFrame, rows: pl.DataFrame) -> Iterator[str]:
    """Yield the longest ranges of ids that one of both lacks, with their times."""
    for first, last, count in runs.sort("ids", "first_id", descending=[True, False]).head(_NAMED).iter_rows():
        times = rows.filter(pl.col("id").is_between(first, last))["time_us"]
        start, end = (
            pl.Series([it]).cast(pl.Datetime("us")).dt.strftime("%H:%M:%S")[0] for it in (times.min(), times.max())
        )
        yield f"{who} ids {first} to {last} ({count:,}), {start} to {end}"


def expand_aggregated(aggregated: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each trade of aggregated ones: all but the amounts, which are known of their sum alone."""
    ids = pl.int_ranges("first_id", pl.col("last_id") + 1)
    return aggregated.with_columns(id=ids).explode("id").select("id", "time_us", "price", "side")


def reconcile_aggregated(ours: pl.DataFrame, aggregated: pl.DataFrame, *, are_held: tuple[bool, bool]) -> Reconciled:
    """Hold trades against aggregated ones: every id of each of their ranges, prices and sides; no single amounts."""
    theirs = expand_aggregated(aggregated)
    numbers = ours.with_columns(pl.col("id").cast(pl.Int64, strict=False))
    amounts = numbers.drop_nulls("id").unique("id", keep="first").select("id", "amount")
    known = theirs.join(amounts, on="id", how="left").with_columns(pl.col("amount").fill_null(0.0))
    return reconcile_trades(ours, known, are_held=are_held)


def reconcile_candles(
    ours: pl.DataFrame, candles: pl.DataFrame, *, are_held: tuple[bool, bool], has_quote_volume: bool
) -> Reconciled:
    """Hold trades of a day against one-minute candles: how many each minute had, and their base and quote volume.

    It bounds what is lost where ids do not help. A minute that their file has no line of counts as none of theirs, so
    that trades of ours in it are more than they have. The first and last minute are left out where the day beside is
    not held; else ours within five seconds of midnight may be in it or not (see `reconcile_trades`).
    `has_quote_volume` says whether their quote volume is price x amount.
    """
    inside = ~_is_in_edge_minute(are_held)
    theirs = _minutes_of_candles(candles).filter(inside)
    own = _minutes_of(ours, theirs).filter(inside)
    expected = _MINUTES - are_held.count(False)
    edges = _describe_edges(are_held, "60 seconds")
    counts = Reconciled(DIFFER, "", int(own["count"].sum()), int(theirs["count_theirs"].sum()))
    if theirs.height < FEWEST_MINUTES:
        told = f"nothing is compared: the file has {theirs.height:,} lines of the day's {_MINUTES:,}: get it again"
        return replace(counts, verdict=NOT_JUDGED, told=told)
    both = theirs.with_columns(is_told=True).join(own, on="minute", how="full", coalesce=True).fill_null(0)
    both = both.with_columns(pl.col("is_told").fill_null(value=False)).sort("minute")
    lacking, more = (both.filter(sign * (pl.col("count_theirs") - pl.col("count")) > 0) for sign in (1, -1))
    names = ("volume", "quote_volume") if has_quote_volume else ("volume",)
    of_same_count = both.filter(pl.col("count") == pl.col("count_theirs"))
    others = {name: of_same_count.filter(_is_other(name)) for name in names}
    lost, found = int((lacking["count_theirs"] - lacking["count"]).sum()), more["count"] - more["count_theirs"]
    parts = [*_tell_minutes(lacking, more, others), *_tell_lines(expected - theirs.height, both), edges]
    if not has_quote_volume:
        parts.append("their quote volume is of another unit, and not compared")
    is_fine = lost <= SHARE_LIMIT * counts.theirs and more.is_empty() and all(it.is_empty() for it in others.values())
    return replace(
        counts,
        verdict=AGREE if is_fine else DIFFER,
        told="; ".join(filter(None, parts)),
        ours_only=int(found.sum()),
        theirs_only=lost,
        longest_run=lacking.height,
        differing=pl.concat(others.values()).n_unique("minute") if others else 0,
        spans=tuple(_spans_of_minutes(lacking, more, others)),
    )


def _is_in_edge_minute(are_held: tuple[bool, bool]) -> pl.Expr:
    of_day = pl.col("minute") % _DAY_US
    is_first = (of_day == 0) & pl.lit(not are_held[0])
    return is_first | ((of_day == _DAY_US - _MINUTE_US) & pl.lit(not are_held[1]))


def _minutes_of(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Return what our trades make of each minute that has some, as a candle would say it.

    Trades within seconds of midnight (50 at most) are not counted where without them there are as many as theirs.
    """
    is_late = _is_at_edge((False, False))
    minute = (pl.col("time_us") // _MINUTE_US * _MINUTE_US).alias("minute")
    late = ours.group_by(minute).agg(is_late.sum().cast(pl.Int64).alias("late"), pl.len().cast(pl.Int64).alias("all"))
    told = late.join(theirs.select("minute", "count_theirs"), on="minute", how="left").with_columns(
        pl.col("count_theirs").fill_null(0)
    )
    as_many = told.filter(
        pl.col("late").is_between(1, RUN_LIMIT), pl.col("all") - pl.col("late") == pl.col("count_theirs")
    )["minute"]
    counted = ours.with_columns(minute).filter(~(is_late & pl.col("minute").is_in(as_many.implode())))
    volumes = (pl.col("amount").sum().alias("volume"), pl.col("amount").dot("price").alias("quote_volume"))
    return counted.group_by("minute").agg(pl.len().cast(pl.Int64).alias("count"), *volumes)


def _minutes_of_candles(candles: pl.DataFrame) -> pl.DataFrame:
    names = ("count", "volume", "quote_volume")
    return candles.select(pl.col("time_us").alias("minute"), *(pl.col(name).alias(f"{name}_theirs") for name in names))


def _is_other(name: str) -> pl.Expr:
    """Whether a volume of as many trades is another one."""
    ours, theirs = pl.col(name), pl.col(f"{name}_theirs")
    largest = pl.max_horizontal(ours.abs(), theirs.abs())
    return (ours - theirs).abs() > VOLUME_LIMIT * largest + _ROUNDED_AT * pl.col("count")


def _tell_minutes(lacking: pl.DataFrame, more: pl.DataFrame, others: dict[str, pl.DataFrame]) -> Iterator[str]:
    more = more.filter("is_told")
    if not lacking.is_empty():
        lost = int((lacking["count_theirs"] - lacking["count"]).sum())
        yield f"in {lacking.height:,} minutes they count {lost:,} trades more than we hold"
    if not more.is_empty():
        found = int((more["count"] - more["count_theirs"]).sum())
        yield f"in {more.height:,} minutes we hold {found:,} trades more than they count (their units may differ)"
    for name, minutes in others.items():
        if not minutes.is_empty():
            yield f"in {minutes.height:,} minutes as many trades have another {_WORDS[name]}"
    if lacking.is_empty() and more.is_empty() and all(it.is_empty() for it in others.values()):
        yield "every minute of theirs has as many trades and the same volume"


def _tell_lines(lines: int, both: pl.DataFrame) -> Iterator[str]:
    """Yield what there is to say of minutes that their file has no line of."""
    unlisted = both.filter(~pl.col("is_told"))
    if unlisted.height:
        yield f"they lack {lines:,} minutes: in {unlisted.height:,} of them we hold {unlisted['count'].sum():,} trades"
    elif lines:
        yield f"they lack {lines:,} minutes, in which we hold no trades either: trading may have been suspended"


def _spans_of_minutes(lacking: pl.DataFrame, more: pl.DataFrame, others: dict[str, pl.DataFrame]) -> Iterator[str]:
    for who, minutes in (("we lack", lacking), ("they lack", more)):
        order = (pl.col("count_theirs") - pl.col("count")).abs()
        for row in minutes.sort(order, "minute", descending=[True, False]).head(_NAMED).iter_rows(named=True):
            yield (
                f"{who} trades of {_clock(row['minute'])}: {row['count']:,} of ours, {row['count_theirs']:,} of theirs "
                f"(volume {row['volume']:.6g} and {row['volume_theirs']:.6g})"
            )
    for name, minutes in others.items():
        for row in minutes.head(_NAMED).iter_rows(named=True):
            yield f"{_WORDS[name]} of {_clock(row['minute'])}: {row[name]:.6g} of ours, {row[f'{name}_theirs']:.6g}"


def _clock(minute_us: int) -> str:
    return f"{pl.from_epoch(pl.Series([minute_us]), 'us')[0]:%H:%M}"
