"""Which processes train together: read from what started this one, never guessed from the job around it.

Lightning itself takes every process in an allocation of SLURM for one of several that `srun` started, requeues jobs and
writes checkpoints of its own when they are signalled.
"""

from __future__ import annotations

import os
import zlib

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer

from nines.errors import ConfigError

FIRST_PORT, PORTS = 15000, 15000  # below 32768, where Linux begins to hand out ports to clients


def cluster_environment() -> ClusterEnvironment:
    """What tells this process its rank: torchrun, `srun`, or Lightning itself.

    A single process inside an allocation (a batch script, an interactive shell) stands alone, however many tasks the
    allocation has: several ranks there are started by `srun`, or on one machine by Lightning.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # Lightning starts further ranks of one machine as children of the first, and marks them by LOCAL_RANK.
    if "LOCAL_RANK" not in os.environ and SlurmStep.detect():
        return SlurmStep()
    return LightningEnvironment()


class SlurmStep(ClusterEnvironment):
    """The tasks of one job step are the ranks.

    They meet at `MASTER_ADDR`, else the step's first node, and at `MASTER_PORT`, else a port made from the ids of job
    and step, so that steps side by side on a node do not meet each other.
    """

    @property
    def creates_processes_externally(self) -> bool:
        """True: `srun` did."""
        return True

    @property
    def main_address(self) -> str:
        """The machine of rank 0."""
        nodes = os.environ["SLURM_STEP_NODELIST"]
        return os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes)

    @property
    def main_port(self) -> int:
        """The port of rank 0."""
        step = f"{os.environ['SLURM_JOB_ID']}.{os.environ['SLURM_STEP_ID']}"
        return int(os.environ.get("MASTER_PORT") or FIRST_PORT + zlib.crc32(step.encode()) % PORTS)

    @staticmethod
    def detect() -> bool:
        """Whether `srun` started this process as one of several."""
        return int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1

    def world_size(self) -> int:
        """Tasks of the step."""
        return int(os.environ["SLURM_STEP_NUM_TASKS"])

    def set_world_size(self, size: int) -> None:
        """Nothing: SLURM has set it."""

    def global_rank(self) -> int:
        """The rank over all nodes."""
        return int(os.environ["SLURM_PROCID"])

    def set_global_rank(self, rank: int) -> None:
        """Nothing: SLURM has set it."""

    def local_rank(self) -> int:
        """The rank on this node."""
        return int(os.environ["SLURM_LOCALID"])

    def node_rank(self) -> int:
        """The node among those of the step."""
        return int(os.environ["SLURM_NODEID"])


def check_ranks(trainer: Trainer, environment: ClusterEnvironment) -> None:
    """Refuse a trainer that is not as large as the step that runs it: its ranks would train apart, or wait for ever.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(environment, SlurmStep):
        return
    tasks, nodes = environment.world_size(), int(os.environ["SLURM_STEP_NUM_NODES"])
    if (tasks, nodes) != (trainer.world_size, trainer.num_nodes):
        raise ConfigError(
            f"srun started {tasks} tasks on {nodes} nodes, but trainer.devices={trainer.num_devices} and "
            f"trainer.num_nodes={trainer.num_nodes} mean {trainer.world_size} ranks; set trainer.num_nodes={nodes} "
            f"and trainer.devices={tasks // nodes} with trainer=ddp, or start other tasks"
        )
