"""What lies under a unit's folders: observed, and deleted on the generation that was observed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from market_data.errors import LakeConflict, LakeError
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.keys import LAYOUTS, failed_prefix, object_prefix, raw_key, raw_prefix, staging_prefix
from market_data.receipts.receipt import Receipt

_LOG = logging.getLogger(__name__)


def observe(
    lake: TickLake, known: Receipt, instrument_types: Iterable[str] = (), layouts: Iterable[str] = ()
) -> dict[str, ObjectStat]:
    """Return what is under the unit's folders, by key, with checksums wherever they can matter.

    Looks also where only an earlier attempt can have written: in all layouts, for all instrument types known of.
    """
    types = {*instrument_types, *(item.instrument_type for item in known.objects)}
    types |= {file.instrument_type for file in known.files}
    types |= {instrument_type for removal in known.removals for instrument_type in removal.instrument_types}
    prefixes = [raw_prefix(known.unit), failed_prefix(known.unit), staging_prefix(known.unit)]
    for layout in dict.fromkeys((*LAYOUTS, *layouts, *known.known_layouts)):
        prefixes += [object_prefix(layout, known.unit, instrument_type) for instrument_type in sorted(types)]
    observed = {stat.key: stat for prefix in prefixes for stat in lake.list_objects(prefix)}
    settled = _settled_checksums(known)
    if any(stat.crc32c is None and settled.get(stat.key, (0, ""))[0] != stat.generation for stat in observed.values()):
        # a local lake reads bytes for a checksum: only where the receipt does not know these very writes
        return {stat.key: stat for stat in lake.list_folders(prefixes, with_crc32c=True)}
    return {key: stat if stat.crc32c else replace(stat, crc32c=settled[key][1]) for key, stat in observed.items()}


def _settled_checksums(receipt: Receipt) -> dict[str, tuple[int, str]]:
    settled = {
        key: (item.generations[layout], item.crc32c)
        for item in receipt.objects
        for layout, key in item.object_keys(receipt.unit).items()
    }
    for file in receipt.files:
        if file.generation is not None and file.crc32c is not None:
            settled[raw_key(receipt.unit, file.vendor_symbol, file.raw_id)] = (file.generation, file.crc32c)
    return settled


def delete_observed(lake: TickLake, key: str, generation: int | None = None) -> bool:
    """Delete an object unless it has another generation by now; says whether it is gone.

    Raises LakeUnavailable (transient).
    A lock, or a right that is missing, is logged: `market-data doctor` tells of it, and what no receipt names harms no
    reader.
    """
    try:
        lake.delete(key, if_generation=generation)
    except LakeConflict:
        return True  # changed since: it is another writer's now
    except LakeError as error:
        if error.is_transient:
            raise
        _LOG.warning("what no receipt names any more stays: %s", error)
        return False
    return True
