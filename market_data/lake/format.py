"""Which version of the lake's format this is, and what is refused of later ones: `FORMAT.md` is the contract."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

from pydantic import ValidationError

from market_data.errors import LakeFormatTooNew
from market_data.model.document import FormatVersions

_Versioned = TypeVar("_Versioned", bound=FormatVersions)

READER_VERSION = 2
WRITER_VERSION = 2


def parse_document(model: type[_Versioned], data: bytes, uri: str) -> _Versioned:
    """Return the document in some bytes; raises LakeFormatTooNew (permanent), and pydantic's ValidationError."""
    try:
        document = model.model_validate_json(data)
    except ValidationError:
        with suppress(ValidationError):  # whatever else a document of a later version holds, it says so
            ensure_readable(FormatVersions.model_validate_json(data), uri)
        raise
    ensure_readable(document, uri)
    return document


def ensure_readable(document: FormatVersions, uri: str) -> None:
    """Raise LakeFormatTooNew (permanent) where a document cannot be understood by this version."""
    if document.min_reader_version > READER_VERSION:
        raise LakeFormatTooNew(
            f"{uri} is to be read by versions of market_data that read format {document.min_reader_version}; this one "
            f"reads {READER_VERSION}: install a newer one"
        )


def ensure_writable(document: FormatVersions, uri: str) -> None:
    """Raise LakeFormatTooNew (permanent) where this version must not change what a document describes."""
    ensure_readable(document, uri)
    if document.min_writer_version > WRITER_VERSION:
        raise LakeFormatTooNew(
            f"{uri} may be changed by versions of market_data that write format {document.min_writer_version}; this "
            f"one writes {WRITER_VERSION}. Nothing was changed: install a newer one, here and wherever runs are made"
        )
