"""What the vendor said about a venue, kept in the lake by the day it was asked."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel

from market_data.errors import AnswerDamaged, ConfigurationError, VendorError
from market_data.lake.base import GZIP_CONTENT, TickLake
from market_data.lake.keys import asked_of_answer, vendor_answer_key, vendor_answer_prefix
from market_data.universe.listing import ExportBounds, export_bounds
from market_data.vendor.client import TardisClient


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What the vendor said about a venue on the day `asked`: `/exchanges/:exchange` and `/instruments/:exchange`.

    `instruments` is None where the account may not see them, or nobody asked.
    """

    venue: str
    asked: date
    exchange: Mapping[str, Any]
    instruments: Sequence[Mapping[str, Any]] | None = None

    @property
    def bounds(self) -> ExportBounds:
        """Up to which day the venue was exported when the vendor was asked, and whether it has ended."""
        return export_bounds(self.venue, self.exchange, self.asked)


class _Kept(BaseModel):
    exchange: dict[str, Any]
    instruments: list[Any] | None


def load_answer(lake: TickLake, venue: str, asked: date) -> VendorAnswer:
    """Return the answer that the lake keeps of a day; raises LakeError of any kind."""
    key = vendor_answer_key(venue, asked)
    data, _ = lake.get_bytes(key)
    try:
        kept = _Kept.model_validate(json.loads(gzip.decompress(data)))
    except (RecursionError, OSError, EOFError, ValueError, zlib.error) as error:
        raise AnswerDamaged(
            f"{lake.uri(key)} is no answer of the vendor's that was kept ({error!r}): delete it, and it is asked again"
        ) from error
    return VendorAnswer(venue, asked, kept.exchange, kept.instruments)


def save_answer(lake: TickLake, answer: VendorAnswer) -> None:
    """Keep an answer as it was; the same answer gives the same bytes. Raises LakeError of any kind."""
    try:
        document = json.dumps({"exchange": answer.exchange, "instruments": answer.instruments}).encode()
    except RecursionError as error:
        raise VendorError(f"details of {answer.venue}: the vendor's answer is nested too deep to be kept") from error
    key = vendor_answer_key(answer.venue, answer.asked)
    lake.put_bytes(gzip.compress(document, mtime=0), key, content_type=GZIP_CONTENT)


def load_newest_answer(lake: TickLake, venue: str) -> VendorAnswer | None:
    """Return the vendor's newest answer that the lake keeps of a venue; raises LakeError of any kind."""
    kept = [asked_of_answer(stat.key) for stat in lake.list_objects(vendor_answer_prefix(venue))]
    newest = max((asked for asked in kept if asked), default=None)
    return load_answer(lake, venue, newest) if newest else None


async def learn_answer(
    lake: TickLake, client: TardisClient | None, venue: str, last_day: date, today: date
) -> VendorAnswer:
    """Return the kept answer where it knows the last day or is of today, else ask the vendor (no key, nothing kept).

    A kept answer stands in where the vendor cannot be asked (no `client`, or it fails). Raises ConfigurationError
    (permanent) where there is neither, VendorError of any kind where nothing is kept and the vendor failed.
    """
    kept = load_newest_answer(lake, venue)
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
