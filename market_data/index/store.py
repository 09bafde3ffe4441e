"""The index in the lake: one part for each receipt, months compacted, and receipts themselves where neither is.

A reader lists the receipts of a range, and takes of each unit what was made from just the generation that is listed:
from the month's tables, else from the unit's part, else from the receipt. So nothing in the index can be stale, and
whatever is damaged (each table has a checksum) or lost costs time alone. (An object of the index is read whole, by one
request, and is complete in itself, so it may be overwritten.)
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import date
from threading import BoundedSemaphore
from typing import TypeVar

import polars as pl

from market_data.errors import LakeConflict, LakeError, LakeObjectMissing
from market_data.index.table import (
    FILES_SCHEMA,
    choose_files,
    ensure_sound,
    files_frame,
    generations_of,
    head_of_part,
    heads_of,
    is_readable,
    part_of,
    read_files,
    read_units_table,
    units_of,
)
from market_data.index.unit import IndexedUnit, UnitHead, index_receipt
from market_data.lake.base import PARQUET_CONTENT, READERS, ObjectStat, TickLake
from market_data.lake.keys import (
    RECEIPTS_PREFIX,
    day_of_receipt,
    index_files_key,
    index_part_key,
    index_part_prefix,
    index_units_key,
    venue_of_receipts,
)
from market_data.lake.origin import load_lake_document
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import list_receipts, load_receipt, save_receipt

_LOG = logging.getLogger(__name__)
# A receipt of thousands of files takes ten times its bytes while it is read.
_LARGE_RECEIPT_BYTES = 2**20
_LARGE_AT_ONCE = 2
_FEW_UNITS, _FEW_BYTES = 3, 2**18
# A part of fewer files is no smaller than their receipt.
SMALLEST_PART_FILES = 40
_SMALL_AT_ONCE = 64  # receipts of few files make one table: each has its cost
_T = TypeVar("_T")
# What is read of a unit: rows of its files where they are asked for, or all of it while several are to be one table.
_Read = tuple[UnitHead, pl.DataFrame | IndexedUnit | None]
Wanted = Mapping[str, Iterable[DataType]]


def held_venues(lake: TickLake) -> list[str]:
    """Return the venues of which the lake holds receipts, sorted; raises LakeError of any kind."""
    found = map(venue_of_receipts, lake.list_level(RECEIPTS_PREFIX)[0])
    return sorted(venue for venue in found if venue is not None)


def save_part(lake: TickLake, receipt: Receipt, generation: int) -> None:
    """Write the part of a receipt that was written as this generation; one of few files needs none.

    What the lake refuses for good is logged: readers then open the receipt. Raises LakeUnavailable (transient).
    """
    if len(receipt.files) < SMALLEST_PART_FILES:
        return
    try:
        lake.put_bytes(
            part_of(index_receipt(receipt, generation)), index_part_key(receipt.unit), content_type=PARQUET_CONTENT
        )
    except LakeError as error:
        if error.is_transient:
            raise
        _LOG.warning("%s has no part in the index: %s", receipt.unit, error)


def save_judged(lake: TickLake, receipt: Receipt, generation: int, doing: str) -> None:
    """Write a receipt that says more of what is published, with its part, on condition that nobody did since.

    Raises LakeConflict (transient) that says what was being done, as in "it was judged anew"; LakeError of any kind.
    """
    try:
        save_part(lake, receipt, save_receipt(lake, receipt, generation))
    except LakeConflict as error:
        raise LakeConflict(f"{receipt.unit}: a run changed it while {doing}: do so again ({error})") from error


def ensure_part(lake: TickLake, receipt: Receipt, generation: int) -> None:
    """Write the part of a receipt as `save_part` does, unless the lake holds that very one."""
    if len(receipt.files) < SMALLEST_PART_FILES:
        return
    key = index_part_key(receipt.unit)
    head = read_if_sound(lake, key, head_of_part)
    if head is None or head.generation != generation:
        save_part(lake, receipt, generation)


def read_heads(lake: TickLake, wanted: Wanted, days: Iterable[date]) -> dict[DataTypeDay, UnitHead]:
    """Return the heads of the units that were run, sorted by venue and data type as `wanted`, then by day.

    `wanted` is data types by venue. Raises LakeError of any kind.
    """
    reading = _Reading(lake, wanted, days)
    return reading.heads()


def read_units(
    lake: TickLake, wanted: Wanted, days: Iterable[date], chosen: pl.Expr | None = None
) -> dict[DataTypeDay, IndexedUnit]:
    """Return the units that were run, with all grouped files and those that `chosen`, over `instrument_key`, chooses.

    Sorted and raising as `read_heads`.
    """
    heads, files = read_files_of(lake, wanted, days, chosen=chosen)
    return units_of(heads.values(), files)


def read_files_of(
    lake: TickLake,
    wanted: Wanted,
    days: Iterable[date],
    columns: Iterable[str] = FILES_SCHEMA,
    chosen: pl.Expr | None = None,
    *,
    is_from_receipts: bool = False,
) -> tuple[dict[DataTypeDay, UnitHead], pl.DataFrame]:
    """Return the heads as `read_heads`, and columns of the table of files with `venue` and `data_type`, in no order.

    `is_from_receipts` looks at nothing that was made from them.
    """
    reading = _Reading(lake, wanted, days, is_from_receipts=is_from_receipts)
    return reading.heads_and_files(tuple(columns), chosen)


class _Reading:
    """One look at the receipts of a range, and what is read of the index because of it."""

    def __init__(self, lake: TickLake, wanted: Wanted, days: Iterable[date], *, is_from_receipts: bool = False) -> None:
        load_lake_document(lake)  # refuses what a later version keeps from this one
        self._lake = lake
        self._is_from_receipts = is_from_receipts
        self._large = BoundedSemaphore(_LARGE_AT_ONCE)
        asked = set(days)
        pairs = [(venue, data_type) for venue, data_types in wanted.items() for data_type in data_types]
        with ThreadPoolExecutor(READERS) as pool:
            ranges = [(*pair, min(asked), max(asked)) for pair in pairs if asked]
            listings = list(pool.map(lambda of: list_receipts(lake, *of), ranges))
        self._listed: dict[DataTypeDay, ObjectStat] = {}
        for (venue, data_type), stats in zip(pairs, listings, strict=False):
            for stat in stats:
                if (day := day_of_receipt(stat.key)) in asked and day is not None:
                    self._listed[DataTypeDay(venue, data_type, day)] = stat

    def heads(self) -> dict[DataTypeDay, UnitHead]:
        with ThreadPoolExecutor(READERS) as pool:
            heads = self._heads_of_months(pool)
            rest = [unit for unit in self._listed if unit not in heads]
            heads |= {head.unit: head for head in self._read_rest(pool, rest, (), None)[0]}
        return self._in_order(heads)

    def heads_and_files(
        self, columns: tuple[str, ...], chosen: pl.Expr | None
    ) -> tuple[dict[DataTypeDay, UnitHead], pl.DataFrame]:
        with ThreadPoolExecutor(READERS) as pool:
            heads = self._heads_of_months(pool)
            frames, known = self._files_of_months(pool, heads, columns, chosen)
            rest = [unit for unit in self._listed if unit not in known]
            rest_heads, rest_frames = self._read_rest(pool, rest, columns, chosen)
            heads |= {head.unit: head for head in rest_heads}
            frames += rest_frames
        schema = {"venue": pl.String(), "data_type": pl.String(), **{name: FILES_SCHEMA[name] for name in columns}}
        return self._in_order(heads), pl.concat([pl.DataFrame(schema=schema), *frames])

    def _in_order(self, heads: Mapping[DataTypeDay, UnitHead]) -> dict[DataTypeDay, UnitHead]:
        return {unit: heads[unit] for unit in self._listed if unit in heads}

    def _heads_of_months(self, pool: ThreadPoolExecutor) -> dict[DataTypeDay, UnitHead]:
        if self._is_from_receipts:
            return {}
        months = sorted(self._worthwhile_months())
        days = sorted({unit.day for unit in self._listed})
        pairs = sorted({(unit.venue, unit.data_type.value) for unit in self._listed})
        asked = pl.DataFrame(pairs, schema=("venue", "data_type"), orient="row")

        def read(month: date) -> list[UnitHead]:
            table = read_if_sound(self._lake, index_units_key(month), read_units_table)
            if table is None:
                return []
            of_days = table.filter(pl.col("day").is_in(days))  # of months there may be thousands of units
            return list(heads_of(of_days.join(asked, on=asked.columns, how="semi")))

        found = (head for heads in pool.map(read, months) for head in heads)
        return {head.unit: head for head in found if self._is_current(head)}

    def _worthwhile_months(self) -> Iterator[date]:
        """Yield the months whose tables are read: a table of all units is more than a few small receipts."""
        sizes: dict[date, list[int]] = defaultdict(list)
        for unit, stat in self._listed.items():
            sizes[unit.day.replace(day=1)].append(stat.size_bytes)
        for month, of_month in sizes.items():
            if len(of_month) > _FEW_UNITS or sum(of_month) > _FEW_BYTES:
                yield month

    def _is_current(self, head: UnitHead) -> bool:
        stat = self._listed.get(head.unit)
        return stat is not None and stat.generation == head.generation and is_readable(head)

    def _files_of_months(
        self,
        pool: ThreadPoolExecutor,
        heads: Mapping[DataTypeDay, UnitHead],
        columns: tuple[str, ...],
        chosen: pl.Expr | None,
    ) -> tuple[list[pl.DataFrame], set[DataTypeDay]]:
        """Return the rows of units whose month has them, and these units; those without files have no rows."""
        known = {unit for unit, head in heads.items() if not head.expected and not head.objects}
        months: dict[tuple[date, str, DataType], list[DataTypeDay]] = defaultdict(list)
        for unit in heads.keys() - known:
            months[unit.day.replace(day=1), unit.venue, unit.data_type].append(unit)

        def read(
            month: tuple[date, str, DataType], units: Sequence[DataTypeDay]
        ) -> tuple[pl.DataFrame, list[DataTypeDay]] | None:
            def parse(data: bytes) -> tuple[pl.DataFrame, list[DataTypeDay]]:
                generations = generations_of(data)
                own = [unit for unit in units if generations.get(unit.day) == heads[unit].generation]
                return read_files(data, {unit.day for unit in own}, chosen, columns), own

            return read_if_sound(self._lake, index_files_key(*month), parse)

        frames: list[pl.DataFrame] = []
        for (_, venue, data_type), found in zip(months, pool.map(read, months, months.values()), strict=True):
            if found is not None:
                frames.append(_of_pair(found[0], venue, data_type))
                known.update(found[1])
        return frames, known

    def _read_rest(
        self,
        pool: ThreadPoolExecutor,
        units: Sequence[DataTypeDay],
        columns: tuple[str, ...],
        chosen: pl.Expr | None,
    ) -> tuple[list[UnitHead], list[pl.DataFrame]]:
        """Return heads and files of units that no month has, from their parts or receipts."""
        pairs: dict[tuple[str, DataType], list[date]] = defaultdict(list)
        for unit in units:
            pairs[unit.venue, unit.data_type].append(unit.day)

        def list_parts(pair: tuple[str, DataType]) -> list[ObjectStat]:
            first, last = (index_part_key(DataTypeDay(*pair, bound(pairs[pair]))) for bound in (min, max))
            return self._lake.list_between(index_part_prefix(*pair), first, f"{last}\0")

        listings = [] if self._is_from_receipts else pool.map(list_parts, pairs)
        parts = {stat.key for stats in listings for stat in stats}

        def read(unit: DataTypeDay) -> _Read | None:
            found: _Read | None = None
            if (key := index_part_key(unit)) in parts:
                found = read_if_sound(self._lake, key, lambda data: self._read_part(unit, data, columns, chosen))
            return found or self._read_receipt(unit, columns, chosen)

        heads: list[UnitHead] = []
        frames: list[pl.DataFrame] = []
        small: dict[tuple[str, DataType], list[IndexedUnit]] = defaultdict(list)
        for unit, found in zip(units, pool.map(read, units), strict=True):
            if found is None:
                continue
            head, rows = found
            heads.append(head)
            if isinstance(rows, pl.DataFrame):
                frames.append(_of_pair(rows, unit.venue, unit.data_type))
            elif rows is not None:
                waiting = small[unit.venue, unit.data_type]
                waiting.append(rows)
                if len(waiting) == _SMALL_AT_ONCE:
                    frames.append(_of_pair(_table_of(waiting, columns, chosen), unit.venue, unit.data_type))
                    waiting.clear()
        frames += [_of_pair(_table_of(it, columns, chosen), *pair) for pair, it in small.items() if it]
        return heads, frames

    def _read_part(
        self, unit: DataTypeDay, data: bytes, columns: tuple[str, ...], chosen: pl.Expr | None
    ) -> _Read | None:
        head = head_of_part(data)
        if head is None or head.unit != unit or not self._is_current(head):
            return None
        return head, read_files(data, {unit.day}, chosen, columns) if columns else None

    def _read_receipt(self, unit: DataTypeDay, columns: tuple[str, ...], chosen: pl.Expr | None) -> _Read | None:
        is_large = self._listed[unit].size_bytes > _LARGE_RECEIPT_BYTES
        with self._large if is_large else nullcontext():
            receipt, generation = load_receipt(self._lake, unit)
            if receipt is None:  # deleted since it was listed
                return None
            indexed = index_receipt(receipt, generation)
            if not columns:
                return indexed.head, None
            if len(receipt.files) < SMALLEST_PART_FILES:
                return indexed.head, indexed
            return indexed.head, _table_of([indexed], columns, chosen)


def _table_of(units: Iterable[IndexedUnit], columns: Sequence[str], chosen: pl.Expr | None) -> pl.DataFrame:
    return choose_files(files_frame(units).lazy(), chosen).select(columns).collect()


def _of_pair(frame: pl.DataFrame, venue: str, data_type: DataType) -> pl.DataFrame:
    return frame.select(pl.lit(venue).alias("venue"), pl.lit(data_type.value).alias("data_type"), pl.all())


def read_if_sound(lake: TickLake, key: str, parse: Callable[[bytes], _T | None]) -> _T | None:
    """Return what is in an object of the index; None where it is not there, of another version, or damaged."""
    try:
        data, _ = lake.get_bytes(key)
    except LakeObjectMissing:
        return None
    try:
        ensure_sound(data, key)
        return parse(data)
    except (ValueError, KeyError, TypeError) as error:
        _LOG.warning(
            "%s is damaged, receipts are read instead (%s): `market-data index --rebuild` writes it anew",
            lake.uri(key),
            error,
        )
        return None
