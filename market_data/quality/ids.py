"""Trade ids that rise by one: whether a venue has them, and which are missing. Pure.

Learned from the data, never assumed: ids may be text, begin anew, or be shared by several instruments.
"""

from __future__ import annotations

import polars as pl

# One id after the other, but for what was lost: then a jump says how many rows are missing.
CONTIGUOUS_SHARE = 0.999
FEWEST_IDS = 100
# One row for each range of missing ids, in order; `ids` is how many there are.
RANGES_SCHEMA = pl.Schema({"first_id": pl.Int64(), "last_id": pl.Int64(), "ids": pl.Int64()})


def whole_numbers(ids: pl.Series) -> pl.Series:
    """Return ids as whole numbers, null for those that are none (or larger than 63 bits)."""
    return ids.cast(pl.Int64, strict=False) if ids.dtype == pl.String else ids.cast(pl.Int64)


def contiguous_share(ids: pl.Series) -> float | None:
    """Return the share of steps between ids, in their own order, that are just one; None with too few ids."""
    numbers = whole_numbers(ids).drop_nulls().unique().sort()
    if numbers.len() < FEWEST_IDS or numbers.len() < CONTIGUOUS_SHARE * ids.n_unique():
        return None
    return float((numbers.diff().drop_nulls() == 1).mean() or 0.0)  # type: ignore[arg-type]


def are_contiguous(ids: pl.Series) -> bool:
    """Whether ids rise by one, but for what was lost."""
    share = contiguous_share(ids)
    return share is not None and share >= CONTIGUOUS_SHARE


def missing_ids(ids: pl.Series) -> pl.DataFrame:
    """Return the ranges of whole numbers between the lowest and the highest id that are not among them.

    In any order, for rows of one message may come in any; text that is no whole number is left out.
    """
    return ranges_of_steps(whole_numbers(ids).drop_nulls().unique().sort())


def ranges_of_steps(rising: pl.Series) -> pl.DataFrame:
    """Return the ranges missing between rising numbers."""
    before, after = rising[:-1], rising[1:]
    has_jump = (after - before) > 1
    first, last = before.filter(has_jump) + 1, after.filter(has_jump) - 1
    return pl.DataFrame({"first_id": first, "last_id": last, "ids": last - first + 1}, schema=RANGES_SCHEMA)


def runs_of(numbers: pl.Series) -> pl.DataFrame:
    """Return rising numbers as ranges of those that follow each other."""
    frame = pl.DataFrame({"id": numbers.cast(pl.Int64).sort()})
    number = (pl.col("id").diff() != 1).fill_null(value=True).cum_sum()
    ranges = frame.group_by(number.alias("run")).agg(
        pl.col("id").min().alias("first_id"), pl.col("id").max().alias("last_id"), pl.len().cast(pl.Int64).alias("ids")
    )
    return ranges.sort("first_id").select(RANGES_SCHEMA.names())
