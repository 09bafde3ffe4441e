"""From a URL to the lake behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from market_data.errors import ConfigurationError, LakeError
from market_data.lake.base import _UNPRINTABLE, TickLake, check_key

if TYPE_CHECKING:
    from google.cloud.storage import Client

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


_ACCEPTED_URLS = "a lake URL is file:///absolute/directory or gs://bucket or gs://bucket/prefix"


def open_lake(url: str, gcs_client: Callable[[], Client] | None = None) -> TickLake:
    """Open the lake at a URL without touching it; `gcs_client` makes the client of one in Google Cloud Storage.

    `ConfigurationError` (permanent) for a URL that names no lake.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        from market_data.lake.local import LocalLake  # noqa: PLC0415  the backends import this module

        return LocalLake(_directory_of(url))
    if parts.scheme == "gs":
        from market_data.lake.gcs import GcsLake  # noqa: PLC0415  a local lake does not load Google's client

        bucket, prefix = _bucket_and_prefix_of(url)
        return GcsLake(bucket, prefix, client_factory=gcs_client) if gcs_client else GcsLake(bucket, prefix)
    raise ConfigurationError(f"{url!r} is not the URL of a lake: {_ACCEPTED_URLS}")


def polars_storage_options(lake: TickLake) -> dict[str, str] | None:
    """Give the `storage_options` with which `pl.scan_parquet(lake.uri(key), glob=False)` reads this lake.

    None for a local lake and for GCS itself: Polars finds Google's default credentials. It does not know the variable
    that points Google's own clients to an emulator, hence the one look at the environment here.
    """
    emulator_url = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator_url and lake.url.startswith("gs://"):
        return {"base_url": emulator_url, "skip_signature": "true"}
    return None


def _directory_of(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url!r} names no local directory: {_ACCEPTED_URLS}; write '#' and '?' in a directory as %23 and %3F"
        )
    segments = [segment for segment in path.split("/") if segment]
    if not segments or {".", ".."} & set(segments) or _UNPRINTABLE.search(path):
        raise ConfigurationError(f"{url!r} is not an absolute directory below '/': {_ACCEPTED_URLS}")
    return Path("/", *segments)


def _bucket_and_prefix_of(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    prefix = prefix.strip("/")
    if not url.startswith("gs://") or not _BUCKET_NAME.fullmatch(bucket):
        raise ConfigurationError(f"{url!r} names no bucket: {_ACCEPTED_URLS}; a bucket name is in lower case")
    if prefix:
        try:
            check_key(prefix)
        except LakeError as error:
            raise ConfigurationError(f"{url!r} has a prefix that cannot be used: {error}; {_ACCEPTED_URLS}") from error
    return bucket, prefix
