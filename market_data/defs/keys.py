"""Asset keys: `<venue>/instruments`, `<venue>/raw/<data_type>`, `<venue>/<layout>`; the group is the venue."""

import dagster as dg

from market_data.model.data_types import DataType
from market_data.model.venues import group_name_of
from market_data.settings.environment import Settings

# The tag of runs and ops that says of which venue they are: its canonical id, `BINANCE-FUTURES`.
VENUE_TAG = "venue"


def step_name(venue: str) -> str:
    """Return the name of the one step of a venue: all that is done of a venue-day."""
    return f"{group_name_of(venue)}__venue_day"


def instruments_asset_key(venue: str) -> dg.AssetKey:
    """Return `<venue>/instruments`."""
    return dg.AssetKey([group_name_of(venue), "instruments"])


def raw_asset_key(venue: str, data_type: DataType) -> dg.AssetKey:
    """Return `<venue>/raw/<data_type>`."""
    return dg.AssetKey([group_name_of(venue), "raw", data_type.asset_name])


def layout_asset_key(venue: str, layout: str) -> dg.AssetKey:
    """Return `<venue>/<layout>`."""
    return dg.AssetKey([group_name_of(venue), layout])


def agreement_asset_key(venue: str) -> dg.AssetKey:
    """Return `agreement/<venue>`: it belongs to no run of the venue's days."""
    return dg.AssetKey(["agreement", group_name_of(venue)])


def venue_asset_keys(settings: Settings, venue: str) -> list[dg.AssetKey]:
    """Return the keys of all assets of a venue."""
    raw = [raw_asset_key(venue, data_type) for data_type in settings.config.venues[venue].data_types]
    layouts = [layout_asset_key(venue, layout) for layout in settings.config.layouts]
    return [instruments_asset_key(venue), *raw, *layouts]
