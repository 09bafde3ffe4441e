"""The predecessor's way of a day, without its faults: one file after the other, pandas, each layout written anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
import pandas as pd  # type: ignore[import-untyped]

from market_data.lake.keys import LAYOUTS
from market_data.model.data_types import TABLES, ColumnKind, DataType

_DTYPES = {ColumnKind.TEXT: "string", ColumnKind.TIME: "Int64", ColumnKind.NUMBER: "float64", ColumnKind.FLAG: "bool"}


def fetch_day(url: str, files: Sequence[tuple[DataType, str]], day_path: str, folder: Path) -> None:
    """Download the files (data type, symbol) of one exchange and day, and write each as Parquet in every layout."""
    with httpx.Client(timeout=60) as client:
        for data_type, symbol in files:
            path = folder / "body.csv.gz"
            with (
                client.stream("GET", f"{url}/{data_type}/{day_path}/{symbol}.csv.gz") as response,
                path.open("wb") as s,
            ):
                response.raise_for_status()
                for chunk in response.iter_raw():
                    s.write(chunk)
            _write_layouts(path, data_type, symbol, folder)


def _write_layouts(path: Path, data_type: DataType, symbol: str, folder: Path) -> None:
    columns = TABLES[data_type].vendor_columns
    rows = pd.read_csv(path, dtype={column.csv_name: _DTYPES[column.kind] for column in columns})
    for column in columns:
        if column.kind is ColumnKind.TIME:
            rows[column.csv_name] = pd.to_datetime(rows[column.csv_name], unit="us", utc=True)
    rows = rows.rename(columns={column.csv_name: column.name for column in columns})
    for layout in LAYOUTS:
        target = folder / layout / data_type / f"{symbol}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(target, index=False, compression="zstd")
