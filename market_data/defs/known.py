"""One venue-day as Dagster knows it: what is recorded, whether a run is at work on it, events to record of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from market_data.defs.runs import KnownRuns, is_live

# What a check's result points at.
Target: TypeAlias = AssetCheckEvaluationTargetMaterializationData
_ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True, slots=True)
class KnownDay:
    """One venue-day, asked about anew at each call: other runs record meanwhile.

    What was recorded before `since` is of what was published before, as after a restored backup, and is not known.
    """

    instance: dg.DagsterInstance
    venue: str
    day: date

    @property
    def partition(self) -> str:
        """The partition's key."""
        return self.day.isoformat()

    def is_at_work(self) -> bool:
        """Whether a run that concerns the venue-day is queued or at work."""
        now = datetime.now(UTC)
        return any(is_live(record, now) for record in KnownRuns(self.instance).of(self.venue, self.partition))

    def has_materialization(self, key: dg.AssetKey, since: datetime | None) -> bool:
        """Whether an asset's partition was recorded, since what the lake holds of it was published."""
        target = self.target(key)
        return target is not None and (since is None or target.timestamp >= since.timestamp())

    def checks_without_result(
        self, checks: Sequence[dg.AssetCheckKey], since: datetime | None
    ) -> list[dg.AssetCheckKey]:
        """Return those of the checks that no run has ended since; one that a dead run had planned is among them."""
        partition = PartitionKeyFilter(key=self.partition)
        records = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(checks, partition)
        known = {
            key
            for key, record in records.items()
            if record.status in _ENDED
            and record.event is not None
            and (since is None or record.event.timestamp >= since.timestamp())
        }
        return [check for check in checks if check not in known]

    def materialization(self, key: dg.AssetKey, metadata: Mapping[str, Any] | None) -> dg.AssetMaterialization:
        """Return what was published as the event that Dagster makes of it in a run of the day."""
        return dg.AssetMaterialization(key, partition=self.partition, metadata=metadata)

    def failure(self, key: dg.AssetKey, description: str, metadata: Mapping[str, Any]) -> dg.AssetObservation:
        """Return why an asset was not materialised, as an event of the asset's own.

        Dagster shows a failed partition nothing of its run's failure. An observation is on the asset's page, and no
        status depends on it.
        """
        headline, _, _ = description.partition("\n")
        told = {"why it failed": headline, **metadata}
        return dg.AssetObservation(key, description=description, partition=self.partition, metadata=told)

    def evaluation(self, result: dg.AssetCheckResult, target: Target | None) -> dg.AssetCheckEvaluation:
        """Return a check's result as the event that Dagster makes of it in a run of the day.

        `target` is the newest materialisation of its asset: the UI shows no result of an older one.
        """
        key, name = result.asset_key, result.check_name
        assert key is not None and name is not None  # noqa: S101, PT018  of several assets and checks, so always there
        return dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=result.passed,
            metadata=result.metadata,
            target_materialization_data=target,
            severity=result.severity,
            description=result.description,
            blocking=False,
            partition=self.partition,
        )

    def target(self, key: dg.AssetKey) -> Target | None:
        """Return what points at the newest materialisation of an asset, None where there is none."""
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[self.partition])
        records = self.instance.fetch_materializations(wanted, limit=1).records
        return next(
            (Target(storage_id=it.storage_id, run_id=it.run_id, timestamp=it.timestamp) for it in records), None
        )
