"""What an instance knows of this project's sensors and schedules: on or off, when they looked, what they remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)

from market_data.operate.alerts import SensorLooks

_TICKS_READ = 20
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Instigator:
    """A sensor or schedule: its looks, and the cursor that the last one left."""

    looks: SensorLooks
    cursor: str | None


def read_instigators(
    instance: dg.DagsterInstance, every_seconds: Mapping[str, float], *, is_automation_on: bool
) -> dict[str, Instigator]:
    """Return the named ones in their order (how often each looks, by name), also those that never looked."""
    states: dict[str, InstigatorState] = {}
    # one that was renamed, or belongs to a former code location, looked longer ago
    for state in sorted(instance.all_instigator_state(), key=_last_tick):
        if state.name in every_seconds:
            states[state.name] = state
    return {
        name: _read(instance, name, seconds, states.get(name), is_automation_on=is_automation_on)
        for name, seconds in every_seconds.items()
    }


def _last_tick(state: InstigatorState) -> float:
    data = state.instigator_data
    if isinstance(data, SensorInstigatorData):
        return data.last_tick_timestamp or 0
    return (data.last_iteration_timestamp or 0) if isinstance(data, ScheduleInstigatorData) else 0


def _read(
    instance: dg.DagsterInstance, name: str, seconds: float, state: InstigatorState | None, *, is_automation_on: bool
) -> Instigator:
    looks = SensorLooks(name=name, every_seconds=seconds, is_on=is_automation_on, is_meant_on=is_automation_on)
    if state is None:
        return Instigator(looks, None)
    is_switched = state.status in {InstigatorStatus.RUNNING, InstigatorStatus.STOPPED}
    is_on = state.status is InstigatorStatus.RUNNING if is_switched else is_automation_on
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS_READ)
    ticks = [tick for tick in found if tick.status is not TickStatus.STARTED]
    data = state.instigator_data
    cursor = data.cursor if isinstance(data, SensorInstigatorData) else None
    return Instigator(looks.model_copy(update={"is_on": is_on, **_describe(ticks)}), cursor)


def _describe(newest_first: list[InstigatorTick]) -> dict[str, object]:
    if not newest_first:
        return {}
    failed: list[InstigatorTick] = []
    for tick in newest_first:
        if tick.status is not TickStatus.FAILURE:
            break
        failed.append(tick)
    return {
        "last_at": datetime.fromtimestamp(newest_first[0].timestamp, UTC),
        "outcome": newest_first[0].status.value.lower(),
        "error": _cause_of(failed[0]) if failed else "",
        "failed": len(failed),
        "failing_since": datetime.fromtimestamp(failed[-1].timestamp, UTC) if failed else None,
    }


def _cause_of(tick: InstigatorTick) -> str:
    """Return what a failed look says; Dagster wraps our error in its own."""
    error = tick.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else " ".join(error.message.split())[:_LONGEST_ERROR]
