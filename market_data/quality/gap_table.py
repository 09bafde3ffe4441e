"""The table of a unit's gaps in the lake.

One row for each gap of each instrument, and one (`cause` = `not_judged`) for each run of hours of an instrument too
quiet to be judged; sorted by instrument key, then start. Behind them one (`cause` = `judged`, no span) for each
instrument that was looked at: from how long on its silences are seen, in the quietest of its hours that are judged. A
grouped file is judged as one series for each object that is
published of it: its key is then venue, instrument type and stem.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import polars as pl

from market_data.errors import LakeError, LakeObjectMissing
from market_data.lake.base import PARQUET_CONTENT, TickLake
from market_data.lake.checksum import compute_crc32c, content_id_of_bytes
from market_data.lake.keys import gaps_key
from market_data.model.tick_file import DataTypeDay
from market_data.quality.causes import Cause
from market_data.quality.hours import DAY_US
from market_data.receipts.receipt import JudgedGaps, Receipt

# Times are UTC. `expected_rows`: how many rows usually come in such a span; `score`: the robust z (quality/gaps.py);
# `visible_from_seconds`: from how long a silence on this instrument's gaps are seen; `basis`: known from what.
GAPS_SCHEMA = pl.Schema(
    {
        "instrument_key": pl.String(),
        "start": pl.Datetime("us", "UTC"),
        "end": pl.Datetime("us", "UTC"),
        "seconds": pl.Float64(),
        "cause": pl.String(),
        "evidence": pl.String(),
        "expected_rows": pl.Float64(),
        "ids_missing": pl.Int64(),
        "score": pl.Float64(),
        "visible_from_seconds": pl.Float64(),
        "basis": pl.String(),
    }
)


def digest_of(texts: Iterable[str]) -> str:
    """Return 64 bits that stand for texts in their order."""
    return content_id_of_bytes("\n".join(texts).encode())


JUDGED = "judged"
# A span of these causes lacks nothing: there was nothing to record, or nothing was traded.
_NOTHING_LACKS = (Cause.NOT_TRADING.value, Cause.THIN_MARKET.value)


def save_gaps(
    lake: TickLake, receipt: Receipt, gaps: pl.DataFrame, looked_at: pl.DataFrame, days_before: int
) -> JudgedGaps:
    """Write the gaps of a unit, and what was looked at, under the name of their content; return what its receipt says.

    What the receipt names already is left as it is; what is there and not named may be about to be deleted.
    """
    assert receipt.committed_at is not None  # noqa: S101  what is judged is published
    data = _bytes_of(pl.concat([gaps, looked_at]))
    content_id = content_id_of_bytes(data)
    key = gaps_key(receipt.unit, content_id)
    former = receipt.gaps_in_force
    stat = lake.stat(key) if former is not None and former.content_id == content_id else None
    crc32c = _crc32c_of(data)
    if stat is None or (stat.size_bytes, stat.crc32c) != (len(data), crc32c):
        lake.put_bytes(data, key, content_type=PARQUET_CONTENT)
    seconds = seconds_by_cause(gaps)
    nothing = seconds.get(Cause.NOT_TRADING.value, 0) + float(
        gaps.filter(pl.col("cause") == Cause.NOT_JUDGED.value)["seconds"].sum()
    )
    return JudgedGaps(
        of=receipt.committed_at,
        content_id=content_id,
        size_bytes=len(data),
        crc32c=crc32c,
        gaps=gaps.filter(pl.col("cause") != Cause.NOT_JUDGED.value).height,
        not_judged=looked_at["visible_from_seconds"].null_count(),
        days_before=days_before,
        judged_seconds=round(looked_at.height * DAY_US / 1e6 - nothing, 6),
        missing={cause: round(value, 6) for cause, value in sorted(seconds.items()) if cause not in _NOTHING_LACKS},
        verifiable=former.verifiable if former else None,
    )


def seconds_by_cause(gaps: pl.DataFrame) -> dict[str, float]:
    """Return how long all spans of each cause are, of all instruments; a moment of one instrument counts once.

    What is not judged is left out.
    """
    spans = gaps.filter(pl.col("cause") != Cause.NOT_JUDGED.value).sort("instrument_key", "start", "end")
    counted_until = pl.col("end").cum_max().shift(1).over("instrument_key")
    added = pl.col("end") - pl.max_horizontal("start", counted_until)
    seconds = (added.dt.total_microseconds().clip(0) / 1e6).alias("added")
    return dict(spans.select("cause", seconds).group_by("cause").agg(pl.col("added").sum()).iter_rows())


def load_gaps(lake: TickLake, unit: DataTypeDay, judged: JudgedGaps) -> pl.DataFrame:
    """Return the gaps that a receipt names; raises LakeError (permanent) where they are missing or damaged."""
    return load_judged(lake, unit, judged).filter(pl.col("cause") != JUDGED)


def load_judged(lake: TickLake, unit: DataTypeDay, judged: JudgedGaps) -> pl.DataFrame:
    """Return the whole table, with a row for each series that was looked at; raises as `load_gaps`."""
    key = gaps_key(unit, judged.content_id)
    try:
        data, _ = lake.get_bytes(key)
    except LakeObjectMissing as error:
        raise LakeError(
            f"{lake.uri(key)}: the gaps that the receipt of {unit} names are gone ({error}): run the job `recheck` of "
            f"{unit.day}"
        ) from error
    if (len(data), _crc32c_of(data)) != (
        judged.size_bytes,
        judged.crc32c,
    ):  # what a store says of it is of another read
        raise LakeError(f"{lake.uri(key)} is not what the receipt of {unit} names: run the job `recheck` of that day")
    return pl.read_parquet(io.BytesIO(data)).select(GAPS_SCHEMA.names())


def _crc32c_of(data: bytes) -> str:
    return compute_crc32c(io.BytesIO(data))


def _bytes_of(gaps: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    gaps.select(GAPS_SCHEMA.names()).write_parquet(sink, compression="zstd", compression_level=3)
    return sink.getvalue()
