"""Whether a unit can be read whole under the filters of a call, and why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import Outcome
from market_data.receipts.receipt import FileEvidence, PublishedObject, Receipt
from market_data.ticks.rules import Severity

_NAMED_FILES = 3  # fit a line


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The filters of one call. `instruments` are instrument keys; empty filters take all."""

    instruments: frozenset[str]
    bases: frozenset[str]
    quotes: frozenset[str]
    instrument_types: frozenset[str]

    def takes(self, item: PublishedObject | FileEvidence) -> bool:
        """Whether a file can hold rows that are wanted (a grouped one is filtered by row later)."""
        if self.instrument_types and item.instrument_type not in self.instrument_types:
            return False
        if item.instrument_key is None:
            if self.instruments and item.instrument_type not in {
                parse_instrument_key(key)[1] for key in self.instruments
            }:
                return False
            base = item.stem.partition("~")[0] if isinstance(item, PublishedObject) else ""
            return not (self.bases and base) or base in self.bases
        base, quote = _base_and_quote(item.instrument_key)
        return (
            (not self.instruments or item.instrument_key in self.instruments)
            and (not self.bases or base in self.bases)
            and (not self.quotes or quote in self.quotes)
        )


def _cause(receipt: Receipt | None, wanted: _Wanted) -> str | None:
    """Return why a unit cannot be read whole under the filters, None when it can."""
    if receipt is None:
        return "not run"
    if receipt.state == "replacing":
        return "replacing: its files are being rewritten, or a run died while it did; run the day again"
    relevant = [file for file in receipt.files if wanted.takes(file)]
    failed = [file for file in relevant if not file.is_accounted]
    if failed or receipt.state == "open":
        counted = failed or list(receipt.open_files)
        first = next((file.error for file in counted if file.error), "a run is at work, or was stopped before it ended")
        return f"failed: {len(counted)} of {len(receipt.files)} files open ({_name_some(counted)}): {first}"
    if not receipt.files:
        return "not offered: the vendor lists no such file of this venue for this day"
    return _cause_of_instruments(receipt, relevant, wanted) or _cause_of_ticks(relevant)


def _cause_of_ticks(files: Sequence[FileEvidence]) -> str | None:
    broken = [(file, item) for file in files for item in file.findings if item.severity is Severity.ERROR]
    if not broken:
        return None
    names = _name_some(list({file.vendor_symbol: file for file, _ in broken}.values()))
    return f"in doubt: a rule of severity error is broken ({names}): {broken[0][1].text}"


def _cause_of_instruments(receipt: Receipt, relevant: Sequence[FileEvidence], wanted: _Wanted) -> str | None:
    own = {key for key in wanted.instruments if parse_instrument_key(key)[0] == receipt.venue}
    outcomes = {file.instrument_key: file.outcome for file in relevant if not file.is_group}
    # a grouped file holds whatever traded of its type; an instrument without rows is no fault
    groups = {file.instrument_type: file.outcome for file in relevant if file.is_group}
    held = {key: outcomes.get(key, groups.get(parse_instrument_key(key)[1])) for key in own}
    if missing := sorted(key for key, outcome in held.items() if outcome is None):
        return f"not requested: {', '.join(missing)} (not among the {len(receipt.files)} files of the day)"
    if absent := sorted(key for key, outcome in held.items() if outcome is Outcome.NOT_OFFERED):
        return f"not offered: {', '.join(absent)}"
    if relevant and all(file.outcome is Outcome.NOT_OFFERED for file in relevant):
        return f"not offered: the vendor has none of the {len(relevant)} files: {relevant[0].error}"
    published = {item.vendor_symbol for item in receipt.objects}
    kept_back = [file for file in relevant if file.outcome is Outcome.STORED and file.vendor_symbol not in published]
    if kept_back:
        return (
            f"failed: {_name_some(kept_back)} stored but not published, since other files of the day are open; "
            "run the day again"
        )
    return None


def _name_some(files: Sequence[FileEvidence]) -> str:
    return ", ".join(file.vendor_symbol for file in files[:_NAMED_FILES]) + (", ..." if files[_NAMED_FILES:] else "")


def _base_and_quote(instrument_key: str) -> tuple[str, str]:
    base, _, rest = parse_instrument_key(instrument_key)[2].partition("-")
    return base, rest.partition("-")[0]
