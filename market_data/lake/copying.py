"""Lakes that do not take a file over where it lies: what is given away is copied, and then gone."""

from __future__ import annotations

from pathlib import Path

from market_data.lake.base import DEFAULT_CONTENT_TYPE, ObjectStat, TickLake


class CopyingLake(TickLake):
    """A lake that gives `take_file` through `put_file`."""

    def take_file(
        self,
        path: Path,
        key: str,
        *,
        crc32c: str,
        if_generation: int | None = None,
        content_type: str = DEFAULT_CONTENT_TYPE,
    ) -> ObjectStat:
        """See `TickLake.take_file`."""
        del crc32c  # bytes that move are checked again
        published = self.put_file(path, key, if_generation=if_generation, content_type=content_type)
        path.unlink()
        return published
