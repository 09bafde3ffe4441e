"""The assets of one venue: its instruments, and one step `ticks` whose outputs are the raw data types and the layouts.

A venue-day is one step, so downloading, decoding and publishing overlap. The step yields what is finished and then
raises when anything is open: finished outputs are MATERIALIZED, the others FAILED, each with its check results
(`ticks_step.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import dagster as dg

from market_data.defs.checks import build_check_specs
from market_data.defs.keys import VENUE_TAG, instruments_asset_key, layout_asset_key, raw_asset_key, ticks_op_name
from market_data.defs.logs import logs_shown_in_dagster
from market_data.defs.metadata import describe_columns, describe_open_files, describe_universe
from market_data.defs.resources import LakeResource, VendorResource
from market_data.defs.runs import REFRESH_TAG, tag_with_failure, tag_with_venues
from market_data.defs.ticks_step import TicksEvent, TicksStep, learn_days
from market_data.errors import MarketDataError, VendorBusy, VendorNotReady
from market_data.ingest.venue_day import UnitResult
from market_data.lake.base import TickLake
from market_data.lake.keys import PARTITION_ORDERS
from market_data.model.data_types import TABLES
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings
from market_data.universe.rules import Universe, changes_between, notes_on
from market_data.universe.table import store_universe

# Caps concurrent steps that download, where the deployment sets a limit for the pool.
POOL = "tardis"


def build_venue_assets(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return the two steps of a venue."""
    return [_build_instruments(settings, venue, days), _build_ticks(settings, venue, days)]


@contextmanager
def _step_of(settings: Settings, venue: str, context: dg.AssetExecutionContext) -> Iterator[None]:
    """Tag the run with its venues and with how the step failed; show what the use cases log.

    Errors raised on purpose are shown as their text: a stack trace of ours helps nobody who reads a run.
    """
    tag_with_venues(context.instance, context.run, settings.config.venues)
    try:
        with logs_shown_in_dagster(context.log), failures_for_people():
            yield
    except dg.Failure as failure:
        tag_with_failure(context.instance, context.run, venue, failure)
        raise


@contextmanager
def failures_for_people() -> Iterator[None]:
    """Fail a step by the text of an error that was raised on purpose, with whether another attempt may help."""
    try:
        yield
    except MarketDataError as error:
        metadata: dict[str, dg.MetadataValue[Any]] = {
            "error": dg.MetadataValue.text(type(error).__name__),
            "is_transient": dg.MetadataValue.bool(error.is_transient),
        }
        if isinstance(error, VendorBusy):
            metadata["not before"] = dg.MetadataValue.text(error.not_before.isoformat())
        raise dg.Failure(description=str(error), metadata=metadata) from error


def _build_instruments(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    selection = settings.config.venues[venue].selection

    @dg.asset(
        key=instruments_asset_key(venue),
        group_name=group_name_of(venue),
        partitions_def=days,
        kinds={"parquet"},
        description=f"Instruments that {venue} listed on the day, delisted ones included; one row each.",
        owners=settings.config.venues[venue].owners,
        op_tags={VENUE_TAG: venue},
    )
    def instruments(
        context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource
    ) -> dg.MaterializeResult[None]:
        day = date.fromisoformat(context.partition_key)
        with _step_of(settings, venue, context):
            store = lake.open()
            universe, before = _learn_day_and_before(settings, venue, day, store, vendor)
            stat = store_universe(store, universe)
        notes = notes_on(universe, selection)
        for note in notes:
            context.log.warning("%s: %s", venue, note)
        disagreeing = sum(bool(item.disagreements) for item in universe.listed)
        if disagreeing:
            context.log.warning("%s: the vendor defines %d instruments otherwise than their keys", venue, disagreeing)
        changes = changes_between(before, universe) if before else ()
        return dg.MaterializeResult(metadata=describe_universe(universe, changes, store.uri(stat.key), notes))

    return instruments


def _learn_day_and_before(
    settings: Settings, venue: str, day: date, lake: TickLake, vendor: VendorResource
) -> tuple[Universe, Universe | None]:
    """Return the universes of a day and of the day before; None for one that is not exported yet.

    So it is behind the last days of a venue that has ended: they may be on their way, what comes after them is known.
    """
    try:
        universe, before = learn_days(settings, venue, (day, day - timedelta(days=1)), lake, vendor)
    except VendorNotReady:
        (universe,) = learn_days(settings, venue, (day,), lake, vendor)
        return universe, None
    return universe, before


def _build_ticks(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    data_types, layouts = settings.config.venues[venue].data_types, settings.config.layouts

    @dg.multi_asset(
        name=ticks_op_name(venue),
        specs=_ticks_specs(settings, venue),
        check_specs=build_check_specs(
            {data_type: raw_asset_key(venue, data_type) for data_type in data_types},
            {layout: layout_asset_key(venue, layout) for layout in layouts},
            days,
        ),
        partitions_def=days,
        can_subset=True,
        pool=POOL,
        op_tags={VENUE_TAG: venue},
    )
    def ticks(context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource) -> Iterator[TicksEvent]:
        day = date.fromisoformat(context.partition_key)
        results: list[UnitResult] = []
        with _step_of(settings, venue, context):
            store = lake.open()
            keys, checks = context.selected_asset_keys, context.selected_asset_check_keys
            is_refresh = context.run.tags.get(REFRESH_TAG) == "true"
            step = TicksStep(settings, venue, day, store, keys, checks, context.log, is_refresh)
            for result in step.ingest(vendor):
                results.append(result)
                yield from step.report(result)
            yield from step.report_layouts(results)
            yield from step.check_the_rest(results)
            if any(not result.receipt.is_complete for result in results):
                raise dg.Failure(**describe_open_files(venue, day, results))

    return ticks


def _ticks_specs(settings: Settings, venue: str) -> list[dg.AssetSpec]:
    owners = settings.config.venues[venue].owners
    raw = [
        dg.AssetSpec(
            raw_asset_key(venue, data_type),
            deps=[instruments_asset_key(venue)],
            description=f"The vendor's {data_type} files of {venue}, unchanged; one row is {TABLES[data_type].grain}.",
            group_name=group_name_of(venue),
            kinds={"csv"},
            tags={"data_type": data_type.value},
            metadata=describe_columns(TABLES[data_type]),
            owners=owners,
            skippable=True,
        )
        for data_type in settings.config.venues[venue].data_types
    ]
    layouts = [
        dg.AssetSpec(
            layout_asset_key(venue, layout),
            deps=[spec.key for spec in raw],
            description=f"All data types of {venue} as Parquet, partitioned by {', '.join(PARTITION_ORDERS[layout])}.",
            group_name=group_name_of(venue),
            kinds={"parquet"},
            owners=owners,
            skippable=True,
        )
        for layout in settings.config.layouts
    ]
    return [*raw, *layouts]
