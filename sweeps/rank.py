"""One rank of a trial: `python -m sweeps.rank --job <run folder>/job.json --run-trial module:function`.

Started once for each rank, by srun (`sweeps.trial_step`) or by the worker (`sweeps.trial_ranks`); who am I is told by
the environment. All ranks train with the same overrides. Rank 0 holds the run folder and closes the status.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from nines import stop_requests

# How long a rank that failed leaves it to rank 0 to fail, too, and to say why.
RANK_ZERO_SECONDS = 10.0
# The ranks of before a requeue may be inside one long validation until they see that they lost the folder.
FOLDER_LOCK_SECONDS = 300.0
ENDED = frozenset({"completed", "pruned", "interrupted", "failed"})


def rank_number(environ: Mapping[str, str]) -> int:
    """The number of this rank as torchrun's or srun's variables tell it, 0 for a process alone."""
    told = (environ.get(name) for name in ("RANK", "SLURM_PROCID"))
    return int(next((rank for rank in told if rank), "0"))


def run_rank(job_file: Path, run_trial: str, *, rank: int, threads: int) -> int:
    """Train the trial of `job_file` as rank `rank`.

    Returns:
        The exit code. 0 for every end in good order, being interrupted among them: srun and the worker kill the other
        ranks when one ends otherwise, and those may still be writing.
    """
    from sweeps.trial import TrialJob
    from sweeps.trial_body import INTERRUPTED, load, run_in_folder, set_threads

    set_threads(threads)
    job = TrialJob.read(job_file)

    def train(job: TrialJob) -> None:
        load(run_trial)(job)

    if rank == 0:
        code = run_in_folder(job, train, threads=threads, lock_seconds=FOLDER_LOCK_SECONDS)
        return 0 if code == INTERRUPTED else code
    from nines.errors import NinesError
    from nines.run_owner import Superseded
    from sweeps.trial_body import complain, first_line

    try:
        train(job)
    except (KeyboardInterrupt, Superseded):
        return 0
    except NinesError as error:
        if error.exit_code == INTERRUPTED:
            return 0
        complain(f"rank {rank}: error: {error}")
        reason = str(error).splitlines()[0]
    except Exception as error:
        traceback.print_exc()
        reason = first_line(error)
    else:
        return 0
    _leave_to_rank_zero(job.folder, f"rank {rank}: {reason}")
    return 1


def _leave_to_rank_zero(path: Path, reason: str) -> None:
    """Wait until rank 0 has said how the run ended; if it hangs in something collective, say why it will be killed."""
    from nines.run_folder import RunFolder, RunStatus
    from nines.run_owner import owns

    folder = RunFolder(path)
    end = time.monotonic() + RANK_ZERO_SECONDS
    while time.monotonic() < end:
        status = RunStatus.read(folder)
        if status is not None and status.state in ENDED:
            return
        time.sleep(0.1)
    if owns(path):
        RunStatus("failed", message=reason).write(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one rank from the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.rank", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="job.json of the trial")
    parser.add_argument("--run-trial", required=True, help="module:function that takes a TrialJob and trains it")
    parser.add_argument("--threads", type=int, default=1, help="threads of this rank")
    parser.add_argument("--parent", type=int, help="process that started this one, which ends with it")
    options = parser.parse_args(arguments)
    # Before anything takes time: a signal that comes during imports waits for the training to look.
    stop_requests.install()
    if options.parent is not None:
        from sweeps.trial_process import die_with

        die_with(options.parent, signal.SIGKILL)
    code = run_rank(options.job, options.run_trial, rank=rank_number(os.environ), threads=options.threads)
    # While Python ends it puts handlers back to their defaults, and a wish that is repeated would kill this rank, and
    # with it those that still write.
    for number in stop_requests.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(main())
