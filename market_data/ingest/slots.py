"""Who works next: at most so many files at once, taken in turn by data type, so that none waits for all of another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from market_data.model.data_types import DataType

# Files of tens to hundreds of megabytes; those of the other types are a few at most.
HEAVY_TYPES = frozenset(
    {
        DataType.INCREMENTAL_BOOK_L2,
        DataType.BOOK_SNAPSHOT_5,
        DataType.BOOK_SNAPSHOT_25,
        DataType.QUOTES,
        DataType.BOOK_TICKER,
        DataType.OPTIONS_CHAIN,
    }
)


class Slots:
    """Slots for the files of some data types; for one event loop. Heavy types leave a quarter of them to the others."""

    def __init__(self, count: int, data_types: Collection[DataType]) -> None:
        has_light = any(data_type not in HEAVY_TYPES for data_type in data_types)
        self._free = count
        self._free_for_heavy = count - count // 4 if has_light else count
        self._turns = deque(data_types)
        self._waiting: dict[DataType, deque[asyncio.Future[None]]] = {item: deque() for item in data_types}

    @asynccontextmanager
    async def hold(self, data_type: DataType) -> AsyncIterator[None]:
        """Hold a slot, as soon as it is this data type's turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting[data_type].append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(data_type)
            raise
        try:
            yield
        finally:
            self._release(data_type)

    def _grant(self) -> None:
        while (data_type := self._next()) is not None:
            turn = self._waiting[data_type].popleft()
            if not turn.cancelled():
                self._free -= 1
                self._free_for_heavy -= data_type in HEAVY_TYPES
                turn.set_result(None)

    def _next(self) -> DataType | None:
        """Return the data type whose turn it is, and move it to the end of the row."""
        for data_type in self._turns:
            is_free = self._free > 0 and (data_type not in HEAVY_TYPES or self._free_for_heavy > 0)
            if self._waiting[data_type] and is_free:
                self._turns.remove(data_type)
                self._turns.append(data_type)
                return data_type
        return None

    def _release(self, data_type: DataType) -> None:
        self._free += 1
        self._free_for_heavy += data_type in HEAVY_TYPES
        self._grant()
