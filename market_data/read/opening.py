"""The lake that a call reads."""

from __future__ import annotations

from market_data.errors import ConfigurationError
from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.settings.environment import lake_url_of


def open_to_read(lake: str | TickLake | None) -> TickLake:
    """Return the open lake, that at a URL, or that of MARKET_DATA_LAKE_URL.

    Raises ConfigurationError (permanent) for what names no lake.
    """
    if not isinstance(lake, str | TickLake | None):
        raise ConfigurationError(f"lake is {lake!r}; give a URL, such as {'file:///data/lake'!r} or path.as_uri()")
    return lake if isinstance(lake, TickLake) else open_lake(lake or lake_url_of())
