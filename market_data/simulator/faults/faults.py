"""Fault rules: which attempts of which URL go wrong, and how. `damage` and `delivery` carry them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from market_data.errors import ConfigurationError
from market_data.simulator.faults.damage import BODY_ACTIONS

# Instead of the answer: the fields that each action takes.
ANSWER_ACTIONS: dict[str, frozenset[str]] = {
    "status": frozenset({"code", "retry_after", "error_code", "html", "no_body", "message"}),
    "html_200": frozenset(),
    "json_200": frozenset({"message"}),
    "redirect_loop": frozenset(),
    "redirect": frozenset({"location"}),
    "ip_bound": frozenset({"retry_after"}),
}
# The right answer, sent badly.
TRANSPORT_ACTIONS: dict[str, frozenset[str]] = {
    "reset": frozenset({"after_bytes"}),
    "stall": frozenset({"after_bytes", "seconds"}),
    "slow": frozenset({"bytes_per_second"}),
    "wrong_length": frozenset({"delta_bytes"}),
}
FIELDS_BY_ACTION: dict[str, frozenset[str]] = {
    **ANSWER_ACTIONS,
    **TRANSPORT_ACTIONS,
    **dict.fromkeys(BODY_ACTIONS, frozenset[str]()),
}
_LAST_ATTEMPT = 2**31


class FaultRule(BaseModel):
    """One rule: `match` is a glob on the URL path (`*` crosses `/`), `attempts` counts requests of a URL from 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str = Field(min_length=1)
    action: str
    attempts: int | str = "all"  # 2, "1-2", "3-" or "all"
    code: int = Field(503, ge=300, le=599)  # HTTP status
    error_code: int | None = None  # the vendor's number in the JSON body
    retry_after: int | None = Field(None, ge=0)  # seconds
    message: str = "scripted fault"
    html: bool = False
    no_body: bool = False
    after_bytes: int = Field(100, ge=0)
    seconds: float = Field(3600.0, ge=0)
    bytes_per_second: int = Field(1000, ge=1)
    delta_bytes: int = 1000  # what Content-Length says too much
    location: str | None = None  # None: the storage origin

    @field_validator("action")
    @classmethod
    def _action_is_known(cls, action: str) -> str:
        if action not in FIELDS_BY_ACTION:
            raise ValueError(f"unknown action {action!r}. Known actions: {', '.join(sorted(FIELDS_BY_ACTION))}")
        return action

    @field_validator("attempts")
    @classmethod
    def _attempts_are_readable(cls, attempts: int | str) -> int | str:
        _parse_attempts(attempts)
        return attempts

    @model_validator(mode="after")
    def _fields_belong_to_the_action(self) -> Self:
        stray = self.model_fields_set - {"match", "action", "attempts"} - FIELDS_BY_ACTION[self.action]
        if stray:
            known = ", ".join(sorted(FIELDS_BY_ACTION[self.action])) or "none"
            raise ValueError(f"action {self.action!r} does not take {', '.join(sorted(stray))}. It takes: {known}")
        return self

    def applies_to(self, path: str, attempt: int) -> bool:
        """Say whether the n-th request of a URL path goes wrong by this rule."""
        first, last = _parse_attempts(self.attempts)
        return first <= attempt <= last and fnmatchcase(path, self.match)


def _parse_attempts(attempts: int | str) -> tuple[int, int]:
    text = str(attempts).strip()
    if text == "all":
        return 1, _LAST_ATTEMPT
    first, dash, last = text.partition("-")
    try:
        start = int(first)
        end = (int(last) if last else _LAST_ATTEMPT) if dash else start
    except ValueError:
        start, end = 0, 0
    if not 1 <= start <= end:
        raise ValueError(f"attempts {attempts!r}: give a number from 1, a range such as '1-2' or '3-', or 'all'")
    return start, end


_RULES = TypeAdapter(list[FaultRule])


def parse_faults(rules: Any, where: str = "faults") -> tuple[FaultRule, ...]:
    """Return validated rules of a list (or `{"faults": list}`); raises ConfigurationError naming rule and field."""
    if isinstance(rules, dict) and set(rules) == {"faults"}:
        rules = rules["faults"]
    try:
        return tuple(_RULES.validate_python([] if rules is None else rules))
    except ValidationError as error:
        lines = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise ConfigurationError(f"{where}: " + "; ".join(lines)) from error


def _place(location: tuple[int | str, ...]) -> str:
    if not location:
        return "document"
    number, *fields = location
    rule = f"rule {number + 1}" if isinstance(number, int) else str(number)
    return f"{rule}, {'.'.join(map(str, fields))}" if fields else rule


def load_faults(path: Path) -> tuple[FaultRule, ...]:
    """Return the rules of a YAML or JSON file; raises ConfigurationError when it cannot be read or is wrong."""
    try:
        document = yaml.safe_load(path.read_text())  # JSON is YAML
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read the faults file {path}: {error}") from error
    return parse_faults(document, str(path))


@dataclass(frozen=True, slots=True)
class Attempt:
    """The n-th request of a URL since the rules were set, and the rule that spoils it, if any."""

    number: int
    rule: FaultRule | None


class FaultBook:
    """The rules in force and the count of requests of each URL path; the first rule that applies wins.

    `otherwise` is the rule of requests to which no other applies.
    """

    def __init__(self, rules: Sequence[FaultRule] = (), otherwise: FaultRule | None = None) -> None:
        self._rules = tuple(rules)
        self._otherwise = otherwise
        self._requests: Counter[str] = Counter()

    def count(self, path: str) -> Attempt:
        """Count one request of a URL path."""
        self._requests[path] += 1
        return self.find(path, self._requests[path])

    def find(self, path: str, number: int) -> Attempt:
        """Return a request that was counted before, at the first of two origins."""
        rule = next((rule for rule in self._rules if rule.applies_to(path, number)), self._otherwise)
        return Attempt(number, rule)
