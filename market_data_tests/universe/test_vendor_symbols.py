"""Whatever the vendor calls an instrument, its objects lie in its unit's folder under names of their own.

From the vendor's list of symbols through the universe to the keys, and into both kinds of lake.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from market_data.errors import MarketDataError
from market_data.lake.base import TickLake
from market_data.lake.keys import (
    LAYOUTS,
    PublishedName,
    failed_key,
    failed_prefix,
    object_key,
    object_prefix,
    raw_key,
    raw_prefix,
)
from market_data.model.data_types import DataType
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.universe.rules import Selection, expected_tick_files, instruments_on
from market_data_tests.ingesting import DAY, TRADES, Address

SELECTION = Selection(data_types=(TRADES,), prefer_grouped=())
VENDOR = Address("https://vendor.example/v1")
UNIT = DataTypeDay("BINANCE", TRADES, DAY)
ODD_BUT_STORED = {
    "up": "../X",
    "far up": "../../../../../../etc/passwd",
    "two dots": "..",
    "one dot": ".",
    "hidden": ".hidden",
    "encoded dots": "%2e%2e",
    "encoded way up": "%2e%2e%2fX",
    "encoded slash": "A%2FB",
    "encoded twice": "%252e%252e%252fX",
    "backslashes": "..\\..\\X",
    "NUL": "NUL\0X",
    "line end": "A\nB",
    "Chinese": "币安人生USDT",
    "composed": "\u00e9",
    "right to left": "\u202eX",
    "space": "X Y",
    "query": "?x=1#y",
    "globs": "*[x]?",
    "drive": "C:",
    "quotes": "'\"`$(X)",
    "like a group's part": "X~OPTIONS",
    "like an unknown one": "~X",
    "like a file": "X.csv.gz",
    "a key's partition": "venue=OTHER",
}
TOO_ODD = {"nothing": "", "half a character": "\ud800X", "300 characters": "X" * 300, "1,200 characters": "X" * 1200}


def expected_files(*symbols: str, vendor_type: str = "spot") -> tuple[TickFile, ...]:
    """Go the way of a run: the vendor's details, the universe of the day, the tick files that must exist."""
    rows = [
        {
            "id": symbol,
            "type": vendor_type,
            "dataTypes": ["trades"],
            "availableSince": "2024-01-01T00:00:00.000Z",
            "availableTo": "2024-08-11T00:00:00.000Z",
        }
        for symbol in symbols
    ]
    answer: dict[str, Any] = {"datasets": {"exportedUntil": "2024-08-11T00:00:00.000Z", "symbols": rows}}
    return expected_tick_files(instruments_on("BINANCE", answer, DAY, SELECTION, {}), SELECTION, DataType.TRADES)


def keys_by_folder(file: TickFile) -> dict[str, str]:
    """Return {folder that the unit owns: the file's key in it}."""
    assert file.instrument_key is not None
    name = PublishedName(UNIT, file.instrument_type, parse_instrument_key(file.instrument_key)[2])
    keys = {object_prefix(layout, UNIT, file.instrument_type): object_key(layout, name) for layout in LAYOUTS}
    return keys | {
        raw_prefix(UNIT): raw_key(UNIT, file.vendor_symbol),
        failed_prefix(UNIT): failed_key(UNIT, file.vendor_symbol),
    }


def store(lake: TickLake, file: TickFile) -> None:
    for key in keys_by_folder(file).values():
        lake.put_bytes(file.vendor_symbol.encode(), key, if_generation=0)


def assert_inside(lake: TickLake, file: TickFile) -> None:
    """Each object lies directly in a folder of its unit, also where the file system has the last word."""
    for folder, key in keys_by_folder(file).items():
        assert key.startswith(folder)
        assert "/" not in key.removeprefix(folder)
        (stat,) = (stat for stat in lake.list_objects(folder) if stat.key == key)
        if lake.url.startswith("file:"):
            path, home = Path(lake.uri(stat.key)), Path(lake.uri(folder[:-1]))
            assert path.resolve().parent == home.resolve()
            assert path.read_bytes() == file.vendor_symbol.encode()


def assert_asked_for_in_the_days_folder(file: TickFile) -> None:
    """No symbol leads the request to another path, and the vendor decodes what was meant."""
    parts = urlsplit(VENDOR.client().tick_file_url(file))
    *folders, name = parts.path.split("/")
    assert folders == ["", "v1", "binance", "trades", "2024", "08", "08"]
    assert unquote(name) == f"{file.vendor_symbol}.csv.gz"
    assert name not in {".", ".."}
    assert (parts.hostname, parts.query, parts.fragment) == ("vendor.example", "", "")


def test_odd_symbols_are_stored_in_their_units_folder_each_under_its_own_name(lake: TickLake) -> None:
    files = expected_files(*ODD_BUT_STORED.values())
    assert len(files) == len(ODD_BUT_STORED)
    for file in files:
        store(lake, file)  # if_generation=0: a name that another file has would be refused
    for file in files:
        assert_inside(lake, file)
        assert_asked_for_in_the_days_folder(file)
    assert len(lake.list_objects("")) == len(files) * (len(LAYOUTS) + 2)


@pytest.mark.parametrize("symbol", TOO_ODD.values(), ids=TOO_ODD)
def test_a_symbol_that_cannot_be_a_name_is_refused_in_words_or_stored_whole(lake: TickLake, symbol: str) -> None:
    files = expected_files(symbol)
    if not files:  # of no symbol: the universe says so
        assert symbol in {"", "\ud800X"}
        return
    (file,) = files
    try:
        store(lake, file)
    except MarketDataError as error:
        refusal = str(error)
        assert "BINANCE" in refusal
        assert not any(len(stat.key) > 1024 for stat in lake.list_objects(""))
    else:
        assert symbol
        assert_inside(lake, file)


def test_symbols_that_the_vendor_files_under_one_name_are_one_instrument() -> None:
    """The vendor's file names are upper case, with `-` for `/` and `:`: such ids share one file."""
    for one, other in (("kPEPE", "KPEPE"), ("BTC/USD", "BTC-USD"), ("a:b", "A-B")):
        (file,) = expected_files(one, other)
        assert file.vendor_symbol == other.upper()


def test_two_symbols_never_share_a_key() -> None:
    """Composed and decomposed letters look alike, and `~` marks what no parser knows."""
    for pair in (("\u00c9", "E\u0301"), ("..", "%2E."), (".X", "%2EX"), ("A B", "A%20B"), ("A-B", "~A-B")):
        first, second = expected_files(*pair)
        assert not set(keys_by_folder(first).values()) & set(keys_by_folder(second).values())


def test_an_instrument_type_of_the_vendors_cannot_leave_its_folder_either(lake: TickLake) -> None:
    for vendor_type in ("../../x", "..", "%2e%2e/x", "a\0b", "币"):
        (file,) = expected_files("BTCUSDT", vendor_type=vendor_type)
        lake_keys = [key for folder, key in keys_by_folder(file).items() if folder.startswith("ticks/")]
        assert len(lake_keys) == len(LAYOUTS)
        for key in lake_keys:
            lake.put_bytes(b"", key, if_generation=0)
    assert all("data_type=trades" in stat.key for stat in lake.list_objects("ticks/"))
    if lake.url.startswith("file:"):
        root = Path(lake.uri("x")).parent
        assert {path.name for path in root.iterdir()} <= {"ticks", ".incoming", ".locks"}
        assert all(path.resolve().is_relative_to((root / "ticks").resolve()) for path in (root / "ticks").rglob("*"))
