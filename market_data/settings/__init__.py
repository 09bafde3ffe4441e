"""What a run is told: the environment and the venues file."""

from market_data.settings.environment import Settings, load_settings

__all__ = ["Settings", "load_settings"]
