"""Tables in metadata: the one place that hands rows to Dagster, which refuses a table without any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

_NOTHING = "none"
Table = dg.TableMetadataValue | dg.TextMetadataValue


def make_table(rows: Iterable[Mapping[str, str | float | bool]]) -> Table:
    """Return the rows as a table, by column name; the word `none` where there are no rows."""
    records = [dg.TableRecord(dict(row)) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text(_NOTHING)
