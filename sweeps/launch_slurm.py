"""Workers as the tasks of one SLURM array: submitted, recorded, and left to themselves.

Nothing has to stay running where it was submitted. Submitting again tops up: only the workers that are missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
import time
from pathlib import Path

from filelock import FileLock

from nines.errors import SchedulerError
from nines.files import write_json, write_text
from slurm.job_environment import job_environment
from slurm.options import SlurmOptions
from slurm.queue import JobState, Queue
from slurm.sbatch import BatchJob, render
from slurm.settings import SlurmSettings
from sweeps.cancel import clear_cancelled, is_cancelled, mark_cancelled
from sweeps.jobs import JobRecord, JobView, read_jobs, view_jobs, write_jobs
from sweeps.study import Sweep

# Options that change nothing about jobs which are there already.
NO_OTHER_JOB = frozenset({"max_running", "require_clean"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """How the workers of a sweep are to run on a cluster.

    Attributes:
        options: How the cluster is asked.
        run_trial: `module:function` that trains a `TrialJob`.
        workers: Trials at the same time, over all jobs.
        threads: CPU threads of each rank; None: as many as it has cores.
        nodes: Nodes of each trial.
        tasks_per_node: Ranks of each trial on each node.
    """

    options: SlurmOptions
    run_trial: str
    workers: int
    threads: int | None = None
    nodes: int = 1
    tasks_per_node: int = 1

    def tasks_for(self, trials: int) -> int:
        """Array tasks that run `trials` trials at the same time."""
        return -(-trials // self.options.trials_per_job)

    @property
    def settings(self) -> SlurmSettings:
        """What the workers are told of their jobs."""
        return SlurmSettings.of(self.options, nodes=self.nodes, tasks_per_node=self.tasks_per_node)


def worker_job(folder: Path, plan: WorkerPlan, *, tasks: int) -> BatchJob:
    """The array whose tasks are workers of the sweep in `folder`, which need not exist yet."""
    command = [plan.options.job_python, "-m", "sweeps.worker", "--folder", str(folder)]
    command += ["--run-trial", plan.run_trial, "--threads", str(plan.threads or plan.options.cpus_per_task)]
    command += ["--slots", str(plan.options.trials_per_job)]
    command += ["--slurm", str(folder / "jobs" / plan.settings.file_name)]
    return BatchJob(
        name=folder.name,
        command=tuple(command),
        log=folder / "workers" / "slurm-%A_%a.log",
        options=plan.options,
        nodes=plan.nodes,
        tasks_per_node=plan.tasks_per_node,
        folder=Path.cwd(),
        array=tasks,
        exports=job_environment(),
        comment=comment_of(folder),
    )


def comment_of(folder: Path) -> str:
    """By what the arrays of the sweep in `folder` are known in the queue, besides their ids."""
    return f"nines sweep {folder}"


def shape_of(plan: WorkerPlan) -> str:
    """A hash of what a job's resources and options are, so that others can be told from them; the options may be long.

    How many workers there are, and which checkouts are refused, makes no other job.
    """
    options = {key: value for key, value in dataclasses.asdict(plan.options).items() if key not in NO_OTHER_JOB}
    content = json.dumps([options, plan.nodes, plan.tasks_per_node], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Submission:
    """What came of asking for workers.

    Attributes:
        record: The array that was submitted; None when enough workers live already.
        alive: Submissions of before that still run or wait.
        script: Where the script of `record` is kept.
        ending: How many running workers were cancelled: they save and end, and others take their place.
    """

    record: JobRecord | None
    alive: list[JobView]
    script: Path | None = None
    ending: int = 0


class SlurmLauncher:
    """Submits the workers of one sweep.

    Args:
        sweep: The open sweep.
        plan: How they are to run.
        queue: The scheduler.
    """

    def __init__(self, sweep: Sweep, plan: WorkerPlan, *, queue: Queue | None = None) -> None:
        self.sweep = sweep
        self.plan = plan
        self.queue = Queue() if queue is None else queue

    def missing(self, left: int) -> tuple[int, list[JobView]]:
        """Array tasks that are missing for `left` open trials, and the submissions that still live.

        Arrays that arrived without an answer are among them, whether `submit` has recorded them or not.

        After a cancel, workers that run do not count: they have been told to save and end, or will be.

        Raises:
            SchedulerError: The scheduler cannot be asked, so nobody knows how many workers live.
        """
        views = view_jobs(self.sweep, self.queue, more=self._unrecorded())
        unknown = [task for view in views for task in view.tasks if task.state is JobState.UNKNOWN]
        if unknown:
            raise SchedulerError(f"cannot tell how many workers {self.sweep.name} has: {unknown[0].reason}")
        alive = [view for view in views if view.alive]
        ending = is_cancelled(self.sweep)
        staying = [JobState.PENDING] if ending else [JobState.PENDING, JobState.RUNNING]
        running = sum(view.count(*staying) * view.record.trials_per_task for view in alive)
        return self.plan.tasks_for(max(min(self.plan.workers, left) - running, 0)), alive

    def submit(self, left: int) -> Submission:
        """Submit the workers that are missing for `left` open trials, and record them.

        Raises:
            SchedulerError: SLURM refuses the array or cannot be reached; nothing is recorded then. One that arrived all
                the same is found and recorded the next time.
        """
        jobs = self.sweep.folder / "jobs"
        jobs.mkdir(parents=True, exist_ok=True)
        with FileLock(jobs / "submit.lock"):
            tasks, alive = self.missing(left)
            cancelled = is_cancelled(self.sweep)
            ending = sum(view.count(JobState.RUNNING) for view in alive) if cancelled else 0
            # The new workers may start before this process goes on, and must not see the mark.
            clear_cancelled(self.sweep)
            if found := self._unrecorded():
                write_jobs(self.sweep, [*read_jobs(self.sweep), *found])
            if tasks == 0:
                return Submission(None, alive)
            # SLURM makes no folders: without this one the job would end at once, with no word of why.
            (self.sweep.folder / "workers").mkdir(exist_ok=True)
            settings = self.plan.settings
            write_json(jobs / settings.file_name, settings.as_mapping())
            text = render(worker_job(self.sweep.folder, self.plan, tasks=tasks))
            try:
                array = self.queue.submit(text)
            except SchedulerError:
                if cancelled:
                    mark_cancelled(self.sweep)
                raise
            record = self._record(array, tasks)
            live = {view.record.id for view in alive}
            before = [old if old.id in live else dataclasses.replace(old, over=True) for old in read_jobs(self.sweep)]
            write_jobs(self.sweep, [*before, record])
        write_json(jobs / f"{record.id}.json", dataclasses.asdict(record))
        script = jobs / f"{record.id}.sh"
        write_text(script, text)
        return Submission(record, alive, script, ending)

    def _unrecorded(self) -> list[JobRecord]:
        """Arrays of this sweep that are in the queue although the answer to their submission was lost."""
        known = {record.id for record in read_jobs(self.sweep)}
        try:
            found = self.queue.arrays_with_comment(comment_of(self.sweep.folder))
        except SchedulerError as error:
            raise SchedulerError(f"cannot tell how many workers {self.sweep.name} has: {error}") from error
        return [self._record(array, tasks) for array, tasks in found.items() if array not in known]

    def _record(self, array: str, tasks: int) -> JobRecord:
        return JobRecord(
            id=array,
            tasks=tasks,
            trials_per_task=self.plan.options.trials_per_job,
            signal_seconds=self.plan.options.signal_seconds,
            submitted=time.time(),
            host=socket.gethostname(),
            shape=shape_of(self.plan),
        )
