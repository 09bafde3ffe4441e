"""The vendor's key goes into a request header and nowhere else: everything a run leaves behind is searched for it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import os
import sqlite3
import subprocess
import sys
import traceback
import zlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
import stamina
import yaml

from market_data.errors import MarketDataError
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data.vendor.client import TardisClient
from market_data_tests.ingesting import CLOCK, DAY, ROOT, TRADES
from market_data_tests.simulated import simulated_environment

CANARY = "canary/4f1c9a+e27b53d8~60=TD"
# the vendor's client waits before it asks again: not here, and twice is enough
_DAGSTER = "import stamina; stamina.set_testing(True, attempts=2); from dagster._cli import main; main()"
_GZIP_MAGIC, _PARQUET_MAGIC, _SQLITE_MAGIC = b"\x1f\x8b", b"PAR1", b"SQLite format 3"


def forms_of(key: str) -> dict[str, bytes]:
    """Return the forms in which a key may stand somewhere; base64 at each alignment finds `user:key` too."""
    raw = key.encode()
    forms = {"itself": raw, "percent-encoded": quote(key, safe="").encode(), "hexadecimal": raw.hex().encode()}
    for shift in range(3):
        padded = b"\0" * shift + raw
        start, end = (shift * 8 + 5) // 6, len(padded) // 3 * 4
        forms[f"base64 after {shift}"] = base64.b64encode(padded)[start:end]
        forms[f"urlsafe base64 after {shift}"] = base64.urlsafe_b64encode(padded)[start:end]
    return forms


FORMS = forms_of(CANARY)


def finds(data: bytes) -> list[str]:
    return [name for name, form in FORMS.items() if form in data]


def readings_of(path: Path) -> Iterator[bytes]:
    """Yield a file's name, its bytes, and what they hold where they are packed."""
    data = path.read_bytes()
    yield from (str(path).encode(), data)
    if data.startswith(_GZIP_MAGIC):
        yield zlib.decompressobj(wbits=31).decompress(data)
    if data.startswith(_PARQUET_MAGIC):
        yield str(pl.read_parquet(io.BytesIO(data)).to_dict(as_series=False)).encode()
    if data.startswith(_SQLITE_MAGIC):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode()


def search(root: Path) -> tuple[int, list[str]]:
    """Return how many files there are below a directory, and where among them the key is."""
    files = [path for path in root.rglob("*") if path.is_file()]
    places = [f"{path}: {form}" for path in files for data in readings_of(path) for form in finds(data)]
    return len(files), places


def test_the_search_finds_a_key_in_each_of_its_forms_and_hiding_places(tmp_path: Path) -> None:
    for name, text in {
        "plain": CANARY,
        "percent": quote(CANARY, safe=""),
        "basic": base64.b64encode(f"tardis:{CANARY}".encode()).decode(),
        "only": base64.b64encode(f":{CANARY}".encode()).decode(),
        "user": base64.urlsafe_b64encode(f"{CANARY}:".encode()).decode(),
    }.items():
        (tmp_path / name).write_text(f"Authorization: {text}\n")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    pl.DataFrame({"text": [CANARY]}).write_parquet(tmp_path / "table.parquet", compression="zstd")
    (tmp_path / quote(CANARY, safe="")).touch()
    with sqlite3.connect(tmp_path / "rows.db") as database:
        database.execute("create table events (body text)")
        database.execute("insert into events values (?)", (CANARY,))
    (tmp_path / "innocent").write_text(base64.b64encode(b"nothing here").decode())
    count, places = search(tmp_path)
    assert count == 14
    assert {Path(place.partition(": ")[0]).name for place in places} == {path.name for path in tmp_path.iterdir()} - {
        "innocent"
    }


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05, keys=(CANARY,))) as running:
        yield running


def test_a_run_with_failures_leaves_the_key_nowhere(simulator: RunningSimulator, tmp_path: Path) -> None:
    simulator.set_faults(
        [
            {"match": "*/binance/trades/*/ETHBTC.csv.gz", "action": "status", "code": 500, "message": "a fault inside"},
            {"match": "*/binance/trades/*/BTCUSDT.csv.gz", "action": "html_200"},
            {"match": "*/binance/quotes/*/ETHBTC.csv.gz", "action": "redirect"},
            {"match": "*/binance/quotes/*/BTCUSDT.csv.gz", "action": "redirect", "location": "http://127.0.0.1:9/x"},
            {"match": "*/bitstamp/*.csv.gz", "action": "status", "code": 401, "error_code": 11, "message": "expired"},
        ]
    )
    status = materialize(simulator, tmp_path)

    assert status != 0
    storage = [entry for entry in simulator.requests() if entry["origin"] == "storage"]
    assert [entry["status"] for entry in storage] == [200]
    assert not any(entry["has_authorization"] for entry in storage)
    assert all(entry["has_authorization"] for entry in simulator.requests() if entry["origin"] == "api")
    count, places = search(tmp_path)
    assert places == []
    assert_everything_was_left(tmp_path, count)


def materialize(simulator: RunningSimulator, directory: Path) -> int:
    """Run a day of two venues as `dagster asset materialize` does, on an instance with its files in a directory."""
    home, scratch, output = directory / "home", directory / "scratch", directory / "output.txt"
    home.mkdir()
    scratch.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    venues = {
        "binance": {"data_types": ["trades", "quotes", "book_ticker"], "include": ["BTCUSDT", "ETHBTC"]},
        "bitstamp": {"data_types": ["trades"]},
    }
    (directory / "venues.yaml").write_text(yaml.safe_dump({"venues": venues}))
    environment = os.environ | simulated_environment(directory, simulator, TARDIS_API_KEY=CANARY)
    environment |= {"DAGSTER_HOME": str(home), "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    what = ["asset", "materialize", "-m", "market_data.definitions"]
    which = ["--select", "group:binance or group:bitstamp", "--partition", str(DAY)]
    with output.open("wb") as sink:
        command = [sys.executable, "-c", _DAGSTER, *what, *which]
        done = subprocess.run(command, env=environment, stdout=sink, stderr=sink, cwd=directory, check=False)
    return done.returncode


def assert_everything_was_left(directory: Path, count: int) -> None:
    """The search was worth something: the failures were told, in every place where runs tell them."""
    lake = {path.relative_to(directory / "lake").parts[0] for path in (directory / "lake").rglob("*") if path.is_file()}
    assert {"raw", "ticks", "receipt", "vendor", "universe", "origin.json"} <= lake
    databases = [path for path in (directory / "home").rglob("*.db") if path.stat().st_size]
    events = "".join(next(data for data in [*readings_of(path)][2:]).decode() for path in databases)
    logs = "".join(path.read_text() for path in (directory / "home").rglob("*.err"))
    receipts = "".join(path.read_text() for path in (directory / "lake" / "receipt").rglob("*.json"))
    of_binance = ("500 (a fault inside)", "not a gzip file", "127.0.0.1:9")
    of_bitstamp = ("401 (code 11: expired)",)
    for place in (events, receipts, logs):
        assert [words for words in (*of_binance, *of_bitstamp) if words not in place] == []
    # The terminal gets a copy of the log, which Dagster ends with the step even where some of it is not copied yet, and
    # then the error of one step that failed.
    terminal = (directory / "output.txt").read_text()
    assert any(all(words in terminal for words in told) for told in (of_binance, of_bitstamp))
    assert count > 30


Ask = Callable[[TardisClient, Path], Coroutine[Any, Any, object]]

FILE = TickFile(DataTypeDay("BINANCE", TRADES, DAY), "BTCUSDT", "SPOT_PAIR", "BINANCE:SPOT_PAIR:BTC-USDT")
ASKS: dict[str, Ask] = {
    "download": lambda client, folder: client.download(FILE, folder / "body"),
    "exchange": lambda client, _: client.exchange("BINANCE"),
    "instruments": lambda client, _: client.instruments("BINANCE"),
}
FAULTS: list[dict[str, Any]] = [
    # the vendor repeats the key in its answer
    {"action": "status", "code": 401, "message": f"the key {CANARY} has expired"},
    {"action": "status", "code": 404, "message": f"no file for {CANARY}"},
    {"action": "json_200", "message": f"the key {CANARY} is not known"},
    {"action": "status", "code": 401, "error_code": 11},
    {"action": "status", "code": 403},
    {"action": "ip_bound"},
    {"action": "status", "code": 429, "retry_after": 16_912},
    {"action": "status", "code": 429},
    {"action": "status", "code": 500},
    {"action": "status", "code": 418},
    {"action": "status", "code": 400, "html": True},
    {"action": "html_200"},
    {"action": "reset", "after_bytes": 20},
    {"action": "wrong_length", "delta_bytes": 50},
    {"action": "redirect", "location": "http://127.0.0.1:9/nobody"},
    {"action": "redirect", "location": "no address"},
    {"action": "redirect_loop"},
]


def test_no_error_of_the_client_tells_the_key(simulator: RunningSimulator, tmp_path: Path) -> None:
    told: list[str] = []
    for name, ask in ASKS.items():
        for fault in FAULTS:
            simulator.set_faults([{"match": "/v1/*", **fault}])
            error = asyncio.run(provoke(simulator, ask, tmp_path))
            if error is not None:
                told.append(f"{name} {fault}")
                assert [form for text in texts_of(error) for form in finds(text.encode())] == [], told[-1]
    assert len(told) > 30


async def provoke(simulator: RunningSimulator, ask: Ask, folder: Path) -> MarketDataError | None:
    client = TardisClient(api_url=simulator.api_url, datasets_url=simulator.datasets_url, api_key=CANARY)
    async with client:
        assert CANARY not in repr(client)
        try:
            with stamina.set_testing(True, attempts=2):
                await ask(client, folder)
        except MarketDataError as error:
            return error
    return None


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield what may be printed of an error and of all that led to it."""
    yield "".join(traceback.format_exception(error))
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield from (str(link), repr(link), repr(link.args), repr(vars(link)), *getattr(link, "__notes__", ()))
        waiting += [link.__cause__, link.__context__]
