"""What the vendor's instrument definitions decide beside our parsers, and that they never decide a key."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.model.instruments import Disagreement, KeySource, ParsedSymbol
from market_data.symbology import parse_symbol
from market_data.vendor.instrument_definitions import Defined, apply_definition

FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2025, 12, 31)
FUTURE = {"type": "future", "baseCurrency": "BTC", "quoteCurrency": "USD", "expiry": "2024-09-27T08:00:00.000Z"}
OPTION = {
    "type": "option",
    "baseCurrency": "BTC",
    "quoteCurrency": "BTC",
    "expiry": "2025-04-25T08:00:00.000Z",
    "strikePrice": 200000,
    "optionType": "put",
}


def parse(venue: str, kind: str, symbol: str) -> tuple[ParsedSymbol, KeySource]:
    return parse_symbol(venue, kind, symbol, FIRST_DAY, LAST_DAY)


def define(venue: str, kind: str, symbol: str, **definition: Any) -> Defined:
    return apply_definition(*parse(venue, kind, symbol), venue, kind, definition)


@pytest.mark.parametrize(
    ("venue", "kind", "symbol", "definition"),
    [
        ("BINANCE", "SPOT_PAIR", "BTCUSDT", {"type": "spot", "baseCurrency": "BTC", "quoteCurrency": "USDT"}),
        # translated by the vendor, or not: a venue's own code is the same asset
        ("BITFINEX", "SPOT_PAIR", "MNAUST", {"type": "spot", "baseCurrency": "MANA", "quoteCurrency": "USDT"}),
        ("BITFINEX", "SPOT_PAIR", "MNAUST", {"type": "spot", "baseCurrency": "MNA", "quoteCurrency": "UST"}),
        ("KRAKEN", "SPOT_PAIR", "XDG-XBT", {"type": "spot", "baseCurrency": "XDG", "quoteCurrency": "XBT"}),
        ("DERIBIT", "FUTURE", "BTC-27SEP24", FUTURE),
        # of an inverse option the vendor names the premium's currency
        ("DERIBIT", "OPTION", "BTC-25APR25-200000-P", OPTION),
        (
            "DERIBIT",
            "OPTION",
            "XRP_USDC-25APR25-0D49-P",
            OPTION | {"baseCurrency": "XRP", "quoteCurrency": "USDC", "strikePrice": "0.490"},
        ),
        ("DERIBIT", "FUTURE", "BTC-27SEP24", {}),
        ("DERIBIT", "FUTURE", "BTC-27SEP24", {"expiry": "soon", "strikePrice": "?", "optionType": 1, "inverse": "no"}),
        # of another instrument that has the same id
        ("DERIBIT", "FUTURE", "BTC-27SEP24", FUTURE | {"type": "perpetual", "baseCurrency": "ETH"}),
    ],
)
def test_a_definition_that_agrees_or_says_nothing_changes_nothing(
    venue: str, kind: str, symbol: str, definition: dict[str, Any]
) -> None:
    assert define(venue, kind, symbol, **definition) == Defined(*parse(venue, kind, symbol))


@pytest.mark.parametrize(
    ("changed", "attribute", "of_symbol", "of_vendor"),
    [
        ({"baseCurrency": "ETH", "quoteCurrency": "ETH"}, "base", "BTC", "ETH"),
        ({"quoteCurrency": "USDC"}, "quote", "USD", "USDC"),
        (
            {"expiry": "2025-04-26T08:00:00.000Z"},
            "expiry",
            "2025-04-25 08:00:00+00:00",
            "2025-04-26 08:00:00+00:00",
        ),
        ({"strikePrice": 20000}, "strike", "200000", "20000"),
        ({"optionType": "call"}, "option_type", "PUT", "CALL"),
    ],
)
def test_what_differs_in_the_key_is_told_and_the_symbols_word_stays(
    changed: dict[str, Any], attribute: str, of_symbol: str, of_vendor: str
) -> None:
    defined = define("DERIBIT", "OPTION", "BTC-25APR25-200000-P", **OPTION | changed)
    assert defined.disagreements == (Disagreement(attribute, of_symbol, of_vendor),)
    assert (defined.parsed, defined.source) == parse("DERIBIT", "OPTION", "BTC-25APR25-200000-P")


@pytest.mark.parametrize(
    ("venue", "symbol", "base", "quote"),
    [("BINANCE", "ADAEUR", "AD", "AEUR"), ("GEMINI", "BTCGUSD", "BTCG", "USD"), ("HUOBI", "MNAUSDT", "MANA", "USDT")],
)
def test_where_the_vendor_splits_a_symbol_otherwise_that_is_told_and_the_key_stays(
    venue: str, symbol: str, base: str, quote: str
) -> None:
    defined = define(venue, "SPOT_PAIR", symbol, baseCurrency=base, quoteCurrency=quote)
    assert "base" in {item.attribute for item in defined.disagreements}
    assert (defined.parsed, defined.source) == parse(venue, "SPOT_PAIR", symbol)


def test_the_hour_of_expiry_is_the_vendors() -> None:
    defined = define("DERIBIT", "FUTURE", "BTC-27SEP24", **FUTURE | {"expiry": "2024-09-27T15:00:00.000Z"})
    assert defined.parsed.expiry == datetime(2024, 9, 27, 15, tzinfo=UTC)
    assert defined.parsed.symbol == "BTC-USD-240927"
    assert defined.disagreements == ()


def test_a_rolling_alias_gets_no_expiry() -> None:
    parsed, source = parse("HUOBI-DM", "FUTURE", "BTC_CW")
    assert source is KeySource.SYMBOLOGY
    assert define("HUOBI-DM", "FUTURE", "BTC_CW", **FUTURE).parsed == parsed


def test_a_market_that_no_parser_knows_is_what_the_vendor_says_under_the_key_of_its_symbol() -> None:
    definition = OPTION | {"quoteCurrency": "USDC", "settlementCurrency": "usdc", "inverse": False}
    defined = define("LIGHTER", "OPTION", "17", **definition)
    assert defined.source is KeySource.VENDOR_DEFINITION
    assert defined.parsed == ParsedSymbol(
        symbol="17",
        base="BTC",
        quote="USDC",
        settlement_asset="USDC",
        is_inverse=False,
        amount_unit=None,
        expiry=datetime(2025, 4, 25, 8, tzinfo=UTC),
        strike="200000",
        option_type="PUT",
        price_currency="USDC",
        contract_kind="linear",
    )


_TEXTS = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["BTC", "USD", "put", "2024-09-27T08:00:00.000Z"]))
_VALUES = st.one_of(_TEXTS, st.booleans(), st.integers(), st.floats(), st.lists(st.integers(), max_size=2))
_NAMES = ("baseCurrency", "quoteCurrency", "settlementCurrency", "inverse", "expiry", "strikePrice", "optionType")
_SYMBOLS = (
    ("BINANCE", "SPOT_PAIR", "BTCUSDT"),
    ("DERIBIT", "OPTION", "BTC-25APR25-200000-P"),
    ("HUOBI-DM", "FUTURE", "BTC_CW"),
    ("LIGHTER", "PERPETUAL", "17"),
    ("FTX", "FUTURE", "BTC-1227"),
)


@given(st.sampled_from(_SYMBOLS), st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _VALUES)))
def test_no_definition_changes_a_key_and_none_is_too_odd_to_read(
    instrument: tuple[str, str, str], definition: dict[str, Any]
) -> None:
    before, _ = parse(*instrument)
    after = define(*instrument, **definition).parsed
    assert after.symbol == before.symbol
    in_key = [field.name for field in fields(ParsedSymbol) if getattr(before, field.name) is not None]
    assert all(getattr(after, name) == getattr(before, name) for name in in_key if name != "expiry")
    if before.expiry is not None and after.expiry is not None:
        assert after.expiry.date() == before.expiry.date()


SAMPLES = Path(__file__).parents[3] / "shared/samples/metadata"


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the vendor's recorded answers are kept beside the repository, in shared/samples"
)
@pytest.mark.parametrize(
    ("name", "venue", "kind"),
    [
        ("future", "DERIBIT", "FUTURE"),
        ("option", "DERIBIT", "OPTION"),
        ("combo", "DERIBIT", "COMBO"),
        ("spot", "DERIBIT", "SPOT_PAIR"),
        ("perpetual", "BITMEX", "PERPETUAL"),
    ],
)
def test_recorded_definitions_agree_with_our_parsers(name: str, venue: str, kind: str) -> None:
    definition = json.loads((SAMPLES / f"instrument_{name}.json").read_text())
    defined = define(venue, kind, definition["datasetId"], **definition)
    assert defined.source is KeySource.SYMBOLOGY
    assert defined.disagreements == ()
