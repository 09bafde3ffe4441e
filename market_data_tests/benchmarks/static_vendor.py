"""The vendor of the benchmarks: a folder of finished tick files and their metadata, served from a process of its own.

    with static_vendor(folder) as url: ...

Serving costs next to nothing (sendfile, no hashing, no compression), so what is measured is the client.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

FILE_PATH = r"/v1/{exchange}/{data_type}/{year:\d{4}}/{month:\d\d}/{day:\d\d}/{symbol}.csv.gz"
_NAME = re.compile(r"(?P<exchange>[a-z-]+)_(?P<data_type>\w+)_(?P<day>\d{4}-\d\d-\d\d)_(?P<symbol>.+)\.csv\.gz")


def describe_exchange_of(files: Collection[tuple[str, date, str]]) -> dict[str, Any]:
    """Return the vendor's details of an exchange that lists exactly these files (data type, day, symbol)."""
    days = [day for _, day, _ in files]
    since, until = f"{min(days)}T00:00:00.000Z", f"{max(days) + timedelta(days=1)}T00:00:00.000Z"
    offered: dict[str, dict[str, None]] = {}
    for data_type, _, symbol in files:
        offered.setdefault(symbol, {})[data_type] = None
    symbols = [
        {"id": symbol, "type": "spot", "dataTypes": list(types), "availableSince": since, "availableTo": until}
        for symbol, types in sorted(offered.items())
    ]
    return {"datasets": {"exportedFrom": since, "exportedUntil": until, "symbols": symbols}}


def _build(folder: Path, latency_seconds: float) -> web.Application:
    matches = [match for path in folder.glob("*.csv.gz") if (match := _NAME.fullmatch(path.name))]
    details = describe_exchange_of([(m["data_type"], date.fromisoformat(m["day"]), m["symbol"]) for m in matches])

    async def get_exchange(_: web.Request) -> web.Response:
        return web.json_response(details)

    async def get_instruments(_: web.Request) -> web.Response:
        return web.json_response([])

    async def get_file(request: web.Request) -> web.StreamResponse:
        if latency_seconds:
            await asyncio.sleep(latency_seconds)
        part = request.match_info
        name = f"{part['exchange']}_{part['data_type']}_{part['year']}-{part['month']}-{part['day']}_{part['symbol']}"
        # the content type is told, so that aiohttp does not announce the gzip as an encoding of the transfer
        return web.FileResponse(folder / f"{name}.csv.gz", headers={"Content-Type": "text/csv"})

    app = web.Application()
    app.router.add_get("/v1/exchanges/{exchange}", get_exchange)
    app.router.add_get("/v1/instruments/{exchange}", get_instruments)
    app.router.add_get(FILE_PATH, get_file)
    return app


async def serve_until_stdin_ends(app: web.Application) -> None:
    """Serve on a free port, told on stdout, until stdin ends: then the process that started this one is gone."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201  the answer to the parent
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextmanager
def run_vendor(module: str, *arguments: object) -> Iterator[str]:
    """Run a vendor's module as a process; gives the base URL of both metadata and files."""
    command = [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    finally:
        server.stdin.close()
        try:
            server.wait(timeout=10)
        finally:
            server.kill()


def static_vendor(folder: Path, latency_ms: float = 0) -> AbstractContextManager[str]:
    """Serve a folder of tick files; `latency_ms` pass before each of them."""
    return run_vendor("static_vendor", folder, latency_ms)


if __name__ == "__main__":
    asyncio.run(serve_until_stdin_ends(_build(Path(sys.argv[1]), float(sys.argv[2]) / 1000)))
