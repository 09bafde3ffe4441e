"""One tick file at a time: from raw/ or the vendor to scratch, proven, decoded, and its bytes stored in raw/.

The event loop only moves bytes; inflating, decoding (or waiting for a process that does, `decoders.py`) and the lake's
calls run on threads of their own pools (asyncio's default executor is left to name look-ups). Scratch disk is taken
before bytes arrive: a file waits until its share of the budget is free, and decoded files that wait for the rest of
their unit move into the lake when they grow too many.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from market_data.errors import DecoderLost, RefreshFailed, TickFileInvalid, VendorError
from market_data.ingest.decoders import DecodeJob, Decoders, count_decoders, shared_decoders
from market_data.ingest.publish import Attempt
from market_data.ingest.scratch import Budget, Parked
from market_data.lake.base import GZIP_CONTENT, ObjectStat, TickLake
from market_data.lake.checksum import content_id_of
from market_data.lake.disk import scratch_errors
from market_data.model.data_types import DataType
from market_data.model.limits import SizeLimits
from market_data.model.tick_file import Outcome, TickFile
from market_data.receipts.evidence import FileEvidence
from market_data.ticks.decode import DecodedFile, DecodedObject
from market_data.ticks.rules import Rule, judge_ticks
from market_data.vendor.client import TardisClient
from market_data.vendor.downloads import Downloaded, HeldFile, NotOffered, Unchanged

# What one file needs of scratch, in multiples of its gzip: itself and its Parquet.
_FILE_SHARE = 3
_UNKNOWN_BYTES = 64 * 2**20
_STAGED_FROM_SHARE = 4
_LONGEST_NAME_BYTES = 255
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Acquired:
    """One file's evidence, with its Parquet where it has rows."""

    evidence: FileEvidence
    parked: Parked | None = None
    downloaded_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Pools:
    """Threads: `io` for the lake's calls, `cpu` for inflating and decoding, `units` for what waits for both."""

    io: ThreadPoolExecutor
    cpu: ThreadPoolExecutor
    units: ThreadPoolExecutor


@contextmanager
def open_pools(files_at_once: int) -> Iterator[Pools]:
    """Give the threads of one venue-day, and end them."""
    with (
        # units wait for their objects' writers, so they need threads apart from them
        ThreadPoolExecutor(len(DataType), "unit") as units,
        ThreadPoolExecutor(files_at_once, "lake") as io,
        ThreadPoolExecutor(count_decoders(), "decode") as cpu,
    ):
        yield Pools(io, cpu, units)


@dataclass(slots=True)
class Acquirer:
    """What every file of a venue-day is acquired with; `known_keys` and `expiries` are by vendor symbol."""

    lake: TickLake
    client: TardisClient
    scratch: Path
    budget: Budget
    pools: Pools
    known_keys: Mapping[str, str]
    expiries: Mapping[str, datetime]
    sizes: Mapping[DataType, SizeLimits]
    rules: Mapping[DataType, tuple[Rule, ...]]
    is_near_bound: bool
    _decoders: Decoders = field(default_factory=shared_decoders)
    # oldest first, as far as they lie on scratch
    _parked: dict[Parked, Attempt] = field(default_factory=dict)
    _parked_bytes: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def obtain(self, attempt: Attempt, file: FileEvidence, *, may_download: Callable[[], bool]) -> Acquired:
        """Read the file's bytes from raw/ where they are, else from the vendor.

        Raises VendorError of any kind, TickFileInvalid and ScratchError; they concern this file, the account or the
        local disk, not the lake.
        """
        self._refuse_long_names(attempt, file)
        if (raw := attempt.raw_of(file)) is not None:
            try:
                return await self._rebuild(attempt, file, raw)
            except TickFileInvalid:
                # what the lake holds is damaged, or this decoder knows better: ask the vendor again
                if not may_download():
                    return Acquired(file.opened())
        return await self._download(attempt, file)

    def _refuse_long_names(self, attempt: Attempt, file: FileEvidence) -> None:
        """Refuse what no directory can hold before it is fetched: it would stop the other files as well."""
        longest = max(len(key.rpartition("/")[2]) for key in attempt.object_keys(file))
        if longest > _LONGEST_NAME_BYTES:
            raise VendorError(
                f"{attempt.unit} {file.vendor_symbol[:80]}...: the symbol makes an object name of {longest} bytes, and "
                f"file systems end at {_LONGEST_NAME_BYTES}: leave it out with `exclude` in the venues file"
            )

    async def refresh(self, attempt: Attempt, file: FileEvidence) -> Acquired:
        """Ask the vendor whether a file that is accounted for has changed; what cannot be replaced stays."""
        try:
            acquired = await self._download(attempt, file, is_refresh=True)
        except TickFileInvalid as error:
            raise RefreshFailed(f"{error}; what is held stays") from error
        if acquired.evidence.outcome is Outcome.NOT_OFFERED and file.outcome is not Outcome.NOT_OFFERED:
            raise RefreshFailed(
                f"{attempt.unit} {file.vendor_symbol}: {acquired.evidence.error}; what is held stays, though "
                "the vendor does not offer it any more"
            )
        return acquired

    async def unpark(self, acquired: Acquired) -> tuple[DecodedObject, ...]:
        """Return the decoded files of a file whose unit is about to be published; nobody moves them any more."""
        if acquired.parked is None:
            return ()
        async with acquired.parked.lock:
            self._take_parked(acquired.parked)
            return acquired.parked.objects

    async def discard(self, acquired: Acquired) -> None:
        """Free the scratch of a file that is published, or given up."""
        for item in await self.unpark(acquired):
            item.path.unlink(missing_ok=True)  # a staged one is gone already
        if acquired.parked is not None:
            self.budget.give_back(acquired.parked.scratch_bytes)

    async def _rebuild(self, attempt: Attempt, file: FileEvidence, stat: ObjectStat) -> Acquired:
        tick_file = self._tick_file(attempt, file)
        folder = self._new_path(".raw")
        with scratch_errors(str(tick_file), folder):
            folder.mkdir()
        share = _FILE_SHARE * stat.size_bytes
        await self._take(share, str(tick_file))
        try:
            with attempt.reading(stat.key):
                path = await self._on(self.pools.io, self.lake.fetch_file, stat.key, folder)
                decoded = await self._decode(tick_file, path, stat.size_bytes)
                if attempt.work.is_takeover:  # as with published objects: void what the other writer may still write
                    put = partial(self._put_raw, path)
                    stat = await self._on(self.pools.io, attempt.put_raw, file, put, file.raw_id)
            evidence = self._stored(file, tick_file, decoded, stat, file.raw_id)
            acquired = await self._keep(attempt, evidence, decoded, share)
            share -= acquired.parked.scratch_bytes if acquired.parked else 0
            return acquired
        finally:
            shutil.rmtree(folder)  # a download; a local lake gives its own file
            self.budget.give_back(share)

    async def _download(self, attempt: Attempt, file: FileEvidence, *, is_refresh: bool = False) -> Acquired:
        """Fetch, prove, decode and store a file; a bad body is fetched once more, and kept aside in the end."""
        bad_crc32c: str | None = None
        while True:
            fetch = _Fetch(self._new_path(".csv.gz"), partial(self._take, what=f"{attempt.unit} {file.vendor_symbol}"))
            try:
                acquired = await self._fetch(attempt, file, fetch, is_refresh=is_refresh)
            except _BadBody as bad:
                if bad_crc32c is not None:
                    await self._on(self.pools.io, attempt.keep_aside, file, fetch.body)
                    text = "the vendor sent the same bytes twice" if bad_crc32c == bad.crc32c else "and so before"
                    raise TickFileInvalid(f"{bad.error}; {text}") from bad.error
                bad_crc32c = bad.crc32c
            else:
                fetch.share -= acquired.parked.scratch_bytes if acquired.parked else 0
                return acquired
            finally:
                fetch.body.unlink(missing_ok=True)  # not there before the first byte, and given away at the end
                self.budget.give_back(fetch.share)

    async def _fetch(self, attempt: Attempt, file: FileEvidence, fetch: _Fetch, *, is_refresh: bool) -> Acquired:
        tick_file = self._tick_file(attempt, file)
        held = HeldFile(file.size_bytes, file.etag, file.x_md5) if is_refresh and file.size_bytes is not None else None
        most_bytes = self.sizes[tick_file.unit.data_type].max_csv_bytes
        answer = await self.client.download(tick_file, fetch.body, admit=fetch.admit, held=held, most_bytes=most_bytes)
        if isinstance(answer, NotOffered):
            absent = file.answered(answer.url, answer.status, answer.attempts).absent(
                answer.message, is_provisional=self.is_near_bound
            )
            return Acquired(absent)
        if isinstance(answer, Unchanged):
            return Acquired(file)
        if is_refresh and answer.crc32c == file.crc32c:
            return Acquired(_answered(file, answer), downloaded_bytes=answer.size_bytes)
        try:
            decoded = await self._decode(tick_file, fetch.body, answer.size_bytes)
        except TickFileInvalid as error:
            raise _BadBody(error, answer.crc32c) from error
        # beside what is held, so that a run that dies here leaves the day as it was
        raw_id = await self._on(self.pools.cpu, content_id_of, fetch.body) if is_refresh and file.has_bytes else None
        put = partial(self._take_raw, fetch.body, answer.crc32c)
        stat = await self._on(self.pools.io, attempt.put_raw, file, put, raw_id)
        evidence = self._stored(_answered(file.superseded(), answer), tick_file, decoded, stat, raw_id)
        acquired = await self._keep(attempt, evidence, decoded, fetch.share)
        return replace(acquired, downloaded_bytes=answer.size_bytes)

    async def _take(self, size_bytes: int, what: str) -> None:
        await self.budget.take(size_bytes, what, self._stage_parked)

    async def _stage_parked(self) -> None:
        """Move what waits on scratch into the lake: else a file could wait for bytes that wait for that very file."""
        for parked in list(self._parked):
            async with parked.lock:
                attempt = self._take_parked(parked)
                if attempt is not None:
                    staged = [await self._on(self.pools.io, attempt.stage, item) for item in parked.objects]
                    parked.objects = tuple(staged)
                    self.budget.give_back(parked.scratch_bytes)
                    parked.scratch_bytes = 0

    def _take_parked(self, parked: Parked) -> Attempt | None:
        """Take what is parked out of the list of what may be moved; None when it is not there any more."""
        attempt = self._parked.pop(parked, None)
        if attempt is not None:
            self._parked_bytes -= parked.scratch_bytes
        return attempt

    async def _keep(
        self, attempt: Attempt, evidence: FileEvidence, decoded: DecodedFile | None, share: int
    ) -> Acquired:
        """Keep what waits for the rest of its unit: on scratch, or in the lake when too much of scratch waits already.

        Of the file's `share` of the budget, what is parked stays taken; the caller gives the rest back.
        """
        if decoded is None:
            return Acquired(evidence)
        size_bytes = min(share, sum(item.size_bytes for item in decoded.objects))
        is_short = self._parked_bytes + size_bytes > self.budget.limit_bytes // _STAGED_FROM_SHARE
        if is_short or self.budget.is_waited_for:
            staged = [await self._on(self.pools.io, attempt.stage, item) for item in decoded.objects]
            return Acquired(evidence, Parked(tuple(staged), 0))
        parked = Parked(decoded.objects, size_bytes)
        self._parked[parked] = attempt
        self._parked_bytes += size_bytes
        return Acquired(evidence, parked)

    async def _decode(self, tick_file: TickFile, body: Path, gzip_bytes: int) -> DecodedFile | None:
        """Prove a body and decode it."""
        return await self._on(self.pools.cpu, self._decode_now, tick_file, body, gzip_bytes)

    def _decode_now(self, tick_file: TickFile, body: Path, gzip_bytes: int) -> DecodedFile | None:
        target = self._new_path(".parquet")
        look, sizes = self.client.watch_for_key(str(tick_file)), self.sizes[tick_file.unit.data_type]
        known_keys = self.known_keys if tick_file.is_group else {}  # there may be 200,000
        job = DecodeJob(body, tick_file, sizes, look, known_keys, target)
        with suppress(DecoderLost), _gone_on_failure(target):
            return self._decoders.decode(job, gzip_bytes)
        # once more by another process: the body lies here, and to fetch it again costs more
        with _gone_on_failure(target):
            return self._decoders.decode(job, gzip_bytes)

    def _stored(
        self,
        file: FileEvidence,
        tick_file: TickFile,
        decoded: DecodedFile | None,
        stat: ObjectStat,
        raw_id: str | None,
    ) -> FileEvidence:
        stored = file.stored(size_bytes=stat.size_bytes, crc32c=stat.crc32c, generation=stat.generation, raw_id=raw_id)
        if decoded is None:
            return stored
        findings = judge_ticks(
            decoded.stats,
            file.instrument_type,
            self.rules[tick_file.unit.data_type],
            is_first_day=file.is_first_day,
            is_last_day=file.is_last_day,
        )
        first, last = decoded.first_local_timestamp, decoded.last_local_timestamp
        return stored.decoded(decoded.rows, first, last, decoded.unknown_symbols).judged(decoded.stats, findings)

    def _put_raw(self, body: Path, key: str, if_generation: int) -> ObjectStat:
        return self.lake.put_file(body, key, if_generation=if_generation, content_type=GZIP_CONTENT)

    def _take_raw(self, body: Path, crc32c: str, key: str, if_generation: int) -> ObjectStat:
        return self.lake.take_file(body, key, crc32c=crc32c, if_generation=if_generation, content_type=GZIP_CONTENT)

    def _tick_file(self, attempt: Attempt, file: FileEvidence) -> TickFile:
        expires_at = self.expiries.get(file.vendor_symbol)
        return TickFile(
            attempt.unit, file.vendor_symbol, file.instrument_type, file.instrument_key, expires_at=expires_at
        )

    def _new_path(self, suffix: str) -> Path:
        # names instead of folders: making and removing those costs more than a small file's decoding
        return self.scratch / f"{next(self._numbers)}{suffix}"

    async def _on(self, pool: ThreadPoolExecutor, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(pool, call, *args)


class _BadBody(Exception):
    """A body that was received whole and is not what the format says."""

    def __init__(self, error: TickFileInvalid, crc32c: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.crc32c = crc32c


class _Fetch:
    """One body on its way, and the share of scratch that was taken for it, once its length was known."""

    def __init__(self, body: Path, take: Callable[[int], Awaitable[None]]) -> None:
        self.body = body
        self.share = 0
        self._take = take

    async def admit(self, size_bytes: int | None) -> None:
        if not self.share:  # a body that is asked for again keeps its share
            share = _FILE_SHARE * (_UNKNOWN_BYTES if size_bytes is None else size_bytes)
            await self._take(share)
            self.share = share


@contextmanager
def _gone_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        raise


def _answered(file: FileEvidence, answer: Downloaded) -> FileEvidence:
    answered = file.answered(answer.url, answer.status, answer.attempts)
    return answered.described(etag=answer.etag, last_modified=answer.last_modified, x_md5=answer.x_md5)
