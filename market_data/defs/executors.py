"""The engine of a run's steps, chosen by MARKET_DATA_ENGINE; nothing else changes with it."""

from __future__ import annotations

import dagster as dg

from market_data.errors import ConfigurationError
from market_data.settings.environment import Engine


def build_executor(engine: Engine) -> dg.ExecutorDefinition:
    """Return the executor; raises ConfigurationError (permanent) when the engine's package is not installed.

    In-process is the default: steps of a venue-day are few, and a process for each costs seconds.
    """
    if engine is Engine.IN_PROCESS:
        return dg.in_process_executor
    if engine is Engine.MULTIPROCESS:
        return dg.multiprocess_executor
    try:
        from dagster_k8s import k8s_job_executor  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise ConfigurationError(
            f"MARKET_DATA_ENGINE is {engine.value!r}, but its package is missing ({error.name}): "
            "pip install 'market-data[engines]'"
        ) from error
    return k8s_job_executor
