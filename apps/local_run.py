"""A run that this command trains itself: not beside a job of the cluster, and as the owner of its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from apps.train_slurm import RECORD
from nines.errors import SchedulerError, UserError
from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, owning
from slurm.commands import available
from slurm.job_state import JobState
from slurm.queue import Queue

# Where the scheduler cannot be asked: a run that trains writes its status more often than this.
SILENT_SECONDS = 900.0


@contextmanager
def only_here(folder: RunFolder) -> Iterator[None]:
    """Inside the block the run is this process's and its ranks'; a job that takes it over later makes them leave it.

    The ranks of a job were given the folder by who started them, so nothing is asked there.

    Raises:
        UserError: A job trains the run, or waits in the queue for it.
        SchedulerError: The scheduler cannot be asked about that job.
        StorageError: The folder cannot be written.
    """
    if not os.environ.get(TOKEN_VARIABLE):
        _refuse_beside_a_job(folder)
    with owning(folder.path):
        yield


def _refuse_beside_a_job(folder: RunFolder) -> None:
    status = RunStatus.read(folder)
    trains = status is not None and status.state in {"starting", "running"}
    ids = [str(read_json(folder.path / RECORD)["id"])] if (folder.path / RECORD).exists() else []
    if status is not None and trains and status.job_id is not None:
        ids.append(status.job_id)
    ids = [job_id for job_id in dict.fromkeys(ids) if job_id != os.environ.get("SLURM_JOB_ID")]
    if not ids:
        return
    if not available():
        if status is not None and trains and status.job_id in ids and time.time() - status.updated < SILENT_SECONDS:
            raise UserError(_refusal(folder, status.job_id, f"trained on {status.host} a moment ago"))
        return
    for job in Queue().look(ids).values():
        if job.state is JobState.UNKNOWN:
            raise SchedulerError(f"cannot tell whether job {job.id} still trains {folder.path}: {job.reason}")
        if not job.state.over:
            raise UserError(_refusal(folder, job.id, f"is {job.raw.lower() or job.state.value}"))


def _refusal(folder: RunFolder, job_id: str | None, what: str) -> str:
    return (
        f"job {job_id} {what} with {folder.path}, which cannot be trained here as well; "
        f"wait for it, or end it first: scancel {job_id}"
    )
