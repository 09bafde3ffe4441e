"""What trades turned over: quantity and money in units that can be added up.

Amounts are in the base asset, in the quote or in contracts, by venue and contract; a sum of price x amount over inverse
and linear contracts is of nothing. What cannot be converted is refused by name, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import polars as pl

from market_data.errors import ConfigurationError
from market_data.model.instruments import INVERSE, OPTION, QUANTO

_Ticks = TypeVar("_Ticks", pl.DataFrame, pl.LazyFrame)
_NAMED = 5
_ADDED = ("quantity", "turnover", "turnover_currency")
# Whatever columns ticks have, they have none of these.
_OWN = "market_data.turnover."
_MOST = 1e300  # is_between takes no NaN for a number
_UNITS = (
    "instrument_type",
    "amount_unit",
    "contract_kind",
    "contract_multiplier",
    "unit_multiple",
    "price_currency",
    "quote",
    "settlement_asset",
)
_IS_OPTION = pl.col("instrument_type") == OPTION
_IN_CONTRACTS = pl.col("amount_unit") == "contracts"
_IS_QUANTO = _IN_CONTRACTS & ~_IS_OPTION & (pl.col("contract_kind") == QUANTO)
# The amount itself is money: dollars, or contracts of so many dollars.
_IS_MONEY = (pl.col("amount_unit") == "quote") | (_IN_CONTRACTS & ~_IS_OPTION & (pl.col("contract_kind") == INVERSE))
_CURRENCY = (
    pl.when(_IS_MONEY)
    .then(pl.col("quote"))
    .when(_IS_QUANTO)
    .then(pl.col("settlement_asset"))
    .otherwise(pl.col("price_currency"))
)
# What one unit of the amount is; null where that, or how it becomes money, is not known.
_VALUE = (
    pl.when(~_IN_CONTRACTS)
    .then(1.0)
    .when(_IS_OPTION | pl.col("contract_kind").is_not_null())
    .then(pl.col("contract_multiplier"))
)


def with_turnover(ticks: _Ticks, instruments: pl.DataFrame, *, unknown: Literal["raise", "null"] = "raise") -> _Ticks:
    """Return ticks with `quantity`, `turnover` and `turnover_currency` beside `price` and `amount`.

    ticks: rows with `instrument_key`, `price` and `amount`: trades, liquidations, or levels of a book.
    instruments: what `find_instruments` says of these instruments, for the same days; of others it may hold more.
    unknown: what to do about instruments of which the units are not known: raise, or leave their rows null.

    `quantity` counts the asset itself (of 1000PEPE the PEPE); null on quanto contracts. `turnover` is in
    `turnover_currency`: the price's currency, on inverse contracts the quote, on quanto contracts the settlement asset;
    of an option it is the premium. Sum it by `turnover_currency`.

    Raises ConfigurationError (permanent) for an instrument whose contract multiplier, amount unit or kind is not known
    (the multiplier needs an account whose plan has the vendor's instrument definitions, and days run with it), or one
    that `instruments` does not hold.
    """
    if unknown not in {"raise", "null"}:
        raise ConfigurationError(f"unknown={unknown!r}: it is 'raise' or 'null'")
    _refuse_other_frames(ticks, instruments)
    units = instruments.select(
        "instrument_key",
        pl.col("unit_multiple").alias(_OWN + "multiple"),
        _IS_MONEY.alias(_OWN + "is_money"),
        _IS_QUANTO.alias(_OWN + "is_quanto"),
        _VALUE.alias(_OWN + "value"),
        _CURRENCY.alias("turnover_currency"),
    ).unique()
    if twice := sorted(units.filter(pl.col("instrument_key").is_duplicated())["instrument_key"].unique()):
        raise ConfigurationError(
            f"`instruments` says different things of {_names(twice)}: give what find_instruments returns for the days "
            "of the ticks, and take days with other terms one by one"
        )
    is_known = pl.all_horizontal(pl.all().is_not_null()) & pl.col(_OWN + "value").is_between(0, _MOST, closed="none")
    known = units.filter(is_known)
    if unknown == "raise":
        _refuse_unknown(ticks.lazy(), known, instruments)
    columns = [name for name in ticks.lazy().collect_schema() if name not in _ADDED]
    joined = ticks.lazy().select(columns).join(known.lazy(), on="instrument_key", how="left", maintain_order="left")
    amount, price = pl.col("amount") * pl.col(_OWN + "value"), pl.col("price")
    is_money, is_quanto = pl.col(_OWN + "is_money"), pl.col(_OWN + "is_quanto")
    quantity = pl.when(is_money & (price > 0)).then(amount / price).when(~is_money & ~is_quanto).then(amount)
    found = joined.with_columns(
        quantity=quantity * pl.col(_OWN + "multiple"), turnover=pl.when(is_money).then(amount).otherwise(price * amount)
    ).select(*columns, *_ADDED)
    return found.collect() if isinstance(ticks, pl.DataFrame) else found


def _refuse_other_frames(ticks: pl.DataFrame | pl.LazyFrame, instruments: pl.DataFrame) -> None:
    for name, frame, kinds, needed in (
        ("ticks", ticks, (pl.DataFrame, pl.LazyFrame), ("instrument_key", "price", "amount")),
        ("instruments", instruments, (pl.DataFrame,), ("instrument_key", *_UNITS)),
    ):
        if not isinstance(frame, kinds):
            raise ConfigurationError(f"`{name}` is {type(frame).__name__}, not a Polars {kinds[0].__name__}")
        schema = frame.lazy().collect_schema()
        if missing := [column for column in needed if column not in schema]:
            raise ConfigurationError(f"`{name}` has no column {', '.join(missing)}")
        if schema["instrument_key"] != pl.String():
            raise ConfigurationError(f"`{name}`: instrument_key is {schema['instrument_key']}, not text")


def _refuse_unknown(ticks: pl.LazyFrame, known: pl.DataFrame, instruments: pl.DataFrame) -> None:
    keys = ticks.select(pl.col("instrument_key").unique()).collect()["instrument_key"]
    if keys.null_count():
        raise ConfigurationError("some ticks have no instrument_key: take them out, or take unknown='null'")
    if absent := sorted(set(keys) - set(instruments["instrument_key"])):
        raise ConfigurationError(
            f"`instruments` does not hold {_names(absent)}: give what find_instruments returns for the same venues and "
            "days"
        )
    if not (open_keys := sorted(set(keys) - set(known["instrument_key"]))):
        return
    first = instruments.row(by_predicate=pl.col("instrument_key") == open_keys[0], named=True)
    raise ConfigurationError(
        f"the units of {_names(open_keys)} are not known (of {open_keys[0]}: {', '.join(_missing_of(first))}), so "
        "their amounts cannot be converted. Run `instruments` of these days again: an earlier version wrote less, and "
        "the contract multiplier needs a key whose plan has the vendor's instrument definitions. Or leave these "
        "instruments out, or take unknown='null', which leaves their rows null"
    )


def _missing_of(units: Mapping[str, object]) -> list[str]:
    """Return which of the units that matter are missing."""
    needed = ["amount_unit", "unit_multiple"]
    is_contracts, is_option = units["amount_unit"] == "contracts", units["instrument_type"] == OPTION
    if is_contracts:
        needed += ["contract_multiplier", *([] if is_option else ["contract_kind"])]
    is_money = units["amount_unit"] == "quote" or (units["contract_kind"] == INVERSE and is_contracts and not is_option)
    is_quanto = is_contracts and not is_option and units["contract_kind"] == QUANTO
    needed.append("quote" if is_money else "settlement_asset" if is_quanto else "price_currency")
    return [name for name in needed if units[name] is None] or ["contract_multiplier is not above 0"]


def _names(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
