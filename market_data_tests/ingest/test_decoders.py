"""Decoders in processes of their own: they say what threads say, and whoever ends, nothing is lost or left behind."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from market_data.errors import DecoderLost, ScratchError, TickFileInvalid, VendorError
from market_data.ingest import decoders
from market_data.ingest.decoders import DecodeJob, Decoders, shared_decoders
from market_data.lake.open import open_lake
from market_data.model.data_types import DataType
from market_data.model.limits import RunLimits
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.ticks.decode import DecodedFile
from market_data.vendor.secret import Secret
from market_data_tests.benchmarks.decoder_processes import decoder_pids
from market_data_tests.ingesting import (
    ALL_THREE,
    TRADES,
    Vendor,
    contents_of,
    is_proven,
    plan_day,
    run_day,
)
from market_data_tests.lying_vendor import DAY, KEY, tick_text
from market_data_tests.patience import wait_until

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date.fromisoformat(DAY))
FILE = TickFile(UNIT, "BTCUSDT", "SPOT_PAIR", "BINANCE:SPOT_PAIR:BTC-USDT")
GROUP = TickFile(UNIT, "SPOT", "SPOT_PAIR", None)
TEXT = tick_text("trades", "BTCUSDT")
BODIES = {
    "rows": gzip.compress(TEXT, mtime=0),
    "no rows": gzip.compress(TEXT.partition(b"\n")[0] + b"\n"),
    "cut short": gzip.compress(TEXT)[:-9],
    "a foreign cell": gzip.compress(TEXT.replace(b",buy,", b",buy,x", 1)),
    "another symbol": gzip.compress(TEXT.replace(b"BTCUSDT", b"ETHUSDT")),
    "the key": gzip.compress(TEXT.replace(b"buy", KEY.encode(), 1)),
    "no gzip": TEXT,
}


@pytest.fixture(autouse=True)
def _in_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the first file be worth a process, and leave none behind."""
    monkeypatch.setattr(decoders, "_WORTH_BYTES", 0)
    yield
    shared_decoders().close()
    shared_decoders.cache_clear()  # these may have given up on processes
    assert decoder_pids() == []


@pytest.fixture
def own_decoders() -> Iterator[Decoders]:
    """Decoders that no other test sees."""
    own = Decoders()
    yield own
    own.close()


def job(folder: Path, body: bytes, file: TickFile = FILE) -> DecodeJob:
    path = folder / "body.csv.gz"
    path.write_bytes(body)
    sizes = RunLimits().sizes[DataType.TRADES]
    known = {"BTCUSDT": "BINANCE:SPOT_PAIR:BTC-USDT"} if file.is_group else {}
    return DecodeJob(path, file, sizes, Secret(KEY).watch(str(file)), known, folder / "decoded")


def endless_job(folder: Path) -> DecodeJob:
    """Give a job that does not end, and start the process that will do it."""
    (folder / "first").mkdir()
    decode(job(folder / "first", BODIES["rows"]))
    given = job(folder, b"")
    given.body.unlink()
    os.mkfifo(given.body)
    os.open(given.body, os.O_RDWR)  # whoever reads it waits
    return given


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(FileNotFoundError):
        return any(link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def decode(given: DecodeJob) -> DecodedFile | None:
    """Decode as runs do."""
    return shared_decoders().decode(given, 1)


def told_by(decode_it: Callable[[DecodeJob], DecodedFile | None], given: DecodeJob) -> object:
    """Give what is decoded, but for where it lies, or the error's kind and text."""
    try:
        decoded = decode_it(given)
    except (TickFileInvalid, VendorError, ScratchError) as error:
        return type(error), str(error).replace(str(given.body.parent), "")
    if decoded is None:
        return None
    assert all(item.path.stat().st_size == item.size_bytes for item in decoded.objects)
    return (
        decoded.stats,
        decoded.unknown_symbols,
        [(item.stem, item.content_id, item.crc32c) for item in decoded.objects],
    )


@pytest.mark.parametrize("file", [FILE, GROUP], ids=["one instrument", "a group"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_process_says_what_a_thread_says(tmp_path: Path, body: bytes, file: TickFile) -> None:
    (tmp_path / "thread").mkdir()
    (tmp_path / "process").mkdir()
    told = told_by(decode, job(tmp_path / "process", body, file))
    assert bool(decoder_pids()) == (not file.is_group)
    assert told == told_by(DecodeJob.run, job(tmp_path / "thread", body, file))


def test_what_a_full_disk_says_comes_through(tmp_path: Path) -> None:
    given = job(tmp_path, BODIES["rows"])
    given.target.mkdir()  # what cannot be written for whatever reason
    with pytest.raises(
        ScratchError, match=r"trades 2024-08-08 .*: its Parquet cannot be written at .*decoded"
    ) as caught:
        decode(given)
    assert "Traceback" in str(caught.value.__cause__)


def test_a_process_stays_for_the_next_venue_day_and_its_death_while_idle_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert decode(job(tmp_path / "a", BODIES["rows"]))
    (first,) = decoder_pids()
    (tmp_path / "b").mkdir()
    assert decode(job(tmp_path / "b", BODIES["rows"]))
    assert decoder_pids() == [first]
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    (tmp_path / "c").mkdir()
    assert decode(job(tmp_path / "c", BODIES["rows"]))
    (second,) = decoder_pids()
    assert second != first


def test_a_process_that_is_killed_at_work_fails_that_file_for_now(tmp_path: Path) -> None:
    given = endless_job(tmp_path)
    (pid,) = decoder_pids()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(decode, given)
        wait_until(lambda: has_open(pid, given.body), "the decoder is at work")
        os.kill(pid, signal.SIGKILL)
        error = answer.exception()
    assert isinstance(error, DecoderLost)
    assert error.is_transient
    assert str(error).startswith(f"{FILE}: the process that decoded it was killed, as where memory is short: give ")
    (tmp_path / "next").mkdir()
    assert decode(job(tmp_path / "next", BODIES["rows"]))


def test_a_venue_day_in_processes_leaves_the_lake_of_one_on_threads(
    tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.spoil("truncate", match="*/trades/*/ETHBTC.csv.gz")
    lakes = [open_lake((tmp_path / name).as_uri()) for name in ("threads", "processes")]
    for lake, worth_bytes in zip(lakes, (2**60, 0), strict=True):
        monkeypatch.setattr(decoders, "_WORTH_BYTES", worth_bytes)
        assert decoder_pids() == []
        results = run_day(lake, vendor, plan_day(lake, vendor, ALL_THREE))
        assert results[TRADES].receipt.state == "open"
    assert decoder_pids()
    assert contents_of(lakes[0]) == contents_of(lakes[1])


def test_decoders_killed_in_the_midst_of_a_venue_day_cost_files_that_the_next_run_brings(
    tmp_path: Path, vendor: Vendor
) -> None:
    lake, undisturbed = open_lake((tmp_path / "lake").as_uri()), open_lake((tmp_path / "undisturbed").as_uri())
    plan = plan_day(lake, vendor, ALL_THREE)
    kills, is_over = 0, threading.Event()

    def kill() -> None:
        nonlocal kills
        while kills < 3 and not is_over.wait(0.002):
            for pid in decoder_pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    results = run_day(lake, vendor, plan)
    is_over.set()
    killer.join()
    assert kills
    failed = [file for result in results.values() for file in result.receipt.files if file.error_class]
    assert {(file.error_class, file.is_transient) for file in failed} <= {("DecoderLost", True)}
    run_day(lake, vendor, plan)
    run_day(undisturbed, vendor, plan_day(undisturbed, vendor, ALL_THREE))
    assert is_proven(lake, plan)
    assert contents_of(lake) == contents_of(undisturbed)


ORPHANS = """
import threading
import time
from pathlib import Path
from market_data_tests.ingest.test_decoders import *
decoders._WORTH_BYTES = 0
given = endless_job(Path(sys.argv[1]))
(pid,) = decoder_pids()
threading.Thread(target=decode, args=(given,), daemon=True).start()
wait_until(lambda: has_open(pid, given.body), "the decoder is at work")
fork = os.fork()
if fork:
    print(pid, fork, flush=True)
time.sleep(600)
"""


def test_who_started_a_process_takes_it_along_also_in_the_midst_of_a_file_and_though_a_fork_lives_on(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, fork = map(int, parent.stdout.readline().split())
        parent.kill()
    try:
        wait_until(lambda: not _is_running(pid), "the decoder has ended with its parent")
        assert _is_running(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


def test_ctrl_c_does_not_reach_a_process(tmp_path: Path) -> None:
    assert decode(job(tmp_path, BODIES["rows"]))
    (pid,) = decoder_pids()
    assert os.getpgid(pid) != os.getpgid(0)


class LastWord(Exception):
    """An error that cannot be sent: it takes more than its text."""

    def __init__(self, *, word: str) -> None:
        super().__init__(word)


def say_last_word(_: bytes) -> None:
    """Look at text and fail."""
    raise LastWord(word="no more")


def test_an_error_that_cannot_be_sent_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="LastWord: no more"):
        decode(replace(job(tmp_path, BODIES["rows"]), look=say_last_word))


def test_what_a_process_cannot_read_ends_it_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as where another version was installed under a run
    monkeypatch.setitem(sys.modules, "gone", ModuleType("gone"))
    look = FunctionType(find_no_memory.__code__, {}, "look")
    look.__module__ = look.__qualname__ = "gone"
    sys.modules["gone"].gone = look  # type: ignore[attr-defined]
    with pytest.raises(DecoderLost, match="the process that decoded it ended with 1; what it said stands"):
        decode(replace(job(tmp_path, BODIES["rows"]), look=look))


def test_there_are_no_more_processes_than_decoders_however_many_venue_days_are_at_work(tmp_path: Path) -> None:
    at_once = 3 * decoders.count_decoders()
    folders = [tmp_path / str(number) for number in range(at_once)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(at_once) as pool:
        assert all(pool.map(decode, [job(folder, BODIES["rows"]) for folder in folders]))
    assert 0 < len(decoder_pids()) <= decoders.count_decoders()


def test_where_no_process_can_be_started_threads_decode_and_say_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, own_decoders: Decoders
) -> None:
    monkeypatch.setattr(sys, "executable", "/gone/python")
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        assert own_decoders.decode(job(tmp_path / str(number), BODIES["rows"]), 100)
    (told,) = caplog.messages
    assert told.startswith("files are decoded on threads, which takes longer: no process can be started")
    assert "/gone/python" in told


def test_where_another_version_was_installed_under_a_run_threads_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, own_decoders: Decoders
) -> None:
    monkeypatch.setattr(decoders, "_CODE", ("2", "1"))
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        assert own_decoders.decode(job(tmp_path / str(number), BODIES["rows"]), 100)
        assert decoder_pids() == []
    (told,) = caplog.messages
    assert "are installed now where this run is of ('2', '1')" in told


@pytest.mark.parametrize(
    ("limit", "decoders_there"),
    [("max 100000", None), ("150000 100000", 2), ("100000 100000", 1), ("50000 100000", 1), ("no limit", None)],
)
def test_a_container_has_as_many_decoders_as_it_may_use_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, decoders_there: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(decoders, "_CPU_LIMIT", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert decoders.count_decoders.__wrapped__() == (decoders_there or 6)


def find_no_memory(_: bytes) -> None:
    """Look at text as a machine does that has no memory left."""
    raise MemoryError


def test_a_process_that_finds_no_memory_fails_that_file_for_now(tmp_path: Path) -> None:
    with pytest.raises(DecoderLost, match="the process that decoded it found no memory: give the machine more"):
        decode(replace(job(tmp_path, BODIES["rows"]), look=find_no_memory))


def test_a_fork_leaves_the_processes_to_its_parent(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert decode(job(tmp_path / "a", BODIES["rows"]))
    child = os.fork()
    if not child:
        os._exit(len(shared_decoders()._processes))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (tmp_path / "b").mkdir()
    assert decode(job(tmp_path / "b", BODIES["rows"]))


def test_few_files_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_decoders: Decoders) -> None:
    monkeypatch.setattr(decoders, "_WORTH_BYTES", 3 * decoders._LEAST_WEIGHT)
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        assert decoder_pids() == []
        assert own_decoders.decode(job(tmp_path / str(number), BODIES["rows"]), 100)
    assert len(decoder_pids()) == 1


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
