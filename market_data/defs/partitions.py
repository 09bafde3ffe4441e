"""One daily partitions definition for every asset.

Where selected assets differ in their partitions, the UI's dialog offers no date range. A day before a venue existed
materialises with nothing expected.
"""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg


def daily_partitions(first_day: date, last_day: date | None) -> dg.DailyPartitionsDefinition:
    """UTC days from the first to yesterday, or to the last one (included); the key is the ISO date."""
    end = None if last_day is None else (last_day + timedelta(days=1)).isoformat()
    return dg.DailyPartitionsDefinition(first_day.isoformat(), end_date=end, timezone="UTC", end_offset=0)
