"""The vendor's metadata as models: what is needed of an answer, row by row, and why a row cannot be read. Pure.

Sources: docs.tardis.dev, HTTP API, `/exchanges/:exchange` (`datasets`) and `/instruments/:exchange`. A row that cannot
be read concerns its own instrument; only what the whole venue hangs on is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from market_data.errors import VendorError
from market_data.model.data_types import DataType
from market_data.model.instruments import file_symbol


def _instant(value: object) -> datetime:
    """Read an instant as the vendor writes it; one without a zone is UTC."""
    if not isinstance(value, str):
        raise ValueError("it is no ISO 8601 text")  # noqa: TRY004  pydantic's word for it
    instant = datetime.fromisoformat(value)
    if not date.min.year < instant.year < date.max.year:
        raise ValueError("it is outside of all days that there are")
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _fit(value: str) -> str:
    """Refuse half of a surrogate pair, which JSON allows and no file's name has."""
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("it holds half of a character")
    return value


def _fit_symbol(value: str) -> str:
    return file_symbol(_fit(value))


def _fit_type(value: str) -> str:
    if ":" in value:
        raise ValueError("it holds a colon, which parts instrument keys")
    return _fit(value)


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("it is no list")  # noqa: TRY004
    return tuple(item for item in value if isinstance(item, str))


Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class ListedSymbol(_Row):
    """One row of `datasets.symbols`: an instrument or a grouped file; `availableTo` is exclusive."""

    symbol: Annotated[str, Field(alias="id", min_length=1), AfterValidator(_fit_symbol)]
    vendor_type: Annotated[str, Field(alias="type", min_length=1, max_length=60), AfterValidator(_fit_type)]
    offered: Annotated[tuple[str, ...], Field(alias="dataTypes"), BeforeValidator(_words)]
    since: Annotated[Instant, Field(alias="availableSince")]
    until: Annotated[Instant, Field(alias="availableTo")]

    @property
    def life(self) -> tuple[date, date]:
        """The first day with files, and the first day after the last; an end within a day leaves rows of that day."""
        return self.since.date(), end_of_life(self.until)

    @property
    def data_types(self) -> tuple[DataType, ...]:
        """The data types that this version knows."""
        return tuple(data_type for data_type in DataType if data_type in self.offered)


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row that cannot be read: its symbol where that much is known, its type and data types likewise, and why."""

    symbol: str | None
    vendor_type: str | None
    data_types: tuple[DataType, ...]
    why: str


def end_of_life(until: datetime) -> date:
    """Return the first day without files."""
    return until.date() if until.time() == time() else until.date() + timedelta(days=1)


def read_symbols(rows: Iterable[object]) -> tuple[list[ListedSymbol], list[UnreadableRow]]:
    """Return the rows of `datasets.symbols`, and those that cannot be read."""
    listed, unreadable = [], []
    for number, row in enumerate(rows, 1):
        try:
            listed.append(ListedSymbol.model_validate(row))
        except ValidationError as error:
            unreadable.append(_unreadable(number, row, error))
    return listed, unreadable


def _unreadable(number: int, row: object, error: ValidationError) -> UnreadableRow:
    fields = row if isinstance(row, Mapping) else {}
    symbol, vendor_type, offered = (fields.get(name) for name in ("id", "type", "dataTypes"))
    known = offered if isinstance(offered, list) else list(DataType)
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"])) or "the row"
    return UnreadableRow(
        symbol=file_symbol(symbol) if isinstance(symbol, str) and symbol and symbol.isprintable() else None,
        vendor_type=vendor_type if isinstance(vendor_type, str) else None,
        data_types=tuple(data_type for data_type in DataType if data_type in known),
        why=(
            f"the vendor's details lack a usable {field!r} in row {number} (found {_shown(fields.get(field, row))}: "
            f"{first['msg']}). Its format may have changed: see docs.tardis.dev, HTTP API"
        ),
    )


def _shown(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | bool | None) else type(value).__name__


class ExportState(_Row):
    """What the details of a venue say of the venue itself."""

    exported_until: Instant
    is_delisted: bool
    available_until: Instant | None


def read_export_state(venue: str, answer: Mapping[str, Any]) -> ExportState:
    """Return up to when a venue is exported, and whether it has ended; raises VendorError (permanent)."""
    datasets = answer.get("datasets")
    if not isinstance(datasets, Mapping):
        raise VendorError(f"{venue}: the vendor has no tick files of this venue (no `datasets` in its details)")
    is_delisted = answer.get("delisted") is True
    fields: dict[str, tuple[str, Any]] = {
        "exported_until": ("exportedUntil", datasets.get("exportedUntil")),
        "available_until": ("availableTo", answer.get("availableTo") if is_delisted else None),
    }
    try:
        values = {name: value for name, (_, value) in fields.items()}
        return ExportState.model_validate({"is_delisted": is_delisted, **values})
    except ValidationError as error:
        vendor_name, value = fields[str(error.errors()[0]["loc"][0])]
        raise VendorError(
            f"{venue}: the vendor's details lack a usable {vendor_name!r} (found {_shown(value)} on 'datasets'). Its "
            "format may have changed: see docs.tardis.dev, HTTP API"
        ) from error


class Incident(_Row):
    """One row of `incidentReports`: what the vendor says was wrong of a venue, from when to when, in its words.

    `status` is resolved (collected again), wontfix or unresolved; `until` is None while it is not over.
    """

    since: Annotated[Instant, Field(alias="from")]
    until: Annotated[Instant | None, Field(alias="to")] = None
    status: str = "unresolved"
    details: str = ""


def read_incidents(answer: Mapping[str, Any]) -> tuple[Incident, ...]:
    """Return the incidents of a venue's details, oldest first; one that cannot be read says nothing of any day."""
    reports = answer.get("incidentReports")
    found = []
    for report in reports if isinstance(reports, list) else ():
        try:
            found.append(Incident.model_validate(report))
        except ValidationError:
            continue
    return tuple(sorted(found, key=lambda incident: incident.since))


class _RecorderMove(_Row):
    until: Instant


def read_recorder_moves(answer: Mapping[str, Any]) -> tuple[datetime, ...]:
    """Return when the vendor's recorder of a venue moved to another data centre, oldest first."""
    details = answer.get("dataCollectionDetails")
    changes = details.get("recorderDataCenterChanges") if isinstance(details, Mapping) else None
    moves = []
    for change in changes if isinstance(changes, list) else ():
        try:
            moves.append(_RecorderMove.model_validate(change).until)
        except ValidationError:
            continue
    return tuple(sorted(moves))


class _Change(_Row):
    model_config = ConfigDict(frozen=True, extra="allow")

    until: Instant


class _Definition(_Row):
    model_config = ConfigDict(frozen=True, extra="allow")

    symbol: Annotated[str, Field(alias="id", min_length=1)]
    file_name: Annotated[str | None, Field(alias="datasetId")] = None
    changes: tuple[_Change, ...] = ()


def definitions_on(rows: Iterable[object] | None, day: date) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the vendor's definitions as they held on a day, by vendor symbol, and how many rows cannot be read.

    `changes` lists old values until an instant, oldest first (docs.tardis.dev, instruments metadata API).
    """
    day_start = datetime.combine(day, time(), UTC)
    definitions: dict[str, dict[str, Any]] = {}
    unreadable = 0
    for row in rows or ():
        try:
            read = _Definition.model_validate(_with_tuple(row), strict=False)
        except ValidationError:
            unreadable += 1
            continue
        held = dict(read.model_extra or {})
        for change in reversed(read.changes):
            if change.until > day_start:
                held |= change.model_extra or {}
        definitions[file_symbol(read.file_name or read.symbol)] = held
    return definitions, unreadable


def _with_tuple(row: object) -> object:
    """Let an absent or null list of changes be none."""
    return {**row, "changes": row.get("changes") or ()} if isinstance(row, Mapping) else row
