"""Universal checkpoints of DeepSpeed, whose shards are whole parameters: resuming from them with three faults cured.

Found with deepspeed 0.19.8, each pinned by the tests that go on with other numbers of ranks:

1. Stages 1 and 2: a rank without a share of some parameter group (the single bias of a head) ends in an IndexError.
2. Stage 3: every parameter group gets the options of the first one, its learning rate and weight decay too.
3. Stage 3: all groups share one step counter, which the optimizer then raises once for each of them in a single step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OptionsOfGroups = list[dict[str, Any]]


def options_of_groups(optimizer: Any) -> OptionsOfGroups:
    """Learning rate, weight decay … of each parameter group."""
    return [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]


@contextmanager
def loading_universal(engine: Any, options: OptionsOfGroups) -> Generator[None, None, None]:
    """Within it `engine.load_checkpoint` reads a universal checkpoint; afterwards the optimizer's state is right.

    Args:
        engine: DeepSpeed's, which usually learns this when it is made: before anybody knows what will be resumed.
        options: Those of the optimizer's parameter groups when the checkpoint was written.
    """
    zero = engine.optimizer
    engine._config.load_universal_checkpoint = True
    with_shares = hasattr(zero, "load_hp_checkpoint_state_from_checkpoint_dir")
    if with_shares:
        usual = zero.load_hp_checkpoint_state_from_checkpoint_dir
        zero.load_hp_checkpoint_state_from_checkpoint_dir = _past_groups_without_share(zero, usual)
    try:
        yield
    finally:
        engine._config.load_universal_checkpoint = False
        if with_shares:
            del zero.load_hp_checkpoint_state_from_checkpoint_dir  # the instance's; the method of the class shows again
    for group, kept in zip(zero.param_groups, options, strict=True):
        group.update(kept)
    for moments in engine.basic_optimizer.state.values():
        if isinstance(moments.get("step"), Tensor):
            moments["step"] = moments["step"].clone()


def weights_of_universal(shards: Path) -> dict[str, Tensor]:
    """The trained parameters in float32, and the buffers."""
    model = torch.load(min(shards.glob("*_model_states.pt")), map_location="cpu")
    weights = {name: model["module"][name] for name in model["buffer_names"]}
    for file in (shards / "zero").rglob("fp32.pt"):
        name = file.parent.relative_to(shards / "zero").as_posix()
        if name not in weights:
            value = torch.load(file, map_location="cpu")
            weights[name] = value["param"] if isinstance(value, dict) else value  # the latter in stage 3
    return weights


class _NoShare:
    """Stands for the parameters of a group of which this rank has no element: there is nothing to load."""

    @property
    def _hp_mapping(self) -> _NoShare:
        return self

    def get_optim_state_keys(self) -> Sequence[str]:
        return ()

    def load_hp_checkpoint_state(self, *_: Any, **__: Any) -> None:
        return None


def _past_groups_without_share(zero: Any, usual: Callable[[str, str], None]) -> Callable[[str, str], None]:
    def load(groups_name: str, folder: str) -> None:
        groups, nothing = getattr(zero, groups_name), _NoShare()
        shares = [
            group if any(parameter._hp_mapping is not None for parameter in group) else [nothing] for group in groups
        ]
        zero.param_names[nothing] = ""
        setattr(zero, groups_name, shares)
        try:
            usual(groups_name, folder)
        finally:
            setattr(zero, groups_name, groups)
            del zero.param_names[nothing]

    return load
