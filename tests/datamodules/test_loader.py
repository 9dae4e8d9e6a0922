import numpy as np
import pytest
import torch

from datamodules.loader import BatchLoader, EvaluationLoader, with_targets
from datamodules.order import EvaluationOrder, Ranks, TrainingOrder
from nines.errors import CheckpointError

ROWS = 20
LENGTHS = np.random.default_rng(0).integers(4, 60, ROWS)


def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
    return {"row": torch.from_numpy(rows)}


def loader(*, batch_size: int = 4, seed: int = 0, ranks: Ranks | None = None) -> BatchLoader:
    order = TrainingOrder(LENGTHS, lambda epoch: np.arange(ROWS), batch_size, seed=seed, ranks=ranks or Ranks())
    return BatchLoader(collate, order)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_means_over_ranks_are_means_over_the_rows_of_a_step(world_size: int) -> None:
    value = np.random.default_rng(1).normal(size=ROWS)
    joint = loader(batch_size=6)
    of_ranks = [loader(batch_size=6 // world_size, ranks=Ranks(rank, world_size)) for rank in range(world_size)]
    for whole, *parts in zip(joint, *of_ranks, strict=True):
        means = [value[part["row"]].mean() * float(part["rank_weight"]) for part in parts]
        assert np.mean(means) == pytest.approx(value[whole["row"]].mean(), abs=1e-7)
        assert float(whole["rank_weight"]) == 1.0


def rows_of(batches: object) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]  # type: ignore[attr-defined]


def test_without_lightning_each_pass_is_the_next_epoch() -> None:
    one = loader()
    first, second = rows_of(one), rows_of(one)
    again = loader()
    again.set_epoch(1)
    assert first == rows_of(loader())
    assert second == rows_of(again)
    assert first != second


def test_a_restored_loader_goes_on_with_the_next_batch() -> None:
    stopped = loader()
    stopped.set_epoch(2)
    batches = iter(stopped)
    seen = [next(batches)["row"].tolist() for _ in range(3)]
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    resumed.set_epoch(2)  # what Lightning does at the start of the resumed epoch
    whole = loader()
    whole.set_epoch(2)
    assert seen + rows_of(resumed) == rows_of(whole)


def test_the_next_epoch_after_a_resumed_one_begins_at_its_start() -> None:
    resumed = loader()
    resumed.load_state_dict({**loader().state_dict(), "epoch": 0, "position": 5})
    resumed.set_epoch(1)
    fresh = loader()
    fresh.set_epoch(1)
    assert rows_of(resumed) == rows_of(fresh)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"batch_size": 5}, "batch_size 4 then, 5 now"),
        ({"seed": 1}, "seed 0 then, 1 now"),
        ({"ranks": Ranks(0, 2)}, "world_size 1 then, 2 now"),
    ],
)
def test_an_order_that_changed_inside_an_epoch_is_refused_by_name(other: dict[str, object], message: str) -> None:
    state = loader().state_dict() | {"position": 2}
    with pytest.raises(CheckpointError, match=message):
        loader(**other).load_state_dict(state)  # type: ignore[arg-type]


def test_at_an_epochs_end_another_number_of_ranks_may_go_on() -> None:
    state = loader().state_dict() | {"epoch": 3, "position": 5}
    resumed = loader(ranks=Ranks(1, 2))
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.position) == (3, len(resumed))


def test_evaluation_can_be_repeated_and_gives_the_same_batches() -> None:
    evaluation = EvaluationLoader(collate, EvaluationOrder(LENGTHS, 8))
    first, second = rows_of(evaluation), rows_of(evaluation)
    assert first == second
    assert len(evaluation) == len(first)
    assert sorted(row for batch in first for row in batch) == list(range(ROWS))


def test_targets_and_weights_follow_their_rows() -> None:
    targets, weights = np.array([1, 0, 0.5, -1], np.float32), np.array([1, 2, 3, 4], np.float32)
    batch = with_targets(lambda rows: {"input_ids": torch.from_numpy(rows * 10)}, targets, weights)(np.array([2, 0]))
    assert batch["input_ids"].tolist() == [20, 0]
    assert batch["target"].tolist() == [0.5, 1.0]
    assert batch["weight"].tolist() == [3.0, 1.0]
    assert batch["row"].tolist() == [2, 0]
    assert (batch["target"].dtype, batch["row"].dtype) == (torch.float32, torch.int64)
