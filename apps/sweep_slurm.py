"""`nines sweep … launcher=slurm`: submits the workers that are missing, says how to look, and returns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.printed_commands import again, printed
from apps.submission import warn_of_waiting
from apps.sweep_shape import shape_of_trials
from slurm.commands import available
from slurm.sbatch import render
from sweeps.launch_slurm import SlurmLauncher, Submission, WorkerPlan, shape_of, worker_job
from sweeps.records import slots_left

if TYPE_CHECKING:
    from apps.sweep_options import SweepRequest
    from sweeps.study import Sweep


def plan_workers(request: SweepRequest, *, run_trial: str) -> WorkerPlan:
    """How the workers of the sweep are to run on the cluster.

    Raises:
        ConfigError: Launcher and trainer contradict each other, or trials would need jobs of different shapes.
    """
    options = request.launcher
    assert options is not None
    nodes, tasks_per_node = shape_of_trials(request.definition, options)
    return WorkerPlan(
        options=options,
        run_trial=run_trial,
        workers=request.workers,
        threads=request.threads,
        nodes=nodes,
        tasks_per_node=tasks_per_node,
    )


def print_script(request: SweepRequest, plan: WorkerPlan) -> int:
    """Print the script that would be submitted; nothing is written."""
    from sweeps.study import open_study

    tasks = plan.tasks_for(min(plan.workers, request.definition.trials * request.definition.seeds))
    if (request.folder / "sweep.yaml").exists():
        sweep = open_study(request.folder)
        left = slots_left(sweep.trials(), request.definition)
        tasks = plan.tasks_for(min(plan.workers, left))
        if available():
            tasks, alive = SlurmLauncher(sweep, plan).missing(left)
            for view in alive:
                print(f"already there: {view.line()}", file=sys.stderr)
        if tasks == 0:
            print("no worker is missing, so nothing would be submitted", file=sys.stderr)
            return 0
    print(render(worker_job(request.folder, plan, tasks=tasks)), end="")
    return 0


def submit(sweep: Sweep, plan: WorkerPlan, words: Sequence[str]) -> int:
    """Submit what is missing, and print the job's id and how to look."""
    submission = SlurmLauncher(sweep, plan).submit(slots_left(sweep.trials(), sweep.definition))
    for line in told(sweep, plan, submission, words):
        print(line)
    if submission.script is not None and submission.record is not None:
        warn_of_waiting(submission.record.id, submission.script.read_text(encoding="utf-8"))
    return 0


def told(sweep: Sweep, plan: WorkerPlan, submission: Submission, words: Sequence[str]) -> list[str]:
    """What the user is told of a submission."""
    folder = f"folder={sweep.folder}"
    lines = [f"already there: {view.line()}" for view in submission.alive]
    if submission.ending:
        lines.append(
            f"{submission.ending} of them were cancelled: they save and end, and the new ones take their place"
        )
    if any(view.record.shape not in ("", shape_of(plan)) for view in submission.alive):
        lines.append("  their launcher had other settings: its jobs keep the resources that they were submitted with")
    record = submission.record
    if record is None:
        lines.append("no worker is missing, so nothing was submitted")
        ids = [view.record.id for view in submission.alive]
    else:
        each = f", {record.trials_per_task} trials each" if record.trials_per_task > 1 else ""
        workers = "1 worker" if record.tasks == 1 else f"{record.tasks} workers"
        shape = f"{plan.nodes} x {plan.tasks_per_node} ranks a trial" if plan.nodes * plan.tasks_per_node > 1 else ""
        lines.append(f"submitted job {record.id}: an array of {workers}{each}{shape and f', {shape}'}")
        lines.append(f"  its script          {submission.script}")
        lines.append(f"  a worker's log      {sweep.folder / 'workers' / f'slurm-{record.id}_0.log'}")
        ids = [record.id]
    lines += [
        f"  look at the trials  {printed('sweep', 'status', folder)}",
        f"  look at the queue   squeue --jobs {','.join(ids)}",
        f"  stop it             {printed('sweep', 'cancel', folder)}",
        f"  more workers        {again(words)}   (again: submits those that are missing)",
    ]
    return lines
