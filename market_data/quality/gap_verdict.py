"""What the look for gaps in one unit comes to, for people: a sentence, numbers to plot, the worst gaps as a table."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from market_data.checks.rules import Verdict
from market_data.quality.causes import REMEDIES, Cause
from market_data.quality.gap_rules import describe_seconds
from market_data.quality.judge_gaps import JudgedUnit
from market_data.ticks.rules import Rule

_WORST = 20
_DAY_SECONDS = 86_400
_TOLD = tuple(cause for cause in Cause if cause is not Cause.NOT_JUDGED)


def verdict_of_gaps(judged: JudgedUnit, rules: Iterable[Rule]) -> Verdict:
    """Return the verdict on a unit: gaps of causes that concern readers fail it, as warnings unless one is an error."""
    if judged.gaps is None:
        return Verdict(is_passed=False, summary=f"not judged: {judged.left_alone}", is_error=False)
    severity = {rule.name.removeprefix("gap_"): rule.severity for rule in rules}
    gaps = judged.gaps.filter(pl.col("cause") != Cause.NOT_JUDGED.value)
    concern = gaps.filter(pl.col("cause").is_in(list(severity)))
    is_whole_day = (pl.col("cause") == Cause.NOT_JUDGED.value) & (pl.col("seconds") >= _DAY_SECONDS)
    not_judged = judged.gaps.filter(is_whole_day)["instrument_key"].n_unique()
    counts = {
        f"gaps {cause.value.replace('_', ' ')}": gaps.filter(pl.col("cause") == cause.value).height for cause in _TOLD
    }
    counts |= {"instruments not judged": not_judged, "days before": judged.days_before}
    return Verdict(
        is_passed=concern.is_empty(),
        summary=_summary(judged, gaps, concern, not_judged),
        counts=counts,
        worst=tuple(_rows(concern if not concern.is_empty() else gaps)),
        is_error=any(severity[cause].is_error for cause in concern["cause"].unique()),
    )


def _summary(judged: JudgedUnit, gaps: pl.DataFrame, concern: pl.DataFrame, not_judged: int) -> str:
    known = f"{judged.days_before} days before" if judged.days_before else "this day alone (a cold start)"
    quiet = f"; {not_judged} instruments are too quiet to be judged" if not_judged else ""
    if concern.is_empty():
        usual = f"; {gaps.height} spans without rows are accounted for" if gaps.height else ""
        return f"no gap that concerns readers, by {known}{usual}{quiet}"
    parts = []
    for cause in concern["cause"].unique().sort():
        own = concern.filter(pl.col("cause") == cause)
        length = describe_seconds(float(own["seconds"].max() or 0.0))  # type: ignore[arg-type]
        parts.append(f"{own.height} {cause} in {own['instrument_key'].n_unique()} instruments, the longest {length}")
    return f"{'; '.join(parts)}; by {known}{quiet}"


def _rows(gaps: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "instrument": row["instrument_key"],
            "from": f"{row['start']:%H:%M:%S}",
            "to": f"{row['end']:%H:%M:%S}",
            "length": describe_seconds(row["seconds"]),
            "cause": row["cause"],
            "evidence": row["evidence"],
            "what to do": REMEDIES[Cause(row["cause"])],
        }
        for row in gaps.sort("seconds", "start", descending=[True, False]).head(_WORST).iter_rows(named=True)
    ]
