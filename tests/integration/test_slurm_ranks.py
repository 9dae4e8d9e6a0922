"""Trials of several ranks on two nodes of a real SLURM: they find each other, and train what local ranks train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slurm.options import SlurmOptions
from sweeps.launch_slurm import WorkerPlan
from sweeps.study import create_study
from tests.distributed import train_on_ranks
from tests.slurm_cluster import SlurmCluster
from tests.slurm_sweeps import SlurmSweep
from tests.sweeps.conftest import definition
from tests.trainings import SMALL, metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # of two real ranks on a machine that may be busy

WHERE = "+callbacks.where._target_=tests.slurm_training.RankNodes"
# Four batches of eight rows for each of two ranks.
SHORT = [*SMALL, "datamodule.limit_rows=64", "trainer.max_epochs=1", "callbacks.checkpoints.every_n_steps=2", WHERE]
# What the sweep adds to the configuration of its trial.
OF_THE_TRIAL = ["module.optimizer.lr=0.001", "seed=0", "objective=valid/auroc", "objective_mode=max"]


def sweep_of_ranks(cluster: SlurmCluster, folder: Path, *overrides: str) -> SlurmSweep:
    sweep = create_study(
        folder,
        definition(
            name=folder.name,
            trials=1,
            train=[*SHORT, *overrides],
            space={"module.optimizer.lr": "choice(0.001)"},
            objectives=["maximize valid/auroc"],
        ),
    )
    plan = WorkerPlan(
        options=SlurmOptions(time="00:10:00", cpus_per_task=1, signal_seconds=30),
        run_trial="apps.train:run_trial",
        workers=1,
        threads=1,
        nodes=2,
        tasks_per_node=1,
    )
    return SlurmSweep(cluster, sweep, plan)


def ranks_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("rank-*.json"))]


@pytest.mark.long  # test_slurm_train.py compares two nodes with two local ranks each time
def test_ddp_over_two_nodes_gives_the_metrics_of_two_ranks_on_one(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: two-node DDP ranks under srun, one trial for both; equal to the last bit to ranks started by torchrun."""
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true")
    sweep = sweep_of_ranks(cluster, tmp_path / "ddp", *ddp, "trainer.devices=1", "trainer.num_nodes=2")
    sweep.submit()
    rows = sweep.wait_until_finished(seconds=300)
    assert [row.state for row in rows] == ["completed"], f"{rows[0].reason}: {rows[0].log_tail}"
    ranks = ranks_of(rows[0].folder)
    assert [rank["world"] for rank in ranks] == [2, 2]
    if cluster.lab is not None:
        assert [rank["node"] for rank in ranks] == ["node1", "node2"]
    train_on_ranks(tmp_path / "local", [*SHORT[len(SMALL) :], *ddp, "trainer.devices=2", *OF_THE_TRIAL])
    assert rows[0].metrics == metrics_of(tmp_path / "local")


def test_deepspeed_over_two_nodes_trains_one_trial(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: two-node DeepSpeed ranks under srun; a checkpoint of both; metrics equal to those of two local ranks."""
    pytest.importorskip("deepspeed")
    zero2 = ("trainer=deepspeed_zero2", "trainer.accelerator=cpu", "trainer.precision=32-true", "clipping=norm")
    sweep = sweep_of_ranks(cluster, tmp_path / "deepspeed", *zero2, "trainer.devices=1", "trainer.num_nodes=2")
    sweep.submit()
    rows = sweep.wait_until_finished(seconds=300)
    assert [row.state for row in rows] == ["completed"], f"{rows[0].reason}: {rows[0].log_tail}"
    ranks = ranks_of(rows[0].folder)
    assert [rank["world"] for rank in ranks] == [2, 2]
    last = rows[0].folder / "checkpoints" / "last.ckpt"
    parts = {path.name for path in last.rglob("*optim_states.pt")}
    assert {name for name in parts if "rank_0" in name}
    assert {name for name in parts if "rank_1" in name}
    train_on_ranks(tmp_path / "local", [*SHORT[len(SMALL) :], *zero2, "trainer.devices=2", *OF_THE_TRIAL])
    assert rows[0].metrics == metrics_of(tmp_path / "local")
