"""The version before the format's last change, in a process of its own: it fills and reads lakes as it did.

It is a wheel in `golden/versions`, with the dependencies of today. It answers what was asked for, or a `Refusal`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from market_data.lake.format import READER_VERSION, WRITER_VERSION
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator
from market_data.universe.rules import Selection
from market_data_tests.filled_lake import ORIGIN, TODAY

FORMAT_1 = Path(__file__).parent / "golden" / "versions" / "market_data-0.1.0+format.1-py3-none-any.whl"
# Not this process's: what measures coverage here would look for the sources of a wheel that is gone.
_NOT_INHERITED = ("COVERAGE", "MARKET_DATA", "TARDIS", "DAGSTER", "PYTHON")
# In the words of the former version, whatever those of this one are: a line in, a line out.
_SERVE = """
import asyncio, json, sys, warnings
from datetime import date

import stamina

import market_data
from market_data.errors import MarketDataError
from market_data.ingest.venue_day import VenueDay, ingest_venue_day
from market_data.lake.format import READER_VERSION, WRITER_VERSION
from market_data.lake.keys import LAYOUTS
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.read import scan_ticks
from market_data.universe.learn import learn_universes
from market_data.universe.rules import Selection
from market_data.universe.table import store_universe
from market_data.vendor.client import TardisClient

answers, sys.stdout = sys.stdout, sys.stderr
stamina.set_testing(True, attempts=1)
warnings.simplefilter("ignore")


def about():
    return {"file": market_data.__file__, "format": [READER_VERSION, WRITER_VERSION]}


def run(lake, vendor, key, origin, today, venue, day, selection):
    def client():
        return TardisClient(api_url=vendor, datasets_url=vendor, api_key=key)

    async def learn():
        async with client() as asked:
            (universe,) = await learn_universes(lake, asked, venue, (day,), wanted, today=date.fromisoformat(today))
        return universe

    lake, day = open_lake(lake), date.fromisoformat(day)
    types = tuple(DataType(name) for name in selection.pop("data_types"))
    wanted = Selection(data_types=types, **{name: tuple(values) for name, values in selection.items()})
    ensure_origin(lake, origin)
    universe = asyncio.run(learn())
    store_universe(lake, universe)
    plan = VenueDay(universe, wanted, types, LAYOUTS, origin, "config")
    results = list(ingest_venue_day(lake, client, plan))
    return {result.receipt.data_type.value: result.receipt.is_complete for result in results}


def read(lake, data_type, **asked):
    return scan_ticks(data_type, lake=lake, **asked).collect().write_json()


print(json.dumps(about()), file=answers, flush=True)
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        answer = {"answer": {"run": run, "read": read}[name](**arguments)}
    except MarketDataError as error:
        answer = {"kind": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Refusal:
    """An error that the former version raised on purpose."""

    kind: str
    text: str


@dataclass(frozen=True)
class VersionBefore:
    """The former version at work, on one thing at a time."""

    process: subprocess.Popen[str]

    def run(
        self, lake_url: str, vendor: RunningSimulator, day: date, selection: Selection, venue: str = "BINANCE"
    ) -> dict[str, bool] | Refusal:
        """Run a venue-day as `filled_lake.ingest_day` does; whether each data type is whole then."""
        wanted = {"data_types": [*selection.data_types], "include": [*selection.include]}
        wanted["instrument_types"] = [*selection.instrument_types]
        about = {"lake": lake_url, "vendor": vendor.api_url, "key": DEFAULT_KEY, "origin": ORIGIN}
        done: dict[str, bool] | Refusal = self._ask("run", **about, today=TODAY, venue=venue, day=day, selection=wanted)
        return done

    def read(self, lake_url: str, data_type: str = "trades", **asked: object) -> list[dict[str, Any]] | Refusal:
        """Return the rows that `scan_ticks` gives."""
        found = self._ask("read", lake=lake_url, data_type=data_type, **asked)
        return found if isinstance(found, Refusal) else json.loads(found)

    def _ask(self, name: str, **arguments: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, arguments], default=str) + "\n")
        self.process.stdin.flush()
        answer = _answer_of(self.process)
        return answer["answer"] if "answer" in answer else Refusal(answer["kind"], answer["text"])


@contextmanager
def start_version_before(wheel: Path, directory: Path) -> Iterator[VersionBefore]:
    """Start the version of a wheel, which is unpacked into a directory; its format is older than this one's."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        cwd=directory,
        env=own | {"PYTHONPATH": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            about = _answer_of(process)
            assert Path(about["file"]).is_relative_to(directory)
            assert about["format"] == [READER_VERSION - 1, WRITER_VERSION - 1]
            yield VersionBefore(process)
        finally:
            process.kill()


def _answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the former version ended: its last words are in the captured output"
    answer: dict[str, Any] = json.loads(line)
    return answer
