"""What all documents that a lake keeps have in common: later versions may add to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

# How many rows, bytes, attempts: sums of thousands of them are 64-bit integers too.
Count = Annotated[int, Field(ge=0, lt=2**48)]
Generation = Annotated[int, Field(ge=0, lt=2**63)]
# 64 bits of a content's hash.
ContentId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
# What JSON can say: it has no infinity, and would say null.
Finite = Annotated[float, Field(allow_inf_nan=False)]
# A symbol, a stem, a type: never nothing.
Name = Annotated[str, Field(min_length=1)]
_Kind = TypeVar("_Kind", bound=StrEnum)


class Document(BaseModel):
    """A part of a document in the lake: never changed, only replaced by a changed copy.

    Fields that this version does not know are kept, and written again with the rest.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def changed(self, **facts: Any) -> Self:
        """Return a copy with other values of some fields; raises TypeError for a name that is no field."""
        if strange := facts.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(strange))}")
        return self.model_copy(update=facts)

    def fields(self) -> dict[str, Any]:
        """Return the values of the fields that this version knows."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class FormatVersions(Document):
    """Which versions may read a document, and which may change what it describes: `lake/format.py` has this one's."""

    min_reader_version: int = 1
    min_writer_version: int = 1


def or_unknown(kind: type[_Kind]) -> BeforeValidator:
    """Let a field take words of a later version: such a one equals none that this version knows, and is kept."""
    known = frozenset(member.value for member in kind)

    def read(value: object) -> object:
        if not isinstance(value, str) or value in known:
            return value
        unknown = str.__new__(kind, value)
        unknown._name_, unknown._value_ = "UNKNOWN", value
        return unknown

    return BeforeValidator(read)


def open_words(kind: type[StrEnum]) -> WithJsonSchema:
    """Tell other readers which words there are so far."""
    return WithJsonSchema({"anyOf": [{"enum": [member.value for member in kind]}, {"type": "string"}]})


def is_known(word: StrEnum) -> bool:
    """Whether this version knows a word that was read from a document."""
    return word.name in type(word).__members__
