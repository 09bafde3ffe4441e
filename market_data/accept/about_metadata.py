"""What is assumed of what the vendor says of exchanges and their symbols. Pure; see `assumption`."""

from __future__ import annotations

import re
from collections.abc import Callable

from market_data.accept.assumption import Assumption, assumption
from market_data.accept.evidence import Evidence, Seen, VenueSeen
from market_data.model.data_types import DataType
from market_data.model.instruments import COMBO, INSTRUMENT_TYPES, KeySource, instrument_type_of
from market_data.model.venues import EXCHANGE_IDS
from market_data.symbology import VENUES_WITHOUT_PARSER
from market_data.universe.listing import GROUP_TYPES

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T00:00:00\.000Z")
_NUMBER = re.compile(r"@?[0-9]+")
_DATA_TYPES = {item.value for item in DataType}
_ROW_FIELDS = {"id", "type", "dataTypes", "availableSince", "availableTo"}
_OPEN_INSTRUMENTS = "BITMEX"
_LARGEST_METADATA_SECONDS = 300


def each_venue(look: Callable[[VenueSeen], Seen]) -> Callable[[Evidence], Seen]:
    """Return a look at all venues."""
    return lambda evidence: (found for venue in evidence.venues for found in look(venue))


@assumption("R")
def exchanges(evidence: Evidence) -> Seen:
    """/exchanges is a list, open without a key."""
    rows = evidence.exchanges.value
    is_list = isinstance(rows, list) and bool(rows)
    yield is_list, str(evidence.exchanges)
    for row in rows if is_list else ():
        missing = {"id", "supportsDatasets", "availableSince"} - set(row if isinstance(row, dict) else ())
        yield not missing, f"/exchanges: {row.get('id') if isinstance(row, dict) else row!r} has no {sorted(missing)}"


@assumption("D")
def known_exchanges(evidence: Evidence) -> Seen:
    """Every exchange with tick files is known here."""
    rows = evidence.exchanges.value
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("supportsDatasets"):
            yield row.get("id") in EXCHANGE_IDS, f"/exchanges: {row.get('id')!r} has tick files and is not known here"


@assumption("C", each_venue)
def readable(venue: VenueSeen) -> Seen:
    """What the vendor says of a venue can be read, and has a free day."""
    yield venue.error is None, f"{venue.venue}: {venue.error}"


@assumption("C", each_venue)
def details(venue: VenueSeen) -> Seen:
    """/exchanges/:exchange is open, with `datasets`."""
    details = venue.details.value
    yield isinstance(details, dict) and bool(venue.datasets), str(venue.details)


@assumption("D", each_venue)
def instruments(venue: VenueSeen) -> Seen:
    """/instruments needs a plan; bitmex is open."""
    status = venue.instruments.status
    expected = {200} if venue.venue == _OPEN_INSTRUMENTS else {401, 403}
    yield status in expected, f"{venue.instruments}; {sorted(expected)} were expected without a key"


@assumption("R", each_venue)
def symbol_rows(venue: VenueSeen) -> Seen:
    """A row has id, type, dataTypes, availableSince, availableTo."""
    symbols = venue.datasets.get("symbols")
    rows = symbols if isinstance(symbols, list) else []
    if venue.datasets:
        is_list = isinstance(symbols, list) and len(venue.rows) == len(rows) > 0
        yield is_list, f"{venue.venue}: `symbols` is no list of objects, or an empty one"
    for row in venue.rows:
        missing = _ROW_FIELDS - {name for name, value in row.items() if value is not None}
        yield not missing, f"{venue.venue}: the row of {row.get('id')!r} has no {', '.join(sorted(missing))}"


@assumption("D", each_venue)
def symbol_types(venue: VenueSeen) -> Seen:
    """The instrument types are the six known ones."""
    for row in venue.rows:
        kind = str(row.get("type"))
        yield (
            instrument_type_of(kind) in INSTRUMENT_TYPES or row.get("id") in GROUP_TYPES,
            f"{venue.venue}: {row.get('id')!r} is of type {kind!r}",
        )


@assumption("D", each_venue)
def data_types(venue: VenueSeen) -> Seen:
    """The data types are the nine known ones."""
    for row in venue.rows:
        offered = row.get("dataTypes")
        unknown = sorted({str(item) for item in offered} - _DATA_TYPES) if isinstance(offered, list) else ["no list"]
        yield not unknown, f"{venue.venue}: {row.get('id')!r} offers {', '.join(unknown)}"


@assumption("U", each_venue)
def file_names(venue: VenueSeen) -> Seen:
    """Ids are in file-name form: upper case, no / or :."""
    for row in venue.rows:
        symbol = str(row.get("id"))
        yield symbol == symbol.upper() and not set("/:") & set(symbol), f"{venue.venue}: the id {symbol!r}"


@assumption("R", each_venue)
def instants(venue: VenueSeen) -> Seen:
    """Days are ISO 8601 midnights in UTC with milliseconds."""
    named = [("exportedUntil", venue.datasets.get("exportedUntil"))] if venue.datasets else []
    named += [(name, row.get(name)) for row in venue.rows for name in ("availableSince", "availableTo")]
    for name, value in named:
        is_so = isinstance(value, str) and _INSTANT.fullmatch(value) is not None
        yield is_so, f"{venue.venue}: {name} is {value!r}"


@assumption("U", each_venue)
def bounds(venue: VenueSeen) -> Seen:
    """Nothing is available after exportedUntil."""
    until = venue.datasets.get("exportedUntil")
    for row in venue.rows:
        end = row.get("availableTo")
        if isinstance(end, str) and isinstance(until, str):
            yield end <= until, f"{venue.venue}: {row.get('id')!r} is available to {end}, exported until {until}"


@assumption("U", each_venue)
def symbology(venue: VenueSeen) -> Seen:
    """A parser knows every symbol but combos and numbers."""
    if venue.universe is None or venue.venue in VENUES_WITHOUT_PARSER:
        return
    for item in venue.universe.listed:
        if item.instrument_type != COMBO and not _NUMBER.fullmatch(item.vendor_symbol):
            is_parsed = item.key_source is KeySource.SYMBOLOGY
            yield is_parsed, f"{venue.venue}: {item.instrument_type} {item.vendor_symbol} keeps the vendor's form"


@assumption("U", each_venue)
def keys(venue: VenueSeen) -> Seen:
    """No two symbols of a day share a key."""
    if venue.universe is not None:
        notes = [note for note in venue.universe.notes if "share the key" in note]
        yield not notes, f"{venue.venue} {venue.day}: {'; '.join(notes[:2])}"


@assumption("I", each_venue)
def metadata_time(venue: VenueSeen) -> Seen:
    """Metadata comes within 300 s."""
    seconds = venue.details.seconds
    yield seconds < _LARGEST_METADATA_SECONDS, f"{venue.details.url} took {seconds:.0f} s"


ASSUMPTIONS: tuple[Assumption, ...] = (
    exchanges,
    known_exchanges,
    readable,
    details,
    instruments,
    symbol_rows,
    symbol_types,
    data_types,
    file_names,
    instants,
    bounds,
    symbology,
    keys,
    metadata_time,
)
