"""A worker: takes one trial after the other, runs each in processes of its own, and writes down how it ended.

`python -m sweeps.worker --folder <sweep> --run-trial module:function` is one; a launcher starts several, or an array
of jobs is made of them. The work itself is in `sweeps.work_loop`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slurm.current import CurrentJob
from slurm.notices import Notices

if TYPE_CHECKING:
    from sweeps.study import Sweep
    from sweeps.trial_process import TrialStarter
    from sweeps.work_loop import Worker

STOPPED = 130
# How long a worker that begins waits for a database server that is restarted.
STORAGE_SECONDS = 600.0
# A job looks less often than a local worker: it may be one of many, and nobody waits at a terminal.
JOB_LOOK_SECONDS = 3.0
JOB_DOUBT_SECONDS = 3.0
# Of the notice before the time limit this much is kept for going back into the queue: a job that SLURM ends for its
# time stays ended.
REQUEUE_SECONDS = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a worker from the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the sweep")
    parser.add_argument("--run-trial", required=True, help="module:function that takes a TrialJob and trains it")
    parser.add_argument("--preload", help="module:function, called once, that imports what every trial needs")
    parser.add_argument("--threads", type=int, default=1, help="threads of each trial, or of each of its ranks")
    parser.add_argument("--ranks", type=int, default=1, help="processes of each trial on this machine")
    parser.add_argument("--slots", type=int, default=1, help="trials at the same time")
    parser.add_argument("--slurm", type=Path, help="settings of this SLURM job, see slurm.settings")
    parser.add_argument("--idle-minutes", type=float, default=5.0, help="in a job: end after so long without a trial")
    parser.add_argument("--index", type=int, help="number of this worker, for its log; default: its task in the array")
    parser.add_argument("--launcher", type=int, help="process id of the launcher; the worker stops when it is gone")
    options = parser.parse_args(arguments)
    notices = None
    if options.slurm is not None:
        # Before the imports, which take a while: a notice that comes meanwhile must neither be lost nor end the job.
        notices = Notices().install()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    else:
        # The launcher may press Ctrl-C before the handlers of `LocalOrders` stand; ending is then all there is to do.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _work(options, notices)


def _work(options: argparse.Namespace, notices: Notices | None) -> int:
    import optuna

    from nines.errors import NinesError
    from sweeps.study import open_study
    from sweeps.trial_process import die_with
    from sweeps.work_loop import say

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.launcher is not None:
        die_with(options.launcher, signal.SIGTERM)
    started = time.monotonic()
    try:
        sweep = open_study(options.folder, wait_seconds=STORAGE_SECONDS)
        worker = _local_worker(options, sweep) if notices is None else _job_worker(options, sweep, notices)
        say(f"worker {_index(options.index)} of {sweep.name} ready after {time.monotonic() - started:.1f} s")
        code = worker.work()
    except NinesError as error:
        say(f"error: {error}")
        return error.exit_code
    say({STOPPED: "stopped", 0: "nothing left to do"}.get(code, f"ended with code {code}"))
    return code


def _index(told: int | None) -> int:
    job = CurrentJob.from_environment()
    return told if told is not None else (job.array_task if job is not None else None) or 0


def _local_worker(options: argparse.Namespace, sweep: Sweep) -> Worker:
    from sweeps.orders import LocalOrders
    from sweeps.trial_body import load
    from sweeps.trial_process import ForkedTrials
    from sweeps.trial_ranks import LocalRanks
    from sweeps.work_loop import Worker

    orders = LocalOrders(sweep)
    starter: TrialStarter
    if options.ranks > 1:
        starter = LocalRanks(options.run_trial, ranks=options.ranks, threads=options.threads)
    else:
        if options.preload:
            load(options.preload)()
        starter = ForkedTrials(load(options.run_trial), threads=options.threads)
    return Worker(sweep, starter, orders.install(), slots=options.slots)


def _job_worker(options: argparse.Namespace, sweep: Sweep, notices: Notices) -> Worker:
    from nines.errors import SchedulerError
    from slurm.queue import Queue
    from slurm.settings import SlurmSettings
    from sweeps.claims import Claim
    from sweeps.job_orders import JobOrders
    from sweeps.liveness import Jobs
    from sweeps.trial_step import StepTrials
    from sweeps.work_loop import Pace, Worker, say

    settings = SlurmSettings.read(options.slurm)
    job = CurrentJob.from_environment()
    if job is None:
        raise SchedulerError("--slurm is for workers inside a SLURM job, and SLURM_JOB_ID is not set here")
    job = job.with_end(Jobs.of_this_machine().queue or Queue())
    notices.job = job
    notices.signal_seconds = settings.signal_seconds
    orders = JobOrders(sweep, notices, job, queue=Queue.asking_once(), requeue=settings.requeue, say=say)
    pace = Pace(
        save=max(settings.signal_seconds - REQUEUE_SECONDS, settings.signal_seconds / 2),
        look=JOB_LOOK_SECONDS,
        idle=60.0 * options.idle_minutes,
        doubt=JOB_DOUBT_SECONDS,
    )
    return Worker(
        sweep,
        StepTrials(options.run_trial, settings, threads=options.threads),
        orders,
        me=Claim.mine(job=job.id, restarts=job.restarts),
        slots=options.slots,
        jobs=Jobs.of_this_machine(own=job.id),
        pace=pace,
    )


if __name__ == "__main__":
    sys.exit(main())
