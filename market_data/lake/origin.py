"""What a lake is filled from, and which versions may use it: one document at its root. One lake holds one origin."""

from __future__ import annotations

from contextlib import suppress

from pydantic import ValidationError

from market_data.errors import LakeConflict, LakeError, LakeObjectMissing, LakeOriginMismatch
from market_data.lake.base import JSON_CONTENT, TickLake
from market_data.lake.format import WRITER_VERSION, ensure_writable, parse_document
from market_data.lake.keys import ORIGIN_KEY
from market_data.model.document import FormatVersions


class LakeDocument(FormatVersions):
    """The document at a lake's root; a later version raises its `min_..._version` for the lake as a whole."""

    schema_version: int = 1
    origin: str


def load_lake_document(lake: TickLake) -> LakeDocument | None:
    """Return the document of a lake, None while the lake is empty.

    Raises LakeFormatTooNew (permanent) where this version cannot read the lake, LakeError of any kind.
    """
    try:
        data, _ = lake.get_bytes(ORIGIN_KEY)
    except LakeObjectMissing:
        return None
    uri = lake.uri(ORIGIN_KEY)
    try:
        return parse_document(LakeDocument, data, uri)
    except ValidationError as error:
        raise LakeError(
            f"{uri} does not say what the lake is filled from ({error.errors()[0]['msg']}). Where this is a lake's "
            'directory, write {"origin": "..."} into it, as its receipts say'
        ) from error


def read_origin(lake: TickLake) -> str | None:
    """Return what a lake is filled from, None while it is empty; raises as `load_lake_document`."""
    document = load_lake_document(lake)
    return document.origin if document else None


def ensure_lake_writable(lake: TickLake) -> None:
    """Raise LakeFormatTooNew (permanent) where this version must not change anything in a lake."""
    if (document := load_lake_document(lake)) is not None:
        ensure_writable(document, lake.uri(ORIGIN_KEY))


def ensure_origin(lake: TickLake, origin: str) -> None:
    """Mark an empty lake with its origin; whoever writes into a lake begins with it.

    From then on versions that write an earlier format change nothing there: they would overwrite what is being read.
    Raises LakeOriginMismatch (permanent) when it was filled from another origin, LakeFormatTooNew (permanent) when a
    later version must write it.
    """
    document = load_lake_document(lake)
    if document is None:
        try:
            _save(lake, LakeDocument(origin=origin, min_writer_version=WRITER_VERSION), 0)
        except LakeConflict:  # another first run was faster: compare with what it wrote
            ensure_origin(lake, origin)
        return
    ensure_writable(document, lake.uri(ORIGIN_KEY))
    _refuse_other_origin(lake, document, origin)


def refuse_other_origin(lake: TickLake, origin: str) -> None:
    """Raise what `ensure_origin` raises of another origin, and write nothing: an empty lake stays empty."""
    if (document := load_lake_document(lake)) is not None:
        _refuse_other_origin(lake, document, origin)


def _refuse_other_origin(lake: TickLake, document: LakeDocument, origin: str) -> None:
    if document.origin != origin:
        raise LakeOriginMismatch(
            f"the lake {lake.url} was filled from {document.origin}, this run reads from {origin}. One lake holds one "
            "origin: set MARKET_DATA_LAKE_URL to another lake, or MARKET_DATA_VENDOR and TARDIS_DATASETS_URL to that "
            "origin"
        )
    if document.min_writer_version < WRITER_VERSION:
        _raise_writer_version(lake)


def _raise_writer_version(lake: TickLake) -> None:
    stat = lake.stat(ORIGIN_KEY)
    document = load_lake_document(lake)
    if stat is not None and document is not None and document.min_writer_version < WRITER_VERSION:
        with suppress(LakeConflict):  # another run was faster
            _save(lake, document.changed(min_writer_version=WRITER_VERSION), stat.generation)


def _save(lake: TickLake, document: LakeDocument, if_generation: int) -> None:
    data = document.model_dump_json().encode()
    lake.put_bytes(data, ORIGIN_KEY, if_generation=if_generation, content_type=JSON_CONTENT)
