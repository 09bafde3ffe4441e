"""What only a look at a file's bytes and rows tells: its digest, its gzip members, how it is written."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from market_data.lake.base import TickLake
from market_data.lake.keys import object_key, raw_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.receipt import Receipt

_EXPONENT = re.compile(rb"[,\n]-?[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]+[,\n]")
_TEXT_BYTES = 4 * 2**20
_PIECE_BYTES = 2**16


def facts_of(lake: TickLake, unit: DataTypeDay, symbol: str, receipt: Receipt) -> dict[str, str | float]:
    """Return the facts of a stored tick file; none of one that is not stored. Raises LakeError of any kind."""
    evidence = next((item for item in receipt.files if item.vendor_symbol == symbol), None)
    if evidence is None or evidence.outcome is not Outcome.STORED:
        return {}
    with tempfile.TemporaryDirectory(prefix="market_data-") as folder:
        path = lake.fetch_file(raw_key(unit, symbol, evidence.raw_id), Path(folder))
        with path.open("rb") as source:
            facts: dict[str, str | float] = {"md5": hashlib.file_digest(source, "md5").hexdigest()}
        text = b"".join(_beginning(path))
        facts["line_end"] = "CR LF" if b"\r" in text else "LF"
        match = _EXPONENT.search(text)
        facts["exponents"] = match[0].strip(b",\n").decode() if match else "none"
        facts["members"] = "one" if _members(path) == 1 else "several"
        if unit.data_type is DataType.OPTIONS_CHAIN and receipt.objects:
            key = object_key(receipt.known_layouts[0], receipt.objects[0].name(unit))
            median = pl.read_parquet(lake.fetch_file(key, Path(folder)), columns=["mark_iv"])["mark_iv"].median()
            if isinstance(median, float):
                facts["median_iv"] = median
    return facts


def _beginning(path: Path) -> Iterator[bytes]:
    """Yield the first megabytes of the text; the file is known to be whole gzip."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    with path.open("rb") as source:
        size = 0
        while size < _TEXT_BYTES and (piece := source.read(_PIECE_BYTES)):
            text = inflater.decompress(piece)
            size += len(text)
            yield text


def _members(path: Path) -> int:
    """Return how many gzip members a file has; two stand for more."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    with path.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            while piece and not inflater.eof:
                inflater.decompress(piece, _TEXT_BYTES)
                piece = inflater.unconsumed_tail
            if inflater.eof and (inflater.unused_data or source.read(1)):
                return 2
    return 1
