"""The use case: ask the vendor what needs no key, and take files of free days through the pipeline to a scratch lake.

Nothing but first days of months is fetched, no key is ever sent. Which file of a venue and data type is taken depends
on its length, which its headers tell: the shortest of a few, or the longest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from market_data.accept.evidence import Evidence, FileSeen, VenueSeen
from market_data.accept.facts import facts_of
from market_data.errors import MarketDataError, VendorError
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS
from market_data.model.data_types import DataType
from market_data.model.instruments import OPTION
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.model.venues import exchange_id_of
from market_data.universe.learn import learn_universes
from market_data.universe.listing import GROUP_TYPES, export_bounds
from market_data.universe.rules import Selection, Universe
from market_data.vendor.answer import Answer
from market_data.vendor.client import TardisClient
from market_data.vendor.probe import Probe
from market_data.vendor.wire import plain_number

# Files whose headers are looked at, for each venue, data type and day.
_CANDIDATES = 4
_OK = 200
_NO_SYMBOL = "NO-SUCH-SYMBOL"
_OPTIONS = next(name for name, kind in GROUP_TYPES.items() if kind == OPTION)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be seen: venues, so many first days of months of each, and files up to a length."""

    venues: Sequence[str]
    free_days: int = 1
    has_largest: bool = False
    most_bytes: int = 50 * 10**6


def observe(
    lake: TickLake,
    open_probe: Callable[[], Probe],
    open_client: Callable[[], TardisClient],
    wish: Wish,
    tell: Callable[[str], None],
) -> Evidence:
    """Return what is seen of the vendor; `tell` is given a line for each venue. Raises LakeError of any kind."""
    watch = _Watch(lake, open_probe, open_client, wish)
    exchanges = asyncio.run(watch.ask_list())
    venues: list[VenueSeen] = []
    files: list[FileSeen] = []
    refusals: list[tuple[str, Answer]] = []
    for venue in wish.venues:
        for seen, probed, refused in watch.look_at(venue):
            chosen = watch.choose(probed)
            taken = [watch.take(seen.universe, file) if seen.universe and file in chosen else file for file in probed]
            venues.append(seen)
            files += taken
            refusals += refused
            what = seen.error or f"{sum(file.evidence is not None for file in taken)} of {len(taken)} files taken"
            tell(f"{venue} {seen.day or ''}: {what}")
    return Evidence(exchanges, venues, files, refusals)


@dataclass(frozen=True, slots=True)
class _Watch:
    lake: TickLake
    open_probe: Callable[[], Probe]
    open_client: Callable[[], TardisClient]
    wish: Wish

    async def ask_list(self) -> Answer:
        async with self.open_probe() as probe:
            return await probe.metadata("exchanges")

    def look_at(self, venue: str) -> Iterator[tuple[VenueSeen, list[FileSeen], list[tuple[str, Answer]]]]:
        """Yield what is seen of a venue on each free day, with the files that were probed, and the refusals."""
        seen = asyncio.run(self._ask_venue(venue))
        try:
            days = self._free_days(seen)
        except MarketDataError as error:
            yield replace(seen, error=str(error)), [], []
            return
        if not days:
            yield replace(seen, error="no first day of a month is exported"), [], []
        for day in days:
            yield asyncio.run(self._probe(replace(seen, day=day), day, is_first=day == days[0]))

    async def _ask_venue(self, venue: str) -> VenueSeen:
        async with self.open_probe() as probe:
            paths = [f"{kind}/{exchange_id_of(venue)}" for kind in ("exchanges", "instruments")]
            details, instruments = await asyncio.gather(*map(probe.metadata, paths))
            return VenueSeen(venue, details, instruments)

    def _free_days(self, seen: VenueSeen) -> list[date]:
        details = seen.details.value
        if not isinstance(details, dict):
            raise VendorError(f"no details of the venue: {seen.details}")
        bounds = export_bounds(seen.venue, details)
        until = min(bounds.exported_until, bounds.ended or bounds.exported_until)
        return list(islice(_first_days_before(until), self.wish.free_days))

    async def _probe(
        self, seen: VenueSeen, day: date, *, is_first: bool
    ) -> tuple[VenueSeen, list[FileSeen], list[tuple[str, Answer]]]:
        everything = Selection(tuple(DataType))
        async with self.open_probe() as probe, self.open_client() as client:
            try:
                (universe,) = await learn_universes(
                    self.lake, client, seen.venue, (day,), everything, today=datetime.now(UTC).date()
                )
            except MarketDataError as error:
                return replace(seen, error=str(error)), [], []
            found: list[FileSeen] = []
            for data_type in DataType:
                candidates = list(_candidates(universe, data_type, has_largest=self.wish.has_largest))
                answers = await asyncio.gather(*(probe.headers(client.tick_file_url(file)) for file in candidates))
                found += [
                    FileSeen(seen.venue, data_type, day, file.vendor_symbol, answer)
                    for file, answer in zip(candidates, answers, strict=True)
                ]
            refusals = await _ask_for_refusals(probe, client, seen, universe) if is_first else []
        return replace(seen, universe=universe), found, refusals

    def choose(self, found: Sequence[FileSeen]) -> list[FileSeen]:
        """Return, of each data type, the file to take: the shortest or the longest that is short enough."""
        by_length = max if self.wish.has_largest else min
        fit = [file for file in found if 0 <= _length(file) <= self.wish.most_bytes]
        of_types = ([file for file in fit if file.data_type == data_type] for data_type in DataType)
        return [by_length(files, key=_length) for files in of_types if files]

    def take(self, listed: Universe, file: FileSeen) -> FileSeen:
        """Take a file through the pipeline; give what became of it."""
        data_type, unit = DataType(file.data_type), DataTypeDay(file.venue, DataType(file.data_type), file.day)
        selection = Selection((data_type,), include=(_exactly(file.symbol),), prefer_grouped=())
        if file.symbol in GROUP_TYPES:
            selection = Selection((data_type,), (GROUP_TYPES[file.symbol],), prefer_grouped=(file.symbol,))
        universe = _narrowed(listed, selection)
        venue_day = VenueDay(universe, selection, (data_type,), LAYOUTS[:1], "accept", "accept")
        (result,) = ingest_venue_day(self.lake, self.open_client, venue_day)
        evidence = next((item for item in result.receipt.files if item.vendor_symbol == file.symbol), None)
        return replace(file, evidence=evidence, facts=facts_of(self.lake, unit, file.symbol, result.receipt))


def _narrowed(universe: Universe, selection: Selection) -> Universe:
    """Return a universe with what a selection of one file takes of it."""
    wanted = {pattern.replace("[[]", "[") for pattern in selection.include}
    selected = tuple(
        item
        for item in universe.listed
        if (item.vendor_symbol in wanted if wanted else item.instrument_type in selection.instrument_types)
    )
    return replace(universe, selected=selected, unreadable=())


def _exactly(symbol: str) -> str:
    return symbol.replace("[", "[[]")


def _length(file: FileSeen) -> int:
    """Return the length that a file's headers tell, -1 where there is no file or no length."""
    told = plain_number(file.answer.headers.get("content-length", ""))
    return told if file.answer.status == _OK and told is not None else -1


def _first_days_before(until: date) -> Iterator[date]:
    day = (until - timedelta(days=1)).replace(day=1)
    while True:
        yield day
        day = (day - timedelta(days=1)).replace(day=1)


def _candidates(universe: Universe, data_type: DataType, *, has_largest: bool) -> Iterator[TickFile]:
    """Yield a few files of a data type that the venue offers that day: the best known assets are the longest files."""
    unit = DataTypeDay(universe.venue, data_type, universe.day)
    if data_type in universe.group_data_types.get(_OPTIONS, ()) and data_type is DataType.OPTIONS_CHAIN:
        yield TickFile(unit, _OPTIONS, OPTION, None)
        return
    offered = [item for item in universe.listed if data_type in item.data_types]
    known = [item for item in offered if item.parsed.base in {"BTC", "ETH"}]
    others = [item for item in offered if item.parsed.base not in {"BTC", "ETH"}]
    # of each kind one at least: spot pairs and options have formats of their own
    ordered = (known + others) if has_largest else [*known[:1], *others[:: max(1, len(others) // _CANDIDATES)]]
    for item in ordered[:_CANDIDATES]:
        yield TickFile(
            unit, item.vendor_symbol, item.instrument_type, item.instrument_key, expires_at=item.parsed.expiry
        )


async def _ask_for_refusals(
    probe: Probe, client: TardisClient, seen: VenueSeen, universe: Universe
) -> list[tuple[str, Answer]]:
    """Return what the vendor answers to what it should refuse."""
    item = next((item for item in universe.listed if item.data_types), None)
    if item is None:
        return []

    def file(data_type: Any, day: date, symbol: str = item.vendor_symbol) -> TickFile:
        return TickFile(DataTypeDay(seen.venue, data_type, day), symbol, item.instrument_type, item.instrument_key)

    data_type, day = item.data_types[0], universe.day
    next_first = (universe.exported_until + timedelta(days=32)).replace(day=1)
    wanted = {
        "a day that is not free": file(data_type, day + timedelta(days=1)),
        "a symbol that is none": file(data_type, day, _NO_SYMBOL),
        "a day that is not exported": file(data_type, next_first),
    }
    if (ended := _ended_on_a_first(seen, universe.exported_until)) is not None:
        wanted["the day availableTo"] = file(*ended)
    answers = await asyncio.gather(*(probe.headers(client.tick_file_url(one)) for one in wanted.values()))
    return list(zip(wanted, answers, strict=True))


def _ended_on_a_first(seen: VenueSeen, until: date) -> tuple[str, date, str] | None:
    """Return data type, day and symbol of something whose availability ended on the first day of a month."""
    for row in seen.rows:
        end, types = str(row.get("availableTo"))[:10], row.get("dataTypes")
        if not (end.endswith("-01") and isinstance(types, list) and types):
            continue
        with suppress(ValueError):  # told elsewhere as no day
            if (day := date.fromisoformat(end)) < until:
                return str(types[0]), day, str(row.get("id"))
    return None
