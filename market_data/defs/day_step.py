"""One day of a venue's step: what is selected of it, in the order in which Dagster wants it told.

Where only checks are selected (the job `recheck`, or checks executed in the UI), the step judges the ticks anew, looks
at the lake, and asks the vendor for nothing.
"""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_data.checks.recheck import recheck_unit
from market_data.defs.checks import GAPS_CHECK, check_gaps, check_layouts, check_unit, is_about_ticks
from market_data.defs.keys import instruments_asset_key, layout_asset_key, raw_asset_key
from market_data.defs.layout_pages import describe_layout, sample_rows
from market_data.defs.metadata import describe_open_files, describe_unit, describe_universe
from market_data.defs.resources import VendorResource
from market_data.errors import VendorNotReady
from market_data.ingest.venue_day import UnitResult, VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.judge_gaps import judge_gaps
from market_data.receipts.receipt import Receipt
from market_data.settings.environment import Settings
from market_data.settings.venues_file import VenueSettings
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Universe, changes_between, notes_on
from market_data.universe.table import store_universe

_NAMED_FILES = 20

DayEvent = dg.MaterializeResult[None] | dg.AssetCheckResult


@dataclass(frozen=True, slots=True)
class DayStep:
    """See the module; `wanted_keys` and `wanted_checks` are the selected ones."""

    settings: Settings
    venue: str
    day: date
    lake: TickLake
    vendor: VendorResource
    wanted_keys: Collection[dg.AssetKey]
    wanted_checks: Collection[dg.AssetCheckKey]
    log: dg.DagsterLogManager
    is_refresh: bool = False

    def run(self) -> Iterator[DayEvent]:
        """Yield what is finished and every check's result, then raise dg.Failure when a tick file is open.

        Raises MarketDataError of any kind, at once, where nothing can be done about the day.
        """
        universe: Universe | None = None
        if (key := instruments_asset_key(self.venue)) in self.wanted_keys:
            universe, before = self._learn_day_and_before()
            yield self._report_instruments(key, universe, before)
        results: list[UnitResult] = []
        for result in self._ingest(universe):
            results.append(result)
            yield from self._report(result)
        yield from self._report_layouts(results)
        yield from self._check_the_rest(results)
        yield from self._check_gaps()
        if any(not result.receipt.is_complete for result in results):
            raise dg.Failure(**describe_open_files(self.venue, self.day, results))

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

    def _learn(self, *days: date) -> tuple[Universe, ...]:
        """Return what the venue listed on each day; see `learn_universes`."""
        learned: list[Universe] = []

        async def ask() -> None:
            async with self.vendor.open_client() as client:
                selection, today = self.venue_settings.selection, datetime.now(UTC).date()
                learned.extend(await learn_universes(self.lake, client, self.venue, days, selection, today=today))

        asyncio.run(ask())  # which writes out (`repr`) what is returned, thousands of instruments, and shows it nobody
        return tuple(learned)

    def _learn_day_and_before(self) -> tuple[Universe, Universe | None]:
        """Return the universes of the day and of the day before; None for one that is not exported yet.

        So it is behind the last days of a venue that has ended: they may be on their way, what comes after is known.
        """
        try:
            universe, before = self._learn(self.day, self.day - timedelta(days=1))
        except VendorNotReady:
            (universe,) = self._learn(self.day)
            return universe, None
        return universe, before

    def _report_instruments(
        self, key: dg.AssetKey, universe: Universe, before: Universe | None
    ) -> dg.MaterializeResult[None]:
        stat = store_universe(self.lake, universe)
        notes = notes_on(universe, self.venue_settings.selection)
        for note in notes:
            self.log.warning("%s: %s", self.venue, note)
        if disagreeing := sum(bool(item.disagreements) for item in universe.listed):
            self.log.warning("%s: the vendor defines %d instruments otherwise than their keys", self.venue, disagreeing)
        changes = changes_between(before, universe) if before else None
        return dg.MaterializeResult(key, metadata=describe_universe(universe, changes, self.lake.uri(stat.key), notes))

    def _ingest(self, universe: Universe | None) -> Iterator[UnitResult]:
        """Yield each data type's result as it is done; nothing when no tick file is wanted."""
        if not self.data_types:
            return
        if universe is None:
            (universe,) = self._learn(self.day)
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
        yield from ingest_venue_day(self.lake, self.vendor.open_client, venue_day)

    def _report(self, result: UnitResult) -> Iterator[DayEvent]:
        """Yield a data type's materialisation, when it is complete, and its check results."""
        receipt = self._judge_anew(result.receipt.unit) or result.receipt
        for why in result.not_refreshed:
            self.log.warning("not refreshed: %s", why)
        key = raw_asset_key(self.venue, receipt.data_type)
        if receipt.is_complete and key in self.wanted_keys:
            yield dg.MaterializeResult(key, metadata=describe_unit(receipt, self.lake, result))
        yield from check_unit(self.lake, receipt.unit, key, self.wanted_checks)

    def _report_layouts(self, results: list[UnitResult]) -> Iterator[DayEvent]:
        """Yield the layouts' materialisations, when every data type is complete."""
        receipts = [result.receipt for result in results]
        if self.layouts and all(receipt.is_complete for receipt in receipts):
            sample = sample_rows(self.lake, receipts)  # the same bytes in every layout
            for layout in self.layouts:
                metadata = describe_layout(layout, receipts, self.lake, sample)
                yield dg.MaterializeResult(layout_asset_key(self.venue, layout), metadata=metadata)

    def _check_the_rest(self, results: list[UnitResult]) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of the selected checks that were not yielded with their data type."""
        units = [DataTypeDay(self.venue, item, self.day) for item in self.venue_settings.data_types]
        reported = {result.receipt.unit for result in results}
        for unit in units:
            if unit not in reported:
                self._judge_anew(unit)
                yield from check_unit(self.lake, unit, raw_asset_key(self.venue, unit.data_type), self.wanted_checks)
        keys = {layout: layout_asset_key(self.venue, layout) for layout in self.settings.config.layouts}
        yield from check_layouts(self.lake, units, keys, self.wanted_checks)

    def _check_gaps(self) -> Iterator[dg.AssetCheckResult]:
        """Look for gaps in the whole venue-day, where a check of them is wanted: causes show in what else is held."""
        keys = {data_type: raw_asset_key(self.venue, data_type) for data_type in self.venue_settings.data_types}
        wanted = [it for it, key in keys.items() if dg.AssetCheckKey(key, GAPS_CHECK) in self.wanted_checks]
        if wanted:
            rules = self.venue_settings.gap_rules
            for judged in judge_gaps(self.lake, self.venue, self.venue_settings.data_types, self.day, rules):
                if judged.unit.data_type in wanted:
                    yield check_gaps(judged, keys[judged.unit.data_type], rules[judged.unit.data_type])

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
