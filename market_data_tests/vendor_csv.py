"""A second reading of the vendor's files, with Python's own gzip and csv modules, to compare published tables with."""

from __future__ import annotations

import csv
import gzip

import polars as pl

_TEXT = {"exchange", "symbol", "id", "side", "type", "underlying_index"}
_TIMES = {"timestamp", "local_timestamp", "funding_timestamp", "expiration"}
_FLAGS = {"true": True, "false": False}


def read_csv(body: bytes) -> pl.DataFrame:
    """Read a tick file; columns keep the vendor's names, times stay integers, an empty cell is null."""
    rows = csv.reader(gzip.decompress(body).decode().splitlines())
    header = next(rows)
    return pl.DataFrame(
        {name: _column(name, cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}
    )


def _column(name: str, cells: tuple[str, ...]) -> pl.Series:
    if name in _TEXT:
        return pl.Series([cell or None for cell in cells], dtype=pl.String)
    if name in _TIMES:
        return pl.Series([int(cell) if cell else None for cell in cells], dtype=pl.Int64)
    if name == "is_snapshot":
        return pl.Series([_FLAGS[cell] for cell in cells], dtype=pl.Boolean)
    return pl.Series([float(cell) if cell else None for cell in cells], dtype=pl.Float64)


def in_vendor_names(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a published table's vendor columns as the CSV has them: `ask_price_0` as `asks[0].price`."""

    def vendor_name(name: str) -> str:
        side, _, rest = name.partition("_")
        field, _, level = rest.partition("_")
        return f"{side}s[{level}].{field}" if level.isdecimal() else name

    times = [name for name in frame.columns if name in _TIMES]
    return frame.with_columns(pl.col(times).to_physical()).rename(vendor_name)
