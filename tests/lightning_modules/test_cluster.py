from collections.abc import Mapping
from pathlib import Path

import lightning as L
import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from lightning_modules.cluster import SlurmStep, check_ranks, cluster_environment
from nines.errors import ConfigError

ALLOCATION = {
    "SLURM_JOB_ID": "12345",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "0",
    "SLURM_NODELIST": "node[1-2]",
    "SLURM_NNODES": "2",
}
STEP_ON_THE_SECOND_NODE = {
    **ALLOCATION,
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_NODELIST": "node2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0",
}
TORCHRUN = dict.fromkeys(
    ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"), "0"
)


def within(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name in ({*STEP_ON_THE_SECOND_NODE, *TORCHRUN, "MASTER_ADDR", "MASTER_PORT"}) - environment.keys():
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, LightningEnvironment),
        (ALLOCATION, LightningEnvironment),
        ({**STEP_ON_THE_SECOND_NODE, "SLURM_STEP_NUM_TASKS": "1"}, LightningEnvironment),
        (STEP_ON_THE_SECOND_NODE, SlurmStep),
        ({**STEP_ON_THE_SECOND_NODE, **TORCHRUN}, TorchElasticEnvironment),
        ({**STEP_ON_THE_SECOND_NODE, "LOCAL_RANK": "1"}, LightningEnvironment),
    ],
    ids=[
        "no_slurm",
        "batch_script_of_four_tasks",
        "step_of_one_task",
        "step",
        "torchrun_in_a_step",
        "child_of_lightning",
    ],
)
def test_a_process_is_a_rank_of_what_started_it(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], expected: type
) -> None:
    within(monkeypatch, environment)
    assert type(cluster_environment()) is expected


def test_a_step_is_its_own_world_whatever_the_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, STEP_ON_THE_SECOND_NODE)
    step = SlurmStep()
    assert (step.world_size(), step.global_rank(), step.local_rank(), step.node_rank()) == (2, 1, 1, 0)
    assert step.main_address == "node2"
    assert step.creates_processes_externally


def test_steps_side_by_side_meet_at_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, STEP_ON_THE_SECOND_NODE)
    ports = set()
    for number in range(4):
        monkeypatch.setenv("SLURM_STEP_ID", str(number))
        ports.add(SlurmStep().main_port)
        assert SlurmStep().main_port in ports
    assert len(ports) == 4
    assert all(15000 <= port < 30000 for port in ports)


def test_who_starts_the_ranks_may_name_address_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, {**STEP_ON_THE_SECOND_NODE, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "2345"})
    assert (SlurmStep().main_address, SlurmStep().main_port) == ("10.0.0.1", 2345)


def test_a_step_of_two_tasks_does_not_train_twice_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within(monkeypatch, STEP_ON_THE_SECOND_NODE)
    trainer = L.Trainer(
        default_root_dir=str(tmp_path), accelerator="cpu", devices=1, logger=False, plugins=[LightningEnvironment()]
    )
    with pytest.raises(ConfigError, match=r"2 tasks on 1 nodes.*trainer\.devices=2"):
        check_ranks(trainer, SlurmStep())
    check_ranks(trainer, LightningEnvironment())
