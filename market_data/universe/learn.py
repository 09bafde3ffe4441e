"""The use case: learn from the vendor what a venue listed on a day, and keep both the answer and the universe.

The vendor's answer is kept in the lake as it was, so that a backfill asks once for each venue and vendor day.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from market_data.errors import AnswerDamaged, LakeObjectMissing, VendorNotReady
from market_data.lake.base import PARQUET_CONTENT, ObjectStat, TickLake
from market_data.lake.keys import combined_universe_key, universe_key
from market_data.universe.answers import VendorAnswer, load_answer, load_newest_answer, save_answer
from market_data.universe.rules import UNIVERSE_SCHEMA, Selection, Universe, instruments_on
from market_data.vendor.client import TardisClient
from market_data.vendor.metadata import definitions_on

_LOG = logging.getLogger(__name__)
# A venue with fewer instruments may well list none for a day.
_MANY = 10


async def learn_universes(
    lake: TickLake, client: TardisClient, venue: str, days: Sequence[date], selection: Selection, *, today: date
) -> tuple[Universe, ...]:
    """Return what a venue listed on each day, from the one answer kept today, or else by asking the vendor.

    An answer that lists nothing where the lake knows that much was listed the day before is asked for again; where it
    says so again, the universe has a `doubt`. Raises VendorNotReady, VendorUnavailable (transient); VendorError
    (permanent).
    """
    kept = _kept_answer(lake, venue, today)
    if kept is not None:
        with suppress(VendorNotReady):  # the day may have been exported since
            universes = _universes(lake, kept, days, selection)
            if not any(universe.doubt for universe in universes):
                return universes
    before = _newest_answer(lake, venue)
    answer = VendorAnswer(venue, today, await client.exchange(venue), await client.instruments(venue))
    universes = _universes(lake, answer, days, selection)
    save_answer(lake, answer)
    until = answer.bounds.exported_until
    if before is not None and before.bounds.exported_until > until:
        note = (
            f"on {before.asked} the vendor said that {venue} is exported until {before.bounds.exported_until}, now it "
            f"says until {until}: days between may have been taken back"
        )
        universes = tuple(replace(universe, notes=(*universe.notes, note)) for universe in universes)
    return universes


def _kept_answer(lake: TickLake, venue: str, asked: date) -> VendorAnswer | None:
    """Return the answer of a day that the lake keeps; None where it keeps none, or a damaged one: it is asked again."""
    try:
        return load_answer(lake, venue, asked)
    except LakeObjectMissing:
        return None
    except AnswerDamaged as error:
        _LOG.warning("%s", error)
        return None


def _newest_answer(lake: TickLake, venue: str) -> VendorAnswer | None:
    try:
        newest = load_newest_answer(lake, venue)
    except AnswerDamaged as error:
        _LOG.warning("%s", error)
        return None
    return newest


def _universes(
    lake: TickLake, answer: VendorAnswer, days: Sequence[date], selection: Selection
) -> tuple[Universe, ...]:
    return tuple(_with_doubt(lake, _universe(answer, day, selection), answer) for day in days)


def _with_doubt(lake: TickLake, universe: Universe, answer: VendorAnswer) -> Universe:
    """Doubt an empty universe of a venue that has not ended: of no symbol at all, or a day after one with many."""
    ended = answer.bounds.ended
    if universe.listed or (ended is not None and universe.day >= ended):
        return universe
    doubt = None
    if not answer.exchange["datasets"].get("symbols"):
        doubt = f"the vendor lists not one symbol of {universe.venue}, which it still collects: it is asked again"
    elif (many := _listed_before(lake, universe)) >= _MANY:
        doubt = (
            f"the vendor lists no instrument of {universe.venue} on {universe.day}, and listed {many} on the day "
            "before: it is asked again"
        )
    return replace(universe, doubt=doubt)


def _listed_before(lake: TickLake, universe: Universe) -> int:
    try:
        data, _ = lake.get_bytes(universe_key(universe.venue, universe.day - timedelta(days=1)))
    except LakeObjectMissing:
        return 0
    return pl.read_parquet(io.BytesIO(data)).height


def _universe(answer: VendorAnswer, day: date, selection: Selection) -> Universe:
    definitions, unreadable = definitions_on(answer.instruments, day)
    universe = instruments_on(answer.venue, answer.exchange, day, selection, definitions, asked=answer.asked)
    if not unreadable:
        return universe
    note = (
        f"{unreadable} of the vendor's instrument definitions cannot be read: what they add to the symbols is unknown"
    )
    return replace(universe, notes=(*universe.notes, note))


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
