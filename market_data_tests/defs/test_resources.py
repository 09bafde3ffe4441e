"""What the venues file says of the vendor's connections holds where it counts: at the server."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml

from market_data.defs.resources import VendorResource, build_resources
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, TickFile
from market_data.settings.environment import load_settings
from market_data_tests.patience import PATIENCE_SECONDS

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date(2024, 8, 8))


class CountingServer:
    """A vendor that answers nobody before as many ask at once as are to."""

    def __init__(self, at_once: int) -> None:
        self._barrier = asyncio.Barrier(at_once)
        self._asking = 0
        self.most_asking = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it is closed."""
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            self._asking += 1
            self.most_asking = max(self.most_asking, self._asking)
            await self._barrier.wait()
            self._asking -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("files_at_once", [3, 48])
def test_files_at_once_is_how_many_are_asked_for_at_once(tmp_path: Path, files_at_once: int) -> None:
    (tmp_path / "venues.yaml").write_text(
        yaml.safe_dump({"venues": {"binance": {"data_types": ["trades"]}}, "limits": {"files_at_once": files_at_once}})
    )

    async def ask() -> int:
        vendor = CountingServer(files_at_once)
        server = await asyncio.start_server(vendor.answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        settings = load_settings(
            {
                "MARKET_DATA_CONFIG": str(tmp_path / "venues.yaml"),
                "MARKET_DATA_LAKE_URL": tmp_path.as_uri(),
                "TARDIS_API_URL": url,
                "TARDIS_DATASETS_URL": url,
            }
        )
        with dg.build_resources(build_resources(settings)) as resources:
            resource: VendorResource = resources.vendor
            async with server, resource.open_client() as client, asyncio.timeout(PATIENCE_SECONDS):
                files = [TickFile(UNIT, f"S{number}", "SPOT_PAIR", None) for number in range(2 * files_at_once)]
                await asyncio.gather(*(client.download(file, tmp_path / file.vendor_symbol) for file in files))
        return vendor.most_asking

    assert asyncio.run(ask()) == files_at_once
