"""How the commands print: tables for people, and the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from rich.console import Console

from market_data.cli.fitted_table import Column, FittedTable
from market_data.model.instruments import INVERSE, LINEAR, QUANTO
from market_data.model.tick_file import Outcome
from market_data.operate.costs import GOOGLE, STANDARD
from market_data.operate.coverage import COMPLETE, DELETED, FILE_COUNTS, NOT_RUN, SIZES, STATES, describe_quality
from market_data.operate.estimates import CSV_TO_GZIP, DECODED_MB_A_SECOND, DECODING_CPU_SECONDS, decoding_hours
from market_data.operate.plan import BY_DECODER, DEFAULTS, TOLD_SIZES, Plan

_ALWAYS_SHOWN = ("complete", "expected", "stored", "rows", "raw_bytes", "published_bytes")
_RARE = tuple(name for name in (*STATES, *FILE_COUNTS) if name not in _ALWAYS_SHOWN)
_LINES_SHOWN = 20
_PROSE = {"description", "one_row_is"}
_PIPE_WIDTH = 160
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def make_console() -> Console:
    """Return a console: a terminal wraps as it must, a file or a pipe gets lines wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def format_size(size_bytes: float) -> str:
    """Return bytes in decimal units with three digits."""
    for unit_bytes, name in _UNITS:
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.3g} {name}"
    return f"{size_bytes:.0f} B"


def _format_sizes(low: int, high: int) -> str:
    return f"about {format_size(low)}" if low == high else f"{format_size(low)} to {format_size(high)}"


def print_some(console: Console, lines: Sequence[str], title: str) -> None:
    """Print a title and the first lines below it; nothing where there are none."""
    if lines:
        console.print(title)
    for line in lines[:_LINES_SHOWN]:
        console.print(f"  {line}", highlight=False, markup=False)
    if len(lines) > _LINES_SHOWN:
        console.print(f"  ... and {len(lines) - _LINES_SHOWN:,} more: see --json")


def records_table(records: Sequence[Mapping[str, object]]) -> FittedTable:
    """Return the table of records of the same keys."""
    table = FittedTable([_column_of(name, value, is_first=not n) for n, (name, value) in enumerate(records[0].items())])
    for record in records:
        table.add_row(*(_cell(value) for value in record.values()))
    return table


def _column_of(name: str, value: object, *, is_first: bool) -> Column:
    is_prose, is_number = name in _PROSE, isinstance(value, int) and not isinstance(value, bool)
    shown = name.removeprefix("is_").replace("_", " ")
    return Column(shown, "right" if is_number else "left", is_kept=is_first or is_prose, is_prose=is_prose)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str("" if value is None else value)


def coverage_table(summary: pl.DataFrame) -> FittedTable:
    """Return the table of a coverage summary by venue and data type; what is 0 everywhere has no column."""
    totals = {name: int(summary[name].sum()) for name in (*STATES, *FILE_COUNTS, *SIZES)}
    counts = [name for name in (*_ALWAYS_SHOWN, *_RARE) if totals[name] or name in _ALWAYS_SHOWN]
    table = FittedTable([Column("venue, data type", is_kept=True), *(_count_column(name) for name in counts)])
    for (venue,), part in summary.partition_by("venue", as_dict=True, maintain_order=True).items():
        of_venue = part.select(pl.col(*totals).sum()).row(0, named=True)
        table.add_row(str(venue), *(_coverage_cell(of_venue, name) for name in counts))
        for row in part.to_dicts():
            table.add_row(f"  {row['data_type']}", *(_coverage_cell(row, name) for name in counts), style="dim")
        table.end_section()
    table.add_row("all", *(_coverage_cell(totals, name) for name in counts), style="bold")
    return table


def _count_column(name: str) -> Column:
    return Column(name.removesuffix("_bytes").replace("_", " "), "right", is_kept=name in _ALWAYS_SHOWN[:3])


def _coverage_cell(row: Mapping[str, int], name: str) -> str:
    return format_size(row[name]) if name.endswith("_bytes") else f"{row[name]:,}"


def describe_coverage_totals(summary: pl.DataFrame) -> str:
    """Return two lines: the units by state, the files by what became of them."""
    return _describe_counts({name: int(summary[name].sum()) for name in (*STATES, *FILE_COUNTS)})


def describe_lacking(frame: pl.DataFrame) -> str:
    """Return a line on the quality of all that a coverage frame holds."""
    share, worst, verifiable = describe_quality(frame)
    if not share:
        return "Rows: nobody has looked for spans without rows."
    lacking = f"; of what lacks, the most by {worst}" if worst else ""
    independent = f"; independent evidence of {verifiable} instrument-days" if verifiable else ""
    return f"Rows: {share} of the time looked at{lacking}{independent}."


def _describe_counts(totals: Mapping[str, int]) -> str:
    rare = {DELETED, Outcome.REMOVED.value}
    told = {name: f"{totals[name]:,} {name.replace('_', ' ')}" for name in totals if totals[name] or name not in rare}
    units = ", ".join(told[name] for name in STATES if name in told)
    files = " + ".join(told[name] for name in FILE_COUNTS[1:] if name in told)
    return f"Units (venue, data type, day): {units}.\nFiles: {totals['expected']:,} expected = {files}."


def _add_by_venue(table: FittedTable, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Add rows, of which the venue (the first) stands alone above its own."""
    previous = ""
    for venue, cells in rows:
        if venue != previous:
            table.end_section()
            table.add_row(venue, *[""] * (len(cells) - 1))
        table.add_row(f"  {cells[0]}", *cells[1:])
        previous = venue


def describe_waivers(frame: pl.DataFrame) -> Iterator[str]:
    """Yield a line for each unit that stands without a file, with the reasons."""
    for row in frame.filter(pl.col("state") == COMPLETE, pl.col("cause").is_not_null()).to_dicts():
        yield f"{row['venue']} {row['data_type']} {row['day']}: {row['cause'].removeprefix('waived: ')}"


def describe_gaps(frame: pl.DataFrame) -> Iterator[str]:
    """Yield a line for each unit that is incomplete or replacing, then for each stretch of days deleted or not run."""
    for row in frame.filter(~pl.col("state").is_in([COMPLETE, NOT_RUN, DELETED])).to_dicts():
        opened = row["failed"] + row["open"] + row["removed"]
        counts = f"{opened} of {row['expected']} files open: " if opened else ""
        unit = f"{row['venue']} {row['data_type']} {row['day']}"
        yield f"{unit} {row['state']}: {counts}{row['cause'].removeprefix(unit).lstrip()}"
    absent = frame.filter(pl.col("state").is_in([DELETED, NOT_RUN]))
    # a cause says when and by whom days were deleted; days that were not run have none
    for (venue, cause), days_by_type in absent.partition_by("venue", "cause", as_dict=True).items():
        stretches: dict[tuple[date, date], list[str]] = {}
        for (data_type,), part in days_by_type.partition_by("data_type", as_dict=True).items():
            for stretch in _stretches(part["day"].to_list()):
                stretches.setdefault(stretch, []).append(str(data_type))
        for (start, end), data_types in sorted(stretches.items()):
            days = str(start) if start == end else f"{start} to {end}"
            yield f"{venue} {days} {cause or 'not run'}: {', '.join(data_types)}"


def _stretches(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    start = days[0]
    for day, following in zip(days, (*days[1:], None), strict=True):
        if following != day + timedelta(days=1):
            yield start, day
            start = following or day


def instruments_table(found: pl.DataFrame) -> FittedTable:
    """Return the table of found instruments."""
    columns = [
        Column("instrument key", is_kept=True),
        Column("days in the lake", "right"),
        *(Column(name) for name in ("of them with ticks", "vendor symbol", "listed from", "to", "price in")),
        Column("amount in"),
    ]
    table = FittedTable(columns)
    for row in found.to_dicts():
        held = ", ".join(f"{name} {count}" for name, count in row["days_held"].items() if count)
        days = (str(row["first_day"]), str(row["last_day"]))
        units = (row["price_currency"] or "not known", _amount_in(row))
        key, symbol = row["instrument_key"], row["vendor_symbol"]
        table.add_row(key, str(row["days_listed"]), held or "none", symbol, *days, *units)
    return table


def _amount_in(row: Mapping[str, Any]) -> str:
    """Return what the amounts of an instrument count: `BTC`, `contracts of 100 USD (inverse)`, `not known`."""
    kind = f" ({row['contract_kind']})" if row["contract_kind"] else ""
    unit, multiplier = row["amount_unit"], row["contract_multiplier"]
    if unit != "contracts":
        return f"{row.get(unit) or 'not known'}{kind}"
    asset = {LINEAR: row["base"], INVERSE: row["quote"], QUANTO: f"{row['settlement_asset']} a point"}.get(
        row["contract_kind"]
    )
    size = f" of {multiplier:g} {asset}" if multiplier and asset else ", of a size not known"
    return f"contracts{size}{kind}"


def plan_table(plan: Plan) -> FittedTable:
    """Return the table of a plan by venue and data type."""
    columns = [Column("venue, data type", is_kept=True), Column("to fetch", "right", is_kept=True)]
    columns += [Column(name, "right") for name in ("vendor's bytes", "one copy", "expected", "held")]
    table = FittedTable([*columns, Column("sized from")])

    def cells(row: Mapping[str, Any]) -> list[str]:
        sizes = ["-", "-"]
        if row["to_fetch"]:
            names = ("raw_bytes", "published_bytes")
            sizes = [_format_sizes(row[f"{name}_low"], row[f"{name}_high"]) for name in names]
        counts = {name: f"{row[name]:,}" for name in ("to_fetch", "expected", "held")}
        return [row["data_type"], counts["to_fetch"], *sizes, counts["expected"], counts["held"], row["sized_from"]]

    _add_by_venue(table, ((row["venue"], cells(row)) for row in plan.data_types.to_dicts()))
    return table


def _describe_costs(plan: Plan, configured: int) -> Iterator[str]:
    """Yield what the plan costs in a bucket, with the configured layouts and with fewer or more."""
    costs = {int(row["layouts"]): row for row in plan.costs().to_dicts()}
    months = {count: _format_dollars(row["month_low"], row["month_high"]) for count, row in costs.items()}
    others = ", ".join(f"{count}: {months[count]}" for count in months if count != configured)
    yield (
        f"In a bucket: {months[configured]} a month with {configured} layouts and raw/ ({others}), and "
        f"${costs[configured]['once']:,.2f} once for operations."
    )
    yield (
        f"Prices: {GOOGLE.store}, {STANDARD}, {GOOGLE.region}, {GOOGLE.read_on}; readers in the same region, no egress."
    )


def _format_dollars(low: float, high: float) -> str:
    return f"${low:,.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"${low:,.2f} to ${high:,.2f}"


def describe_plan(plan: Plan, layouts: Sequence[str], lake_url: str) -> Iterator[str]:
    """Yield the plan's totals, and what of it is estimated, in sentences."""
    totals = {name: int(plan.data_types[name].sum()) for name in plan.data_types.columns if "bytes" in name}
    raw = (totals["raw_bytes_low"], totals["raw_bytes_high"])
    copy = (totals["published_bytes_low"], totals["published_bytes_high"])
    # in a directory the layouts are hard links to the same files
    copies = 1 if lake_url.startswith("file:") else len(layouts)
    runs, whole = int(plan.venues["runs"].sum()), int(plan.venues["whole_days"].sum())
    files = int(plan.data_types["to_fetch"].sum())
    yield f"{runs:,} venue-days ({whole:,} more need nothing) fetch {files:,} files."
    yield f"Download and raw/: {_format_sizes(*raw)}. Published: {_format_sizes(*copy)} for one copy."
    how = (
        f"{len(layouts)} layouts are hard links to one copy" if copies == 1 else f"{len(layouts)} layouts, a copy each"
    )
    total = (raw[0] + copies * copy[0], raw[1] + copies * copy[1])
    yield f"Storage in all: {_format_sizes(*total)} ({how})."
    yield from _describe_costs(plan, len(layouts))
    for row in plan.venues.filter(pl.col("estimated_days") > 0).to_dicts():
        yield (
            f"{row['venue']}: {row['estimated_days']} of the {row['days']} days were not exported when the vendor was "
            f"asked on {row['metadata_asked']}; their files are estimated by the newest exported day."
        )
    yield from _describe_sources(plan.data_types["sized_from"])


def _describe_sources(sized_from: pl.Series) -> Iterator[str]:
    """Yield what the sizes of files are that are not like any held day's."""
    if sized_from.str.contains(TOLD_SIZES).any():
        yield (
            "`told sizes` are those of the venue's busiest pair on days of which users of the vendor published them, "
            "and shares of it for other instruments (operate/estimates.py names the days)."
        )
    if sized_from.str.contains(DEFAULTS).any():
        yield "`defaults` are sizes of a small and of a large venue: none were told of this one."
    if sized_from.str.contains(f"{TOLD_SIZES}|{DEFAULTS}").any():
        yield "Run one day, then plan again: sizes are then those of its files."


def _format_hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{max(hours * 60, 1):.0f} min"


def stale_table(stale: pl.DataFrame) -> FittedTable:
    """Return the table of stale units by venue and data type."""
    counts = ("units", "files", "vendor's bytes", "one copy")
    table = FittedTable([Column("venue, data type", is_kept=True), *(Column(name, "right") for name in counts)])
    sums = stale.group_by("venue", "data_type").agg(
        pl.len().alias("units"), pl.sum("files", "raw_bytes", "published_bytes")
    )

    def cells(row: Mapping[str, Any]) -> list[str]:
        sizes = [format_size(row[name]) for name in ("raw_bytes", "published_bytes")]
        return [row["data_type"], f"{row['units']:,}", f"{row['files']:,}", *sizes]

    _add_by_venue(table, ((row["venue"], cells(row)) for row in sums.sort("venue", "data_type").to_dicts()))
    return table


def describe_stale(stale: pl.DataFrame, layouts: int, cores: int) -> Iterator[str]:
    """Yield what is stale and why, what is to be read and written for it, how long that takes, and the commands."""
    venue_days = stale.select("venue", "day").n_unique()
    by_decoder = stale.filter(cause=BY_DECODER).height
    raw, copy = int(stale["raw_bytes"].sum()), int(stale["published_bytes"].sum())
    yield (
        f"{stale.height:,} units of {venue_days:,} venue-days are stale: {by_decoder:,} by their decoder, "
        f"{stale.height - by_decoder:,} by their layouts."
    )
    yield (
        f"To decode again from raw/: {format_size(raw)} of vendor's bytes; to write again: about {format_size(copy)} "
        f"of Parquet in each layout ({layouts}). No tick file is downloaded; what is published is readable meanwhile."
    )
    yield (
        f"About {_format_hours(decoding_hours(raw, cores))} on {cores} cores ({DECODED_MB_A_SECOND:.1f} MB of gzip a "
        f"second and core: {DECODING_CPU_SECONDS} s for 1 GB of CSV, {CSV_TO_GZIP} times its gzip), and some seconds "
        "for each run."
    )
    yield "The commands:"
    spans = stale.group_by("venue").agg(pl.min("day").alias("first"), pl.max("day").alias("last")).sort("venue")
    for row in spans.to_dicts():
        yield f"  market-data backfill --venue {row['venue']} --from {row['first']} --to {row['last']}"
