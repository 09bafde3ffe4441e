"""The use case: what a backfill would do before anybody starts it, and which days a newer decoder would write anew.

Which files must exist comes from the vendor's own metadata (the answer kept in the lake, or one just asked for), by the
same rules as the ingestion; what is there already comes from the index of the receipts. Sizes are those of the nearest
held days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import fmean
from typing import Any

import polars as pl

from market_data.errors import ConfigurationError
from market_data.index.store import read_heads, read_units
from market_data.index.unit import IndexedUnit, UnitHead
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.model.data_types import DataType
from market_data.model.limits import MEGABYTE
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.operate.costs import Volume, cost_of
from market_data.operate.estimates import DEFAULT_PUBLISHED_SHARE, estimate_mb, is_told
from market_data.receipts.receipt import State
from market_data.receipts.store import days_with_receipts
from market_data.universe.answers import VendorAnswer
from market_data.universe.listing import ExportBounds
from market_data.universe.rules import Selection, expected_tick_files, instruments_on

_SIZED_FROM_DAYS = 10
_DAYS_AT_ONCE = 8

VENUES_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "days": pl.Int64(),
        "whole_days": pl.Int64(),
        "runs": pl.Int64(),
        "estimated_days": pl.Int64(),
        "metadata_asked": pl.Date(),
    }
)
DATA_TYPES_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "data_type": pl.String(),
        "expected": pl.Int64(),
        "held": pl.Int64(),
        "to_fetch": pl.Int64(),
        **dict.fromkeys(("raw_bytes_low", "raw_bytes_high", "published_bytes_low", "published_bytes_high"), pl.Int64()),
        "sized_from": pl.String(),
    }
)
STALE_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "data_type": pl.String(),
        "day": pl.Date(),
        "cause": pl.String(),
        "reason": pl.String(),
        "files": pl.Int64(),
        "raw_bytes": pl.Int64(),
        "published_bytes": pl.Int64(),
    }
)
HELD_DAYS, TOLD_SIZES, DEFAULTS = "held days", "told sizes", "defaults"
BY_DECODER, BY_LAYOUTS = "decoder", "layouts"
COSTS_SCHEMA = pl.Schema(
    {
        "layouts": pl.Int64(),
        **dict.fromkeys(("month_low", "month_high", "once"), pl.Float64()),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill would do.

    `venues`, one row each: `days` asked for, `whole_days` of them that need nothing, `runs` (one for each other day),
    and `estimated_days`: not exported yet when the vendor was asked (`metadata_asked`), so that the listing of the
    newest exported day stands in for theirs.

    `data_types`, one row for each venue and data type: files `expected` on all days, `held` of them, `to_fetch`; the
    bytes to fetch (which stay in raw/) and the bytes of one published copy, each from low to high. `sized_from` says
    where the sizes come from: `held days` (then low is high), and for files that are like none of them `told sizes` (of
    the venue's busiest pair) or `defaults` (of any venue's), both in `operate/estimates.py`.
    """

    venues: pl.DataFrame
    data_types: pl.DataFrame

    def costs(self) -> pl.DataFrame:
        """Return what the backfill costs in a bucket, in US dollars: one row for each number of `layouts`.

        `month_low` and `month_high` for each month in which raw/ and all copies are stored, `once` for the operations.
        Prices: `operate/costs.py`.
        """
        low, high = (self._volume(bound) for bound in ("low", "high"))
        rows = []
        for layouts in range(1, len(LAYOUTS) + 1):
            least, most = cost_of(low, layouts), cost_of(high, layouts)
            rows.append({"layouts": layouts, "month_low": least.month, "month_high": most.month, "once": most.once})
        return pl.DataFrame(rows, schema=COSTS_SCHEMA)

    def _volume(self, bound: str) -> Volume:
        of_types = self.data_types.select("to_fetch", f"raw_bytes_{bound}", f"published_bytes_{bound}").sum()
        files, raw_bytes, copy_bytes = of_types.row(0)
        types = self.data_types.group_by("venue").len("types")
        runs = self.venues.join(types, on="venue").select("runs", units=pl.col("runs") * pl.col("types"))
        return Volume(raw_bytes, copy_bytes, files, units=int(runs["units"].sum()), runs=int(runs["runs"].sum()))


def plan_backfill(
    lake: TickLake, wanted: Mapping[str, Selection], days: Sequence[date], answers: Mapping[str, VendorAnswer]
) -> Plan:
    """Return what a backfill of the venues and days would do; `wanted` and `answers` are by venue.

    Raises ConfigurationError (permanent) without days, VendorError (permanent) for an answer that cannot be used,
    LakeError of any kind.
    """
    if not days:
        raise ConfigurationError("a plan needs at least one day: the first day asked for is after the last")
    venues: list[dict[str, object]] = []
    data_types: list[dict[str, object]] = []
    for venue, selection in wanted.items():
        work = _VenueWork(lake, venue, selection, days, answers[venue])
        data_types += work.data_type_rows()
        venues.append(work.venue_row())
    return Plan(pl.DataFrame(venues, schema=VENUES_SCHEMA), pl.DataFrame(data_types, schema=DATA_TYPES_SCHEMA))


def find_stale(
    lake: TickLake,
    wanted: Mapping[str, Iterable[DataType]],
    days: Iterable[date],
    *,
    decoder_version: str,
    layouts: tuple[str, ...],
) -> pl.DataFrame:
    """Return the published units that this decoder, or these layouts, would write anew: from raw/, without the vendor.

    One row for each venue, data type and day, sorted by them; `cause` is `decoder` or `layouts`, `files` and
    `raw_bytes` are what is to be decoded, `published_bytes` are those of one copy as it is now.
    """

    def describe(head: UnitHead) -> dict[str, object]:
        cause, reason = BY_LAYOUTS, f"layouts {', '.join(head.layouts)}; now {', '.join(layouts)}"
        if head.decoder_version != decoder_version:
            cause, reason = BY_DECODER, f"decoder {head.decoder_version}; now {decoder_version}"
        return {
            "cause": cause,
            "reason": reason,
            "files": head.count(Outcome.STORED),
            "raw_bytes": head.stored_bytes,
            "published_bytes": head.published_bytes,
        }

    rows = [
        {"venue": unit.venue, "data_type": unit.data_type.value, "day": unit.day} | describe(head)
        for unit, head in read_heads(lake, wanted, days).items()
        if head.state == State.COMMITTED and (head.decoder_version, head.layouts) != (decoder_version, layouts)
    ]
    return pl.DataFrame(rows, schema=STALE_SCHEMA).sort("venue", "data_type", "day")


@dataclass(frozen=True, slots=True)
class _Held:
    """What a receipt says of a unit: whether it is whole, and the vendor symbols it needs nobody to fetch."""

    is_complete: bool
    symbols: frozenset[str]


@dataclass(slots=True)
class _VenueWork:
    """One venue of a plan: its expected files by day and data type, against what is held."""

    lake: TickLake
    venue: str
    selection: Selection
    days: Sequence[date]
    answer: VendorAnswer
    missing: dict[DataType, list[TickFile]] = field(init=False)
    expected: dict[DataType, int] = field(init=False)
    whole_days: int = field(init=False, default=0)
    _bounds: ExportBounds = field(init=False)

    def __post_init__(self) -> None:
        self._bounds = self.answer.bounds
        self.missing = {data_type: [] for data_type in self.selection.data_types}
        self.expected = dict.fromkeys(self.selection.data_types, 0)
        units = read_units(self.lake, {self.venue: self.selection.data_types}, self.days)
        held = {unit: _describe_held(found) for unit, found in units.items()}
        for day, files_by_type in self._expected_files():
            is_whole = True
            for data_type, files in files_by_type.items():
                found = held.get(DataTypeDay(self.venue, data_type, day), _Held(is_complete=False, symbols=frozenset()))
                missing = [file for file in files if file.vendor_symbol not in found.symbols]
                self.missing[data_type] += missing
                self.expected[data_type] += len(files)
                is_whole = is_whole and found.is_complete and not missing
            self.whole_days += is_whole

    def venue_row(self) -> dict[str, object]:
        return {
            "venue": self.venue,
            "days": len(self.days),
            "whole_days": self.whole_days,
            "runs": len(self.days) - self.whole_days,
            "estimated_days": sum(not self._bounds.has_settled(day) for day in self.days),
            "metadata_asked": self.answer.asked,
        }

    def data_type_rows(self) -> Iterator[dict[str, object]]:
        for data_type, missing in self.missing.items():
            sizes = _measure_sizes(self.lake, self.venue, data_type, self.days)
            raw, published, sized_from = sizes.of_files(self.venue, data_type, missing)
            yield {
                "venue": self.venue,
                "data_type": data_type.value,
                "expected": self.expected[data_type],
                "held": self.expected[data_type] - len(missing),
                "to_fetch": len(missing),
                "raw_bytes_low": raw[0],
                "raw_bytes_high": raw[1],
                "published_bytes_low": published[0],
                "published_bytes_high": published[1],
                "sized_from": sized_from,
            }

    def _expected_files(self) -> Iterator[tuple[date, dict[DataType, tuple[TickFile, ...]]]]:
        ordered = sorted(self.days)
        for start in range(0, len(ordered), _DAYS_AT_ONCE):
            some = ordered[start : start + _DAYS_AT_ONCE]
            # answers list hundreds of thousands of instruments: look at those of these few days only
            narrowed = _narrow(self.answer.exchange, self._known(some[0]), self._known(some[-1]))
            for day in some:
                universe = instruments_on(
                    self.venue, narrowed, self._known(day), self.selection, {}, asked=self.answer.asked
                )
                types = self.selection.data_types
                yield day, {item: expected_tick_files(universe, self.selection, item) for item in types}

    def _known(self, day: date) -> date:
        """Return the day whose listing stands for a day: its own, or that of the newest exported one."""
        return day if self._bounds.has_settled(day) else self._bounds.exported_until - timedelta(days=1)


def _narrow(exchange: Mapping[str, Any], first: date, last: date) -> dict[str, Any]:
    """Return the answer without the instruments that are listed on none of the days; what is not understood stays."""
    datasets = exchange["datasets"]
    rows = [row for row in datasets["symbols"] if _may_be_listed(row, first.isoformat(), last.isoformat())]
    return {**exchange, "datasets": {**datasets, "symbols": rows}}


def _may_be_listed(row: Mapping[str, Any], first: str, last: str) -> bool:
    since, to = row.get("availableSince"), row.get("availableTo")
    if not (isinstance(since, str) and isinstance(to, str)):
        return True  # the rules that read the row say what is wrong with it
    return since[:10] <= last and to[:10] > first


def _describe_held(unit: IndexedUnit) -> _Held:
    accounted = frozenset(file.vendor_symbol for file in unit.files if file.is_accounted)
    return _Held(unit.head.is_complete, accounted)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Mean bytes of the vendor's files of one venue and data type, by symbol and by kind of file, on the held days."""

    by_symbol: Mapping[str, float]
    by_kind: Mapping[tuple[str, bool], float]
    published_share: float | None

    def of_files(
        self, venue: str, data_type: DataType, files: Sequence[TickFile]
    ) -> tuple[tuple[int, int], tuple[int, int], str]:
        """Return low and high bytes of the vendor's files and of one published copy, and where they come from."""
        known = [self._known_size(file) for file in files]
        unknown = [file for file, size in zip(files, known, strict=True) if size is None]
        # many files of one instrument: one estimate each
        guessed = {file.instrument_key: estimate_mb(venue, data_type, file) for file in unknown}
        bounds = [guessed[file.instrument_key] for file in unknown]
        held = sum(size for size in known if size is not None)
        raw = (held + MEGABYTE * sum(low for low, _ in bounds), held + MEGABYTE * sum(high for _, high in bounds))
        shares = (self.published_share,) * 2 if self.published_share is not None else DEFAULT_PUBLISHED_SHARE
        published = (round(raw[0] * shares[0]), round(raw[1] * shares[1]))
        sources = [HELD_DAYS] if len(unknown) < len(files) else []
        is_grouped_only = all(file.is_group for file in unknown)
        if unknown:
            sources.append(TOLD_SIZES if is_told(venue, data_type) and not is_grouped_only else DEFAULTS)
        return (round(raw[0]), round(raw[1])), published, " and ".join(sources) or "nothing to fetch"

    def _known_size(self, file: TickFile) -> float | None:
        kind = (file.instrument_type, file.is_group)
        return self.by_symbol.get(file.vendor_symbol, self.by_kind.get(kind))


def _measure_sizes(lake: TickLake, venue: str, data_type: DataType, days: Sequence[date]) -> _Sizes:
    """Return the sizes on the held days that are nearest to the days asked for."""
    held = days_with_receipts(lake, venue, data_type)
    first, last = min(days), max(days)
    nearest = sorted(held, key=lambda day: (max(first - day, day - last, timedelta()), day))[:_SIZED_FROM_DAYS]
    units = list(read_units(lake, {venue: [data_type]}, nearest).values())
    by_symbol: dict[str, list[int]] = defaultdict(list)
    by_kind: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for file in (file for unit in units for file in unit.files if file.is_accounted):
        size_bytes = file.size_bytes or 0  # an expected file that is not offered costs nothing
        by_symbol[file.vendor_symbol].append(size_bytes)
        by_kind[file.instrument_type, file.is_group].append(size_bytes)
    whole = [unit.head for unit in units if unit.head.is_complete]
    raw_bytes = sum(head.raw_bytes for head in whole)
    published_bytes = sum(head.published_bytes for head in whole)
    return _Sizes(
        {symbol: fmean(sizes) for symbol, sizes in by_symbol.items()},
        {kind: fmean(sizes) for kind, sizes in by_kind.items()},
        published_bytes / raw_bytes if raw_bytes else None,
    )
