"""Validation of the ticks themselves: statistics of one tick file, and rules about them as data.

A rule names one statistic, a limit, a severity and why it matters. `warn` tells, `error` makes the day unreadable by
default in `scan_ticks`. Nothing is ever dropped or repaired. Limits start from what is known of the venues (docs of the
vendor, recorded files): a recorder's clock may run more than a second behind the venue, a day may open without a
snapshot after a collector's gap, and equal consecutive rows are legitimate in book_ticker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from market_data.model.data_types import DataType
from market_data.model.document import Count, Document, Finite, open_words, or_unknown
from market_data.model.instruments import COMBO, FUTURE, OPTION

Family = Literal["order", "values", "timing", "book", "identity", "gaps", "agreement"]
# Those that look at one file by itself.
FAMILIES: tuple[Family, ...] = ("order", "values", "timing", "book", "identity")
_DAY_SECONDS = 86_400
_FEW_ROWS = 100


class Severity(StrEnum):
    """What a finding means for readers."""

    WARN = "warn"
    ERROR = "error"

    @property
    def is_error(self) -> bool:
        """Whether readers are kept from the ticks; so they are by what a later version means."""
        return self != Severity.WARN


class TickStats(Document):
    """Statistics of one tick file, measured on what was published.

    `counts` are numbers of rows or cells, `measures` seconds and prices (`first_row_seconds` and `last_row_seconds` are
    of arrival, into the UTC day), `nulls` the empty cells of nullable columns that have any.
    """

    rows: Annotated[Count, Field(gt=0)]
    counts: Mapping[str, Count]
    measures: Mapping[str, Finite]
    nulls: Mapping[str, Count]

    def value(self, statistic: str) -> float | None:
        """Return a measure, or the share of the rows that a count is; None where it does not apply."""
        if statistic in self.counts:
            return self.counts[statistic] / self.rows
        if statistic == "seconds_after_last_row" and "last_row_seconds" in self.measures:
            return _DAY_SECONDS - self.measures["last_row_seconds"]
        return self.measures.get(statistic)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `abs(value of the statistic) > limit` is a finding of that severity.

    It does not hold for files of `exempt_types`, nor on the first or last day of an instrument where `exempt_day` says.
    The statistic of a rule that `is_flag` is 1 for a file of which it is true. Below `least_rows` a share says nothing.
    """

    name: str
    family: Family
    statistic: str
    limit: float
    severity: Severity
    why: str
    data_types: frozenset[DataType]
    exempt_types: frozenset[str] = frozenset()
    exempt_day: Literal["first", "last"] | None = None
    is_flag: bool = False
    least_rows: int = 0


class Finding(Document):
    """One rule that a tick file broke."""

    rule: str
    family: str
    severity: Annotated[Severity, or_unknown(Severity), open_words(Severity)]
    text: str


_ALL = frozenset(DataType)
_BOOKS = frozenset({DataType.BOOK_SNAPSHOT_5, DataType.BOOK_SNAPSHOT_25, DataType.QUOTES, DataType.BOOK_TICKER})
_TRADED = frozenset({DataType.TRADES, DataType.LIQUIDATIONS})
_PRICED = _TRADED | _BOOKS | {DataType.INCREMENTAL_BOOK_L2}
# What changes all the time in a living market; dated contracts are silent for hours.
_ALWAYS_ACTIVE = _BOOKS | {DataType.INCREMENTAL_BOOK_L2}
_OFTEN_SILENT = frozenset({FUTURE, OPTION, COMBO})
_ERROR, _WARN = Severity.ERROR, Severity.WARN

RULES: tuple[Rule, ...] = (
    Rule(
        "arrival_order",
        "order",
        "arrival_steps_back",
        0,
        _ERROR,
        "The vendor sorts a file by local_timestamp; a step back means damaged or merged bytes.",
        _ALL,
    ),
    Rule(
        "price_not_positive",
        "values",
        "prices_not_positive",
        0,
        _WARN,
        "A price of 0 or less is no price; only spreads and combos trade there. Venues send single ones.",
        _PRICED,
        frozenset({COMBO}),
    ),
    Rule(
        "prices_mostly_wrong",
        "values",
        "prices_not_positive",
        0.01,
        _ERROR,
        "A hundredth of all prices at 0 or less is no accident of the venue's: the column is not the price.",
        _PRICED,
        frozenset({COMBO}),
        least_rows=_FEW_ROWS,
    ),
    Rule(
        "negative_amount",
        "values",
        "amounts_negative",
        0,
        _ERROR,
        "An amount below 0 does not exist.",
        _PRICED,
    ),
    Rule(
        "not_finite",
        "values",
        "cells_not_finite",
        0,
        _WARN,
        "A cell that is not a number (NaN) or infinite poisons every sum and mean over it.",
        _ALL,
    ),
    Rule(
        "rounded",
        "values",
        "cells_rounded",
        0,
        _WARN,
        "A number of 2^53 or more is the nearest double, and may not be what the vendor wrote: its text is below raw/.",
        _ALL,
    ),
    Rule(
        "unknown_side",
        "values",
        "sides_unknown",
        0,
        _WARN,
        "A side beside the documented ones is new at the venue, or damage.",
        _TRADED | {DataType.INCREMENTAL_BOOK_L2},
    ),
    Rule(
        "empty_row",
        "values",
        "rows_without_value",
        0,
        _WARN,
        "A row whose value columns are all empty says nothing.",
        frozenset({DataType.DERIVATIVE_TICKER}) | _BOOKS,
    ),
    Rule(
        "option_without_terms",
        "values",
        "rows_without_terms",
        0,
        _WARN,
        "An option is a call or a put with a strike and an expiry: of such a row one of them is missing.",
        frozenset({DataType.OPTIONS_CHAIN}),
    ),
    Rule(
        "delta_out_of_range",
        "values",
        "deltas_out_of_range",
        0,
        _WARN,
        "An option's delta lies between -1 and 1.",
        frozenset({DataType.OPTIONS_CHAIN}),
    ),
    Rule(
        "negative_volatility",
        "values",
        "volatilities_negative",
        0,
        _WARN,
        "Implied volatility is not negative.",
        frozenset({DataType.OPTIONS_CHAIN}),
    ),
    Rule(
        "clock_skew",
        "timing",
        "median_delay_seconds",
        10,
        _WARN,
        "Rows usually arrive within seconds; more means a clock is off or the venue's feed was late.",
        _ALL - {DataType.LIQUIDATIONS},
    ),
    Rule(
        "late_liquidations",
        "timing",
        "median_delay_seconds",
        600,
        _WARN,
        "Liquidations are published with up to minutes of delay, not more.",
        frozenset({DataType.LIQUIDATIONS}),
    ),
    Rule(
        "silence",
        "timing",
        "longest_silence_seconds",
        3600,
        _WARN,
        "An hour without a change of the book is a gap in the recording, or a thin market (dated contracts often are).",
        _ALWAYS_ACTIVE,
        _OFTEN_SILENT,
    ),
    Rule(
        "late_start",
        "timing",
        "first_row_seconds",
        3600,
        _WARN,
        "A book that is silent from 00:00 UTC on for an hour: the recording began late, unless the market is thin.",
        _ALWAYS_ACTIVE,
        _OFTEN_SILENT,
        exempt_day="first",
    ),
    Rule(
        "early_end",
        "timing",
        "seconds_after_last_row",
        3600,
        _WARN,
        "A book that is silent for the last hour before 24:00 UTC: the recording broke off, unless the market is thin "
        "or ended.",
        _ALWAYS_ACTIVE,
        _OFTEN_SILENT,
        exempt_day="last",
    ),
    Rule(
        "after_expiry",
        "timing",
        "rows_after_expiry",
        0,
        _WARN,
        "A contract trades no more when it has expired: more than a minute later its rows are of something else, or "
        "late.",
        _ALL,
    ),
    Rule(
        "one_sided",
        "book",
        "rows_one_sided",
        0.5,
        _WARN,
        "One side of the book is empty for most of the rows: nobody quotes it, or it is not recorded.",
        _BOOKS,
        frozenset({OPTION, COMBO}),
    ),
    Rule(
        "crossed",
        "book",
        "rows_crossed",
        0.01,
        _WARN,
        "A bid above the ask is normal for moments; a hundredth of all rows points to a gap or a stale side.",
        _BOOKS,
    ),
    Rule(
        "mostly_crossed",
        "book",
        "rows_crossed",
        0.5,
        _ERROR,
        "A book that is crossed most of the day is not a book: sides are swapped, or one is stale.",
        _BOOKS,
        least_rows=_FEW_ROWS,
    ),
    Rule("locked", "book", "rows_locked", 0.05, _WARN, "A bid equal to the ask should not last.", _BOOKS),
    Rule(
        "no_opening_snapshot",
        "book",
        "opens_without_snapshot",
        0,
        _WARN,
        "A day of L2 opens with a snapshot; without one replay has to start on the day before.",
        frozenset({DataType.INCREMENTAL_BOOK_L2}),
        is_flag=True,
    ),
    Rule(
        "repeated_id",
        "identity",
        "ids_repeated",
        0.01,
        _WARN,
        "Venues replay recent trades after a reconnect; many repeats distort volume.",
        frozenset({DataType.TRADES}),
    ),
    Rule(
        "repeated_row",
        "identity",
        "rows_repeated",
        0.5,
        _WARN,
        "Equal consecutive rows are legitimate now and then; most of a file is not.",
        _ALL - {DataType.BOOK_TICKER},
    ),
)
RULE_NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)


@dataclass(frozen=True, slots=True)
class Override:
    """What a user changed of a rule for a venue and data type; None leaves it as it is, `is_off` takes it away."""

    limit: float | None = None
    severity: Severity | None = None
    is_off: bool = False


def rules_for(
    data_type: DataType, overrides: Mapping[str, Override], rules: Iterable[Rule] = RULES
) -> tuple[Rule, ...]:
    """Return the rules of a data type with a user's overrides applied."""
    chosen = []
    for rule in rules:
        change = overrides.get(rule.name, Override())
        if data_type in rule.data_types and not change.is_off:
            limit = rule.limit if change.limit is None else change.limit
            chosen.append(replace(rule, limit=limit, severity=change.severity or rule.severity))
    return tuple(chosen)


def judge_ticks(
    stats: TickStats,
    instrument_type: str,
    rules: Iterable[Rule],
    *,
    is_first_day: bool = False,
    is_last_day: bool = False,
) -> tuple[Finding, ...]:
    """Return the findings of one tick file, in the order of the rules; a rule whose statistic is absent is skipped.

    On the first and the last day of an instrument its file may begin late and end early.
    """
    days = {"first": is_first_day, "last": is_last_day, None: False}
    findings = []
    for rule in rules:
        value = stats.value(rule.statistic)
        is_exempt = instrument_type in rule.exempt_types or days[rule.exempt_day]
        if value is None or is_exempt or abs(value) <= rule.limit or stats.rows < rule.least_rows:
            continue
        text = (
            f"{rule.name}: {rule.why}" if rule.is_flag else f"{rule.name}: {_describe(stats, rule, value)}. {rule.why}"
        )
        findings.append(Finding(rule=rule.name, family=rule.family, severity=rule.severity, text=text))
    return tuple(findings)


def _describe(stats: TickStats, rule: Rule, value: float) -> str:
    if rule.statistic in stats.counts:
        limit = f" (limit {rule.limit:.2%})" if rule.limit else ""
        return f"{stats.counts[rule.statistic]} of {stats.rows} rows, {value:.2%}{limit}"
    return f"{rule.statistic.replace('_', ' ')} {value:.1f} (limit {rule.limit:g})"
