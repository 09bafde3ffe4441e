"""One daily partitions definition for every asset.

Where selected assets differ in their partitions, the UI's dialog offers no date range. A day before a venue existed
materialises with nothing expected.
"""

from __future__ import annotations

from datetime import date

import dagster as dg


def daily_partitions(start_date: date) -> dg.DailyPartitionsDefinition:
    """UTC days from the first to yesterday; the key is the ISO date."""
    return dg.DailyPartitionsDefinition(start_date=start_date.isoformat(), timezone="UTC", end_offset=0)
