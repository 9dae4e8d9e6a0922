"""A supervised job without SLURM: a scheduler, a clock and an srun that do as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nines.run_folder import RunFolder, RunStatus
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.queue import Queue
from slurm.supervisor import Supervisor
from tests.fake_slurm import FakeSlurm

State = Literal["starting", "running", "completed", "pruned", "interrupted", "failed"]

BUSY = "srun: error: Unable to create step for job 7: Requested nodes are busy\n"


@dataclass
class FakeStep:
    """An srun that ends when the script says so."""

    world: World
    signals: list[int] = field(default_factory=list)
    killed: bool = False

    def poll(self) -> int | None:
        return self.world.script(self)

    def send_signal(self, sig: int) -> None:
        self.signals.append(sig)

    def kill(self) -> None:
        self.killed = True


@dataclass
class World:
    """A job with a clock of its own; `script` is asked for the exit code of the running srun."""

    folder: RunFolder
    script: Callable[[FakeStep], int | None]
    slurm: FakeSlurm = field(default_factory=FakeSlurm)
    notices: Notices = field(default_factory=Notices)
    now: float = 0.0
    complaint: str = ""
    steps: list[FakeStep] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)

    def start(self, environment: Mapping[str, str]) -> FakeStep:
        self.environments.append(dict(environment))
        self.steps.append(FakeStep(self))
        return self.steps[-1]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def says(self, state: State, message: str = "") -> None:
        RunStatus(state, message=message, updated=self.now).write(self.folder)

    def run(self, **options: Any) -> int:
        self.slurm.add("7")
        supervisor = Supervisor(
            folder=self.folder,
            start=self.start,
            complaint=lambda: self.complaint,
            notices=self.notices,
            queue=Queue(self.slurm),
            job=CurrentJob("7", "7"),
            grace_seconds=120.0,
            sleep=self.sleep,
            clock=lambda: self.now,
            **options,
        )
        return supervisor.run()

    @property
    def requeued(self) -> bool:
        return ["scontrol", "requeue", "7"] in self.slurm.commands
