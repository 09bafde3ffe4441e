"""What the comparison of a venue's day comes to, for people: a sentence, numbers, the worst cases as a table."""

from __future__ import annotations

import polars as pl

from market_data.checks.rules import Verdict
from market_data.quality.agreement_table import JudgedAgreement

_WORST = 20
_WORDS = ("ok", "warn", "error", "not_judged")


def verdict_of_agreement(judged: JudgedAgreement) -> Verdict:
    """Return the verdict on a venue's day: a comparison that warns or errs fails it."""
    counts = {word: judged.table.filter(pl.col("verdict") == word).height for word in _WORDS}
    concern = judged.table.filter(pl.col("verdict").is_in(["warn", "error"]))
    by_rule = concern.group_by("comparison").agg(pl.col("instrument_key").n_unique()).sort("comparison")
    told = [f"{name} in {many} instruments" for name, many in by_rule.iter_rows()]
    instruments = judged.table["instrument_key"].n_unique()
    alone = f"; left alone: {', '.join(judged.left_alone)}" if judged.left_alone else ""
    fine = f"the data types of {instruments} instruments agree where they can be compared"
    quiet = f"; {counts['not_judged']} comparisons are not judged" if counts["not_judged"] else ""
    return Verdict(
        is_passed=concern.is_empty(),
        summary=f"{'; '.join(told) or fine}{quiet}{alone}",
        counts={f"comparisons {word.replace('_', ' ')}": count for word, count in counts.items()},
        worst=tuple(_rows(concern)),
        is_error=bool(counts["error"]),
    )


def _rows(concern: pl.DataFrame) -> list[dict[str, str]]:
    """Return the worst as a table that fits a page; a finding begins with the name of its rule."""
    worst = concern.sort(pl.col("verdict") == "error", "value", descending=True).head(_WORST)
    return [
        {
            "instrument": row["instrument_key"],
            "accused": ", ".join(row["accused"] or ()),
            "verdict": row["verdict"],
            "finding": row["told"],
        }
        for row in worst.iter_rows(named=True)
    ]
