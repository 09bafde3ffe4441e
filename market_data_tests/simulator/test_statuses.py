from __future__ import annotations

import gzip
import hashlib

import httpx
import pytest

from market_data.model.data_types import TABLES, DataType
from market_data.simulator.http.server import RunningSimulator, SimulatorOptions, run_simulator
from market_data_tests.patience import PATIENCE_SECONDS

FILE = "/binance/trades/2024/08/08/BTCUSDT.csv.gz"


def test_a_file_arrives_with_its_length_and_its_checksum_in_quotes(client: httpx.Client) -> None:
    answer = client.get(FILE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    digest = hashlib.md5(answer.content, usedforsecurity=False).hexdigest()
    assert answer.headers["x-md5"] == answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Last-Modified"] == "Fri, 09 Aug 2024 06:00:00 GMT"
    assert gzip.decompress(answer.content).decode().startswith(TABLES[DataType.TRADES].csv_header + "\n")


def test_the_first_day_of_a_month_is_free_and_the_others_are_not(anonymous: httpx.Client) -> None:
    assert anonymous.get("/binance/trades/2024/08/01/BTCUSDT.csv.gz").status_code == 200
    refused = anonymous.get("/binance/trades/2024/08/02/BTCUSDT.csv.gz")
    assert refused.status_code == 401
    assert "first day of each month" in refused.json()["message"]


def test_a_wrong_key_is_refused_also_on_free_days(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/binance/trades/2024/08/01/BTCUSDT.csv.gz", headers={"Authorization": "Bearer another-key"})
    assert (answer.status_code, answer.json()["code"]) == (401, 11)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nowhere/trades/2024/08/08/BTCUSDT.csv.gz", 300, "exchange"),
        ("/binance/trades/2024/08/08/NOPE.csv.gz", 300, "NOPE"),
        ("/binance/trades/2024/08/08/btcusdt.csv.gz", 300, "btcusdt"),
        ("/binance/trades/2024/08/08/MONUSDT.csv.gz", 300, "MONUSDT"),
        ("/binance/liquidations/2024/08/08/BTCUSDT.csv.gz", 300, "dataType"),
        ("/deribit/options_chain/2024/08/08/BTC-PERPETUAL.csv.gz", 300, "dataType"),
        ("/binance/book_snapshot_5/2024/08/08/SPOT.csv.gz", 300, "dataType"),
        ("/binance/trades/2024/02/30/BTCUSDT.csv.gz", 140, "calendar"),
        ("/binance/trades/2019/03/29/BTCUSDT.csv.gz", 140, "since 2019-03-30"),
        ("/binance/trades/2020/09/04/ERDUSDT.csv.gz", 140, "until 2020-09-04"),
        ("/binance/trades/2024/08/11/BTCUSDT.csv.gz", 140, "until 2024-08-11"),
    ],
)
def test_what_is_not_offered_is_a_bad_request_that_says_why(
    client: httpx.Client, path: str, code: int, words: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert words in answer.json()["message"]


def test_head_is_not_found_and_a_range_meets_the_challenge_page(client: httpx.Client) -> None:
    assert client.head(FILE).status_code == 404
    ranged = client.get(FILE, headers={"Range": "bytes=0-9"})
    assert ranged.status_code == 403
    assert ranged.headers["Content-Type"].startswith("text/html")


def test_the_default_user_agent_of_urllib_is_blocked(client: httpx.Client) -> None:
    assert client.get(FILE, headers={"User-Agent": "Python-urllib/3.11"}).status_code == 403


def test_a_path_without_a_symbol_is_not_found(client: httpx.Client) -> None:
    assert client.get("/binance/trades/2024/08/08.csv.gz").status_code == 404


def test_liquidations_of_btcusdc_are_an_empty_gzip_on_even_days(client: httpx.Client) -> None:
    even = client.get("/binance-futures/liquidations/2024/08/08/BTCUSDC.csv.gz")
    assert even.status_code == 200
    assert even.content != b""
    assert gzip.decompress(even.content) == b""


def test_the_log_of_requests_says_whether_a_key_was_sent_but_never_which(
    simulator: RunningSimulator, client: httpx.Client, anonymous: httpx.Client
) -> None:
    size = len(client.get(FILE).content)
    anonymous.get(FILE)
    first, second = simulator.requests()
    assert first == {
        "method": "GET",
        "path": f"/v1{FILE}",
        "query": "",
        "origin": "api",
        "status": 200,
        "has_authorization": True,
        "bytes": size,
    }
    assert (second["status"], second["has_authorization"]) == (401, False)
    log = httpx.get(f"{simulator.origin}/_simulator/requests", timeout=PATIENCE_SECONDS)
    assert log.json() == [first, second]
    assert "simulator-key" not in log.text
    httpx.delete(f"{simulator.origin}/_simulator/requests", timeout=PATIENCE_SECONDS)
    assert simulator.requests() == []


def test_a_redirected_download_must_drop_its_key() -> None:
    headers = {"Authorization": "Bearer simulator-key"}
    with run_simulator(SimulatorOptions(clock="2024-08-11T07:00:00Z", scale=0.1, redirect=True)) as running:
        answer = httpx.get(running.datasets_url + FILE, headers=headers, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 302
        location = answer.headers["Location"]
        assert location.startswith(running.storage_url)
        assert running.storage_url != running.origin
        assert httpx.get(location, headers=headers, timeout=PATIENCE_SECONDS).status_code == 400
        stored = httpx.get(location, timeout=PATIENCE_SECONDS)
        assert stored.status_code == 200
        assert gzip.decompress(stored.content)
        assert [entry["origin"] for entry in running.requests()] == ["api", "storage", "storage"]
        # a fault of the body happens where the body is, and counts the attempts of the first origin
        running.set_faults([{"match": "*", "action": "empty_gzip", "attempts": 2}])
        followed = [
            httpx.get(running.datasets_url + FILE, headers=headers, follow_redirects=True, timeout=PATIENCE_SECONDS)
            for _ in range(3)
        ]
        assert [len(gzip.decompress(answer.content)) > 0 for answer in followed] == [True, False, True]
