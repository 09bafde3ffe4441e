"""The use case: learn from the vendor what a venue listed on a day, and keep both the answer and the universe.

The vendor's answer is kept in the lake as it was, so that a backfill asks once for each venue and vendor day.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta

from market_data.errors import AnswerDamaged, LakeObjectMissing, VendorNotReady
from market_data.lake.base import TickLake
from market_data.universe.answers import VendorAnswer, load_answer, load_newest_answer, save_answer
from market_data.universe.rules import Selection, Universe, instruments_on
from market_data.universe.table import read_universe
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
            universes = universes_of(lake, kept, days, selection)
            if not any(universe.doubt for universe in universes):
                return universes
    before = newest_answer(lake, venue)
    answer = VendorAnswer(venue, today, await client.exchange(venue), await client.instruments(venue))
    universes = universes_of(lake, answer, days, selection)
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


def newest_answer(lake: TickLake, venue: str) -> VendorAnswer | None:
    """Return the newest answer that the lake keeps; None where it keeps none, or a damaged one, which is told."""
    try:
        newest = load_newest_answer(lake, venue)
    except AnswerDamaged as error:
        _LOG.warning("%s", error)
        return None
    return newest


def universes_of(
    lake: TickLake, answer: VendorAnswer, days: Sequence[date], selection: Selection
) -> tuple[Universe, ...]:
    """Return what a venue listed on each day, as one answer of the vendor's says; raises as `learn_universes`."""
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
        return read_universe(lake, universe.venue, universe.day - timedelta(days=1), ("instrument_key",)).height
    except LakeObjectMissing:
        return 0


def _universe(answer: VendorAnswer, day: date, selection: Selection) -> Universe:
    definitions, unreadable = definitions_on(answer.instruments, day)
    universe = instruments_on(answer.venue, answer.exchange, day, selection, definitions, asked=answer.asked)
    if not unreadable:
        return universe
    note = (
        f"{unreadable} of the vendor's instrument definitions cannot be read: what they add to the symbols is unknown"
    )
    return replace(universe, notes=(*universe.notes, note))
