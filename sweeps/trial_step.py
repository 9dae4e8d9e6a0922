"""Trials as steps of a SLURM job: `srun` starts the ranks, forwards the wish to stop, and ends all when one fails."""

from __future__ import annotations

import os
import re
import signal
import time

from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE
from slurm.ports import free_port
from slurm.settings import SlurmSettings
from slurm.step import could_not_start, srun_command
from slurm.step_process import START_SECONDS, Start, StepProcess
from sweeps.trial import TrialJob

# How long to wait before a step that SLURM could not start is tried again.
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
# After these words srun ends with code 0, as if the ranks had been done. SLURM ends the job, too, and puts it back, so
# the end of the trial is not told before there was time for that. Only a worker on a node that SLURM has lost, or in a
# job that goes on without the node, lives longer.
NODE_FAILED = re.compile(r"^srun: error: Node failure on ", re.MULTILINE)
NODE_FAILED_SECONDS = 60.0
KILLED = 128 + signal.SIGKILL


class StepTrials:
    """Trials as job steps, one at a time on the resources of a slot.

    Args:
        run_trial: `module:function` that trains a trial.
        settings: What a trial gets of the job.
        threads: Threads of each rank.
    """

    def __init__(self, run_trial: str, settings: SlurmSettings, *, threads: int = 1) -> None:
        self.run_trial = run_trial
        self.settings = settings
        self.threads = threads

    def start(self, job: TrialJob) -> StepTrial:
        """Start the step of `job`."""
        status = RunStatus("starting")
        status.write(RunFolder(job.folder))
        job.write()
        command = [self.settings.rank_python, "-m", "sweeps.rank", "--job", str(job.file)]
        command += ["--run-trial", self.run_trial, "--threads", str(self.threads)]
        log = RunFolder(job.folder).log
        name = f"trial-{job.number}"
        return StepTrial(srun_command(command, self.settings.resources, log=log, name=name), job, status)


class StepTrial:
    """One step, started anew while SLURM could not start it.

    Args:
        command: The whole command of srun.
        job: The trial.
        status: What `status.json` says while no rank has written it.
    """

    def __init__(self, command: list[str], job: TrialJob, status: RunStatus) -> None:
        self.job = job
        self.status = status
        self._begun = time.monotonic()
        self._delay = FIRST_DELAY
        self._again_at: float | None = None
        self._asked_at: float | None = None
        self._failed_at: float | None = None
        # What srun itself said; the ranks write into the log.
        self._start = Start(command, job.folder / "srun.txt")
        self._launch()

    @property
    def name(self) -> str:
        """The process id of srun."""
        return f"srun {self._pid}"

    def poll(self) -> int | None:
        """The highest exit code of a rank, 128 and more for a signal; 1 when the step could not be started."""
        if self._again_at is not None:
            if self._asked_at is not None:
                return 1
            if time.monotonic() >= self._again_at:
                self._again_at = None
                self._launch()
            return None
        code = self._process.poll()
        if code is None:
            return None
        if code != 0 and not self._had_started() and self._may_try_again():
            self._again_at = time.monotonic() + self._delay
            self._delay = min(2 * self._delay, LONGEST_DELAY)
            return None
        if code == 0 and NODE_FAILED.search(self._start.complaint()):
            self._failed_at = self._failed_at or time.monotonic()
            if time.monotonic() - self._failed_at < NODE_FAILED_SECONDS and self._asked_at is None:
                return None
            code = KILLED
        self._keep_complaints()
        return code

    def ask_to_stop(self) -> None:
        """Send SIGUSR1 to srun, which passes it on to every rank."""
        self._asked_at = time.monotonic()
        self._process.ask_to_stop()

    def kill(self) -> None:
        """Send SIGTERM to srun, which then kills every rank."""
        self._asked_at = self._asked_at or time.monotonic()
        self._process.kill()

    def _launch(self) -> None:
        environment = {**os.environ, "MASTER_PORT": str(free_port()), "PYTHONUNBUFFERED": "1"}
        if self.job.token:
            environment[TOKEN_VARIABLE] = self.job.token
        process = self._start(environment)
        self._pid = process.pid
        self._process = StepProcess(process)

    def _had_started(self) -> bool:
        """Whether any rank ran: one has written a status, or srun told of its end, or does not say that none did."""
        if RunStatus.read(RunFolder(self.job.folder)) != self.status:
            return True
        return not could_not_start(self._start.complaint())

    def _may_try_again(self) -> bool:
        return self._asked_at is None and time.monotonic() - self._begun < START_SECONDS

    def _keep_complaints(self) -> None:
        if said := self._start.complaint():
            with RunFolder(self.job.folder).log.open("a", encoding="utf-8") as log:
                log.write(said if said.endswith("\n") else f"{said}\n")
