"""What happened to one expected tick file, as a receipt keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Self

from market_data.model.document import (
    ContentId,
    Count,
    Document,
    Finite,
    Generation,
    Name,
    is_known,
    open_words,
    or_unknown,
)
from market_data.model.instruments import InstrumentKey
from market_data.model.tick_file import Outcome, TickFile
from market_data.ticks.rules import RULE_NAMES, Finding, TickStats


class PastFile(Document):
    """What a stored file was before the vendor changed it: bytes of its gzip, rows, and what its headers said."""

    size_bytes: Count | None
    crc32c: str | None
    rows: Count | None
    last_modified: str | None


class FileEvidence(Document):
    """What happened to one expected tick file; `outcome` is None while nobody has tried yet.

    Times are UTC microsecond instants, sizes bytes of the vendor's gzip, `crc32c` base64 as GCS prints it. `error` is
    also the reason of a waiver and the words of an absence. `is_provisional`: the vendor said that it has no such file
    when the day had just been exported, so it is asked again. `previous`: what a refresh replaced, oldest first;
    `raw_id` is then part of the name of the vendor's bytes, which lie beside the former ones until the commit.
    """

    vendor_symbol: Name
    instrument_type: Name
    instrument_key: InstrumentKey | None
    is_first_day: bool = False
    is_last_day: bool = False
    outcome: Annotated[Outcome, or_unknown(Outcome), open_words(Outcome)] | None = None
    url: str | None = None
    status: int | None = None
    size_bytes: Count | None = None
    crc32c: str | None = None
    generation: Generation | None = None
    raw_id: ContentId | None = None
    rows: Count | None = None
    first_local_timestamp: datetime | None = None
    last_local_timestamp: datetime | None = None
    etag: str | None = None
    last_modified: str | None = None
    x_md5: str | None = None
    is_provisional: bool = False
    previous: tuple[PastFile, ...] = ()
    unknown_symbols: tuple[str, ...] = ()
    stats: TickStats | None = None
    findings: tuple[Finding, ...] = ()
    error_class: str | None = None
    error: str | None = None
    is_transient: bool | None = None
    not_before: datetime | None = None
    attempts: Count = 0
    seconds: Finite = 0.0

    @property
    def is_accounted(self) -> bool:
        """Whether a day can be published with what is known of this file."""
        return self.outcome is not None and self.outcome.is_accounted

    @property
    def fault(self) -> str | None:
        """Why the file is not accounted for, as far as is known."""
        if self.outcome is not None and not is_known(self.outcome):
            word = self.outcome.value
            return f"{self.vendor_symbol} is {word!r}, a word of a later version of market_data: install a newer one"
        return self.error

    @property
    def has_bytes(self) -> bool:
        """Whether the vendor's bytes of this file are held, with rows or without."""
        return self.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY}

    @property
    def is_group(self) -> bool:
        """Whether the file holds many instruments."""
        return self.instrument_key is None

    def opened(self) -> Self:
        """Return the evidence of the same file as if nobody had tried yet; what was replaced before stays known."""
        return type(self)(
            vendor_symbol=self.vendor_symbol,
            instrument_type=self.instrument_type,
            instrument_key=self.instrument_key,
            is_first_day=self.is_first_day,
            is_last_day=self.is_last_day,
            previous=self.previous,
            **(self.model_extra or {}),
        )

    def superseded(self) -> Self:
        """Return the evidence, open, with what is about to be replaced added to its past; nothing of a new file."""
        if not self.has_bytes:
            return self.opened()
        past = PastFile(
            size_bytes=self.size_bytes, crc32c=self.crc32c, rows=self.rows, last_modified=self.last_modified
        )
        return self.opened().changed(previous=(*self.previous, past))

    def answered(self, url: str, status: int, attempts: int) -> Self:
        """Return the evidence with the vendor's last answer, and how often it was asked."""
        return self.changed(url=url, status=status, attempts=attempts)

    def described(self, *, etag: str | None, last_modified: str | None, x_md5: str | None) -> Self:
        """Return the evidence with what the answer's headers say of the body."""
        return self.changed(etag=etag, last_modified=last_modified, x_md5=x_md5)

    def stored(self, *, size_bytes: int, crc32c: str | None, generation: int, raw_id: str | None = None) -> Self:
        """Return the evidence of a file whose bytes are proven and kept, and which has no rows, as far as is known."""
        return self.changed(
            outcome=Outcome.VENDOR_EMPTY,
            size_bytes=size_bytes,
            crc32c=crc32c,
            generation=generation,
            raw_id=raw_id,
            rows=0,
            first_local_timestamp=None,
            last_local_timestamp=None,
            unknown_symbols=(),
        )

    def decoded(
        self, rows: int, first: datetime | None, last: datetime | None, unknown_symbols: tuple[str, ...]
    ) -> Self:
        """Return the evidence of a stored file with its rows, and their first and last `local_timestamp`.

        What was found of former rows is not said of these.
        """
        return self.changed(
            findings=(),
            outcome=Outcome.STORED,
            rows=rows,
            first_local_timestamp=first,
            last_local_timestamp=last,
            unknown_symbols=unknown_symbols,
        )

    def judged(self, stats: TickStats, findings: Sequence[Finding]) -> Self:
        """Return the evidence with what was measured on the ticks, and which rules they broke.

        What a later version found or added is kept: this one cannot judge it.
        """
        known = {finding.rule: finding for finding in self.findings}
        newer = [known[item.rule].changed(**item.fields()) if item.rule in known else item for item in findings]
        beyond = [item for item in self.findings if item.rule not in RULE_NAMES or not is_known(item.severity)]
        rules = {item.rule for item in beyond}
        stats = self.stats.changed(**stats.fields()) if self.stats else stats
        return self.changed(stats=stats, findings=(*beyond, *(item for item in newer if item.rule not in rules)))

    def found(self, rules: Collection[str], findings: Iterable[Finding]) -> Self:
        """Return the evidence with what rules beside those of one file say: just these findings of just these rules.

        Whatever looks further than one file (at its silences, at other data types, at another day) says it here.
        """
        others = (item for item in self.findings if item.rule not in rules)
        return self.changed(findings=(*others, *findings))

    def absent(self, why: str, *, is_provisional: bool = False) -> Self:
        """Return the evidence of a file that the vendor says it does not have."""
        return self.changed(outcome=Outcome.NOT_OFFERED, error=why, is_provisional=is_provisional)

    def waived(self, reason: str) -> Self:
        """Return the evidence, open but for a person's word that the day stands without the file."""
        return self.opened().changed(outcome=Outcome.WAIVED, error=reason)

    def removed(self, why: str) -> Self:
        """Return the evidence, open but for the word of a person who took the file out of the lake."""
        return self.opened().changed(outcome=Outcome.REMOVED, error=why)

    def failed(self, error_class: str, error: str, *, is_transient: bool, not_before: datetime | None = None) -> Self:
        """Return the evidence of a file that was not obtained, or is not what the format says."""
        return self.changed(
            outcome=Outcome.FAILED,
            error_class=error_class,
            error=error,
            is_transient=is_transient,
            not_before=not_before,
        )

    def timed(self, seconds: float) -> Self:
        """Return the evidence with what the file took, to the millisecond."""
        return self.changed(seconds=round(seconds, 3))


def expected_file(file: TickFile) -> FileEvidence:
    """Return the evidence of an expected file that nobody has tried yet."""
    return FileEvidence(
        vendor_symbol=file.vendor_symbol,
        instrument_type=file.instrument_type,
        instrument_key=file.instrument_key,
        is_first_day=file.is_first_day,
        is_last_day=file.is_last_day,
    )
