"""Receipts in the lake: one by its unit, or many at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pydantic import ValidationError

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import JSON_CONTENT, READERS, ObjectStat, TickLake
from market_data.lake.format import parse_document
from market_data.lake.keys import (
    RECEIPTS_PREFIX,
    day_of_receipt,
    parse_receipt_prefix,
    receipt_key,
    receipt_prefix,
    receipts_prefix,
)
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.consistency import contradiction_of
from market_data.receipts.receipt import Receipt

# Every version has written these, also where they say nothing: a receipt without them has lost something.
_ALWAYS_THERE = frozenset({"state", "files", "objects", "layouts"})


def load_receipt(lake: TickLake, unit: DataTypeDay) -> tuple[Receipt | None, int]:
    """Return the receipt of a unit with its generation, (None, 0) where there is none.

    Raises LakeError (permanent) for a document that is not a receipt this version can read.
    """
    key = receipt_key(unit)
    try:
        data, stat = lake.get_bytes(key)
    except LakeObjectMissing:
        return None, 0
    return _of_unit(parse_receipt(data, lake.uri(key)), unit, lake.uri(key)), stat.generation


def save_receipt(lake: TickLake, receipt: Receipt, if_generation: int) -> int:
    """Write a receipt on condition that nobody did since; return its generation. Raises LakeConflict (transient)."""
    data = _document_of(receipt)
    stat = lake.put_bytes(data, receipt_key(receipt.unit), if_generation=if_generation, content_type=JSON_CONTENT)
    return stat.generation


def _document_of(receipt: Receipt) -> bytes:
    """Return the document of a receipt, without what says nothing: most of its fields are at their defaults."""
    text = receipt.model_dump_json(exclude_defaults=True)
    missing = {name for name in _ALWAYS_THERE if getattr(receipt, name) == Receipt.model_fields[name].default}
    if missing:
        document = json.loads(text) | json.loads(receipt.model_dump_json(include=missing))
        text = json.dumps(document, separators=(",", ":"))
    return text.encode()


def parse_receipt(data: bytes, uri: str) -> Receipt:
    """Return the receipt in a document; raises LakeError (permanent) that names the document and what is wrong."""
    try:
        receipt = parse_document(Receipt, data, uri)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise _damaged(uri, f"{place}: {first['msg']}") from error
    if lost := sorted(_ALWAYS_THERE - receipt.model_fields_set):
        raise _damaged(uri, f"without {', '.join(lost)}")
    return receipt


def _damaged(uri: str, what: str) -> LakeError:
    return LakeError(
        f"{uri} is not a receipt that this version can read ({what}). It is damaged, or was not written by "
        "market_data: move it away and run the day again"
    )


def _of_unit(receipt: Receipt, unit: DataTypeDay, uri: str) -> Receipt:
    """Return a receipt that is of its key; raises LakeError (permanent) for one that was copied there, or changed."""
    if receipt.unit != unit:
        raise _damaged(uri, f"it is of {receipt.unit}")
    if contradiction := contradiction_of(receipt):
        raise _damaged(uri, contradiction)
    return receipt


def list_receipts(lake: TickLake, venue: str, data_type: DataType, first: date, last: date) -> list[ObjectStat]:
    """Return what lies where the receipts of days, both included, are kept; raises LakeError of any kind."""
    units = (DataTypeDay(venue, data_type, first), DataTypeDay(venue, data_type, last))
    first_key, last_key = map(receipt_key, units)
    return lake.list_between(receipt_prefix(venue, data_type), first_key, f"{last_key}\0")


def data_types_with_receipts(lake: TickLake, venues: Iterable[str] | None = None) -> list[tuple[str, DataType]]:
    """Return venue and data type, sorted, of the receipts of some venues (None: of all); raises LakeError of any kind.

    What a later version keeps of data types that this one does not know is left out, as by every reader.
    """
    with ThreadPoolExecutor(READERS) as pool:
        of_venues = lake.list_level(RECEIPTS_PREFIX)[0] if venues is None else map(receipts_prefix, venues)
        folders = [folder for inner, _ in pool.map(lake.list_level, of_venues) for folder in inner]
    return sorted(found for folder in folders if (found := parse_receipt_prefix(folder)) is not None)


def days_with_receipts(
    lake: TickLake, venue: str, data_type: DataType, first: date = date.min, last: date = date.max
) -> list[date]:
    """Return the days, sorted, of which the lake has receipts; raises LakeError of any kind."""
    days = (day_of_receipt(stat.key) for stat in list_receipts(lake, venue, data_type, first, last))
    return sorted(day for day in days if day is not None)
