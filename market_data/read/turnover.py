"""What trades turned over: quantity and money in units that can be added up.

Amounts are in the base asset, in the quote or in contracts, by venue and contract; a sum of price x amount over inverse
and linear contracts is of nothing. What cannot be converted is refused by name, never guessed.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import polars as pl

from market_data.errors import ConfigurationError
from market_data.model.instruments import INVERSE, OPTION, QUANTO

_Ticks = TypeVar("_Ticks", pl.DataFrame, pl.LazyFrame)
_NAMED = 5
_ADDED = ("quantity", "turnover", "turnover_currency")
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
    units = instruments.select(
        "instrument_key",
        "unit_multiple",
        is_money=_IS_MONEY,
        is_quanto=_IS_QUANTO,
        value=_VALUE,
        turnover_currency=_CURRENCY,
    )
    units = units.with_columns(is_known=pl.all_horizontal(pl.all().is_not_null()))
    if unknown == "raise":
        _refuse_unknown(ticks.lazy(), units, instruments)
    known = units.filter("is_known")
    joined = (
        ticks.lazy()
        .drop(_ADDED, strict=False)
        .join(known.lazy(), on="instrument_key", how="left", maintain_order="left")
    )
    amount, price = pl.col("amount") * pl.col("value"), pl.col("price")
    is_money = pl.col("is_money")
    quantity = pl.when(is_money & (price > 0)).then(amount / price).when(~is_money & ~pl.col("is_quanto")).then(amount)
    found = joined.with_columns(
        quantity=quantity * pl.col("unit_multiple"), turnover=pl.when(is_money).then(amount).otherwise(price * amount)
    ).select(pl.exclude("unit_multiple", "is_money", "is_quanto", "value", "is_known", *_ADDED), *_ADDED)
    return found.collect() if isinstance(ticks, pl.DataFrame) else found


def _refuse_unknown(ticks: pl.LazyFrame, units: pl.DataFrame, instruments: pl.DataFrame) -> None:
    keys = ticks.select(pl.col("instrument_key").unique()).collect()["instrument_key"]
    if absent := sorted(set(keys) - set(units["instrument_key"])):
        raise ConfigurationError(
            f"`instruments` does not hold {_names(absent)}: give what find_instruments returns for the same venues and "
            "days"
        )
    if not (open_keys := sorted(set(keys) & set(units.filter(~pl.col("is_known"))["instrument_key"]))):
        return
    columns = ["amount_unit", "contract_kind", "contract_multiplier", "unit_multiple", "price_currency"]
    first = instruments.filter(pl.col("instrument_key") == open_keys[0]).select(columns).row(0, named=True)
    missing = ", ".join(name for name, value in first.items() if value is None)
    raise ConfigurationError(
        f"the units of {_names(open_keys)} are not known ({missing} of {open_keys[0]}), so their amounts cannot be "
        "converted. The contract multiplier comes from the vendor's instrument definitions: run `instruments` of these "
        "days with a key whose plan has them; leave these instruments out; or take unknown='null', which leaves their "
        "rows null"
    )


def _names(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
