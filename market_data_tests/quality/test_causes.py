"""Injected spans of each cause get that cause: what is ours is blamed on nobody else, nor others' on us."""

from collections import Counter

import numpy as np
import pytest

from market_data.model.data_types import DataType
from market_data.quality.causes import Cause, InstrumentFacts
from market_data.quality.hours import DAY_US, midnight_us
from market_data.vendor.metadata import Incident
from market_data_tests.quality.made_days import DAY, KEYS, TYPES, MadeDay, Span, instant

MIDNIGHT = midnight_us(DAY)
TRADES, QUOTES = DataType.TRADES, DataType.QUOTES


def span_at(rng: np.random.Generator, keys: tuple[str, ...], types: tuple[DataType, ...], **how: bool) -> Span:
    start = MIDNIGHT + int(rng.integers(DAY_US // 10, DAY_US * 8 // 10))
    return Span(keys, types, start, start + int(rng.integers(180, 1800)) * 10**6, **how)


def make_ours(rng: np.random.Generator, day: MadeDay) -> Span:
    span = span_at(rng, (str(rng.choice(KEYS)),), (QUOTES,))
    lost = (span.start_us - 60 * 10**6, span.end_us + 60 * 10**6)
    day.instruments[span.keys[0]] = InstrumentFacts(lost="the vendor sent more", lost_spans=(lost,))
    return span


def make_not_trading(rng: np.random.Generator, day: MadeDay) -> Span:
    expiry = MIDNIGHT + int(rng.integers(DAY_US // 3, DAY_US * 2 // 3))
    key = str(rng.choice(KEYS))
    day.instruments[key] = InstrumentFacts(trades_until=instant(expiry))
    return Span((key,), TYPES, expiry, MIDNIGHT + DAY_US)


def make_incident(rng: np.random.Generator, day: MadeDay) -> Span:
    span = span_at(rng, (str(rng.choice(KEYS)),), TYPES)
    report = {"from": instant(span.start_us).isoformat(), "to": instant(span.end_us).isoformat(), "details": "lost"}
    day.incidents = (Incident.model_validate(report),)
    return span


def make_venue(rng: np.random.Generator, day: MadeDay) -> Span:
    day.has_ids = bool(rng.integers(2))
    return span_at(rng, KEYS[: int(rng.integers(4, 7))], TYPES, is_lost=bool(rng.integers(2)))


def make_type_silent(rng: np.random.Generator, _: MadeDay) -> Span:
    return span_at(rng, (str(rng.choice(KEYS)),), (QUOTES,))


def make_unknown(rng: np.random.Generator, _: MadeDay) -> Span:
    return span_at(rng, (str(rng.choice(KEYS)),), TYPES)


MADE = {
    Cause.OURS: make_ours,
    Cause.NOT_TRADING: make_not_trading,
    Cause.VENDOR_INCIDENT: make_incident,
    Cause.VENUE_OR_RECORDER: make_venue,
    Cause.TYPE_SILENT: make_type_silent,
    Cause.UNKNOWN: make_unknown,
}


def told_of(day: MadeDay, span: Span) -> list[tuple[Cause, str]]:
    """Return the causes that are told of a span, of each of its series that was found to have a gap in it."""
    found = day.judge([QUOTES] if QUOTES in span.types else span.types)
    return [
        (told.cause, told.evidence)
        for (key, _), gaps in found.items()
        for gap, told in gaps
        if key in span.keys and gap.start_us < span.end_us and span.start_us < gap.end_us
    ]


@pytest.mark.parametrize("cause", MADE)
@pytest.mark.parametrize("seed", range(3))
def test_a_span_gets_its_cause(cause: Cause, seed: int) -> None:
    day = MadeDay(seed)
    span = MADE[cause](np.random.default_rng([seed, list(MADE).index(cause)]), day)
    day.spans.append(span)
    told = told_of(day, span)
    assert told
    assert {it for it, _ in told} == {cause}, told
    for _, evidence in told if cause is Cause.VENUE_OR_RECORDER else ():
        words = "lost" if span.is_lost else "halted"
        assert (words if day.has_ids else "no trade ids tell") in evidence


@pytest.mark.long
@pytest.mark.parametrize("cause", MADE)
def test_two_hundred_spans_of_each_cause(cause: Cause) -> None:
    told: Counter[Cause] = Counter()
    for seed in range(200):
        day = MadeDay(1000 + seed)
        span = MADE[cause](np.random.default_rng([seed, 77]), day)
        day.spans.append(span)
        causes = {it for it, _ in told_of(day, span)}
        told[causes.pop() if len(causes) == 1 else Cause.NOT_JUDGED] += 1
    print(cause, dict(told))  # noqa: T201  the campaign's result
    assert told[cause] >= 190
    assert cause is Cause.OURS or not told[Cause.OURS]
    assert cause is not Cause.OURS or told[Cause.OURS] == 200


def test_the_nightly_rollover_is_no_fault() -> None:
    day = MadeDay(5)
    span = Span(KEYS, TYPES, MIDNIGHT - 1, MIDNIGHT + 3 * 10**6)
    day.spans.append(span)
    assert {cause for cause, _ in told_of(day, span)} <= {Cause.VENDOR_ROLLOVER}


@pytest.mark.parametrize(
    "report",
    [
        {"from": "2024-08-08T10:00:00Z", "to": "2024-08-08T10:02:00Z", "details": "x"},
        {"from": "2020-01-01T00:00:00Z", "to": None, "status": "resolved", "details": "old"},
    ],
    ids=["touches the end of six hours", "resolved years ago, no end told"],
)
def test_an_incident_explains_what_it_covers(report: dict[str, str | None]) -> None:
    day = MadeDay(6, incidents=(Incident.model_validate(report),))
    span = Span((KEYS[1],), (QUOTES,), MIDNIGHT + 4 * 3600 * 10**6, MIDNIGHT + 10 * 3600 * 10**6)
    day.spans.append(span)
    assert {cause for cause, _ in told_of(day, span)} == {Cause.TYPE_SILENT}


def test_unbroken_ids_prove_that_no_trade_is_lost() -> None:
    day = MadeDay(7)
    span = Span((KEYS[1],), (DataType.TRADES,), MIDNIGHT + 4 * 3600 * 10**6, MIDNIGHT + 5 * 3600 * 10**6, is_lost=False)
    day.spans.append(span)
    ((cause, evidence),) = told_of(day, span)
    assert (cause, "unbroken" in evidence) == (Cause.THIN_MARKET, True)
