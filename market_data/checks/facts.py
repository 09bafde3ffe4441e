"""The use case: read back what the lake holds of one unit, for the rules in `checks/rules.py` to judge.

Looks only at the lake (receipt, listing, Parquet footers), never at what a run remembers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from market_data.checks.footer import read_footer
from market_data.checks.rules import HeldObject, UnitFacts
from market_data.lake.base import READERS, TickLake
from market_data.lake.keys import LAYOUTS, object_prefix
from market_data.model.instruments import INSTRUMENT_TYPES
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt

_LOOKS = 3


def observe_unit(lake: TickLake, unit: DataTypeDay, *, has_footers: bool = True) -> UnitFacts:
    """Return what the lake holds of a unit; raises LakeError (permanent) or LakeUnavailable (transient).

    Without footers (one request each) for rules that judge keys, sizes and checksums only. A unit of which something is
    not there is looked at again when it was published anew meanwhile.
    """
    for _ in range(_LOOKS):
        receipt, generation = load_receipt(lake, unit)
        if receipt is None:
            return UnitFacts(unit, None, {}, {})
        facts = _observe(lake, receipt, has_footers=has_footers)
        promised = {key for item in receipt.objects for key in item.object_keys(unit).values()}
        is_whole = promised <= facts.held.keys() and (not has_footers or len(facts.footers) == len(receipt.objects))
        if is_whole or load_receipt(lake, unit)[1] == generation:
            break
    return facts


def _observe(lake: TickLake, receipt: Receipt, *, has_footers: bool) -> UnitFacts:
    unit = receipt.unit
    # a receipt that names nothing may have lost what is there
    types = {file.instrument_type for file in receipt.files} | {item.instrument_type for item in receipt.objects}
    layouts = receipt.known_layouts or LAYOUTS
    prefixes = [
        object_prefix(layout, unit, instrument_type)
        for layout in layouts
        for instrument_type in sorted(types or INSTRUMENT_TYPES)
    ]
    first_keys = [key for item in receipt.objects for key in list(item.object_keys(unit).values())[:1]]
    with ThreadPoolExecutor(READERS) as pool:
        listings = list(pool.map(partial(lake.list_objects, with_crc32c=True), prefixes))
        held = {stat.key: HeldObject(stat.size_bytes, stat.crc32c or "") for stats in listings for stat in stats}
        present = [key for key in first_keys if has_footers and key in held]
        read = zip(present, pool.map(partial(read_footer, lake), present), strict=True)
        footers = {key: footer for key, footer in read if footer is not None}
    return UnitFacts(unit, receipt, held, footers)
