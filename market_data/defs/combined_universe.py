"""The instruments of all venues on a day as one asset.

A backfill of several days is one run. It is never a run of the venues' assets too: theirs have another policy.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from market_data.defs.coverage import LAKE_GROUP
from market_data.defs.keys import instruments_asset_key
from market_data.defs.metadata import Metadata
from market_data.defs.resources import LakeResource
from market_data.defs.tables import make_table
from market_data.lake.base import TickLake
from market_data.settings.environment import Settings
from market_data.universe.table import combine_universes

UNIVERSE_KEY = dg.AssetKey("universe")


def build_combined_universe(settings: Settings, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset `universe`: what the lake holds of each venue's `instruments` of the day, in one table."""
    venues = sorted(settings.config.venues)

    spec = dg.AssetSpec(
        UNIVERSE_KEY,
        group_name=LAKE_GROUP,
        deps=[instruments_asset_key(venue) for venue in venues],
        kinds={"parquet"},
        description="The instruments of all venues on the day; one row each, sorted by venue and vendor symbol.",
        skippable=True,
    )

    @dg.multi_asset(specs=[spec], partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
    def universe(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[dg.MaterializeResult[None]]:
        store = lake.open()
        if context.has_partition_key:
            yield dg.MaterializeResult(metadata=_combine(store, venues, context.partition_key))
            return
        for day in context.partition_keys:  # what is yielded would be taken for every day
            metadata = _combine(store, venues, day)
            context.log_event(dg.AssetMaterialization(UNIVERSE_KEY, partition=day, metadata=metadata))

    return universe


def _combine(lake: TickLake, venues: Sequence[str], day: str) -> Metadata:
    """Store the table of a day and describe it."""
    stat, combined, missing = combine_universes(lake, venues, date.fromisoformat(day))
    counts = sorted(Counter(combined["venue"]).items())
    held = f"{len(venues) - len(missing)} of {len(venues)} venues"
    return {
        "verdict": f"OK {held}" if not missing else f"INCOMPLETE {held}; not run: {', '.join(missing)}",
        "dagster/partition_row_count": combined.height,
        "instruments by venue": make_table({"venue": name, "instruments": count} for name, count in counts),
        "object": dg.MetadataValue.path(lake.uri(stat.key)),
    }
