"""Dagster on this machine: webserver, daemon and code server as one process group that ends with its context."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import yaml

from market_data.errors import MarketDataError

_INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")
_LOCATION = "market_data"
_WORKSPACE = {"load_from": [{"python_module": {"module_name": "market_data.definitions", "location_name": _LOCATION}}]}
_ADDRESS_FILE = "ui_address"
_LOCK_FILE = "dagster.lock"
_READY_SECONDS = 1800  # a machine may be as busy as it likes: one that ends while it starts is told at once
_STOP_SECONDS = 15
_POLL_SECONDS = 0.5
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  loadStatus locationOrLoadError { __typename ... on PythonError { message errorChain { error { message } } } } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"""
_TERMINATE = """mutation($ids: [String!]!) { terminateRuns(runIds: $ids) {
  __typename ... on PythonError { message } } }"""
_LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on PipelineNotFoundError { message } } }"""


class LocalDagsterFailed(MarketDataError):
    """Dagster did not start, ended, or refused a request; where it has a log, the text ends with what that says."""


class LocalDagsterSilent(LocalDagsterFailed):
    """The webserver does not answer: it is not there yet, or no more."""


class LocalDagsterRuns(LocalDagsterFailed):
    """Another program runs Dagster on this home: two daemons on one home would launch everything twice."""


@dataclass(frozen=True, slots=True)
class LocalDagster:
    """A running local Dagster. `url` is where its UI is; `process` is None where another program started it."""

    url: str
    home: Path
    process: subprocess.Popen[bytes] | None

    def launch_days(self, asset_keys: Sequence[str], first: str, last: str, tags: Mapping[str, str]) -> str:
        """Launch one run of a range of days, both included, as a backfill does; return the run's id.

        A backfill begins when the daemon looks for one, every 30 s; a run is taken from the queue at once.
        """
        keys = [{"path": key.split("/")} for key in asset_keys]
        bounds = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self._launch_run("__ASSET_JOB", {"assetSelection": keys}, bounds | dict(tags))

    def launch_job(self, job: str) -> str:
        """Launch a job without partitions; return the run's id."""
        return self._launch_run(job, {}, {})

    def cancel_runs(self, run_ids: Sequence[str]) -> None:
        """Ask for the end of runs, as the UI's button does; those that have ended stay as they are."""
        self.ask(_TERMINATE, ids=list(run_ids))

    def ensure_answers(self) -> None:
        """Raise LocalDagsterSilent when Dagster is there no more: what is launched would never end."""
        try:
            with suppress(httpx.TimeoutException):  # busy is not gone
                httpx.get(f"{self.url}/server_info", timeout=60, trust_env=False)
        except httpx.TransportError as error:
            raise LocalDagsterSilent(
                f"the Dagster at {self.url} was ended while it worked ({error}). What is published stays; the same "
                "command goes on from there"
            ) from error

    def _launch_run(self, job: str, selected: Mapping[str, object], tags: Mapping[str, str]) -> str:
        place = {"repositoryLocationName": _LOCATION, "repositoryName": "__repository__", "jobName": job}
        params = {
            "selector": place | dict(selected),
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self.ask(_LAUNCH_RUN, params=params)["launchRun"]
        if "run" not in answer:
            raise LocalDagsterFailed(f"Dagster refused the run of {job}: {answer.get('message')}")
        return str(answer["run"]["runId"])

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Send a GraphQL query to the webserver and return its data."""
        try:
            answer = httpx.post(
                f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=120, trust_env=False
            ).json()
        except (httpx.TransportError, ValueError) as error:
            raise LocalDagsterSilent(f"the Dagster at {self.url} does not answer ({error}): it was ended") from error
        if answer.get("errors"):
            raise LocalDagsterFailed(f"Dagster refused a query: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data


def prepare_home(home: Path) -> Path:
    """Create a DAGSTER_HOME with this project's instance file and workspace; return the workspace."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(_INSTANCE_FILE, home / "dagster.yaml")
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump(_WORKSPACE), encoding="utf-8")
    # several processes that open a brand-new home together can spoil its database: make it before they start
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs(limit=1)
    return workspace


def find_dagster(home: Path, environment: Mapping[str, str]) -> LocalDagster | None:
    """Return the Dagster that another program runs on a home, None where none answers.

    Raises LocalDagsterRuns where it serves another lake, vendor or venues file than the environment names.
    """
    try:
        found = json.loads((home / _ADDRESS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    dagster = LocalDagster(found["url"], home, None)
    try:
        if not _is_ready(dagster.ask(_LOCATIONS)):
            return None
    except LocalDagsterFailed:  # it ended, or its port belongs to something else by now
        return None
    if found["serves"] != (wanted := _what_it_serves(environment)):
        raise LocalDagsterRuns(
            f"the Dagster that runs on {home} ({dagster.url}) serves {_describe(found['serves'])}; asked for is "
            f"{_describe(wanted)}. End that one, or name another home in DAGSTER_HOME"
        )
    return dagster


def _what_it_serves(environment: Mapping[str, str]) -> dict[str, str]:
    names = ["MARKET_DATA_LAKE_URL", "MARKET_DATA_VENDOR", "MARKET_DATA_CONFIG"]
    if environment["MARKET_DATA_VENDOR"] != "simulator":  # whoever needs a simulator may have started its own
        names.append("TARDIS_DATASETS_URL")
    return {name: environment[name] for name in names}


def _describe(served: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in served.items())


def ensure_free(home: Path) -> None:
    """Raise LocalDagsterRuns when a program runs Dagster on a home."""
    with _locked(home):
        return


@contextmanager
def run_dagster(
    home: Path, environment: Mapping[str, str], *, port: int, log: Path | None, is_shared: bool = False
) -> Iterator[LocalDagster]:
    """Start `dagster dev` in a process group of its own, yield when it is ready, end the whole group afterwards.

    `port` 0 takes a free one; `log` None leaves the output on the terminal; other programs find one that `is_shared`.
    Raises LocalDagsterRuns where another program runs one on this home.
    """
    with _locked(home):
        yield from _run_dagster(home, environment, port, log, is_shared=is_shared)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold a home for this process: the lock ends with it, however it ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalDagsterRuns(
                f"another market-data program runs Dagster on {home}: end it, or name another home in DAGSTER_HOME"
            ) from error
        yield


def _run_dagster(
    home: Path, environment: Mapping[str, str], port: int, log: Path | None, *, is_shared: bool
) -> Iterator[LocalDagster]:
    workspace = prepare_home(home)
    if port:
        _refuse_taken_port(port)
    port = port or _free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    env = os.environ | environment | {"DAGSTER_HOME": str(home)}
    output = log.open("ab") if log else None
    # a session of its own: Ctrl-C reaches this process only, which then ends the group in order
    process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
    try:
        dagster = LocalDagster(f"http://127.0.0.1:{port}", home, process)
        _wait_until_ready(dagster, process, log)
        if is_shared:
            found = {"url": dagster.url, "serves": _what_it_serves(environment)}
            (home / _ADDRESS_FILE).write_text(json.dumps(found), encoding="utf-8")
        yield dagster
    finally:
        _end_group(process)
        (home / _ADDRESS_FILE).unlink(missing_ok=True)
        if output:
            output.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    # `dagster dev` leaves its children to themselves when it is in a hurry: they keep the port
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(dagster: LocalDagster, process: subprocess.Popen[bytes], log: Path | None) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalDagsterFailed(f"Dagster ended while it started.{_end_of(log)}")
        with suppress(LocalDagsterSilent):
            if _is_ready(dagster.ask(_LOCATIONS)):
                return
        time.sleep(_POLL_SECONDS)
    raise LocalDagsterFailed(f"Dagster was not ready after {_READY_SECONDS} s.{_end_of(log)}")


def _is_ready(answer: Mapping[str, Any]) -> bool:
    entries = answer["workspaceOrError"].get("locationEntries", [])
    for entry in entries:
        location = entry["locationOrLoadError"] or {}
        if location.get("__typename") == "PythonError":
            causes = [link["error"]["message"] for link in location["errorChain"]]
            raise LocalDagsterFailed(f"the definitions do not load: {(causes or [location['message']])[-1].strip()}")
    daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    is_loaded = bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)
    return is_loaded and all(daemon["healthy"] for daemon in daemons if daemon["required"])


def _end_of(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    return f" The end of {log}:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}"


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver: one that has just ended is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalDagsterFailed(
                f"port {port} of 127.0.0.1 is in use ({error.strerror}): end what uses it, or choose another: --port"
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
