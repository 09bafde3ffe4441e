"""Whole runs as tasks of Celery workers: Dagster's launcher, and what it lacks for cancelled runs and dead workers."""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

# How long a worker may take to answer, and how often it is asked: it answers between tasks and beside them.
_ANSWER_SECONDS, _ASKED_TIMES = 3.0, 3


class WorkerRunLauncher(CeleryRunLauncher):
    """Launches each run on a worker; a cancelled run ends CANCELED, and a run whose worker died ends FAILURE.

    Dagster's own launcher does not record that a cancellation was asked for, so that the interrupted run takes it for a
    fault; and it believes the result store, in which a task whose whole worker died is at work for ever.
    """

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; False where there is nothing to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        return super().terminate(run_id)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the task of a run is at work, by the word of its worker where the result store says so."""
        found = super().check_run_worker_health(run)
        if found.status is not WorkerStatus.RUNNING:
            return found
        task_id = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        result = self.celery.AsyncResult(task_id)
        worker = result.info.get("hostname") if isinstance(result.info, dict) else None
        if worker is None or self._is_at_work(worker, task_id):
            return found
        found = super().check_run_worker_health(run)  # it may have ended while its worker was asked
        if found.status is not WorkerStatus.RUNNING:
            return found
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the worker {worker} died, or does not answer")

    def _is_at_work(self, worker: str, task_id: str) -> bool:
        inspect = self.celery.control.inspect(destination=[worker], timeout=_ANSWER_SECONDS)
        for _ in range(_ASKED_TIMES):
            if answer := inspect.query_task(task_id):
                # one that was started again under its name knows nothing of what it had
                return task_id in answer.get(worker, {})
        return False
