"""How much one run may take: files at once, scratch disk, a file's size, the account's bytes of a day.

Sizes are bytes; a gigabyte, as people write it, is 10^9 of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from market_data.model.data_types import DataType

GIGABYTE = 10**9
MEGABYTE = 10**6
# Twice the largest known file of a type, and more: options_chain of Deribit inflates to about 100 GB a day.
_MAX_CSV_GIGABYTES = {DataType.OPTIONS_CHAIN: 300.0, DataType.INCREMENTAL_BOOK_L2: 60.0}
_OTHER_MAX_CSV_GIGABYTES = 30.0
# Tick files compress 7 to 15 times; a small one may be more regular, so the ratio counts from some size on.
DEFAULT_MAX_INFLATION_RATIO = 200.0
_RATIO_COUNTS_FROM_BYTES = 64 * 2**20
# The vendor advises 8 to 16 downloads at once for one key.
DEFAULT_FILES_AT_ONCE = 16
# A backfill's days that share a run: Dagster's seconds of it are paid once, a killed run loses nothing but its day.
DEFAULT_DAYS_PER_RUN, MOST_DAYS_PER_RUN = 10, 31

# Dagster's records of a run that ended; how its days stand stays.
DEFAULT_KEEP_RUNS_DAYS = 30


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How much text one tick file may become: against bombs, and against a full disk."""

    max_csv_bytes: int
    max_ratio: float = DEFAULT_MAX_INFLATION_RATIO

    def describe_excess(self, csv_bytes: int, gzip_bytes: int) -> str | None:
        """Return what is too much about a file that has inflated to so many bytes so far, None where nothing is."""
        if csv_bytes > self.max_csv_bytes:
            limit = f"{self.max_csv_bytes / GIGABYTE:g} GB"
            return f"inflates to more than {limit}; where that is right, raise limits.max_csv_gb in the venues file"
        if csv_bytes > max(_RATIO_COUNTS_FROM_BYTES, self.max_ratio * gzip_bytes):
            return (
                f"inflates to more than {self.max_ratio:g} times its {gzip_bytes} bytes, as no tick file does; "
                "where that is right, raise limits.max_inflation_ratio in the venues file"
            )
        return None


def size_limits_of(
    max_csv_gigabytes: Mapping[DataType, float], max_ratio: float = DEFAULT_MAX_INFLATION_RATIO
) -> dict[DataType, SizeLimits]:
    """Return the limits of every data type, with a user's changes of some."""
    gigabytes = {item: _MAX_CSV_GIGABYTES.get(item, _OTHER_MAX_CSV_GIGABYTES) for item in DataType}
    gigabytes |= max_csv_gigabytes
    return {item: SizeLimits(round(gigabytes[item] * GIGABYTE), max_ratio) for item in DataType}


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may take.

    `scratch_bytes` None: most of what the disk has free when the run starts. `daily_quota_bytes` is what all runs of
    the account may fetch on a UTC day, None for as much as they want. `keep_replaced`: how long what was replaced stays
    in the lake, for reads that began before.
    """

    files_at_once: int = DEFAULT_FILES_AT_ONCE
    scratch_bytes: int | None = None
    daily_quota_bytes: int | None = None
    keep_replaced: timedelta = timedelta()
    sizes: Mapping[DataType, SizeLimits] = field(default_factory=lambda: size_limits_of({}))
