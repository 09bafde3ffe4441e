"""The tables of the index, and their bytes: units, and tick files with what is published of each.

A table of units has one row for each unit, with the fields of `UnitHead`, sorted by venue, data type and day.

A table of files has one row for each published object of each expected tick file, and one for a file without any,
sorted by instrument key (then day, vendor symbol, stem), so that one instrument is read from few row groups.
The Parquet file's own metadata says which receipts it was made from: `generations` by day, of a part its unit's head.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import polars as pl

from market_data.index.unit import COUNTS, IndexedFile, IndexedObject, IndexedUnit, UnitHead
from market_data.lake.format import READER_VERSION
from market_data.lake.keys import index_part_key, index_units_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome

# Another number where what stands here changes: versions that know only others read receipts instead. The words that
# `counts` are of belong to it. Tables of version 1 say nothing of gaps: it knew of none.
_VERSION = {"version": 2, "counts": list(COUNTS)}
_READABLE_VERSIONS = (1, 2)
UNITS_SCHEMA = pl.Schema(
    {
        "venue": pl.String(),
        "data_type": pl.String(),
        "day": pl.Date(),
        "generation": pl.Int64(),
        "min_reader_version": pl.Int64(),
        "state": pl.String(),
        "is_complete": pl.Boolean(),
        "is_as_wanted": pl.Boolean(),
        "layouts": pl.List(pl.String()),
        "doubt": pl.String(),
        "decoder_version": pl.String(),
        "instruments_listed": pl.Int64(),
        "instrument_types": pl.List(pl.String()),
        "counts": pl.List(pl.Int64()),
        "rows": pl.Int64(),
        "raw_bytes": pl.Int64(),
        "stored_bytes": pl.Int64(),
        "published_bytes": pl.Int64(),
        "objects": pl.Int64(),
        "open_files": pl.List(pl.String()),
        "fault": pl.String(),
        "deleted": pl.String(),
        "waived_files": pl.List(pl.String()),
        "verdict": pl.String(),
        "committed_at": pl.Datetime("us", "UTC"),
        "gaps": pl.String(),
    }
)
_FILE_COLUMNS = {
    "vendor_symbol": pl.String(),
    "instrument_type": pl.String(),
    "instrument_key": pl.String(),  # '' of a grouped file: null has no place in the order
    "outcome": pl.String(),
    "told": pl.String(),
    "size_bytes": pl.Int64(),
    "rows": pl.Int64(),
    "first_local_timestamp": pl.Datetime("us", "UTC"),
    "last_local_timestamp": pl.Datetime("us", "UTC"),
    "is_published": pl.Boolean(),
    "is_checked": pl.Boolean(),
    "severity": pl.String(),
    "finding": pl.String(),
}
FILES_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "is_expected": pl.Boolean(),  # not so: published of a file that the unit's next publication supersedes
        **_FILE_COLUMNS,
        "stem": pl.String(),
        "content_id": pl.UInt64(),  # null of a plain name
        "object_rows": pl.Int64(),
        "object_bytes": pl.Int64(),
    }
)
# dataclasses.astuple copies each value deeply
_HEAD_VALUES = attrgetter(*UNITS_SCHEMA)
_FILE_VALUES = attrgetter(*list(_FILE_COLUMNS)[4:])
_MARK, _NO_SUM = "market_data_blake2b=", "0" * 32
_CHECKSUM = re.compile(rb"market_data_blake2b=([0-9a-f]{32})")
_FOOTER_BYTES = 2**16
_SORT = ("instrument_key", "day", "vendor_symbol", "stem")
_ROW_GROUP_ROWS = 8_192
_HEX = 16


def units_frame(heads: Iterable[UnitHead]) -> pl.DataFrame:
    """Return the table of units."""
    rows = [_HEAD_VALUES(head) for head in sorted(heads, key=lambda head: (head.venue, head.data_type.value, head.day))]
    return pl.DataFrame(rows, schema=UNITS_SCHEMA, orient="row")


def heads_of(frame: pl.DataFrame) -> Iterator[UnitHead]:
    """Yield the heads in a table of units."""
    for row in frame.select(UNITS_SCHEMA.names()).iter_rows(named=True):
        yield _head(row)


def _head(document: Mapping[str, Any]) -> UnitHead:
    values: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in document.items()}
    values["data_type"] = DataType(values["data_type"])
    return UnitHead(**values)


def files_frame(units: Iterable[IndexedUnit]) -> pl.DataFrame:
    """Return the table of files, in the order of the units and their files."""
    rows = [row for unit in units for row in _rows_of(unit)]
    return pl.DataFrame(rows, schema=FILES_SCHEMA, orient="row")


def _rows_of(unit: IndexedUnit) -> Iterator[tuple[object, ...]]:
    objects: dict[str, list[IndexedObject | None]] = defaultdict(list)
    for item in unit.objects:
        objects[item.vendor_symbol].append(item)
    day = unit.head.day
    for file in unit.files:
        key, outcome = file.instrument_key or "", file.outcome.value if file.outcome else None
        values = (file.vendor_symbol, file.instrument_type, key, outcome, *_FILE_VALUES(file))
        for published in objects.pop(file.vendor_symbol, None) or [None]:
            yield (day, True, *values, *_object_values(published))
    for other in unit.objects:
        if other.vendor_symbol in objects:
            named = (other.vendor_symbol, other.instrument_type, other.instrument_key or "")
            nothing = (None,) * (len(_FILE_COLUMNS) - len(named))
            yield (day, False, *named, *nothing, *_object_values(other))


def _object_values(item: IndexedObject | None) -> tuple[object, ...]:
    if item is None:
        return (None, None, None, None)
    content_id = int(item.content_id, _HEX) if item.content_id else None
    return (item.stem, content_id, item.rows, item.size_bytes)


def units_of(heads: Iterable[UnitHead], files: pl.DataFrame) -> dict[DataTypeDay, IndexedUnit]:
    """Return units with those of their files and objects that stand in a table with `venue` and `data_type`."""
    found: dict[tuple[str, str, date], tuple[list[IndexedFile], list[IndexedObject]]] = defaultdict(lambda: ([], []))
    for venue, data_type, day, *row in files.select("venue", "data_type", *FILES_SCHEMA).iter_rows():
        own_files, own_objects = found[venue, data_type, day]
        is_expected, file, (stem, content_id, rows, size_bytes) = row[0], row[1:-4], row[-4:]
        symbol, instrument_type, key = file[0], file[1], file[2] or None
        if is_expected and not (own_files and own_files[-1].vendor_symbol == symbol):
            outcome = Outcome(file[3]) if file[3] is not None else None
            own_files.append(IndexedFile(symbol, instrument_type, key, outcome, *file[4:]))
        if stem is not None:
            content = None if content_id is None else f"{content_id:0{_HEX}x}"
            own_objects.append(IndexedObject(symbol, instrument_type, key, stem, content, rows, size_bytes))
    units = {}
    for head in heads:
        own_files, own_objects = found.get((head.venue, head.data_type.value, head.day), ([], []))
        own_files.sort(key=lambda file: file.vendor_symbol)
        own_objects.sort(key=lambda item: (item.vendor_symbol, item.stem))
        units[head.unit] = IndexedUnit(head, tuple(own_files), tuple(own_objects))
    return units


def write_table(frame: pl.DataFrame, key: str, facts: Mapping[str, object]) -> bytes:
    """Return a table as Parquet for an object key, with facts (JSON values) about where it comes from.

    The checksum of its bytes stands among them, of the bytes with zeros in its place.
    """
    buffer = io.BytesIO()
    told = {"index": json.dumps({**_VERSION, "key": key, **facts}), "checksum": f"{_MARK}{_NO_SUM}"}
    frame.write_parquet(buffer, compression="zstd", row_group_size=_ROW_GROUP_ROWS, metadata=told)
    data = buffer.getvalue()
    return data.replace(f"{_MARK}{_NO_SUM}".encode(), f"{_MARK}{_sum_of(data)}".encode(), 1)


def _sum_of(*pieces: bytes | memoryview) -> str:
    digest = blake2b(digest_size=len(_NO_SUM) // 2)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def ensure_sound(data: bytes, key: str) -> None:
    """Raise ValueError for bytes that are not those of a table which was written for this object key.

    Whoever parses a damaged Parquet file may be given other rows, or end with the process.
    """
    found = _CHECKSUM.search(data, max(0, len(data) - _FOOTER_BYTES)) or _CHECKSUM.search(data)
    if found is None:
        raise ValueError("it is no table of the index: there is no checksum")
    start, end = found.span(1)
    whole = memoryview(data)  # megabytes, which need not be copied
    if _sum_of(whole[:start], _NO_SUM.encode(), whole[end:]) != found[1].decode():
        raise ValueError("its bytes are not those that were written")
    facts = read_facts(data)
    if facts is not None and facts["key"] != key:
        raise ValueError(f"it was written for {facts['key']}")


def read_facts(data: bytes) -> dict[str, Any] | None:
    """Return the facts about a table, None of another version's; raises ValueError for what is none of the index."""
    try:
        facts = json.loads(pl.read_parquet_metadata(io.BytesIO(data))["index"])
        is_readable = facts["version"] in _READABLE_VERSIONS and facts["counts"] == _VERSION["counts"]
        return dict(facts) if is_readable else None
    except (pl.exceptions.PolarsError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it is no table of the index: {error}") from error


def units_table_of(frame: pl.DataFrame, month: date, files: Mapping[str, int]) -> bytes:
    """Return the bytes of a month's table of units; `files` are generations of its tables of files, by object key."""
    rows = frame.select(UNITS_SCHEMA.names()).sort("venue", "data_type", "day")
    return write_table(rows, index_units_key(month), {"files": dict(files)})


def files_generations_of(data: bytes) -> dict[str, int] | None:
    """Return the generations of a month's tables of files as they were written, by object key."""
    facts = read_facts(data)
    return None if facts is None else {str(key): int(generation) for key, generation in facts["files"].items()}


def read_units_table(data: bytes) -> pl.DataFrame | None:
    """Return a table of units, None of another version's; raises ValueError for what is none."""
    if read_facts(data) is None:
        return None
    try:
        frame = pl.read_parquet(io.BytesIO(data))
        frame = frame if "gaps" in frame.columns else frame.with_columns(gaps=pl.lit(None))
        return frame.select(UNITS_SCHEMA.names()).cast(UNITS_SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"it is no table of units: {error}") from error


def read_files(data: bytes, days: Collection[date], chosen: pl.Expr | None, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows of days in a table of files, as `choose_files`; raises ValueError for what is no such table."""
    try:
        rows = pl.scan_parquet(io.BytesIO(data)).filter(pl.col("day").is_in(sorted(days)))
        return choose_files(rows, chosen).select(columns).collect()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"it is no table of files: {error}") from error


def choose_files(rows: pl.LazyFrame, chosen: pl.Expr | None) -> pl.LazyFrame:
    """Return the rows of single files that an expression over `instrument_key` chooses, and of all grouped ones."""
    return rows if chosen is None else rows.filter((pl.col("instrument_key") == "") | chosen)


def part_of(unit: IndexedUnit) -> bytes:
    """Return the bytes of a unit's part: its table of files, with its head."""
    frame = files_frame([unit]).sort(_SORT, nulls_last=False)
    times = {"day": unit.head.day.isoformat(), "committed_at": _told(unit.head.committed_at)}
    return write_table(frame, index_part_key(unit.unit), {"head": asdict(unit.head) | times})


def _told(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def head_of_part(data: bytes) -> UnitHead | None:
    """Return the head of a part, None of one of another version; raises ValueError for what is none."""
    facts = read_facts(data)
    if facts is None:
        return None
    document = facts["head"]
    instant = document["committed_at"]
    times = {"day": date.fromisoformat(document["day"]), "committed_at": instant and datetime.fromisoformat(instant)}
    return _head({"gaps": None} | document | times)


def month_of_files(frame: pl.DataFrame, key: str, generations: Mapping[date, int]) -> bytes:
    """Return the bytes of a month's table of files, made from receipts of these generations."""
    return write_month(frame.select(FILES_SCHEMA.names()).sort(_SORT, nulls_last=False), key, generations)


def write_month(frame: pl.DataFrame, key: str, generations: Mapping[date, int]) -> bytes:
    """Return a table as `write_table`, made from objects of these generations."""
    told = {day.isoformat(): generation for day, generation in sorted(generations.items())}
    return write_table(frame, key, {"generations": told})


def generations_of(data: bytes) -> dict[date, int]:
    """Return the generations that a month's table was made from, by day; none of another version's."""
    facts = read_facts(data) or {"generations": {}}
    return {date.fromisoformat(day): int(generation) for day, generation in facts["generations"].items()}


def is_readable(head: UnitHead) -> bool:
    """Whether this version may read what a receipt describes; where not, the receipt itself says so best."""
    return head.min_reader_version <= READER_VERSION
