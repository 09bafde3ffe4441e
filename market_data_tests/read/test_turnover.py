"""What trades turned over: each kind of contract by hand-made trades, and what is refused."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from market_data.errors import ConfigurationError
from market_data.read import with_turnover
from market_data.universe.table import UNIVERSE_SCHEMA

_KNOWN: dict[str, Any] = {"unit_multiple": 1, "price_currency": "USDT", "quote": "USDT", "base": "BTC"}
# two contracts of a trade of 10 at 50,000: quantity, turnover, currency
CASES: dict[str, tuple[dict[str, Any], tuple[float | None, float, str]]] = {
    "spot": ({"instrument_type": "SPOT_PAIR", "amount_unit": "base"}, (10, 500_000, "USDT")),
    "linear in base": ({"amount_unit": "base", "contract_kind": "linear"}, (10, 500_000, "USDT")),
    # the vendor's multiplier of a contract whose amounts are not contracts says nothing about them
    "linear in base with a multiplier": (
        {"amount_unit": "base", "contract_kind": "linear", "contract_multiplier": 7.0},
        (10, 500_000, "USDT"),
    ),
    "thousands": ({"amount_unit": "base", "contract_kind": "linear", "unit_multiple": 1000}, (10_000, 500_000, "USDT")),
    "linear contracts": (
        {"amount_unit": "contracts", "contract_kind": "linear", "contract_multiplier": 0.01},
        (0.1, 5_000, "USDT"),
    ),
    "inverse in dollars": (
        {"amount_unit": "quote", "contract_kind": "inverse", "quote": "USD", "price_currency": "USD"},
        (10 / 50_000, 10, "USD"),
    ),
    "inverse contracts": (
        {
            "amount_unit": "contracts",
            "contract_kind": "inverse",
            "contract_multiplier": 100.0,
            "quote": "USD",
            "price_currency": "USD",
        },
        (1000 / 50_000, 1000, "USD"),
    ),
    "quanto": (
        {
            "amount_unit": "contracts",
            "contract_kind": "quanto",
            "contract_multiplier": 1e-6,
            "settlement_asset": "XBT",
        },
        (None, 0.5, "XBT"),
    ),
    "option priced in the coin": (
        {
            "instrument_type": "OPTION",
            "amount_unit": "contracts",
            "contract_kind": "inverse",
            "contract_multiplier": 0.1,
            "price_currency": "BTC",
        },
        (1, 50_000, "BTC"),
    ),
}


def instruments(*rows: dict[str, Any]) -> pl.DataFrame:
    blank = dict.fromkeys(UNIVERSE_SCHEMA, None)
    made = [
        {**blank, "instrument_type": "PERPETUAL", **_KNOWN, "instrument_key": str(n), **row}
        for n, row in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=UNIVERSE_SCHEMA)


def trades(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"instrument_key": keys, "price": [50_000.0] * len(keys), "amount": [10.0] * len(keys)})


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_contract_turns_over_what_it_is_worth(name: str) -> None:
    units, (quantity, turnover, currency) = CASES[name]
    found = with_turnover(trades("0"), instruments(units))
    assert found.columns == ["instrument_key", "price", "amount", "quantity", "turnover", "turnover_currency"]
    (row,) = found.select("quantity", "turnover", "turnover_currency").rows()
    assert row == (None if quantity is None else pytest.approx(quantity), pytest.approx(turnover), currency)


def test_order_and_rows_are_those_of_the_ticks_and_a_lazy_frame_stays_lazy() -> None:
    held = instruments(*(units for units, _ in CASES.values()))
    keys = [str(number) for number in (3, 0, 3, 8, 5, 0)]
    found = with_turnover(trades(*keys).lazy(), held)
    assert isinstance(found, pl.LazyFrame)
    assert found.collect()["instrument_key"].to_list() == keys
    assert with_turnover(with_turnover(trades(*keys), held), held).equals(found.collect())


@pytest.mark.parametrize(
    ("units", "missing"),
    [
        ({"amount_unit": None}, "amount_unit"),
        ({"amount_unit": "contracts", "contract_kind": "linear"}, "contract_multiplier"),
        ({"amount_unit": "contracts", "contract_multiplier": 1.0}, "contract_kind"),
        ({"amount_unit": "base", "price_currency": None}, "price_currency"),
        ({"amount_unit": "base", "unit_multiple": None}, "unit_multiple"),
    ],
)
def test_units_that_are_not_known_are_refused_by_name_or_left_null(units: dict[str, Any], missing: str) -> None:
    held = instruments(units, {"amount_unit": "base", "contract_kind": "linear"})
    with pytest.raises(ConfigurationError, match=rf"the units of 0 are not known \(of 0: {missing}\)"):
        with_turnover(trades("0", "1"), held)
    found = with_turnover(trades("0", "1"), held, unknown="null")
    assert found["turnover"].to_list() == [None, 500_000]
    assert with_turnover(trades("1"), held)["turnover"].to_list() == [500_000]  # of those that are asked for


@pytest.mark.parametrize(
    "name", ["value", "unit_multiple", "is_money", "is_quanto", "is_known", "value_right", "quote"]
)
def test_columns_of_the_ticks_are_kept_whatever_their_names(name: str) -> None:
    units, (quantity, turnover, currency) = CASES["linear contracts"]
    found = with_turnover(trades("0").with_columns(pl.lit(8.0).alias(name)), instruments(units))
    assert found.columns == ["instrument_key", "price", "amount", name, "quantity", "turnover", "turnover_currency"]
    assert found.row(0)[3:] == (8.0, pytest.approx(quantity), pytest.approx(turnover), currency)


def test_an_instrument_told_twice_counts_once_and_one_told_otherwise_is_refused() -> None:
    held = instruments({"amount_unit": "base"})
    assert with_turnover(trades("0"), pl.concat([held, held])).height == 1
    other = held.with_columns(unit_multiple=pl.lit(1000, pl.Int64))
    with pytest.raises(ConfigurationError, match="`instruments` says different things of 0"):
        with_turnover(trades("0"), pl.concat([held, other]))


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        (trades("0").drop("price"), "`ticks` has no column price"),
        (
            trades("0").with_columns(pl.lit(None, pl.String).alias("instrument_key")),
            "some ticks have no instrument_key",
        ),
        (trades("0").cast({"instrument_key": pl.Categorical}), "instrument_key is Categorical"),
        ({"instrument_key": ["0"]}, "`ticks` is dict, not a Polars DataFrame"),
    ],
)
def test_frames_of_another_kind_are_refused_by_name(ticks: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        with_turnover(ticks, instruments({"amount_unit": "base"}))


@pytest.mark.parametrize("multiplier", [0.0, -1.0, float("nan")])
def test_a_multiplier_that_is_none_is_not_known(multiplier: float) -> None:
    units = {"amount_unit": "contracts", "contract_kind": "linear", "contract_multiplier": multiplier}
    with pytest.raises(ConfigurationError, match="contract_multiplier is not above 0"):
        with_turnover(trades("0"), instruments(units))


def test_an_instrument_that_is_not_held_and_a_wrong_word_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="`instruments` does not hold 7"):
        with_turnover(trades("7"), instruments({"amount_unit": "base"}))
    with pytest.raises(ConfigurationError, match="unknown='skip': it is 'raise' or 'null'"):
        with_turnover(trades("0"), instruments({"amount_unit": "base"}), unknown="skip")  # type: ignore[arg-type]
