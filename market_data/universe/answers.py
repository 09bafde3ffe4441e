"""What the vendor said about a venue, kept in the lake by the day it was asked."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from market_data.errors import ConfigurationError, VendorError
from market_data.lake.base import TickLake
from market_data.lake.keys import vendor_answer_key
from market_data.universe.rules import ExportBounds, export_bounds
from market_data.vendor.client import TardisClient


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What the vendor said about a venue (`/exchanges/:exchange`) on the day `asked`."""

    venue: str
    asked: date
    exchange: Mapping[str, Any]

    @property
    def bounds(self) -> ExportBounds:
        """Up to which day the venue was exported when the vendor was asked, and whether it has ended."""
        return export_bounds(self.venue, self.exchange, self.asked)


def load_answer(lake: TickLake, venue: str) -> VendorAnswer | None:
    """Return the vendor's newest answer that the lake keeps of a venue; raises LakeError of any kind."""
    folder = vendor_answer_key(venue, date.min).rpartition("/")[0]
    keys = [stat.key for stat in lake.list_objects(f"{folder}/")]
    if not keys:
        return None
    asked = date.fromisoformat(max(keys).rpartition("asked=")[2].removesuffix(".json.gz"))
    document = json.loads(gzip.decompress(lake.get_bytes(max(keys))[0]))
    return VendorAnswer(venue, asked, document["exchange"])


async def learn_answer(
    lake: TickLake, client: TardisClient | None, venue: str, last_day: date, today: date
) -> VendorAnswer:
    """Return the kept answer where it knows the last day or is of today, else ask the vendor (no key, nothing kept).

    A kept answer stands in where the vendor cannot be asked (no `client`, or it fails). Raises ConfigurationError
    (permanent) where there is neither, VendorError of any kind where nothing is kept and the vendor failed.
    """
    kept = load_answer(lake, venue)
    if kept is not None and (client is None or kept.asked == today or kept.bounds.has_settled(last_day)):
        return kept
    if client is None:
        raise ConfigurationError(
            f"{venue}: the lake {lake.url} keeps no answer of its vendor about this venue, and the settings name "
            "another vendor: set MARKET_DATA_VENDOR and TARDIS_API_URL to the one the lake is filled from"
        )
    try:
        return VendorAnswer(venue, today, await client.exchange(venue))
    except VendorError:
        if kept is None:
            raise
        return kept
