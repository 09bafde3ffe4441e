"""The commands of `market-data` that keep a lake: index, sweep, delete. Days are UTC, `--from` and `--to` included."""

from __future__ import annotations

import getpass
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import partial

import click
import polars as pl
from rich.console import Console

from market_data.cli.commands import range_options, venue_option
from market_data.cli.tables import format_size, make_console, records_table
from market_data.errors import ConfigurationError, MarketDataError
from market_data.index.compact import Compacted, compact_index
from market_data.index.store import held_venues, read_units
from market_data.index.unit import IndexedUnit
from market_data.ingest.deletion import Deleted, Deleter
from market_data.ingest.sweep import Swept, sweep_unit
from market_data.lake.base import TickLake
from market_data.lake.keys import ORIGIN_KEY
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_lake_writable, load_lake_document
from market_data.model.data_types import DataType, parse_data_type
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.model.venues import parse_venue
from market_data.operate.coverage import DELETED
from market_data.read.arguments import to_instrument_key
from market_data.receipts.store import data_types_with_receipts, days_with_receipts
from market_data.settings.environment import Settings, load_settings

_LONGEST_TEXT = 200
_NOW = partial(datetime.now, UTC)
_of_lake = "Venue in any spelling; repeatable [default: all that the lake holds]."
lake_venue_option = click.option("--venue", "venues", multiple=True, help=_of_lake)


@click.command("index")
@range_options(" [default: the lake's first]", " [default: the lake's last]")
@lake_venue_option
@click.option("--rebuild", is_flag=True, help="Make all tables anew, from receipts and universes alone.")
def index_command(*, first: datetime | None, last: datetime | None, venues: tuple[str, ...], rebuild: bool) -> None:
    """Compact the index: a month of a venue and data type is then read at once. Whole months of the days named.

    Readers need it for speed alone, and wait for it never; do it daily (the schedule `tidy_lake_daily` does), after a
    large backfill, and once after a lake was moved or an older version filled it.
    """
    lake = _open(load_settings())
    asked = [parse_venue(name) for name in venues] or None
    count = 0
    for _, months in _by_month(compact_index(lake, asked, *_range(first, last), is_rebuild=rebuild)):
        count += len(months)
        click.echo(_describe_month(months))
    click.echo(f"{count:,} tables written" if count else "The index is up to date: nothing to do")


def _by_month(compacted: Iterable[Compacted]) -> Iterable[tuple[tuple[date, str], list[Compacted]]]:
    months: dict[tuple[date, str], list[Compacted]] = defaultdict(list)
    previous: date | None = None
    for item in compacted:
        if previous is not None and item.month != previous:
            yield from months.items()
            months.clear()
        months[item.month, item.venue].append(item)
        previous = item.month
    yield from months.items()


def _describe_month(items: Sequence[Compacted]) -> str:
    told = [f"{item.data_type or 'instruments'} {item.days} days" for item in items]
    return f"{items[0].month:%Y-%m} {items[0].venue}: {', '.join(told)}"


@click.command("sweep")
@range_options(" [default: the lake's first]", " [default: the lake's last]")
@lake_venue_option
def sweep_command(*, first: datetime | None, last: datetime | None, venues: tuple[str, ...]) -> None:
    """Delete what no receipt names: what killed runs left, and what was replaced and was kept for a while.

    A day's next run does the same. What is at work is left alone; of what was replaced `limits: keep_replaced_hours` of
    the venues file says how long it stays.
    """
    settings = load_settings()
    lake = _open(settings)
    ensure_lake_writable(lake)
    keep = settings.config.limits.run_limits.keep_replaced
    asked = [parse_venue(name) for name in venues] or held_venues(lake)
    swept = [sweep_unit(lake, unit, keep, _NOW) for unit in _held_units(lake, asked, list(DataType), first, last)]
    _tell_swept(make_console(), swept)


def _tell_swept(console: Console, swept: Sequence[Swept]) -> None:
    deleted, kept, refused = (sum(getattr(unit, name) for unit in swept) for name in ("deleted", "kept", "refused"))
    size = format_size(sum(unit.deleted_bytes for unit in swept))
    console.print(f"{len(swept):,} units looked at: {deleted:,} objects deleted ({size}), {kept:,} kept for a while")
    if refused:
        console.print(f"{refused:,} objects could not be deleted: see `market-data doctor`")
    left = [f"{unit.unit}: {unit.left_alone}" for unit in swept if unit.left_alone]
    _tell(console, "Left alone:", left)


@click.command("delete")
@venue_option
@click.option("--data-type", "data_types", multiple=True, help="Repeatable [default: all that the lake holds].")
@range_options(" [required]", " [required]")
@click.option("--instrument", "instruments", multiple=True, metavar="KEY", help="Of those days this one alone.")
@click.option("--reason", help="Why; stands in the record that stays.")
@click.option("--by", help="Who; stands in the record too [default: the account].")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(
    *,
    venues: tuple[str, ...],
    data_types: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    instruments: tuple[str, ...],
    reason: str | None,
    by: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take days, or instruments of them, out of the lake: ticks, the vendor's bytes, index and evidence.

    For the end of a licence, or a backfill that was wrong. Readers are told who deleted it, when and why. A run of
    those days that still wants it brings it back: take it out of the venues file first. Exit code 1 when something
    stays.
    """
    if not venues or first is None or last is None:
        raise click.UsageError("name what is to go: --venue binance --from 2024-08-01 --to 2024-08-31 (both included)")
    why = _one_line(reason)
    if not why and not dry_run:
        raise click.UsageError("say why: --reason 'the licence ended' (it stands in the record that stays)")
    who = "" if dry_run else _one_line(by) or _account()
    settings = load_settings()
    lake = _open(settings)
    keys = frozenset(map(to_instrument_key, instruments)) if instruments else None
    types = [parse_data_type(name) for name in data_types] or list(DataType)
    units = _held_units(lake, sorted(map(parse_venue, venues)), types, first, last)
    console = make_console()
    found = _find(lake, units, keys)
    _refuse_wrong_instruments(found, keys)
    if not found:
        console.print("The lake holds nothing of it. Is it the one you mean (MARKET_DATA_LAKE_URL)?")
        return
    console.print(f"Of {lake.url}, {first:%Y-%m-%d} to {last:%Y-%m-%d}:", highlight=False)
    console.print(records_table(_summarize(found, keys)))
    if dry_run:
        return
    if not yes:
        click.confirm("Delete it for good?", abort=True)
    deleter = Deleter(lake, who, why, keys, settings.config.limits.run_limits.keep_replaced)
    gone, left = _delete(deleter, [unit.unit for unit in found])
    list(compact_index(lake, {unit.unit.venue for unit in found}, first.date(), last.date()))
    objects, refused = (sum(getattr(item, name) for item in gone) for name in ("objects", "refused"))
    console.print(f"{len(gone):,} units, {objects:,} objects deleted")
    if refused:
        console.print(f"{refused:,} objects could not be deleted: see `market-data doctor`, then `market-data sweep`")
    _tell(console, "Not deleted:", left)
    if refused or left:
        raise SystemExit(1)


def _open(settings: Settings) -> TickLake:
    """Return the lake; a place without one is likely misspelt."""
    lake = open_lake(settings.lake_url)
    if load_lake_document(lake) is None:
        raise ConfigurationError(
            f"there is no lake in {lake.url} (no {ORIGIN_KEY}): is it the one you mean (MARKET_DATA_LAKE_URL)?"
        )
    return lake


def _one_line(text: str | None) -> str:
    """Return a text as it can stand in a line."""
    line = " ".join((text or "").split())
    if len(line) > _LONGEST_TEXT:
        raise click.UsageError(f"{line[:40]}... has {len(line):,} characters; {_LONGEST_TEXT} fit a line of a record")
    return line


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # an account without a name, as containers have
        raise click.UsageError("say who: --by NAME (this account has no name)") from error


def _refuse_wrong_instruments(units: Sequence[IndexedUnit], keys: frozenset[str] | None) -> None:
    held = {file.instrument_key for unit in units for file in unit.files}
    groups = {file.instrument_type: file.vendor_symbol for unit in units for file in unit.files if file.is_group}
    for key in sorted((keys or frozenset()) - held):
        if group := groups.get(key.split(":")[1]):
            raise ConfigurationError(
                f"{key} lies in the grouped file {group}, with others of its type: delete the data type of those days, "
                "or keep it. Nothing was deleted"
            )
        raise ConfigurationError(
            f"these days have no file of {key}: `market-data find` knows how it is spelled. Nothing was deleted"
        )


def _tell(console: Console, title: str, lines: Sequence[str]) -> None:
    for line in [title, *lines] if lines else ():
        console.print(line, highlight=False, markup=False)


def _range(first: datetime | None, last: datetime | None) -> tuple[date, date]:
    start, end = first.date() if first else date.min, last.date() if last else date.max
    if start > end:
        raise click.UsageError(f"--from {start} is after --to {end}")
    return start, end


def _held_units(
    lake: TickLake,
    venues: Iterable[str],
    data_types: Sequence[DataType],
    first: datetime | None,
    last: datetime | None,
) -> list[DataTypeDay]:
    pairs = [pair for pair in data_types_with_receipts(lake, venues) if pair[1] in data_types]
    bounds = _range(first, last)
    return [DataTypeDay(*pair, day) for pair in pairs for day in days_with_receipts(lake, *pair, *bounds)]


def _find(lake: TickLake, units: Sequence[DataTypeDay], keys: frozenset[str] | None) -> list[IndexedUnit]:
    """Return the units, with the files that are to go; those that are deleted too, for what was left of them."""
    if not units:
        return []
    wanted: dict[str, set[DataType]] = defaultdict(set)
    for unit in units:
        wanted[unit.venue].add(unit.data_type)
    chosen = None if keys is None else pl.col("instrument_key").is_in(sorted(keys))
    held = read_units(lake, wanted, {unit.day for unit in units}, chosen)
    found = [held[unit] for unit in units if unit in held]
    types = {key.split(":")[1] for key in keys or ()}
    return [
        unit
        for unit in found
        if keys is None or any(file.instrument_key in keys or file.instrument_type in types for file in unit.files)
    ]


def _summarize(units: Sequence[IndexedUnit], keys: frozenset[str] | None) -> list[dict[str, object]]:
    rows: dict[tuple[str, DataType], list[IndexedUnit]] = defaultdict(list)
    for unit in units:
        rows[unit.head.venue, unit.head.data_type].append(unit)
    summary: list[dict[str, object]] = []
    for (venue, data_type), own in rows.items():
        files = [
            file
            for unit in own
            for file in unit.files
            if file.outcome is not Outcome.REMOVED and (keys is None or file.instrument_key in keys)
        ]
        size = format_size(sum(file.size_bytes or 0 for file in files))
        deleted = sum(unit.head.state == DELETED for unit in own)
        summary.append(
            {
                "venue": venue,
                "data_type": data_type.value,
                "days": len(own),
                "deleted before": deleted,
                "files": len(files),
                "rows": sum(file.rows or 0 for file in files),
                "raw": size,
            }
        )
    return summary


def _delete(deleter: Deleter, units: Sequence[DataTypeDay]) -> tuple[list[Deleted], list[str]]:
    """Return what went, and a sentence for each unit that stays."""
    gone: list[Deleted] = []
    left: list[str] = []
    for unit in units:
        try:
            deleted = deleter.delete(unit, _NOW())
        except MarketDataError as error:
            left.append(str(error))
        else:
            gone += [deleted] if deleted else []
    return gone, left


KEEPING_COMMANDS: tuple[click.Command, ...] = (index_command, sweep_command, delete_command)
