"""The rhythm of a published unit, measured on the lake, and what is published of it less than the vendor sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from market_data.errors import LakeError
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import object_key, raw_key
from market_data.lake.open import polars_storage_options
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.quality.hours import RHYTHM_SCHEMA, silences_of
from market_data.quality.rhythm import RhythmMeter
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt

_BATCH_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Lost:
    """Of a file whose rows are not all published: the words for it, and where the vendor has rows that the lake lacks.

    Spans are microseconds since epoch, the arrivals between which nothing is published.
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
    try:
        scan = pl.scan_parquet(lake.uri(key), glob=False, storage_options=polars_storage_options(lake))
        if item.rows > _BATCH_ROWS:
            scan.select(columns).sink_batches(meter.add, chunk_size=_BATCH_ROWS)
        else:  # of most files, of which thousands may be there, one piece costs less
            meter.add(scan.select(columns).collect())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeError(
            f"{lake.uri(key)}, which the receipt of {receipt.unit} names, cannot be read ({error}): "
            "`market-data doctor --deep` says what else is missing"
        ) from error
    return meter


def find_lost(lake: TickLake, receipt: Receipt, rhythm: pl.DataFrame) -> dict[str, Lost]:
    """Return, by series, which of a unit's objects lack rows that the vendor's file has.

    The vendor's bytes are read again only of a file whose number of rows is not that of its receipt.
    """
    rows = dict(rhythm.group_by("instrument_key").agg(pl.col("rows").sum()).iter_rows())
    lost = {}
    for file, objects in _files_with_objects(receipt):
        published = sum(rows.get(series_of(item, receipt.unit), 0) for item in objects)
        if published == file.rows:
            continue
        told = f"the vendor sent {file.rows:,} rows of {file.vendor_symbol}, and {published:,} are in the lake"
        sent = _arrivals_of_raw(lake, receipt.unit, file)
        for item in objects:
            key = series_of(item, receipt.unit)
            lost[key] = Lost(told, tuple(_spans_with(sent, rhythm.filter(pl.col("instrument_key") == key))))
    return lost


def _files_with_objects(receipt: Receipt) -> Iterator[tuple[FileEvidence, list[PublishedObject]]]:
    by_symbol: dict[str, list[PublishedObject]] = {}
    for item in receipt.objects:
        by_symbol.setdefault(item.vendor_symbol, []).append(item)
    for file in receipt.files:
        if file.outcome is Outcome.STORED:
            yield file, by_symbol.get(file.vendor_symbol, [])


def _arrivals_of_raw(
    lake: TickLake, unit: DataTypeDay, file: FileEvidence
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the vendor's `local_timestamp` of each row, as it was sent; raises LakeError of any kind."""
    key = raw_key(unit, file.vendor_symbol, file.raw_id)
    with tempfile.TemporaryDirectory(prefix="market_data-") as folder:
        path = lake.fetch_file(key, Path(folder))
        try:
            times = (
                pl.scan_csv(path, schema_overrides={"local_timestamp": pl.Int64}).select("local_timestamp").collect()
            )
        except pl.exceptions.PolarsError as error:
            raise LakeError(
                f"{lake.uri(key)}, the vendor's bytes of {file.vendor_symbol}, cannot be read: {error}"
            ) from error
    return times["local_timestamp"].to_numpy()


def _spans_with(sent: np.ndarray[tuple[int], np.dtype[np.int64]], rhythm: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """Yield the silences of what is published in which the vendor has rows."""
    for start, end in silences_of(rhythm).select("start_us", "end_us").iter_rows():
        first, last = np.searchsorted(sent, (start, end), side="right")[0], np.searchsorted(sent, end, side="left")
        if last > first:
            yield start, end
