"""What is assumed of the vendor is found out: of the simulator all of it holds, of a vendor that differs not."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from market_data.accept import about_files, about_metadata
from market_data.cli.accept import accept_command
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator

CLOCK = "2024-08-10T07:00:00Z"
FREE_DAY = "2024/08/01"
KEY = "TD.a-key-that-is-never-sent"


@dataclass
class Reply:
    """What the simulator answered, to be changed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @document.setter
    def document(self, value: object) -> None:
        self.body = json.dumps(value).encode()

    def change_text(self, change: Callable[[str], str]) -> None:
        if self.status == 200:
            self.body = gzip.compress(change(gzip.decompress(self.body).decode()).encode())


@dataclass
class OtherVendor:
    """A vendor that answers as the simulator does, but for `changes` by a pattern of the path."""

    url: str
    changes: dict[str, Callable[[Reply], None]] = field(default_factory=dict)
    keys_seen: list[str] = field(default_factory=list)


@contextmanager
def other_vendor(simulator: RunningSimulator) -> Iterator[OtherVendor]:
    straight = httpx.Client(trust_env=False, follow_redirects=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            running.keys_seen += [self.headers["Authorization"]] if self.headers["Authorization"] else []
            asked = {"User-Agent": self.headers["User-Agent"], "Accept-Encoding": "identity"}
            found = straight.get(f"{simulator.origin}{self.path}", headers=asked)
            reply = Reply(found.status_code, dict(found.headers), found.content)
            for pattern, change in running.changes.items():
                if re.search(pattern, self.path):
                    change(reply)
            self.send_response(reply.status)
            own = {"content-length", "transfer-encoding", "date", "server", "connection"}
            for name, value in reply.headers.items():
                if name.lower() not in own:
                    self.send_header(name, value)
            self.close_connection = "no-length" in reply.headers
            length = reply.headers.get("told-length", str(len(reply.body)))
            ending = ("Connection", "close") if self.close_connection else ("Content-Length", length)
            self.send_header(*ending)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            # whoever wants the headers alone goes away before the body
            with suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = OtherVendor(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        straight.close()


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with run_simulator(SimulatorOptions(clock=CLOCK, scale=0.05)) as running:
        yield running


@pytest.fixture
def vendor(simulator: RunningSimulator) -> Iterator[OtherVendor]:
    with other_vendor(simulator) as running:
        yield running


def accept(folder: Path, vendor: OtherVendor, *arguments: str) -> tuple[Result, Mapping[str, Any]]:
    """Run the command against a vendor; give its result and its report."""
    report = folder / "report.json"
    environment = {
        "MARKET_DATA_SETTINGS": "",
        "MARKET_DATA_VENDOR": "simulator",
        "TARDIS_API_URL": vendor.url,
        "TARDIS_DATASETS_URL": vendor.url,
        "TARDIS_API_KEY": KEY,
    }
    result = CliRunner(env=environment).invoke(accept_command, [*arguments, "--report", str(report)])
    return result, json.loads(report.read_text())


def different(report: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item["differences"][0] for item in report["assumptions"] if item["verdict"] == "different"}


def test_all_of_it_holds_of_the_simulator_and_no_key_is_sent(tmp_path: Path, vendor: OtherVendor) -> None:
    result, report = accept(tmp_path, vendor, "--venue", "binance", "--venue", "deribit", "--venue", "bitmex")
    assert different(report) == {}
    assert [item["name"] for item in report["assumptions"] if item["verdict"] == "not seen"] == []
    assert result.exit_code == 0
    taken = {file["file"].split()[1] for file in report["files"] if file["taken"]}
    assert len(taken) == 9  # every data type
    assert vendor.keys_seen == []
    assert KEY not in result.output + json.dumps(report)
    assert "Rows are sorted by local_timestamp" in result.output


def change_exchanges(reply: Reply) -> None:
    reply.document = [*reply.document, {"id": "newvenue", "supportsDatasets": True, "availableSince": "2024-01-01"}]


def change_details(reply: Reply) -> None:
    details = reply.document
    rows = details["datasets"]["symbols"]
    del rows[-1]["dataTypes"]
    rows[-2]["type"] = "warrant"
    rows[-3]["dataTypes"].append("funding")
    rows[-4]["id"] = rows[-4]["id"].lower()
    rows[-5]["availableSince"] = "2019-03-30"
    rows[-6]["availableTo"] = "2030-01-01T00:00:00.000Z"
    rows[-7]["id"] = "???"
    reply.document = details


def open_instruments(reply: Reply) -> None:
    reply.status, reply.document = 200, []


def test_what_differs_in_the_metadata_is_found(tmp_path: Path, vendor: OtherVendor) -> None:
    vendor.changes = {
        r"/exchanges$": change_exchanges,
        r"/exchanges/deribit$": change_details,
        r"/instruments/": open_instruments,
    }
    result, report = accept(tmp_path, vendor, "--venue", "deribit", "--most-mb", "1")
    found = different(report)
    for name, words in {
        "known_exchanges": "'newvenue' has tick files and is not known here",
        "symbol_rows": "has no dataTypes",
        "symbol_types": "is of type 'warrant'",
        "data_types": "offers funding",
        "file_names": "the id '",
        "instants": "availableSince is '2019-03-30'",
        "bounds": "is available to 2030-01-01T00:00:00.000Z, exported until 2024-08-10",
        "symbology": "??? keeps the vendor's form",
        "instruments": "/instruments/deribit answered 200; [401, 403] were expected",
    }.items():
        assert words in found.pop(name)
    found.pop("listed_files", None)  # of the ids that are not the vendor's
    assert found == {}
    assert result.exit_code == 1


def page(reply: Reply) -> None:
    reply.status, reply.body = 404, b"<html>who are you?</html>"
    reply.headers["content-type"] = "text/html"


def exponent(text: str) -> str:
    first, *rows = text.splitlines()
    cells = rows[0].split(",")
    return "\n".join([first, ",".join([*cells[:-1], "4.245e-8"]), *rows[1:]]) + "\n"


def free(reply: Reply) -> None:
    reply.status, reply.body = 200, gzip.compress(b"")


def with_header(name: str, value: Callable[[Reply], str]) -> Callable[[Reply], None]:
    return lambda reply: reply.headers.__setitem__(name, value(reply))


def in_two_members(reply: Reply) -> None:
    text = gzip.decompress(reply.body)
    reply.body = gzip.compress(text[:1000]) + gzip.compress(text[1000:])


def backwards(text: str) -> str:
    first, *rows = text.splitlines()
    return "\n".join([first, *reversed(rows)]) + "\n"


def later(text: str) -> str:
    """Let the venue's own times be two hours before the arrival."""
    return re.sub(r",(\d{16}),", lambda found: f",{int(found[1]) - 7_200_000_000},", text)


def keep(reply: Reply) -> None:
    """Let the digest be of what is sent, as the simulator does."""
    reply.headers["x-md5"] = f'"{hashlib.md5(reply.body).hexdigest()}"'  # noqa: S324


def test_what_differs_in_refusals_and_files_is_found(tmp_path: Path, vendor: OtherVendor) -> None:
    texts: dict[str, Callable[[str], str]] = {
        r"/trades/2024/08/01": lambda text: exponent(text.replace("buy", "BUY")),
        r"/incremental_book_L2/2024/08/01": lambda text: text.replace("true", "false"),
        r"/derivative_ticker/2024/08/01": backwards,
        r"/book_snapshot_25/2024/08/01": later,
    }
    changes = {pattern: lambda reply, change=change: reply.change_text(change) for pattern, change in texts.items()}
    vendor.changes = {
        **changes,
        r"/book_snapshot_5/2024/08/01": in_two_members,
        r"2024/08/01": keep,
        r"/quotes/2024/08/01": with_header("x-md5", lambda _: "0" * 32),
        r"/book_ticker/2024/08/01": with_header("no-length", lambda _: "yes"),
        r"2024/08/02": free,
        r"NO-SUCH-SYMBOL": page,
    }
    result, report = accept(tmp_path, vendor, "--venue", "binance-futures")
    found = different(report)
    for name, words in {
        "exponents": "a number is written 4.245e-8",
        "snapshot_first": "opens without",
        "arrival_order": "rows step back",
        "sides": "sides are other words",
        "arrival": "rows arrive 7200",
        "gzip_members": "its members are several",
        "md5_form": "x-md5 00000000",
        "md5": "its bytes have",
        "length": "Content-Length ''",
        "paid_days": "answered 200",
        "no_symbol": "answered 404 (<html>",
        "no_pages": "a page in HTML",
        "rules": "arrival_order",
    }.items():
        assert words in found.pop(name), name
    assert found == {}
    assert result.exit_code == 1


def test_a_vendor_that_wants_a_key_for_all_and_one_that_is_not_there_are_told(
    tmp_path: Path, vendor: OtherVendor
) -> None:
    def refuse(reply: Reply) -> None:
        reply.status, reply.document = 401, {"code": 11, "message": "no key"}

    vendor.changes = {rf"{FREE_DAY}": refuse}
    result, report = accept(tmp_path, vendor, "--venue", "coinbase")
    assert set(different(report)) == {"free_days", "listed_files", "no_symbol"}
    assert "no key" in result.output
    vendor.url = "http://127.0.0.1:1/v1"
    result, report = accept(tmp_path, vendor, "--venue", "coinbase")
    assert set(different(report)) == {"exchanges", "readable", "details", "instruments"}
    verdicts = [item["verdict"] for item in report["assumptions"]]
    assert verdicts.count("not seen") > len(about_files.ASSUMPTIONS) - 3


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda details: details["datasets"].update(symbols=-1), "symbol_rows"),
        (lambda details: details["datasets"].update(symbols=["a", None]), "symbol_rows"),
        (lambda details: details["datasets"].update(symbols=[]), "symbol_rows"),
        (lambda details: details["datasets"].update(exportedUntil="soon"), "readable"),
        (lambda details: details["datasets"].update(exportedUntil="9999-12-31T00:00:00.000Z"), "readable"),
        (lambda details: details.pop("datasets"), "readable"),
        (lambda details: details["datasets"]["symbols"][0].update(availableTo="2020-00-01"), "instants"),
        (lambda details: details["datasets"]["symbols"][0].update(availableTo="\ud800"), "instants"),
        (lambda details: details["datasets"]["symbols"][0].update(id={"a": [1]}), "file_names"),
    ],
)
def test_answers_of_another_shape_end_in_a_table_too(
    tmp_path: Path, vendor: OtherVendor, change: Callable[[Any], object], name: str
) -> None:
    def edit(reply: Reply) -> None:
        details = reply.document
        change(details)
        reply.document = details

    vendor.changes = {r"/exchanges/coinbase$": edit}
    result, report = accept(tmp_path, vendor, "--venue", "coinbase")
    assert name in different(report)
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("length", ["0" * 4400 + "3", "-1", "²"])
def test_a_length_that_is_none_is_told(tmp_path: Path, vendor: OtherVendor, length: str) -> None:
    vendor.changes = {rf"{FREE_DAY}": with_header("told-length", lambda _: length)}
    _, report = accept(tmp_path, vendor, "--venue", "coinbase")
    assert "length" in different(report) or "listed_files" in different(report)


def test_names_of_assumptions_are_unique_and_each_says_something() -> None:
    found = [*about_metadata.ASSUMPTIONS, *about_files.ASSUMPTIONS]
    assert len({item.name for item in found}) == len(found)
    assert all(item.says and item.mark in set("DCRIU") for item in found)
