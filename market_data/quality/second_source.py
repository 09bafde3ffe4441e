"""A day's trades held against a second source's: by ids on exchange time, or by minutes where ids do not help. Pure.

Neither source is the truth. A trade that both lack shows as a jump of the id in both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from market_data.quality.ids import are_contiguous, ranges_of_steps, runs_of

# More than one trade in 100,000, or so many in a row, is no accident of an edge.
SHARE_LIMIT, RUN_LIMIT = 1e-5, 50
_EDGE_US = 5_000_000
_MINUTE_US = 60_000_000
_NAMED = 20
_CLOSE = 1e-9

AGREE, DIFFER, NOT_JUDGED = "agree", "differ", "not_judged"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One instrument's day held against one file of a second source; ids, or trades where there are candles.

    `lacking` are ranges of ids (or minutes) that we lack, `runs` words for the first of them.
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
    """Hold trades (`id`, `time_us`, `price`, `amount`, `side`) of one day against each other by their ids.

    `are_held` says whether we hold the day before and the next: without them seconds at that edge are left out, for
    what happened in them may have arrived on the other side of midnight.
    """
    if theirs["id"].n_unique() != theirs.height:
        repeated = theirs.height - theirs["id"].n_unique()
        return Reconciled(NOT_JUDGED, f"the second source repeats {repeated:,} ids: get it again", theirs=theirs.height)
    numbers = ours.with_columns(pl.col("id").cast(pl.Int64, strict=False)).unique("id", keep="first")
    if numbers["id"].null_count():
        return Reconciled(
            NOT_JUDGED, "our ids are no whole numbers, as the second source's are", ours.height, theirs.height
        )
    first, last = theirs.select(pl.col("time_us").min().alias("first"), pl.col("time_us").max().alias("last")).row(0)
    first, last = (first if are_held[0] else first + _EDGE_US), (last if are_held[1] else last - _EDGE_US)
    inside = pl.col("time_us").is_between(first, last)
    numbers, theirs = numbers.filter(inside), theirs.filter(inside)
    common = numbers.join(theirs, on="id", suffix="_theirs")
    ours_only = numbers.join(theirs.select("id"), on="id", how="anti")
    theirs_only = theirs.join(numbers.select("id"), on="id", how="anti").sort("id")
    differing = common.filter(
        ((pl.col("price") - pl.col("price_theirs")).abs() > _CLOSE * pl.col("price").abs())
        | ((pl.col("amount") - pl.col("amount_theirs")).abs() > _CLOSE * pl.col("amount").abs())
        | (pl.col("side") != pl.col("side_theirs"))
    )
    every = pl.concat([numbers["id"], theirs["id"]]).unique().sort()
    neither = int(ranges_of_steps(every)["ids"].sum()) if are_contiguous(every) else 0
    runs = runs_of(theirs_only["id"])
    longest = int(runs["ids"].max() or 0)  # type: ignore[arg-type]
    share = theirs_only.height / max(theirs.height, 1)
    is_lost = share > SHARE_LIMIT or longest > RUN_LIMIT
    is_fine = not (is_lost or differing.height)
    return Reconciled(
        AGREE if is_fine else DIFFER,
        _tell(theirs_only.height, ours_only.height, neither, differing.height),
        numbers.height,
        theirs.height,
        common.height,
        ours_only.height,
        theirs_only.height,
        longest,
        neither,
        differing.height,
        tuple(_spans(runs, theirs_only)),
    )


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


def _spans(runs: pl.DataFrame, rows: pl.DataFrame) -> list[str]:
    """Return the longest ranges of ids that we lack, with their times."""
    spans = []
    for first, last, count in runs.sort("ids", "first_id", descending=[True, False]).head(_NAMED).iter_rows():
        times = rows.filter(pl.col("id").is_between(first, last))["time_us"]
        start, end = (
            pl.Series([it]).cast(pl.Datetime("us")).dt.strftime("%H:%M:%S")[0] for it in (times.min(), times.max())
        )
        spans.append(f"ids {first} to {last} ({count:,}), {start} to {end}")
    return spans


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


def reconcile_candles(ours: pl.DataFrame, candles: pl.DataFrame) -> Reconciled:
    """Hold trades against one-minute candles: how many each minute had, and their base and quote volume.

    It bounds what is lost where ids do not help; the day's first and last minute are left out.
    """
    minute = (pl.col("time_us") // _MINUTE_US * _MINUTE_US).alias("minute")
    own = ours.group_by(minute).agg(pl.len().cast(pl.Int64).alias("count"), pl.col("amount").sum().alias("volume"))
    theirs = candles.select(minute, pl.col("count").alias("count_theirs"), pl.col("volume").alias("volume_theirs"))
    both = theirs.join(own, on="minute", how="left").fill_null(0).sort("minute")[1:-1]
    lacking = both.filter(pl.col("count_theirs") > pl.col("count"))
    more = both.filter(pl.col("count_theirs") < pl.col("count"))
    lost = int((lacking["count_theirs"] - lacking["count"]).sum())
    total = int(both["count_theirs"].sum())
    is_fine = lost <= SHARE_LIMIT * total and more.is_empty()
    told = (
        f"in {lacking.height:,} minutes they count {lost:,} trades more than we hold"
        if lost
        else "every minute has as many"
    )
    if not more.is_empty():
        told += f"; in {more.height:,} minutes we hold more than they count (their units may differ)"
    worst = lacking.sort(pl.col("count_theirs") - pl.col("count"), descending=True).head(_NAMED)
    spans = [
        f"{pl.from_epoch(pl.Series([row['minute']]), 'us')[0]:%H:%M}: {row['count']:,} of "
        f"{row['count_theirs']:,} trades, {row['volume']:.6g} of {row['volume_theirs']:.6g}"
        for row in worst.iter_rows(named=True)
    ]
    return Reconciled(
        AGREE if is_fine else DIFFER,
        told,
        ours=int(both["count"].sum()),
        theirs=total,
        theirs_only=lost,
        longest_run=lacking.height,
        spans=tuple(spans),
    )
