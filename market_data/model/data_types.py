"""The nine data types as tables: columns in the vendor's order, Polars dtypes, nullability, units, Parquet encodings.

Source: docs.tardis.dev, "Downloadable CSV files", section "Data types" (a subsection for each). A published table is
`instrument_key` followed by the vendor's columns. One fact, one home: the decoder, the reader, the checks, the
simulator and the UI all read these specs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

import polars as pl

from market_data.errors import ConfigurationError


class DataType(StrEnum):
    """The vendor's data types, under the vendor's names."""

    TRADES = "trades"
    INCREMENTAL_BOOK_L2 = "incremental_book_L2"
    BOOK_SNAPSHOT_5 = "book_snapshot_5"
    BOOK_SNAPSHOT_25 = "book_snapshot_25"
    QUOTES = "quotes"
    BOOK_TICKER = "book_ticker"
    DERIVATIVE_TICKER = "derivative_ticker"
    LIQUIDATIONS = "liquidations"
    OPTIONS_CHAIN = "options_chain"

    @property
    def asset_name(self) -> str:
        """The name in Dagster asset keys: lower snake case."""
        return self.value.lower()


def parse_data_type(text: str) -> DataType:
    """Return the data type of any spelling; raises ConfigurationError (permanent) that lists the known ones."""
    folded = text.strip().lower().replace("-", "_")
    for data_type in DataType:
        if data_type.value.lower() == folded:
            return data_type
    raise ConfigurationError(f"unknown data type {text!r}. Known data types: {', '.join(DataType)}")


class ColumnKind(Enum):
    """What a vendor column holds, as the Polars dtype it is published in."""

    TEXT = "text"
    TIME = "time"  # integer microseconds since epoch, UTC, in the CSV
    NUMBER = "number"
    FLAG = "flag"  # lower-case true / false in the CSV

    @property
    def dtype(self) -> pl.DataType:
        """The dtype of the published column."""
        return _DTYPES[self]


_DTYPES: dict[ColumnKind, pl.DataType] = {
    ColumnKind.TEXT: pl.String(),
    ColumnKind.TIME: pl.Datetime("us", "UTC"),
    ColumnKind.NUMBER: pl.Float64(),
    ColumnKind.FLAG: pl.Boolean(),
}


class Encoding(Enum):
    """How Parquet holds the values of a column before they are compressed, under Parquet's names."""

    PLAIN = "PLAIN"
    DICTIONARY = "RLE_DICTIONARY"
    DELTA = "DELTA_BINARY_PACKED"
    DELTA_TEXT = "DELTA_BYTE_ARRAY"


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One vendor column: its published name, its CSV header, what it holds, its unit and a sentence for people.

    `encoding` was chosen by measurement over real and made files; `has_bounds` is whether each row group says the
    column's lowest and highest value: only of what rows are looked for by, since each costs a little.
    """

    name: str
    csv_name: str
    kind: ColumnKind
    is_nullable: bool
    unit: str
    description: str
    encoding: Encoding
    has_bounds: bool = True


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One data type as a table; `grain` says what one row is."""

    data_type: DataType
    grain: str
    vendor_columns: tuple[ColumnSpec, ...]

    @property
    def csv_header(self) -> str:
        """The first line of the vendor's file, without its line end."""
        return ",".join(column.csv_name for column in self.vendor_columns)

    @property
    def published_schema(self) -> pl.Schema:
        """Names and dtypes of the published table, in order."""
        columns: dict[str, pl.DataType] = {INSTRUMENT_KEY.name: INSTRUMENT_KEY.kind.dtype}
        columns.update({column.name: column.kind.dtype for column in self.vendor_columns})
        return pl.Schema(columns)


_PRICE_UNIT = "see instruments.price_currency"


def _text(name: str, description: str, *, is_nullable: bool = False) -> ColumnSpec:
    return ColumnSpec(name, name, ColumnKind.TEXT, is_nullable, "", description, Encoding.DICTIONARY, has_bounds=False)


def _id(description: str) -> ColumnSpec:
    # of one length mostly, and rising: each shares its start with the one before
    return ColumnSpec("id", "id", ColumnKind.TEXT, True, "", description, Encoding.DELTA_TEXT, has_bounds=False)


def _time(name: str, description: str, *, is_nullable: bool = False) -> ColumnSpec:
    return ColumnSpec(name, name, ColumnKind.TIME, is_nullable, "us UTC", description, Encoding.DELTA)


def _number(
    name: str,
    unit: str,
    description: str,
    *,
    is_nullable: bool = False,
    csv_name: str = "",
) -> ColumnSpec:
    kind, has_bounds = ColumnKind.NUMBER, unit == _PRICE_UNIT
    # zstd finds what repeats from row to row; what stays for long, or comes in any order, goes into dictionaries
    return ColumnSpec(name, csv_name or name, kind, is_nullable, unit, description, Encoding.PLAIN, has_bounds)


def _in_dictionaries(*columns: ColumnSpec) -> tuple[ColumnSpec, ...]:
    """Give numbers the encoding that is smaller where few values come in any order, and faster to scan anywhere."""
    return tuple(
        replace(column, encoding=Encoding.DICTIONARY) if column.kind is ColumnKind.NUMBER else column
        for column in columns
    )


INSTRUMENT_KEY = replace(
    _text("instrument_key", "VENUE:TYPE:SYMBOL; never changes during an instrument's life."), has_bounds=True
)
_AMOUNT_UNIT = "see instruments.amount_unit"

_COMMON = (
    _text("exchange", "The vendor's exchange id."),
    _text("symbol", "The vendor's symbol in upper case, as in the file."),
    _time("timestamp", "The venue's own time of the event; equals local_timestamp where the venue sends none."),
    _time("local_timestamp", "When the vendor's recorder received the message; orders the file and decides its day."),
)
_PRICE_AMOUNT = _in_dictionaries(
    _number("price", _PRICE_UNIT, "Price of one unit of the base; an option's premium may be in the coin."),
    _number("amount", _AMOUNT_UNIT, "Amount: of the base, of the quote, or of contracts."),
)
_TRADES = (
    *_COMMON,
    _id("The venue's trade id, opaque text."),
    _text("side", "Side of the taker: buy, sell or unknown."),
    *_PRICE_AMOUNT,
)
_LIQUIDATIONS = (
    *_COMMON,
    _id("The venue's id of the liquidation; most venues send none."),
    _text("side", "buy: a short position was liquidated; sell: a long one."),
    *_PRICE_AMOUNT,
)
_BOOK_L2 = (
    *(replace(column, encoding=Encoding.PLAIN) if column.kind is ColumnKind.TIME else column for column in _COMMON),
    ColumnSpec(
        "is_snapshot",
        "is_snapshot",
        ColumnKind.FLAG,
        False,
        "",
        "True on rows of a full book image.",
        Encoding.PLAIN,
    ),
    _text("side", "Side of the book: bid or ask."),
    *_in_dictionaries(
        _number("price", _PRICE_UNIT, "Price of the level."),
        _number("amount", _AMOUNT_UNIT, "New total amount at that price; 0 removes the level."),
    ),
)
_TOP_OF_BOOK = (
    *_COMMON,
    # The vendor's order: ask amount, ask price, bid price, bid amount.
    _number("ask_amount", _AMOUNT_UNIT, "Amount at the best ask.", is_nullable=True),
    *_in_dictionaries(
        _number("ask_price", _PRICE_UNIT, "Best ask price.", is_nullable=True),
        _number("bid_price", _PRICE_UNIT, "Best bid price.", is_nullable=True),
    ),
    _number("bid_amount", _AMOUNT_UNIT, "Amount at the best bid.", is_nullable=True),
)
_DERIVATIVE_TICKER = (
    *_COMMON,
    _time("funding_timestamp", "Next funding instant; empty for dated futures.", is_nullable=True),
    _number("funding_rate", "fraction per funding interval", "Rate due at funding_timestamp.", is_nullable=True),
    _number("predicted_funding_rate", "fraction per funding interval", "Rate of the interval after.", is_nullable=True),
    _number("open_interest", "not known (contracts, base or quote, by venue)", "Open interest.", is_nullable=True),
    _number("last_price", _PRICE_UNIT, "Last traded price.", is_nullable=True),
    _number("index_price", _PRICE_UNIT, "Index price.", is_nullable=True),
    _number("mark_price", _PRICE_UNIT, "Mark price.", is_nullable=True),
)
# Rows of many options in any order, each of which repeats its own values.
_OPTIONS_CHAIN = _in_dictionaries(
    *_COMMON,
    _text("type", "call or put.", is_nullable=True),
    _number("strike_price", "see instruments.quote", "Strike; null where the venue sends none.", is_nullable=True),
    _time("expiration", "Expiry instant; null where the venue sends none.", is_nullable=True),
    _number("open_interest", "not known (contracts, base or quote, by venue)", "Open interest.", is_nullable=True),
    _number("last_price", _PRICE_UNIT, "Last traded price.", is_nullable=True),
    _number("bid_price", _PRICE_UNIT, "Best bid price.", is_nullable=True),
    _number("bid_amount", _AMOUNT_UNIT, "Amount at the best bid.", is_nullable=True),
    _number("bid_iv", "percent or fraction, by venue", "Implied volatility of the best bid.", is_nullable=True),
    _number("ask_price", _PRICE_UNIT, "Best ask price.", is_nullable=True),
    _number("ask_amount", _AMOUNT_UNIT, "Amount at the best ask.", is_nullable=True),
    _number("ask_iv", "percent or fraction, by venue", "Implied volatility of the best ask.", is_nullable=True),
    _number("mark_price", _PRICE_UNIT, "Mark price.", is_nullable=True),
    _number("mark_iv", "percent or fraction, by venue", "Implied volatility of the mark price.", is_nullable=True),
    _text("underlying_index", "Name of the underlying index.", is_nullable=True),
    _number("underlying_price", "quote currency of the underlying", "Underlying price.", is_nullable=True),
    _number("delta", "1", "Delta.", is_nullable=True),
    _number("gamma", "1 / price", "Gamma.", is_nullable=True),
    _number("vega", "price / volatility point", "Vega.", is_nullable=True),
    _number("theta", "price / day", "Theta.", is_nullable=True),
    _number("rho", "price / percent", "Rho.", is_nullable=True),
)


def _book_snapshot(depth: int) -> tuple[ColumnSpec, ...]:
    levels: list[ColumnSpec] = []
    for level in range(depth):
        for side in ("ask", "bid"):
            for field, unit in (("price", _PRICE_UNIT), ("amount", _AMOUNT_UNIT)):
                column = _number(
                    f"{side}_{field}_{level}",
                    unit,
                    f"{side.capitalize()} {field} of level {level}; level 0 is the best.",
                    is_nullable=True,
                    csv_name=f"{side}s[{level}].{field}",
                )
                is_searched = column.has_bounds and not level
                encoding = Encoding.DICTIONARY if is_searched else column.encoding
                levels.append(replace(column, encoding=encoding, has_bounds=is_searched))
    return (*_COMMON, *levels)


TABLES: dict[DataType, TableSpec] = {
    spec.data_type: spec
    for spec in (
        TableSpec(DataType.TRADES, "one trade", _TRADES),
        TableSpec(DataType.INCREMENTAL_BOOK_L2, "one changed price level", _BOOK_L2),
        TableSpec(DataType.BOOK_SNAPSHOT_5, "the top 5 levels after a change of one of them", _book_snapshot(5)),
        TableSpec(DataType.BOOK_SNAPSHOT_25, "the top 25 levels after a change of one of them", _book_snapshot(25)),
        TableSpec(DataType.QUOTES, "the best bid and ask, rebuilt from the L2 book, after a change", _TOP_OF_BOOK),
        TableSpec(DataType.BOOK_TICKER, "the best bid and ask as the venue's own feed sent it", _TOP_OF_BOOK),
        TableSpec(DataType.DERIVATIVE_TICKER, "a change of any of the ticker's fields", _DERIVATIVE_TICKER),
        TableSpec(DataType.LIQUIDATIONS, "one liquidation order", _LIQUIDATIONS),
        TableSpec(DataType.OPTIONS_CHAIN, "a change of one option's ticker", _OPTIONS_CHAIN),
    )
}
