from pathlib import Path

import torch

from lightning_modules.gathering import gather_from_ranks
from tests.distributed import run_ranks


def test_one_process_keeps_what_it_has() -> None:
    collected = [torch.ones(2)]
    assert gather_from_ranks(collected, world_size=1) is collected


def test_every_rank_gets_the_items_of_all_in_the_order_of_ranks(tmp_path: Path) -> None:
    def collect(rank: int) -> None:
        torch.distributed.init_process_group("gloo")
        own = [(f"rank {rank}", torch.full((rank + 1,), rank)) for _ in range(2 - rank)]
        torch.save(gather_from_ranks(own, world_size=2), tmp_path / f"{rank}.pt")

    assert run_ranks(collect) == [0, 0]
    for rank in range(2):
        gathered = torch.load(tmp_path / f"{rank}.pt")
        assert [name for name, _ in gathered] == ["rank 0", "rank 0", "rank 1"]
        assert torch.equal(gathered[2][1], torch.ones(2, dtype=torch.int64))
