"""What was seen of the vendor: its answers, and what became of the files that went through the pipeline. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from market_data.receipts.evidence import FileEvidence
from market_data.universe.rules import Universe
from market_data.vendor.answer import Answer

# Whether each thing seen is as assumed, with words for people.
Seen = Iterator[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class VenueSeen:
    """What the vendor says of a venue; `day` is the free day that was taken, None where there was none."""

    venue: str
    details: Answer
    instruments: Answer
    day: date | None = None
    universe: Universe | None = None
    error: str | None = None

    @property
    def datasets(self) -> Mapping[str, Any]:
        """The part about tick files; empty where there is none."""
        details = self.details.value
        datasets = details.get("datasets") if isinstance(details, Mapping) else None
        return datasets if isinstance(datasets, Mapping) else {}

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of symbols."""
        symbols = self.datasets.get("symbols")
        return [row for row in symbols if isinstance(row, Mapping)] if isinstance(symbols, Sequence) else []


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One tick file: the headers of its answer, and what the pipeline says of it (None: it was not taken).

    `facts` are what only a look at the stored bytes and the published rows tells; see `observe`.
    """

    venue: str
    data_type: str
    day: date
    symbol: str
    answer: Answer
    evidence: FileEvidence | None = None
    facts: Mapping[str, str | float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.venue} {self.data_type} {self.day} {self.symbol}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was seen. `refusals` are answers to what the vendor should refuse, by what was wrong with it."""

    exchanges: Answer
    venues: Sequence[VenueSeen]
    files: Sequence[FileSeen]
    refusals: Sequence[tuple[str, Answer]]

    @property
    def answers(self) -> Iterator[Answer]:
        """Every answer."""
        yield self.exchanges
        for venue in self.venues:
            yield venue.details
            yield venue.instruments
        yield from (file.answer for file in self.files)
        yield from (answer for _, answer in self.refusals)

    def refused(self, why: str) -> list[Answer]:
        """Return the answers to one kind of request that should be refused."""
        return [answer for name, answer in self.refusals if name == why]

    @property
    def taken(self) -> list[FileSeen]:
        """The files that went through the pipeline."""
        return [file for file in self.files if file.evidence is not None]
