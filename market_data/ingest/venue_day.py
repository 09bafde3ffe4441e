"""The use case: the tick files of one venue-day. Fetch, verify, store, decode, publish, receipt; knows no Dagster.

Units (data types) are at work at once, and many files of each (`acquire.py`), on an event loop of its own thread.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar
from uuid import uuid4

from market_data.errors import (
    LakeConflict,
    MarketDataError,
    RefreshFailed,
    ScratchError,
    TickFileInvalid,
    VendorAccessDenied,
    VendorBusy,
    VendorError,
)
from market_data.ingest.acquire import Acquired, Acquirer, Pools, open_pools
from market_data.ingest.assess import PublicationTarget, WantedUnit
from market_data.ingest.begin import begin
from market_data.ingest.lease import Lease, LeaseWatch
from market_data.ingest.progress import UNTRIED, Progress
from market_data.ingest.publish import Attempt
from market_data.ingest.scratch import Budget, open_scratch
from market_data.ingest.slots import Slots
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.limits import RunLimits
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import load_receipt
from market_data.ticks.decode import DECODER_VERSION
from market_data.ticks.rules import Rule, rules_for
from market_data.universe.rules import Selection, Universe, expected_tick_files, unreadable_files
from market_data.universe.waivers import Waiver, waived_reasons
from market_data.vendor.client import TardisClient
from market_data.vendor.quota import DailyQuota

_ATTEMPTS_AT_A_UNIT = 3
_OTHER_WRITER_POLLS = 150
_OTHER_WRITER_POLL_SECONDS = 2
# The vendor may still add files of a day that it has only just exported.
_NEAR_BOUND_DAYS = 2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class VenueDay:
    """What is to be ingested: the universe of the day, what is wanted of it, and into which publication.

    `is_refresh` asks the vendor whether the files that are held have changed, and replaces those that have.
    """

    universe: Universe
    selection: Selection
    data_types: tuple[DataType, ...]
    layouts: tuple[str, ...]
    origin: str
    config_hash: str
    rules: Mapping[DataType, tuple[Rule, ...]] = field(
        default_factory=lambda: {data_type: rules_for(data_type, {}) for data_type in DataType}
    )
    decoder_version: str = DECODER_VERSION
    waivers: tuple[Waiver, ...] = ()
    limits: RunLimits = field(default_factory=RunLimits)
    is_refresh: bool = False

    @property
    def target(self) -> PublicationTarget:
        """What the publications of this venue-day are made for."""
        return PublicationTarget(
            self.origin, self.layouts, self.decoder_version, self.config_hash, self.limits.keep_replaced
        )

    def wanted_unit(self, data_type: DataType) -> WantedUnit:
        """Return what is wanted of one data type."""
        expected = expected_tick_files(self.universe, self.selection, data_type)
        return WantedUnit(
            DataTypeDay(self.universe.venue, data_type, self.universe.day),
            expected,
            instruments_listed=len(self.universe.listed),
            doubt=self.universe.doubt,
            waived=waived_reasons(self.waivers, expected),
            is_refresh=self.is_refresh,
        )

    @property
    def is_near_bound(self) -> bool:
        """Whether the vendor had only just exported the day when it was asked."""
        return (self.universe.exported_until - self.universe.day).days <= _NEAR_BOUND_DAYS


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What became of one data type of the venue-day; `downloads` counts requests that brought bytes.

    `replaced` are the files that a refresh replaced, `not_refreshed` says why others stayed as they were.
    """

    receipt: Receipt
    was_current: bool
    downloads: int
    downloaded_bytes: int
    seconds: float
    replaced: tuple[FileEvidence, ...] = ()
    not_refreshed: tuple[str, ...] = ()


def ingest_venue_day(
    lake: TickLake,
    open_client: Callable[[], TardisClient],
    venue_day: VenueDay,
) -> Iterator[UnitResult]:
    """Ingest the data types of a venue-day and yield each one's result as it is done.

    A failed tick file leaves its data type open and stops no other. Raises LakeError of any kind, at once; faults of
    the key or the quota stop further downloads and are found in the receipts' open files.
    """
    results: queue.SimpleQueue[UnitResult | BaseException | None] = queue.SimpleQueue()
    work = _Work(lake, venue_day)
    thread = threading.Thread(target=work.run, args=(open_client, results.put), name="ingest_venue_day")
    thread.start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        work.cancel()
        thread.join()


# Takes what comes of the units, in the end an error or None.
_Put: TypeAlias = Callable[[UnitResult | BaseException | None], None]


class _Work:
    """The venue-day at work on a thread of its own: an event loop there, and a way to stop it from here."""

    def __init__(self, lake: TickLake, venue_day: VenueDay) -> None:
        self._lake = lake
        self._day = venue_day
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None

    def run(self, open_client: Callable[[], TardisClient], put: _Put) -> None:
        """Run to the end on this thread; every result, then an error if there is one, then None, go to `put`."""
        limits = self._day.limits
        try:
            with open_scratch(limits.scratch_bytes) as (scratch, size_bytes), open_pools(limits.files_at_once) as pools:
                asyncio.run(self._run(open_client, scratch, Budget(size_bytes), pools, put))
        except asyncio.CancelledError:
            put(None)
        except BaseException as error:  # noqa: BLE001  handed to the caller's thread, which raises it
            put(_cause_of(error))
        else:
            put(None)

    def cancel(self) -> None:
        """Stop as soon as possible; claims stay, so the next run takes over."""
        self._is_cancelled = True
        if self._loop is not None and self._main is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._main.cancel)
            except RuntimeError:
                return  # the loop closed between the question and the call: the work is done

    async def _run(
        self, open_client: Callable[[], TardisClient], scratch: Path, budget: Budget, pools: Pools, put: _Put
    ) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._is_cancelled:  # before there was a task to cancel
            return
        listed = self._day.universe.listed
        async with open_client() as client:
            acquirer = Acquirer(
                lake=self._lake,
                client=client,
                scratch=scratch,
                budget=budget,
                pools=pools,
                known_keys={item.vendor_symbol: item.instrument_key for item in listed},
                expiries={item.vendor_symbol: item.parsed.expiry for item in listed if item.parsed.expiry},
                sizes=self._day.limits.sizes,
                rules=self._day.rules,
                is_near_bound=self._day.is_near_bound,
            )
            await _Units(self._lake, self._day, acquirer).run(put)


class _Units:
    """The units of a venue-day, on an event loop: all at work at once, each of their files in its turn."""

    def __init__(self, lake: TickLake, venue_day: VenueDay, acquirer: Acquirer) -> None:
        self._lake = lake
        self._day = venue_day
        self._acquirer = acquirer
        self._writer = uuid4().hex
        self._lease = Lease(lake, self._writer)
        self._stop: MarketDataError | None = None
        self._progress = Progress(f"{venue_day.universe.venue} {venue_day.universe.day}")
        self._slots = Slots(venue_day.limits.files_at_once, venue_day.data_types)
        self._quota = DailyQuota(
            lake,
            venue_day.limits.daily_quota_bytes,
            self._writer,
            partial(datetime.now, UTC),
            is_history=not venue_day.is_near_bound,
        )

    async def run(self, put: Callable[[UnitResult], None]) -> None:
        """Run all units to their end; results go to `put`."""
        await self._look_at_quota()
        try:
            async with self._progress.told(), asyncio.TaskGroup() as group:
                for data_type in self._day.data_types:
                    group.create_task(self._run_unit(data_type, put))
        finally:
            await self._lease.end()
        await self._on_unit_thread(self._quota.save)

    async def _run_unit(self, data_type: DataType, put: Callable[[UnitResult], None]) -> None:
        wanted = self._day.wanted_unit(data_type)
        for remaining in reversed(range(_ATTEMPTS_AT_A_UNIT)):
            try:
                put(await self._attempt_unit(wanted))
            except (LakeConflict, ExceptionGroup) as error:  # a file's conflict comes in a group
                cause = _cause_of(error)
                if not remaining or not isinstance(cause, LakeConflict):
                    raise cause from error
                await self._wait_for_other_writer(wanted.unit)
            else:
                return

    async def _wait_for_other_writer(self, unit: DataTypeDay) -> None:
        """Let the run that took the unit over finish, or die; raises LakeConflict (transient) when it takes too long.

        Taking over from one that lives would let neither of two runs end.
        """
        watch: LeaseWatch | None = None
        for _ in range(_OTHER_WRITER_POLLS):
            receipt, _ = await self._on_unit_thread(load_receipt, self._lake, unit)
            if receipt is None or receipt.claim in {None, self._writer}:
                return
            if watch is None or watch.writer != receipt.claim:
                watch = LeaseWatch(self._lake, receipt.claim)
            if await self._on_unit_thread(watch.is_dead):
                return
            await asyncio.sleep(_OTHER_WRITER_POLL_SECONDS)
        waited_seconds = _OTHER_WRITER_POLLS * _OTHER_WRITER_POLL_SECONDS
        raise LakeConflict(f"{unit}: another run took it over and was still at work {waited_seconds} s later")

    async def _attempt_unit(self, wanted: WantedUnit) -> UnitResult:
        started = time.monotonic()
        attempt = await self._on_unit_thread(begin, self._lake, wanted, self._day.target, self._writer)
        work = attempt.work
        if work.is_current:
            return UnitResult(attempt.receipt, True, 0, 0, time.monotonic() - started)
        self._lease.begin()
        files = {file.vendor_symbol: file for file in (*work.to_rebuild, *work.to_refresh, *work.to_acquire)}
        self._progress.expect(len(files))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._acquire(attempt, file)) for file in files.values()]
        done = [task.result() for task in tasks]
        receipt = await self._conclude(attempt, done)
        for item in done:
            await self._acquirer.discard(item.acquired)
        downloaded = [size for item in done if (size := item.acquired.downloaded_bytes) is not None]
        return UnitResult(
            receipt,
            was_current=False,
            downloads=len(downloaded),
            downloaded_bytes=sum(downloaded),
            seconds=time.monotonic() - started,
            replaced=tuple(item.evidence for item in done if item.is_replaced),
            not_refreshed=tuple(item.not_refreshed for item in done if item.not_refreshed),
        )

    async def _conclude(self, attempt: Attempt, done: Sequence[_Done]) -> Receipt:
        """Publish the unit when every file is accounted for, else keep what is proven."""
        evidence = [item.evidence for item in done]
        if evidence and {file.outcome for file in evidence} == {Outcome.NOT_OFFERED} == {
            file.outcome for file in attempt.receipt.with_evidence(evidence).files
        }:  # not one file of the day: that is asked again at the next run
            evidence = [file.changed(is_provisional=True) for file in evidence]
        if not all(file.is_accounted for file in evidence):
            return await self._on_unit_thread(attempt.release, evidence)
        objects = {item.evidence.vendor_symbol: await self._acquirer.unpark(item.acquired) for item in done}
        decoded = {symbol: items for symbol, items in objects.items() if items}
        now = partial(datetime.now, UTC)
        return await self._on_unit_thread(attempt.publish, evidence, decoded, self._acquirer.pools.io, now)

    async def _acquire(self, attempt: Attempt, file: FileEvidence) -> _Done:
        async with self._slots.hold(attempt.unit.data_type):
            started = time.monotonic()
            done = await self._ask_again(attempt, file) if file in attempt.work.to_refresh else None
            if done is None or (done.acquired.parked is None and file in attempt.work.to_rebuild):
                done = replace(done or _Done(Acquired(file)), acquired=await self._obtain(attempt, file))
            if (size_bytes := done.acquired.downloaded_bytes) is not None and self._quota.add(size_bytes):
                await self._look_at_quota()
            evidence = done.evidence.timed(time.monotonic() - started)
            self._progress.add(evidence, done.acquired.downloaded_bytes)
            return replace(done, acquired=replace(done.acquired, evidence=evidence))

    async def _obtain(self, attempt: Attempt, file: FileEvidence) -> Acquired:
        """Acquire a file that is wanted; what goes wrong with it stands in its evidence."""
        if self._stop is not None and attempt.raw_of(file) is None:
            return self._left_untried(file)
        if why := unreadable_files(self._day.universe, attempt.unit.data_type).get(file.vendor_symbol):
            return Acquired(_failed(file, VendorError(f"{attempt.unit} {file.vendor_symbol}: {why}")))
        try:
            return await self._acquirer.obtain(attempt, file, may_download=lambda: self._stop is None)
        except (VendorAccessDenied, VendorBusy) as error:
            self._stop = self._stop or error
            return Acquired(_failed(file, error))
        except (VendorError, TickFileInvalid, ScratchError) as error:
            return Acquired(_failed(file, error))

    async def _ask_again(self, attempt: Attempt, file: FileEvidence) -> _Done:
        """Ask for a file that is accounted for; whatever goes wrong, it stays as it is."""
        if self._stop is not None:
            return _Done(Acquired(file), not_refreshed=f"{attempt.unit} {file.vendor_symbol}: {self._stop}")
        try:
            acquired = await self._acquirer.refresh(attempt, file)
        except (VendorError, RefreshFailed, ScratchError) as error:
            if isinstance(error, VendorAccessDenied | VendorBusy):
                self._stop = self._stop or error
            return _Done(Acquired(file), not_refreshed=str(error))
        return _Done(acquired, is_replaced=acquired.evidence.previous != file.previous)

    def _left_untried(self, file: FileEvidence) -> Acquired:
        """Return the evidence of a file after the run's stop: what stopped the run is what it failed of."""
        if self._stop is None:
            return Acquired(file.opened())
        failed = _failed(file, self._stop)
        return Acquired(failed.changed(error=f"{UNTRIED}: {self._stop}"))

    async def _look_at_quota(self) -> None:
        await self._on_unit_thread(self._quota.save)
        try:
            await self._on_unit_thread(self._quota.ensure)
        except VendorBusy as error:
            self._stop = self._stop or error

    async def _on_unit_thread(self, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._acquirer.pools.units, call, *args)


@dataclass(frozen=True, slots=True)
class _Done:
    """One file at its end; `not_refreshed` says why one that was asked for again stayed as it was."""

    acquired: Acquired
    is_replaced: bool = False
    not_refreshed: str | None = None

    @property
    def evidence(self) -> FileEvidence:
        return self.acquired.evidence


def _cause_of(error: BaseException) -> BaseException:
    """Return what a task group failed of; a conflict with another writer only when there is nothing worse."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause_of(inner) for inner in error.exceptions]
    return next((cause for cause in causes if not isinstance(cause, LakeConflict)), causes[0])


def _failed(file: FileEvidence, error: MarketDataError) -> FileEvidence:
    not_before = error.not_before if isinstance(error, VendorBusy) else None
    return file.failed(type(error).__name__, str(error), is_transient=error.is_transient, not_before=not_before)
