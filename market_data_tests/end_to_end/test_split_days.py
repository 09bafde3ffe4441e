"""How days are dealt out to runs: none twice, none lost, no gap inside a run, none longer than it may be."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from market_data.demo.runs import split_days

FIRST = date(2024, 2, 27)


@given(offsets=st.sets(st.integers(0, 60)), most=st.integers(1, 31))
def test_runs_hold_every_day_once_in_order_without_a_gap(offsets: set[int], most: int) -> None:
    days = [FIRST + timedelta(days=offset) for offset in sorted(offsets)]
    pieces = list(split_days(days, most))
    assert [day for piece in pieces for day in piece] == days
    for piece in pieces:
        assert 1 <= len(piece) <= most
        assert (piece[-1] - piece[0]).days == len(piece) - 1
    for piece, later in pairwise(pieces):  # as few as there can be
        assert len(piece) == most or (later[0] - piece[-1]).days > 1
