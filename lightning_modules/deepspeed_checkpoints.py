"""Checkpoints under DeepSpeed: written by all ranks or by none, resumed exactly, put together to one file, reshared.

Frozen parameters are left out, as they are without DeepSpeed: their source gives them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from lightning_modules.deepspeed_universal import (
    OptionsOfGroups,
    loading_universal,
    options_of_groups,
    weights_of_universal,
)
from lightning_modules.sharded_checkpoints import (
    OpenCheckpoint,
    check_resumable,
    check_shapes,
    first_of_ranks,
    folder_of_all_ranks,
    one_line,
    open_sharded,
    problem_of,
    save_sharded,
)
from nines.checkpoint_folder import SHARDS
from nines.errors import CheckpointError

NAME = "deepspeed"


class DeepSpeedCheckpoints(DeepSpeedStrategy):
    """Saving and loading for a DeepSpeed strategy."""

    @property
    def zero_stage(self) -> int:
        """What the ranks share, as DeepSpeed counts it."""
        assert isinstance(self.config, dict)
        return int(self.config.get("zero_optimization", {}).get("stage", 0))

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Write the shards of all ranks, and let `filepath` name them once they are whole.

        Raises:
            StorageError: A rank could not write; what `filepath` named before is untouched.
        """
        checkpoint["param_groups"] = options_of_groups(self.deepspeed_engine.optimizer)
        save_sharded(
            self,
            checkpoint,
            Path(filepath),
            name=NAME,
            zero_stage=self.zero_stage,
            write_shards=self._write_shards,
        )

    def _write_shards(self, folder: Path) -> str | None:
        import deepspeed

        from lightning_modules.deepspeed_files import ShardFiles

        engine: Any = self.deepspeed_engine
        files, usual = ShardFiles(), engine.checkpoint_engine
        engine.checkpoint_engine = files
        try:
            engine.save_checkpoint(str(folder), tag=SHARDS, save_latest=False, exclude_frozen_parameters=True)
        except OSError as error:
            # All that DeepSpeed writes past `files` is its recovery script, at the very end: the others are waiting.
            deepspeed.comm.barrier()
            return one_line(error)
        finally:
            engine.checkpoint_engine = usual
        if self.is_global_zero:
            # DeepSpeed's own tools ask this file for the folder of the shards.
            return files.problem or problem_of(lambda: (folder / "latest").write_text(SHARDS))
        return files.problem

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Take up weights, and in training the optimizer's state, from a checkpoint that as many ranks wrote.

        Returns:
            Everything else that Lightning keeps.

        Raises:
            CheckpointError: It is damaged, of another architecture, strategy or number of ranks.
        """
        path = Path(checkpoint_path)
        module = self.lightning_module
        assert module is not None
        with open_sharded(path, folder=folder_of_all_ranks(self, path)) as opened:
            check_shapes(opened.state, module, path)
            if module.trainer.state.fn == TrainerFn.FITTING:
                check_resumable(opened.manifest, path, name=NAME, zero_stage=self.zero_stage, ranks=self.world_size)
                self._load_shards(opened, opened.state["param_groups"])
            else:
                self._load_weights(opened, module)
        return opened.state

    def _load_shards(self, opened: OpenCheckpoint, options: OptionsOfGroups) -> None:
        from lightning_modules.deepspeed_files import ShardFiles, damage_named, only_values

        engine: Any = self.deepspeed_engine
        files, usual = ShardFiles(), engine.checkpoint_engine
        universal, folder = opened.manifest.universal, str(opened.folder)
        if not universal:
            self._preload(files, opened.folder)
        engine.checkpoint_engine = files
        kind = loading_universal(engine, options) if universal else nullcontext()
        try:
            with damage_named(opened.path), only_values(), kind:
                engine.load_checkpoint(folder, tag=SHARDS, load_module_strict=False, load_lr_scheduler_states=False)
        finally:
            engine.checkpoint_engine = usual

    def _preload(self, files: Any, folder: Path) -> None:
        """Read this rank's files first: one that failed within DeepSpeed's loading would leave the others waiting.

        Raises:
            CheckpointError: A rank found a damaged file; on every rank.
        """
        shards, rank = folder / SHARDS, self.global_rank
        own = [
            *shards.glob(f"*zero_pp_rank_{rank}_mp_rank_00_*_states.pt"),
            *shards.glob("mp_rank_00_model_states.pt"),
        ]
        problem = None
        try:
            files.preload(own)
        except CheckpointError as error:
            problem = str(error)
        if found := first_of_ranks(problem):
            raise CheckpointError(found)

    def _load_weights(self, opened: OpenCheckpoint, module: nn.Module) -> None:
        """Read the weights on rank 0, whatever number of ranks wrote them, and hand them to the others."""
        import deepspeed

        weights: Mapping[str, Tensor] = {}
        problem = None
        if self.is_global_zero:
            try:
                weights = whole_weights(opened)
            except CheckpointError as error:
                problem = str(error)
        if found := first_of_ranks(problem):
            raise CheckpointError(found)
        names: list[str] = self.broadcast(sorted(weights))
        own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        with torch.no_grad():
            for name in names:
                shared_out = [own[name]] if hasattr(own[name], "ds_id") else []
                with deepspeed.zero.GatheredParameters(shared_out, modifier_rank=0):
                    if self.is_global_zero:
                        own[name].copy_(weights[name])
                    if not shared_out:
                        torch.distributed.broadcast(own[name], src=0)


def whole_weights(opened: OpenCheckpoint) -> dict[str, Tensor]:
    """The trained parameters in float32, and the buffers, of a DeepSpeed checkpoint.

    Raises:
        CheckpointError: A file is damaged.
    """
    from deepspeed.utils import zero_to_fp32

    from lightning_modules.deepspeed_files import damage_named, only_values, silent

    folder, manifest = opened.folder, opened.manifest
    with damage_named(opened.path), only_values(), silent():
        if manifest.universal:
            return weights_of_universal(folder / SHARDS)
        if manifest.zero_stage == 0:
            plain: dict[str, Tensor] = torch.load(folder / SHARDS / "mp_rank_00_model_states.pt", map_location="cpu")
            return dict(plain["module"])
        weights: dict[str, Tensor] = zero_to_fp32.get_fp32_state_dict_from_zero_checkpoint(
            str(folder), tag=SHARDS, exclude_frozen_parameters=True
        )
        return weights
