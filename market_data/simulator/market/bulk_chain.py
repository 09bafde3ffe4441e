"""An options chain of any number of rows, made block by block: what the real OPTIONS file is, without its memory.

Each row is one option's latest state at that moment, taken from the ordinary chain of the day, under times of its own.
Rows are in order of arrival, and no option shows rows outside its life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from market_data.model.data_types import TABLES, DataType
from market_data.simulator.market.books import random_latency
from market_data.simulator.market.frames import EMPTY_GZIP, open_gzip, venue_times
from market_data.simulator.market.markets import Market
from market_data.simulator.market.prices import DAY_US, Ints, random_stream

_BLOCK_ROWS = 65_536
_FIRST_US = 3_500_000  # by then the collector has subscribed


@dataclass(frozen=True, slots=True)
class _Pool:
    """The ordinary rows of all options in order of arrival, as text without their times."""

    heads: pl.Series  # exchange and symbol
    tails: pl.Series  # from `type` on
    arrival_us: Ints
    option: Ints


def _render(rows: pl.DataFrame) -> pl.Series:
    return pl.Series(rows.write_csv(include_header=False, float_scientific=False).splitlines(), dtype=pl.String)


def _make_pool(chains: Sequence[pl.DataFrame], midnight_us: int) -> _Pool:
    rows = pl.concat([chain.with_columns(option=pl.lit(number)) for number, chain in enumerate(chains)])
    rows = rows.sort("local_timestamp", maintain_order=True)
    return _Pool(
        _render(rows.select("exchange", "symbol")),
        _render(rows.select(pl.exclude("exchange", "symbol", "timestamp", "local_timestamp", "option"))),
        rows["local_timestamp"].to_numpy() - midnight_us,
        rows["option"].to_numpy().astype(np.int64),
    )


def _states(pool: _Pool, markets: Sequence[Market], blocks: int) -> Iterator[tuple[int, int, Ints]]:
    """Yield for each block its start and end since midnight and the pool row of each option that lives through it."""
    opens = np.array([market.open_us for market in markets], dtype=np.int64)
    closes = np.array([market.close_us for market in markets], dtype=np.int64)
    latest = np.full(len(markets), -1, dtype=np.int64)
    options, first_rows = np.unique(pool.option, return_index=True)
    was_open = opens[options] == 0
    latest[options[was_open]] = first_rows[was_open]
    edges = np.linspace(_FIRST_US, DAY_US, blocks + 1).astype(np.int64)
    seen = 0
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        now = int(np.searchsorted(pool.arrival_us, start, side="right"))
        latest[pool.option[seen:now]] = np.arange(seen, now)
        seen = now
        yield start, end, latest[(latest >= 0) & (closes >= end)]


def _block(market: Market, pool: _Pool, rows: Ints, received: Ints, latency: Ints) -> str:
    frame = pl.DataFrame(
        {
            "head": pool.heads.gather(rows),
            "timestamp": venue_times(market, received, latency),
            "local_timestamp": market.midnight_us + received,
            "tail": pool.tails.gather(rows),
        }
    )
    return frame.write_csv(include_header=False, quote_style="never")


def chain_blocks(markets: Sequence[Market], chains: Sequence[pl.DataFrame], rows: int) -> Iterator[bytes]:
    """Yield the pieces of a gzip of `rows` rows; `chains` are the ordinary rows of each of the markets."""
    blocks = max(24, -(-rows // _BLOCK_ROWS))
    pool = _make_pool(chains, markets[0].midnight_us) if chains else None
    states = list(_states(pool, markets, blocks)) if pool is not None and len(pool.option) else []
    states = [state for state in states if len(state[2])]
    if pool is None or not states:
        yield EMPTY_GZIP
        return
    rng = random_stream(markets[0].seed, markets[0].exchange_id, markets[0].day, "bulk_chain")
    compressor = open_gzip()
    yield compressor.compress(f"{TABLES[DataType.OPTIONS_CHAIN].csv_header}\n".encode())
    counts = np.diff(np.linspace(0, rows, len(states) + 1).astype(np.int64))
    for (start, end, living), count in zip(states, counts.tolist(), strict=True):
        chosen = living[rng.integers(0, len(living), count)]
        received = np.sort(rng.integers(start, end, count))
        yield compressor.compress(_block(markets[0], pool, chosen, received, random_latency(rng, count)).encode())
    yield compressor.flush()
