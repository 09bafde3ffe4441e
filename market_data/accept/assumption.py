"""One thing that is taken for granted of the vendor, as a look at the evidence. Pure.

A look yields for each thing seen whether it is as assumed, and words for people. Where nothing was seen, nothing is
said of the assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, overload

from market_data.accept.evidence import Evidence, Seen

_Part = TypeVar("_Part")


class Verdict(StrEnum):
    """What the evidence says of an assumption."""

    AS_ASSUMED = "as assumed"
    DIFFERENT = "different"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Assumption:
    """`mark` is how sure the sources were.

    D: the vendor's documentation, C: its own client, R: recorded answers, I: third parties, U: unverified.
    """

    name: str
    mark: str
    says: str
    look: Callable[[Evidence], Seen]


@dataclass(frozen=True, slots=True)
class Judged:
    """An assumption with what was seen: how many things, and the differences in words."""

    assumption: Assumption
    verdict: Verdict
    seen: int
    differences: tuple[str, ...]


@overload
def assumption(mark: str) -> Callable[[Callable[[Evidence], Seen]], Assumption]: ...
@overload
def assumption(
    mark: str, of: Callable[[Callable[[_Part], Seen]], Callable[[Evidence], Seen]]
) -> Callable[[Callable[[_Part], Seen]], Assumption]: ...
def assumption(mark: str, of: Callable[..., Callable[[Evidence], Seen]] | None = None) -> Callable[..., Assumption]:
    """Return a decorator: a look becomes the assumption that its docstring says, under its own name.

    `of` makes a look at all evidence of one at a part of it.
    """

    def make(look: Callable[..., Seen]) -> Assumption:
        says = (look.__doc__ or "").strip().removesuffix(".")
        return Assumption(look.__name__, mark, says, of(look) if of else look)

    return make


def judge(evidence: Evidence, assumptions: Iterable[Assumption]) -> list[Judged]:
    """Return what the evidence says of each assumption."""
    judged = []
    for item in assumptions:
        seen = list(item.look(evidence))
        differences = tuple(dict.fromkeys(words for is_so, words in seen if not is_so))
        verdict = Verdict.NOT_SEEN if not seen else Verdict.DIFFERENT if differences else Verdict.AS_ASSUMED
        judged.append(Judged(item, verdict, len(seen), differences))
    return judged
