"""The sensor `agreement_due`: launches the comparison of days whose ticks are there, and of those that changed since.

It looks at the days of the four weeks before today; who backfills older ones chooses `agreement/<venue>` with them, or
runs its job. A day is judged again when its ticks are published anew, and when the day before it has arrived.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_data.defs.agreement import AGREEMENT_JOB
from market_data.defs.keys import agreement_asset_key
from market_data.defs.launches import sensor_status
from market_data.defs.resources import LakeResource
from market_data.defs.runs import LAKE_QUEUE
from market_data.index.store import read_heads
from market_data.index.unit import UnitHead
from market_data.lake.base import TickLake
from market_data.quality.agreement_table import basis_of_agreement, load_agreement_bases
from market_data.quality.gaps import BASELINE_DAYS
from market_data.settings.environment import Settings

AGREEMENT_SENSOR = "agreement_due"
_DAY = timedelta(days=1)


def build_agreement_due(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor; it reads the index and the tables of before, and asks the vendor for nothing."""

    @dg.sensor(
        name=AGREEMENT_SENSOR,
        job_name=AGREEMENT_JOB,
        minimum_interval_seconds=settings.config.automation.check_every_seconds,
        default_status=sensor_status(settings),
        description="Launches `agreement/<venue>` for days whose ticks are there and were not compared as they are.",
    )
    def agreement_due(lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        newest = settings.config.newest_day(datetime.now(UTC).date())
        days = [newest - timedelta(days=back) for back in reversed(range(BASELINE_DAYS))]
        per_look = settings.config.automation.days_per_check
        requests = []
        for venue in settings.config.venues:
            requests += list(_due(settings, lake.open(), venue, days))[:per_look]
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("nothing to do")

    return agreement_due


def _due(settings: Settings, lake: TickLake, venue: str, days: list[date]) -> Iterator[dg.RunRequest]:
    """Yield a request for each day that is whole and not judged as it is, oldest first."""
    heads: dict[date, list[UnitHead]] = {}
    for unit, head in read_heads(lake, {venue: settings.config.venues[venue].data_types}, days).items():
        heads.setdefault(unit.day, []).append(head)
    bases: Mapping[date, str] = load_agreement_bases(lake, venue, [days[0] - _DAY, *days])
    for day in days:
        own = heads.get(day, [])
        if len(own) < len(settings.config.venues[venue].data_types) or not all(head.is_complete for head in own):
            continue
        basis = basis_of_agreement(own, has_day_before=day - _DAY in bases)
        if bases.get(day) != basis:
            # the same look is asked for once: Dagster knows the key
            key, name = f"{venue} {day} {basis}", agreement_asset_key(venue)
            yield dg.RunRequest(run_key=key, partition_key=str(day), asset_selection=[name], tags=LAKE_QUEUE)
