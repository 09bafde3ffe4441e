"""One assembly function: settings in, definitions out."""

from __future__ import annotations

import dagster as dg

from market_data.defs.agreement import QUALITY_GROUP, build_agreement, build_agreement_job
from market_data.defs.agreement_due import build_agreement_due
from market_data.defs.assets import build_venue_assets
from market_data.defs.combined_universe import UNIVERSE_KEY, build_combined_universe
from market_data.defs.coverage import COVERAGE_KEY, LAKE_GROUP, build_coverage
from market_data.defs.executors import build_executor
from market_data.defs.history import build_rebuild_history
from market_data.defs.keys import agreement_asset_key
from market_data.defs.launches import build_launches
from market_data.defs.needs import NEEDS_KEY, build_needs
from market_data.defs.partitions import daily_partitions
from market_data.defs.resources import build_resources
from market_data.defs.runs import ALL_VENUES_JOB, LAKE_QUEUE, RECHECK_JOB, REFRESH_JOB, REFRESH_TAG
from market_data.defs.tidy import build_tidy
from market_data.settings.environment import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return everything that Dagster loads, for the venues, layouts and engine of the settings."""
    days = daily_partitions(settings.config.start_date, settings.config.end_date)
    # what is of the whole lake, or comes after a day's ticks, belongs to no run of a day
    venue_assets = dg.AssetSelection.all() - dg.AssetSelection.groups(LAKE_GROUP, QUALITY_GROUP)
    job = dg.define_asset_job(ALL_VENUES_JOB, venue_assets, description="Every asset of every venue.")
    other_checks = [NEEDS_KEY, *map(agreement_asset_key, settings.config.venues)]
    recheck = dg.define_asset_job(
        RECHECK_JOB,
        dg.AssetSelection.all_asset_checks() - dg.AssetSelection.checks_for_assets(*other_checks),
        # a job without assets takes its partitions from nowhere else
        config=dg.PartitionedConfig(partitions_def=days, run_config_for_partition_key_fn=lambda _: {}),
        tags=LAKE_QUEUE,
        description="Judges days again by the limits as they are now; asks the vendor for nothing, downloads nothing.",
    )
    refresh = dg.define_asset_job(
        REFRESH_JOB,
        venue_assets,
        tags={REFRESH_TAG: "true"},
        description="Asks the vendor whether files that are held have changed, and replaces those that have.",
    )
    universe = dg.define_asset_job(
        "combined_universe",
        dg.AssetSelection.assets(UNIVERSE_KEY),
        tags=LAKE_QUEUE,
        description="The instruments of all venues on the day as one table, of what the lake holds of each.",
    )
    coverage = dg.define_asset_job(
        "draw_coverage",
        dg.AssetSelection.assets(COVERAGE_KEY),
        tags=LAKE_QUEUE,
        description="Draws anew what the lake holds against what is expected; asks the vendor for nothing.",
    )
    sensors, schedules = build_launches(settings, job)
    tidy, tidy_daily = build_tidy(settings)
    needs, needs_sensor = build_needs(settings)
    return dg.Definitions(
        assets=[
            *(build_venue_assets(settings, venue, days) for venue in settings.config.venues),
            *(build_agreement(settings, venue, days) for venue in settings.config.venues),
            build_coverage(settings),
            needs,
            build_combined_universe(settings, days),
        ],
        jobs=[job, recheck, refresh, build_agreement_job(), universe, coverage, build_rebuild_history(settings), tidy],
        sensors=[*sensors, needs_sensor, build_agreement_due(settings)],
        schedules=[*schedules, tidy_daily],
        resources=build_resources(settings),
        executor=build_executor(settings.engine),
    )
