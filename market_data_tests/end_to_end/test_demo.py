"""`market-data demo` as a newcomer runs it, in a process and a directory of its own, and what one copies after it."""

import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from market_data_tests.copied import README, blocks_of, clean_environment, run_copied
from market_data_tests.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")


@dataclass(frozen=True)
class Demo:
    """A demo that has ended: where, what it printed, and the mark of its processes."""

    directory: Path
    output: str
    mark: str

    @property
    def home(self) -> Path:
        return self.directory / ".market_data" / "demo"


def start_demo(directory: Path, mark: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "market_data", "demo"],
        cwd=directory,
        env=clean_environment() | {"DEMO_TEST_MARK": mark, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_with(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in environment and state != "Z":
            found.append(int(process.name))
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once for this file, in a directory like a clone's: its environment is `.venv`."""
    directory, mark = tmp_path_factory.mktemp("clone"), uuid.uuid4().hex
    (directory / ".venv").symlink_to(sys.prefix)
    process = start_demo(directory, mark)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, output
    return Demo(directory, output, mark)


def test_the_demo_publishes_days_shows_a_failure_and_its_cure_and_leaves_nothing_running(demo: Demo) -> None:
    output = demo.output
    assert re.search(
        r"trades 1 of 8 files failed \(\w+: 1 damaged or not in the vendor's format\); book_ticker", output
    )
    assert "The re-run asked the vendor for 1 tick file: /v1/binance-futures/trades/" in output
    rows = [line.split("│")[1:-1] for line in output.splitlines() if line.startswith("│ ") and "/" in line[-12:]]
    assert [cells[0].strip() for cells in rows] == ["binance"] * 3 + ["binance-futures"] * 3 + ["deribit"] * 3
    for cells in rows:
        expected, stored, empty, not_offered, failed = (int(cell) for cell in cells[2:7])
        assert expected == stored + empty + not_offered
        assert failed == 0
        passed, evaluated = cells[-1].strip().split("/")
        assert passed == evaluated
    assert any(int(cells[4]) > 0 for cells in rows)  # the vendor had an empty file
    assert "BINANCE:SPOT_PAIR:BTC-USDT" in output
    assert processes_with(demo.mark) == []


# Blocks of the README that are not run here, by what they begin with.
NOT_RUN = {
    "make demo": "what this file begins with, and the suite itself",
    "make dev": "runs until Ctrl-C; see the fixture `dev`, and ui/test_ui.py",
    "export TARDIS_API_KEY": "needs an account",
    "docker compose": "needs a container engine",
    "create view": "SQL, which read/test_one_layout.py runs",
}


def test_every_code_block_of_the_readme_runs_as_it_stands_after_the_demo_and_gives_rows(demo: Demo) -> None:
    blocks = blocks_of(README.read_text(encoding="utf-8"))
    left_out = [name for block in blocks for name in NOT_RUN if block.text.startswith(name)]
    assert sorted(left_out) == sorted(NOT_RUN)
    copied = [block for block in blocks if not block.text.startswith(tuple(NOT_RUN))]
    assert {block.heading for block in copied} >= {"Two commands", "Read it", "Look after it"}
    for block in copied:
        assert block.language in {"sh", "python"}, block
        for text in block.text.splitlines() if block.language == "sh" else [block.text]:
            assert_gives_rows(text, run_copied(block.language, text, demo.directory))


def assert_gives_rows(command: str, output: str) -> None:
    """The output is of the demo and not of nothing: rows, a table with held days, or what was asked for."""
    if "rows: " in output:
        assert int(output.rpartition("rows: ")[2]) > 0, output
        return
    assert re.search(r"BINANCE|ok +lake|one row is", output), f"{command}\n{output}"
    assert "None of this was run" not in output
    assert "No instrument matches" not in output


def test_every_snippet_on_an_asset_page_runs_anywhere_and_gives_rows(demo: Demo, tmp_path: Path) -> None:
    snippets: dict[str, str] = {}
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        for key in instance.get_asset_keys():
            for record in instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key), limit=100).records:
                event = record.asset_materialization
                assert event is not None
                if (snippet := event.metadata.get("read it")) is not None:
                    snippets[f"{key.to_user_string()} {event.partition}"] = str(snippet.value)
    assert len(snippets) >= 30
    # one for each data type of a venue: each process takes seconds, and days differ in nothing but the date
    newest = {name.partition(" ")[0]: text for name, text in sorted(snippets.items())}
    for name, text in newest.items():
        (block,) = blocks_of(text)
        assert max(map(len, block.text.splitlines())) < 64, "the page cuts longer lines off"
        output = run_copied(block.language, block.text, tmp_path)
        assert int(output.rpartition("rows: ")[2]) > 0, f"{name}\n{output}"


def test_the_overviews_of_all_venues_are_filled(demo: Demo) -> None:
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        universe = instance.get_materialized_partitions(dg.AssetKey("universe"))
        coverage = instance.get_latest_materialization_event(dg.AssetKey("coverage"))
    assert universe == {"2024-08-07", "2024-08-08", "2024-08-09"}
    assert coverage is not None
    assert coverage.asset_materialization is not None
    verdict = str(coverage.asset_materialization.metadata["verdict"].value)
    assert verdict.startswith("33 of 330 complete (venue, data type, day); 0 incomplete")


def test_a_range_outside_the_demos_days_is_refused_before_anything_starts(demo: Demo) -> None:
    command = [sys.executable, "-m", "market_data", "backfill", "--venue", "binance", "--from", "2024-09-01"]
    done = subprocess.run(
        command, cwd=demo.directory, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2  # asked for wrongly
    assert "2024-09-01 to 2024-09-01 is not inside the days of the venues file" in done.stderr
    assert "2024-08-01 to 2024-08-31" in done.stderr


def test_a_settings_file_of_another_lake_is_not_written_over(tmp_path: Path) -> None:
    settings_file = tmp_path / ".market_data" / "settings.env"
    settings_file.parent.mkdir()
    settings_file.write_text("MARKET_DATA_LAKE_URL=gs://bucket/ticks\n")
    done = start_demo(tmp_path, uuid.uuid4().hex)
    output, _ = done.communicate(timeout=PATIENCE_SECONDS)
    assert done.returncode == 1
    assert ".market_data/settings.env is not the demo's: it names another lake" in output
    assert settings_file.read_text() == "MARKET_DATA_LAKE_URL=gs://bucket/ticks\n"


def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    demo = start_demo(tmp_path, mark)
    try:
        receipts = tmp_path / ".market_data" / "demo" / "lake" / "receipt"
        wait_until(lambda: receipts.exists() or demo.poll() is not None, "the first run writes a receipt")
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    finally:
        demo.kill()
    assert demo.returncode != 0
    assert "Aborted!" in output
    assert not (tmp_path / ".market_data" / "settings.env").exists()
    wait_until(lambda: processes_with(mark) == [], "the demo's processes have ended")


@pytest.fixture(scope="module")
def dev(demo: Demo) -> Iterator[str]:
    """`market-data dev` in the demo's directory; what it says until it is ready.

    It works until the end of this file, also when nobody asks it for anything: tests that need none come before.
    """
    command = [sys.executable, "-m", "market_data", "dev", "--port", str(free_port())]
    environment = clean_environment() | {"DEMO_TEST_MARK": demo.mark}
    process = subprocess.Popen(
        command, cwd=demo.directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = ""
        assert process.stdout is not None
        while "/assets/coverage" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        reader = threading.Thread(target=process.stdout.read)  # nobody else empties the pipe
        reader.start()
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE_SECONDS)
        reader.join()
    wait_until(lambda: processes_with(demo.mark) == [], "the UI's processes have ended")


def test_every_line_that_the_demo_prints_to_be_copied_runs(demo: Demo, dev: str) -> None:
    indented = re.findall(r"^    (\S.*)$", demo.output, flags=re.MULTILINE)
    python = [line for line in indented if re.match(r"from |print\(", line)]
    shell = [line for line in indented if line not in python]
    assert len(python) == 2
    assert len(shell) == 4
    assert "BINANCE:SPOT_PAIR" not in run_copied("python", "\n".join(python[:1]), demo.directory)
    assert "shape: (5, " in run_copied("python", "\n".join(python), demo.directory)
    outputs = {line: run_copied("sh", line, demo.directory) for line in shell if " dev " not in line}
    for line, output in outputs.items():
        assert_gives_rows(line, output)
    (backfilled,) = (output for line, output in outputs.items() if " backfill " in line)
    # the UI is open on the demo: the range goes through its Dagster
    assert "vendor simulator (made-up data)" in dev
    assert f"Through the Dagster at {re.findall(r'The UI is at (.*) - ', dev)[0]}\n" in backfilled
    assert "1 venue-days done, 0 failed" in backfilled


def backfill(demo: Demo, *options: str, sends: str | None = None) -> tuple[int, str]:
    """Run the command in the demo's directory; press Ctrl-C as soon as it says `sends`. Answer exit code and output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "market_data", "backfill", "--venue", "binance", *options],
        cwd=demo.directory,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while line := process.stdout.readline():
        said += line
        if sends is not None and sends in line:
            process.send_signal(signal.SIGINT)
            sends = None
    return process.wait(timeout=PATIENCE_SECONDS), said


def runs_of(demo: Demo, output: str) -> list[dg.DagsterRun]:
    """The runs that a backfill says it launched."""
    tag, _, value = re.findall(r"Runs, tag (\S+)", output)[0].partition("=")
    with dg.DagsterInstance.from_config(str(demo.home / "dagster")) as instance:
        return list(instance.get_runs(dg.RunsFilter(tags={tag: value})))


def test_a_backfill_shows_each_day_names_each_that_failed_and_only_missing_goes_on_from_there(
    demo: Demo, dev: str
) -> None:
    assert dev
    lake = demo.home / "lake"
    (receipt,) = lake.glob("receipt/venue=BINANCE/data_type=quotes/date=2024-08-08.json")
    receipt.write_bytes(b"{")
    code, output = backfill(demo, "--from", "2024-08-07", "--to", "2024-08-09")
    assert code == 1, output
    lines = output.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("  ok ")] == [
        ["ok", "BINANCE", "2024-08-07"],
        ["ok", "BINANCE", "2024-08-09"],
    ]
    assert re.search(r"^Failed \(1\):\n  BINANCE 2024-08-08  .*receipt", output, flags=re.MULTILINE)
    assert "2 venue-days done, 1 failed; 0 files, 0 bytes" in output
    (run,) = runs_of(demo, output)
    assert run.status is dg.DagsterRunStatus.FAILURE
    receipt.unlink()
    code, output = backfill(demo, "--from", "2024-08-07", "--to", "2024-08-09", "--only-missing")
    assert code == 0, output
    assert output.startswith("2024-08-08 of BINANCE; vendor simulator (made-up data), ")
    assert "1 venue-days done, 0 failed; 0 files" in output  # the vendor's bytes are kept, its receipt alone is gone
    (run,) = runs_of(demo, output)
    assert (run.status, run.tags["dagster/asset_partition_range_end"]) == (dg.DagsterRunStatus.SUCCESS, "2024-08-08")
    code, output = backfill(demo, "--from", "2024-08-07", "--to", "2024-08-09", "--only-missing")
    assert code == 0
    assert output.startswith("Nothing is missing from 2024-08-07 to 2024-08-09; vendor simulator")


def test_ctrl_c_cancels_what_a_backfill_launched_and_keeps_what_is_done(demo: Demo, dev: str) -> None:
    assert dev
    code, output = backfill(demo, "--from", "2024-08-13", "--to", "2024-08-31", sends="ok      BINANCE 2024-08-13")
    assert code == 130, output
    assert "Cancelled: what is published stays" in output
    (told,) = re.findall(
        r"(\d+) venue-days done, 0 failed, (\d+) not run \(cancelled\); (\d+) files, [\d.]+ [kM]B, ", output
    )
    done, not_run, files = map(int, told)
    assert done + not_run == 19
    assert done >= 1
    assert files >= 16 * done  # a data type of the day that was cut short may be published
    assert {run.status for run in runs_of(demo, output)} == {dg.DagsterRunStatus.CANCELED}
    assert (demo.home / "lake/receipt/venue=BINANCE/data_type=quotes/date=2024-08-13.json").exists()


def test_a_backfill_into_another_lake_does_not_go_through_the_dagster_that_runs_here(demo: Demo, dev: str) -> None:
    environment = clean_environment() | {
        "MARKET_DATA_VENDOR": "simulator",
        "MARKET_DATA_LAKE_URL": (demo.directory / "other-lake").as_uri(),
        "DAGSTER_HOME": str(demo.home / "dagster"),
    }
    command = [sys.executable, "-m", "market_data", "backfill", "--venue", "binance", "--from", "2024-08-12"]
    done = subprocess.run(command, cwd=demo.directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"serves MARKET_DATA_LAKE_URL=\S+/demo/lake, .*; asked for is .*other-lake", done.stderr)
    assert not (demo.directory / "other-lake").exists()
    assert "vendor simulator (made-up data)" in dev


def test_what_runs_dagster_on_a_home_keeps_others_from_it(demo: Demo, dev: str) -> None:
    port = re.findall(r"127\.0\.0\.1:(\d+) - ", dev)[0]
    again = {
        "demo": "another market-data program runs Dagster on",
        f"dev --port {free_port()}": "another market-data program runs Dagster on",
        f"dev --port {port}": f"port {port} of 127.0.0.1 is in use",
    }
    for command, told in again.items():
        own = {"DAGSTER_HOME": str(demo.directory / "own")} | {"MARKET_DATA_VENDOR": "simulator"}
        done = subprocess.run(
            [sys.executable, "-m", "market_data", *command.split()],
            cwd=demo.directory,
            env=clean_environment() | (own if "in use" in told else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert told in done.stderr
    assert (demo.home / "lake").is_dir()
