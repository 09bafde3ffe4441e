"""The assets `agreement/<venue>`: whether a day's data types agree, off the venue-day, since every row of it is read.

A run of several days logs each by hand, as a venue's step does (`many_days.py`). The gaps of the day are judged again
too: by now more days before it may be held.
"""

import warnings
from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._utils.warnings import PreviewWarning

from market_data.checks.rules import Verdict
from market_data.defs.checks import check_result
from market_data.defs.day_step import DayEvent
from market_data.defs.keys import agreement_asset_key, raw_asset_key
from market_data.defs.logs import logs_shown_in_dagster
from market_data.defs.many_days import ToldEvent, backfill_policy, run_days
from market_data.defs.resources import LakeResource
from market_data.defs.runs import LAKE_QUEUE
from market_data.defs.tables import make_table
from market_data.lake.keys import agreement_key
from market_data.model.venues import group_name_of
from market_data.quality.agreement_table import VERIFIABILITY, JudgedAgreement
from market_data.quality.agreement_verdict import verdict_of_agreement
from market_data.quality.judge_gaps import judge_gaps
from market_data.settings.environment import Settings

QUALITY_GROUP = "quality"
AGREEMENT_CHECK = "data_types_agree"
AGREEMENT_JOB = "judge_agreement"


def build_agreement(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset of a venue with its check; it asks the vendor for nothing."""
    configured = settings.config.venues[venue]
    key, days_per_run = agreement_asset_key(venue), settings.config.limits.days_per_run

    @dg.multi_asset(
        name=f"{group_name_of(venue)}__agreement",
        specs=[
            dg.AssetSpec(
                key,
                deps=[raw_asset_key(venue, data_type) for data_type in configured.data_types],
                description=f"Whether the data types of {venue} agree: the book rebuilt from L2 against all others.",
                group_name=QUALITY_GROUP,
                kinds={"parquet"},
                owners=configured.owners,
                skippable=True,
            )
        ],
        check_specs=_check_specs(key, days),
        partitions_def=days,
        backfill_policy=backfill_policy(days_per_run),
        can_subset=True,
    )
    def agreement(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[ToldEvent]:
        from market_data.quality.judge_agreement import judge_agreement  # noqa: PLC0415  loads numba, for this step alone

        with logs_shown_in_dagster(context.log):
            store = lake.open()

            def run_day(day: date) -> Iterator[DayEvent]:
                judge_gaps(store, venue, configured.data_types, day, configured.gap_rules)
                judged = judge_agreement(store, venue, configured.data_types, day, configured.agreement_rules)
                verdict = verdict_of_agreement(judged)
                yield dg.MaterializeResult(
                    key, metadata=_describe(judged, verdict, store.uri(agreement_key(venue, day)))
                )
                yield check_result(key, AGREEMENT_CHECK, verdict)

            yield from run_days(context, venue, run_day)

    return agreement


def _check_specs(key: dg.AssetKey, days: dg.DailyPartitionsDefinition) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PreviewWarning)
        text = "the data types agree where they should (quality/agreement_rules.py); what cannot be judged is counted"
        return [dg.AssetCheckSpec(AGREEMENT_CHECK, asset=key, description=text, partitions_def=days, blocking=False)]


def _describe(judged: JudgedAgreement, verdict: Verdict, uri: str) -> dict[str, dg.MetadataValue]:
    compared = judged.table.filter(pl.col("compared") > 0, pl.col("comparison").str.contains("_unlike_"))
    instants, equal = int(compared["compared"].sum()), int(compared["equal"].sum())
    known = judged.table.filter(pl.col("comparison") == VERIFIABILITY)["told"].value_counts(sort=True).to_dicts()
    metadata: dict[str, dg.MetadataValue] = {
        "verdict": dg.MetadataValue.text(verdict.summary),
        "uri": dg.MetadataValue.path(uri),
        "instants compared": dg.MetadataValue.int(instants),
        "equal share": dg.MetadataValue.float(equal / instants if instants else 0.0),
    }
    if known:
        rows = [{"independent evidence": row["told"], "instruments": str(row["count"])} for row in known]
        metadata["verifiability"] = make_table(rows)
    if judged.left_alone:
        rows = [{"data type": kind.value, "left alone": why} for kind, why in judged.left_alone.items()]
        metadata["not judged"] = make_table(rows)
    return metadata


def build_agreement_job() -> UnresolvedAssetJobDefinition:
    """Return the job of all venues."""
    return dg.define_asset_job(
        AGREEMENT_JOB,
        dg.AssetSelection.groups(QUALITY_GROUP),
        tags=LAKE_QUEUE,
        description="Holds the data types of days against each other, and looks for gaps again; asks no vendor.",
    )
