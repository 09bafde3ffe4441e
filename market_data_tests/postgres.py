"""A PostgreSQL server on loopback for tests, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from market_data_tests.daemon import free_port

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_PATH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _DEBIAN)])
IS_INSTALLED = shutil.which("initdb", path=_PATH) is not None
# the server refuses to be root
_USER = "postgres" if os.geteuid() == 0 else None


@contextmanager
def run_postgres() -> Iterator[str]:
    """Give the address of an empty database; the server ends with its context."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        data = Path(directory) / "data"
        if _USER:
            shutil.chown(directory, _USER)
        _run("initdb", ["--pgdata", str(data), "--username", "dagster", "--auth", "trust", "--no-sync"], directory)
        options = f"-h 127.0.0.1 -p {port} -k {directory} -F"
        start = ["start", "--wait", "--pgdata", str(data), "--log", f"{directory}/log", "--options", options]
        _run("pg_ctl", start, directory)
        try:
            yield f"postgresql+psycopg2://dagster@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", ["stop", "--mode", "immediate", "--pgdata", str(data)], directory)


def _run(program: str, arguments: Sequence[str], directory: str) -> None:
    found = shutil.which(program, path=_PATH)
    assert found is not None
    # a server that is started keeps the pipes of who waits for its output
    subprocess.run([found, *arguments], cwd=directory, user=_USER, stdout=subprocess.DEVNULL, check=True)
