"""The use case: the index of whole months, made from parts (or receipts) and universes; no run waits for it.

For each month: tables of files, then of instruments, then the table of units. Killed anywhere it leaves tables that
say which receipts they are made from: readers take what is right of them, and the next compaction does the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from market_data.errors import LakeConflict
from market_data.index.instruments import list_universes, month_of_instruments, read_universes
from market_data.index.store import held_venues, read_files_of, read_if_sound
from market_data.index.table import (
    UNITS_SCHEMA,
    files_generations_of,
    generations_of,
    month_of_files,
    read_units_table,
    units_frame,
    units_table_of,
)
from market_data.index.unit import UnitHead
from market_data.lake.base import PARQUET_CONTENT, READERS, TickLake
from market_data.lake.keys import (
    day_of_receipt,
    index_files_key,
    index_instruments_key,
    index_month_prefix,
    index_units_key,
)
from market_data.lake.origin import ensure_lake_writable
from market_data.model.data_types import DataType
from market_data.receipts.store import data_types_with_receipts, list_receipts

_WRITE_ATTEMPTS = 5


class _Changed(NamedTuple):
    """What a month's table of units is to have of a venue and data type: heads, and the generation of its files."""

    heads: Sequence[UnitHead]
    files_generation: int


_Pair = tuple[str, DataType]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was written for a month of a venue: units of a data type, or days of instruments (`data_type` is None)."""

    month: date
    venue: str
    data_type: DataType | None
    days: int


def compact_index(
    lake: TickLake,
    venues: Collection[str] | None = None,
    first: date = date.min,
    last: date = date.max,
    *,
    is_rebuild: bool = False,
) -> Iterator[Compacted]:
    """Bring the months that the days from first to last are in up to date; yield what was written.

    venues: None takes all that the lake holds. `is_rebuild` makes all tables anew, from receipts and universes alone.
    Raises LakeConflict (transient) where others compact the same month all the time, LakeFormatTooNew (permanent) for
    a lake that a later version must write, LakeError of any kind.
    """
    ensure_lake_writable(lake)
    asked = held_venues(lake) if venues is None else sorted(venues)
    start, end = first.replace(day=1), _month_end(last)
    months: dict[date, dict[_Pair, dict[date, int]]] = defaultdict(dict)
    pairs = data_types_with_receipts(lake, asked)
    with ThreadPoolExecutor(READERS) as pool:
        ranges = [(*pair, start, end) for pair in pairs]
        listings = list(pool.map(lambda of: list_receipts(lake, *of), ranges))
    for pair, stats in zip(pairs, listings, strict=True):
        for stat in stats:
            if (day := day_of_receipt(stat.key)) is not None:
                months[day.replace(day=1)].setdefault(pair, {})[day] = stat.generation
    universes = {pair: it for pair, it in list_universes(lake, start, end).items() if pair[0] in set(asked)}
    for month in sorted({*months, *(day.replace(day=1) for _, day in universes)}):
        own = {pair: it for pair, it in universes.items() if pair[1].replace(day=1) == month}
        yield from _compact_instruments(lake, month, own, is_rebuild=is_rebuild)
        yield from _compact_month(lake, month, months.get(month, {}), asked, is_rebuild=is_rebuild)


def _compact_month(
    lake: TickLake,
    month: date,
    listed: Mapping[_Pair, Mapping[date, int]],
    venues: Collection[str],
    *,
    is_rebuild: bool,
) -> Iterator[Compacted]:
    table, written, _ = _load_units(lake, month)
    known: dict[_Pair, dict[date, int]] = defaultdict(dict)
    for venue, data_type, day, generation in table.select(*table.columns[:4]).iter_rows():
        if venue in venues and data_type in set(DataType):
            known[venue, DataType(data_type)][day] = generation
    changed: dict[_Pair, _Changed] = {pair: _Changed([], 0) for pair in known.keys() - listed.keys()}
    for pair in changed:
        lake.delete(index_files_key(month, *pair))
    held = {stat.key: stat.generation for stat in lake.list_objects(index_month_prefix(month))}
    for pair, generations in listed.items():
        key = index_files_key(month, *pair)
        # one that was lost, or that a slower compaction wrote last, is made anew too
        is_as_written = key in held and held[key] == written.get(key)
        is_sound = is_as_written or (key in held and read_if_sound(lake, key, generations_of) == generations)
        if is_sound and not is_rebuild and known.get(pair) == generations:
            continue
        heads, files = read_files_of(lake, _only(pair), generations, is_from_receipts=is_rebuild)
        made_from = {unit.day: head.generation for unit, head in heads.items()}
        stat = lake.put_bytes(month_of_files(files, key, made_from), key, content_type=PARQUET_CONTENT)
        changed[pair] = _Changed(list(heads.values()), stat.generation)
        yield Compacted(month, *pair, len(heads))
    if changed:
        _save_units(lake, month, changed)


def _only(pair: _Pair) -> dict[str, tuple[DataType, ...]]:
    return {pair[0]: (pair[1],)}


def _compact_instruments(
    lake: TickLake, month: date, listed: Mapping[tuple[str, date], int], *, is_rebuild: bool
) -> Iterator[Compacted]:
    for venue in sorted({venue for venue, _ in listed}):
        own = {pair: generation for pair, generation in listed.items() if pair[0] == venue}
        generations = {day: generation for (_, day), generation in own.items()}
        key = index_instruments_key(month, venue)
        if not is_rebuild and read_if_sound(lake, key, generations_of) == generations:
            continue
        if frames := list(read_universes(lake, own, is_from_days=is_rebuild)):
            lake.put_bytes(month_of_instruments(frames, key, generations), key, content_type=PARQUET_CONTENT)
            yield Compacted(month, venue, None, len(generations))


def _load_units(lake: TickLake, month: date) -> tuple[pl.DataFrame, dict[str, int], int]:
    """Return a month's table of units, what it says of tables of files, and the object's generation.

    Empty where it is not there, or damaged.
    """
    key = index_units_key(month)
    stat = lake.stat(key)
    nothing = (pl.DataFrame(schema=UNITS_SCHEMA), dict[str, int]())

    def parse(data: bytes) -> tuple[pl.DataFrame, dict[str, int]] | None:
        table, written = read_units_table(data), files_generations_of(data)
        return None if table is None or written is None else (table, written)

    found = (read_if_sound(lake, key, parse) if stat else None) or nothing
    return *found, stat.generation if stat else 0


def _save_units(lake: TickLake, month: date, changed: Mapping[_Pair, _Changed]) -> None:
    """Put the heads of some venues' data types into the month's table, in place of those it has of them."""
    new = units_frame(head for item in changed.values() for head in item.heads)
    pairs = pl.DataFrame(
        [(venue, data_type.value) for venue, data_type in changed], schema=("venue", "data_type"), orient="row"
    )
    files = {index_files_key(month, *pair): item.files_generation for pair, item in changed.items()}
    for remaining in reversed(range(_WRITE_ATTEMPTS)):
        table, written, generation = _load_units(lake, month)
        merged = pl.concat([table.join(pairs, on=["venue", "data_type"], how="anti"), new])
        data = units_table_of(merged, month, {key: it for key, it in (written | files).items() if it})
        try:
            lake.put_bytes(data, index_units_key(month), if_generation=generation, content_type=PARQUET_CONTENT)
        except LakeConflict:  # another compaction, of other venues maybe
            if not remaining:
                raise
        else:
            return


def _month_end(day: date) -> date:
    if day.replace(day=1) >= date.max.replace(day=1):
        return date.max
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
