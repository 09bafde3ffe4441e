"""How rows become row groups: by the rows alone, whatever the pieces, and readable as files of the version before."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from market_data.model.data_types import INSTRUMENT_KEY, TABLES, ColumnKind, DataType
from market_data.ticks import encode
from market_data.ticks.encode import ENCODING_FIELD, ENCODING_VERSION, Encoded, TickWriter
from market_data_tests.benchmarks.encoding import write_as_before

MIDNIGHT_US, HOUR_US = 1_723_075_200_000_000, 3_600_000_000
ENOUGH, MOST = 40, 100
KEY = "BINANCE:SPOT_PAIR:BTC-USDT"
CONSTANTS = {INSTRUMENT_KEY.name: KEY, "exchange": "binance", "symbol": "BTCUSDT"}


def make_trades(hours: list[int]) -> pl.DataFrame:
    """Return invented trades as the decoder parses them, each in the hour that is named for it."""
    moments = [MIDNIGHT_US + hour * HOUR_US + number for number, hour in enumerate(hours)]
    return pl.DataFrame(
        {
            "exchange": "binance",
            "symbol": "BTCUSDT",
            "timestamp": moments,
            "local_timestamp": moments,
            "id": [str(number) if number % 7 else None for number in range(len(hours))],
            "side": [("buy", "sell", "unknown")[number % 3] for number in range(len(hours))],
            "price": [number / 3 for number in range(len(hours))],
            "amount": [float(number % 5) for number in range(len(hours))],
        }
    )


def write(rows: pl.DataFrame, cuts: list[int], path: Path) -> Encoded:
    writer = TickWriter(path, DataType.TRADES, CONSTANTS)
    for start, end in zip([0, *cuts], [*cuts, rows.height], strict=True):
        writer.write(rows.slice(start, end - start).drop("exchange", "symbol"))
    return writer.close()


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = len(TABLES[DataType.TRADES].published_schema)
    monkeypatch.setattr(encode, "_ENOUGH_ROWS", ENOUGH)
    monkeypatch.setattr(encode, "_MOST_CELLS", MOST * columns)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("seed", range(40))
def test_row_groups_end_with_hours_and_depend_on_the_rows_alone(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    hours = [hour for hour in range(24) for _ in range(rng.choice((0, 1, 5, 39, 40, 41, 100, 101, 260)))] or [3]
    if seed % 4 == 3:  # times may step back
        hours = [max(0, hour - rng.choice((0, 0, 0, 2))) for hour in hours]
    rows = make_trades(hours)
    whole = write(rows, [], tmp_path / "whole")
    cuts = sorted(rng.randrange(rows.height + 1) for _ in range(rng.choice((1, 3, 30))))
    assert write(rows, cuts, tmp_path / "cut") == whole
    assert (tmp_path / "whole").stat().st_size == whole.size_bytes

    footer = pq.read_metadata(tmp_path / "whole")
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    assert sum(sizes) == whole.rows == rows.height
    start = 0
    for size in sizes:
        group = hours[start : start + size]
        changes = [place for place in range(1, size) if group[place] != group[place - 1]]
        assert all(place < ENOUGH for place in changes)
        start += size
        assert size == MOST or start == rows.height or (size >= ENOUGH and hours[start] != hours[start - 1])
    read = pl.read_parquet(tmp_path / "whole", columns=["id", "local_timestamp"])
    assert read["id"].to_list() == rows["id"].to_list()
    assert read["local_timestamp"].to_physical().to_list() == rows["local_timestamp"].to_list()


@pytest.mark.parametrize("data_type", DataType)
def test_every_engine_reads_files_of_both_encodings_as_one(tmp_path: Path, data_type: DataType) -> None:
    columns = TABLES[data_type].vendor_columns
    values = {
        ColumnKind.TEXT: ["a", "b", "a"],
        ColumnKind.TIME: [MIDNIGHT_US + 1, MIDNIGHT_US + 2, MIDNIGHT_US + 2],
        ColumnKind.NUMBER: [1.5, -0.0, 5e-324],
        ColumnKind.FLAG: [True, False, True],
    }
    rows = pl.DataFrame({column.csv_name: values[column.kind] for column in columns}).with_columns(
        pl.lit("binance").alias("exchange"),
        pl.lit("BTCUSDT").alias("symbol"),
        pl.when(pl.int_range(pl.len()) != 1)
        .then(pl.col(column.csv_name for column in columns if column.is_nullable))
        .name.keep(),
    )
    before, now = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_as_before(rows, data_type, before)
    names = {column.csv_name: column.name for column in columns}
    writer = TickWriter(now, data_type, CONSTANTS)
    writer.write(rows.rename(names).drop("exchange", "symbol"))
    writer.close()

    assert pl.read_parquet_schema(now) == TABLES[data_type].published_schema
    assert_frame_equal(pl.read_parquet(now), pl.read_parquet(before))
    both = pl.read_parquet([before, now])
    assert both.height == 2 * rows.height
    assert pq.read_schema(now).equals(pq.read_schema(before))
    assert_frame_equal(pl.DataFrame(pq.read_table([str(before), str(now)])), both)
    in_duckdb = duckdb.read_parquet([str(before), str(now)]).pl()
    assert_frame_equal(in_duckdb.cast(dict(both.schema)), both)
    assert pq.read_metadata(now).metadata[ENCODING_FIELD.encode()] == ENCODING_VERSION.encode()


@pytest.mark.usefixtures("small_groups")
def test_what_was_abandoned_is_not_written_to_any_more(tmp_path: Path) -> None:
    path = tmp_path / "ticks"
    writer = TickWriter(path, DataType.TRADES, CONSTANTS)
    writer.write(make_trades([1] * 500).drop("exchange", "symbol"))
    path.unlink(missing_ok=True)
    writer.abandon()
    del writer
    gc.collect()
    assert not path.exists()
