"""The instruments of a venue-day, or of all venues on a day, as the table `instruments.parquet`.

One row is one instrument that the venue listed that day; sorted by vendor symbol, of all venues by venue before.
Null says that it is not known, in `contract_multiplier` and `tick_size` also that the account's plan shows none.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import date

import polars as pl

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import PARQUET_CONTENT, ObjectStat, TickLake
from market_data.lake.keys import UNIVERSE_PREFIX, combined_universe_key, parse_universe_key, universe_key
from market_data.symbology.multiples import unit_multiple_of
from market_data.universe.rules import Universe

UNIVERSE_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "venue": pl.String(),
        "vendor_symbol": pl.String(),
        "instrument_type": pl.String(),
        "base": pl.String(),
        "quote": pl.String(),
        "settlement_asset": pl.String(),
        "expiry": pl.Datetime("us", "UTC"),
        "strike": pl.String(),
        "option_type": pl.String(),
        "is_inverse": pl.Boolean(),
        # what one contract is: so much base where linear, quote where inverse, settlement asset a point where quanto
        "contract_multiplier": pl.Float64(),
        "amount_unit": pl.String(),  # of the amount columns: base, quote or contracts
        "tick_size": pl.Float64(),
        "data_types": pl.List(pl.String()),
        "first_day": pl.Date(),
        "last_day": pl.Date(),
        "key_source": pl.String(),
        "price_currency": pl.String(),  # of the price columns
        "contract_kind": pl.String(),  # linear, inverse, quanto; null on spot
        "unit_multiple": pl.Int64(),  # so many of the asset are one of `base`: 1000 of 1000PEPE
    }
)
# Absent from what was written before they were added.
_ADDED_LATER = ("price_currency", "contract_kind", "unit_multiple")


def universe_frame(universe: Universe) -> pl.DataFrame:
    """Return one row for each instrument the venue listed that day, sorted by vendor symbol."""
    rows = [
        {
            "instrument_key": item.instrument_key,
            "venue": item.venue,
            "vendor_symbol": item.vendor_symbol,
            "instrument_type": item.instrument_type,
            "base": item.parsed.base,
            "quote": item.parsed.quote,
            "settlement_asset": item.parsed.settlement_asset,
            "expiry": item.parsed.expiry,
            "strike": item.parsed.strike,
            "option_type": item.parsed.option_type,
            "is_inverse": item.parsed.is_inverse,
            "contract_multiplier": item.contract_multiplier,
            "amount_unit": item.parsed.amount_unit,
            "tick_size": item.tick_size,
            "data_types": [data_type.value for data_type in item.data_types],
            "first_day": item.first_day,
            "last_day": item.last_day,
            "key_source": item.key_source.value,
            "price_currency": item.parsed.price_currency,
            "contract_kind": item.parsed.contract_kind,
            "unit_multiple": unit_multiple_of(item.venue, item.parsed.base),
        }
        for item in universe.listed
    ]
    return pl.DataFrame(rows, schema=UNIVERSE_SCHEMA)


def read_universe(lake: TickLake, venue: str, day: date, columns: Iterable[str] = UNIVERSE_SCHEMA) -> pl.DataFrame:
    """Return the instruments that a venue listed on a day; raises LakeError of any kind."""
    data, _ = lake.get_bytes(universe_key(venue, day))
    wanted = list(columns)
    try:
        held = pl.read_parquet_schema(io.BytesIO(data))
        added = [pl.lit(None).alias(name) for name in wanted if name in _ADDED_LATER and name not in held]
        # a later version may have added columns too
        frame = pl.read_parquet(
            io.BytesIO(data), columns=[name for name in wanted if name in held or name not in _ADDED_LATER]
        )
        return frame.with_columns(added).select(wanted).cast({name: UNIVERSE_SCHEMA[name] for name in wanted})
    except pl.exceptions.PolarsError as error:
        raise LakeError(
            f"{lake.uri(universe_key(venue, day))} is not the table of a day's instruments ({error}): materialise "
            "`instruments` of that day again"
        ) from error


def held_universes(lake: TickLake) -> list[tuple[str, date]]:
    """Return venue and day of each universe in the lake, sorted; raises LakeError of any kind."""
    found = (parse_universe_key(stat.key) for stat in lake.list_objects(UNIVERSE_PREFIX))
    return sorted(pair for pair in found if pair is not None)


def store_universe(lake: TickLake, universe: Universe) -> ObjectStat:
    """Write `instruments.parquet` of a venue-day, unless the lake holds these very bytes already."""
    return _store_frame(lake, universe_key(universe.venue, universe.day), universe_frame(universe))


def combine_universes(lake: TickLake, venues: Iterable[str], day: date) -> tuple[ObjectStat, pl.DataFrame, list[str]]:
    """Write the instruments of all venues on a day as one table, sorted by venue and vendor symbol.

    Returns the object, the table, and the venues whose universe of that day the lake does not hold.
    """
    frames, missing = [pl.DataFrame(schema=UNIVERSE_SCHEMA)], []
    for venue in sorted(venues):
        try:
            frames.append(read_universe(lake, venue, day))
        except LakeObjectMissing:
            missing.append(venue)
    combined = pl.concat(frames)
    return _store_frame(lake, combined_universe_key(day), combined), combined, missing


def _store_frame(lake: TickLake, key: str, frame: pl.DataFrame) -> ObjectStat:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    data = buffer.getvalue()
    held = lake.stat(key)
    if held is not None and lake.get_bytes(key)[0] == data:
        return held
    return lake.put_bytes(data, key, content_type=PARQUET_CONTENT)
