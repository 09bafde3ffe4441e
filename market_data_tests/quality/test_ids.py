"""Missing ids are just those that were taken out, whatever the order; text ids prove nothing."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_data.quality.ids import are_contiguous, contiguous_share, missing_ids, runs_of


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(0, 2**40), st.randoms())
def test_missing_ranges_and_runs_make_up_the_whole(kept: set[int], first: int, random: object) -> None:
    ids = [first + it for it in kept]
    random.shuffle(ids)  # type: ignore[attr-defined]
    held = pl.Series([str(it) for it in ids])
    missing = [it for low, high, _ in missing_ids(held).iter_rows() for it in range(low, high + 1)]
    runs = [it for low, high, _ in runs_of(pl.Series(ids)).iter_rows() for it in range(low, high + 1)]
    assert sorted(runs) == sorted(ids)
    assert sorted(missing + runs) == list(range(min(ids), max(ids) + 1))
    assert int(missing_ids(held)["ids"].sum()) == len(missing)


def test_ids_that_are_none_or_few_or_far_apart_are_not_contiguous() -> None:
    assert contiguous_share(pl.Series(["a-1", "b-2"] * 200)) is None
    assert contiguous_share(pl.Series([str(it) for it in range(20)])) is None
    assert not are_contiguous(pl.Series([str(it * 3) for it in range(1000)]))
    assert are_contiguous(pl.Series([str(it) for it in range(5000) if not 90 < it < 500]))
    assert contiguous_share(pl.Series([str(2**70 + it) for it in range(300)])) is None
