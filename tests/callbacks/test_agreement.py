from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed

from callbacks.agreement import alike, common_batches, strongest
from nines.stop_requests import Stop
from tests.distributed import run_ranks
from tests.fakes import tiny_trainer


def test_one_process_agrees_with_itself(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [], logger=False)
    assert strongest(trainer, None) is None
    assert strongest(trainer, Stop.SAVE) is Stop.SAVE
    assert common_batches(trainer, [3, float("inf")]) == [3, 0]
    assert alike(trainer, 5)


def test_two_ranks_hear_the_strongest_request_the_fewest_batches_and_whether_they_differ() -> None:
    def task(rank: int) -> int:
        distributed.init_process_group("gloo", rank=rank, world_size=2)
        ranks = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
        found = [
            strongest(ranks, None),
            strongest(ranks, Stop.SAVE if rank else None),
            strongest(ranks, Stop.END if rank else Stop.SAVE),
            common_batches(ranks, [4 - rank, 7, float("inf") if rank else 2]),
            alike(ranks, 12),
            alike(ranks, 12 + rank),
        ]
        return int(found != [None, Stop.SAVE, Stop.END, [3, 7, 0], True, False])

    assert run_ranks(task) == [0, 0]
