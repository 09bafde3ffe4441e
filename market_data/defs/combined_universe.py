"""The instruments of all venues on a day as one asset."""

from collections import Counter
from datetime import date

import dagster as dg

from market_data.defs.coverage import LAKE_GROUP
from market_data.defs.keys import instruments_asset_key
from market_data.defs.resources import LakeResource
from market_data.defs.tables import make_table
from market_data.settings.environment import Settings
from market_data.universe.table import combine_universes

UNIVERSE_KEY = dg.AssetKey("universe")


def build_combined_universe(settings: Settings, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset `universe`: what the lake holds of each venue's `instruments` of the day, in one table."""
    venues = sorted(settings.config.venues)

    @dg.asset(
        key=UNIVERSE_KEY,
        group_name=LAKE_GROUP,
        partitions_def=days,
        deps=[instruments_asset_key(venue) for venue in venues],
        kinds={"parquet"},
        description="The instruments of all venues on the day; one row each, sorted by venue and vendor symbol.",
    )
    def universe(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
        store = lake.open()
        stat, combined, missing = combine_universes(store, venues, date.fromisoformat(context.partition_key))
        counts = sorted(Counter(combined["venue"]).items())
        held = f"{len(venues) - len(missing)} of {len(venues)} venues"
        return dg.MaterializeResult(
            metadata={
                "verdict": f"OK {held}" if not missing else f"INCOMPLETE {held}; not run: {', '.join(missing)}",
                "dagster/partition_row_count": combined.height,
                "instruments by venue": make_table({"venue": name, "instruments": count} for name, count in counts),
                "object": dg.MetadataValue.path(store.uri(stat.key)),
            }
        )

    return universe
