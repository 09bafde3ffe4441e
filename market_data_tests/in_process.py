"""The project in this process: its definitions on a lake in a directory, a simulated vendor, and a Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import stamina
import yaml
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from market_data.defs.build import build_definitions
from market_data.defs.keys import venue_asset_keys
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.settings.environment import Settings, load_settings
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator
from market_data_tests.simulated import simulated_environment


@dataclass
class Project:
    """`venues`, `automation` and `limits` are of the venues file; change them, and the next call is under new ones."""

    directory: Path
    simulator: RunningSimulator
    instance: dg.DagsterInstance
    venues: dict[str, dict[str, Any]]
    automation: dict[str, Any]
    limits: dict[str, Any] = field(default_factory=dict)
    _built: tuple[Settings, dg.Definitions] | None = None

    @property
    def lake(self) -> TickLake:
        return open_lake((self.directory / "lake").as_uri())

    def settings(self) -> Settings:
        venues_file = self.directory / "venues.yaml"
        document = {"venues": self.venues, "automation": self.automation, "limits": self.limits}
        venues_file.write_text(yaml.safe_dump(document))
        return load_settings(simulated_environment(self.directory, self.simulator))

    def definitions(self) -> dg.Definitions:
        """Build what Dagster loads; as long as the settings stay the same, it stays loaded, as in a code server."""
        settings = self.settings()
        if self._built is None or self._built[0] != settings:
            self._built = settings, build_definitions(settings)
        return self._built[1]

    def run(self, job: str, day: date, tags: Mapping[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a whole job for a day."""
        definition = self.definitions().resolve_job_def(job)
        return definition.execute_in_process(
            partition_key=str(day), instance=self.instance, raise_on_error=False, tags=dict(tags or {})
        )

    def run_range(
        self, job: str, first: date, last: date, tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a whole job for several days in one run, as a backfill does."""
        definition = self.definitions().resolve_job_def(job)
        bounds = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
        return definition.execute_in_process(
            instance=self.instance, raise_on_error=False, tags={**bounds, **(tags or {})}
        )

    def materialize(self, venue: str, first: date, last: date | None = None) -> dg.ExecuteInProcessResult:
        """Do what "Materialize" does with the assets of a venue, on one day or on several in one run."""
        settings = self.settings()
        bounds = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
        return (
            self.definitions()
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                asset_selection=venue_asset_keys(settings, venue),
                tags=bounds if last else {"dagster/partition": str(first)},
            )
        )

    def execute_checks(self, day: date, *checks: tuple[str, str]) -> None:
        """Do what "Execute" on checks (asset key, check name) does in the UI: the run's record names them."""
        wanted = frozenset(dg.AssetCheckKey(dg.AssetKey(key.split("/")), name) for key, name in checks)
        job = self.definitions().resolve_implicit_global_asset_job_def()
        chosen = job.get_subset(asset_check_selection=wanted)
        tags = {"dagster/partition": str(day)}
        plan = create_execution_plan(chosen, tags=tags)
        run = self.instance.create_run(
            job_name=job.name,
            run_id=None,
            run_config={},
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags=tags,
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=plan.step_keys_to_execute,
            execution_plan_snapshot=snapshot_from_execution_plan(plan, chosen.get_job_snapshot_id()),
            job_snapshot=chosen.get_job_snapshot(),
            parent_job_snapshot=chosen.get_parent_job_snapshot(),
            asset_selection=None,
            asset_check_selection=wanted,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=None,
            job_code_origin=None,
            asset_graph=chosen.asset_layer.asset_graph,
        )
        assert execute_run(InMemoryJob(job), run, self.instance).success

    def look(self, sensor: str, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
        """Let a sensor look once."""
        definitions = self.definitions()
        (definition,) = (item for item in definitions.sensors or () if item.name == sensor)
        assert isinstance(definition, dg.SensorDefinition)
        with dg.build_sensor_context(
            self.instance, cursor=cursor, resources=dict(definitions.resources or {})
        ) as context:
            result = definition(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    def receipt(self, venue: str, data_type: DataType, day: date) -> Receipt:
        receipt, _ = load_receipt(self.lake, DataTypeDay(venue, data_type, day))
        assert receipt is not None
        return receipt

    def check_results(self, key: str, name: str, day: date) -> list[AssetCheckExecutionRecord]:
        """The stored results of a check for a day, newest first."""
        storage, check = self.instance.event_log_storage, dg.AssetCheckKey(dg.AssetKey(key.split("/")), name)
        history = storage.get_asset_check_execution_history(
            check, limit=10, partition_filter=PartitionKeyFilter(key=str(day))
        )
        return list(history)


@contextmanager
def open_project(
    directory: Path,
    simulator: RunningSimulator,
    venues: dict[str, dict[str, Any]],
    automation: dict[str, Any] | None = None,
    *,
    home: Path | None = None,
) -> Iterator[Project]:
    """Give a project on an empty lake and a new instance; a failed request to the vendor is not sent again.

    The instance is in memory, or what the dagster.yaml in `home` says.
    """
    with (
        dg.DagsterInstance.from_config(str(home)) if home else dg.DagsterInstance.ephemeral() as instance,
        stamina.set_testing(True, attempts=1),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TARDIS_API_KEY", DEFAULT_KEY)  # Dagster's resource reads the variable itself
        yield Project(directory, simulator, instance, venues, automation or {})
