"""A run on a Celery worker that is cancelled: Redis, the worker and Dagster's instance are real."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext

from market_data_tests.copied import clean_environment
from market_data_tests.patience import wait_until
from market_data_tests.workers import HAS_REDIS, PROJECT, run_redis, run_workers, write_instance

pytestmark = [pytest.mark.long, pytest.mark.skipif(not HAS_REDIS, reason="needs the program redis-server")]


@dg.op
def wait_for_the_end() -> None:
    (Path(os.environ["DAGSTER_HOME"]) / "at-work").touch()
    time.sleep(600)


@dg.job(executor_def=dg.in_process_executor)  # as the definitions have it: a worker's children have none of their own
def endless() -> None:
    wait_for_the_end()


def test_a_cancelled_run_ends_as_cancelled_and_its_worker_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_instance(tmp_path)
    with ExitStack() as stack:
        address = stack.enter_context(run_redis(tmp_path))
        monkeypatch.setenv("DAGSTER_REDIS_URL", address)
        environment = {"DAGSTER_HOME": str(tmp_path), "DAGSTER_REDIS_URL": address, "PYTHONPATH": str(PROJECT)}
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(tmp_path)))
        workers = stack.enter_context(run_workers(tmp_path, clean_environment() | environment, ["worker@only"]))
        log_path = workers["worker@only"].log_path

        for _ in range(2):  # the second shows that the worker outlived the first
            run_id = launch(instance)
            wait_until(
                lambda it=run_id: (tmp_path / "at-work").exists() or status(instance, it).is_finished,  # type: ignore[misc]
                log_path.read_text,
            )
            (tmp_path / "at-work").unlink()
            assert instance.run_launcher.terminate(run_id)
            wait_until(lambda it=run_id: status(instance, it).is_finished, "the run has ended")  # type: ignore[misc]
            assert status(instance, run_id).status is dg.DagsterRunStatus.CANCELED, log_path.read_text()
            assert not instance.run_launcher.terminate(run_id)  # there is nothing left to end


def launch(instance: dg.DagsterInstance) -> str:
    origin = dg.reconstructable(endless).get_python_origin()
    run = instance.create_run_for_job(endless, job_code_origin=origin)
    assert not instance.run_launcher.terminate(run.run_id)  # nor yet
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run
