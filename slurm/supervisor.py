"""The batch step of a job that holds one run: starts its ranks, has them save in time, and requeues the job.

`python -m slurm.supervisor --settings <file> --folder <run folder> -- <command of a rank>`. How the run went stands in
the folder's `status.json`, since exit codes of many ranks become one. What ends a job, and what happens then:

- SIGUSR1, or the time limit is near: the ranks save and end, and the job goes back into the queue, where it continues.
- SIGTERM (`scancel`, or preemption without notice): SLURM has told the ranks as well, they save and go on until they
  are killed. This process stays until then: ending would tell SLURM that the job is complete, and a requeue would undo
  `scancel`. If it was preempted, SLURM itself puts it back.
- A rank dies: the job fails, and the same `nines train` command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nines.errors import NinesError, SchedulerError
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, owns, take_over
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.ports import free_port
from slurm.queue import Queue
from slurm.requeueing import put_back
from slurm.settings import SlurmSettings
from slurm.step import could_not_start, srun_command
from slurm.step_process import START_SECONDS, Process, Start, StepProcess

POLL_SECONDS = 0.2
# Of the notice's seconds, how many the ranks have to save; the rest is for ending them and for the requeue, which is
# lost when the time limit comes first.
GRACE_SHARE = 0.8
# SLURM kills what it has terminated after KillWait, 30 s by default; this is for clusters that never do.
LINGER_SECONDS = 600.0
# How long to wait before a step that could not start is tried again.
START_AGAIN_SECONDS = 10.0
DONE = 0
INTERRUPTED = 130
TERMINATED = 143
FINISHED = ("completed", "pruned")


@dataclass
class Supervisor:
    """Runs the ranks of one run until they end, and decides what becomes of the job.

    Attributes:
        folder: The run's folder.
        start: Starts the ranks, given their variables.
        complaint: What srun said, once it has ended.
        notices: What the job was told.
        queue: To requeue the job.
        job: The job of this process.
        grace_seconds: How long the ranks may take to save.
        requeue: Whether the job may go back into the queue.
        sleep: Waits.
        clock: Seconds from any origin.
    """

    folder: RunFolder
    start: Callable[[Mapping[str, str]], Process]
    complaint: Callable[[], str]
    notices: Notices
    queue: Queue
    job: CurrentJob
    grace_seconds: float
    requeue: bool = True
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _before: RunStatus | None = field(default=None, init=False)
    _token: str = field(default="", init=False)
    _asked: float | None = field(default=None, init=False)
    _terminated: float | None = field(default=None, init=False)

    def run(self) -> int:
        """Run to the end, whatever that is.

        Returns:
            0 when the run is finished or pruned; 143 when SLURM ended the job; 130 when the run was interrupted and the
            job may not go back into the queue; else srun's code.
        """
        code = self._run_ranks()
        status = self._status()
        state = status.state if status is not None else None
        if (code == 0 and state is None) or state in FINISHED:
            say(f"the run is {state or 'done'}")
            return DONE
        if self._terminated is not None or self.notices.terminated:
            say("SLURM ends the job; waiting for it")
            return self._linger()
        if state == "interrupted" or self._asked is not None:
            return self._go_back()
        reason = status.message if status is not None and state == "failed" else ""
        say(f"the run failed: {reason or f'srun ended with {code}'}")
        if not reason:
            self._tell_failure(f"srun ended with {code}")
        # What a signal left is negative here.
        return code if 0 < code < 256 else 128 - code if code < 0 else 1

    def _tell_failure(self, reason: str) -> None:
        """Close the status for ranks that could not: they were killed, or died before they knew their run."""
        if owns(self.folder.path, token=self._token):
            before = RunStatus.read(self.folder) or RunStatus("failed")
            before.continued(state="failed", message=reason).write(self.folder)

    def _run_ranks(self) -> int:
        begin = self.clock()
        while True:
            # What an earlier attempt said of its end must not pass for the end of this one.
            self._before = RunStatus.read(self.folder)
            code = self._wait(StepProcess(self.start(self._environment()), clock=self.clock))
            never_began = code != 0 and self._status() is None and could_not_start(self.complaint())
            if not never_began or self._ending() or self.clock() - begin > START_SECONDS:
                return code
            say(f"srun could not start the ranks, trying again: {self.complaint().strip().splitlines()[-1]}")
            self._pause(START_AGAIN_SECONDS)

    def _wait(self, step: StepProcess) -> int:
        while (code := step.poll()) is None:
            self._note_termination()
            if self._terminated is not None:
                # The ranks save and go on; SLURM kills them, and this process.
                if self.clock() - self._terminated > LINGER_SECONDS:
                    step.kill()
            elif self.notices.ending:
                self._ask(step)
            self.sleep(POLL_SECONDS)
        return code

    def _ask(self, step: StepProcess) -> None:
        now = self.clock()
        if self._asked is None:
            say("the job is about to end: the ranks save and stop")
            self._asked = now
        elif now - self._asked > self.grace_seconds:
            say(f"the ranks did not stop within {self.grace_seconds:.0f} s and are killed")
            step.kill()
            self._asked = now
            return
        step.ask_to_stop()

    def _go_back(self) -> int:
        if not self.requeue:
            say("the run was interrupted, and launcher.requeue=false: the same command goes on with it")
            return INTERRUPTED
        try:
            what = put_back(
                self.queue,
                self.job.id,
                terminated=lambda: self.notices.terminated,
                sleep=self.sleep,
                clock=self.clock,
            )
        except SchedulerError as error:
            say(f"the job cannot go back into the queue: {error}")
            return INTERRUPTED
        say(f"the run was interrupted, the next start goes on from its last checkpoint: job {self.job.id} {what.value}")
        return self._linger()

    def _linger(self) -> int:
        """Wait to be killed by SLURM, which it does within KillWait."""
        self._pause(LINGER_SECONDS)
        return TERMINATED

    def _pause(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self.clock() < end:
            self.sleep(POLL_SECONDS)

    def _ending(self) -> bool:
        self._note_termination()
        if self.notices.ending and self._asked is None:
            self._asked = self.clock()
        return self._terminated is not None or self._asked is not None

    def _note_termination(self) -> None:
        if self.notices.terminated and self._terminated is None:
            say("SLURM terminates the job: the ranks save and go on until they are killed")
            self._terminated = self.clock()

    def _environment(self) -> dict[str, str]:
        self._token = take_over(self.folder.path)
        return {
            **os.environ,
            # Ranks of a former attempt that still live somewhere must notice that the run is no longer theirs.
            TOKEN_VARIABLE: self._token,
            # Lightning's own choice is the same for jobs whose ids end alike.
            "MASTER_PORT": str(free_port()),
        }

    def _status(self) -> RunStatus | None:
        """What these ranks have said, None when they have said nothing."""
        status = RunStatus.read(self.folder)
        return None if status == self._before else status


def say(line: str) -> None:
    """One line with the time on standard output, which is the job's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise one run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m slurm.supervisor", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON file, see slurm.settings")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the run")
    parser.add_argument("command", nargs="+", help="what each rank runs, after --")
    options = parser.parse_args(arguments)
    try:
        return _supervise(
            options.command, folder=RunFolder(options.folder), settings=SlurmSettings.read(options.settings)
        )
    except NinesError as error:
        say(f"error: {error}")
        return error.exit_code


def _supervise(command: Sequence[str], *, folder: RunFolder, settings: SlurmSettings) -> int:
    job = CurrentJob.from_environment()
    if job is None:
        raise SchedulerError("slurm.supervisor is the batch step of a SLURM job; here is none: use nines train")
    seconds = float(settings.signal_seconds)
    # From here on a notice is not lost; the question after the end of the job may take a while.
    notices = Notices(signal_seconds=seconds).install()
    queue = Queue.asking_once()
    notices.job = job.with_end(queue)
    resources = settings.resources
    say(f"job {job.id}{f', restart {job.restarts}' if job.restarts else ''}: {resources.ranks} ranks, log {folder.log}")
    start = Start(srun_command(command, resources, log=folder.log), folder.path / "srun.log")
    return Supervisor(
        folder=folder,
        start=start,
        complaint=start.complaint,
        notices=notices,
        queue=queue,
        job=job,
        grace_seconds=GRACE_SHARE * seconds,
        requeue=settings.requeue,
    ).run()


if __name__ == "__main__":
    sys.exit(main())
