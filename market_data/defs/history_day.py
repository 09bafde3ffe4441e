"""What Dagster is told of one venue-day by the job `rebuild_history`: what a run of it would tell now."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from market_data.checks.rules import LAYOUT_RULE
from market_data.defs.checks import GAPS_CHECK, check_gaps, check_layouts, check_unit, unit_check_keys
from market_data.defs.keys import instruments_asset_key, layout_asset_key, raw_asset_key
from market_data.defs.known import KnownDay
from market_data.defs.layout_pages import describe_layout, sample_rows
from market_data.defs.metadata import Metadata, describe_instruments, describe_unit, describe_universe
from market_data.errors import LakeError
from market_data.lake.base import TickLake
from market_data.lake.keys import universe_key
from market_data.model.tick_file import DataTypeDay
from market_data.quality.judge_gaps import recall_gaps
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.settings.environment import Settings
from market_data.universe.recall import Memory, Recalled
from market_data.universe.rules import changes_between, notes_on

HistoryEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation


@dataclass(slots=True)
class HistoryOfDay:
    """One day of one venue: what a run of it would tell now. `is_whole`: every data type is published whole."""

    settings: Settings
    lake: TickLake
    memory: Memory
    known: KnownDay
    with_known: bool
    is_whole: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def venue(self) -> str:
        """The venue."""
        return self.known.venue

    @property
    def units(self) -> list[DataTypeDay]:
        """The units of the day: the venue's data types as the venues file has them now."""
        data_types = self.settings.config.venues[self.venue].data_types
        return [DataTypeDay(self.venue, data_type, self.known.day) for data_type in data_types]

    def tell(self) -> Iterator[HistoryEvent]:
        """Yield the day's events in a run's order, so that no asset is older than what it is made of."""
        with self._told_by_name(f"{self.venue} {self.known.day} instruments"):
            yield from self._tell_instruments()
        receipts = list(self._receipts())
        for receipt in receipts:
            with self._told_by_name(str(receipt.unit)):
                yield from self._tell_unit(receipt)
        if len(receipts) == len(self.units):  # a run of a layout leaves a receipt of each
            self.is_whole = all(receipt.is_complete for receipt in receipts)
            with self._told_by_name(f"{self.venue} {self.known.day} layouts"):
                yield from self._tell_layouts(receipts)

    def _tell_instruments(self) -> Iterator[HistoryEvent]:
        key = instruments_asset_key(self.venue)
        if not self._is_wanted(key, since=None):
            return
        recalled = self.memory.recall(self.known.day)
        if recalled is not None:
            yield self.known.materialization(key, self._describe_instruments(recalled))

    def _describe_instruments(self, recalled: Recalled) -> Mapping[str, Any]:
        uri = self.lake.uri(universe_key(self.venue, self.known.day))
        if recalled.universe is None:
            return describe_instruments(recalled.table, uri)
        changes = changes_between(recalled.before, recalled.universe) if recalled.before else None
        notes = notes_on(recalled.universe, self.settings.config.venues[self.venue].selection)
        return describe_universe(recalled.universe, changes, uri, notes)

    def _receipts(self) -> Iterator[Receipt]:
        """Yield what receipts can be read; a unit without one was not run, so there is nothing to tell of it."""
        for unit in self.units:
            with self._told_by_name(str(unit)):
                receipt, _ = load_receipt(self.lake, unit)
                if receipt is not None:
                    yield receipt

    def _tell_unit(self, receipt: Receipt) -> Iterator[HistoryEvent]:
        key = raw_asset_key(self.venue, receipt.data_type)
        is_told = receipt.is_complete and self._is_wanted(key, receipt.committed_at)
        if is_told:
            yield self.known.materialization(key, describe_unit(receipt, self.lake))
        checks = unit_check_keys(receipt.data_type, key)
        wanted = self._wanted_checks(checks, receipt.committed_at, is_anew=is_told)
        for result in check_unit(self.lake, receipt.unit, key, wanted):
            yield self._evaluation(result)
        found = recall_gaps(self.lake, receipt) if dg.AssetCheckKey(key, GAPS_CHECK) in wanted else None
        if found is not None:
            rules = self.settings.config.venues[self.venue].gap_rules
            yield self._evaluation(check_gaps(found, key, rules[receipt.data_type]))

    def _tell_layouts(self, receipts: Sequence[Receipt]) -> Iterator[HistoryEvent]:
        since = max((receipt.committed_at for receipt in receipts if receipt.committed_at), default=None)
        keys = {layout: layout_asset_key(self.venue, layout) for layout in self.settings.config.layouts}
        wanted: list[dg.AssetCheckKey] = []
        sample: Metadata = {}
        for layout, key in keys.items():
            # a layout that was configured later is not published on days that were not run since
            is_published = self.is_whole and all(layout in receipt.layouts for receipt in receipts)
            is_told = is_published and self._is_wanted(key, since)
            if is_told:
                sample = sample or sample_rows(self.lake, receipts)
                yield self.known.materialization(key, describe_layout(layout, receipts, self.lake, sample))
            wanted += self._wanted_checks([dg.AssetCheckKey(key, LAYOUT_RULE)], since, is_anew=is_told)
        for result in check_layouts(self.lake, self.units, keys, wanted):
            yield self._evaluation(result)

    def _is_wanted(self, key: dg.AssetKey, since: datetime | None) -> bool:
        return self.with_known or not self.known.has_materialization(key, since)

    def _wanted_checks(
        self, checks: Sequence[dg.AssetCheckKey], since: datetime | None, *, is_anew: bool
    ) -> Sequence[dg.AssetCheckKey]:
        """Return the checks to tell of: of an asset that is recorded anew all, for former results are of before."""
        return checks if is_anew or self.with_known else self.known.checks_without_result(checks, since)

    def _evaluation(self, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
        assert result.asset_key is not None  # noqa: S101  of several assets, so always there
        return self.known.evaluation(result, self.known.target(result.asset_key))

    @contextmanager
    def _told_by_name(self, name: str) -> Iterator[None]:
        """Keep what is wrong with one thing in the lake from stopping the others; a store that is down stops all."""
        try:
            yield
        except LakeError as error:
            if error.is_transient:
                raise
            self.faults.append(f"{name}: {error}")
