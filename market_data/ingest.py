"""The use case: the tick files of one venue-day. Fetch, verify, store, decode, publish, receipt; knows no Dagster.

The event loop only moves bytes; inflating, decoding and the lake's calls run on threads of their own pools (asyncio's
default executor is left to name look-ups).
"""

from __future__ import annotations

import asyncio
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from market_data.adapters.tardis_http import Downloaded, NotOffered, TardisClient
from market_data.adapters.tick_csv import DECODER_VERSION, DecodedFile, decode_tick_file, verify_tick_file
from market_data.adapters.tick_lake import ObjectStat, TickLake
from market_data.domain.data_types import DataType
from market_data.domain.layouts import DataTypeDay, raw_key
from market_data.domain.receipt import FileEvidence, Receipt, open_file
from market_data.domain.tick_file import Outcome, TickFile
from market_data.domain.tick_rules import Rule, judge_ticks, rules_for
from market_data.domain.universe import Selection, Universe, expected_tick_files
from market_data.errors import (
    LakeConflict,
    MarketDataError,
    TickFileInvalid,
    VendorAccessDenied,
    VendorError,
    VendorQuotaExceeded,
)
from market_data.publish import Attempt, PublicationTarget, begin, load_receipt

FILES_AT_ONCE = 16
_GZIP_CONTENT = "application/gzip"
_ATTEMPTS_AT_A_UNIT = 3
_OTHER_WRITER_POLLS = 150
_OTHER_WRITER_POLL_SECONDS = 2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class VenueDay:
    """What is to be ingested: the universe of the day, what is wanted of it, and into which publication."""

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

    @property
    def target(self) -> PublicationTarget:
        """What the publications of this venue-day are made for."""
        return PublicationTarget(self.origin, self.layouts, self.decoder_version, self.config_hash)


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What became of one data type of the venue-day; `downloads` counts requests that brought bytes."""

    receipt: Receipt
    was_current: bool
    downloads: int
    downloaded_bytes: int
    seconds: float


def ingest_venue_day(
    lake: TickLake,
    open_client: Callable[[], TardisClient],
    venue_day: VenueDay,
    on_file: Callable[[FileEvidence], None] = lambda _: None,
) -> Iterator[UnitResult]:
    """Ingest the data types of a venue-day and yield each one's result as it is done.

    A failed tick file leaves its data type open and stops no other. Raises LakeError of any kind, at once; faults of
    the key or the quota stop further downloads and are found in the receipts' open files.
    """
    results: queue.SimpleQueue[UnitResult | BaseException | None] = queue.SimpleQueue()
    work = _Work(lake, venue_day, on_file)
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


class _Work:
    """The venue-day at work: an event loop on a thread, and the pools that do what must not block it."""

    def __init__(self, lake: TickLake, venue_day: VenueDay, on_file: Callable[[FileEvidence], None]) -> None:
        self._lake = lake
        self._day = venue_day
        self._on_file = on_file
        self._writer = uuid4().hex
        self._stop: MarketDataError | None = None
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._known_keys = {item.vendor_symbol: item.instrument_key for item in venue_day.universe.listed}

    def run(
        self, open_client: Callable[[], TardisClient], put: Callable[[UnitResult | BaseException | None], None]
    ) -> None:
        """Run to the end on this thread; every result, then an error if there is one, then None, go to `put`."""
        try:
            with ExitStack() as stack:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="market_data-"))
                self._scratch = Path(folder)
                # units wait for their objects' writers, so they need threads apart from them
                self._units = stack.enter_context(ThreadPoolExecutor(len(DataType), "unit"))
                self._io = stack.enter_context(ThreadPoolExecutor(FILES_AT_ONCE, "lake"))
                self._cpu = stack.enter_context(ThreadPoolExecutor(os.cpu_count() or 2, "decode"))
                asyncio.run(self._run_units(open_client, put))
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

    async def _run_units(
        self, open_client: Callable[[], TardisClient], put: Callable[[UnitResult | BaseException | None], None]
    ) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._is_cancelled:  # before there was a task to cancel
            return
        self._slots = asyncio.Semaphore(FILES_AT_ONCE)
        async with open_client() as self._client, asyncio.TaskGroup() as group:
            for data_type in self._day.data_types:
                group.create_task(self._run_unit(data_type, put))

    async def _run_unit(self, data_type: DataType, put: Callable[[UnitResult], None]) -> None:
        unit = DataTypeDay(self._day.universe.venue, data_type, self._day.universe.day)
        expected = expected_tick_files(self._day.universe, self._day.selection, data_type)
        for remaining in reversed(range(_ATTEMPTS_AT_A_UNIT)):
            try:
                put(await self._attempt_unit(unit, expected))
            except (LakeConflict, ExceptionGroup) as error:  # a file's conflict comes in a group
                cause = _cause_of(error)
                if not remaining or not isinstance(cause, LakeConflict):
                    raise cause from error
                await self._wait_for_other_writer(unit)
            else:
                return

    async def _wait_for_other_writer(self, unit: DataTypeDay) -> None:
        """Let the run that took the unit over finish; raises LakeConflict (transient) when it takes too long.

        Taking over in turn would let neither of two runs end.
        """
        for _ in range(_OTHER_WRITER_POLLS):
            receipt, _ = await self._on(self._units, load_receipt, self._lake, unit)
            if receipt is None or receipt.claim in {None, self._writer}:
                return
            await asyncio.sleep(_OTHER_WRITER_POLL_SECONDS)
        waited_seconds = _OTHER_WRITER_POLLS * _OTHER_WRITER_POLL_SECONDS
        raise LakeConflict(f"{unit}: another run took it over and was still at work {waited_seconds} s later")

    async def _attempt_unit(self, unit: DataTypeDay, expected: tuple[TickFile, ...]) -> UnitResult:
        started = time.monotonic()
        attempt = await self._on(self._units, begin, self._lake, unit, expected, self._day.target, self._writer)
        if attempt.is_current:
            return UnitResult(attempt.receipt, True, 0, 0, time.monotonic() - started)
        files = {file.vendor_symbol: file for file in (*attempt.to_rebuild, *attempt.to_acquire)}.values()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._acquire(attempt, file)) for file in files]
        acquired = [task.result() for task in tasks]
        evidence = [item.evidence for item in acquired]
        if all(file.is_accounted for file in evidence):
            decoded = {item.evidence.vendor_symbol: item.decoded.objects for item in acquired if item.decoded}
            now = partial(datetime.now, UTC)
            receipt = await self._on(self._units, attempt.publish, evidence, decoded, self._io, now)
        else:
            receipt = await self._on(self._units, attempt.release, evidence)
        for item in acquired:
            item.discard()
        downloaded = [item.evidence for item in acquired if item.is_downloaded]
        downloaded_bytes = sum(file.size_bytes or 0 for file in downloaded)
        return UnitResult(receipt, False, len(downloaded), downloaded_bytes, time.monotonic() - started)

    async def _acquire(self, attempt: Attempt, file: FileEvidence) -> _Acquired:
        async with self._slots:
            if self._stop is not None and not attempt.has_raw(file.vendor_symbol):
                return _Acquired(file)
            started = time.monotonic()
            tick_file = TickFile(attempt.unit, file.vendor_symbol, file.instrument_type, file.instrument_key)
            try:
                acquired = await self._obtain(attempt, file, tick_file)
            except (VendorError, TickFileInvalid) as error:
                is_known = self._stop is not None  # one file names what stopped the run, the others stay untried
                if isinstance(error, VendorAccessDenied | VendorQuotaExceeded):
                    self._stop = self._stop or error
                    acquired = _Acquired(open_file(file) if is_known else _failed(file, error))
                else:
                    acquired = _Acquired(_failed(file, error))
            seconds = round(time.monotonic() - started, 3)
            acquired = acquired.with_evidence(seconds=seconds)
            self._on_file(acquired.evidence)
            return acquired

    async def _obtain(self, attempt: Attempt, file: FileEvidence, tick_file: TickFile) -> _Acquired:
        """Read the file's bytes from raw/ where they are, else from the vendor; a bad body is fetched once more."""
        if attempt.has_raw(file.vendor_symbol):
            folder = self._folder()
            path = await self._on(self._io, self._lake.fetch_file, raw_key(attempt.unit, file.vendor_symbol), folder)
            try:
                return await self._on(self._cpu, self._decode_held, attempt, file, tick_file, path)
            except TickFileInvalid:
                # what the lake holds is damaged, or this decoder knows better: ask the vendor again
                if self._stop is not None:
                    return _Acquired(open_file(file))
            finally:
                (folder / path.name).unlink(missing_ok=True)  # a download; a local lake gives its own file
        bad_crc32c: str | None = None
        while True:
            body = self._folder() / "body.csv.gz"
            answer = await self._client.download(tick_file, body)
            if isinstance(answer, NotOffered):
                return _Acquired(_not_offered(file, answer))
            try:
                decoded = await self._on(self._cpu, self._decode, tick_file, body)
            except TickFileInvalid as error:
                if bad_crc32c is not None:
                    text = "the vendor sent the same bytes twice" if bad_crc32c == answer.crc32c else "and so before"
                    raise TickFileInvalid(f"{error}; {text}") from error
                bad_crc32c = answer.crc32c
                body.unlink()
                continue
            put = partial(self._put_raw, body)
            stat = await self._on(self._io, attempt.put_raw, file, put)
            body.unlink()
            return _Acquired(self._stored(attempt, _answered(file, answer), decoded, stat), decoded, is_downloaded=True)

    def _put_raw(self, body: Path, key: str, if_generation: int) -> ObjectStat:
        return self._lake.put_file(body, key, if_generation=if_generation, content_type=_GZIP_CONTENT)

    def _decode(self, tick_file: TickFile, body: Path) -> DecodedFile | None:
        rows = verify_tick_file(body, tick_file)
        if rows == 0:
            return None
        decoded = decode_tick_file(body, tick_file, self._known_keys, self._folder())
        if decoded.rows != rows:
            raise TickFileInvalid(f"{tick_file}: {rows} lines became {decoded.rows} rows")
        return decoded

    def _decode_held(self, attempt: Attempt, file: FileEvidence, tick_file: TickFile, path: Path) -> _Acquired:
        decoded = self._decode(tick_file, path)
        stat = attempt.observed[raw_key(attempt.unit, file.vendor_symbol)]
        if attempt.is_takeover:  # as with published objects: void what the other writer may still write
            stat = attempt.put_raw(file, partial(self._put_raw, path))
        return _Acquired(self._stored(attempt, file, decoded, stat), decoded)

    def _stored(
        self, attempt: Attempt, file: FileEvidence, decoded: DecodedFile | None, stat: ObjectStat
    ) -> FileEvidence:
        stored = _stored(file, decoded, stat)
        if decoded is None:
            return stored
        rules = self._day.rules[attempt.unit.data_type]
        findings = judge_ticks(decoded.stats, file.instrument_type, rules)
        return stored.model_copy(update={"stats": decoded.stats, "findings": findings})

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))

    async def _on(self, pool: ThreadPoolExecutor, call: Callable[..., _T], *args: object) -> _T:
        assert self._loop is not None  # noqa: S101  set before any unit runs
        return await self._loop.run_in_executor(pool, call, *args)


def _cause_of(error: BaseException) -> BaseException:
    """Return what a task group failed of; a conflict with another writer only when there is nothing worse."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause_of(inner) for inner in error.exceptions]
    return next((cause for cause in causes if not isinstance(cause, LakeConflict)), causes[0])


@dataclass(frozen=True, slots=True)
class _Acquired:
    """One file's evidence, with its Parquet on scratch where it has rows."""

    evidence: FileEvidence
    decoded: DecodedFile | None = None
    is_downloaded: bool = False

    def with_evidence(self, **fields: object) -> _Acquired:
        return _Acquired(self.evidence.model_copy(update=fields), self.decoded, self.is_downloaded)

    def discard(self) -> None:
        for item in self.decoded.objects if self.decoded else ():
            item.path.unlink()


def _answered(file: FileEvidence, answer: Downloaded | NotOffered) -> FileEvidence:
    facts: dict[str, object] = {"url": answer.url, "status": answer.status, "attempts": answer.attempts}
    if isinstance(answer, Downloaded):
        facts |= {"etag": answer.etag, "last_modified": answer.last_modified}
    return file.model_copy(update=facts)


def _stored(file: FileEvidence, decoded: DecodedFile | None, stat: ObjectStat) -> FileEvidence:
    facts: Mapping[str, object] = {
        "outcome": Outcome.STORED if decoded else Outcome.VENDOR_EMPTY,
        "size_bytes": stat.size_bytes,
        "crc32c": stat.crc32c,
        "generation": stat.generation,
        "rows": decoded.rows if decoded else 0,
        "first_local_timestamp": decoded.first_local_timestamp if decoded else None,
        "last_local_timestamp": decoded.last_local_timestamp if decoded else None,
        "unknown_symbols": decoded.unknown_symbols if decoded else (),
    }
    return file.model_copy(update=facts)


def _not_offered(file: FileEvidence, answer: NotOffered) -> FileEvidence:
    answered = _answered(file, answer)
    return answered.model_copy(update={"outcome": Outcome.NOT_OFFERED, "error": answer.message})


def _failed(file: FileEvidence, error: MarketDataError) -> FileEvidence:
    facts: Mapping[str, object] = {
        "outcome": Outcome.FAILED,
        "error_class": type(error).__name__,
        "error": str(error),
        "is_transient": error.is_transient,
    }
    return file.model_copy(update=facts)
