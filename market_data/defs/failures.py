"""Errors raised on purpose, as Dagster's failures: their text for people, and what the sensors go by."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from market_data.errors import MarketDataError, VendorAccessDenied, VendorBusy, VendorKeyInUse, VendorQuotaExceeded

# After these no further request of the account's would be answered otherwise.
STOPS = frozenset(error.__name__ for error in (VendorAccessDenied, VendorKeyInUse, VendorQuotaExceeded))


@contextmanager
def failures_for_people() -> Iterator[None]:
    """Fail a step by the text of an error that was raised on purpose, with whether another attempt may help.

    A stack trace of ours helps nobody who reads a run.
    """
    try:
        yield
    except MarketDataError as error:
        metadata: dict[str, dg.MetadataValue[Any]] = {
            "error": dg.MetadataValue.text(type(error).__name__),
            "is_transient": dg.MetadataValue.bool(error.is_transient),
        }
        if isinstance(error, VendorBusy):
            metadata["not before"] = dg.MetadataValue.text(error.not_before.isoformat())
        raise dg.Failure(description=str(error), metadata=metadata) from error


def stops_run(failure: dg.Failure) -> bool:
    """Whether what a day failed of would fail every other day too: the key is refused, or the quota used up."""
    error = failure.metadata.get("error")
    return error is not None and error.value in STOPS


@dataclass(frozen=True, slots=True)
class FailedDay:
    """A day of a run of several that failed: its run goes on, so the log alone tells of it at once."""

    venue: str
    day: str
    text: str

    @property
    def message(self) -> str:
        """The line of the log, of which the text's first line is the headline."""
        return f"{self.venue} {self.day} failed: {self.text}"


def read_failed_day(message: str) -> FailedDay | None:
    """Return the day of which a line of the log tells that it failed; None for any other line."""
    found = re.match(r"(\S+) (\d{4}-\d\d-\d\d) failed: (.*)", message, flags=re.DOTALL)
    return FailedDay(*found.groups()) if found else None
