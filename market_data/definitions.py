"""What Dagster loads; the only module-level wiring."""

from market_data.defs.build import build_definitions
from market_data.settings.environment import load_settings

defs = build_definitions(load_settings())
