"""Several days in one run: each is logged as a run of it alone would show it, and none that fails stops another.

A run of one day (a schedule's, a sensor's, a person's) has Dagster's tag `dagster/partition`, and its step yields what
it did. A run of a range has none, and Dagster would take what it yields for every day of the range: so a day's
materialisations and check results are logged by hand, each for its own partition, as soon as they are known.
"""

import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime

import dagster as dg

from market_data.defs.day_step import DayEvent
from market_data.defs.failures import FailedDay, failures_for_people, stops_run
from market_data.defs.known import KnownDay, Target
from market_data.defs.metadata import describe_failed_days
from market_data.defs.runs import tag_with_failure, tag_with_longest_time
from market_data.ingest.progress import UNTRIED

# What a step tells of a day: what its work yields, and of an asset that is left, why.
ToldEvent = DayEvent | dg.AssetObservation


def backfill_policy(days_per_run: int) -> dg.BackfillPolicy | None:
    """Return how many days a backfill gives a run; None, which is a run for each day as sensors launch them, for 1."""
    return dg.BackfillPolicy.multi_run(days_per_run) if days_per_run > 1 else None


def run_days(
    context: dg.AssetExecutionContext, venue: str, run_day: Callable[[date], Iterator[DayEvent]]
) -> Iterator[ToldEvent]:
    """Run the one day of a run and yield its events; or run each day of a range, log its events and yield none.

    Raises dg.Failure in the end where a day failed: of one day its own, of several one that names them all.
    """
    if context.has_partition_key:
        day = date.fromisoformat(context.partition_key)
        yield from _with_reason(context, KnownDay(context.instance, venue, day), run_day(day))
        return
    days = sorted(date.fromisoformat(key) for key in context.partition_keys)
    failed = dict(_run_range(context, venue, days, run_day))
    if len(days) == 1 and failed:
        raise failed[days[0]]
    if failed:
        raise dg.Failure(**describe_failed_days(venue, len(days), failed))


def _run_range(
    context: dg.AssetExecutionContext, venue: str, days: Sequence[date], run_day: Callable[[date], Iterator[DayEvent]]
) -> Iterator[tuple[date, dg.Failure]]:
    """Run the days in their order and yield those that failed, each with why."""
    stop: dg.Failure | None = None
    for day in days:
        known = KnownDay(context.instance, venue, day)
        if stop is None:
            tag_with_longest_time(context.instance, context.run, datetime.now(UTC))
            failure = _run_one_of_many(context, known, run_day(day))
            stop = failure if failure is not None and stops_run(failure) else None
        else:
            failure = dg.Failure(f"{venue} {day}: {UNTRIED}: {stop.description}", stop.metadata)
            for event in _reasons(known, context.selected_asset_keys, failure):
                context.log_event(event)
        if failure is not None:
            tag_with_failure(context.instance, context.run, venue, failure, day)
            context.log.error(FailedDay(venue, str(day), failure.description or "").message)
            yield day, failure


def _run_one_of_many(
    context: dg.AssetExecutionContext, known: KnownDay, events: Iterable[DayEvent]
) -> dg.Failure | None:
    """Log a day's events; return why it failed, whatever that was: a cancellation alone is none of the day's own."""
    try:
        # what is at work on the day ends with it, also where a cancellation comes while an event is logged
        with closing(_events_of_a_day(known, _with_reason(context, known, events))) as told:
            for event in told:
                context.log_event(event)
    except dg.Failure as failure:
        return failure
    except Exception as error:  # noqa: BLE001  returned, told in full, and raised in the end
        text = f"{known.venue} {known.day}: {type(error).__name__}: {error}\n\n{traceback.format_exc()}"
        return dg.Failure(text, metadata={"error": type(error).__name__, "is_transient": True})
    return None


def _with_reason(context: dg.AssetExecutionContext, known: KnownDay, events: Iterable[DayEvent]) -> Iterator[ToldEvent]:
    """Yield the events of a day; where it fails, why it did of each asset that is left, and raise."""
    left = set(context.selected_asset_keys)
    try:
        with failures_for_people():
            for event in events:
                if isinstance(event, dg.MaterializeResult) and event.asset_key:
                    left.discard(event.asset_key)
                yield event
    except Exception as error:
        yield from _reasons(known, left, error)
        raise


def _reasons(known: KnownDay, keys: Iterable[dg.AssetKey], error: Exception) -> Iterator[dg.AssetObservation]:
    text, facts = f"{known.venue} {known.day}: {type(error).__name__}: {error}", {}
    if isinstance(error, dg.Failure):
        text, facts = error.description or "", dict(error.metadata)
    for key in sorted(keys):
        yield known.failure(key, text, facts)


def _events_of_a_day(
    known: KnownDay, events: Iterable[ToldEvent]
) -> Generator[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation, None, None]:
    """Yield what a step would as events of its day; a materialisation comes before the checks that point at it."""
    targets: dict[dg.AssetKey, Target | None] = {}  # each is looked for once: it costs as much as logging an event
    for event in events:
        if isinstance(event, dg.AssetObservation):
            yield event
            continue
        key = event.asset_key
        assert key is not None  # noqa: S101  of several assets, so always there
        if isinstance(event, dg.MaterializeResult):
            yield known.materialization(key, event.metadata)
            continue
        if key not in targets:
            targets[key] = known.target(key)
        yield known.evaluation(event, targets[key])
