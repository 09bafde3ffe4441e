"""One contract for both lakes: every test with a `lake` runs on a local directory and on a GCS server."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Literal

import google_crc32c
import polars as pl
import pytest

from market_data.errors import ConfigurationError, LakeConflict, LakeError, LakeObjectMissing, LakeUnavailable
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.checksum import encode_crc32c
from market_data.lake.gcs import GcsLake
from market_data.lake.local import LocalLake
from market_data.lake.open import open_lake, polars_storage_options
from market_data_tests.gcs_server import Fault, GcsServer

ROOT = Path(__file__).parents[2]
NOBODY = 65534
STALE = 12345
MIB = 2**20
CHECK_BYTES, CHECK_CRC32C = b"123456789", "4waSgw=="  # the check value of the CRC catalogue: 0xE3069283
ODD_KEYS = (
    "ticks/BTC~OPTIONS.parquet",
    "ticks/%C3%A9-100%.parquet",
    "ticks/a b+c@d.parquet",
    "ticks/[x]{y}*?.parquet",
    "ticks/é€漢🜚.parquet",
    "ticks/date=2024-08-08/a&b=c;d#e.parquet",
)


def test_what_was_put_is_what_is_read(lake: TickLake, tmp_path: Path) -> None:
    written = lake.put_bytes(CHECK_BYTES, "raw/venue=BINANCE/a.csv.gz", content_type="application/gzip")
    assert written == ObjectStat("raw/venue=BINANCE/a.csv.gz", 9, written.generation, CHECK_CRC32C)
    assert written.generation > 0
    assert lake.stat(written.key) == written
    assert lake.get_bytes(written.key) == (CHECK_BYTES, written)
    assert lake.fetch_file(written.key, tmp_path).read_bytes() == CHECK_BYTES


def test_an_empty_object_is_an_object(lake: TickLake, tmp_path: Path) -> None:
    written = lake.put_bytes(b"", "empty")
    assert (written.size_bytes, written.crc32c) == (0, "AAAAAA==")
    assert lake.get_bytes("empty") == (b"", written)
    assert lake.fetch_file("empty", tmp_path).read_bytes() == b""


def test_a_key_that_holds_nothing_has_no_stat_and_cannot_be_read(lake: TickLake, tmp_path: Path) -> None:
    assert lake.stat("a/missing") is None
    assert lake.list_objects("") == []
    for read in (
        lambda: lake.get_bytes("a/missing"),
        lambda: lake.fetch_file("a/missing", tmp_path),
        lambda: lake.copy("a/missing", "b"),
    ):
        with pytest.raises(LakeObjectMissing, match="a/missing"):
            read()
    assert list(tmp_path.glob("*missing*")) == []


def test_a_listing_is_recursive_sorted_by_key_and_stops_at_the_prefix(lake: TickLake) -> None:
    keys = ["a/b/c", "a/b-c", "a/b.c", "a/b/a", "ab/c", "a/B", "b"]
    for key in keys:
        lake.put_bytes(key.encode(), key)
    assert [stat.key for stat in lake.list_objects("")] == sorted(keys)
    assert [stat.key for stat in lake.list_objects("a/")] == ["a/B", "a/b-c", "a/b.c", "a/b/a", "a/b/c"]
    assert [stat.key for stat in lake.list_objects("a/b/")] == ["a/b/a", "a/b/c"]
    assert lake.list_objects("nothing/") == []


def test_a_listing_between_two_keys_takes_the_first_and_not_the_last(lake: TickLake) -> None:
    keys = [f"a/day={number:02d}.json" for number in range(1, 9)]
    for key in [*keys, "a/copy of day=03.json", "b/day=03.json"]:
        lake.put_bytes(key.encode(), key)
    found = lake.list_between("a/", keys[2], keys[5])
    assert [stat.key for stat in found] == keys[2:5]
    assert lake.list_between("a/", keys[2], f"{keys[2]}\0") == [stat for stat in found if stat.key == keys[2]]
    assert lake.list_between("a/", "a/day=99", "a/day=999") == lake.list_between("none/", "none/a", "none/b") == []


def test_a_listing_with_crc32c_says_what_each_stat_says(lake: TickLake) -> None:
    lake.put_bytes(b"one", "x/1")
    lake.copy("x/1", "x/2")
    lake.put_bytes(b"three", "x/3")
    assert lake.list_objects("x/", with_crc32c=True) == [lake.stat("x/1"), lake.stat("x/2"), lake.stat("x/3")]


def test_several_folders_are_listed_as_each_of_them_is(lake: TickLake) -> None:
    lake.put_bytes(b"one", "x/1")
    lake.copy("x/1", "a/2")
    lake.put_bytes(b"three", "x/y/3")
    lake.put_bytes(b"four", "b/4")
    wanted = [lake.stat("a/2"), lake.stat("x/1"), lake.stat("x/y/3")]
    assert lake.list_folders(["x/", "nothing/", "a/"], with_crc32c=True) == wanted
    assert [stat.key for stat in lake.list_folders(["x/", "a/"])] == ["a/2", "x/1", "x/y/3"]
    assert lake.list_folders([]) == []
    with pytest.raises(LakeError, match="'x' is refused"):
        lake.list_folders(["a/", "x"])


def test_one_level_is_its_folders_and_its_objects(lake: TickLake) -> None:
    for key in ("a/b/c/d", "a/b/e", "a/b-c", "a/f/g", "a/1", "ab/c"):
        lake.put_bytes(key.encode(), key)
    folders, found = lake.list_level("a/")
    assert (folders, [stat.key for stat in found]) == (["a/b/", "a/f/"], ["a/1", "a/b-c"])
    assert found == [stat for stat in lake.list_objects("a/") if stat.key in {"a/1", "a/b-c"}]
    assert lake.list_level("")[0] == ["a/", "ab/"]
    assert lake.list_level("a/1/") == lake.list_level("nothing/") == ([], [])
    with pytest.raises(LakeError, match="'a' is refused"):
        lake.list_level("a")


def test_every_write_of_a_key_changes_its_generation(lake: TickLake) -> None:
    generations = [lake.put_bytes(b"same", "key").generation for _ in range(20)]
    assert len(set(generations)) == 20


def test_a_generation_decides_whether_a_write_happens(lake: TickLake, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"second")
    first = lake.put_bytes(b"first", "key", if_generation=0)
    assert_conflicts(lake, lambda: lake.put_bytes(b"x", "key", if_generation=0), "no object", first.generation)
    assert_conflicts(lake, lambda: lake.put_bytes(b"x", "key", if_generation=STALE), str(STALE), first.generation)
    second = lake.put_file(path, "key", if_generation=first.generation)
    assert_conflicts(lake, lambda: lake.put_file(path, "key", if_generation=0), "no object", second.generation)
    assert lake.get_bytes("key") == (b"second", second)
    assert path.read_bytes() == b"second"
    with pytest.raises(LakeConflict, match=f"other: expected generation {STALE}, found no object"):
        lake.put_bytes(b"x", "other", if_generation=STALE)
    assert [stat.key for stat in lake.list_objects("")] == ["key"]


def test_a_generation_decides_whether_a_copy_happens(lake: TickLake) -> None:
    lake.put_bytes(b"source", "source")
    copied = lake.copy("source", "a/copy", if_generation=0)
    assert (copied.key, copied.size_bytes) == ("a/copy", 6)
    assert lake.get_bytes("a/copy") == (b"source", copied)
    assert_conflicts(lake, lambda: lake.copy("source", "a/copy", if_generation=0), "no object", copied.generation)
    new_source = lake.put_bytes(b"new source", "source")
    assert lake.get_bytes("a/copy") == (b"source", copied)
    replaced = lake.copy("source", "a/copy", if_generation=copied.generation)
    assert replaced.generation != copied.generation
    assert replaced.crc32c == new_source.crc32c
    assert lake.get_bytes("a/copy") == (b"new source", replaced)
    assert_conflicts(lake, lambda: lake.copy("source", "a/copy", if_generation=STALE), str(STALE), replaced.generation)


def test_copying_twice_or_onto_itself_changes_no_bytes(lake: TickLake) -> None:
    lake.put_bytes(b"bytes", "one")
    lake.copy("one", "two")
    lake.copy("one", "two")
    lake.copy("two", "two")
    assert [(stat.key, lake.get_bytes(stat.key)[0]) for stat in lake.list_objects("")] == [
        ("one", b"bytes"),
        ("two", b"bytes"),
    ]


def test_a_generation_decides_whether_a_delete_happens(lake: TickLake) -> None:
    written = lake.put_bytes(b"bytes", "d/key")
    assert_conflicts(lake, lambda: lake.delete("d/key", if_generation=STALE), str(STALE), written.generation)
    assert_conflicts(lake, lambda: lake.delete("d/key", if_generation=0), "no object", written.generation)
    lake.delete("d/key", if_generation=written.generation)
    assert lake.stat("d/key") is None
    with pytest.raises(LakeConflict, match=f"expected generation {STALE}, found no object"):
        lake.delete("d/key", if_generation=STALE)
    lake.delete("d/key")
    lake.delete("no/such/key", if_generation=0)
    lake.put_bytes(b"again", "d/key", if_generation=0)
    lake.delete("d/key")
    assert lake.list_objects("") == []


def test_a_large_file_is_written_conditionally_and_whole(lake: TickLake, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(20 * MIB))
    written = lake.put_file(path, "large", if_generation=0)
    assert written.size_bytes == 20 * MIB
    assert lake.stat("large") == written
    assert lake.fetch_file("large", tmp_path).read_bytes() == path.read_bytes()
    assert lake.copy("large", "copy").crc32c == written.crc32c
    assert_conflicts(lake, lambda: lake.put_file(path, "large", if_generation=0), "no object", written.generation)
    assert_conflicts(lake, lambda: lake.put_file(path, "large", if_generation=STALE), str(STALE), written.generation)
    assert lake.stat("large") == written


@pytest.mark.parametrize("has_object", [False, True])
def test_of_32_threads_racing_for_one_key_exactly_one_wins(lake: TickLake, *, has_object: bool) -> None:
    expected = lake.put_bytes(b"before", "contested").generation if has_object else 0
    lake.stat("contested")
    barrier = Barrier(32)

    def write(number: int) -> ObjectStat | None:
        barrier.wait()
        try:
            return lake.put_bytes(f"writer {number}".encode(), "contested", if_generation=expected)
        except LakeConflict:
            return None

    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(write, range(32)))
    winners = [(f"writer {number}".encode(), won) for number, won in enumerate(results) if won]
    assert winners == [lake.get_bytes("contested")]


def test_32_threads_write_copy_and_delete_side_by_side(lake: TickLake) -> None:
    def work(number: int) -> None:
        lake.put_bytes(str(number).encode(), f"deep/{number % 3}/{number % 5}/{number}")
        lake.copy(f"deep/{number % 3}/{number % 5}/{number}", f"copies/{number % 3}/{number}", if_generation=0)
        lake.delete(f"deep/{number % 3}/{number % 5}/{number}")

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(128)))
    assert lake.list_objects("deep/") == []
    assert {lake.get_bytes(stat.key)[0] for stat in lake.list_objects("")} == {str(n).encode() for n in range(128)}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_characters_in_a_key_survive_every_operation(lake: TickLake, tmp_path: Path, key: str) -> None:
    path = tmp_path / "table.parquet"
    pl.DataFrame({"price": [1.5, 2.5]}).write_parquet(path)
    written = lake.put_file(path, key, if_generation=0)
    copied = lake.copy(key, f"copies/{key}", if_generation=0)
    assert lake.stat(key) == written
    assert lake.list_objects("", with_crc32c=True) == sorted((written, copied), key=lambda stat: stat.key)
    assert lake.fetch_file(key, tmp_path).read_bytes() == path.read_bytes()
    prices = pl.scan_parquet(lake.uri(key), glob=False, storage_options=polars_storage_options(lake)).collect()
    assert prices["price"].to_list() == [1.5, 2.5]
    lake.delete(key, if_generation=written.generation)
    assert [stat.key for stat in lake.list_objects("")] == [copied.key]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "it is empty"),
        ("/a", "starts with '/'"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("./a", r"starts with '\.'"),
        ("a/../b", r"starts with '\.'"),
        (".locks/00", r"starts with '\.'"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x85b", "control character"),
        ("a\ud800b", "surrogate"),
        ("é" * 513, "longer than 1024 bytes"),
    ],
)
def test_a_key_that_no_lake_should_hold_is_refused_by_every_method(
    lake: TickLake, tmp_path: Path, key: str, reason: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    for use_key in (
        lambda: lake.stat(key),
        lambda: lake.get_bytes(key),
        lambda: lake.fetch_file(key, tmp_path),
        lambda: lake.put_bytes(b"x", key),
        lambda: lake.put_file(path, key),
        lambda: lake.copy(key, "b"),
        lambda: lake.copy("b", key),
        lambda: lake.delete(key),
        lambda: lake.uri(key),
    ):
        with pytest.raises(LakeError, match=reason) as caught:
            use_key()
        assert type(caught.value) is LakeError


def test_a_prefix_without_a_final_slash_and_a_negative_generation_are_refused(lake: TickLake) -> None:
    with pytest.raises(LakeError, match="'a/b' is refused: it must be '' or end in '/'"):
        lake.list_objects("a/b")
    with pytest.raises(LakeError, match="if_generation -1 is refused"):
        lake.put_bytes(b"x", "key", if_generation=-1)
    assert lake.list_objects("") == []


def test_a_source_file_that_cannot_be_read_is_named(lake: TickLake, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no-such-file"):
        lake.put_file(tmp_path / "no-such-file", "key")
    assert lake.list_objects("") == []


def test_a_writer_killed_in_the_middle_leaves_only_whole_objects(lake: TickLake, tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from market_data.lake.open import open_lake\n"
        "lake, path = open_lake(sys.argv[1]), Path(sys.argv[2])\n"
        "for number in range(1_000_000):\n"
        "    path.write_bytes(bytes([number % 256]) * (9 * 2**20 if number % 3 else 2**18))\n"
        "    lake.put_file(path, f'd/{number % 4}')\n"
        "    lake.copy(f'd/{number % 4}', f'copies/{number % 4}')\n"
        "    print(number, flush=True)\n"
    )
    for puts_before_the_kill in (1, 2, 5):
        with start_python(script, lake.url, str(tmp_path / "source")) as writer:
            for _ in range(puts_before_the_kill):
                assert writer.stdout is not None
                assert writer.stdout.readline()
            time.sleep(0.003 * puts_before_the_kill)
            os.kill(writer.pid, signal.SIGKILL)
        listed = lake.list_objects("", with_crc32c=True)
        assert listed
        for stat in listed:
            data, read = lake.get_bytes(stat.key)
            assert read == stat
            assert len(data) in (9 * MIB, MIB // 4)
            assert data == data[:1] * len(data)
            assert stat.key.startswith(("d/", "copies/"))
    for number in range(4):  # nothing that the killed writers held is still locked
        lake.put_bytes(b"after", f"d/{number}")


def test_a_forked_child_makes_its_own_connections(lake: TickLake, tmp_path: Path) -> None:
    script = tmp_path / "forker.py"
    script.write_text(
        "import os, sys\n"
        "from market_data.lake.open import open_lake\n"
        "lake = open_lake(sys.argv[1])\n"
        "lake.put_bytes(b'parent', 'parent')\n"
        "child = os.fork()\n"
        "name = 'parent' if child else 'child'\n"
        "for number in range(20):\n"
        "    lake.put_bytes(name.encode(), f'{name}-{number}', if_generation=0)\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    with start_python(script, lake.url) as forker:
        assert forker.wait() == 0
    assert len(lake.list_objects("")) == 41


@pytest.mark.parametrize(
    "url",
    [
        "/data/lake",
        "data/lake",
        "",
        "s3://bucket/prefix",
        "gcs://bucket",
        "file://data/lake",
        "file:data/lake",
        "file:///",
        "file:///data/../lake",
        "file:///data/a#b",
        "file:///data/a?b",
        "gs://",
        "gs:///prefix",
        "gs:bucket",
        "gs://UPPER/prefix",
        "gs://bucket/a//b",
        "gs://bucket/../b",
    ],
)
def test_a_url_that_names_no_lake_is_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"file:///absolute/directory or gs://bucket") as caught:
        open_lake(url)
    assert repr(url) in str(caught.value)


def test_a_url_is_kept_without_its_final_slash_and_uris_are_what_engines_read() -> None:
    assert open_lake("file:///data/la%20ke/").url == "file:///data/la%20ke"
    assert open_lake("file:///data/la%20ke/").uri("a/b%20c") == "/data/la ke/a/b%20c"
    assert open_lake("gs://bucket/").url == "gs://bucket"
    assert open_lake("gs://bucket/").uri("a/b%20c") == "gs://bucket/a/b%20c"
    assert open_lake("gs://bucket/a/b/").url == "gs://bucket/a/b"
    assert open_lake("gs://bucket/a/b/").uri("k") == "gs://bucket/a/b/k"


def test_a_local_object_is_read_only_and_its_copy_is_a_hard_link(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    lake.put_bytes(b"bytes", "a/one")
    lake.copy("a/one", "b/two")
    one, two = Path(lake.uri("a/one")), Path(lake.uri("b/two"))
    assert one.stat().st_mode & 0o222 == 0
    assert one.stat().st_ino == two.stat().st_ino
    assert lake.fetch_file("a/one", tmp_path) == one
    assert list((tmp_path / "lake" / ".incoming").iterdir()) == []


def test_a_local_copy_without_hard_links_copies_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    lake = LocalLake(tmp_path / "lake")
    source = lake.put_bytes(b"bytes", "one")
    monkeypatch.setattr(os, "link", refuse_link)
    copied = lake.copy("one", "two", if_generation=0)
    assert copied.crc32c == source.crc32c
    assert lake.get_bytes("two") == (b"bytes", copied)
    assert Path(lake.uri("one")).stat().st_ino != Path(lake.uri("two")).stat().st_ino


def test_a_local_generation_grows_even_when_the_clock_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LocalLake(tmp_path / "lake")
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    generations = [lake.put_bytes(b"same", "key").generation for _ in range(3)]
    assert generations == [1_700_000_000_000_000_000 + number for number in range(3)]
    assert lake.list_objects("")[0].generation == generations[-1]


def test_a_local_listing_without_crc32c_reads_no_bytes(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    written = lake.put_bytes(b"bytes", "one")
    assert lake.list_objects("") == [ObjectStat("one", 5, written.generation, None)]


def test_what_a_killed_local_writer_left_is_invisible_and_removed_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalLake(tmp_path / "lake").put_bytes(b"bytes", "one")
    left_over = tmp_path / "lake" / ".incoming" / "left-over.tmp"
    left_over.write_bytes(b"half an obj")
    lake = LocalLake(tmp_path / "lake")
    lake.put_bytes(b"bytes", "two")
    assert left_over.exists()
    assert [stat.key for stat in lake.list_objects("")] == ["one", "two"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    LocalLake(tmp_path / "lake").put_bytes(b"bytes", "three")
    assert not left_over.exists()


def test_a_local_root_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    lake = LocalLake(tmp_path / "lake")
    for use_root in (lambda: lake.put_bytes(b"x", "a/b"), lambda: lake.list_objects("")):
        with pytest.raises(LakeError, match="a file stands where a directory is needed: move it away or name another"):
            use_root()


def test_a_local_root_that_cannot_be_written_is_refused_with_the_remedy(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    root.mkdir(mode=0o500)
    with (
        as_someone_without_rights(),
        pytest.raises(
            LakeError, match=r"write a/b .*Permission denied.*give this account the right to write"
        ) as caught,
    ):
        LocalLake(root).put_bytes(b"x", "a/b")
    assert not caught.value.is_transient


def test_a_local_key_cannot_also_be_a_prefix_and_the_error_says_so(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    lake.put_bytes(b"x", "a/b")
    with pytest.raises(LakeError, match="a file stands where a directory is needed"):
        lake.put_bytes(b"x", "a/b/c")
    with pytest.raises(LakeError, match="cannot also be the prefix of others"):
        lake.put_bytes(b"x", "a", if_generation=0)
    lake.delete("a")
    lake.delete("a/b/c")
    assert lake.stat("a/b/c") is None
    assert lake.stat("a") is None
    assert [stat.key for stat in lake.list_objects("")] == ["a/b"]


def test_a_missing_bucket_is_an_error_and_not_an_empty_lake(gcs_server: GcsServer, tmp_path: Path) -> None:
    assert gcs_server.url
    uses: list[Callable[[TickLake], object]] = [
        lambda lake: lake.stat("key"),
        lambda lake: lake.list_objects(""),
        lambda lake: lake.get_bytes("key"),
        lambda lake: lake.fetch_file("key", tmp_path),
        lambda lake: lake.put_bytes(b"x", "key"),
        lambda lake: lake.copy("key", "other"),
        lambda lake: lake.delete("key"),
    ]
    for use_bucket in uses:
        with pytest.raises(LakeError, match="bucket 'no-such-bucket' does not exist or this account") as caught:
            use_bucket(open_lake("gs://no-such-bucket/prefix"))
        assert type(caught.value) is LakeError


@pytest.fixture
def faults(gcs_server: GcsServer) -> Iterator[list[Fault]]:
    yield gcs_server.faults
    gcs_server.faults.clear()


@pytest.fixture
def gcs_lake(gcs_server: GcsServer) -> GcsLake:
    """A GCS lake that holds `source` and waits but little before it asks again."""
    bucket = f"faulty-{uuid.uuid4().hex}"
    gcs_server.create_bucket(bucket)
    lake = GcsLake(bucket, retry_seconds=30)
    lake._retry = lake._retry.with_delay(initial=0.01)
    lake.put_bytes(b"source", "source")
    return lake


def test_a_write_whose_answer_was_lost_is_not_a_conflict(
    gcs_lake: GcsLake, faults: list[Fault], tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (20 * MIB // 256))
    first = gcs_lake.put_bytes(b"first", "key")
    writes: dict[str, Callable[[], ObjectStat]] = {
        "create": lambda: gcs_lake.put_bytes(b"created", "created", if_generation=0),
        "replace": lambda: gcs_lake.put_bytes(b"second", "key", if_generation=first.generation),
        "copy": lambda: gcs_lake.copy("source", "copied", if_generation=0),
        "start of a large file": lambda: gcs_lake.put_file(path, "large-0", if_generation=0),
    }
    for write in writes.values():
        faults[:] = [Fault("POST", "", "drop_answer")]
        written = write()
        assert faults[0].times == 0
        assert gcs_lake.stat(written.key) == written
    for chunk in range(3):
        faults[:] = [Fault("PUT", "upload_id", "drop_answer", after=chunk)]
        written = gcs_lake.put_file(path, f"large/{chunk}", if_generation=0)
        assert faults[0].times == 0
        assert gcs_lake.get_bytes(written.key) == (path.read_bytes(), written)


def test_a_delete_whose_answer_was_lost_is_not_a_conflict(gcs_lake: GcsLake, faults: list[Fault]) -> None:
    written = gcs_lake.put_bytes(b"bytes", "key")
    faults[:] = [Fault("DELETE", "/key", "drop_answer")]
    gcs_lake.delete("key", if_generation=written.generation)
    assert faults[0].times == 0
    assert gcs_lake.stat("key") is None


def test_the_same_bytes_from_another_writer_are_a_conflict(gcs_lake: GcsLake, faults: list[Fault]) -> None:
    other = gcs_lake.put_bytes(b"same", "key")
    faults[:] = [Fault("POST", "/upload/", 503)]
    with pytest.raises(LakeConflict):
        gcs_lake.put_bytes(b"same", "key", if_generation=0)
    assert gcs_lake.stat("key") == other


@pytest.mark.parametrize("action", [429, 503, "reset"])
def test_a_store_that_fails_for_a_moment_is_asked_again(
    gcs_lake: GcsLake, faults: list[Fault], tmp_path: Path, action: int | Literal["reset"]
) -> None:
    operations: list[tuple[str, str, Callable[[], object]]] = [
        ("POST", "/upload/", lambda: gcs_lake.put_bytes(b"bytes", "key", if_generation=0)),
        ("POST", "/rewriteTo/", lambda: gcs_lake.copy("key", "copy")),
        ("GET", "/key", lambda: gcs_lake.stat("key")),
        ("GET", "alt=media", lambda: gcs_lake.get_bytes("key")),
        ("GET", "alt=media", lambda: gcs_lake.fetch_file("key", tmp_path)),
        ("GET", "prefix=", lambda: gcs_lake.list_objects("")),
        ("DELETE", "/key", lambda: gcs_lake.delete("key")),
    ]
    for method, path_part, operate in operations:
        faults[:] = [Fault(method, path_part, action)]
        operate()
        assert faults[0].times == 0
    assert [stat.key for stat in gcs_lake.list_objects("")] == ["copy", "source"]


def test_a_store_that_keeps_failing_is_unavailable(
    gcs_lake: GcsLake, gcs_server: GcsServer, faults: list[Fault], tmp_path: Path
) -> None:
    impatient = GcsLake(gcs_lake.url.removeprefix("gs://"), retry_seconds=0.2)
    actions: tuple[int | Literal["reset"], ...] = (503, "reset")
    for action, method in itertools.product(actions, ("GET", "POST")):
        faults[:] = [Fault(method, "", action, times=1000)]
        with pytest.raises(LakeUnavailable, match="did not answer") as caught:
            impatient.put_bytes(b"x", "key") if method == "POST" else impatient.fetch_file("source", tmp_path)
        assert caught.value.is_transient
    assert list(tmp_path.glob("*source")) == []
    assert gcs_server.generation(gcs_lake.url.removeprefix("gs://"), "key") == 0


def test_missing_rights_are_permanent_and_the_error_names_the_remedy(gcs_lake: GcsLake, faults: list[Fault]) -> None:
    for status, remedy in ((403, r"roles/storage\.objectUser"), (401, "gcloud auth application-default login")):
        faults[:] = [Fault("POST", "/upload/", status)]
        with pytest.raises(LakeError, match=rf"cannot write key .*{remedy}") as caught:
            gcs_lake.put_bytes(b"x", "key")
        assert not caught.value.is_transient


def test_the_checking_server_refuses_bytes_with_another_crc32c_than_declared(
    gcs_lake: GcsLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 9 * MIB)
    monkeypatch.setattr("market_data.lake.gcs.compute_crc32c", lambda stream: stream.seek(0, 2) and "AAAAAA==")
    with pytest.raises(LakeError, match="Provided CRC32C AAAAAA== doesn't match"):
        gcs_lake.put_file(path, "key")
    assert gcs_lake.stat("key") is None


def assert_conflicts(lake: TickLake, write: Callable[[], object], expected: str, found: int) -> None:
    with pytest.raises(LakeConflict) as caught:
        write()
    assert caught.value.is_transient
    assert f"{expected}, found generation {found}; another writer" in str(caught.value)
    assert str(caught.value).startswith(lake.uri("x")[:-1])


@contextmanager
def as_someone_without_rights() -> Iterator[None]:
    """Give up root's rights, if this process has them, for the block."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextmanager
def start_python(script: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), *arguments], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def crc32c_of(data: bytes) -> str:
    return encode_crc32c(int(google_crc32c.value(data)))


def test_a_file_that_is_given_away_is_published_and_gone(lake: TickLake, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.write_bytes(b"ticks")
    taken = lake.take_file(scratch, "d/a", crc32c=crc32c_of(b"ticks"), if_generation=0)
    assert not scratch.exists()
    assert (lake.stat("d/a"), lake.get_bytes("d/a")[0]) == (taken, b"ticks")
    scratch.write_bytes(b"other")
    with pytest.raises(LakeConflict):
        lake.take_file(scratch, "d/a", crc32c=crc32c_of(b"ticks"), if_generation=0)
    assert scratch.read_bytes() == b"other"
    assert lake.stat("d/a") == taken


def test_a_file_with_another_link_is_copied_when_it_is_given_away(tmp_path: Path) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"ticks")
    second.hardlink_to(first)
    published = lake.take_file(first, "a", crc32c=crc32c_of(b"ticks"), if_generation=0)
    lake.take_file(second, "b", crc32c=crc32c_of(b"ticks"), if_generation=0)
    assert lake.stat("a") == published
    assert Path(lake.uri("a")).stat().st_nlink == 1
