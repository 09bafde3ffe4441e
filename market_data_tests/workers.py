"""Celery workers and their broker as processes on loopback, for tests of what is launched on them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
import yaml

from market_data_tests.daemon import Program, free_port
from market_data_tests.patience import wait_until

PROJECT = Path(__file__).parents[1]
HAS_REDIS = shutil.which("redis-server") is not None


def write_instance(home: Path, *, has_postgres: bool = False) -> None:
    """The launcher as it is deployed; run monitoring looks more often."""
    document = yaml.safe_load((PROJECT / "market_data" / "demo" / "dagster.yaml").read_text())
    document |= yaml.safe_load((PROJECT / "docker" / "launcher_workers.yaml").read_text())
    document["run_monitoring"]["poll_interval_seconds"] = 1
    if has_postgres:
        document["storage"] = {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(document))


@contextmanager
def run_redis(directory: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(directory)]
    program = Program(command, os.environ, directory / "redis.log")
    program.start()
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: _answers(client), "redis answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        program.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def run_workers(directory: Path, environment: Mapping[str, str], names: Sequence[str]) -> Iterator[dict[str, Program]]:
    """Workers by the names that Celery gives them, each in a process group of its own: a machine."""
    app = [sys.executable, "-m", "celery", "--app", "market_data.defs.celery_worker", "worker"]
    options = ["--queues", "downloads", "--concurrency", "1", "--loglevel", "INFO"]
    workers = {
        name: Program([*app, *options, "--hostname", name], environment, directory / f"{name}.log") for name in names
    }
    try:
        for worker in workers.values():
            worker.start()
            wait_until(lambda path=worker.log_path: "ready." in path.read_text(), "a worker is ready")  # type: ignore[misc]
        yield workers
    finally:
        for worker in workers.values():
            worker.stop()
