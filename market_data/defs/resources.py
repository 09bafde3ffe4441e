"""Resources hand plain objects to the work: an open lake, a vendor client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from market_data.lake.base import TickLake
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin, refuse_other_origin
from market_data.model.limits import DEFAULT_FILES_AT_ONCE
from market_data.settings.environment import Settings, read_key_file
from market_data.vendor.client import TardisClient

if TYPE_CHECKING:
    from google.cloud.storage import Client


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake and the origin it is filled from."""

    url: str
    origin: str

    def open(self) -> TickLake:
        """Open the lake; raises LakeOriginMismatch (permanent) when it was filled from another origin."""
        lake = open_lake(self.url, _make_gcs_client)
        ensure_origin(lake, self.origin)
        return lake

    def open_to_read(self) -> TickLake:
        """Open the lake for who writes nothing, not even the mark of its origin; raises as `open`."""
        lake = open_lake(self.url, _make_gcs_client)
        refuse_other_origin(lake, self.origin)
        return lake


class VendorResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The vendor's addresses, the key that only ever goes into a request header, and connections at once.

    `api_key_file` holds the key where the environment does not; it is read anew for each client.
    """

    api_url: str
    datasets_url: str
    api_key: str | None = None
    api_key_file: str | None = None
    connections: int = DEFAULT_FILES_AT_ONCE

    def open_client(self) -> TardisClient:
        """Return a new client; enter it in the event loop that uses it."""
        return TardisClient(
            api_url=self.api_url,
            datasets_url=self.datasets_url,
            api_key=read_key_file(Path(self.api_key_file)) if self.api_key_file else self.api_key,
            connections=self.connections,
        )


def _make_gcs_client() -> Client:
    from dagster_gcp import GCSResource  # noqa: PLC0415  1.5 s and 140 MB that a local lake should not cost

    return GCSResource().get_client()


def build_resources(settings: Settings) -> dict[str, object]:
    """Return the resources by name. The key stays where it is: Dagster sees the name of the variable or file only."""
    key_file = settings.api_key_file
    api_key = dg.EnvVar("TARDIS_API_KEY") if settings.api_key and not key_file else None
    return {
        "lake": LakeResource(url=settings.lake_url, origin=settings.origin),
        "vendor": VendorResource(
            api_url=settings.api_url,
            datasets_url=settings.datasets_url,
            api_key=api_key,
            api_key_file=str(key_file) if key_file else None,
            connections=settings.config.limits.files_at_once,
        ),
    }
