"""The environment of a project in a directory: its venues.yaml, its lake, and a simulator as the vendor."""

from __future__ import annotations

from pathlib import Path

from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator


def simulated_environment(directory: Path, simulator: RunningSimulator, **more: str) -> dict[str, str]:
    """Return the variables; `more` are others, or other values."""
    return {
        "MARKET_DATA_CONFIG": str(directory / "venues.yaml"),
        "MARKET_DATA_LAKE_URL": (directory / "lake").as_uri(),
        "MARKET_DATA_VENDOR": "simulator",
        "TARDIS_API_URL": simulator.api_url,
        "TARDIS_DATASETS_URL": simulator.datasets_url,
        "TARDIS_API_KEY": DEFAULT_KEY,
        **more,
    }
