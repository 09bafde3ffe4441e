"""Whether units can be read whole under the filters of a call, why not, and what is to be said of those read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import itemgetter

import polars as pl

from market_data.index.unit import IndexedFile, IndexedObject, IndexedUnit, UnitHead
from market_data.model.data_types import INSTRUMENT_KEY, DataType
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome, base_of_part
from market_data.receipts.receipt import State

NOT_RUN = "not run"
_NOT_TAKEN = "not taken: "
NOT_REQUESTED = "not requested: "
_DELETED = "deleted on "
_NAMED_FILES = 3  # fit a line
_KNOWN_SEVERITIES = {"warn", "error"}
_BROKEN = "in doubt: a rule"
_NAMED_LINES = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of one call; None takes all. `instruments` are instrument keys.

    `attributes` are base and quote by instrument key, as the universes have them: keys do not always spell them.
    """

    instruments: frozenset[str] | None = None
    bases: frozenset[str] | None = None
    quotes: frozenset[str] | None = None
    instrument_types: frozenset[str] | None = None
    attributes: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether nothing is filtered."""
        return not self.is_by_asset and self.instruments is None and self.instrument_types is None

    @property
    def is_by_asset(self) -> bool:
        """Whether bases or quotes are asked for."""
        return self.bases is not None or self.quotes is not None

    def has_assets(self, instrument_key: str) -> bool:
        """Whether an instrument has a base and a quote that are asked for."""
        base, quote = self.attributes.get(instrument_key) or base_and_quote(instrument_key)
        return (self.bases is None or base in self.bases) and (self.quotes is None or quote in self.quotes)

    def chosen_files(self) -> pl.Expr | None:
        """Return which single files a reader needs to know of, over their instrument keys; None takes all."""
        key = pl.col(INSTRUMENT_KEY.name)
        if self.instruments is None:
            return self._has_assets_in(key) if self.is_by_asset else None
        if not self.instruments:
            return pl.lit(value=False)
        # tables are sorted by it: what is out of this range is not decompressed
        bounds = pl.lit(min(self.instruments)), pl.lit(max(self.instruments))
        return key.is_between(*bounds) & key.is_in(sorted(self.instruments))

    def chosen_rows(self) -> pl.Expr:
        """Return which rows of grouped files, which hold many instruments, are wanted."""
        key, chosen = pl.col(INSTRUMENT_KEY.name), pl.lit(value=True)
        if self.instruments is not None:
            chosen &= key.is_in(sorted(self.instruments))
        return chosen & self._has_assets_in(key) if self.is_by_asset else chosen

    def _has_assets_in(self, key: pl.Expr) -> pl.Expr:
        parts = key.str.split(":").list.get(2, null_on_oob=True).str.split("-")
        is_spelled = pl.lit(value=True)
        if self.bases is not None:
            is_spelled &= parts.list.get(0).is_in(sorted(self.bases))
        if self.quotes is not None:
            is_spelled &= parts.list.get(1, null_on_oob=True).is_in(sorted(self.quotes))
        # the universes decide; what they do not know is taken as its key spells it
        known = list(self.attributes)
        named = [instrument for instrument in known if self.has_assets(instrument)]
        return key.is_in(named) | (~key.is_in(known) & is_spelled)

    def takes(self, item: IndexedObject | IndexedFile) -> bool:
        """Whether a file can hold rows that are wanted (a grouped one is filtered by row later)."""
        if self.instrument_types is not None and item.instrument_type not in self.instrument_types:
            return False
        if item.instrument_key is None:
            return self._takes_group(item)
        is_named = self.instruments is None or item.instrument_key in self.instruments
        return is_named and self.has_assets(item.instrument_key)

    def _takes_group(self, item: IndexedObject | IndexedFile) -> bool:
        if self.instruments is not None:
            types = {parse_instrument_key(key)[1] for key in self.instruments}
            if item.instrument_type not in types:
                return False
        base = base_of_part(item.stem) if isinstance(item, IndexedObject) else None
        return self.bases is None or base is None or base in self.bases


def missing_instruments(unit: IndexedUnit, wanted: Wanted) -> frozenset[str]:
    """Return the instruments of the unit's venue that are asked for and of which no file was expected."""
    own = {key for key in wanted.instruments or () if parse_instrument_key(key)[0] == unit.head.venue}
    groups = {file.instrument_type for file in unit.files if file.is_group}
    held = {file.instrument_key for file in unit.files}
    return frozenset(key for key in own - held if parse_instrument_key(key)[1] not in groups)


def find_causes(
    asked: Sequence[DataTypeDay],
    units: Mapping[DataTypeDay, IndexedUnit],
    wanted: Wanted,
    unlisted: Mapping[DataTypeDay, Collection[str]],
) -> dict[DataTypeDay, str]:
    """Return why units cannot be read whole; those that can, and those that are whole without rows, are left out.

    `unlisted` are instruments that their venue did not list on a unit's day: that they lack there is no fault.
    """
    idle = _idle_days(asked, units)
    found = ((unit, cause_of(units.get(unit), wanted, unlisted.get(unit, ()))) for unit in asked if unit not in idle)
    return {unit: cause for unit, cause in found if cause is not None}


def choose_readable(
    asked: Sequence[DataTypeDay],
    units: Mapping[DataTypeDay, IndexedUnit],
    causes: Mapping[DataTypeDay, str],
    *,
    has_incomplete: bool,
) -> list[IndexedUnit]:
    """Return the units that are read: the whole ones, or also what was published of the others."""
    found = [units[unit] for unit in asked if unit in units and (has_incomplete or unit not in causes)]
    return [unit for unit in found if unit.head.is_settled and unit.head.has_known_layouts]


def _idle_days(asked: Sequence[DataTypeDay], units: Mapping[DataTypeDay, IndexedUnit]) -> set[DataTypeDay]:
    """Return the units without rows that are no fault: the venue listed nothing that day, or nothing that is wanted.

    A venue of which nothing was expected on any of the days, although it listed instruments, is no such case: whoever
    asks for a data type that it does not have, or that is filtered away, is told so.
    """
    nothing = {unit for unit in asked if unit in units and units[unit].head.is_nothing_expected}
    busy_venues = {unit.venue for unit in asked if unit not in nothing}
    return {unit for unit in nothing if unit.venue in busy_venues or units[unit].head.instruments_listed == 0}


def describe_causes(causes: Mapping[DataTypeDay, str], asked: int, lake_url: str) -> str:
    """Return the text that names the first venue-days that are not whole, each with its cause."""
    spans: dict[tuple[str, str, str], list[list[date]]] = {}
    for unit, cause in causes.items():
        days = spans.setdefault((unit.venue, unit.data_type.value, cause), [])
        if days and unit.day - days[-1][-1] == timedelta(days=1):
            days[-1].append(unit.day)
        else:
            days.append([unit.day])
    told = [
        (span[0], f"  {venue} {data_type} {_describe_span(span)}: {cause}")
        for (venue, data_type, cause), days in spans.items()
        for span in days
    ]
    lines = _some_lines([line for _, line in sorted(told, key=itemgetter(0))])
    return f"{len(causes)} of {asked} venue-days are not whole in {lake_url}:\n{lines}"


def with_types_not_taken(
    causes: Mapping[DataTypeDay, str], taken: Mapping[tuple[str, date], Sequence[DataType]]
) -> dict[DataTypeDay, str]:
    """Return the causes, those of days that were run for other data types saying so; `taken` by venue and day."""

    def explain(unit: DataTypeDay, cause: str) -> str:
        others = taken.get((unit.venue, unit.day), ())
        if cause != NOT_RUN or not others:
            return cause
        return f"{_NOT_TAKEN}the day was run for {', '.join(others)} alone"

    return {unit: explain(unit, cause) for unit, cause in causes.items()}


def describe_remedy(causes: Mapping[DataTypeDay, str]) -> str:
    """Return what can help: a run gives the same ticks again, so it heals no day whose ticks break a rule."""
    judged = [cause for cause in causes.values() if cause.startswith(_BROKEN)]
    choice = 'pass on_incomplete="skip" (leave them out) or "include"'
    if all(cause.startswith(NOT_REQUESTED) for cause in causes.values()):
        return (
            "Name what the venue lists (`find_instruments` knows), or, where the venues file leaves it out, take it in "
            f"there and run those days; or {choice}"
        )
    if all(cause.startswith(_DELETED) for cause in causes.values()):
        return f"That was on purpose: whoever needs them runs those days again; or {choice}"
    if all(cause.startswith(_NOT_TAKEN) for cause in causes.values()):
        return (
            "Add that data type to `data_types` of the venue in the venues file, unless it is there by now, and run "
            f"those days; or {choice}"
        )
    if not judged:
        return f"Run those days, or {choice}"
    rule = (
        "Where the ticks are right as they are, change the limit or severity of that rule under `quality:` in the "
        "venues file and run the job `recheck` (of a rule about agreement: `judge_agreement`)"
    )
    return f"{rule}; or {choice}" if len(judged) == len(causes) else f"Run the others, or {choice}. {rule}"


def _describe_span(days: Sequence[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"


def describe_unchecked(units: Iterable[IndexedUnit], wanted: Wanted) -> str | None:
    """Return what to say of ticks that no rule has looked at, None where there are none."""
    unchecked = [
        unit.unit
        for unit in units
        if any(file.outcome is Outcome.STORED and not file.is_checked for file in filter(wanted.takes, unit.files))
    ]
    if not unchecked:
        return None
    text = f"{len(unchecked)} venue-days are unchecked (no rule has looked at their ticks), from {unchecked[0]} on"
    return f"{text}. An earlier version published them"


def describe_waived(units: Iterable[IndexedUnit], wanted: Wanted) -> str | None:
    """Return what to say of files that are missing on a person's word, None where there are none."""
    waived = [
        f"  {unit.unit} {file.vendor_symbol}: {file.told}"
        for unit in units
        for file in filter(wanted.takes, unit.files)
        if file.outcome is Outcome.WAIVED
    ]
    return f"{len(waived)} files are waived, and not in what is read:\n{_some_lines(waived)}" if waived else None


def _some_lines(lines: Sequence[str]) -> str:
    more = [f"  ... and {len(lines) - _NAMED_LINES} more"] if len(lines) > _NAMED_LINES else []
    return "\n".join([*lines[:_NAMED_LINES], *more])


def cause_of(unit: IndexedUnit | None, wanted: Wanted, unlisted: Collection[str] = ()) -> str | None:
    """Return why a unit cannot be read whole under the filters, None when it can."""
    if unit is None:
        return NOT_RUN
    head = unit.head
    if not head.is_settled or not head.has_known_layouts or head.deleted:
        return _cause_of_publication(head)
    relevant = [file for file in unit.files if wanted.takes(file)]
    failed = [file for file in relevant if not file.is_accounted]
    if failed or head.state == State.OPEN:
        return _cause_of_open_files(head, failed)
    if head.doubt:
        return f"in doubt: {head.doubt}"
    if not head.expected:
        return "not offered: the vendor lists no such file of this venue for this day"
    return _cause_of_instruments(unit, relevant, wanted, unlisted) or _cause_of_ticks(relevant)


def _cause_of_open_files(head: UnitHead, failed: Sequence[IndexedFile]) -> str:
    names = [file.vendor_symbol for file in failed] or head.open_files
    if failed and all(file.outcome is Outcome.REMOVED for file in failed):
        return f"{failed[0].told} ({len(failed)} files: {_name_some(names)})"
    count = len(failed) or head.open_count
    told = next((file.told for file in failed if file.told), None) if failed else head.fault
    why = told or "a run is at work, or was stopped before it ended"
    return f"failed: {count} of {head.expected} files open ({_name_some(names)}): {why}"


def _cause_of_publication(head: UnitHead) -> str:
    if head.deleted:
        return head.deleted
    if head.state == State.REPLACING:
        return "replacing: its files are being rewritten, or a run died while it did; run the day again"
    if head.is_settled and not head.layouts:
        return "damaged: its receipt names objects and no layout; move it away and run the day again"
    what = f"layouts {', '.join(head.layouts)}" if head.is_settled else f"state {head.state!r}"
    return f"published by a later version of market_data, whose {what} this one does not know: install a newer one"


def _cause_of_ticks(files: Sequence[IndexedFile]) -> str | None:
    broken = [file for file in files if file.finding is not None]
    if not broken:
        return None
    names, severity = _name_some([file.vendor_symbol for file in broken]), broken[0].severity
    told = severity if severity in _KNOWN_SEVERITIES else f"{severity} (a word of a later version of market_data)"
    return f"{_BROKEN} of severity {told} is broken ({names}): {broken[0].finding}"


def _cause_of_instruments(
    unit: IndexedUnit, relevant: Sequence[IndexedFile], wanted: Wanted, unlisted: Collection[str]
) -> str | None:
    own = {key for key in wanted.instruments or () if parse_instrument_key(key)[0] == unit.head.venue} - set(unlisted)
    outcomes = {file.instrument_key: file.outcome for file in relevant if not file.is_group}
    # a grouped file holds whatever traded of its type; an instrument without rows is no fault
    groups = {file.instrument_type: file.outcome for file in relevant if file.is_group}
    held = {key: outcomes.get(key, groups.get(parse_instrument_key(key)[1])) for key in own}
    if missing := sorted(key for key, outcome in held.items() if outcome is None):
        return f"{NOT_REQUESTED}{', '.join(missing)} (not among the {unit.head.expected} files of the day)"
    if absent := sorted(key for key, outcome in held.items() if outcome is Outcome.NOT_OFFERED):
        return f"not offered: {', '.join(absent)}"
    if relevant and all(file.outcome is Outcome.NOT_OFFERED for file in relevant):
        return f"not offered: the vendor has none of the {len(relevant)} files: {relevant[0].told}"
    kept_back = [file.vendor_symbol for file in relevant if not file.is_published]
    if kept_back:
        return (
            f"failed: {_name_some(kept_back)} stored but not published, for other files of the day are open, or a run "
            "was stopped; run the day again"
        )
    return None


def _name_some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED_FILES]) + (", ..." if names[_NAMED_FILES:] else "")


def base_and_quote(instrument_key: str) -> tuple[str, str]:
    """Return what a key spells of base and quote, for an instrument that no universe in the lake knows."""
    base, _, rest = parse_instrument_key(instrument_key)[2].partition("-")
    return base, rest.partition("-")[0]
