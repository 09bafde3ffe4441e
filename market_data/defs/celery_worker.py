"""What `celery --app market_data.defs.celery_worker worker` executes: runs, as the launcher in dagster.yaml sends them.

Broker, result store and settings are the launcher's own, so that dagster.yaml alone names them. The module that loads
the definitions is not imported before a run needs it: a worker's children are forked, and threads do not survive that.
"""

from __future__ import annotations

import dagster as dg
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from market_data.defs.celery_launcher import WorkerRunLauncher
from market_data.errors import ConfigurationError


def _app() -> object:
    launcher = dg.DagsterInstance.get().run_launcher
    if not isinstance(launcher, WorkerRunLauncher):
        raise ConfigurationError(
            f"a worker was started, but the run launcher of this DAGSTER_HOME is {type(launcher).__name__}: name a "
            "home whose dagster.yaml ends with docker/launcher_workers.yaml"
        )
    create_execute_job_task(launcher.celery)
    create_resume_job_task(launcher.celery)
    return launcher.celery


app = _app()
