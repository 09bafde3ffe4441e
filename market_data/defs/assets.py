"""The assets of one venue: its instruments, and one step `ticks` whose outputs are the raw data types and the layouts.

A venue-day is one step, so downloading, decoding and publishing overlap. The step yields what is finished and then
raises when anything is open: finished outputs are MATERIALIZED, the others FAILED, each with its check results. Where
only checks are selected, the step looks at the lake and asks the vendor for nothing.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_data.adapters.tick_lake import TickLake
from market_data.defs.checks import build_check_specs, check_layouts, check_unit
from market_data.defs.keys import instruments_asset_key, layout_asset_key, raw_asset_key
from market_data.defs.metadata import (
    describe_columns,
    describe_layout,
    describe_open_files,
    describe_unit,
    describe_universe,
)
from market_data.defs.resources import LakeResource, VendorResource
from market_data.domain.data_types import TABLES, DataType
from market_data.domain.layouts import PARTITION_ORDERS, DataTypeDay
from market_data.domain.universe import Universe, changes_between, group_only_notes
from market_data.domain.venues import group_name_of
from market_data.errors import MarketDataError
from market_data.ingest import UnitResult, VenueDay, ingest_venue_day
from market_data.listing import learn_universes, store_universe
from market_data.settings import Settings

# Caps concurrent steps that download, where the deployment sets a limit for the pool.
POOL = "tardis"

TicksEvent = dg.MaterializeResult[None] | dg.AssetCheckResult


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
            description=str(error),
            metadata={
                "error": dg.MetadataValue.text(type(error).__name__),
                "is_transient": dg.MetadataValue.bool(error.is_transient),
            },
        ) from error


def _learn(
    settings: Settings, venue: str, days: Sequence[date], lake: TickLake, vendor: VendorResource
) -> tuple[Universe, ...]:
    async def ask() -> tuple[Universe, ...]:
        async with vendor.open_client() as client:
            selection = settings.config.venues[venue].selection
            return await learn_universes(lake, client, venue, days, selection, today=datetime.now(UTC).date())

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
        day = date.fromisoformat(context.partition_key)
        with _failures_for_people():
            store = lake.open()
            universe, before = _learn(settings, venue, (day, day - timedelta(days=1)), store, vendor)
            stat = store_universe(store, universe)
        notes = group_only_notes(universe, selection)
        for note in notes:
            context.log.warning("%s: %s", venue, note)
        changes = changes_between(before, universe)
        return dg.MaterializeResult(metadata=describe_universe(universe, changes, store.uri(stat.key), notes))

    return instruments


def _build_ticks(settings: Settings, venue: str, days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    data_types, layouts = settings.config.venues[venue].data_types, settings.config.layouts

    @dg.multi_asset(
        name=f"{group_name_of(venue)}__ticks",
        specs=_ticks_specs(settings, venue),
        check_specs=build_check_specs(
            {data_type: raw_asset_key(venue, data_type) for data_type in data_types},
            {layout: layout_asset_key(venue, layout) for layout in layouts},
            days,
        ),
        partitions_def=days,
        can_subset=True,
        pool=POOL,
        op_tags={"venue": venue},
    )
    def ticks(context: dg.AssetExecutionContext, lake: LakeResource, vendor: VendorResource) -> Iterator[TicksEvent]:
        day = date.fromisoformat(context.partition_key)
        results: list[UnitResult] = []
        with _failures_for_people():
            store = lake.open()
            step = _TicksStep(
                settings, venue, day, store, context.selected_asset_keys, context.selected_asset_check_keys
            )
            for result in step.ingest(vendor):
                results.append(result)
                yield from step.report(result)
            yield from step.report_layouts(results)
            yield from step.check_the_rest(results)
        if any(not result.receipt.is_complete for result in results):
            raise dg.Failure(**describe_open_files(venue, day, results))

    return ticks


def _ticks_specs(settings: Settings, venue: str) -> list[dg.AssetSpec]:
    raw = [
        dg.AssetSpec(
            raw_asset_key(venue, data_type),
            deps=[instruments_asset_key(venue)],
            description=f"The vendor's {data_type} files of {venue}, unchanged; one row is {TABLES[data_type].grain}.",
            group_name=group_name_of(venue),
            kinds={"csv"},
            tags={"data_type": data_type.value},
            metadata=describe_columns(TABLES[data_type]),
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
            skippable=True,
        )
        for layout in settings.config.layouts
    ]
    return [*raw, *layouts]


@dataclass(frozen=True, slots=True)
class _TicksStep:
    """One execution of a venue's `ticks`: what is selected of it, in the order in which Dagster wants it told."""

    settings: Settings
    venue: str
    day: date
    lake: TickLake
    wanted_keys: Collection[dg.AssetKey]
    wanted_checks: Collection[dg.AssetCheckKey]

    @property
    def layouts(self) -> list[str]:
        """The selected layouts."""
        layouts = self.settings.config.layouts
        return [layout for layout in layouts if layout_asset_key(self.venue, layout) in self.wanted_keys]

    @property
    def data_types(self) -> tuple[DataType, ...]:
        """The data types to ingest: a layout holds them all."""
        configured = self.settings.config.venues[self.venue].data_types
        has_layout = bool(self.layouts)
        return tuple(item for item in configured if has_layout or raw_asset_key(self.venue, item) in self.wanted_keys)

    def ingest(self, vendor: VendorResource) -> Iterator[UnitResult]:
        """Yield each data type's result as it is done; nothing when only checks are selected."""
        if not self.data_types:
            return
        (universe,) = _learn(self.settings, self.venue, (self.day,), self.lake, vendor)
        venue_day = VenueDay(
            universe=universe,
            selection=self.settings.config.venues[self.venue].selection,
            data_types=self.data_types,
            layouts=self.settings.config.layouts,
            origin=self.settings.origin,
            config_hash=self.settings.config_hash,
            rules=self.settings.config.venues[self.venue].rules,
        )
        yield from ingest_venue_day(self.lake, vendor.open_client, venue_day)

    def report(self, result: UnitResult) -> Iterator[TicksEvent]:
        """Yield a data type's materialisation, when it is complete, and its check results."""
        receipt = result.receipt
        key = raw_asset_key(self.venue, receipt.data_type)
        if receipt.is_complete and key in self.wanted_keys:
            yield dg.MaterializeResult(key, metadata=describe_unit(result, self.lake))
        yield from check_unit(self.lake, receipt.unit, key, self.wanted_checks)

    def report_layouts(self, results: list[UnitResult]) -> Iterator[TicksEvent]:
        """Yield the layouts' materialisations, when every data type is complete."""
        if all(result.receipt.is_complete for result in results):
            for layout in self.layouts:
                metadata = describe_layout(layout, results, self.lake)
                yield dg.MaterializeResult(layout_asset_key(self.venue, layout), metadata=metadata)

    def check_the_rest(self, results: list[UnitResult]) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of the selected checks that were not yielded with their data type."""
        config = self.settings.config
        units = [DataTypeDay(self.venue, item, self.day) for item in config.venues[self.venue].data_types]
        reported = {result.receipt.unit for result in results}
        for unit in units:
            if unit not in reported:
                yield from check_unit(self.lake, unit, raw_asset_key(self.venue, unit.data_type), self.wanted_checks)
        keys = {layout: layout_asset_key(self.venue, layout) for layout in config.layouts}
        yield from check_layouts(self.lake, units, keys, self.wanted_checks)
