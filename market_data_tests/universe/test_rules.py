"""What a venue listed on a day, and which tick files must therefore exist."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from market_data.errors import VendorError, VendorNotReady
from market_data.model.data_types import DataType
from market_data.model.instruments import Disagreement, KeySource
from market_data.universe.listing import ExportBounds, export_bounds
from market_data.universe.rules import (
    UNREADABLE,
    Selection,
    Universe,
    changes_between,
    expected_tick_files,
    instruments_on,
    notes_on,
    unreadable_files,
)

DAY = date(2024, 8, 8)
TRADES, QUOTES, CHAIN = DataType.TRADES, DataType.QUOTES, DataType.OPTIONS_CHAIN
EVERYTHING = Selection(data_types=tuple(DataType))
PER_SYMBOL = Selection(data_types=tuple(DataType), prefer_grouped=())


def _row(
    symbol: str,
    vendor_type: str = "spot",
    data_types: str = "trades quotes",
    *,
    since: str = "2019-03-30",
    to: str = "2024-08-10",
) -> dict[str, Any]:
    return {
        "id": symbol,
        "type": vendor_type,
        "dataTypes": data_types.split(),
        "availableSince": f"{since}T00:00:00.000Z",
        "availableTo": f"{to}T00:00:00.000Z",
    }


def _answer(*rows: dict[str, Any], until: str = "2024-08-10") -> dict[str, Any]:
    exported_until = f"{until}T00:00:00.000Z"
    return {"id": "x", "datasets": {"exportedUntil": exported_until, "symbols": list(rows)}}


def _universe(*rows: dict[str, Any], selection: Selection = EVERYTHING, venue: str = "BINANCE") -> Universe:
    return instruments_on(venue, _answer(*rows), DAY, selection, {})


def _symbols(universe: Universe) -> list[str]:
    return [item.vendor_symbol for item in universe.selected]


def _files(universe: Universe, selection: Selection, data_type: DataType) -> list[str]:
    return [file.vendor_symbol for file in expected_tick_files(universe, selection, data_type)]


OPTIONS = (
    _row("OPTIONS", "option", "trades quotes options_chain"),
    _row("BTC-30AUG24-60000-C", "option", "trades quotes incremental_book_L2"),
    _row("BTC-30AUG24-60000-P", "option", "trades quotes incremental_book_L2"),
    _row("ETH-30AUG24-3000-C", "option", "trades quotes incremental_book_L2"),
    _row("BTC-PERPETUAL", "perpetual", "trades quotes incremental_book_L2"),
)


@pytest.mark.parametrize(
    ("day", "symbols"),
    [
        (date(2024, 8, 6), ["OLDUSDT"]),
        (date(2024, 8, 7), ["BTCUSDT", "OLDUSDT"]),  # the first day is inclusive
        (date(2024, 8, 8), ["BTCUSDT"]),  # availableTo is exclusive
        (date(2024, 8, 9), ["BTCUSDT"]),  # the last exported day
    ],
)
def test_an_instrument_has_files_from_its_first_day_to_the_day_before_its_end(day: date, symbols: list[str]) -> None:
    rows = (_row("BTCUSDT", since="2024-08-07"), _row("OLDUSDT", to="2024-08-08"))
    assert _symbols(instruments_on("BINANCE", _answer(*rows), day, EVERYTHING, {})) == symbols


def test_a_day_that_is_not_exported_yet_is_not_ready_rather_than_empty() -> None:
    with pytest.raises(VendorNotReady) as caught:
        instruments_on("BINANCE", _answer(_row("BTCUSDT", to="2024-09-01")), date(2024, 8, 10), EVERYTHING, {})
    assert str(caught.value).startswith(
        "BINANCE 2024-08-10: not exported yet; the vendor has exported the days before 2024-08-10. "
    )
    assert caught.value.is_transient


def test_a_day_before_the_venue_existed_has_no_instruments() -> None:
    assert instruments_on("BINANCE", _answer(_row("BTCUSDT")), date(2018, 1, 1), EVERYTHING, {}).listed == ()


@pytest.mark.parametrize(
    ("venue", "until", "ended"),
    [
        ({}, "2024-08-10", None),
        ({"delisted": False, "availableTo": "2024-08-01T00:00:00.000Z"}, "2024-08-10", None),
        ({"delisted": True}, "2024-08-10", "2024-08-10"),
        ({"delisted": True, "availableTo": "2024-08-09T00:00:00.000Z"}, "2024-08-10", "2024-08-10"),
        ({"delisted": True, "availableTo": "2024-08-12T00:00:00.000Z"}, "2024-08-10", "2024-08-12"),
        ({"delisted": True, "availableTo": "2024-08-11T13:00:00.000Z"}, "2024-08-10", "2024-08-12"),
    ],
)
def test_after_the_end_of_a_delisted_venue_nothing_is_expected_and_before_it_a_day_may_be_on_its_way(
    venue: dict[str, Any], until: str, ended: str | None
) -> None:
    answer = _answer(_row("BTCUSDT", to=until), until=until) | venue
    bounds = export_bounds("FTX", answer)
    assert bounds == ExportBounds(date.fromisoformat(until), date.fromisoformat(ended) if ended else None)
    for day in (date(2024, 8, 9) + timedelta(days=n) for n in range(6)):
        if str(day) < until:
            assert instruments_on("FTX", answer, day, EVERYTHING, {}).listed
        elif ended is not None and str(day) >= ended:
            universe = instruments_on("FTX", answer, day, EVERYTHING, {})
            last_day = date.fromisoformat(ended) - timedelta(days=1)
            told = f"the vendor collects the venue no more; its last day is {last_day}"
            assert (universe.listed, universe.why_nothing_listed) == ((), told)
        else:
            with pytest.raises(VendorNotReady):
                instruments_on("FTX", answer, day, EVERYTHING, {})


@pytest.mark.parametrize(("asked", "ended"), [(date(2024, 8, 19), date(2024, 8, 12)), (date(2024, 8, 20), None)])
def test_a_last_day_that_is_not_exported_a_week_after_the_end_never_will_be(asked: date, ended: date | None) -> None:
    venue = {"delisted": True, "availableTo": "2024-08-12T00:00:00.000Z"}
    bounds = export_bounds("FTX", _answer(_row("BTCUSDT")) | venue, asked)
    assert bounds == ExportBounds(date(2024, 8, 10), ended or date(2024, 8, 10))


def test_an_end_after_the_export_does_not_make_a_day_exported() -> None:
    universe = instruments_on("BINANCE", _answer(_row("BTCUSDT", to="2030-01-01")), date(2024, 8, 9), EVERYTHING, {})
    assert _symbols(universe) == ["BTCUSDT"]


def test_an_instrument_knows_its_key_its_days_and_the_vendors_definition() -> None:
    definitions = {"BTCUSD_PERP": {"contractMultiplier": 100, "priceIncrement": "0.1"}}
    answer = _answer(_row("btcusd_perp", "perpetual", "trades some_new_type", since="2020-08-11"))
    (item,) = instruments_on("BINANCE-DELIVERY", answer, DAY, EVERYTHING, definitions).listed
    assert item.instrument_key == "BINANCE-DELIVERY:PERPETUAL:BTC-USD"
    assert (item.vendor_symbol, item.key_source) == ("BTCUSD_PERP", KeySource.SYMBOLOGY)
    assert (item.first_day, item.last_day) == (date(2020, 8, 11), date(2024, 8, 9))
    assert (item.contract_multiplier, item.tick_size) == (100.0, 0.1)
    assert item.data_types == (TRADES,), "data types that this project does not know are left alone"


def test_a_definition_fills_in_what_the_symbol_of_an_unknown_market_does_not_say_and_leaves_its_key() -> None:
    definitions = {"2048": {"type": "spot", "baseCurrency": "eth", "quoteCurrency": "USDC", "priceIncrement": 0.01}}
    answer = _answer(_row("2048"))
    (without,) = instruments_on("LIGHTER", answer, DAY, EVERYTHING, {}).listed
    (item,) = instruments_on("LIGHTER", answer, DAY, EVERYTHING, definitions).listed
    assert item.instrument_key == without.instrument_key == "LIGHTER:SPOT_PAIR:2048"
    assert (item.parsed.base, item.parsed.quote) == ("ETH", "USDC")
    assert (without.key_source, item.key_source) == (KeySource.VENDOR_SYMBOL, KeySource.VENDOR_DEFINITION)


def test_a_definition_that_disagrees_with_a_key_is_told_and_changes_nothing() -> None:
    definitions = {"BTCUSDT": {"type": "spot", "baseCurrency": "BTC", "quoteCurrency": "USD"}}
    (item,) = instruments_on("BINANCE", _answer(_row("BTCUSDT")), DAY, EVERYTHING, definitions).listed
    assert (item.instrument_key, item.parsed.quote) == ("BINANCE:SPOT_PAIR:BTC-USDT", "USDT")
    assert item.disagreements == (Disagreement("quote", "USDT", "USD"),)
    assert item.key_source is KeySource.SYMBOLOGY


def test_a_symbol_that_no_parser_knows_keeps_the_vendors_form() -> None:
    universe = _universe(_row("kraken/usd:x"), _row("BTC-USDT"), venue="LIGHTER")
    assert [item.instrument_key for item in universe.listed] == [
        "LIGHTER:SPOT_PAIR:~BTC-USDT",
        "LIGHTER:SPOT_PAIR:KRAKEN-USD-X",
    ]
    assert {item.key_source for item in universe.listed} == {KeySource.VENDOR_SYMBOL}


def test_groups_are_not_instruments() -> None:
    universe = _universe(*OPTIONS, _row("SPOT", "spot", "trades", to="2024-08-08"), venue="DERIBIT")
    assert universe.group_data_types == {"OPTIONS": (TRADES, QUOTES, CHAIN)}
    assert [item.vendor_symbol for item in universe.listed] == sorted(row["id"] for row in OPTIONS[1:])


@pytest.mark.parametrize(
    ("selection", "symbols", "left_out"),
    [
        ({}, ["BTCUSDT", "ETHBTC", "ETHUSDT"], {}),
        ({"include": ("btc*",)}, ["BTCUSDT"], {"include": 2}),
        ({"include": ("binance:spot_pair:*-USDT",)}, ["BTCUSDT", "ETHUSDT"], {"include": 1}),
        ({"exclude": ("*BTC",)}, ["BTCUSDT", "ETHUSDT"], {"exclude": 1}),
        ({"include": ("ETH*",), "exclude": ("*-BTC",)}, ["ETHUSDT"], {"include": 1, "exclude": 1}),
        ({"instrument_types": ("PERPETUAL",)}, [], {"instrument_types": 3}),
        ({"max_instruments": 1}, ["BTCUSDT"], {"max_instruments": 2}),
        ({"max_instruments": 3}, ["BTCUSDT", "ETHBTC", "ETHUSDT"], {}),
        ({"exclude": ("BTC*",), "max_instruments": 1}, ["ETHBTC"], {"exclude": 1, "max_instruments": 1}),
    ],
)
def test_filters_select_by_symbol_or_key_and_count_what_they_leave_out(
    selection: dict[str, Any], symbols: list[str], left_out: dict[str, int]
) -> None:
    rows = (_row("ETHUSDT"), _row("BTCUSDT"), _row("ETHBTC"))
    universe = _universe(*rows, selection=Selection(data_types=(TRADES,), **selection))
    assert _symbols(universe) == symbols
    assert universe.left_out == left_out
    assert len(universe.listed) == 3


def test_a_file_is_expected_for_each_instrument_that_offers_the_data_type() -> None:
    universe = _universe(_row("BTCUSDT"), _row("ETHUSDT", data_types="trades"))
    files = expected_tick_files(universe, EVERYTHING, TRADES)
    assert [(file.vendor_symbol, file.instrument_key) for file in files] == [
        ("BTCUSDT", "BINANCE:SPOT_PAIR:BTC-USDT"),
        ("ETHUSDT", "BINANCE:SPOT_PAIR:ETH-USDT"),
    ]
    assert str(files[0]) == "BINANCE trades 2024-08-08 BTCUSDT"
    assert _files(universe, EVERYTHING, QUOTES) == ["BTCUSDT"]
    assert _files(universe, EVERYTHING, DataType.LIQUIDATIONS) == []


@pytest.mark.parametrize(
    ("row", "is_first_day", "is_last_day"),
    [
        (_row("BTCUSDT"), False, False),
        (_row("BTCUSDT", since="2024-08-08"), True, False),
        (_row("BTCUSDT", to="2024-08-09"), False, True),
        (_row("BTCUSDT", since="2024-08-08", to="2024-08-09"), True, True),
    ],
)
def test_a_file_knows_that_its_instrument_was_listed_or_ended_that_day(
    row: dict[str, Any], *, is_first_day: bool, is_last_day: bool
) -> None:
    (file,) = expected_tick_files(_universe(row), EVERYTHING, TRADES)
    assert (file.is_first_day, file.is_last_day) == (is_first_day, is_last_day)


def test_what_is_listed_on_the_newest_exported_day_is_not_taken_for_ended() -> None:
    answer = _answer(_row("BTCUSDT", to="2024-08-09"), until="2024-08-09")
    universe = instruments_on("BINANCE", answer, DAY, EVERYTHING, {})
    (file,) = expected_tick_files(universe, EVERYTHING, TRADES)
    assert not file.is_last_day


def test_a_group_stands_for_all_instruments_of_its_type() -> None:
    universe = _universe(*OPTIONS, venue="DERIBIT")
    assert _files(universe, EVERYTHING, TRADES) == ["BTC-PERPETUAL", "OPTIONS"]
    assert _files(universe, EVERYTHING, CHAIN) == ["OPTIONS"]
    grouped = expected_tick_files(universe, EVERYTHING, CHAIN)[0]
    assert (grouped.instrument_key, grouped.instrument_type, grouped.is_group) == (None, "OPTION", True)


def test_a_data_type_that_the_group_lacks_comes_from_single_files() -> None:
    universe = _universe(*OPTIONS, venue="DERIBIT")
    assert _files(universe, EVERYTHING, DataType.INCREMENTAL_BOOK_L2) == sorted(row["id"] for row in OPTIONS[1:])


def test_a_group_that_is_not_preferred_or_not_offered_is_not_asked_for() -> None:
    universe = _universe(*OPTIONS, venue="DERIBIT", selection=PER_SYMBOL)
    assert _files(universe, PER_SYMBOL, TRADES) == sorted(row["id"] for row in OPTIONS[1:])
    without_group = _universe(*OPTIONS[1:], venue="DERIBIT")
    assert _files(without_group, EVERYTHING, TRADES) == sorted(row["id"] for row in OPTIONS[1:])


@pytest.mark.parametrize(
    "filters",
    [{"include": ("BTC*",)}, {"exclude": ("ETH*",)}, {"max_instruments": 2}],
    ids=["include", "exclude", "max_instruments"],
)
def test_a_filter_that_would_cut_a_group_in_two_turns_it_off_and_says_what_is_lost(filters: dict[str, Any]) -> None:
    selection = Selection(data_types=(TRADES, CHAIN), **filters)
    universe = _universe(*OPTIONS, venue="DERIBIT", selection=selection)
    options = ["BTC-30AUG24-60000-C", "BTC-30AUG24-60000-P"]
    assert [symbol for symbol in _files(universe, selection, TRADES) if symbol != "BTC-PERPETUAL"] == options
    assert _files(universe, selection, CHAIN) == []
    (note,) = notes_on(universe, selection)
    assert note == (
        "options_chain of OPTION exist only in the grouped file OPTIONS, which is off (prefer_grouped, or a filter "
        "that would cut it in two): no file is expected"
    )


def test_a_filter_that_leaves_a_group_whole_leaves_it_on() -> None:
    selection = Selection(data_types=(TRADES, CHAIN), instrument_types=("OPTION",))
    universe = _universe(*OPTIONS, venue="DERIBIT", selection=selection)
    assert _files(universe, selection, TRADES) == ["OPTIONS"]
    assert notes_on(universe, selection) == ()


def test_a_group_whose_instruments_are_all_filtered_out_is_neither_expected_nor_noted() -> None:
    selection = Selection(data_types=(TRADES, CHAIN), instrument_types=("PERPETUAL",))
    universe = _universe(*OPTIONS, venue="DERIBIT", selection=selection)
    assert _files(universe, selection, TRADES) == ["BTC-PERPETUAL"]
    assert notes_on(universe, selection) == ()


def test_the_second_of_two_symbols_with_one_key_has_the_vendors_form() -> None:
    rows = (_row("BTC-27DEC24", "future"), _row("BTC-27DEC24", "future"), _row("BTC_USD-27DEC24", "future"))
    universe = _universe(*rows, venue="DERIBIT")
    assert _keys(universe) == {
        "BTC-27DEC24": "DERIBIT:FUTURE:BTC-USD-241227",
        "BTC_USD-27DEC24": "DERIBIT:FUTURE:~BTC_USD-27DEC24",
    }
    assert "BTC_USD-27DEC24 would share the key DERIBIT:FUTURE:BTC-USD-241227 with BTC-27DEC24" in universe.notes[0]


def _keys(universe: Universe) -> dict[str, str]:
    return {item.vendor_symbol: item.instrument_key for item in universe.listed}


RENAMED = (
    _row("XBTUSDTM", "perpetual", to="2024-08-09"),
    _row("BTCUSDTM", "perpetual", since="2024-08-08"),
    _row("ETHUSDTM", "perpetual"),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (EVERYTHING, ["BTCUSDTM", "ETHUSDTM", "XBTUSDTM"]),
        (replace(EVERYTHING, exclude=("XBTUSDTM", "BTCUSDTM")), ["ETHUSDTM"]),
        (replace(EVERYTHING, include=("ETHUSDTM",)), ["ETHUSDTM"]),
    ],
)
def test_symbols_that_would_share_a_key_keep_two_and_hold_nobody_up(selection: Selection, expected: list[str]) -> None:
    universe = _universe(*RENAMED, venue="KUCOIN-FUTURES", selection=selection)
    assert _files(universe, selection, TRADES) == expected
    assert _keys(universe) == {
        "XBTUSDTM": "KUCOIN-FUTURES:PERPETUAL:BTC-USDT",
        "BTCUSDTM": "KUCOIN-FUTURES:PERPETUAL:BTCUSDTM",
        "ETHUSDTM": "KUCOIN-FUTURES:PERPETUAL:ETH-USDT",
    }


def test_a_key_that_yielded_stays_when_its_rival_has_ended_and_a_rename_without_overlap_is_one_series() -> None:
    day = date(2024, 8, 9)
    overlapping = instruments_on("KUCOIN-FUTURES", _answer(*RENAMED), day, EVERYTHING, {})
    assert _keys(overlapping)["BTCUSDTM"] == "KUCOIN-FUTURES:PERPETUAL:BTCUSDTM"
    clean = (_row("XBTUSDTM", "perpetual", to="2024-08-08"), _row("BTCUSDTM", "perpetual", since="2024-08-08"))
    keys = [
        list(_keys(instruments_on("KUCOIN-FUTURES", _answer(*clean), day, EVERYTHING, {})).items())
        for day in (date(2024, 8, 7), DAY)
    ]
    assert keys == [
        [("XBTUSDTM", "KUCOIN-FUTURES:PERPETUAL:BTC-USDT")],
        [("BTCUSDTM", "KUCOIN-FUTURES:PERPETUAL:BTC-USDT")],
    ]


def test_a_symbol_of_two_types_keeps_the_type_of_its_first_life_and_says_so() -> None:
    rows = (_row("XUSDT", "perpetual", to="2024-08-09"), _row("XUSDT", "future", since="2024-08-08"))
    for day in (date(2024, 8, 7), DAY, date(2024, 8, 9)):
        universe = instruments_on("BINANCE-FUTURES", _answer(*rows), day, EVERYTHING, {})
        assert _keys(universe) == {"XUSDT": "BINANCE-FUTURES:PERPETUAL:X-USDT"}
        assert _files(universe, EVERYTHING, TRADES) == ["XUSDT"]
        assert universe.notes[0].startswith("XUSDT is listed as future and as perpetual: it counts as PERPETUAL")


def test_an_end_within_a_day_leaves_that_day() -> None:
    row = _row("BTCUSDT") | {"availableTo": "2024-08-08T12:00:00.000Z"}
    assert _symbols(_universe(row)) == ["BTCUSDT"]
    assert _symbols(instruments_on("BINANCE", _answer(row), date(2024, 8, 9), EVERYTHING, {})) == []


def test_a_symbol_that_is_listed_twice_on_a_day_is_one_instrument() -> None:
    universe = _universe(_row("kPEPE", data_types="trades"), _row("KPEPE", data_types="quotes trades"), venue="LIGHTER")
    (item,) = universe.listed
    assert item.data_types == (TRADES, QUOTES)
    assert _files(universe, EVERYTHING, TRADES) == ["KPEPE"]


ODD_CELLS: tuple[Any, ...] = (None, "", 5, [], {}, True, "\ud800", "9999-12-31T00:00:00Z", "x" * 400, float("nan"))


@pytest.mark.parametrize("field", ["id", "type", "dataTypes", "availableSince", "availableTo"])
@pytest.mark.parametrize("cell", [*ODD_CELLS, "missing"], ids=lambda cell: repr(cell)[:20])
def test_a_row_that_cannot_be_read_concerns_its_own_file(field: str, cell: Any) -> None:
    row = _row("BTCUSDT") | {field: cell}
    if cell == "missing":
        del row[field]
    universe = _universe(row, _row("ETHUSDT"))
    assert "ETHUSDT" in _symbols(universe)
    files = {file.vendor_symbol: file.instrument_type for file in expected_tick_files(universe, EVERYTHING, TRADES)}
    why = unreadable_files(universe, TRADES)
    if field == "id":  # whose file it is nobody knows, or it is of a symbol as odd as that
        is_told = any("rows of the vendor's list are of no symbol that can be read" in note for note in universe.notes)
        assert is_told is (set(files) == {"ETHUSDT"})
    elif "BTCUSDT" in why:
        assert files["BTCUSDT"] == UNREADABLE
        assert f"lack a usable '{field}' in row 1" in why["BTCUSDT"]
    else:  # it can be read, whatever it says
        assert files.get("BTCUSDT") != UNREADABLE
    left_out = replace(EVERYTHING, exclude=("BTCUSDT",))
    assert "BTCUSDT" not in _files(_universe(row, _row("ETHUSDT"), selection=left_out), left_out, TRADES)


@pytest.mark.parametrize("row", [None, 5, "x", [], {}, {"id": None}, {"id": "OPTIONS"}])
def test_a_row_of_no_symbol_is_told_and_holds_nobody_up(row: Any) -> None:
    universe = _universe(row, _row("ETHUSDT"))
    assert _symbols(universe) == ["ETHUSDT"]
    assert "1 rows of the vendor's list are of no symbol that can be read" in universe.notes[0]


def test_an_answer_without_datasets_is_refused() -> None:
    with pytest.raises(VendorError, match="BINANCE: the vendor has no tick files of this venue"):
        instruments_on("BINANCE", {"id": "binance"}, DAY, EVERYTHING, {})
    with pytest.raises(VendorError, match="lack a usable 'exportedUntil'"):
        instruments_on("BINANCE", {"datasets": {"symbols": []}}, DAY, EVERYTHING, {})
    with pytest.raises(VendorError, match="lack a usable 'symbols'"):
        instruments_on("BINANCE", {"datasets": {"exportedUntil": "2024-08-10T00:00:00.000Z"}}, DAY, EVERYTHING, {})


def test_listings_delistings_and_data_types_gained_or_lost_are_told_against_the_day_before() -> None:
    before = _universe(_row("BTCUSDT", data_types="trades quotes"), _row("OLDUSDT"), _row("ETHUSDT"))
    after = _universe(_row("BTCUSDT", data_types="trades book_ticker"), _row("ETHUSDT"), _row("NEWUSDT"))
    changes = changes_between(before, after)
    told = [(change.what, change.instrument_key.rpartition(":")[2], change.detail) for change in changes]
    assert told == [
        ("data type gained", "BTC-USDT", "book_ticker"),
        ("data type lost", "BTC-USDT", "quotes"),
        ("delisted", "OLD-USDT", "last day 2024-08-09"),
        ("listed", "NEW-USDT", "trades, quotes"),
    ]
    assert changes_between(after, after) == ()
