from typing import Any

import pytest
import torch

from lightning_modules.frozen_weights import leave_out_frozen, put_back_frozen
from nines.errors import CheckpointError

FROZEN = {"model.embedding"}


def state(value: float) -> dict[str, torch.Tensor]:
    return {"model.embedding": torch.full((2, 2), value), "model.head": torch.full((2,), value)}


def saved() -> dict[str, Any]:
    checkpoint = {"state_dict": state(1.0), "epoch": 3}
    leave_out_frozen(checkpoint, FROZEN, fingerprint="abc")
    return checkpoint


def test_only_what_was_trained_is_kept() -> None:
    checkpoint = saved()
    assert checkpoint["state_dict"].keys() == {"model.head"}
    assert checkpoint["epoch"] == 3


def test_what_was_left_out_comes_from_the_module_and_the_rest_from_the_checkpoint() -> None:
    checkpoint = saved()
    put_back_frozen(checkpoint, state(7.0), FROZEN, fingerprint="abc", source="tiny:bert")
    assert torch.equal(checkpoint["state_dict"]["model.embedding"], torch.full((2, 2), 7.0))
    assert torch.equal(checkpoint["state_dict"]["model.head"], torch.ones(2))


def test_other_weights_under_the_same_name_are_refused() -> None:
    with pytest.raises(CheckpointError, match="other weights than 'tiny:bert' gives now"):
        put_back_frozen(saved(), state(7.0), FROZEN, fingerprint="other", source="tiny:bert")


def test_a_checkpoint_that_holds_everything_needs_no_fingerprint() -> None:
    checkpoint = {"state_dict": state(1.0)}
    put_back_frozen(checkpoint, state(7.0), FROZEN, fingerprint="other", source="tiny:bert")
    assert torch.equal(checkpoint["state_dict"]["model.embedding"], torch.ones(2, 2))


def test_another_shape_is_another_architecture() -> None:
    own = {**state(7.0), "model.head": torch.zeros(5)}
    with pytest.raises(CheckpointError, match=r"model\.head is \(2,\) in the checkpoint and \(5,\) here"):
        put_back_frozen(saved(), own, FROZEN, fingerprint="abc", source="tiny:bert")


def test_shards_keep_their_tensors_and_are_held_to_the_same_weights() -> None:
    checkpoint: dict[str, Any] = {"shapes": {"model.head": torch.empty(2, device="meta")}}
    leave_out_frozen(checkpoint, FROZEN, fingerprint="abc")
    put_back_frozen(checkpoint, {}, FROZEN, fingerprint="abc", source="tiny:bert")
    assert "state_dict" not in checkpoint
    with pytest.raises(CheckpointError, match="other weights"):
        put_back_frozen(checkpoint, {}, FROZEN, fingerprint="other", source="tiny:bert")
