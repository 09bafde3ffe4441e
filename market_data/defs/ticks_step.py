"""One execution of a venue's step `ticks`: what is selected of it, in the order in which Dagster wants it told.

Where only checks are selected (the job `recheck`, or checks executed in the UI), the step judges the ticks anew, looks
at the lake, and asks the vendor for nothing.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import dagster as dg

from market_data.checks.recheck import recheck_unit
from market_data.defs.checks import check_layouts, check_unit, is_about_ticks
from market_data.defs.keys import layout_asset_key, raw_asset_key
from market_data.defs.metadata import describe_layout, describe_unit
from market_data.defs.resources import VendorResource
from market_data.ingest.venue_day import UnitResult, VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt
from market_data.settings.environment import Settings
from market_data.settings.venues_file import VenueSettings
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Universe

_NAMED_FILES = 20

TicksEvent = dg.MaterializeResult[None] | dg.AssetCheckResult


def learn_days(
    settings: Settings, venue: str, days: Sequence[date], lake: TickLake, vendor: VendorResource
) -> tuple[Universe, ...]:
    """Return what a venue listed on each day; see `learn_universes`."""

    async def ask() -> tuple[Universe, ...]:
        async with vendor.open_client() as client:
            selection = settings.config.venues[venue].selection
            return await learn_universes(lake, client, venue, days, selection, today=datetime.now(UTC).date())

    return asyncio.run(ask())


@dataclass(frozen=True, slots=True)
class TicksStep:
    """See the module; `wanted_keys` and `wanted_checks` are the selected ones."""

    settings: Settings
    venue: str
    day: date
    lake: TickLake
    wanted_keys: Collection[dg.AssetKey]
    wanted_checks: Collection[dg.AssetCheckKey]
    log: dg.DagsterLogManager
    is_refresh: bool = False

    @property
    def venue_settings(self) -> VenueSettings:
        """What the venues file says of the venue."""
        return self.settings.config.venues[self.venue]

    @property
    def layouts(self) -> list[str]:
        """The selected layouts."""
        layouts = self.settings.config.layouts
        return [layout for layout in layouts if layout_asset_key(self.venue, layout) in self.wanted_keys]

    @property
    def data_types(self) -> tuple[DataType, ...]:
        """The data types to ingest: a layout holds them all."""
        configured = self.venue_settings.data_types
        has_layout = bool(self.layouts)
        return tuple(item for item in configured if has_layout or raw_asset_key(self.venue, item) in self.wanted_keys)

    def ingest(self, vendor: VendorResource) -> Iterator[UnitResult]:
        """Yield each data type's result as it is done; nothing when only checks are selected."""
        if not self.data_types:
            return
        (universe,) = learn_days(self.settings, self.venue, (self.day,), self.lake, vendor)
        venue_day = VenueDay(
            universe=universe,
            selection=self.venue_settings.selection,
            data_types=self.data_types,
            layouts=self.settings.config.layouts,
            origin=self.settings.origin,
            config_hash=self.settings.config_hash,
            rules=self.venue_settings.rules,
            waivers=tuple(item.waiver for item in self.venue_settings.waivers),
            limits=self.settings.config.limits.run_limits,
            is_refresh=self.is_refresh,
        )
        yield from ingest_venue_day(self.lake, vendor.open_client, venue_day)

    def report(self, result: UnitResult) -> Iterator[TicksEvent]:
        """Yield a data type's materialisation, when it is complete, and its check results."""
        receipt = self._judge_anew(result.receipt.unit) or result.receipt
        for why in result.not_refreshed:
            self.log.warning("not refreshed: %s", why)
        key = raw_asset_key(self.venue, receipt.data_type)
        if receipt.is_complete and key in self.wanted_keys:
            yield dg.MaterializeResult(key, metadata=describe_unit(receipt, self.lake, result))
        yield from check_unit(self.lake, receipt.unit, key, self.wanted_checks)

    def report_layouts(self, results: list[UnitResult]) -> Iterator[TicksEvent]:
        """Yield the layouts' materialisations, when every data type is complete."""
        receipts = [result.receipt for result in results]
        if all(receipt.is_complete for receipt in receipts):
            for layout in self.layouts:
                metadata = describe_layout(layout, receipts, self.lake)
                yield dg.MaterializeResult(layout_asset_key(self.venue, layout), metadata=metadata)

    def check_the_rest(self, results: list[UnitResult]) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of the selected checks that were not yielded with their data type."""
        units = [DataTypeDay(self.venue, item, self.day) for item in self.venue_settings.data_types]
        reported = {result.receipt.unit for result in results}
        for unit in units:
            if unit not in reported:
                self._judge_anew(unit)
                yield from check_unit(self.lake, unit, raw_asset_key(self.venue, unit.data_type), self.wanted_checks)
        keys = {layout: layout_asset_key(self.venue, layout) for layout in self.settings.config.layouts}
        yield from check_layouts(self.lake, units, keys, self.wanted_checks)

    def _judge_anew(self, unit: DataTypeDay) -> Receipt | None:
        """Judge the ticks by the limits as they are now, where a check of theirs is wanted; None when nothing was."""
        key = raw_asset_key(self.venue, unit.data_type)
        if not any(check.asset_key == key and is_about_ticks(check.name) for check in self.wanted_checks):
            return None
        found = recheck_unit(self.lake, unit, self.venue_settings.rules[unit.data_type])
        if found.left_alone:
            self.log.warning(found.left_alone)
            return None
        if found.changed:
            self.log.info("%s: another verdict on %s", unit, ", ".join(found.changed[:_NAMED_FILES]))
        return found.receipt
