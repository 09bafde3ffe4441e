"""What the use cases log (`market_data.*`), shown among the events of the run that they work for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

_ROOT = "market_data"


class _ToDagster(logging.Handler):
    def __init__(self, log: dg.DagsterLogManager) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on; Dagster adds the run, the step and the time."""
        try:
            self._log.log(record.levelno, record.getMessage())
        except Exception:  # noqa: BLE001  as every handler: a message that cannot be shown fails no run
            self.handleError(record)


@contextmanager
def logs_shown_in_dagster(log: dg.DagsterLogManager) -> Iterator[None]:
    """Show what is logged below `market_data`, by whichever thread, while the context lasts."""
    logger, handler = logging.getLogger(_ROOT), _ToDagster(log)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
