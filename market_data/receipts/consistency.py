"""What contradicts itself in a receipt that a hand, or a disk, has changed: nobody must believe it. Pure.

The writer keeps all of this (`ingest/publish.py`), so a receipt that does not was not left so by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt, State


def contradiction_of(receipt: Receipt) -> str | None:
    """Return the first contradiction between the fields of a receipt, None where there is none."""
    if twice := _twice(file.vendor_symbol for file in receipt.files):
        return f"the file {twice} stands in it twice"
    if twice := _twice(f"{item.instrument_type} {item.stem}" for item in receipt.objects):
        return f"the object {twice} stands in it twice"
    if twice := _twice(receipt.layouts):
        return f"the layout {twice} stands in it twice"
    items: tuple[FileEvidence | PublishedObject, ...] = (*receipt.files, *receipt.objects)
    for item in items:
        if fault := _fault_of_key(receipt, item):
            return fault
    for file in receipt.files:
        if fault := _fault_of_rows(file):
            return f"{file.vendor_symbol} {fault}"
    is_whole = receipt.state == State.COMMITTED and receipt.claim is None and not receipt.open_files
    return _fault_of_publication(receipt) if is_whole else None


def _twice(names: Iterable[str]) -> str | None:
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    return name if count > 1 else None


def _fault_of_key(receipt: Receipt, item: FileEvidence | PublishedObject) -> str | None:
    if item.instrument_key is None:
        return None
    venue, instrument_type, _ = parse_instrument_key(item.instrument_key)
    if (venue, instrument_type) == (receipt.venue, item.instrument_type):
        return None
    return f"{item.vendor_symbol} is {item.instrument_key}, but of {receipt.venue} and {item.instrument_type}"


def _fault_of_rows(file: FileEvidence) -> str | None:
    if file.outcome is Outcome.STORED:
        return None if file.rows else "is stored, and has no rows"
    is_without = file.outcome in {Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED, Outcome.WAIVED, Outcome.REMOVED}
    if is_without and (file.rows or file.stats is not None or file.first_local_timestamp is not None):
        return f"is {file.outcome}, and has rows"
    return None


def _fault_of_publication(receipt: Receipt) -> str | None:
    """Return what is wrong between the files of a whole unit and what is published of them."""
    stored = {file.vendor_symbol: file for file in receipt.files if file.outcome is Outcome.STORED}
    keys = {item.instrument_key for item in receipt.objects if item.instrument_key is not None}
    by_name = {parse_instrument_key(key)[1:]: key for key in keys}
    for item in receipt.objects:
        if fault := _fault_of_object(receipt, stored, item):
            return f"the object {item.stem} {fault}"
        named = by_name.get((item.instrument_type, item.stem), item.instrument_key)
        if item.instrument_key is not None and named != item.instrument_key:
            return f"the object {item.stem} has the name of {named}, and is of {item.instrument_key}"
    if receipt.unpublished_files:
        file = receipt.unpublished_files[0]
        rows = sum(item.rows for item in receipt.objects if item.vendor_symbol == file.vendor_symbol)
        return f"{file.vendor_symbol} has {file.rows} rows, its objects have {rows}"
    return None


def _fault_of_object(receipt: Receipt, stored: Mapping[str, FileEvidence], item: PublishedObject) -> str | None:
    file = stored.get(item.vendor_symbol)
    if file is None:
        return f"is of {item.vendor_symbol}, which is no stored file of it"
    if (item.instrument_type, item.instrument_key) != (file.instrument_type, file.instrument_key):
        kind = item.instrument_key or item.instrument_type
        return f"is of {kind}, its file of {file.instrument_key or file.instrument_type}"
    if lacking := set(receipt.known_layouts) - item.generations.keys():
        return f"is not in {min(lacking)}"
    return None
