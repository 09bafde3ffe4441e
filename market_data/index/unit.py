"""What readers need of a receipt: its totals, its files and its objects in a few columns each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from market_data.lake.keys import PublishedName, known_layouts
from market_data.model.data_types import DataType
from market_data.model.document import is_known
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import SETTLED, JudgedGaps, PublishedObject, Receipt, State
from market_data.ticks.rules import Severity

OPEN = "open"
# Every expected file is counted in exactly one of them.
COUNTS = (*(outcome.value for outcome in Outcome), OPEN)
_NAMED_OPEN, _NAMED_WAIVED = 4, 5  # fit a line, and one more says that there are more


@dataclass(frozen=True, slots=True)
class UnitHead:
    """A unit as a whole, as the receipt of `generation` has it.

    `state` is the receipt's word. `counts` are of files by outcome, `instrument_types` those of its files, `open_files`
    and `waived_files` name the first of them (these with the reason), `fault` is that of the first open file that has
    one. `rows` and `raw_bytes` are of the vendor's files held, `stored_bytes` of those with rows, `published_bytes` of
    one copy of `objects` objects. `deleted` says when and by whom the whole unit was deleted. `gaps` is what the
    receipt says of its gaps, as JSON; None where nobody has looked for them.
    """

    venue: str
    data_type: DataType
    day: date
    generation: int
    min_reader_version: int
    state: str
    is_complete: bool
    is_as_wanted: bool
    layouts: tuple[str, ...]
    doubt: str | None
    decoder_version: str | None
    instruments_listed: int | None
    instrument_types: tuple[str, ...]
    counts: tuple[int, ...]
    rows: int
    raw_bytes: int
    stored_bytes: int
    published_bytes: int
    objects: int
    open_files: tuple[str, ...]
    fault: str | None
    deleted: str | None
    waived_files: tuple[str, ...]
    verdict: str
    committed_at: datetime | None
    gaps: str | None

    @property
    def unit(self) -> DataTypeDay:
        """The unit this is about."""
        return DataTypeDay(self.venue, self.data_type, self.day)

    @property
    def judged_gaps(self) -> JudgedGaps | None:
        """The table of its gaps."""
        return JudgedGaps.model_validate_json(self.gaps) if self.gaps else None

    @property
    def expected(self) -> int:
        """How many files were expected."""
        return sum(self.counts)

    def count(self, word: str) -> int:
        """Return how many files ended so; `open` are those nobody has tried."""
        return self.counts[COUNTS.index(word)]

    @property
    def open_count(self) -> int:
        """How many files are not accounted for."""
        return sum(map(self.count, (OPEN, Outcome.FAILED, Outcome.REMOVED)))

    @property
    def known_layouts(self) -> tuple[str, ...]:
        """The layouts of the publication that this version knows."""
        return known_layouts(self.layouts)

    @property
    def has_known_layouts(self) -> bool:
        """Whether this version knows where what is published is; it knows where nothing is."""
        return bool(self.known_layouts) or not self.objects

    @property
    def is_settled(self) -> bool:
        """Whether what is named can be relied on."""
        return self.state in SETTLED

    @property
    def is_nothing_expected(self) -> bool:
        """Whether the unit is whole since there is no file to expect."""
        return self.is_complete and not self.expected


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """One expected tick file; `outcome` is None while nobody has tried, and for a word of a later version.

    `told` is why it is open, absent or waived. `is_published`: all its rows are in the unit's objects. `is_checked`:
    rules have looked at its ticks; `severity` is that of the worst finding, `finding` the text of one that keeps
    readers away.
    """

    vendor_symbol: str
    instrument_type: str
    instrument_key: str | None
    outcome: Outcome | None
    told: str | None
    size_bytes: int | None
    rows: int | None
    first_local_timestamp: datetime | None
    last_local_timestamp: datetime | None
    is_published: bool
    is_checked: bool
    severity: str | None
    finding: str | None

    @property
    def is_accounted(self) -> bool:
        """Whether a day can be published with what is known of this file."""
        return self.outcome is not None and self.outcome.is_accounted

    @property
    def has_bytes(self) -> bool:
        """Whether the vendor's bytes of this file are held, with rows or without."""
        return self.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY}

    @property
    def is_group(self) -> bool:
        """Whether the file holds many instruments."""
        return self.instrument_key is None


@dataclass(frozen=True, slots=True)
class IndexedObject:
    """One published file of a unit."""

    vendor_symbol: str
    instrument_type: str
    instrument_key: str | None
    stem: str
    content_id: str | None
    rows: int
    size_bytes: int

    def name(self, unit: DataTypeDay) -> PublishedName:
        """Return what the object's keys say."""
        return PublishedName(unit, self.instrument_type, self.stem, self.content_id)


@dataclass(frozen=True, slots=True)
class IndexedUnit:
    """A unit; `files` and `objects` may be those alone that a reader asks for, the head is always of all."""

    head: UnitHead
    files: tuple[IndexedFile, ...] = ()
    objects: tuple[IndexedObject, ...] = ()

    @property
    def unit(self) -> DataTypeDay:
        """The unit this is about."""
        return self.head.unit


def index_receipt(receipt: Receipt, generation: int) -> IndexedUnit:
    """Return the compact form of a receipt that was read, or written, as this generation."""
    unpublished = {file.vendor_symbol for file in receipt.unpublished_files}
    return IndexedUnit(
        _head_of(receipt, generation),
        tuple(_index_file(file, is_published=file.vendor_symbol not in unpublished) for file in receipt.files),
        tuple(map(_index_object, receipt.objects)),
    )


def _head_of(receipt: Receipt, generation: int) -> UnitHead:
    waived = (file for file in receipt.files if file.outcome is Outcome.WAIVED)
    counts = receipt.counts()
    return UnitHead(
        venue=receipt.venue,
        data_type=receipt.data_type,
        day=receipt.day,
        generation=generation,
        min_reader_version=receipt.min_reader_version,
        state=receipt.state.value,
        is_complete=receipt.is_complete,
        is_as_wanted=receipt.is_as_wanted,
        layouts=receipt.layouts,
        doubt=receipt.doubt,
        decoder_version=receipt.decoder_version,
        instruments_listed=receipt.instruments_listed,
        instrument_types=tuple(sorted({file.instrument_type for file in receipt.files})),
        counts=tuple(counts[word] for word in COUNTS),
        rows=sum(file.rows or 0 for file in receipt.files),
        raw_bytes=sum(file.size_bytes or 0 for file in receipt.files),
        stored_bytes=sum(file.size_bytes or 0 for file in receipt.files if file.outcome is Outcome.STORED),
        published_bytes=sum(item.size_bytes for item in receipt.objects),
        objects=len(receipt.objects),
        open_files=tuple(file.vendor_symbol for file in receipt.open_files[:_NAMED_OPEN]),
        fault=next((file.fault for file in receipt.open_files if file.fault), None),
        deleted=receipt.removals[-1].told if receipt.state == State.DELETED and receipt.removals else None,
        waived_files=tuple(f"{file.vendor_symbol} ({file.error})" for file in waived)[:_NAMED_WAIVED],
        verdict=receipt.verdict,
        committed_at=receipt.committed_at,
        gaps=receipt.gaps_in_force.model_dump_json() if receipt.gaps_in_force else None,
    )


def _index_file(file: FileEvidence, *, is_published: bool) -> IndexedFile:
    worst = next((item for item in file.findings if item.severity.is_error), next(iter(file.findings), None))
    return IndexedFile(
        vendor_symbol=file.vendor_symbol,
        instrument_type=file.instrument_type,
        instrument_key=file.instrument_key,
        outcome=file.outcome if file.outcome is not None and is_known(file.outcome) else None,
        told=None if file.has_bytes else file.fault,
        size_bytes=file.size_bytes,
        rows=file.rows,
        first_local_timestamp=file.first_local_timestamp,
        last_local_timestamp=file.last_local_timestamp,
        is_published=is_published,
        is_checked=file.stats is not None,
        severity=worst.severity.value if worst else None,
        # of warnings there may be thousands a day, and nobody is kept from anything by them
        finding=worst.text if worst and worst.severity != Severity.WARN else None,
    )


def _index_object(item: PublishedObject) -> IndexedObject:
    return IndexedObject(
        vendor_symbol=item.vendor_symbol,
        instrument_type=item.instrument_type,
        instrument_key=item.instrument_key,
        stem=item.stem,
        content_id=item.content_id,
        rows=item.rows,
        size_bytes=item.size_bytes,
    )
