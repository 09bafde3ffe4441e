"""The use case: learn from the vendor what a venue listed on a day, and keep both the answer and the universe.

The vendor's answer is kept in the lake as it was, so that a backfill asks once for each venue and vendor day.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl

from market_data.errors import LakeObjectMissing, VendorNotReady
from market_data.lake.base import PARQUET_CONTENT, ObjectStat, TickLake
from market_data.lake.keys import combined_universe_key, universe_key
from market_data.model.instruments import file_symbol
from market_data.universe.answers import VendorAnswer, load_answer, save_answer
from market_data.universe.rules import UNIVERSE_SCHEMA, Selection, Universe, instruments_on
from market_data.vendor.client import TardisClient


async def learn_universes(
    lake: TickLake, client: TardisClient, venue: str, days: Sequence[date], selection: Selection, *, today: date
) -> tuple[Universe, ...]:
    """Return what a venue listed on each day, from the one answer kept today, or else by asking the vendor.

    Raises VendorNotReady, VendorUnavailable (transient); VendorError (permanent).
    """
    try:
        kept = load_answer(lake, venue, today)
        return tuple(_universe(kept, day, selection) for day in days)
    except (LakeObjectMissing, VendorNotReady):
        # nothing kept today, or the day was exported since
        answer = VendorAnswer(venue, today, await client.exchange(venue), await client.instruments(venue))
        universes = tuple(_universe(answer, day, selection) for day in days)
        save_answer(lake, answer)
        return universes


def _universe(answer: VendorAnswer, day: date, selection: Selection) -> Universe:
    definitions = _definitions_on(answer.instruments, day)
    return instruments_on(answer.venue, answer.exchange, day, selection, definitions, asked=answer.asked)


def _definitions_on(instruments: Sequence[Mapping[str, Any]] | None, day: date) -> dict[str, Mapping[str, Any]]:
    """Return the vendor's definition of each instrument as it held on a day, by vendor symbol.

    `changes` lists old values until an instant, oldest first (docs.tardis.dev, instruments metadata API).
    """
    day_start = datetime.combine(day, time(), UTC)
    definitions: dict[str, Mapping[str, Any]] = {}
    for instrument in instruments or ():
        held = dict(instrument)
        for change in reversed(instrument.get("changes", ())):
            if datetime.fromisoformat(change["until"]) > day_start:
                held |= change
        definitions[file_symbol(instrument.get("datasetId") or instrument["id"])] = held
    return definitions


def universe_frame(universe: Universe) -> pl.DataFrame:
    """Return one row for each instrument the venue listed that day, sorted by vendor symbol."""
    rows = [
        {
            "instrument_key": item.instrument_key,
            "venue": item.venue,
            "vendor_symbol": item.vendor_symbol,
            "instrument_type": item.instrument_type,
            "base": item.parsed.base,
            "quote": item.parsed.quote,
            "settlement_asset": item.parsed.settlement_asset,
            "expiry": item.parsed.expiry,
            "strike": item.parsed.strike,
            "option_type": item.parsed.option_type,
            "is_inverse": item.parsed.is_inverse,
            "contract_multiplier": item.contract_multiplier,
            "amount_unit": item.parsed.amount_unit,
            "tick_size": item.tick_size,
            "data_types": [data_type.value for data_type in item.data_types],
            "first_day": item.first_day,
            "last_day": item.last_day,
            "key_source": item.key_source.value,
        }
        for item in universe.listed
    ]
    return pl.DataFrame(rows, schema=UNIVERSE_SCHEMA)


def store_universe(lake: TickLake, universe: Universe) -> ObjectStat:
    """Write `instruments.parquet` of a venue-day, unless the lake holds these very bytes already."""
    return _store_frame(lake, universe_key(universe.venue, universe.day), universe_frame(universe))


def combine_universes(lake: TickLake, venues: Iterable[str], day: date) -> tuple[ObjectStat, pl.DataFrame, list[str]]:
    """Write the instruments of all venues on a day as one table, sorted by venue and vendor symbol.

    Returns the object, the table, and the venues whose universe of that day the lake does not hold.
    """
    frames, missing = [pl.DataFrame(schema=UNIVERSE_SCHEMA)], []
    for venue in sorted(venues):
        try:
            frames.append(
                pl.read_parquet(io.BytesIO(lake.get_bytes(universe_key(venue, day))[0])).select(*UNIVERSE_SCHEMA)
            )
        except LakeObjectMissing:
            missing.append(venue)
    combined = pl.concat(frames)
    return _store_frame(lake, combined_universe_key(day), combined), combined, missing


def _store_frame(lake: TickLake, key: str, frame: pl.DataFrame) -> ObjectStat:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    data = buffer.getvalue()
    held = lake.stat(key)
    if held is not None and lake.get_bytes(key)[0] == data:
        return held
    return lake.put_bytes(data, key, content_type=PARQUET_CONTENT)
