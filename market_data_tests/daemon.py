"""A real Dagster deployment on loopback for tests: an instance, a code server, the daemon, and the UI's own GraphQL.

`start_daemon` starts `dagster-daemon run` and a code server as processes in groups of their own and stops exactly
those groups. Nothing is faked; only the daemon's pause between two looks at its backfills is shortened (30 s, which no
setting changes).
Everything is awaited by condition with a generous deadline; nothing asserts a duration.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dagster as dg
import yaml
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import all_daemons_healthy
from dagster_graphql.test.utils import execute_dagster_graphql

from market_data.defs.agreement import AGREEMENT_JOB
from market_data_tests.patience import wait_until

LOCATION = "small"
REPOSITORY = "__repository__"
# api_grpc: `dagster api grpc`; code_server: `dagster code-server start` (what `dagster dev` uses: a proxy before an
# `api grpc` child); daemon: a module in the workspace, so that daemon and webserver each start their own server.
CodeServer: TypeAlias = Literal["api_grpc", "code_server", "daemon"]
BACKFILL_ENDED = frozenset(
    {
        BulkActionStatus.COMPLETED,
        BulkActionStatus.COMPLETED_SUCCESS,
        BulkActionStatus.COMPLETED_FAILED,
        BulkActionStatus.FAILED,
        BulkActionStatus.CANCELED,
    }
)
_DAEMON_PROGRAM = """
import dagster._daemon.controller as controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
from dagster._daemon.cli import main
main()
"""


def free_port() -> int:
    """Find a port for a server that starts seconds later, and again on it after it was killed.

    It is none of those that the system gives to whoever asks for any (from 32768 on): connections of other tests would
    take it meanwhile.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("none of 100 ports is free")


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def instance_settings(home: Path, user_code_failure_retries: int) -> dict[str, Any]:
    """What the test instance's dagster.yaml says."""
    return {
        "storage": {"sqlite": {"base_dir": str(home / "storage")}},
        "telemetry": {"enabled": False},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {
                "dequeue_interval_seconds": 1,
                "max_user_code_failure_retries": user_code_failure_retries,
                "user_code_failure_retry_delay": 1,
            },
        },
        "concurrency": {"runs": {"max_concurrent_runs": 2}, "pools": {"granularity": "op"}},
        "run_retries": {"enabled": False},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 1,
            "start_timeout_seconds": 600,
            "cancel_timeout_seconds": 8,
            "cancellation_thread_poll_interval_seconds": 1,
        },
    }


@dataclass
class Program:
    """One process in its own process group; stopping it stops the group and nothing else."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    groups: list[int] = field(default_factory=list)  # of every start, since children outlive a killed process

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=log, stderr=log, start_new_session=True
            )
        self.groups.append(self.process.pid)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """End this one process at once; its children live on."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def children(self) -> list[int]:
        lists = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for found in lists for pid in found.read_text().split()]

    def stop(self, patience_seconds: float = 10) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_seconds)
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()


@dataclass
class House:
    """A running deployment and what a person at the UI (or an operator with `kill`) can do to it."""

    home: Path
    instance: dg.DagsterInstance
    webserver: WorkspaceProcessContext
    daemon: Program
    code_server: Program | None
    problems: list[str] = field(default_factory=list)

    def ask(self, query: str, **variables: Any) -> Any:
        """Run a query as the webserver would; returns the answer under its only key."""
        answer = execute_dagster_graphql(self.webserver.create_request_context(), query, variables=variables).data
        return next(iter(answer.values()))

    def ask_for(self, typename: str, query: str, **variables: Any) -> Any:
        answer = self.ask(query, **variables)
        assert answer["__typename"] == typename, json.dumps(answer, indent=1)
        return answer

    # what people do

    def launch_backfill(self, keys: Sequence[str], days: Sequence[str], tags: Mapping[str, str] | None = None) -> str:
        """Press "Materialize" with a selection of assets and a range of days."""
        params = {
            "assetSelection": [{"path": key.split("/")} for key in keys],
            "partitionNames": list(days),
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
        }
        return str(self.ask_for("LaunchBackfillSuccess", LAUNCH_BACKFILL, params=params)["backfillId"])

    def launch_job_backfill(self, job: str, days: Sequence[str]) -> str:
        """Press "Launch backfill" on the Partitions tab of a job."""
        repository = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": repository}
        params = {"selector": selector, "partitionNames": list(days)}
        return str(self.ask_for("LaunchBackfillSuccess", LAUNCH_BACKFILL, params=params)["backfillId"])

    def reexecute_from_failure(self, run_id: str, strategy: str = "FROM_FAILURE") -> str:
        params = {"parentRunId": run_id, "strategy": strategy}
        return str(self.ask_for("LaunchRunSuccess", REEXECUTE, params=params)["run"]["runId"])

    def launch_checks(self, checks: Sequence[tuple[str, str]], day: str) -> str:
        """Press "Execute" on asset checks (asset key, check name) for one day."""
        selection = [{"assetKey": {"path": key.split("/")}, "name": name} for key, name in checks]
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "jobName": "__ASSET_JOB",
            "assetSelection": [],
            "assetCheckSelection": selection,
        }
        tags = [{"key": "dagster/partition", "value": day}]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        return str(self.ask_for("LaunchRunSuccess", LAUNCH_RUN, params=params)["run"]["runId"])

    def try_schedule(self, name: str) -> str | None:
        """Evaluate a schedule in the code server, as its page's "Test schedule" does; answer why it skipped."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "scheduleName": name}
        tick = self.ask_for("DryRunInstigationTick", TRY_SCHEDULE, selector=selector, timestamp=time.time())
        result = tick["evaluationResult"]
        assert result["error"] is None, result["error"]
        return str(result["skipReason"]) if result["skipReason"] else None

    def cancel(self, run_id: str, policy: str = "SAFE_TERMINATE") -> str:
        return str(self.ask(TERMINATE, run_id=run_id, policy=policy)["__typename"])

    def reload_definitions(self) -> None:
        """Press "Reload" at the code location."""
        self.ask_for("WorkspaceLocationEntry", RELOAD, location=LOCATION)

    def switch(self, instigator: Literal["Schedule", "Sensor"], name: str, *, is_on: bool) -> None:
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, f"{instigator.lower()}Name": name}
        if is_on:
            self.ask(START[instigator], selector=selector)
        else:
            state = self.ask(STATE[instigator], selector=selector)[f"{instigator.lower()}State"]
            self.ask(STOP[instigator], id=state["id"])

    # what they see

    def wait_for_backfill(self, backfill_id: str) -> str:
        wait_until(lambda: self.backfill_status(backfill_id) in BACKFILL_ENDED, f"backfill {backfill_id} ended")
        return self.backfill_status(backfill_id).value

    def backfill_status(self, backfill_id: str) -> BulkActionStatus:
        backfill = self.instance.get_backfill(backfill_id)
        assert backfill is not None
        return backfill.status

    def backfill(self, keys: Sequence[str], days: Sequence[str], tags: Mapping[str, str] | None = None) -> str:
        """Launch a backfill, wait for its end, answer how it ended."""
        return self.wait_for_backfill(self.launch_backfill(keys, days, tags))

    def runs(self, day: str, **tags: str) -> list[dg.DagsterRun]:
        """All runs of a day, oldest first, but those that compare its data types once they are there."""
        found = self.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": day, **tags}))
        return [run for run in reversed(found) if run.job_name != AGREEMENT_JOB]

    def run_status(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status.value

    def wait_for_run(self, run_id: str, *statuses: str) -> str:
        wanted = statuses or ("SUCCESS", "FAILURE", "CANCELED")
        wait_until(lambda: self.run_status(run_id) in wanted, f"run {run_id} is {' or '.join(wanted)}")
        return self.run_status(run_id)

    def asset_statuses(self, key: str, days: Sequence[str]) -> list[str | None]:
        """Each day's status as the instance tells it (this is what a sensor can ask)."""
        by_day = self.instance.get_status_by_partition(
            dg.AssetKey(key.split("/")), list(days), dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-07-01")
        )
        return [status.value if (status := (by_day or {}).get(day)) else None for day in days]

    def asset_statuses_in_ui(self, key: str, days: Sequence[str]) -> list[str | None]:
        """Each day's status as the asset page's partition bar draws it."""
        node = self.ask_for("AssetNode", ASSET_PARTITIONS, key={"path": key.split("/")})
        return _spread(node["assetPartitionStatuses"]["ranges"], days)

    def check_statuses(self, key: str, days: Sequence[str]) -> list[str | None]:
        """Each day's check status as the asset page's "Checks" tab draws it."""
        node = self.ask_for("AssetNode", CHECK_PARTITIONS, key={"path": key.split("/")})
        (coverage,) = node["assetChecksOrError"]["checks"]
        return _spread(coverage["partitionStatuses"]["ranges"], days)

    def check_executions(self, key: str, day: str) -> list[dict[str, Any]]:
        """The stored executions of an asset's check for one day, newest first."""
        found: list[dict[str, Any]] = self.ask(CHECK_EXECUTIONS, key={"path": key.split("/")}, day=day)
        return found

    def events(self, run_id: str) -> list[str]:
        entries = self.instance.all_logs(run_id)
        return [(e.dagster_event.message if e.dagster_event else None) or e.user_message for e in entries]

    # what befalls them

    def wait_for_monitoring(self, run_id: str, times: int) -> None:
        """Until run monitoring has looked at a run so many more times."""
        line = f"Checking run {run_id}"
        before = self.daemon.log_path.read_text().count(line)
        wait_until(
            lambda: self.daemon.log_path.read_text().count(line) >= before + times, f"monitoring looked at {run_id}"
        )

    def kill_code_server(self) -> None:
        """SIGKILL to the code server and its own child servers, not to the run processes."""
        assert self.code_server is not None
        servers = [pid for pid in self.code_server.children() if b"grpc" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        self.code_server.kill()
        for pid in servers:
            os.kill(pid, signal.SIGKILL)

    def restart_code_server(self) -> None:
        """Start the code server again on its port, as a container's restart policy does."""
        assert self.code_server is not None
        self.code_server.start()


def _spread(ranges: Sequence[Mapping[str, Any]], days: Sequence[str]) -> list[str | None]:
    """Ranges of days to one status per day; a day in two ranges shows both, so that a test sees it."""
    found = [[r["status"] for r in ranges if r["startKey"] <= day <= r["endKey"]] for day in days]
    return ["+".join(sorted(statuses)) if statuses else None for statuses in found]


def _code_server_command(kind: CodeServer, port: int, module: str) -> list[str]:
    start = ["api", "grpc"] if kind == "api_grpc" else ["code-server", "start"]
    target = ["-m", module, "-p", str(port), "-h", "127.0.0.1"]
    location = ["--location-name", LOCATION]
    return [sys.executable, "-m", "dagster", *start, *target, *location]


@contextmanager
def start_daemon(
    module: str,
    environment: Mapping[str, str],
    *,
    project: Path,
    code_server: CodeServer = "code_server",
    user_code_failure_retries: int = 60,
) -> Iterator[House]:
    """Run a deployment of one module; yields when the location is loaded and every daemon has a heartbeat."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="house-", ignore_cleanup_errors=True)))
        (home / "dagster.yaml").write_text(yaml.safe_dump(instance_settings(home, user_code_failure_retries)))
        port = free_port()
        target: dict[str, Any] = {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": LOCATION}}
        if code_server == "daemon":
            target = {"python_module": {"module_name": module, "location_name": LOCATION}}
        workspace = home / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": [target]}))
        env = {**os.environ, **environment, "DAGSTER_HOME": str(home), "PYTHONPATH": str(project)}
        env |= {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}

        # Opened before any process: several that open a new SQLite home at once can leave two alembic heads, for good.
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        stack.enter_context(_environment(env))
        server = None
        if code_server != "daemon":
            server = Program(_code_server_command(code_server, port, module), env, home / "code_server.log")
            stack.callback(server.stop)
            server.start()
        daemon = Program([sys.executable, "-c", _DAEMON_PROGRAM, "run", "-w", str(workspace)], env, home / "daemon.log")
        if server is not None:
            _wait_for_port(port, server)
        stack.callback(daemon.stop)
        daemon.start()
        webserver = stack.enter_context(WorkspaceProcessContext(instance, WorkspaceFileTarget(paths=[str(workspace)])))
        house = House(home, instance, webserver, daemon, server)
        try:
            wait_until(lambda: _is_healthy(house), "the location is loaded and every daemon is healthy")
            yield house
        except BaseException:
            for log_path in sorted(home.glob("*.log")):
                sys.stderr.write(f"--- end of {log_path.name}\n{log_path.read_text()[-6000:]}\n")
            raise


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _wait_for_port(port: int, server: Program) -> None:
    def is_listening() -> bool:
        assert server.process is not None
        assert server.process.poll() is None, server.log_path.read_text()[-4000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_listening, f"the code server listens on {port}")


def _is_healthy(house: House) -> bool:
    assert house.daemon.process is not None
    assert house.daemon.process.poll() is None, "the daemon ended while it started"
    context = house.webserver.create_request_context()
    if not context.code_locations:
        house.webserver.refresh_workspace()
        return False
    return all_daemons_healthy(house.instance)


LAUNCH_BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message stack }
  ... on PartitionKeysNotFoundError { message } } }"""
LAUNCH_RUN = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
TRY_SCHEDULE = """
mutation($selector: ScheduleSelector!, $timestamp: Float!) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) {
    __typename ... on DryRunInstigationTick { evaluationResult { skipReason error { message } } }
    ... on PythonError { message } } }"""
REEXECUTE = """
mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack } } }"""
TERMINATE = """
mutation($run_id: String!, $policy: TerminateRunPolicy!) { terminateRun(runId: $run_id, terminatePolicy: $policy) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
RELOAD = """
mutation($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) { __typename } }"""
START = {
    "Schedule": "mutation($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) { __typename } }",
    "Sensor": "mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }",
}
STOP = {
    "Schedule": "mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }",
    "Sensor": "mutation($id: String!) { stopSensor(id: $id) { __typename } }",
}
STATE = {
    "Schedule": """query($selector: ScheduleSelector!) { scheduleOrError(scheduleSelector: $selector) {
        ... on Schedule { scheduleState { id } } } }""",
    "Sensor": """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
        ... on Sensor { sensorState { id } } } }""",
}
ASSET_PARTITIONS = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { __typename ... on AssetNode {
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } }"""
CHECK_PARTITIONS = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { __typename ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name partitionStatuses {
    ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } } } } } } } } }"""
CHECK_EXECUTIONS = """
query($key: AssetKeyInput!, $day: String!) {
  assetCheckExecutions(assetKey: $key, checkName: "coverage", limit: 100, partition: $day) {
    runId status partition evaluation { success severity } } }"""
