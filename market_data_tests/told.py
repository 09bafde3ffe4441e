"""What a Dagster shows of days: the newest materialisations, check results, statuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg

from market_data.defs.build import build_definitions
from market_data_tests.in_process import Project

# What only the run knows that did the work: what it fetched, and how long that took.
OF_A_RUN = {"already current", "files downloaded", "downloaded MB", "seconds"}
# An asset or a check, and a day.
Place = tuple[str, str]


@dataclass(frozen=True)
class Told:
    """What a Dagster shows: metadata of the newest materialisations, check results, check statuses of partitions."""

    materialized: dict[Place, dict[str, Any]]
    checked: dict[Place, dict[str, Any]]
    statuses: dict[str, dict[str, list[str]]]

    @property
    def lasting(self) -> dict[Place, dict[str, Any]]:
        return {
            place: {name: value for name, value in metadata.items() if name not in OF_A_RUN}
            for place, metadata in self.materialized.items()
        }


def told_by(project: Project) -> Told:
    graph = build_definitions(project.settings()).resolve_asset_graph()
    storage = project.instance.event_log_storage
    materialized: dict[Place, dict[str, Any]] = {}
    for key in graph.get_all_asset_keys():
        for day in project.instance.get_materialized_partitions(key):
            wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day])
            (record,) = project.instance.fetch_materializations(wanted, limit=1).records
            assert record.asset_materialization is not None
            materialized[key.to_user_string(), day] = dict(record.asset_materialization.metadata)
    checked = {}
    for check in graph.asset_check_keys:
        for execution in reversed(storage.get_asset_check_execution_history(check, limit=1000)):
            result = execution.evaluation
            if isinstance(result, dg.AssetCheckEvaluation):  # and not planned alone
                name = f"{check.asset_key.to_user_string()} {check.name}"
                checked[name, str(execution.partition)] = {
                    "status": execution.status.value,
                    "passed": result.passed,
                    "severity": result.severity,
                    "description": result.description,
                    "metadata": result.metadata,
                    "blocking": result.blocking,
                    "is of a materialisation": result.target_materialization_data is not None,
                }
    days = dg.DailyPartitionsDefinition("2019-03-30", timezone="UTC")
    states = storage.get_asset_check_state([(check, days) for check in graph.asset_check_keys])
    statuses = {
        f"{check.asset_key.to_user_string()} {check.name}": {
            status.value: sorted(subset.subset_value.get_partition_keys()) for status, subset in state.subsets.items()
        }
        for check, state in states.items()
    }
    return Told(materialized, checked, statuses)
