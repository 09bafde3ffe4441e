"""The values for Dagster's Helm chart, as far as they can be judged without a cluster: by Dagster's own schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from dagster._config import process_config
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig
from dagster_k8s.launcher import K8sRunLauncher

from market_data.settings.environment import OWN_SOURCES

DOCKER = Path(__file__).parents[2] / "docker"
VALUES: dict[str, Any] = yaml.safe_load((DOCKER / "k8s" / "values.yaml").read_text())
LAUNCHER: dict[str, Any] = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
(DEPLOYMENT,) = VALUES["dagster-user-deployments"]["deployments"]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_the_launcher_accepts_what_the_chart_makes_of_the_values() -> None:
    raw = {
        _snake(name): {_snake(k): v for k, v in value.items()} if name == "runK8sConfig" else value
        for name, value in LAUNCHER.items()
    }
    # what the chart adds
    raw |= {"instance_config_map": "instance", "service_account_name": VALUES["serviceAccount"]["name"]}
    answer = process_config(K8sRunLauncher.config_type(), raw)  # type: ignore[no-untyped-call]
    assert answer.success, answer.errors
    assert VALUES["runLauncher"]["type"] == K8sRunLauncher.__name__


def test_runs_get_the_key_as_a_file_of_a_secret() -> None:
    assert DEPLOYMENT["includeConfigInLaunchedRuns"]["enabled"]
    context = {
        "env_vars": [f"{name}={value}" for name, value in DEPLOYMENT["env"].items()],
        "volumes": DEPLOYMENT["volumes"],
        "volume_mounts": DEPLOYMENT["volumeMounts"],
    }
    answer = process_config(DagsterK8sJobConfig.config_type_container_context(), context)  # type: ignore[no-untyped-call]
    assert answer.success, answer.errors
    assert K8sContainerContext.create_from_config({"k8s": context}).run_k8s_config  # Kubernetes knows each field
    mounted = {
        mount["mountPath"]: volume
        for mount in DEPLOYMENT["volumeMounts"]
        for volume in DEPLOYMENT["volumes"]
        if volume["name"] == mount["name"]
    }
    assert "secret" in mounted[str(Path(DEPLOYMENT["env"]["TARDIS_API_KEY_FILE"]).parent)]
    assert "TARDIS_API_KEY" not in DEPLOYMENT["env"]
    assert {name for name in DEPLOYMENT["env"] if name.startswith("TARDIS")} <= set(OWN_SOURCES)


def test_the_queue_is_that_of_the_instance_file() -> None:
    coordinator = VALUES["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    theirs = yaml.safe_load((DOCKER / "dagster.yaml").read_text())["run_coordinator"]
    workers = coordinator["config"]["max_concurrent_runs"]
    assert workers > 0
    theirs["config"]["max_concurrent_runs"] = workers
    assert coordinator == theirs
    answer = process_config(QueuedRunCoordinator.config_type(), coordinator["config"])
    assert answer.success, answer.errors


def test_pods_have_limits_and_act_as_the_google_account() -> None:
    parts = (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], DEPLOYMENT, LAUNCHER)
    assert all({"cpu", "memory"} <= set(part["resources"]["requests"]) for part in parts)
    assert all("memory" in part["resources"]["limits"] for part in parts)
    assert "iam.gke.io/gcp-service-account" in VALUES["serviceAccount"]["annotations"]
