"""The rhythm of a published unit, measured on the lake, and what is published of it less than the vendor sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from market_data.errors import LakeError
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import object_key, raw_key
from market_data.lake.open import polars_storage_options
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.quality.hours import DAY_US, RHYTHM_SCHEMA, midnight_us
from market_data.quality.published_rows import named_errors
from market_data.quality.rhythm import RhythmMeter
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt

_BATCH_ROWS = 1_000_000
# Spans that are lost: so many at most, and what is nearer than that is one where there are more.
_MOST_SPANS = 1_000
_NEAR_US = (1_000_000, 60_000_000, 3_600_000_000, DAY_US)
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lost:
    """Of a file of which other rows are published than the vendor sent: the words for it, and where.

    Spans are microseconds since epoch, the arrivals between which other rows are published than were sent.
    """

    told: str
    spans: tuple[tuple[int, int], ...]


def series_of(item: PublishedObject, unit: DataTypeDay) -> str:
    """Return the key under which an object is judged: its instrument's, or its own where it holds many."""
    return item.instrument_key or f"{unit.venue}:{item.instrument_type}:{item.stem}"


def measure_rhythm(lake: TickLake, receipt: Receipt) -> pl.DataFrame:
    """Return the rhythm of all that a unit publishes, and of files that the vendor sent without rows.

    Raises LakeError of any kind; what is named and gone is permanent.
    """

    def measure(item: PublishedObject) -> pl.DataFrame:
        return _measure_object(lake, receipt, item).hours(series_of(item, receipt.unit))

    with ThreadPoolExecutor(READERS) as pool:
        published = list(pool.map(measure, receipt.objects))
    empty = (file.instrument_key for file in receipt.files if file.outcome is Outcome.VENDOR_EMPTY)
    without = (RhythmMeter(receipt.day).hours(key) for key in empty if key is not None)
    return pl.concat([pl.DataFrame(schema=RHYTHM_SCHEMA), *published, *without]).sort("instrument_key", "hour")


def _measure_object(lake: TickLake, receipt: Receipt, item: PublishedObject) -> RhythmMeter:
    meter = RhythmMeter(receipt.day)
    key = object_key(receipt.known_layouts[0], item.name(receipt.unit))
    columns = ["local_timestamp", "id"] if receipt.data_type is DataType.TRADES else ["local_timestamp"]
    with named_errors(lake, receipt, key):
        scan = pl.scan_parquet(lake.uri(key), glob=False, storage_options=polars_storage_options(lake))
        if item.rows > _BATCH_ROWS:
            scan.select(columns).sink_batches(meter.add, chunk_size=_BATCH_ROWS)
        else:  # of most files, of which thousands may be there, one piece costs less
            meter.add(scan.select(columns).collect())
    return meter


def find_lost(lake: TickLake, receipt: Receipt, rhythm: pl.DataFrame) -> dict[str, Lost]:
    """Return, by series, which of a unit's objects lack rows that the vendor's file has, or hold others.

    The vendor's bytes are read again only of a file whose number of rows is not that of its receipt.
    """
    rows = dict(rhythm.group_by("instrument_key").agg(pl.col("rows").sum()).iter_rows())
    lost = {}
    for file, objects in _files_with_objects(receipt):
        published = sum(rows.get(series_of(item, receipt.unit), 0) for item in objects)
        if published == file.rows:
            continue
        told = f"the vendor sent {file.rows:,} rows of {file.vendor_symbol}, and {published:,} are in the lake"
        spans, why = _differing_spans(lake, receipt, file, objects)
        # of a grouped file the parts that are as they were published lack nothing
        differing = [item for item in objects if rows.get(series_of(item, receipt.unit), 0) != item.rows]
        for item in differing or objects:
            lost[series_of(item, receipt.unit)] = Lost(told + why, spans)
    return lost


def _files_with_objects(receipt: Receipt) -> Iterator[tuple[FileEvidence, list[PublishedObject]]]:
    by_symbol: dict[str, list[PublishedObject]] = {}
    for item in receipt.objects:
        by_symbol.setdefault(item.vendor_symbol, []).append(item)
    for file in receipt.files:
        if file.outcome is Outcome.STORED:
            yield file, by_symbol.get(file.vendor_symbol, [])


def _differing_spans(
    lake: TickLake, receipt: Receipt, file: FileEvidence, objects: Sequence[PublishedObject]
) -> tuple[tuple[tuple[int, int], ...], str]:
    """Return where the rows of a file are not those that the vendor sent, and more words where that cannot be told."""
    try:
        sent = _arrivals_of_raw(lake, receipt.unit, file)
    except LakeError as error:
        if error.is_transient:
            raise
        start_us = midnight_us(receipt.day)
        return ((start_us, start_us + DAY_US),), f"; which ones cannot be told: {error}"
    parts = [_arrivals_of_object(lake, receipt, item) for item in objects]
    published = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    return differing_spans(np.sort(sent), published, midnight_us(receipt.day)), ""


def differing_spans(sent: _Ints, published: _Ints, start_us: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of a day in which sorted arrivals differ, from the last equal one before to the first after.

    However thinly rows are lost, or too many, at least one is returned; where there would be very many, near ones are
    one.
    """
    instants, counts = np.unique(np.concatenate((sent, published)), return_counts=True)
    own = np.searchsorted(published, instants, "right") - np.searchsorted(published, instants, "left")
    theirs = counts - own
    equal, other = instants[own == theirs], instants[own != theirs]
    edges = np.concatenate(([start_us], equal, [start_us + DAY_US]))
    starts, ends = edges[np.searchsorted(edges, other) - 1], edges[np.searchsorted(edges, other, "right")]
    for distance_us in (0, *_NEAR_US):
        is_new = np.concatenate(([True], starts[1:] > np.maximum.accumulate(ends)[:-1] + distance_us))
        if is_new.sum() <= _MOST_SPANS:
            break
    firsts = np.nonzero(is_new)[0]
    lasts = np.concatenate((firsts[1:], [len(starts)])) - 1
    return tuple((int(starts[a]), int(ends[b])) for a, b in zip(firsts, lasts, strict=True)) if len(other) else ()


def _arrivals_of_object(lake: TickLake, receipt: Receipt, item: PublishedObject) -> _Ints:
    key = object_key(receipt.known_layouts[0], item.name(receipt.unit))
    with named_errors(lake, receipt, key):
        scan = pl.scan_parquet(lake.uri(key), glob=False, storage_options=polars_storage_options(lake))
        return scan.select("local_timestamp").collect()["local_timestamp"].to_numpy().view(np.int64)


def _arrivals_of_raw(lake: TickLake, unit: DataTypeDay, file: FileEvidence) -> _Ints:
    """Return the vendor's `local_timestamp` of each row, as it was sent; raises LakeError of any kind."""
    key = raw_key(unit, file.vendor_symbol, file.raw_id)
    with tempfile.TemporaryDirectory(prefix="market_data-") as folder:
        path = lake.fetch_file(key, Path(folder))
        try:
            times = (
                pl.scan_csv(path, schema_overrides={"local_timestamp": pl.Int64}).select("local_timestamp").collect()
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            raise LakeError(
                f"{lake.uri(key)}, the vendor's bytes of {file.vendor_symbol}, cannot be read: {error}"
            ) from error
    return times["local_timestamp"].to_numpy()
