"""Rules about how the data types of a day agree, as data, and what they say of one instrument's comparisons. Pure.

A rule looks at the number of one comparison (`quality/agreement.py`), or, named `..._rise`, at how far it is above its
median of the days before. Limits are starting points, to be set by the measured recall and false alarms (MATRIX.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from market_data.model.data_types import DataType
from market_data.ticks.rules import Finding, Rule, Severity

_L2, _QUOTES, _TRADES = DataType.INCREMENTAL_BOOK_L2, DataType.QUOTES, DataType.TRADES
_WARN, _ERROR = Severity.WARN, Severity.ERROR
_ALL = frozenset(DataType)
RISE, SHIFT = "_rise", "_shift"
_FEWEST_DAYS = 3
_MAD_TO_SPREAD = 1.4826
_LEAST_SHIFT_SECONDS, _SHIFT_SPREADS = 0.05, 5


def _unlike(name: str, *data_types: DataType) -> tuple[Rule, ...]:
    few = "Both come from one recording: where they differ, one of the two files lacks rows or holds others."
    many = "Most of the day one of the two files is of another book."
    types = frozenset(data_types)
    return (
        Rule(name, "agreement", name, 1e-4, _WARN, few, types),
        Rule(name.replace("unlike", "of_other"), "agreement", name, 0.05, _ERROR, many, types),
    )


AGREEMENT_RULES: tuple[Rule, ...] = (
    *_unlike("quotes_unlike_book", _QUOTES, _L2),
    *_unlike("snapshot_25_unlike_book", DataType.BOOK_SNAPSHOT_25, _L2),
    *_unlike("snapshot_5_unlike_book", DataType.BOOK_SNAPSHOT_5, _L2),
    *_unlike("quotes_unlike_snapshots", _QUOTES, DataType.BOOK_SNAPSHOT_5, DataType.BOOK_SNAPSHOT_25),
    Rule(
        "book_ticker_apart",
        "agreement",
        "book_ticker_apart_seconds",
        0,
        _WARN,
        "The venue's own best prices stayed more than 5 ticks from the book for over 2 s: rows of one are lost.",
        frozenset({_L2, DataType.BOOK_TICKER}),
    ),
    Rule(
        "book_ticker_far_apart",
        "agreement",
        "book_ticker_apart_seconds",
        60,
        _ERROR,
        "The venue's own best prices stayed more than 5 ticks from the book for over a minute of the day.",
        frozenset({_L2, DataType.BOOK_TICKER}),
    ),
    Rule(
        "book_crossed",
        "agreement",
        "crossed_seconds",
        60,
        _WARN,
        "A book crossed at the end of messages has levels that nobody took away: rows are lost.",
        frozenset({_L2}),
    ),
    Rule(
        "book_mostly_crossed",
        "agreement",
        "crossed_seconds",
        6 * 3600,
        _ERROR,
        "The book rebuilt of the day is crossed for hours: it is none.",
        frozenset({_L2}),
    ),
    Rule(
        "removals_of_unknown_levels",
        "agreement",
        f"unknown_removals{RISE}",
        0.05,
        _WARN,
        "More levels than on the days before are taken away that never came: rows are lost.",
        frozenset({_L2}),
    ),
    Rule(
        "mid_jumps_over_midnight",
        "agreement",
        "mid_over_midnight",
        1,
        _WARN,
        "From one day's last book to the next day's first the price moved further than it does in such a time.",
        frozenset({_L2}),
    ),
    Rule(
        "trades_outside_book",
        "agreement",
        f"trades_outside_book{RISE}",
        0.05,
        _WARN,
        "More trades than on the days before are outside of the best prices around them.",
        frozenset({_TRADES, _L2}),
    ),
    Rule(
        "trades_of_other_prices",
        "agreement",
        "trades_outside_book",
        0.5,
        _ERROR,
        "Most trades are outside of the best prices around them: prices of one are of another scale or instrument.",
        frozenset({_TRADES, _L2}),
    ),
    Rule(
        "last_price_of_other_prices",
        "agreement",
        "last_price_off_book",
        0.5,
        _ERROR,
        "Most last prices come 1 % and more outside of the best prices: one of the two is of another instrument.",
        frozenset({DataType.DERIVATIVE_TICKER, _L2}),
    ),
    Rule(
        "mark_price_of_other_prices",
        "agreement",
        "mark_price_off_book",
        0.5,
        _WARN,
        "Most mark prices are 1 % and more outside of the best prices: one is stale, or of another instrument.",
        frozenset({DataType.DERIVATIVE_TICKER, _L2}),
    ),
    Rule(
        "delay_shifted",
        "agreement",
        f"median_delay_seconds{SHIFT}",
        1,
        _WARN,
        "The usual delay of rows is another than on the days before: a clock is off, or the recorder was moved.",
        _ALL,
    ),
    Rule(
        "rows_unlike_weekdays",
        "agreement",
        "rows_over_weekdays",
        5,
        _WARN,
        "Five times the rows of the same weekdays before, or a fifth, for no gap that tells why.",
        _ALL - {DataType.LIQUIDATIONS},
    ),
)
AGREEMENT_RULE_NAMES: tuple[str, ...] = tuple(rule.name for rule in AGREEMENT_RULES)


def rise_over(value: float, past: Sequence[float]) -> float | None:
    """Return how far a number is above its median of the days before; None with too few of them."""
    return value - median(past) if len(past) >= _FEWEST_DAYS else None


def shift_from(value: float, past: Sequence[float]) -> float | None:
    """Return how often the allowed change a delay is from its median: max(50 ms, 5 robust spreads)."""
    if len(past) < _FEWEST_DAYS:
        return None
    middle = median(past)
    spread = _MAD_TO_SPREAD * median(abs(it - middle) for it in past)
    return abs(value - middle) / max(_LEAST_SHIFT_SECONDS, _SHIFT_SPREADS * spread)


def times_of(value: float, past: Sequence[float]) -> float | None:
    """Return how many times its median a number is, or that its median is of it; None with too few days."""
    middle = median(past) if len(past) >= _FEWEST_DAYS else 0
    return max(value / middle, middle / max(value, 1)) if middle > 0 else None


def judge_numbers(numbers: Mapping[str, float], told: Mapping[str, str], rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """Return the findings of one tick file by the numbers of the comparisons that accuse it; `told` says where."""
    findings = []
    for rule in rules:
        value = numbers.get(rule.statistic)
        if value is None or value <= rule.limit:
            continue
        where = told.get(rule.statistic.removesuffix(RISE).removesuffix(SHIFT), "")
        text = f"{rule.name}: {_number(value)} (limit {rule.limit:g}){where}. {rule.why}"
        findings.append(Finding(rule=rule.name, family=rule.family, severity=rule.severity, text=text))
    return tuple(findings)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004
