"""What all documents of the lake have in common."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A part of a document in the lake: never changed, only replaced by a changed copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self, **facts: Any) -> Self:
        """Return a copy with other values of some fields; raises TypeError for a name that is no field."""
        if strange := facts.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(strange))}")
        return self.model_copy(update=facts)
