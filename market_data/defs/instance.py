"""What the doctor asks of a Dagster instance: does it open, is its daemon alive, what launches, what is capped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.instance.config import PoolGranularity
from dagster._core.scheduler.instigation import InstigatorStatus

from market_data.defs.assets import POOL
from market_data.errors import ConfigurationError
from market_data.operate.doctor import Diagnosis, Level

_NAME = "dagster"
_LONGEST_ERROR = 400


def check_instance(home: Path, *, is_automation_on: bool) -> Iterator[Diagnosis]:
    """Yield diagnoses of the instance of a DAGSTER_HOME."""
    if not (home / "dagster.yaml").is_file():
        remedy = "set DAGSTER_HOME to the directory of your instance (docker/dagster.yaml is one to start from)"
        yield Diagnosis(Level.FAIL, _NAME, f"{home} holds no dagster.yaml", remedy)
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            runs = instance.get_runs_count()
            found = [check_daemon(instance, is_automation_on=is_automation_on)]
            found += [_check_launches(instance, is_automation_on=is_automation_on), _check_pool(instance)]
    except Exception as error:  # noqa: BLE001  every storage has errors of its own
        text = _shorten(error)
        yield Diagnosis(Level.FAIL, _NAME, f"the instance in {home} cannot be opened: {text}", "mend its dagster.yaml")
        return
    yield Diagnosis(Level.OK, _NAME, f"the instance in {home} opens; it knows {runs} runs")
    yield from found


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a DAGSTER_HOME; raises ConfigurationError (permanent) where that fails."""
    try:
        instance = dg.DagsterInstance.from_config(str(home))
    except Exception as error:  # every storage has errors of its own
        raise ConfigurationError(
            f"the Dagster instance in {home} cannot be opened: {_shorten(error)}. Mend its dagster.yaml"
        ) from error
    with instance:
        yield instance


def _shorten(error: Exception) -> str:
    """Return what is wrong in a line; Dagster's text of a wrong file begins with all of its schema."""
    texts = (
        [fault.message for fault in error.errors] if isinstance(error, dg.DagsterInvalidConfigError) else [str(error)]
    )
    return " ".join("; ".join(texts).split())[:_LONGEST_ERROR]


def check_daemon(instance: dg.DagsterInstance, *, is_automation_on: bool) -> Diagnosis:
    """Say whether each daemon that the instance needs has a heartbeat."""
    statuses = instance.get_daemon_statuses()
    silent = sorted(name for name, status in statuses.items() if status.required and not status.healthy)
    if not silent:
        return Diagnosis(Level.OK, "daemon", "alive")
    beats = [status.last_heartbeat.timestamp for status in statuses.values() if status.last_heartbeat]
    heard = (
        f"was last heard of at {datetime.fromtimestamp(max(beats), UTC):%Y-%m-%d %H:%M} UTC" if beats else "never ran"
    )
    who = "the daemon" if len(silent) == len(statuses) else ", ".join(silent)
    return Diagnosis(
        Level.FAIL if is_automation_on else Level.WARN,
        "daemon",
        f"{who} {heard}: queued runs, backfills, sensors and schedules stand still",
        "start it: make dev, or docker compose up",
    )


def _check_launches(instance: dg.DagsterInstance, *, is_automation_on: bool) -> Diagnosis:
    """Compare what the settings say with what people switched in the UI, which wins."""
    switched = {
        state.name: state.status is InstigatorStatus.RUNNING
        for state in instance.all_instigator_state()
        if state.status in {InstigatorStatus.RUNNING, InstigatorStatus.STOPPED}
    }
    default = "running" if is_automation_on else "stopped"
    if not switched:
        return Diagnosis(Level.OK, "sensors", f"all {default}, as MARKET_DATA_AUTOMATION says")
    told = ", ".join(f"{name} {'running' if is_on else 'stopped'}" for name, is_on in sorted(switched.items()))
    is_against = any(is_on != is_automation_on for is_on in switched.values())
    return Diagnosis(
        Level.WARN if is_against else Level.OK,
        "sensors",
        f"switched in the UI: {told}; the others {default}",
        "reset them to their default status in the UI (Automation) if that is not meant" if is_against else "",
    )


def _check_pool(instance: dg.DagsterInstance) -> Diagnosis:
    config = instance.get_concurrency_config()
    limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    limit = limits.get(POOL, config.pool_config.default_pool_limit)
    queue = config.run_queue_config
    runs = f"at most {queue.max_concurrent_runs} runs at once" if queue else "no cap on runs"
    if config.pool_config.pool_granularity is PoolGranularity.RUN:
        what = "pools are counted by run, so two runs can slip past a limit"
        return Diagnosis(Level.WARN, "pool limits", what, "set concurrency.pools.granularity: op in dagster.yaml")
    downloads = f"at most {limit} downloading steps" if limit is not None else "no limit"
    return Diagnosis(Level.OK, "pool limits", f"pool {POOL}: {downloads}, {runs}")
