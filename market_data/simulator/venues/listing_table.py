"""The grammar of the venue tables: text in which a line is a venue or an instrument, read once.

    id | name | first day[..first day without files] | flags
        kind symbol base/quote[:settlement] [words]

`symbol` is the venue's own form in the casing of its API. In a dated one `{ymd}`, `{short}`, `{letter}` and so on stand
for the expiry (`expiry_texts`), `{strike}` and `{side}` for an option's. The settlement is the quote unless it is told.
Words are a range of days `[from]..[to]` (`to` is the first day without files), `quarterly` (a series: two contracts at
any time), and `name=value`: `on` (expiries), `at` (hour of the expiry, UTC; 8), `strikes` (shares of the underlying's
price), `strike`, `tick`, `lot`, `value` (of a lot in quote currency), `busy` (liquidity), `type` (contract type), `of`
(underlying type), `like` and `times` (the price path that it follows). Flags say what the whole venue offers:
`book_ticker`, `liquidations`, `chain`, `single_chain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

_WORDS = frozenset("on at strikes strike tick lot value busy type of like times".split())
_KINDS = ("spot", "perpetual", "future", "option", "combo", "prediction")


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """One line of an instrument, or of a series of dated ones; `until` is exclusive."""

    kind: str
    form: str
    base: str
    quote: str
    settlement: str
    since: date
    until: date | None
    is_series: bool
    words: dict[str, str]

    def number(self, name: str, default: float) -> float:
        """Return the number of a word."""
        return float(self.words.get(name, default))

    @property
    def expiries(self) -> list[date]:
        """The expiries told one by one."""
        return [date.fromisoformat(day) for day in self.words["on"].split(",")] if "on" in self.words else []


@dataclass(frozen=True, slots=True)
class VenueTable:
    """One venue of a table."""

    exchange_id: str
    name: str
    since: date
    until: date | None
    flags: frozenset[str]
    rows: tuple[InstrumentRow, ...]


def _read_range(text: str, since: date, until: date | None) -> tuple[date, date | None]:
    first, _, end = text.partition("..")
    return date.fromisoformat(first) if first else since, date.fromisoformat(end) if end else until


def _read_row(line: str, since: date, until: date | None) -> InstrumentRow:
    kind, form, pair, *rest = line.split()
    pair, _, settlement = pair.partition(":")
    base, _, quote = pair.partition("/")
    is_series, words = False, {}
    for word in rest:
        name, separator, value = word.partition("=")
        if ".." in word:
            since, until = _read_range(word, since, until)
        elif word == "quarterly":
            is_series = True
        elif separator and name in _WORDS:
            words[name] = value
        else:
            raise ValueError(f"unknown word {word!r} in {line!r}")
    if kind not in _KINDS or not quote:
        raise ValueError(f"not an instrument: {line!r}")
    return InstrumentRow(kind, form, base, quote, settlement or quote, since, until, is_series, words)


def read_venues(text: str) -> Iterator[VenueTable]:
    """Yield the venues of a table; raises ValueError for a line that is not of the grammar."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    heads = [number for number, line in enumerate(lines) if "|" in line]
    for head, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        exchange_id, name, days, flags = (cell.strip() for cell in lines[head].split("|"))
        since, until = _read_range(days, date.min, None)
        rows = tuple(_read_row(line, since, until) for line in lines[head + 1 : end])
        yield VenueTable(exchange_id, name, since, until, frozenset(flags.split()), rows)
