"""Coverage in signs: a line of days for each venue, for pages that show a few lines of text and no picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from market_data.operate.coverage import COMPLETE, DELETED, INCOMPLETE, NOT_RUN, REPLACING, summarize_venue_days

# Where days share a sign, the first of these wins.
_SIGNS: Mapping[str, str] = {INCOMPLETE: "x", REPLACING: "~", DELETED: "-", NOT_RUN: "·", COMPLETE: "█"}
_WORDS = {NOT_RUN: "not run", REPLACING: "being replaced"}
_MOST_SIGNS = 31


def sketch_coverage(frame: pl.DataFrame, longest: int) -> Iterator[str]:
    """Yield texts of at most `longest` characters that show a coverage frame (`measure_coverage`, at least one row).

    Each begins with what its signs mean; then come two lines for each venue: how many days are complete, and the days.
    """
    days = summarize_venue_days(frame)
    per_sign = -(-days["day"].n_unique() // _MOST_SIGNS)
    head = _describe_signs(days, per_sign)
    text = head
    for (venue,), own in days.partition_by("venue", as_dict=True, maintain_order=True).items():
        states = own["state"].to_list()
        lines = f"\n{venue} {states.count(COMPLETE):,}/{len(states):,}\n{_draw(states, per_sign)}"
        if len(text) + len(lines) > longest and text != head:
            yield text
            text = head
        text += lines
    yield text


def _describe_signs(days: pl.DataFrame, per_sign: int) -> str:
    found = set(days["state"])
    legend = ", ".join(f"{sign} {_WORDS.get(state, state)}" for state, sign in _SIGNS.items() if state in found)
    each = "a sign a day" if per_sign == 1 else f"a sign for {per_sign} days, the worst"
    first, last = days.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    return f"{first} to {last}\n{each}: {legend}"


def _draw(states: Sequence[str], per_sign: int) -> str:
    groups = [set(states[start : start + per_sign]) for start in range(0, len(states), per_sign)]
    return "".join(next(sign for state, sign in _SIGNS.items() if state in group) for group in groups)
