"""The receipt of one venue, data type and day: what happened to each expected tick file, what was published from it.

States (they speak of the publication; `files` speaks of the expected set):

    open        nothing is published
    committed   every object named in `objects` is in the lake as described
    replacing   an earlier version overwrote named objects, and died at it: readers must not use them
    deleted     a person took all of it out of the lake; `removals` says who

    absent -> open          a writer claims the unit and freezes the expected set
    open -> committed       all files are accounted for and all objects are written
    committed -> committed  other objects are named; or an attempt failed: what was published stays as it is
    replacing -> committed  they are all written, under names of their own
    any -> deleted          nothing is named any more
    deleted -> open         a run claims the unit, and brings it back as if it had been absent

Writers. `claim` names the writer at work; every change of a receipt is conditional on the generation that was read, so
of two writers one wins each step. A writer that finds another's claim cannot know whether that one is dead, so it takes
over. (`publish.py` carries this out and says why it is sound.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from market_data.lake.keys import PublishedName, known_layouts, object_key
from market_data.model.data_types import DataType
from market_data.model.document import (
    ContentId,
    Count,
    Document,
    FormatVersions,
    Generation,
    Name,
    is_known,
    open_words,
    or_unknown,
)
from market_data.model.instruments import InstrumentKey
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.evidence import FileEvidence, expected_file

# The version of the format since which names of published files hold their content's id.
NAMED_BY_CONTENT = 2
# Fields that may differ between two equal runs; everything else must be equal.
VOLATILE_FIELDS = frozenset(
    {
        "claim",
        "committed_at",
        "generation",
        "generations",
        "url",
        "status",
        "etag",
        "last_modified",
        "x_md5",
        "not_before",
        "attempts",
        "seconds",
        "gaps",  # they are judged by the days before, of which one run may find others there than another
    }
)


class State(StrEnum):
    """The state of a publication; see the module."""

    OPEN = "open"
    COMMITTED = "committed"
    REPLACING = "replacing"
    DELETED = "deleted"


# What is named can be relied on (of what was deleted nothing is named).
SETTLED = frozenset({State.OPEN, State.COMMITTED, State.DELETED})


class Removal(Document):
    """What a person took out of the lake: all of a unit, or `instruments` alone; files, rows, and vendor's bytes.

    `instrument_types` are those of its files: without them nobody would know where they lay.
    """

    at: datetime
    by: Name
    reason: str
    instruments: tuple[InstrumentKey, ...] = ()
    instrument_types: tuple[Name, ...]
    files: Count
    rows: Count
    raw_bytes: Count

    @property
    def told(self) -> str:
        """When, by whom and why."""
        return f"deleted on {self.at:%Y-%m-%d} by {self.by}: {self.reason}"


class PublishedObject(Document):
    """One published file: the same bytes in every layout; `generations` is by layout.

    `content_id` is part of its name in the lake; None of what an earlier version published, which has a plain name.
    """

    vendor_symbol: Name
    instrument_type: Name
    instrument_key: InstrumentKey | None
    stem: Name
    rows: Count
    size_bytes: Count
    crc32c: str
    content_id: ContentId | None = None
    generations: Mapping[str, Generation]

    def name(self, unit: DataTypeDay) -> PublishedName:
        """Return what the object's keys say."""
        return PublishedName(unit, self.instrument_type, self.stem, self.content_id)

    def object_keys(self, unit: DataTypeDay) -> dict[str, str]:
        """Return its object key in each layout that this version knows."""
        return {layout: object_key(layout, self.name(unit)) for layout in known_layouts(self.generations)}

    def opened_file(self) -> FileEvidence:
        """Return the evidence of its file as if nobody had tried; what was published says nothing of its days."""
        return FileEvidence(
            vendor_symbol=self.vendor_symbol,
            instrument_type=self.instrument_type,
            instrument_key=self.instrument_key,
        )


# What independent evidence an instrument's day can be verified by; `NONE` is never clean, only unrefuted.
NONE, IDS, SECOND_STREAM = "none", "ids", "second stream"
EVIDENCE = (NONE, IDS, SECOND_STREAM)


class JudgedGaps(Document):
    """The table of a unit's gaps in force; `of` is when what it is of was published: of another publication it is void.

    `days_before` is how many of the four weeks before were held to judge by. `judged_seconds` is the time that was
    looked at, of all instruments together, `missing` the seconds without rows by their cause, other than the market's
    own; None where an earlier version looked.
    `verifiable` counts instruments by `EVIDENCE`, once the data types were compared.
    """

    of: datetime
    content_id: ContentId
    size_bytes: Count
    crc32c: str
    gaps: Count
    not_judged: Count
    days_before: Count
    judged_seconds: float | None = None
    missing: Mapping[str, float] | None = None
    verifiable: Mapping[str, Count] | None = None


class Receipt(FormatVersions):
    """See the module. `files` and `objects` are sorted by vendor symbol (then stem).

    `instruments_listed` is how many instruments the venue listed that day when the expected set was frozen, whatever is
    wanted of them; None where an earlier version wrote the receipt. A day without any has no files, and is whole,
    unless there is a `doubt`: why the vendor's word that there is nothing is not believed yet. `removals`, oldest
    first. `gaps` names the table of spans without rows, once somebody has looked for them.
    """

    schema_version: int = 1
    origin: str
    venue: str
    data_type: DataType
    day: date
    state: Annotated[State, or_unknown(State), open_words(State)] = State.OPEN
    decoder_version: str | None = None
    config_hash: str | None = None
    instruments_listed: Count | None = None
    layouts: tuple[str, ...] = ()
    files: tuple[FileEvidence, ...] = ()
    objects: tuple[PublishedObject, ...] = ()
    claim: str | None = None
    committed_at: datetime | None = None
    doubt: str | None = None
    removals: tuple[Removal, ...] = ()
    gaps: JudgedGaps | None = None

    @property
    def unit(self) -> DataTypeDay:
        """The unit this receipt is of."""
        return DataTypeDay(self.venue, self.data_type, self.day)

    @property
    def open_files(self) -> tuple[FileEvidence, ...]:
        """Expected files that are not accounted for."""
        return tuple(file for file in self.files if not file.is_accounted)

    @property
    def is_complete(self) -> bool:
        """Whether the unit is published whole: every expected file accounted for, all rows of the stored ones there."""
        is_accounted = self.state == State.COMMITTED and not self.open_files and self.doubt is None
        return is_accounted and self.has_known_layouts and not self.unpublished_files

    @property
    def gaps_in_force(self) -> JudgedGaps | None:
        """The gaps of what is published; None where nobody has looked for them since."""
        is_of_this = self.gaps is not None and self.gaps.of == self.committed_at and self.state == State.COMMITTED
        return self.gaps if is_of_this else None

    @property
    def unpublished_files(self) -> tuple[FileEvidence, ...]:
        """Stored files whose rows are not in what is published, or are not in it once: they wait for others."""
        rows = Counter[str]()
        for item in self.objects:
            rows[item.vendor_symbol] += item.rows
        return tuple(
            file for file in self.files if file.outcome is Outcome.STORED and rows[file.vendor_symbol] != file.rows
        )

    @property
    def has_known_layouts(self) -> bool:
        """Whether this version knows where what is published is; it knows where nothing is."""
        return bool(self.known_layouts) or not self.objects

    @property
    def is_settled(self) -> bool:
        """Whether what is named can be relied on; not while it is replaced, or in a state of a later version."""
        return self.state in SETTLED

    @property
    def known_layouts(self) -> tuple[str, ...]:
        """The layouts of the publication that this version knows."""
        return known_layouts(self.layouts)

    @property
    def is_nothing_expected(self) -> bool:
        """Whether the unit is whole since there is no file to expect."""
        return self.is_complete and not self.files

    @property
    def unchecked_files(self) -> tuple[FileEvidence, ...]:
        """Stored files whose ticks no rule has looked at: an earlier version published them."""
        return tuple(file for file in self.files if file.outcome is Outcome.STORED and file.stats is None)

    @property
    def verdict(self) -> Literal["ok", "warn", "error", "unchecked"]:
        """The worst finding of any file; `unchecked` when a file was not looked at and no other has an error."""
        severities = {finding.severity for file in self.files for finding in file.findings}
        if any(severity.is_error for severity in severities):
            return "error"
        if self.unchecked_files:
            return "unchecked"
        return "warn" if severities else "ok"

    @property
    def is_as_wanted(self) -> bool:
        """Whether nobody has anything to do: the unit is whole, or lacks just what a person took out of the lake."""
        is_cut = self.state == State.COMMITTED and self.doubt is None and not self.unpublished_files
        is_all_removed = all(file.outcome is Outcome.REMOVED for file in self.open_files)
        return self.is_complete or self.state == State.DELETED or (is_cut and is_all_removed and bool(self.open_files))

    def counts(self) -> dict[str, int]:
        """Return the number of expected files for each outcome, `open` for those nobody has tried (or as good as)."""
        counts = {outcome.value: 0 for outcome in Outcome} | {"open": 0}
        for file in self.files:
            counts[file.outcome.value if file.outcome and is_known(file.outcome) else "open"] += 1
        return counts

    def claimed_by(
        self,
        writer: str,
        expected: Sequence[TickFile],
        config_hash: str,
        instruments_listed: int | None = None,
        doubt: str | None = None,
    ) -> Self:
        """Return the receipt with the expected set frozen and the writer's claim on it.

        What is known of a file is kept while it is accounted for or published, also when nobody asks for the file any
        more: a narrowed configuration deletes nothing. A change between grouped and single files supersedes what it
        replaces, since both hold the same rows.
        """
        published = {item.vendor_symbol: item for item in self.objects}
        known = {symbol: item.opened_file() for symbol, item in published.items()}
        known |= {file.vendor_symbol: file for file in self.files}
        # Of one instrument type, groups or single files count: those asked for, else those published.
        is_group = {item.instrument_type: item.instrument_key is None for item in self.objects}
        is_group |= {file.instrument_type: file.is_group for file in expected}
        wanted = {file.vendor_symbol: _evidence_of(file, known.get(file.vendor_symbol)) for file in expected}
        kept = {
            symbol: file
            for symbol, file in known.items()
            if symbol not in wanted
            and (file.is_accounted or symbol in published)
            and is_group.get(file.instrument_type, file.is_group) == file.is_group
        }
        files = tuple(file for _, file in sorted((kept | wanted).items()))
        return self.changed(
            claim=writer,
            # what a run is asked for is not deleted any more
            state=State.OPEN if self.state == State.DELETED else self.state,
            files=files,
            config_hash=config_hash,
            instruments_listed=instruments_listed,
            doubt=doubt,
        )

    def with_evidence(self, evidence: Iterable[FileEvidence]) -> Self:
        """Return the receipt with newer evidence of some files."""
        newer = {file.vendor_symbol: file for file in evidence}
        return self.changed(files=tuple(newer.get(file.vendor_symbol, file) for file in self.files))

    def with_waivers(self, reasons: Mapping[str, str]) -> Self:
        """Return the receipt with exactly these files waived, by vendor symbol; what is stored needs no waiver."""
        return self.changed(files=tuple(_waive(file, reasons) for file in self.files))

    def released(self) -> Self:
        """Return the receipt after an attempt that could not publish; what was published stays."""
        return self.changed(claim=None).in_its_format()

    def committed(
        self, objects: Iterable[PublishedObject], *, decoder_version: str, layouts: tuple[str, ...], at: datetime
    ) -> Self:
        """Return the receipt of a whole publication."""
        return self.changed(
            state=State.COMMITTED,
            claim=None,
            decoder_version=decoder_version,
            layouts=layouts,
            objects=tuple(sorted(objects, key=lambda item: (item.vendor_symbol, item.stem))),
            committed_at=at,
        ).in_its_format()

    def in_its_format(self) -> Self:
        """Return the receipt closed to versions that know plain names alone, where it has others: they misread those.

        Also of the vendor's bytes: such a version looks for them, and writes others, under the plain name.
        """
        if not any(item.content_id for item in self.objects) and not any(file.raw_id for file in self.files):
            return self
        return self.changed(
            min_reader_version=max(self.min_reader_version, NAMED_BY_CONTENT),
            min_writer_version=max(self.min_writer_version, NAMED_BY_CONTENT),
        )

    def removable_files(self, instruments: Collection[str] | None) -> tuple[FileEvidence, ...]:
        """Return the files that a deletion takes out: all, or those of some instruments that are not out yet."""
        if instruments is None:
            return self.files
        own = (file for file in self.files if file.instrument_key in instruments)
        return tuple(file for file in own if file.outcome is not Outcome.REMOVED)

    def deleted(self, removal: Removal) -> Self:
        """Return the receipt after a deletion: of all of it, or of the removal's instruments."""
        removals = (*self.removals, removal)
        if not removal.instruments:
            nothing = dict.fromkeys(("decoder_version", "config_hash", "claim", "committed_at", "doubt", "gaps"))
            nothing |= dict.fromkeys(("layouts", "files", "objects"), ())
            return self.changed(**nothing, state=State.DELETED, removals=removals)
        out = {file.vendor_symbol for file in self.removable_files(removal.instruments)}
        files = (file.removed(removal.told) if file.vendor_symbol in out else file for file in self.files)
        objects = (item for item in self.objects if item.vendor_symbol not in out)
        return self.changed(files=tuple(files), objects=tuple(objects), removals=removals, gaps=None)

    def is_published_by(self, decoder_version: str, layouts: tuple[str, ...]) -> bool:
        """Whether the publication is what this decoder would write into these layouts."""
        return self.state == State.COMMITTED and self.decoder_version == decoder_version and self.layouts == layouts


def _evidence_of(file: TickFile, known: FileEvidence | None) -> FileEvidence:
    if known is None or known.instrument_key != file.instrument_key:
        return expected_file(file)
    # whoever wants what was taken out brings it back
    return known.opened() if known.outcome is Outcome.REMOVED else known


def _waive(file: FileEvidence, reasons: Mapping[str, str]) -> FileEvidence:
    if file.has_bytes:
        return file
    reason = reasons.get(file.vendor_symbol)
    if reason is None:
        return file.opened() if file.outcome is Outcome.WAIVED else file
    return file.waived(reason)


def lasting_facts(document: object) -> object:
    """Return a receipt's JSON document without its volatile fields: equal for two equal runs."""
    if isinstance(document, Mapping):
        return {key: lasting_facts(value) for key, value in document.items() if key not in VOLATILE_FIELDS}
    if isinstance(document, list):
        return [lasting_facts(item) for item in document]
    return document
