"""The assets of one venue: its instruments, its raw data types and its layouts, all of one step.

A venue-day is one step, so downloading, decoding and publishing overlap. The step yields what is finished and then
raises when anything is open: finished outputs are MATERIALIZED, the others FAILED, each with its check results
(`day_step.py`). A backfill gives a run several days (`many_days.py`); a step that yields nothing, as one of several
days does, would silently skip the steps behind it in the same run, so there is none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg

from market_data.defs.checks import build_check_specs
from market_data.defs.day_step import DayEvent, DayStep
from market_data.defs.failures import failures_for_people
from market_data.defs.keys import VENUE_TAG, instruments_asset_key, layout_asset_key, raw_asset_key, step_name
from market_data.defs.layout_pages import describe_how_to_read, describe_layout_columns
from market_data.defs.logs import logs_shown_in_dagster
from market_data.defs.many_days import ToldEvent, backfill_policy, run_days
from market_data.defs.metadata import describe_columns
from market_data.defs.resources import LakeResource, VendorResource
from market_data.defs.runs import REFRESH_TAG, tag_with_failure, tag_with_venues
from market_data.model.data_types import TABLES
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings

# Caps concurrent steps that download, where the deployment sets a limit for the pool.
POOL = "tardis"


def build_venue_assets(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the step of a venue with all its assets and checks."""
    data_types, layouts = settings.config.venues[venue].data_types, settings.config.layouts

    @dg.multi_asset(
        name=step_name(venue),
        specs=_specs(settings, venue),
        check_specs=build_check_specs(
            {data_type: raw_asset_key(venue, data_type) for data_type in data_types},
            {layout: layout_asset_key(venue, layout) for layout in layouts},
            days,
        ),
        partitions_def=days,
        backfill_policy=backfill_policy(settings.config.limits.days_per_run),
        can_subset=True,
        pool=POOL,
        op_tags={VENUE_TAG: venue},
    )
    def venue_day(context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource) -> Iterator[ToldEvent]:
        with _step_of(settings, venue, context):
            store = lake.open()
            keys, checks = context.selected_asset_keys, context.selected_asset_check_keys
            is_refresh = context.run.tags.get(REFRESH_TAG) == "true"

            def run_day(day: date) -> Iterator[DayEvent]:
                return DayStep(settings, venue, day, store, vendor, keys, checks, context.log, is_refresh).run()

            yield from run_days(context, venue, run_day)

    return venue_day


@contextmanager
def _step_of(settings: Settings, venue: str, context: dg.AssetExecutionContext) -> Iterator[None]:
    """Tag the run with its venues and with how the step failed; show what the use cases log."""
    tag_with_venues(context.instance, context.run, settings.config.venues)
    try:
        with logs_shown_in_dagster(context.log), failures_for_people():
            yield
    except dg.Failure as failure:
        tag_with_failure(context.instance, context.run, venue, failure)
        raise


def _specs(settings: Settings, venue: str) -> list[dg.AssetSpec]:
    owners, data_types = settings.config.venues[venue].owners, settings.config.venues[venue].data_types
    instruments = dg.AssetSpec(
        instruments_asset_key(venue),
        description=f"Instruments that {venue} listed on the day, delisted ones included; one row each.",
        group_name=group_name_of(venue),
        kinds={"parquet"},
        owners=owners,
        skippable=True,
    )
    raw = [
        dg.AssetSpec(
            raw_asset_key(venue, data_type),
            deps=[instruments.key],
            description=f"The vendor's {data_type} files of {venue}, unchanged; one row is {TABLES[data_type].grain}.",
            group_name=group_name_of(venue),
            kinds={"csv"},
            tags={"data_type": data_type.value},
            metadata=describe_columns(TABLES[data_type]),
            owners=owners,
            skippable=True,
        )
        for data_type in data_types
    ]
    layouts = [
        dg.AssetSpec(
            layout_asset_key(venue, layout),
            deps=[spec.key for spec in raw],
            description=describe_how_to_read(venue, layout, data_types, settings.lake_url, settings.config.start_date),
            group_name=group_name_of(venue),
            kinds={"parquet"},
            metadata=describe_layout_columns(layout, data_types),
            owners=owners,
            skippable=True,
        )
        for layout in settings.config.layouts
    ]
    return [instruments, *raw, *layouts]
