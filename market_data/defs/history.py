"""The job `rebuild_history`: Dagster's database is lost, the lake is kept; Dagster is told again what the lake holds.

Of each venue-day that the lake knows it records the materialisations and check results that a run would which finds all
of it current: the same keys, partitions and descriptions, by the same functions. It reads the lake, asks the vendor for
nothing and writes into Dagster's event log alone. What failed is no materialisation; its failed check `coverage` tells.

Events are yielded, and so in the log one by one: memory holds a day, and a cancelled run keeps what it has recorded.
They are a run's own, so that people who look at a partition find who recorded it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from market_data.defs.failures import failures_for_people
from market_data.defs.history_day import HistoryEvent, HistoryOfDay
from market_data.defs.known import KnownDay
from market_data.defs.logs import logs_shown_in_dagster
from market_data.defs.resources import LakeResource
from market_data.defs.runs import LAKE_QUEUE, REBUILD_HISTORY_JOB
from market_data.errors import ConfigurationError
from market_data.index.instruments import list_universes
from market_data.lake.base import TickLake
from market_data.model.venues import parse_venue
from market_data.receipts.store import days_with_receipts
from market_data.settings.environment import Settings
from market_data.universe.recall import Memory

_DAYS_A_LINE = 100
_NAMED_FAULTS = 50


class HistoryConfig(dg.Config):
    """What to record; by default what Dagster lacks of every day that the lake knows."""

    venues: list[str] = Field(default=[], description="In any spelling; default: all of the venues file.")
    first_day: str | None = Field(default=None, description="ISO date, such as 2024-08-01; default: the lake's first.")
    last_day: str | None = Field(default=None, description="ISO date, included; default: the lake's last.")
    with_known: bool = Field(
        default=False,
        description="Record also what Dagster knows already: newer events that say the same, or what has changed.",
    )


def build_rebuild_history(settings: Settings) -> dg.JobDefinition:
    """Return the job; its one op reads the lake and yields events of many days."""

    @dg.op(out={}, description="Records what the lake holds of each venue-day.")
    def history(context: dg.OpExecutionContext, config: HistoryConfig, lake: LakeResource) -> Iterator[HistoryEvent]:
        with logs_shown_in_dagster(context.log), failures_for_people():
            store = lake.open_to_read()
            rebuilt = History(settings, context.instance, store, context.log, with_known=config.with_known)
            yield from rebuilt.tell(_choose_days(settings, store, config))
            if rebuilt.faults:
                raise dg.Failure(**_describe_faults(rebuilt.faults))

    @dg.job(
        name=REBUILD_HISTORY_JOB,
        tags=LAKE_QUEUE,
        description="Dagster's database is lost: records again, of days that the lake holds, their materialisations "
        "and check results; asks the vendor for nothing and writes nothing into the lake.",
    )
    def job() -> None:
        history()

    return job


def _choose_days(settings: Settings, lake: TickLake, config: HistoryConfig) -> dict[str, list[date]]:
    """Return the days of each venue, sorted, of which the lake has a receipt or instruments, and which are partitions.

    Raises ConfigurationError (permanent) for what is no such range, and where there is no such day: a lake without any
    is likely the wrong one.
    """
    first, last = _read_bounds(config)
    venues = sorted({parse_venue(name) for name in config.venues} or settings.config.venues)
    if unknown := [venue for venue in venues if venue not in settings.config.venues]:
        known = ", ".join(settings.config.venues)
        raise ConfigurationError(f"{', '.join(unknown)} is not in the venues file; it has {known}")
    held = {venue: set[date]() for venue in venues}
    for venue, day in list_universes(lake, first, last):
        if venue in held:
            held[venue].add(day)
    for venue, days in held.items():
        for data_type in settings.config.venues[venue].data_types:
            days.update(days_with_receipts(lake, venue, data_type, first, last))
    oldest, newest = settings.config.start_date, settings.config.newest_day(datetime.now(UTC).date())
    chosen = {venue: sorted(day for day in days if oldest <= day <= newest) for venue, days in held.items()}
    if not any(chosen.values()):
        asked = f"from {max(first, oldest)} to {min(last, newest)}"
        raise ConfigurationError(
            f"the lake {lake.url} holds no day of {', '.join(venues)} {asked}. "
            "Is it the lake that is meant (MARKET_DATA_LAKE_URL), and are these the days?"
        )
    return chosen


def _read_bounds(config: HistoryConfig) -> tuple[date, date]:
    try:
        first = date.fromisoformat(config.first_day) if config.first_day else date.min
        last = date.fromisoformat(config.last_day) if config.last_day else date.max
    except ValueError as error:
        raise ConfigurationError(f"first_day and last_day are dates such as 2024-08-01: {error}") from error
    if first > last:
        raise ConfigurationError(f"first_day {first} is after last_day {last}")
    return first, last


def _describe_faults(faults: Sequence[str]) -> Mapping[str, Any]:
    more = [f"- ... and {len(faults) - _NAMED_FAULTS} more: see the log"] if faults[_NAMED_FAULTS:] else []
    lines = [
        f"{len(faults)} things in the lake could not be read; everything else is recorded",
        "",
        *(f"- {fault}" for fault in faults[:_NAMED_FAULTS]),
        *more,
        "",
        "Mend them as they say, then run this job again: it records what is missing.",
    ]
    return {"description": "\n".join(lines), "metadata": {"is_transient": dg.MetadataValue.bool(False)}}


class History:
    """Tells Dagster of days. `faults` are the sentences about what could not be read."""

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        lake: TickLake,
        log: dg.DagsterLogManager,
        *,
        with_known: bool = False,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._lake = lake
        self._log = log
        self._with_known = with_known
        self.faults: list[str] = []

    def tell(self, days: Mapping[str, Sequence[date]]) -> Iterator[HistoryEvent]:
        """Yield the events of days by venue; nothing is written into the lake. Raises LakeUnavailable (transient)."""
        for venue, of_venue in days.items():
            if of_venue:
                self._log.info(f"{venue}: the lake knows {len(of_venue)} days, {of_venue[0]} to {of_venue[-1]}")
                yield from self._tell_venue(venue, of_venue)
            else:
                self._log.warning(f"{venue}: the lake knows none of the days")

    def _tell_venue(self, venue: str, days: Sequence[date]) -> Iterator[HistoryEvent]:
        memory = Memory(self._lake, venue, self._settings.config.venues[venue].selection)
        told: Counter[type[HistoryEvent]] = Counter()
        at_work = not_whole = 0
        for number, day in enumerate(days, start=1):
            known = KnownDay(self._instance, venue, day)
            if known.is_at_work():
                self._log.warning(f"{venue} {day}: a run is queued for it or at work on it, and tells of it itself")
                at_work += 1
                continue
            of_day = HistoryOfDay(self._settings, self._lake, memory, known, self._with_known)
            for event in of_day.tell():
                told[type(event)] += 1
                yield event
            for fault in of_day.faults:
                self._log.error(fault)
            self.faults += of_day.faults
            not_whole += not of_day.is_whole
            if number % _DAYS_A_LINE == 0:
                self._log.info(f"{venue}: {number} of {len(days)} days, until {day}")
        self._log.info(
            f"{venue}: recorded {told[dg.AssetMaterialization]} materialisations and {told[dg.AssetCheckEvaluation]} "
            f"check results of {len(days)} days; {at_work} were left to their runs, {not_whole} are not whole"
        )
