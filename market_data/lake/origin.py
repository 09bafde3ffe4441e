"""What a lake is filled from: one document at its root. One lake holds one origin."""

from __future__ import annotations

import json

from market_data.errors import LakeConflict, LakeObjectMissing, LakeOriginMismatch
from market_data.lake.base import JSON_CONTENT, TickLake
from market_data.lake.keys import ORIGIN_KEY


def read_origin(lake: TickLake) -> str | None:
    """Return what a lake is filled from, None while it is empty; raises LakeError of any kind."""
    try:
        return str(json.loads(lake.get_bytes(ORIGIN_KEY)[0])["origin"])
    except LakeObjectMissing:
        return None


def ensure_origin(lake: TickLake, origin: str) -> None:
    """Mark an empty lake with its origin; raises LakeOriginMismatch (permanent) when it was filled from another."""
    found = read_origin(lake)
    if found is None:
        document = json.dumps({"schema_version": 1, "origin": origin}).encode()
        try:
            lake.put_bytes(document, ORIGIN_KEY, if_generation=0, content_type=JSON_CONTENT)
        except LakeConflict:  # another first run was faster: compare with what it wrote
            ensure_origin(lake, origin)
    elif found != origin:
        raise LakeOriginMismatch(
            f"the lake {lake.url} was filled from {found}, this run reads from {origin}. One lake holds one origin: "
            "set MARKET_DATA_LAKE_URL to another lake, or MARKET_DATA_VENDOR and TARDIS_DATASETS_URL to that origin"
        )
