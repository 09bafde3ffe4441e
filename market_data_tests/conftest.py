"""Fixtures that several rooms of tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from market_data.adapters.tick_lake import TickLake, open_lake
from market_data_tests.gcs_server import GcsServer
from market_data_tests.gcs_server import gcs_server as start_gcs_server


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """A GCS server for the whole session; every Google client of this process and its children finds it."""
    with start_gcs_server(tmp_path_factory.mktemp("gcs")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(params=["local", "gcs"])
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty lake: a directory that does not exist yet, or a fresh bucket."""
    if request.param == "local":
        return (tmp_path / "lake").as_uri()
    server: GcsServer = request.getfixturevalue("gcs_server")
    bucket = f"lake-{uuid.uuid4().hex}"
    server.create_bucket(bucket)
    return f"gs://{bucket}/some/prefix"


@pytest.fixture
def lake(lake_url: str) -> TickLake:
    """An empty lake of each kind."""
    return open_lake(lake_url)


@pytest.fixture
def retries_without_waits() -> Iterator[None]:
    """As many attempts as in production, with no wait between them."""
    with stamina.set_testing(True, attempts=5):
        yield
