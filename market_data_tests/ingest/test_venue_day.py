"""One venue-day from a vendor that misbehaves as told into both kinds of lake."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest

from market_data.errors import LakeError, VendorNotReady
from market_data.ingest.deletion import Deleter
from market_data.ingest.venue_day import UnitResult, ingest_venue_day
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, object_key, raw_key, receipt_key
from market_data.lake.open import open_lake, polars_storage_options
from market_data.model.data_types import TABLES, DataType
from market_data.model.limits import DEFAULT_FILES_AT_ONCE
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.store import load_receipt
from market_data.universe.rules import Selection
from market_data_tests.ingesting import (
    ALL_THREE,
    BOTH,
    DAY,
    OPTIONS,
    QUOTES,
    SPOT,
    TICKER,
    TRADES,
    Vendor,
    contents_of,
    file_of,
    is_proven,
    outcomes_of,
    plan_day,
    run_day,
    stats_of,
)
from market_data_tests.patience import wait_until

pytestmark = pytest.mark.usefixtures("retries_without_waits")


@pytest.fixture
def undisturbed(tmp_path: Path, vendor: Vendor) -> dict[str, object]:
    """What a lake holds after one run without any fault."""
    lake = open_lake((tmp_path / "undisturbed").as_uri())
    plan = plan_day(lake, vendor, ALL_THREE)
    run_day(lake, vendor, plan)
    vendor.recover()
    return contents_of(lake)


def test_a_venue_day_is_published_whole_in_every_layout(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    results = run_day(lake, vendor, plan)
    assert vendor.asked_files() == sorted(f"{data_type} {symbol}" for data_type in (TRADES, QUOTES) for symbol in SPOT)
    for data_type, result in results.items():
        receipt = result.receipt
        assert (receipt.is_complete, receipt.claim, result.was_current, result.downloads) == (True, None, False, 4)
        assert result.downloaded_bytes == sum(file.size_bytes or 0 for file in receipt.files)
        for item in receipt.objects:
            body, _ = lake.get_bytes(raw_key(receipt.unit, item.vendor_symbol))
            lines = gzip.decompress(body).decode().splitlines()
            keys = [object_key(layout, item.name(receipt.unit)) for layout in LAYOUTS]
            assert len({lake.get_bytes(key)[0] for key in keys}) == 1
            frame = pl.read_parquet(
                lake.uri(keys[0]), glob=False, hive_partitioning=False, storage_options=polars_storage_options(lake)
            )
            assert frame.schema == TABLES[data_type].published_schema
            assert frame.height == item.rows == len(lines) - 1
            assert frame["price" if data_type is TRADES else "bid_price"].null_count() == 0
            assert set(frame["instrument_key"]) == {item.instrument_key}
    assert is_proven(lake, plan)


def test_the_receipt_says_where_each_file_came_from(lake: TickLake, vendor: Vendor) -> None:
    receipt = run_day(lake, vendor, plan_day(lake, vendor))[TRADES].receipt
    file = file_of(receipt, "BTCUSDT")
    assert file.url == f"{vendor.simulator.datasets_url}/binance/trades/2024/08/08/BTCUSDT.csv.gz"
    assert (file.outcome, file.status, file.attempts, file.error) == (Outcome.STORED, 200, 1, None)
    stat = lake.stat(raw_key(receipt.unit, "BTCUSDT"))
    assert stat is not None
    assert (file.size_bytes, file.crc32c, file.generation) == (stat.size_bytes, stat.crc32c, stat.generation)
    assert file.first_local_timestamp is not None
    assert file.first_local_timestamp.date() == DAY
    assert load_receipt(lake, receipt.unit)[0] == receipt


def test_a_second_run_asks_for_no_tick_file_and_writes_nothing(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    before = stats_of(lake)
    vendor.recover()
    again = run_day(lake, vendor, plan_day(lake, vendor))
    assert vendor.asked_files() == []
    assert stats_of(lake) == before
    assert {(result.was_current, result.downloads, result.receipt.is_complete) for result in again.values()} == {
        (True, 0, True)
    }


def test_a_few_bad_files_hold_back_their_data_type_and_nothing_else(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor, OPTIONS, venue="DERIBIT")
    bad = [item.vendor_symbol for item in plan.universe.selected[1:12:4]]
    assert len(bad) == 3
    vendor.spoil("html_200", match=[f"*/trades/*/{symbol}.csv.gz" for symbol in bad])
    results = run_day(lake, vendor, plan)
    trades = results[TRADES].receipt
    assert (trades.state, trades.objects, len(trades.files), results[TRADES].downloads) == ("open", (), 12, 9)
    assert [file.vendor_symbol for file in trades.open_files] == bad
    for file in trades.open_files:
        assert file.error is not None
        assert file.error.startswith(f"DERIBIT trades 2024-08-08 {file.vendor_symbol}: not a gzip file; it starts with")
        assert file.error.endswith("; the vendor sent the same bytes twice")
        assert (file.error_class, file.is_transient) == ("TickFileInvalid", False)
    stored = [file.vendor_symbol for file in trades.files if file.is_accounted]
    assert all(lake.stat(raw_key(trades.unit, symbol)) for symbol in stored)
    assert not any(lake.stat(raw_key(trades.unit, symbol)) for symbol in bad)
    assert not any("data_type=trades" in stat.key for stat in lake.list_objects("ticks/"))
    assert is_proven(lake, plan, [QUOTES])
    assert [line for line in vendor.asked_files() if line.split()[1] in bad and "trades" in line] == sorted(
        [f"trades {symbol}" for symbol in bad] * 2
    )


def test_the_next_run_asks_for_exactly_the_bad_files(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor, OPTIONS, venue="DERIBIT")
    bad = [item.vendor_symbol for item in plan.universe.selected[1:12:4]]
    vendor.spoil("truncate", match=[f"*/trades/*/{symbol}.csv.gz" for symbol in bad])
    run_day(lake, vendor, plan)
    quotes_before = [stat for stat in stats_of(lake) if "data_type=quotes" in stat.key]
    vendor.recover()
    results = run_day(lake, vendor, plan)
    assert vendor.asked_files() == [f"trades {symbol}" for symbol in bad]
    assert results[TRADES].downloads == 3
    assert is_proven(lake, plan)
    assert all(file.error is None for file in results[TRADES].receipt.files)
    assert [stat for stat in stats_of(lake) if "data_type=quotes" in stat.key] == quotes_before


def test_a_body_that_is_bad_once_is_fetched_once_more(lake: TickLake, vendor: Vendor) -> None:
    vendor.spoil("truncate", match="*/ETHBTC.csv.gz", attempts=1)
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    assert vendor.asked_files().count("trades ETHBTC") == 2
    assert is_proven(lake, plan)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("bit_flip", "the gzip stream is damaged or cut short"),
        ("truncate", "the gzip stream is damaged or cut short"),
        ("trailing_garbage", "the gzip stream is damaged or cut short"),
        ("html_200", "not a gzip file; it starts with b'<!DOCTYPE html>"),
        ("json_200", 'not a gzip file; it starts with b\'{"message"'),
        ("wrong_header", "the header is 'exchange,"),
        ("extra_column", "the header is 'exchange,"),
        ("short_row", "a row is short or long"),
        ("long_row", "a row is short or long"),
        ("wrong_symbol", "rows are of symbol WRONGSYMBOL, not ETHBTC"),
        ("wrong_day", "rows are of 2024-08-07 "),
        ("nanoseconds", "19 digits, as nanoseconds have"),
        ("milliseconds", "13 digits, as milliseconds have"),
    ],
)
def test_no_damaged_body_is_ever_stored_or_published(tmp_path: Path, vendor: Vendor, action: str, words: str) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    vendor.spoil(action, match="*/ETHBTC.csv.gz")
    results = run_day(lake, vendor, plan_day(lake, vendor))
    for result in results.values():
        (file,) = result.receipt.open_files
        assert file.error is not None
        assert words in file.error
        assert lake.stat(raw_key(result.receipt.unit, "ETHBTC")) is None
        assert lake.stat(raw_key(result.receipt.unit, "BTCUSDT")) is not None
    assert lake.list_objects("ticks/") == []


@pytest.mark.parametrize("action", ["empty_gzip", "header_only"])
def test_a_file_without_rows_is_kept_and_accounted_for_without_an_object(
    lake: TickLake, vendor: Vendor, action: str
) -> None:
    vendor.spoil(action, match="*/trades/*/ETHBTC.csv.gz")
    plan = plan_day(lake, vendor)
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    assert outcomes_of(receipt) == dict.fromkeys(SPOT, Outcome.STORED) | {"ETHBTC": Outcome.VENDOR_EMPTY}
    assert file_of(receipt, "ETHBTC").rows == 0
    assert lake.stat(raw_key(receipt.unit, "ETHBTC")) is not None
    assert "ETHBTC" not in {item.vendor_symbol for item in receipt.objects}
    assert is_proven(lake, plan)
    vendor.recover()
    run_day(lake, vendor, plan)
    assert vendor.asked_files() == []


def test_a_day_of_empty_files_is_published_as_a_day_without_rows(lake: TickLake, vendor: Vendor) -> None:
    vendor.spoil("empty_gzip")
    plan = plan_day(lake, vendor)
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    assert (receipt.is_complete, receipt.objects) == (True, ())
    assert is_proven(lake, plan)


@pytest.mark.parametrize(("code", "error_code"), [(400, 140), (400, 300), (404, None)])
def test_a_file_that_the_vendor_does_not_have_is_accounted_for(
    lake: TickLake, vendor: Vendor, code: int, error_code: int | None
) -> None:
    fault = {"code": code, "message": "There is no such dataset."} | ({"error_code": error_code} if error_code else {})
    vendor.spoil("status", match="*/trades/*/ETHBTC.csv.gz", **fault)
    plan = plan_day(lake, vendor)
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    file = file_of(receipt, "ETHBTC")
    assert (file.outcome, file.status, receipt.is_complete) == (Outcome.NOT_OFFERED, code, True)
    assert file.error is not None
    assert "There is no such dataset" in file.error
    assert vendor.asked_files().count("trades ETHBTC") == 1
    assert is_proven(lake, plan)


def test_without_a_key_a_paid_day_stops_the_asking_and_is_the_cause_of_every_file(
    lake: TickLake, vendor: Vendor
) -> None:
    plan = plan_day(lake, vendor, OPTIONS, venue="DERIBIT")
    results = run_day(lake, vendor, plan, key=None)
    files = [file for result in results.values() for file in result.receipt.files]
    assert len(files) == 24
    remedy = "only the first day of each month is free: set TARDIS_API_KEY"
    assert [file for file in files if not (file.error or "").endswith(remedy)] == []
    assert {(file.outcome, file.error_class, file.is_transient) for file in files} == {
        (Outcome.FAILED, "VendorAccessDenied", False)
    }
    assert len(vendor.asked_files()) <= DEFAULT_FILES_AT_ONCE
    assert {result.receipt.state for result in results.values()} == {"open"}


def test_a_used_up_quota_stops_the_asking_and_says_when_to_go_on(lake: TickLake, vendor: Vendor) -> None:
    vendor.spoil("status", code=429, retry_after=16_912, error_code=277, message="Quota exceeded.")
    results = run_day(lake, vendor, plan_day(lake, vendor, OPTIONS, venue="DERIBIT"))
    files = [file for result in results.values() for file in result.receipt.files]
    assert {(file.error_class, file.is_transient, file.not_before is None) for file in files} == {
        ("VendorQuotaExceeded", True, False)
    }
    assert len(vendor.asked_files()) <= DEFAULT_FILES_AT_ONCE


def test_a_vendor_that_is_down_leaves_every_file_open_for_a_later_run(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    vendor.spoil("status", code=503, message="overloaded")
    results = run_day(lake, vendor, plan)
    files = [file for result in results.values() for file in result.receipt.files]
    assert {(file.outcome, file.error_class, file.is_transient) for file in files} == {
        (Outcome.FAILED, "VendorUnavailable", True)
    }
    vendor.recover()
    run_day(lake, vendor, plan)
    assert is_proven(lake, plan)


def test_a_day_that_is_not_exported_yet_is_not_run(lake: TickLake, vendor: Vendor) -> None:
    with pytest.raises(VendorNotReady, match="BINANCE 2024-08-11: not exported yet"):
        plan_day(lake, vendor, day=date(2024, 8, 11))
    assert vendor.asked_files() == []


def test_a_day_on_which_nothing_is_listed_is_published_as_that(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor, day=date(2019, 1, 1))
    results = run_day(lake, vendor, plan)
    assert {(result.receipt.is_complete, result.receipt.files) for result in results.values()} == {(True, ())}
    assert vendor.asked_files() == []


def test_another_decoder_publishes_from_raw_without_asking_the_vendor(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    raw_before = [stat for stat in stats_of(lake) if stat.key.startswith("raw/")]
    vendor.recover()
    results = run_day(lake, vendor, replace(plan, decoder_version="next"))
    assert vendor.asked_files() == []
    assert {result.receipt.decoder_version for result in results.values()} == {"next"}
    assert {(result.was_current, result.downloads) for result in results.values()} == {(False, 0)}
    assert [stat for stat in stats_of(lake) if stat.key.startswith("raw/")] == raw_before
    assert is_proven(lake, plan)


def test_another_decoder_publishes_from_raw_also_when_the_vendor_denies_access(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, replace(plan, data_types=(TRADES,)))
    both = replace(plan, data_types=(QUOTES, TRADES), decoder_version="next")
    results = run_day(lake, vendor, both, key=None)
    assert (results[TRADES].receipt.is_complete, results[TRADES].receipt.decoder_version) == (True, "next")
    assert len(results[TRADES].receipt.objects) == 4
    assert results[QUOTES].receipt.state == "open"
    assert is_proven(lake, plan, [TRADES])


def test_raw_bytes_that_were_damaged_are_fetched_again(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    key = raw_key(DataTypeDay("BINANCE", TRADES, DAY), "ETHBTC")
    whole, _ = lake.get_bytes(key)
    lake.put_bytes(whole[:-20], key)
    vendor.recover()
    run_day(lake, vendor, plan)
    assert vendor.asked_files() == ["trades ETHBTC"]
    assert lake.get_bytes(key)[0] == whole
    assert is_proven(lake, plan)


@pytest.mark.parametrize("is_early", [True, False])
def test_raw_bytes_that_a_deletion_takes_away_while_they_are_read_are_fetched_again(
    lake: TickLake, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, *, is_early: bool
) -> None:
    """The run begins once the day is told to be deleted, and sees objects that the deletion has still to remove."""
    unit = DataTypeDay("BINANCE", TRADES, DAY)
    kind, plan, key = type(lake), plan_day(lake, vendor), raw_key(unit, "ETHBTC")
    run_day(lake, vendor, plan)
    fetch = kind.fetch_file

    def remove_nothing(self: TickLake, key: str, *, if_generation: int | None = None) -> None:
        raise LakeError(f"{self.uri(key)} stays, at {if_generation}")

    def fetch_disturbed(self: TickLake, asked: str, directory: Path) -> Path:
        if asked == key and is_early:
            self.delete(key)
        path = fetch(self, asked, directory)
        if asked == key:
            self.delete(key)
        return path

    with monkeypatch.context() as patched, suppress(LakeError):
        patched.setattr(kind, "delete", remove_nothing)
        Deleter(lake, "ops", "the licence ended").delete(unit, datetime(2026, 11, 27, tzinfo=UTC))
    vendor.recover()
    with monkeypatch.context() as patched:
        patched.setattr(kind, "fetch_file", fetch_disturbed)
        result = run_day(lake, vendor, plan)[TRADES]
    assert vendor.asked_files() == (["trades ETHBTC"] if is_early or lake.url.startswith("file") else [])
    assert result.receipt.is_complete
    assert is_proven(lake, plan, [TRADES])


def test_a_published_object_that_was_deleted_is_made_again_from_raw(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    lake.delete(object_key("by_type", receipt.objects[0].name(receipt.unit)))
    vendor.recover()
    run_day(lake, vendor, plan)
    assert vendor.asked_files() == []
    assert is_proven(lake, plan)


def test_a_narrower_selection_keeps_what_is_published_and_a_wider_one_asks_for_the_rest(
    lake: TickLake, vendor: Vendor
) -> None:
    narrow = plan_day(lake, vendor, replace(BOTH, include=("BTC*",)))
    run_day(lake, vendor, narrow)
    vendor.recover()
    wide = plan_day(lake, vendor)
    run_day(lake, vendor, wide)
    assert vendor.asked_files() == sorted(
        f"{kind} {symbol}" for kind in (TRADES, QUOTES) for symbol in SPOT[::2] + SPOT[3:]
    )
    before = contents_of(lake)
    results = run_day(lake, vendor, narrow)
    assert {len(result.receipt.objects) for result in results.values()} == {4}
    assert {key: value for key, value in contents_of(lake).items() if "receipt" not in key} == {
        key: value for key, value in before.items() if "receipt" not in key
    }
    assert is_proven(lake, wide)


def test_a_unit_of_another_origin_is_refused_with_a_plain_error(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    with pytest.raises(LakeError, match="was filled from simulator, this run reads from elsewhere: use another lake"):
        run_day(lake, vendor, replace(plan, origin="elsewhere"))


def test_a_grouped_file_is_published_by_base_asset(lake: TickLake, vendor: Vendor) -> None:
    selection = Selection(data_types=(DataType.OPTIONS_CHAIN,), instrument_types=("OPTION",))
    plan = plan_day(lake, vendor, selection, venue="DERIBIT")
    receipt = run_day(lake, vendor, plan)[DataType.OPTIONS_CHAIN].receipt
    assert vendor.asked_files() == ["options_chain OPTIONS"]
    assert [item.stem for item in receipt.objects] == ["BTC~OPTIONS", "ETH~OPTIONS", "XRP~OPTIONS"]
    assert file_of(receipt, "OPTIONS").unknown_symbols == ()
    assert sum(item.rows for item in receipt.objects) == file_of(receipt, "OPTIONS").rows
    assert is_proven(lake, plan)


def test_two_runs_of_one_venue_day_at_once_end_in_one_consistent_lake(
    lake_url: str, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, object]
) -> None:
    monkeypatch.setattr("market_data.ingest.venue_day._OTHER_WRITER_POLL_SECONDS", 0.02)
    lake = open_lake(lake_url)
    plan = plan_day(lake, vendor, ALL_THREE)
    together = Barrier(2)

    def run() -> dict[DataType, UnitResult] | None:
        mine = open_lake(lake_url)
        together.wait()
        try:
            return run_day(mine, vendor, plan)
        except LakeError as error:
            if not error.is_transient:
                raise
            return None  # it gave way to the other one

    with ThreadPoolExecutor(2) as pool:
        both = [task.result() for task in (pool.submit(run), pool.submit(run))]
    finished = [results for results in both if results is not None]
    assert finished
    assert all(result.receipt.is_complete for results in finished for result in results.values())
    assert is_proven(lake, plan)
    assert contents_of(lake) == undisturbed
    for result in finished[0].values():
        receipt, _ = load_receipt(lake, result.receipt.unit)
        assert receipt is not None
        assert receipt.claim is None


def test_a_run_that_was_stopped_in_the_middle_and_run_again_equals_an_undisturbed_one(
    lake: TickLake, vendor: Vendor, undisturbed: dict[str, object]
) -> None:
    plan = plan_day(lake, vendor, ALL_THREE)
    vendor.spoil("stall", match=["*/trades/*/ETHBTC.csv.gz", "*/quotes/*/1INCHUSDT.csv.gz"])
    results = ingest_venue_day(lake, vendor.client, plan)
    assert isinstance(results, Iterator)
    first = next(results)
    assert first.receipt.data_type is TICKER
    wait_until(lambda: "trades ETHBTC" in vendor.asked_files(), "the other data type is at work as well")
    results.close()  # type: ignore[attr-defined]
    stopped, _ = load_receipt(lake, DataTypeDay("BINANCE", TRADES, DAY))
    assert stopped is not None
    assert (stopped.state, stopped.claim is None) == ("open", False)
    assert lake.stat(receipt_key(first.receipt.unit)) is not None
    vendor.recover()
    run_day(lake, vendor, plan)
    assert {line for line in vendor.asked_files() if "book_ticker" in line} == set()
    assert is_proven(lake, plan)
    assert contents_of(lake) == undisturbed


def test_a_symbol_too_long_for_a_name_fails_alone(lake: TickLake, vendor: Vendor) -> None:
    plan = plan_day(lake, vendor)
    first = plan.universe.selected[0]
    long = replace(first, vendor_symbol="X" * 300, parsed=replace(first.parsed, symbol="X" * 300))
    plan = replace(plan, universe=replace(plan.universe, selected=(*plan.universe.selected, long)))
    receipt = run_day(lake, vendor, plan)[TRADES].receipt
    assert outcomes_of(receipt) == dict.fromkeys(SPOT, Outcome.STORED) | {"X" * 300: Outcome.FAILED}
    error = file_of(receipt, "X" * 300).error
    assert error is not None
    assert "the symbol makes an object name of 325 bytes" in error
    assert "leave it out with `exclude`" in error


@pytest.mark.parametrize("day", [DAY - timedelta(days=1), DAY, DAY + timedelta(days=30)])
def test_rows_after_a_contract_has_expired_are_kept_and_warned_of(lake: TickLake, vendor: Vendor, day: date) -> None:
    wanted = Selection((TRADES,), include=("BTCUSD_240927",))
    plan = plan_day(lake, vendor, wanted, venue="BINANCE-DELIVERY")
    (contract,) = plan.universe.selected
    expired = replace(contract, parsed=replace(contract.parsed, expiry=datetime.combine(day, time(8), UTC)))
    universe = replace(plan.universe, listed=(expired,), selected=(expired,))
    receipt = run_day(lake, vendor, replace(plan, universe=universe))[TRADES].receipt
    (file,) = receipt.files
    assert receipt.is_complete
    assert file.stats is not None
    assert (file.stats.counts["rows_after_expiry"] > 0) == (day <= DAY)
    assert [finding.rule for finding in file.findings] == ["after_expiry"] * (day <= DAY)
