from __future__ import annotations

import gzip
import hashlib
import select
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from market_data.errors import ConfigurationError
from market_data.simulator.faults.damage import BODY_ACTIONS
from market_data.simulator.faults.faults import FIELDS_BY_ACTION, load_faults, parse_faults
from market_data.simulator.http.server import RunningSimulator
from market_data_tests.patience import PATIENCE_SECONDS

FILE = "/binance-futures/trades/2024/08/08/BTCUSDT.csv.gz"
HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"


def _get(client: httpx.Client, simulator: RunningSimulator, action: str, **fields: object) -> httpx.Response:
    simulator.set_faults([{"match": "*/trades/*", "action": action, **fields}])
    return client.get(FILE)


def _lines(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["x-md5"] == f'"{hashlib.md5(answer.content, usedforsecurity=False).hexdigest()}"'
    return gzip.decompress(answer.content).decode().splitlines()


@pytest.fixture
def good(client: httpx.Client) -> list[str]:
    return _lines(client.get(FILE))


def test_a_status_carries_the_vendors_code_and_its_waiting_time(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    answer = _get(client, simulator, "status", code=429, error_code=277, retry_after=16912, message="quota")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "16912"
    assert answer.json() == {"code": 277, "message": "quota", "retryAfterSeconds": 16912}
    nothing = _get(client, simulator, "status", code=404, no_body=True)
    assert (nothing.status_code, nothing.content) == (404, b"")
    page = _get(client, simulator, "status", code=503, html=True)
    assert page.status_code == 503
    assert page.text.startswith("<!DOCTYPE html>")


def test_attempts_are_counted_for_each_url(client: httpx.Client, simulator: RunningSimulator) -> None:
    simulator.set_faults(
        [
            {"match": "*BTCUSDT.csv.gz", "action": "status", "attempts": "1-2", "code": 500},
            {"match": "*BTCUSDT.csv.gz", "action": "status", "attempts": 4, "code": 502},
            {"match": "*/ETHUSDT.csv.gz", "action": "status", "attempts": "2-", "code": 503},
        ]
    )
    assert [client.get(FILE).status_code for _ in range(5)] == [500, 500, 200, 502, 200]
    other = FILE.replace("BTCUSDT", "ETHUSDT")
    assert [client.get(other).status_code for _ in range(3)] == [200, 503, 503]
    assert client.get("/exchanges").status_code == 200


def test_pages_and_documents_with_status_200_where_data_was_asked(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    page = _get(client, simulator, "html_200")
    assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    document = _get(client, simulator, "json_200", message="not now")
    assert (document.status_code, document.json()) == (200, {"message": "not now"})


def test_redirects_to_itself_and_to_another_origin(client: httpx.Client, simulator: RunningSimulator) -> None:
    assert _get(client, simulator, "redirect_loop").status_code == 302
    with pytest.raises(httpx.TooManyRedirects):
        client.get(FILE, follow_redirects=True)
    assert _get(client, simulator, "redirect").headers["Location"] == f"{simulator.storage_url}/v1{FILE}"
    elsewhere = _get(client, simulator, "redirect", location="http://localhost:9/x")
    assert elsewhere.headers["Location"] == "http://localhost:9/x"


def test_a_key_in_use_elsewhere(client: httpx.Client, simulator: RunningSimulator) -> None:
    answer = _get(client, simulator, "ip_bound")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryAfterSeconds"]) == (403, 274, 893)


def test_a_reset_ends_the_connection_after_some_bytes(client: httpx.Client, simulator: RunningSimulator) -> None:
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        _get(client, simulator, "reset", after_bytes=50)
    assert simulator.requests()[-1]["bytes"] == 50


def test_a_stall_sends_nothing_more(client: httpx.Client, simulator: RunningSimulator) -> None:
    simulator.set_faults([{"match": "*", "action": "stall", "after_bytes": 10}])
    with client.stream("GET", FILE) as answer:
        connection = answer.extensions["network_stream"].get_extra_info("socket")
        pieces = answer.iter_raw()
        received = len(next(pieces))
        while received < 10:
            received += len(next(pieces))
        # only now is it a matter of silence: on a busy machine the ten bytes may take long
        assert select.select([connection], [], [], 0.3)[0] == []
    assert received == simulator.requests()[-1]["bytes"] == 10


def test_a_slow_answer_is_whole(client: httpx.Client, simulator: RunningSimulator, good: list[str]) -> None:
    assert _lines(_get(client, simulator, "slow", bytes_per_second=200_000)) == good


def test_a_wrong_length_promises_more_than_is_sent(client: httpx.Client, simulator: RunningSimulator) -> None:
    whole = len(client.get(FILE).content)
    simulator.set_faults([{"match": "*", "action": "wrong_length", "delta_bytes": 7}])
    with client.stream("GET", FILE) as answer:
        assert int(answer.headers["Content-Length"]) == whole + 7
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert simulator.requests()[-1]["bytes"] == whole


def test_a_truncated_file_shows_only_in_its_gzip_and_checksum(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    whole = client.get(FILE)
    answer = _get(client, simulator, "truncate")
    assert whole.content.startswith(answer.content)
    assert int(answer.headers["Content-Length"]) == len(answer.content) < len(whole.content)
    assert answer.headers["x-md5"] == whole.headers["x-md5"]
    with pytest.raises(EOFError):
        gzip.decompress(answer.content)


def test_a_flipped_bit_keeps_the_length(client: httpx.Client, simulator: RunningSimulator) -> None:
    whole = client.get(FILE).content
    flipped = _get(client, simulator, "bit_flip").content
    assert len(flipped) == len(whole)
    assert sum((one ^ other).bit_count() for one, other in zip(whole, flipped, strict=True)) == 1
    with pytest.raises((gzip.BadGzipFile, zlib.error, EOFError)):
        gzip.decompress(flipped)


def test_empty_and_header_only_files(client: httpx.Client, simulator: RunningSimulator) -> None:
    assert _lines(_get(client, simulator, "empty_gzip")) == []
    assert _lines(_get(client, simulator, "header_only")) == [HEADER]


def test_two_members_hold_the_same_rows(client: httpx.Client, simulator: RunningSimulator, good: list[str]) -> None:
    answer = _get(client, simulator, "two_members")
    assert _lines(answer) == good
    first = zlib.decompressobj(wbits=31)
    first.decompress(answer.content)
    assert first.unused_data.startswith(b"\x1f\x8b")


def test_trailing_garbage_follows_a_whole_file(client: httpx.Client, simulator: RunningSimulator) -> None:
    whole = client.get(FILE).content
    assert _get(client, simulator, "trailing_garbage").content == whole + b"garbage after the gzip"


def test_a_bomb_inflates_a_thousandfold(client: httpx.Client, simulator: RunningSimulator, good: list[str]) -> None:
    bomb = _get(client, simulator, "bomb").content
    start = zlib.decompressobj(wbits=31)
    assert start.decompress(bomb).decode() == f"{HEADER}\n{good[1]}."
    member = zlib.decompressobj(wbits=31)
    zeros = member.decompress(start.unused_data)
    packed_bytes = len(start.unused_data) - len(member.unused_data)
    assert zeros == b"0" * len(zeros)
    assert len(zeros) > 1000 * packed_bytes
    assert len(zeros) * (len(start.unused_data) // packed_bytes) > 2e9


def test_header_and_row_defects_stand_alone(client: httpx.Client, simulator: RunningSimulator, good: list[str]) -> None:
    renamed = _lines(_get(client, simulator, "wrong_header"))
    assert (renamed[0], renamed[1:]) == (HEADER.replace("amount", "renamed"), good[1:])
    wider = _lines(_get(client, simulator, "extra_column"))
    assert (wider[0], wider[5]) == (HEADER + ",extra", good[5] + ",0")
    for action, cells in (("short_row", 7), ("long_row", 9)):
        spoilt = _lines(_get(client, simulator, action))
        changed = [line for line, before in zip(spoilt, good, strict=True) if line != before]
        assert [len(line.split(",")) for line in changed] == [cells]


def test_cell_defects_change_one_thing_in_every_row(
    client: httpx.Client, simulator: RunningSimulator, good: list[str]
) -> None:
    changes: tuple[tuple[str, int, Callable[[str], str]], ...] = (
        ("wrong_symbol", 1, lambda _: "WRONGSYMBOL"),
        ("wrong_day", 3, lambda cell: str(int(cell) - 86_400_000_000)),
        ("nanoseconds", 2, lambda cell: cell + "000"),
        ("milliseconds", 3, lambda cell: cell[:-3]),
    )
    for action, column, change in changes:
        spoilt = _lines(_get(client, simulator, action))
        assert spoilt[0] == good[0]
        for line, before in zip(spoilt[1:], good[1:], strict=True):
            assert line.split(",")[column] == change(before.split(",")[column])
            assert line.split(",")[4:] == before.split(",")[4:]


def test_an_empty_file_stays_empty_under_row_defects() -> None:
    empty = gzip.compress(b"")
    assert gzip.decompress(BODY_ACTIONS["long_row"].spoil(empty)) == b""


def test_faults_reach_metadata_but_content_faults_leave_it_alone(
    client: httpx.Client, simulator: RunningSimulator
) -> None:
    simulator.set_faults([{"match": "/v1/exchanges/*", "action": "status", "code": 500, "attempts": 1}])
    assert [client.get("/exchanges/binance").status_code for _ in range(2)] == [500, 200]
    simulator.set_faults([{"match": "*", "action": "nanoseconds"}])
    assert client.get("/exchanges/binance").json()["id"] == "binance"
    simulator.set_faults([{"match": "*", "action": "truncate"}])
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        client.get("/exchanges/binance").json()


def test_faults_can_be_set_over_http(client: httpx.Client, simulator: RunningSimulator) -> None:
    url = f"{simulator.origin}/_simulator/faults"
    assert httpx.post(url, json=[{"match": "*", "action": "empty_gzip"}], timeout=PATIENCE_SECONDS).json() == {
        "rules": 1
    }
    assert gzip.decompress(client.get(FILE).content) == b""
    refused = httpx.post(url, json=[{"match": "*", "action": "explode"}], timeout=PATIENCE_SECONDS)
    assert refused.status_code == 422
    assert "rule 1, action" in refused.json()["message"]


def test_a_faults_file_is_validated_with_clear_messages(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("- {match: '*BTC*', action: status, code: 500, attempts: 1-2}\n- {match: '*', action: truncate}\n")
    first, second = load_faults(path)
    assert first.applies_to("/v1/x/BTCUSDT.csv.gz", 2)
    assert not first.applies_to("/v1/x/BTCUSDT.csv.gz", 3)
    assert second.applies_to("/anything", 99)
    path.write_text("- {match: '*', action: truncate, code: 500}\n- {match: '*', action: slow, attempts: 2-1}\n")
    with pytest.raises(ConfigurationError) as refused:
        load_faults(path)
    message = str(refused.value)
    assert str(path) in message
    assert "rule 1: Value error, action 'truncate' does not take code. It takes: none" in message
    assert "rule 2, attempts" in message


def test_every_action_has_a_known_set_of_fields() -> None:
    for action in FIELDS_BY_ACTION:
        (rule,) = parse_faults([{"match": "*", "action": action}])
        assert rule.action == action
