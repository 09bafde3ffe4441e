"""Failed venue-days by the thousand, as an instance remembers them: for the benchmark and the test of the sensors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg
from dagster._core.utils import make_new_run_id

from market_data.defs.keys import venue_asset_keys
from market_data.settings.environment import Settings


def add_failed_runs(instance: dg.DagsterInstance, settings: Settings, days: Sequence[date]) -> int:
    """Add a failed run of each venue and day, one venue a run, as sensors launch them; answer how many."""
    for day in days:
        for venue in settings.config.venues:
            run_id = make_new_run_id()
            instance.add_run(
                dg.DagsterRun(
                    job_name="all_venues",
                    run_id=run_id,
                    status=dg.DagsterRunStatus.FAILURE,
                    asset_selection=frozenset(venue_asset_keys(settings, venue)),
                    tags={
                        "dagster/partition": day.isoformat(),
                        "venue": venue,
                        f"market_data/failed/{venue}": f"VendorUnavailable, transient, in run {run_id[:8]}",
                    },
                )
            )
    return len(days) * len(settings.config.venues)
