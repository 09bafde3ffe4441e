"""The assets of one venue: its instruments, and one step `ticks` whose outputs are the raw data types and the layouts.

A venue-day is one step, so downloading, decoding and publishing overlap. The step yields what is finished and then
raises when anything is open: finished outputs are MATERIALIZED, the others FAILED, each with its check results.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import dagster as dg

from market_data.adapters.tick_lake import TickLake
from market_data.defs.checks import build_check_specs, check_layouts, check_unit
from market_data.defs.metadata import describe_layout, describe_open_files, describe_unit, describe_universe
from market_data.defs.resources import LakeResource, VendorResource
from market_data.domain.data_types import TABLES, DataType
from market_data.domain.layouts import PARTITION_ORDERS, DataTypeDay
from market_data.domain.universe import Universe, group_only_notes
from market_data.domain.venues import group_name_of
from market_data.errors import MarketDataError
from market_data.ingest import UnitResult, VenueDay, ingest_venue_day
from market_data.listing import learn_universe, store_universe
from market_data.settings import Settings

# Caps concurrent steps that download, where the deployment sets a limit for the pool.
POOL = "tardis"


def raw_asset_key(venue: str, data_type: DataType) -> dg.AssetKey:
    """Return `<venue>/raw/<data_type>`."""
    return dg.AssetKey([group_name_of(venue), "raw", data_type.asset_name])


def layout_asset_key(venue: str, layout: str) -> dg.AssetKey:
    """Return `<venue>/<layout>`."""
    return dg.AssetKey([group_name_of(venue), layout])


def instruments_asset_key(venue: str) -> dg.AssetKey:
    """Return `<venue>/instruments`."""
    return dg.AssetKey([group_name_of(venue), "instruments"])


def build_venue_assets(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return the two steps of a venue."""
    return [_build_instruments(settings, venue, days), _build_ticks(settings, venue, days)]


@contextmanager
def _failures_for_people() -> Iterator[None]:
    """Show errors raised on purpose as their text: a stack trace of ours helps nobody who reads a run."""
    try:
        yield
    except MarketDataError as error:
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__, "is_transient": error.is_transient}
        ) from error


def _learn(settings: Settings, venue: str, day: date, lake: TickLake, vendor: VendorResource) -> Universe:
    async def ask() -> Universe:
        async with vendor.open_client() as client:
            selection = settings.config.venues[venue].selection
            return await learn_universe(lake, client, venue, day, selection, today=datetime.now(UTC).date())

    return asyncio.run(ask())


def _build_instruments(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    selection = settings.config.venues[venue].selection

    @dg.asset(
        key=instruments_asset_key(venue),
        group_name=group_name_of(venue),
        partitions_def=days,
        kinds={"parquet"},
        description=f"Instruments that {venue} listed on the day, delisted ones included; one row each.",
        op_tags={"venue": venue},
    )
    def instruments(
        context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource
    ) -> dg.MaterializeResult[None]:
        with _failures_for_people():
            store = lake.open()
            universe = _learn(settings, venue, date.fromisoformat(context.partition_key), store, vendor)
            stat = store_universe(store, universe)
        notes = group_only_notes(universe, selection)
        for note in notes:
            context.log.warning("%s: %s", venue, note)
        return dg.MaterializeResult(metadata=describe_universe(universe, store.uri(stat.key), notes))

    return instruments


def _build_ticks(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    group, config = group_name_of(venue), settings.config
    data_types = config.venues[venue].data_types
    raw_specs = [
        dg.AssetSpec(
            raw_asset_key(venue, data_type),
            deps=[instruments_asset_key(venue)],
            description=f"The vendor's {data_type} files of {venue}, unchanged; one row is {TABLES[data_type].grain}.",
            group_name=group,
            kinds={"csv"},
            skippable=True,
        )
        for data_type in data_types
    ]
    layout_specs = [
        dg.AssetSpec(
            layout_asset_key(venue, layout),
            deps=[spec.key for spec in raw_specs],
            description=f"All data types of {venue} as Parquet, partitioned by {', '.join(PARTITION_ORDERS[layout])}.",
            group_name=group,
            kinds={"parquet"},
            skippable=True,
        )
        for layout in config.layouts
    ]

    @dg.multi_asset(
        name=f"{group}__ticks",
        specs=[*raw_specs, *layout_specs],
        check_specs=build_check_specs(
            {data_type: raw_asset_key(venue, data_type) for data_type in data_types},
            {layout: layout_asset_key(venue, layout) for layout in config.layouts},
            days,
        ),
        partitions_def=days,
        can_subset=True,
        pool=POOL,
        op_tags={"venue": venue},
    )
    def ticks(
        context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with _failures_for_people():
            store = lake.open()
            day = date.fromisoformat(context.partition_key)
            universe = _learn(settings, venue, day, store, vendor)
            wanted_keys, wanted_checks = context.selected_asset_keys, context.selected_asset_check_keys
            layouts = [layout for layout in config.layouts if layout_asset_key(venue, layout) in wanted_keys]
            chosen = [item for item in data_types if layouts or raw_asset_key(venue, item) in wanted_keys]
            venue_day = VenueDay(
                universe=universe,
                selection=config.venues[venue].selection,
                data_types=tuple(chosen),
                layouts=config.layouts,
                origin=settings.origin,
                config_hash=settings.config_hash,
            )
            results: list[UnitResult] = []
            for result in ingest_venue_day(store, vendor.open_client, venue_day):
                results.append(result)
                receipt = result.receipt
                key = raw_asset_key(venue, receipt.data_type)
                if receipt.is_complete and key in wanted_keys:
                    yield dg.MaterializeResult(key, metadata=describe_unit(result, store))
                yield from check_unit(store, receipt.unit, key, wanted_checks)
            is_complete = all(result.receipt.is_complete for result in results)
            units = [DataTypeDay(venue, data_type, day) for data_type in data_types]
            for layout in layouts if is_complete else ():
                yield dg.MaterializeResult(
                    layout_asset_key(venue, layout), metadata=describe_layout(layout, results, store)
                )
            keys = {layout: layout_asset_key(venue, layout) for layout in layouts}
            yield from check_layouts(store, units, keys, wanted_checks)
        if not is_complete:
            raise dg.Failure(**describe_open_files(venue, day, results))

    return ticks
