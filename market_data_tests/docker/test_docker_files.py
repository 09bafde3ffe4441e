"""The deployment's files, read without a container engine: what they promise, and that their parts fit each other."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import ConcurrencyConfig, PoolGranularity, dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.workspace.config_schema import WORKSPACE_CONFIG_SCHEMA
from dagster_gcp.gcs.compute_log_manager import GCSComputeLogManager
from packaging.requirements import Requirement
from sqlalchemy import make_url

from market_data.defs.keys import VENUE_TAG
from market_data.defs.runs import LAKE_QUEUE
from market_data.settings.environment import load_settings
from market_data.simulator.http.server import DEFAULT_KEY, run_simulator

PROJECT = Path(__file__).parents[2]
DOCKER = PROJECT / "docker"
IMAGE = "market-data"
PROFILES = ("production", "workers", "demo")
LOG_MANAGERS = {"local": "LocalComputeLogManager", "gcs": "GCSComputeLogManager"}


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCKER / "docker-compose.yaml").read_text())
    return document


SERVICES: dict[str, dict[str, Any]] = _compose()["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == IMAGE}


def _default(value: object) -> str:
    """What a value of the compose file is when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)}", r"\1", str(value))


def _environment(service: str) -> dict[str, str]:
    return {key: _default(value) for key, value in SERVICES[service].get("environment", {}).items()}


def _instructions(path: Path) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile with its arguments on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in joined.split("\n") if line)
    ]


DOCKERFILE = _instructions(DOCKER / "Dockerfile")


def _instance_file(home: str) -> str:
    """What the Dockerfile puts together for a home."""
    launcher = "workers" if home.startswith("workers-") else "processes"
    parts = ("dagster", f"launcher_{launcher}", f"compute_logs_{home.removeprefix('workers-')}")
    return "".join((DOCKER / f"{part}.yaml").read_text() for part in parts)


# docker-compose.yaml


def test_each_profile_has_every_role_from_the_one_image() -> None:
    suffixes = {"production": "", "workers": "-workers", "demo": "-demo"}
    for profile in PROFILES:
        for role in ("migrate", "code-server", "webserver", "daemon"):
            assert OURS[role + suffixes[profile]]["profiles"] == [profile]
    assert OURS["simulator-demo"]["profiles"] == ["demo"]


@pytest.mark.parametrize("profile", PROFILES)
def test_one_service_of_a_profile_builds_the_image_and_the_others_wait_for_it(profile: str) -> None:
    chosen = {name: service for name, service in OURS.items() if profile in service["profiles"]}
    assert len([name for name, service in chosen.items() if "build" in service]) == 1
    assert {service["pull_policy"] for service in chosen.values()} == {"never"}


def test_other_images_are_pinned_by_version() -> None:
    others = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert len(others) == 4
    assert all(re.search(r":\d+\.\d+[\w.-]*$", image) for image in others)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_of_its_profile_and_for_what_they_can_report(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert set(SERVICES[name]["profiles"]) <= set(SERVICES[other]["profiles"])
        # the code server's health check is the image's own
        is_checked = "healthcheck" in SERVICES[other] or other.startswith("code-server")
        ends = SERVICES[other].get("restart") == "no"
        wanted = "service_completed_successfully" if ends else "service_healthy"
        assert how == {"condition": wanted}
        assert ends or is_checked


def test_no_value_is_a_secret() -> None:
    values = [item for service in SERVICES.values() for item in service.get("environment", {}).items()]
    secrets = [(key, value) for key, value in values if re.search("KEY|PASSWORD|SECRET|TOKEN|ALERT_URL", key)]
    assert len(secrets) >= 5
    files = [value for key, value in secrets if key.endswith("_FILE")]
    assert {value for key, value in secrets if not key.endswith("_FILE")} == {DEFAULT_KEY}
    assert {file.rpartition("/")[0] for file in files} == {"/run/secrets"}
    addresses = [_default(value) for _, value in values if "://" in str(value)]
    assert [address for address in addresses if make_url(address).password] == []


def test_nothing_must_be_set_for_the_demo() -> None:
    # compose reads the whole file whatever the profile: one required variable would stop the demo
    assert not re.search(r"\$\{\w+:?\?", (DOCKER / "docker-compose.yaml").read_text())
    settings = load_settings(_environment("code-server-demo"))
    assert (settings.vendor, settings.lake_url) == ("simulator", "gs://market-data/ticks")
    assert settings.is_automation_on
    assert settings.api_url.endswith(f":{SERVICES['simulator-demo']['command'][-1]}/v1")


def test_the_simulators_health_check_succeeds_on_a_simulator() -> None:
    _, _, *command = SERVICES["simulator-demo"]["healthcheck"]["test"]
    with run_simulator() as simulator:
        program = command[1].replace("http://127.0.0.1:8750", simulator.origin)
        assert simulator.origin in program
        subprocess.run([sys.executable, command[0], program], check=True)


def test_production_without_any_variable_reads_the_real_vendor_without_a_key(tmp_path: Path) -> None:
    empty = tmp_path / "secret"
    empty.touch()
    files = dict.fromkeys(("TARDIS_API_KEY_FILE", "MARKET_DATA_ALERT_URL_FILE"), str(empty))
    settings = load_settings(_environment("code-server") | {"MARKET_DATA_CONFIG": ""} | files)
    assert (settings.vendor, settings.api_key, settings.lake_url) == ("tardis", None, "file:///lake")
    assert settings.alert_url is None
    assert settings.is_automation_on


def test_a_service_gets_the_secrets_that_it_reads_and_no_other() -> None:
    assert set(_compose()["secrets"]) == {"postgres_password", "tardis_api_key", "alert_url"}
    for name, service in SERVICES.items():
        read = {value.rpartition("/")[2] for key, value in _environment(name).items() if key.endswith("_FILE")}
        assert set(service.get("secrets", [])) == read, name


def test_only_what_asks_the_vendor_knows_its_key() -> None:
    knowing = {name for name in SERVICES if any("TARDIS_API_KEY" in key for key in _environment(name))}
    assert knowing == {"code-server", "code-server-workers", "worker-downloads", "code-server-demo"}


def test_only_what_evaluates_sensors_knows_where_alerts_go() -> None:
    knowing = {name for name in SERVICES if any("ALERT_URL" in key for key in _environment(name))}
    assert knowing == {"code-server", "code-server-workers"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_its_log_is_cut(name: str) -> None:
    assert float(_default(SERVICES[name]["cpus"])) > 0
    assert re.fullmatch(r"\d+g", _default(SERVICES[name]["mem_limit"]))
    assert set(SERVICES[name]["logging"]["options"]) == {"max-size", "max-file"}


def test_each_queue_has_workers_and_as_many_runs_are_at_work_as_there_are_workers() -> None:
    workers = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
    queues = [service["command"][service["command"].index("--queues") + 1] for service in workers.values()]
    launcher = yaml.safe_load((DOCKER / "launcher_workers.yaml").read_text())["run_launcher"]["config"]
    assert sorted(queues) == sorted([launcher["default_queue"], *LAKE_QUEUE.values()])
    count = sum(int(_default(service["deploy"]["replicas"])) for service in workers.values())
    assert int(_environment("daemon-workers")["DAGSTER_MAX_CONCURRENT_RUNS"]) == count
    for service in workers.values():
        app = service["command"][service["command"].index("--app") + 1]
        assert (PROJECT / app.replace(".", "/")).with_suffix(".py").exists()
        assert service["stop_grace_period"] == "6h"


def test_the_entrypoint_tells_libpq_the_password_of_a_plain_file(tmp_path: Path) -> None:
    secret = tmp_path / "postgres_password"
    secret.write_text("made:up\\pass\n")
    shown = "import os; print(oct(os.stat(os.environ['HOME'] + '/.pgpass').st_mode)[-3:])"
    environment = {"HOME": str(tmp_path), "POSTGRES_PASSWORD_FILE": str(secret), "PATH": "/usr/bin:/bin"}
    command = [str(DOCKER / "entrypoint.sh"), sys.executable, "-c", shown]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert ran.stdout == "600\n"
    assert (tmp_path / ".pgpass").read_text() == "*:*:*:*:made\\:up\\\\pass\n"


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", [name for name in OURS if name != "simulator-demo"])
def test_each_dagster_process_gets_what_the_instance_and_the_workspace_ask_of_the_environment(name: str) -> None:
    environment = _environment(name)
    home = environment["DAGSTER_HOME"].rpartition("/")[2]
    asked = re.findall(r"env: (\w+)", _instance_file(home) + (DOCKER / "workspace.yaml").read_text())
    assert len(asked) >= 3
    assert set(asked) <= set(environment)
    # raises when the driver that the URL names is not installed
    make_url(environment["DAGSTER_POSTGRES_URL"]).get_dialect().import_dbapi()


# the instance


@pytest.mark.parametrize("home", [*LOG_MANAGERS, *(f"workers-{logs}" for logs in LOG_MANAGERS)])
def test_dagster_accepts_the_instance_file(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text(_instance_file(home))
    for key, value in _environment("daemon-workers" if home.startswith("workers-") else "daemon").items():
        monkeypatch.setenv(key, value)
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["telemetry"] == {"enabled": False}
    assert config["run_retries"]["enabled"] is False
    assert config["run_monitoring"]["max_runtime_seconds"] == 21600

    reference = InstanceRef.from_dir(str(tmp_path))
    assert reference.compute_logs_data.class_name == LOG_MANAGERS[home.removeprefix("workers-")]
    launcher = reference.run_launcher
    assert launcher is not None
    assert launcher.supports_check_run_worker_health == home.startswith("workers-")
    coordinator = reference.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    queue = coordinator.get_run_queue_config()
    assert queue.max_concurrent_runs == (3 if home.startswith("workers-") else 2)
    assert (queue.max_user_code_failure_retries, queue.user_code_failure_retry_delay) == (60, 10)
    assert [limit["key"] for limit in queue.tag_concurrency_limits] == [VENUE_TAG]
    pools = ConcurrencyConfig.from_concurrency_settings(config["concurrency"], queue).pool_config
    assert (pools.pool_granularity, pools.default_pool_limit) == (PoolGranularity.OP, 4)


def test_dagster_accepts_the_log_bucket_and_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in _environment("daemon-demo").items():
        monkeypatch.setenv(key, value)
    logs = yaml.safe_load((DOCKER / "compute_logs_gcs.yaml").read_text())["compute_logs"]["config"]
    answer = process_config(GCSComputeLogManager.config_type(), logs)  # type: ignore[no-untyped-call]
    assert answer.success, answer.errors
    assert answer.value is not None
    assert answer.value["bucket"] == "market-data"
    workspace = process_config(WORKSPACE_CONFIG_SCHEMA, yaml.safe_load((DOCKER / "workspace.yaml").read_text()))
    assert workspace.success, workspace.errors


# Dockerfile


def test_the_image_runs_as_nobody_special_and_tells_its_health() -> None:
    last_stage = DOCKERFILE[max(number for number, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]
    found = dict(last_stage)
    assert found["USER"] not in {"root", "0"}
    assert "CMD" in found["HEALTHCHECK"]


def test_each_base_image_is_pinned_by_version() -> None:
    froms = [rest.split() for name, rest in DOCKERFILE if name == "FROM"]
    stages = {words[2] for words in froms if len(words) == 3}
    bases = {words[0] for words in froms} - stages
    assert len(bases) == 1
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)


def test_an_install_asks_the_index_for_nothing_but_what_a_lock_file_names() -> None:
    # on the index of tomorrow, by the installer of anyone: nothing is resolved, nothing is built by what is not locked
    commands = [part for name, rest in DOCKERFILE if name == "RUN" for part in rest.split("&&")]
    image = [command for command in commands if re.search(r"\bpip .*\binstall ", command)]
    recipe = (PROJECT / "Makefile").read_text()
    for variable in ("INSTALL", "LOCKED"):
        (value,) = re.findall(rf"^{variable} = (.*)$", recipe, re.MULTILINE)
        recipe = recipe.replace(f"$({variable})", value)
    local = [line for line in recipe.splitlines() if re.search(r"^\t.*\bpip install ", line)]
    assert (len(image), len(local)) == (4, 3)
    for command in image + local:
        assert "--no-deps" in command
        is_built_here = command.endswith((" -e .", "/wheel/*.whl"))
        assert is_built_here or "--require-hashes --only-binary :all: -r" in command
    assert all(
        "--no-build-isolation" in command for command in commands + local if " wheel " in command or " -e " in command
    )


def test_the_installer_is_locked_and_comes_first() -> None:
    ((pin, hashes),) = _pins("installer.txt").items()
    assert pin.startswith("pip==")
    assert hashes
    for text in ((DOCKER / "Dockerfile").read_text(), (PROJECT / "Makefile").read_text()):
        assert re.findall(r"-r \S*?(installer|constraints\S*|backend)\.txt", text)[0] == "installer"


def test_no_address_of_an_index_is_in_the_image() -> None:
    assert "://" not in (DOCKER / "Dockerfile").read_text()


def test_the_build_backend_is_installed_with_all_that_it_needs() -> None:
    chosen = re.search(r"\(([\w|-]*hatchling[\w|-]*)\)", (DOCKER / "Dockerfile").read_text())
    assert chosen
    needed = [Requirement(text) for text in requires("hatchling") or []]
    names = {item.name for item in needed if item.marker is None or item.marker.evaluate({"python_version": "3.11"})}
    assert names | {"hatchling"} == set(chosen[1].split("|"))


def test_only_what_the_image_needs_enters_the_build() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line[1:].partition("/")[0] for line in lines if line.startswith("!")}
    assert admitted == {"docker", "market_data", "pyproject.toml", "README.md"}


# lock files


def _pins(name: str) -> dict[str, frozenset[str]]:
    """Each pin with its hashes."""
    pins = re.split(r"\n(?=\S)", (DOCKER / name).read_text().strip())
    return {pin.partition(" \\")[0]: frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", pin)) for pin in pins}


def test_lock_files_hold_versions_and_hashes_and_no_address() -> None:
    for name, least in (("installer.txt", 1), ("constraints.txt", 100), ("constraints-dev.txt", 100)):
        assert "://" not in (DOCKER / name).read_text()
        pins = _pins(name)
        assert len(pins) >= least
        assert all(re.match(r"[\w.\[\],-]+==\S+", pin) for pin in pins)
        assert all(pins.values())


def test_the_image_holds_the_versions_that_the_tests_ran_on() -> None:
    development = _pins("constraints-dev.txt")
    missing = {pin: hashes for pin, hashes in _pins("constraints.txt").items() if development.get(pin) != hashes}
    assert not missing
