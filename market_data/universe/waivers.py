"""Waivers: a person's word that a day stands without a file which the vendor will never mend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from market_data.model.data_types import DataType
from market_data.model.tick_file import TickFile


@dataclass(frozen=True, slots=True)
class Waiver:
    """Files of one data type that need not be there: a glob on the vendor symbol, both days inclusive, and why."""

    data_type: DataType
    symbol: str
    first_day: date
    last_day: date
    reason: str

    def covers(self, file: TickFile) -> bool:
        """Whether the word is given for a file."""
        is_in_days = self.first_day <= file.unit.day <= self.last_day
        is_type = file.unit.data_type is self.data_type
        return is_type and is_in_days and fnmatchcase(file.vendor_symbol.upper(), self.symbol.upper())


def waived_reasons(waivers: Iterable[Waiver], files: Iterable[TickFile]) -> dict[str, str]:
    """Return why each waived file is, by vendor symbol; the first waiver that covers a file counts."""
    waivers = tuple(waivers)
    reasons = {
        file.vendor_symbol: next((waiver.reason for waiver in waivers if waiver.covers(file)), None) for file in files
    }
    return {symbol: reason for symbol, reason in reasons.items() if reason is not None}
