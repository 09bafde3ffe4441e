"""Object keys read backwards: what a key says is all that its name was made of."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import unquote

from market_data.lake.keys import PARTITION_ORDERS, PublishedName
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay


def parse_object_key(key: str) -> tuple[str, PublishedName]:
    """Return (layout, name) of a published file's object key; raises ValueError for any other key."""
    root, layout, *folders, file_name = key.split("/")
    pairs = dict(folder.split("=", 1) for folder in folders if "=" in folder)
    if root != "ticks" or tuple(pairs) != PARTITION_ORDERS.get(layout) or not file_name.endswith(".parquet"):
        raise ValueError(f"{key!r} is not the object key of a published file")
    values = {partition: unquote(value) for partition, value in pairs.items()}
    unit = DataTypeDay(values["venue"], DataType(values["data_type"]), date.fromisoformat(values["date"]))
    stem, _, content_id = file_name.removesuffix(".parquet").rpartition(".")
    if not re.fullmatch("[0-9a-f]{16}", content_id):
        stem, content_id = file_name.removesuffix(".parquet"), ""
    return layout, PublishedName(unit, values["instrument_type"], unquote(stem), content_id or None)
