"""The asset `coverage`: what the lake holds against what is expected, as a picture and as tables with its numbers."""

import base64
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from market_data.defs.resources import LakeResource
from market_data.defs.tables import Table, make_table
from market_data.errors import ConfigurationError, MarketDataError
from market_data.model.limits import MEGABYTE
from market_data.operate.coverage import (
    COMPLETE,
    DELETED,
    FILE_COUNTS,
    INCOMPLETE,
    NOT_RUN,
    REPLACING,
    STATES,
    choose_days,
    describe_quality,
    measure_coverage,
    summarize_data_types,
    summarize_venue_days,
)
from market_data.operate.coverage_picture import draw_coverage
from market_data.operate.coverage_sketch import sketch_coverage
from market_data.settings.environment import Settings

COVERAGE_KEY = dg.AssetKey(["coverage"])
LAKE_GROUP = "lake"
_ROWS_SHOWN = 1000
# Dagster draws Markdown of less than 1,000 characters in place.
_SHOWN_AT_ONCE = 999
_FENCE = "```\n{}\n```"


class CoverageConfig(dg.Config):
    """The days to look at, both included; by default the 30 days until the newest partition."""

    first_day: str | None = Field(default=None, description="ISO date, such as 2024-08-01; default: 29 days earlier.")
    last_day: str | None = Field(
        default=None, description="ISO date, included; default: yesterday (UTC), or the venues file's `end_date`."
    )


def build_coverage(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset; it reads receipts only, asks the vendor for nothing and writes nothing."""
    wanted = {venue: item.data_types for venue, item in settings.config.venues.items()}

    @dg.asset(
        key=COVERAGE_KEY,
        group_name=LAKE_GROUP,
        description="What the lake holds against what is expected, by venue, data type and day, as the receipts say.",
    )
    def coverage(config: CoverageConfig, lake: LakeResource) -> dg.MaterializeResult[None]:
        try:
            days = _choose_days(config, settings.config.newest_day(datetime.now(UTC).date()))
            frame = measure_coverage(lake.open_to_read(), wanted, days)
        except MarketDataError as error:
            raise dg.Failure(description=str(error)) from error
        return dg.MaterializeResult(metadata=describe_coverage(frame))

    return coverage


def _choose_days(config: CoverageConfig, newest: date) -> list[date]:
    try:
        first = date.fromisoformat(config.first_day) if config.first_day else None
        last = date.fromisoformat(config.last_day) if config.last_day else None
    except ValueError as error:
        raise ConfigurationError(f"first_day and last_day are dates such as 2024-08-01: {error}") from error
    return choose_days(first, last, newest, names=("first_day", "last_day"))


def describe_coverage(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the metadata of a coverage frame: verdict, picture, tables, and numbers that Dagster plots."""
    units = {state: frame.filter(pl.col("state") == state).height for state in STATES}
    share, worst, verifiable = describe_quality(frame)
    totals = {name: int(frame[name].sum()) for name in (*FILE_COUNTS, "rows")}
    picture = base64.b64encode(draw_coverage(frame)).decode()
    metadata: dict[str, Any] = {
        "verdict": f"{units[COMPLETE]:,} of {frame.height:,} complete (venue, data type, day); {units[INCOMPLETE]:,} "
        f"incomplete, {units[REPLACING]:,} being replaced, {units[NOT_RUN]:,} not run"
        + (f", {units[DELETED]:,} deleted" if units[DELETED] else ""),
        **_sketches(frame),
        "picture": dg.MetadataValue.md(f"![Coverage by venue, data type and day](data:image/png;base64,{picture})"),
    }
    unsound = frame.filter(pl.col("state").is_in([INCOMPLETE, REPLACING, DELETED]))
    if not unsound.is_empty():
        columns = ["venue", "data_type", "day", "state", "expected", "failed", "open", "cause"]
        metadata["incomplete"] = _table(unsound.select(columns))
    metadata["data types by venue"] = _table(_in_megabytes(summarize_data_types(frame)))
    metadata["venues by day"] = _table(_in_megabytes(summarize_venue_days(frame)))
    return metadata | {
        "units complete": units[COMPLETE],
        "units incomplete": units[INCOMPLETE],
        "units replacing": units[REPLACING],
        "units not run": units[NOT_RUN],
        "units deleted": units[DELETED],
        **{f"files {name.replace('_', ' ')}": totals[name] for name in FILE_COUNTS},
        "time that has rows": share or "nobody has looked",
        "lacks most by": worst or "nothing",
        "instrument-days with independent evidence": verifiable or "none was looked for",
        "spans without rows": int(frame["gaps"].sum()),
        "units not searched for gaps": units[COMPLETE] - int(frame["gaps"].is_not_null().sum()),
        "rows": totals["rows"],
        "raw MB": round(float(frame["raw_bytes"].sum()) / MEGABYTE, 3),
        "published MB (one copy)": round(float(frame["published_bytes"].sum()) / MEGABYTE, 3),
    }


def _sketches(frame: pl.DataFrame) -> dict[str, dg.MetadataValue[Any]]:
    """Return what pages show at once: they have longer Markdown, and so the picture, behind a click."""
    texts = list(sketch_coverage(frame, _SHOWN_AT_ONCE - len(_FENCE.format(""))))
    names = ["days of each venue", *(f"days of each venue ({number})" for number in range(2, len(texts) + 1))]
    return {name: dg.MetadataValue.md(_FENCE.format(text)) for name, text in zip(names, texts, strict=True)}


def _in_megabytes(frame: pl.DataFrame) -> pl.DataFrame:
    sizes = {"raw_MB": pl.col("raw_bytes") / MEGABYTE, "published_MB": pl.col("published_bytes") / MEGABYTE}
    return frame.select(
        pl.exclude("raw_bytes", "published_bytes"), *(size.round(3).alias(name) for name, size in sizes.items())
    )


def _table(frame: pl.DataFrame) -> Table:
    """Return the first rows of a frame as a table; a day is its ISO date, and nothing is an empty cell."""
    texts = frame.with_columns(pl.col(pl.Date).dt.to_string("%Y-%m-%d")).head(_ROWS_SHOWN)
    rows = [{k: "" if v is None else v for k, v in row.items()} for row in texts.to_dicts()]
    if frame.height > _ROWS_SHOWN:
        rest = frame.height - _ROWS_SHOWN
        note = f"... and {rest} more rows: market-data coverage --json"
        rows.append(dict.fromkeys(texts.columns, "") | {texts.columns[0]: note})
    return make_table(rows)
