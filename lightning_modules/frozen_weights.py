"""Keeps frozen parameters out of checkpoints: their source gives them back, and its fingerprint is kept to compare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from lightning_modules.checkpoint_io import describe_mismatch
from nines.errors import CheckpointError

FINGERPRINT = "source_fingerprint"


def leave_out_frozen(checkpoint: dict[str, Any], frozen: Collection[str], *, fingerprint: str) -> None:
    """Take the frozen parameters out of `checkpoint`; call it in `on_save_checkpoint`.

    Args:
        checkpoint: As Lightning hands it over.
        frozen: Names of the frozen parameters, as in the module's state.
        fingerprint: Hash of the weights that they came from.
    """
    if "state_dict" in checkpoint:
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k not in frozen}
    checkpoint[FINGERPRINT] = fingerprint


def put_back_frozen(
    checkpoint: dict[str, Any], own: Mapping[str, Tensor], frozen: Collection[str], *, fingerprint: str, source: str
) -> None:
    """Put the module's own frozen parameters into `checkpoint`; call it in `on_load_checkpoint`.

    Args:
        checkpoint: As it was read.
        own: State of the module, built from the same source.
        frozen: Names of the frozen parameters.
        fingerprint: Hash of the weights that the module's frozen parameters came from.
        source: What the user calls these weights, for the message.

    Raises:
        CheckpointError: Another architecture, or frozen layers from other weights.
    """
    # A strategy that shards loads its tensors itself, and leaves their names and shapes.
    saved = dict(checkpoint.get("state_dict", checkpoint.get("shapes", {})))
    left_out = set(frozen) - saved.keys()
    if left_out and checkpoint.get(FINGERPRINT) != fingerprint:
        raise CheckpointError(
            f"the checkpoint leaves out its frozen layers, and they came from other weights than {source!r} gives now; "
            "set module.model.source to the one of the training"
        )
    if "state_dict" not in checkpoint:
        return
    saved |= {name: own[name] for name in left_out}
    differences = describe_mismatch(saved, own)
    if differences:
        raise CheckpointError(f"the checkpoint is of another architecture: {differences}")
    checkpoint["state_dict"] = saved
