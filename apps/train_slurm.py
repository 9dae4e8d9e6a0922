"""`nines train … launcher=slurm`: submits one job that trains the run, says how to look, and returns."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.config import CONFIG_DIR_VARIABLE
from apps.launcher import plain, ranks, without_launcher
from apps.printed_commands import printed
from apps.submission import warn_of_waiting
from nines.errors import SchedulerError
from nines.files import read_json, write_json, write_text
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder
from slurm.job_environment import job_environment
from slurm.queue import JobInfo, JobState, Queue
from slurm.sbatch import BatchJob, render
from slurm.settings import SlurmSettings

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from slurm.options import SlurmOptions

RECORD = "slurm.json"
# The ranks run where the job is; they must not submit again.
HERE = "launcher=local"
LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class RunJob:
    """The job of one run.

    Attributes:
        folder: The run's folder.
        options: How the cluster is asked.
        settings: What the batch step is told.
        overrides: What the user gave, the launcher included.
        config_dir: The user's own configuration files.
    """

    folder: RunFolder
    options: SlurmOptions
    settings: SlurmSettings
    overrides: tuple[str, ...]
    config_dir: Path | None = None

    @classmethod
    def of(
        cls,
        config: DictConfig,
        folder: RunFolder,
        options: SlurmOptions,
        *,
        overrides: Sequence[str],
        config_dir: Path | None,
    ) -> RunJob:
        """The job of the run that `config` describes.

        Raises:
            ConfigError: Launcher and trainer contradict each other.
        """
        nodes, tasks_per_node = ranks(plain(config.trainer), options)
        settings = SlurmSettings.of(options, nodes=nodes, tasks_per_node=tasks_per_node)
        return cls(folder, options, settings, tuple(overrides), config_dir)

    def script(self) -> str:
        """The batch script."""
        rank = [self.options.rank_python, "-m", "apps.cli", "train", *without_launcher(self.overrides), HERE]
        supervisor = [self.options.job_python, "-m", "slurm.supervisor", "--settings", str(self.settings_file)]
        resources = self.settings.resources
        environment = job_environment(threads=self.options.cpus_per_task)
        if self.config_dir is not None:
            environment[CONFIG_DIR_VARIABLE] = str(self.config_dir.expanduser().absolute())
        return render(
            BatchJob(
                name=self.folder.path.name,
                command=(*supervisor, "--folder", str(self.folder.path), "--", *rank),
                log=self.folder.path / "slurm-%j.log",
                options=self.options,
                nodes=resources.nodes,
                tasks_per_node=resources.tasks_per_node,
                folder=Path.cwd(),
                exports=environment,
                comment=f"nines train {self.folder.path}",
            )
        )

    @property
    def settings_file(self) -> Path:
        """Where the batch step finds its settings."""
        return self.folder.path / self.settings.file_name


def print_script(job: RunJob) -> int:
    """Print what would be submitted; nothing is written."""
    print(job.script(), end="")
    return 0


def is_there(job: RunJob, *, queue: Queue | None = None) -> bool:
    """Whether a job of before still trains the run or will; says so when it does.

    Raises:
        SchedulerError: The scheduler cannot be asked about it.
    """
    before = job_of(job.folder, Queue() if queue is None else queue)
    if before is None or before.state.over:
        return False
    if before.state is JobState.UNKNOWN:
        raise SchedulerError(f"cannot tell whether job {before.id} still trains {job.folder.path}: {before.reason}")
    where = f" on {before.nodes}" if before.nodes else f" ({before.reason})" if before.reason else ""
    print(f"job {before.id} is {before.raw.lower() or before.state.value}{where}, so nothing was submitted")
    _print_commands(job, before.id)
    return True


def submit(job: RunJob, *, queue: Queue | None = None) -> int:
    """Submit the run, and print its job's id and how to look; or say that somebody else did in the meantime.

    Raises:
        SchedulerError: SLURM refuses the job, or cannot be asked about one of before.
        StorageError: A process without SLURM trains in the folder.
    """
    queue = Queue() if queue is None else queue
    with lock_folder(job.folder.path, wait_seconds=LOCK_SECONDS):
        # Preparing took seconds, in which the same command elsewhere may have submitted it.
        if is_there(job, queue=queue):
            return 0
        write_json(job.settings_file, job.settings.as_mapping())
        text = job.script()
        job_id = queue.submit(text)
        write_json(job.folder.path / RECORD, {"id": job_id, "submitted": time.time()})
    write_text(job.folder.path / f"slurm-{job_id}.sh", text)
    resources = job.settings.resources
    shape = f": {resources.nodes} x {resources.tasks_per_node} ranks" if resources.ranks > 1 else ""
    print(f"submitted job {job_id}{shape}")
    _print_commands(job, job_id)
    warn_of_waiting(job_id, text)
    return 0


def job_of(folder: RunFolder, queue: Queue) -> JobInfo | None:
    """What the scheduler says of the job that was submitted last for the run in `folder`; None when none was."""
    record = folder.path / RECORD
    if not record.exists():
        return None
    job_id = str(read_json(record)["id"])
    return queue.look([job_id])[job_id]


def _print_commands(job: RunJob, job_id: str) -> None:
    folder = job.folder
    log = shlex.quote(os.path.relpath(folder.log))
    print(f"  run folder          {folder.path}")
    print(f"  its script          {folder.path / f'slurm-{job_id}.sh'}")
    print(f"  follow it           tail -F {log}")
    print(f"  look at the queue   squeue --jobs {job_id}")
    print(f"  stop it             scancel {job_id}   (--signal=USR1 has it save first, and go on later)")
    print(f"  go on with it       {printed('train', *job.overrides, config_dir=job.config_dir)}")
