"""What gaps mean for readers: rules as data, by cause, and the findings of one tick file. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time

import polars as pl

from market_data.model.data_types import DataType
from market_data.quality.causes import Cause
from market_data.ticks.rules import Finding, Rule, Severity

_ALL = frozenset(DataType)


def _rule(cause: Cause, severity: Severity, why: str) -> Rule:
    return Rule(f"gap_{cause}", "gaps", "gap_seconds", 0, severity, why, _ALL)


# The limit is in seconds: of all gaps of that cause in a tick file together.
GAP_RULES: tuple[Rule, ...] = (
    _rule(Cause.OURS, Severity.ERROR, "The vendor sent rows that the lake does not hold: run the day again."),
    _rule(Cause.VENDOR_INCIDENT, Severity.WARN, "The vendor says itself that it has not recorded all."),
    _rule(
        Cause.VENUE_OR_RECORDER, Severity.WARN, "Many instruments fell silent together: a halt, or a lost recording."
    ),
    _rule(Cause.TYPE_SILENT, Severity.WARN, "Other data types of the instrument went on: rows of this one are lost."),
    _rule(
        Cause.UNKNOWN, Severity.WARN, "A silence that is improbable for the instrument, for no reason that is known."
    ),
)
GAP_RULE_NAMES: tuple[str, ...] = tuple(rule.name for rule in GAP_RULES)


def judge_gaps_of_file(gaps: pl.DataFrame, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """Return the findings of one tick file whose gaps are these rows of `GAPS_SCHEMA`, in the order of the rules."""
    findings = []
    for rule in rules:
        own = gaps.filter(pl.lit("gap_") + pl.col("cause") == rule.name)
        seconds = float(own["seconds"].sum())
        if own.is_empty() or seconds <= rule.limit:
            continue
        text = f"{rule.name}: {describe_spans(own)}. {rule.why}"
        findings.append(Finding(rule=rule.name, family=rule.family, severity=rule.severity, text=text))
    return tuple(findings)


def describe_spans(gaps: pl.DataFrame) -> str:
    """Return one line about gaps: how many, how long in all, the longest with its evidence."""
    longest = gaps.sort("seconds", "start", descending=[True, False]).row(0, named=True)
    many = "1 gap"
    if gaps.height > 1:
        many = f"{gaps.height} gaps, {describe_seconds(float(gaps['seconds'].sum()))} in all, longest"
    end = longest["end"]
    until = "24:00:00" if end.date() > longest["start"].date() and end.time() == time() else f"{end:%H:%M:%S}"
    span = f"{longest['start']:%H:%M:%S} to {until}"
    return f"{many} {span} ({describe_seconds(longest['seconds'])}): {longest['evidence']}"


def describe_seconds(seconds: float) -> str:
    """Return a length for people."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
