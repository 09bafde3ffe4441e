"""What the page of a layout tells an analyst: its columns, how to read it, what is in it, and a few of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import dagster as dg
import polars as pl

from market_data.defs.metadata import Metadata, read_snippet
from market_data.defs.tables import Table, make_table
from market_data.lake.base import TickLake
from market_data.lake.keys import PARTITION_ORDERS, layout_prefix, object_key
from market_data.lake.open import polars_storage_options
from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnSpec, DataType
from market_data.model.limits import MEGABYTE
from market_data.receipts.receipt import PublishedObject, Receipt

_SAMPLE_ROWS = 5
# What fits a page. Books have a hundred columns: the first levels say what the others are.
_SAMPLE_COLUMNS = 6
_LONG_OR_SAID = ("instrument_key", "exchange", "timestamp", "id")
_FOLDERS = {
    "date": "UTC day on which the vendor's recorder received the rows.",
    "venue": "The venue.",
    "data_type": "The table: which of the columns below there are. A glob must fix it.",
    "instrument_type": "SPOT_PAIR, PERPETUAL, FUTURE, OPTION, ...",
}


def describe_how_to_read(venue: str, layout: str, data_types: Sequence[DataType], lake_url: str, day: date) -> str:
    """Return the description of a layout's asset, in Markdown: it is on the page without a click."""
    folders = "/".join(f"{name}=..." for name in PARTITION_ORDERS[layout])
    return (
        f"All data types of {venue} as Parquet, partitioned by {', '.join(PARTITION_ORDERS[layout])}.\n\n"
        f"{read_snippet(data_types[0], venue, day, lake_url)}\n\n"
        f"`start` and `end` are any days that are green under Partitions. Folders, for engines that glob: `{folders}`."
    )


def describe_layout_columns(layout: str, data_types: Sequence[DataType]) -> Metadata:
    """Describe the columns of a layout: those of its folders, then those of all data types, each a table of its own.

    A column of several data types is told once, with each meaning that it has.
    """
    folders = [dg.TableColumn(name, "String", f"Folder. {_FOLDERS[name]}") for name in PARTITION_ORDERS[layout]]
    columns: dict[str, list[tuple[DataType, ColumnSpec]]] = {}
    for data_type in data_types:
        for column in (INSTRUMENT_KEY, *TABLES[data_type].vendor_columns):
            columns.setdefault(column.name, []).append((data_type, column))
    described = [_describe_column(uses, len(data_types)) for uses in columns.values()]
    grains = make_table(
        {"data type": item.value, "one row is": TABLES[item].grain, "columns": len(TABLES[item].published_schema)}
        for item in data_types
    )
    return {"dagster/column_schema": dg.TableSchema([*folders, *described]), "one row is": grains}


def _describe_column(uses: Sequence[tuple[DataType, ColumnSpec]], data_types: int) -> dg.TableColumn:
    meanings: dict[str, list[str]] = {}
    for data_type, column in uses:
        unit = f" Unit: {column.unit}." if column.unit else ""
        meanings.setdefault(f"{column.description}{unit}", []).append(data_type.value)
    is_everywhere = len(uses) == data_types and len(meanings) == 1
    told = [text if is_everywhere else f"{', '.join(names)}: {text}" for text, names in meanings.items()]
    first = uses[0][1]
    is_nullable = any(column.is_nullable for _, column in uses)
    constraints = dg.TableColumnConstraints(nullable=is_nullable)
    return dg.TableColumn(first.name, str(first.kind.dtype), "\n".join(told), constraints=constraints)


def describe_layout(layout: str, receipts: Sequence[Receipt], lake: TickLake, sample: Metadata) -> Metadata:
    """Describe one layout of a venue-day: its objects over all data types, numbers to plot by day, and sample rows."""
    ordered = sorted(receipts, key=lambda item: item.data_type)
    objects = [item for receipt in ordered for item in receipt.objects]
    records: list[dict[str, str | float]] = [
        {
            "data type": receipt.data_type.value,
            "objects": len(receipt.objects),
            "rows": sum(item.rows for item in receipt.objects),
            "MB": _megabytes(receipt.objects),
        }
        for receipt in ordered
    ]
    first = ordered[0]
    return {
        "verdict": _summarize(len(objects), receipts),
        "read it": dg.MetadataValue.md(read_snippet(first.data_type, first.venue, first.day, lake.url)),
        "data types": make_table(records),
        **sample,
        "dagster/partition_row_count": sum(item.rows for item in objects),
        "published MB": _megabytes(objects),
        "objects": len(objects),
        **{f"rows of {record['data type']}": record["rows"] for record in records},
        **{f"MB of {record['data type']}": record["MB"] for record in records},
        "folder": dg.MetadataValue.path(f"{lake.url}/{layout_prefix(layout)}"),
    }


def _megabytes(objects: Iterable[PublishedObject]) -> float:
    return round(sum(item.size_bytes for item in objects) / MEGABYTE, 3)


def _summarize(objects: int, receipts: Sequence[Receipt]) -> str:
    if all(receipt.is_nothing_expected for receipt in receipts):
        return f"OK nothing expected of {len(receipts)} data types"
    return f"OK {objects} objects of {len(receipts)} data types"


def sample_rows(lake: TickLake, receipts: Iterable[Receipt]) -> Metadata:
    """Return the first rows of one published file of each data type, or why they cannot be shown."""
    return dict(_samples(lake, receipts))


def _samples(lake: TickLake, receipts: Iterable[Receipt]) -> Iterator[tuple[str, Table]]:
    for receipt in sorted(receipts, key=lambda item: item.data_type):
        if receipt.objects:
            # the smallest that has enough rows: the pages behind the first rows of a large one are large
            chosen = min(receipt.objects, key=lambda item: (item.rows < _SAMPLE_ROWS, item.size_bytes))
            yield f"first rows of {receipt.data_type}", _sample(lake, receipt, chosen)


def _sample(lake: TickLake, receipt: Receipt, chosen: PublishedObject) -> Table:
    """Read rows; a picture of the data is not worth a day that is published, so a failure is told and no more."""
    key = object_key(receipt.layouts[0], chosen.name(receipt.unit))
    try:
        scan = pl.scan_parquet(
            lake.uri(key), glob=False, hive_partitioning=False, storage_options=polars_storage_options(lake)
        )
        rows = scan.head(_SAMPLE_ROWS).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        return dg.MetadataValue.text(f"no sample: {key} cannot be read: {type(error).__name__}: {error}")
    names = [name for name in rows.columns if name not in _LONG_OR_SAID][:_SAMPLE_COLUMNS]
    more = {f"and {rows.width - len(names)} more columns": "..."}
    time = pl.col("local_timestamp").dt.to_string("%H:%M:%S%.6f")  # the day is the partition's
    texts = rows.with_columns(time).select(pl.col(names).cast(pl.String).fill_null(""))
    return make_table(row | more for row in texts.to_dicts())
