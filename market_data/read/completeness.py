"""Whether units can be read whole under the filters of a call, why not, and what is to be said of those read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import itemgetter

from market_data.model.data_types import DataType
from market_data.model.document import is_known
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome, base_of_part
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt, State

NOT_RUN = "not run"
_NOT_TAKEN = "not taken: "
_NOT_REQUESTED = "not requested: "
_NAMED_FILES = 3  # fit a line
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

    def takes(self, item: PublishedObject | FileEvidence) -> bool:
        """Whether a file can hold rows that are wanted (a grouped one is filtered by row later)."""
        if self.instrument_types is not None and item.instrument_type not in self.instrument_types:
            return False
        if item.instrument_key is None:
            return self._takes_group(item)
        is_named = self.instruments is None or item.instrument_key in self.instruments
        return is_named and self.has_assets(item.instrument_key)

    def _takes_group(self, item: PublishedObject | FileEvidence) -> bool:
        if self.instruments is not None:
            types = {parse_instrument_key(key)[1] for key in self.instruments}
            if item.instrument_type not in types:
                return False
        base = base_of_part(item.stem) if isinstance(item, PublishedObject) else None
        return self.bases is None or base is None or base in self.bases


def missing_instruments(receipt: Receipt, wanted: Wanted) -> frozenset[str]:
    """Return the instruments of the unit's venue that are asked for and of which no file was expected."""
    own = {key for key in wanted.instruments or () if parse_instrument_key(key)[0] == receipt.venue}
    groups = {file.instrument_type for file in receipt.files if file.is_group}
    held = {file.instrument_key for file in receipt.files}
    return frozenset(key for key in own - held if parse_instrument_key(key)[1] not in groups)


def find_causes(
    units: Sequence[DataTypeDay],
    receipts: Mapping[DataTypeDay, Receipt],
    wanted: Wanted,
    unlisted: Mapping[DataTypeDay, Collection[str]],
) -> dict[DataTypeDay, str]:
    """Return why units cannot be read whole; those that can, and those that are whole without rows, are left out.

    `unlisted` are instruments that their venue did not list on a unit's day: that they lack there is no fault.
    """
    idle = _idle_days(units, receipts)
    found = ((unit, cause_of(receipts.get(unit), wanted, unlisted.get(unit, ()))) for unit in units if unit not in idle)
    return {unit: cause for unit, cause in found if cause is not None}


def choose_readable(
    units: Sequence[DataTypeDay],
    receipts: Mapping[DataTypeDay, Receipt],
    causes: Mapping[DataTypeDay, str],
    *,
    has_incomplete: bool,
) -> list[Receipt]:
    """Return the receipts of the units that are read: the whole ones, or also what was published of the others."""
    found = [receipts[unit] for unit in units if unit in receipts and (has_incomplete or unit not in causes)]
    return [receipt for receipt in found if receipt.is_settled and receipt.has_known_layouts]


def _idle_days(units: Sequence[DataTypeDay], receipts: Mapping[DataTypeDay, Receipt]) -> set[DataTypeDay]:
    """Return the units without rows that are no fault: the venue listed nothing that day, or nothing that is wanted.

    A venue of which nothing was expected on any of the days, although it listed instruments, is no such case: whoever
    asks for a data type that it does not have, or that is filtered away, is told so.
    """
    nothing = {unit for unit in units if unit in receipts and receipts[unit].is_nothing_expected}
    busy_venues = {unit.venue for unit in units if unit not in nothing}
    return {unit for unit in nothing if unit.venue in busy_venues or receipts[unit].instruments_listed == 0}


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
    if all(cause.startswith(_NOT_REQUESTED) for cause in causes.values()):
        return (
            "Name what the venue lists (`find_instruments` knows), or, where the venues file leaves it out, take it in "
            f"there and run those days; or {choice}"
        )
    if all(cause.startswith(_NOT_TAKEN) for cause in causes.values()):
        return (
            "Add that data type to `data_types` of the venue in the venues file, unless it is there by now, and run "
            f"those days; or {choice}"
        )
    if not judged:
        return f"Run those days, or {choice}"
    rule = (
        "Where the ticks are right as they are, change the limit or severity of that rule under `quality:` in the "
        "venues file and run the job `recheck`"
    )
    return f"{rule}; or {choice}" if len(judged) == len(causes) else f"Run the others, or {choice}. {rule}"


def _describe_span(days: Sequence[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"


def describe_unchecked(receipts: Iterable[Receipt], wanted: Wanted) -> str | None:
    """Return what to say of ticks that no rule has looked at, None where there are none."""
    unchecked = [receipt.unit for receipt in receipts if any(map(wanted.takes, receipt.unchecked_files))]
    if not unchecked:
        return None
    text = f"{len(unchecked)} venue-days are unchecked (no rule has looked at their ticks), from {unchecked[0]} on"
    return f"{text}. An earlier version published them"


def describe_waived(receipts: Iterable[Receipt], wanted: Wanted) -> str | None:
    """Return what to say of files that are missing on a person's word, None where there are none."""
    waived = [
        f"  {receipt.unit} {file.vendor_symbol}: {file.error}"
        for receipt in receipts
        for file in filter(wanted.takes, receipt.files)
        if file.outcome is Outcome.WAIVED
    ]
    return f"{len(waived)} files are waived, and not in what is read:\n{_some_lines(waived)}" if waived else None


def _some_lines(lines: Sequence[str]) -> str:
    more = [f"  ... and {len(lines) - _NAMED_LINES} more"] if len(lines) > _NAMED_LINES else []
    return "\n".join([*lines[:_NAMED_LINES], *more])


def cause_of(receipt: Receipt | None, wanted: Wanted, unlisted: Collection[str] = ()) -> str | None:
    """Return why a unit cannot be read whole under the filters, None when it can."""
    if receipt is None:
        return NOT_RUN
    if not receipt.is_settled or not receipt.has_known_layouts:
        return _cause_of_publication(receipt)
    relevant = [file for file in receipt.files if wanted.takes(file)]
    failed = [file for file in relevant if not file.is_accounted]
    if failed or receipt.state == State.OPEN:
        counted = failed or list(receipt.open_files)
        first = next((file.fault for file in counted if file.fault), "a run is at work, or was stopped before it ended")
        return f"failed: {len(counted)} of {len(receipt.files)} files open ({_name_some(counted)}): {first}"
    if receipt.doubt:
        return f"in doubt: {receipt.doubt}"
    if not receipt.files:
        return "not offered: the vendor lists no such file of this venue for this day"
    return _cause_of_instruments(receipt, relevant, wanted, unlisted) or _cause_of_ticks(relevant)


def _cause_of_publication(receipt: Receipt) -> str:
    if receipt.state == State.REPLACING:
        return "replacing: its files are being rewritten, or a run died while it did; run the day again"
    if receipt.is_settled and not receipt.layouts:
        return "damaged: its receipt names objects and no layout; move it away and run the day again"
    what = f"layouts {', '.join(receipt.layouts)}" if receipt.is_settled else f"state {receipt.state.value!r}"
    return f"published by a later version of market_data, whose {what} this one does not know: install a newer one"


def _cause_of_ticks(files: Sequence[FileEvidence]) -> str | None:
    broken = [(file, item) for file in files for item in file.findings if item.severity.is_error]
    if not broken:
        return None
    names = _name_some(list({file.vendor_symbol: file for file, _ in broken}.values()))
    severity = broken[0][1].severity
    told = "error" if is_known(severity) else f"{severity.value} (a word of a later version of market_data)"
    return f"{_BROKEN} of severity {told} is broken ({names}): {broken[0][1].text}"


def _cause_of_instruments(
    receipt: Receipt, relevant: Sequence[FileEvidence], wanted: Wanted, unlisted: Collection[str]
) -> str | None:
    own = {key for key in wanted.instruments or () if parse_instrument_key(key)[0] == receipt.venue} - set(unlisted)
    outcomes = {file.instrument_key: file.outcome for file in relevant if not file.is_group}
    # a grouped file holds whatever traded of its type; an instrument without rows is no fault
    groups = {file.instrument_type: file.outcome for file in relevant if file.is_group}
    held = {key: outcomes.get(key, groups.get(parse_instrument_key(key)[1])) for key in own}
    if missing := sorted(key for key, outcome in held.items() if outcome is None):
        return f"{_NOT_REQUESTED}{', '.join(missing)} (not among the {len(receipt.files)} files of the day)"
    if absent := sorted(key for key, outcome in held.items() if outcome is Outcome.NOT_OFFERED):
        return f"not offered: {', '.join(absent)}"
    if relevant and all(file.outcome is Outcome.NOT_OFFERED for file in relevant):
        return f"not offered: the vendor has none of the {len(relevant)} files: {relevant[0].error}"
    kept_back = [file for file in receipt.unpublished_files if wanted.takes(file)]
    if kept_back:
        return (
            f"failed: {_name_some(kept_back)} stored but not published, for other files of the day are open, or a run "
            "was stopped; run the day again"
        )
    return None


def _name_some(files: Sequence[FileEvidence]) -> str:
    return ", ".join(file.vendor_symbol for file in files[:_NAMED_FILES]) + (", ..." if files[_NAMED_FILES:] else "")


def base_and_quote(instrument_key: str) -> tuple[str, str]:
    """Return what a key spells of base and quote, for an instrument that no universe in the lake knows."""
    base, _, rest = parse_instrument_key(instrument_key)[2].partition("-")
    return base, rest.partition("-")[0]
