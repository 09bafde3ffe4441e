"""A vendor that answers: the one of the settings, or a simulator of our own where they leave it to us to start one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from market_data.settings.environment import Settings


@contextmanager
def open_vendor(settings: Settings) -> Iterator[Settings]:
    """Give the settings with the addresses of a vendor that answers; a simulator ends with the context."""
    if not settings.needs_simulator:
        yield settings
        return
    from market_data.simulator.http.server import DEFAULT_KEY, SimulatorOptions, run_simulator  # noqa: PLC0415  a web server

    _ask_this_machine_without_proxy()
    with run_simulator(SimulatorOptions()) as running:
        addresses = {"api_url": running.api_url, "datasets_url": running.datasets_url, "needs_simulator": False}
        yield settings.model_copy(update={**addresses, "api_key": SecretStr(DEFAULT_KEY)})


def _ask_this_machine_without_proxy() -> None:
    """Let this process and those that it starts reach the simulator where the environment names proxies."""
    hosts = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "", "127.0.0.1", "localhost"]
    # both spellings are read, and the small letters win
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, hosts))
