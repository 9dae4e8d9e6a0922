"""Trials of several ranks on this machine, without a scheduler: the processes and variables of torchrun."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE
from nines.stop_requests import SIGTERM_VARIABLE
from slurm.ports import free_port
from sweeps.trial import TrialJob

# How long the ranks that are left may go on after one has failed; they wait for it in something collective.
LEFT_SECONDS = 15.0


class LocalRanks:
    """Trials as `ranks` processes each.

    Args:
        run_trial: `module:function` that trains a trial.
        ranks: Processes of each trial.
        threads: Threads of each of them.
    """

    def __init__(self, run_trial: str, *, ranks: int, threads: int = 1) -> None:
        self.run_trial = run_trial
        self.ranks = ranks
        self.threads = threads

    def start(self, job: TrialJob) -> RankGroup:
        """Start the ranks of `job`."""
        folder = RunFolder(job.folder)
        RunStatus("starting").write(folder)
        job.write()
        command = [sys.executable, "-m", "sweeps.rank", "--job", str(job.file), "--run-trial", self.run_trial]
        command += ["--threads", str(self.threads), "--parent", str(os.getpid())]
        port = free_port()
        processes: list[subprocess.Popen[bytes]] = []
        with folder.log.open("ab") as output:
            for rank in range(self.ranks):
                # A group of its own for each rank, so that what it starts can be ended with it.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    env=rank_environment(job, rank=rank, ranks=self.ranks, port=port),
                )
                processes.append(process)
        return RankGroup(processes)


class RankGroup:
    """The ranks of one trial, which end together: when one fails, the others are killed after a while.

    Args:
        processes: The ranks, each leading a process group.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.processes = list(processes)
        self._failure: tuple[int, float] | None = None

    @property
    def name(self) -> str:
        """The process ids."""
        return f"processes {' '.join(str(process.pid) for process in self.processes)}"

    def poll(self) -> int | None:
        """The code of the rank that failed first, 0 when none did."""
        codes = [process.poll() for process in self.processes]
        if self._failure is None and (failed := [code for code in codes if code]):
            self._failure = (failed[0], time.monotonic())
        if None in codes:
            if self._failure is not None and time.monotonic() - self._failure[1] > LEFT_SECONDS:
                self.kill()
            return None
        for process in self.processes:
            self._signal(process, signal.SIGKILL)
        return self._failure[0] if self._failure is not None else 0

    def ask_to_stop(self) -> None:
        """Send SIGUSR1 to every rank; they agree on where to stop."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Send SIGKILL to every rank and what it started."""
        for process in self.processes:
            self._signal(process, signal.SIGKILL)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def rank_environment(job: TrialJob, *, rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables of a rank as torchrun sets them, without those of a job step around, which tell of other ranks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PMI"))}
    return {
        **kept,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": f"trial-{job.number}",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        SIGTERM_VARIABLE: "end",
        "PYTHONUNBUFFERED": "1",
        **({TOKEN_VARIABLE: job.token} if job.token else {}),
    }
