"""Which days are launched because the vendor has exported them; what the sensor `new_days` and its schedule do."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta

import dagster as dg
from pydantic import Field

from market_data.defs.resources import VendorResource
from market_data.defs.runs import NEW_DAY_PRIORITY, KnownRuns, is_attempt, request_venue_day
from market_data.errors import MarketDataError, VendorQuotaExceeded
from market_data.lake.base import TickLake
from market_data.operate.alerts import VenueLook
from market_data.operate.automation import LookMemory, choose_new_days
from market_data.receipts.store import days_with_receipts
from market_data.settings.environment import Settings
from market_data.universe.listing import ExportBounds, export_bounds
from market_data.vendor.quota import refuse_beyond_quota

# Dagster ends a look after 60 s and forgets all of it.
_ASK_SECONDS = 20.0
_LISTS_AT_ONCE = 16
_LISTED = timedelta(days=45)


class NewDaysCursor(LookMemory):
    """What a look leaves to the next one, and to who asks which venues are late.

    `unanswered` are the venues without an answer, `looks` what was found of each venue when it was last looked at.
    """

    unanswered: list[str] = Field(default_factory=list)
    looks: dict[str, VenueLook] = Field(default_factory=dict)


class NewDays:
    """One look at what each venue has exported; `cursor` is what it leaves to the next one.

    All are asked at once, those without an answer last, under one deadline: what is known by then is what is launched.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        lake: TickLake,
        vendor: VendorResource,
        known: NewDaysCursor,
        *,
        ask_seconds: float = _ASK_SECONDS,
    ) -> None:
        self._settings = settings
        self._lake = lake
        self._vendor = vendor
        self._runs = KnownRuns(instance)
        self._ask_seconds = ask_seconds
        self.cursor = known.model_copy()

    def launch(self, now: datetime) -> Iterator[dg.RunRequest | str]:
        """Yield a request for each new day, and a sentence for each venue without one."""
        config = self._settings.config
        try:
            refuse_beyond_quota(self._lake, config.limits.run_limits.daily_quota_bytes, now, is_history=False)
        except VendorQuotaExceeded as error:
            yield f"no new day is launched today: {error}"
            return
        newest = config.newest_day(now.date())
        with ThreadPoolExecutor(_LISTS_AT_ONCE) as pool:
            tried = dict(
                zip(
                    config.venues,
                    pool.map(lambda venue: self._newest_tried(venue, now.date()), config.venues),
                    strict=True,
                )
            )
        behind = [venue for venue, day in tried.items() if day is None or day < newest]
        # the first of those without an answer may have held the connections that the others waited for
        again = [venue for venue in reversed(self.cursor.unanswered) if venue in behind]
        said = asyncio.run(self._ask([*(venue for venue in behind if venue not in again), *again]))
        self.cursor.unanswered = [venue for venue, answer in said.items() if answer is None]
        self.cursor.looks = {}
        for venue, day in tried.items():
            answer, look = said.get(venue), VenueLook(at=now, newest_day=newest, newest_tried=day)
            self.cursor.looks[venue] = self._tell_look(look, answer) if venue in said else look
            if venue not in said:
                yield f"{venue}: {day} is tried, and no newer day has ended"
            elif isinstance(answer, ExportBounds):
                yield from self._launch_venue(venue, min(answer.exported_until, newest + timedelta(days=1)), day)
            else:
                yield f"{venue}: {self._describe(answer)}; it is asked again in the next look"

    def _tell_look(self, look: VenueLook, answer: ExportBounds | MarketDataError | None) -> VenueLook:
        if isinstance(answer, ExportBounds):
            return look.model_copy(update={"exported_until": answer.exported_until, "ended_on": answer.ended})
        return look.model_copy(update={"problem": self._describe(answer)})

    def _describe(self, answer: MarketDataError | None) -> str:
        return str(answer) if answer else f"the vendor did not answer within {self._ask_seconds:g} s"

    def _launch_venue(self, venue: str, until: date, newest_tried: date | None) -> Iterator[dg.RunRequest | str]:
        limit = self._settings.config.automation.days_per_check
        candidates = choose_new_days(until, newest_tried, (), limit=10_000)
        taken = {day for day in candidates[: 2 * limit] if self._is_tried(venue, day)}
        days = choose_new_days(until, newest_tried, taken, limit=limit)
        for day in days:
            yield request_venue_day(self._settings, venue, day.isoformat(), "new", {}, priority=NEW_DAY_PRIORITY)
        if not days:
            yield f"{venue}: the vendor has exported the days before {until}, and all of them were launched"

    def _newest_tried(self, venue: str, today: date) -> date | None:
        """Return the newest day that has a receipt; the newest weeks alone are listed where they have one."""
        data_type = self._settings.config.venues[venue].data_types[0]
        for first in (today - _LISTED, date.min):
            if days := days_with_receipts(self._lake, venue, data_type, first):
                return days[-1]
        return None

    def _is_tried(self, venue: str, day: date) -> bool:
        return any(is_attempt(record.dagster_run) for record in self._runs.of(venue, day.isoformat()))

    async def _ask(self, venues: Sequence[str]) -> dict[str, ExportBounds | MarketDataError | None]:
        """Return what each venue has exported, or why that is not known; None where nothing came in time."""
        said: dict[str, ExportBounds | MarketDataError | None] = dict.fromkeys(venues)

        async def ask(venue: str) -> None:
            try:
                said[venue] = export_bounds(venue, await client.exchange(venue))
            except MarketDataError as error:
                said[venue] = error

        async with self._vendor.open_client() as client:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ask_seconds), asyncio.TaskGroup() as tasks:
                    for venue in venues:
                        tasks.create_task(ask(venue))
        return said
