"""What every optimisation of a policy by its own completions needs of Lightning: optimizer, ranks, checkpoints.

The models are in `lightning_modules.policy_models`; `lightning_modules.ppo_generator` is the algorithm on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn

from lightning_modules.deepspeed import DeepSpeed
from lightning_modules.frozen_weights import leave_out_frozen, put_back_frozen
from lightning_modules.optimizers import build_optimizer, build_schedule, total_optimizer_steps
from lightning_modules.policy_models import PolicyModels


class PolicyOptimisation(PolicyModels):
    """Optimizer, minibatches in several passes, agreement of ranks, and checkpoints; arguments as `PolicyModels`."""

    # ---- gradients

    def configure_optimizers(self) -> Any:
        """AdamW, and its schedule over iterations."""
        optimizer = build_optimizer(
            self.model.named_parameters(),
            self.optimizer_options,
            depth_of=self.model.depth_of,
            head_depth=self.model.policy.layer_count + 1,
        )
        trainer: Any = self.trainer
        iterations = total_optimizer_steps(
            len(trainer.datamodule.train_dataloader()),
            limit=trainer.limit_train_batches,
            max_epochs=trainer.max_epochs,
            max_steps=trainer.max_steps,
        )
        return [optimizer], [build_schedule(optimizer, self.optimizer_options, total_steps=iterations)]

    def clipped_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Those of policy and value head."""
        return self.model.named_parameters()

    def backward_over(self, passes: Sequence[Tensor], loss_of: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """Gradients of a minibatch, one forward pass after the other.

        Args:
            passes: Rows of each of this rank's passes.
            loss_of: From rows to their part of the minibatch's mean loss, and sums to log.

        Returns:
            The sums of all passes and ranks.
        """
        total: Tensor | None = None
        strategy = self.trainer.strategy
        for number, rows in enumerate(passes, start=1):
            loss, sums = loss_of(rows)
            wait = number < len(passes) and isinstance(strategy, ParallelStrategy)
            with strategy.block_backward_sync() if wait else nullcontext():  # type: ignore[attr-defined]
                # Ranks average their gradients, and each has only its part of the mean.
                self.manual_backward(loss * self.trainer.world_size)
            total = sums if total is None else total + sums
        assert total is not None
        return self.summed_over_ranks(total)

    def step(self) -> None:
        """Clip, update, forget the gradients; the first step of an iteration is the one that `global_step` counts."""
        optimizer: Any = self.optimizers()
        self.configure_gradient_clipping(optimizer)
        strategy = self.trainer.strategy
        if self._stepped:
            strategy.optimizer_step(optimizer.optimizer, _nothing)
        else:
            optimizer.step()
        self._stepped = True
        if isinstance(strategy, DeepSpeed) and self._engine_clips:
            self.last_clip = strategy.last_clip()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget the gradients, and what autocast made of the weights before the step."""
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        torch.clear_autocast_cache()

    def end_iteration(self) -> None:
        """Count it, and move the learning rate."""
        self.iteration += 1
        self._stepped = False
        schedule: Any = self.lr_schedulers()
        schedule.step()

    def summed_over_ranks(self, values: Tensor) -> Tensor:
        """The sum of what the ranks have."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(values)
        return values

    def agree_any(self, holds: bool) -> bool:
        """Whether something holds on any rank: what they do together, they must all begin."""
        answer = torch.tensor(float(holds), device=self.device)
        return bool(self.summed_over_ranks(answer) > 0)

    # ---- checkpoints

    def export(self, folder: Path) -> None:
        """Write the policy as a transformers folder that `path:<folder>` loads, without the value head."""
        self.model.policy.save_folder(folder)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the KL controller, the scale of the scores and the count of iterations; leave out what is frozen."""
        checkpoint["ppo"] = {
            "kl": self.kl.state_dict(),
            "scaling": self.scaling.state_dict(),
            "iteration": self.iteration,
        }
        leave_out_frozen(checkpoint, self._frozen_names(), fingerprint=self.model.policy.fingerprint())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with them, and put the frozen parameters back.

        Raises:
            CheckpointError: Another architecture, or frozen layers from other weights.
        """
        state = checkpoint["ppo"]
        self.kl.load_state_dict(state["kl"])
        self.scaling.load_state_dict(state["scaling"])
        self.iteration = int(state["iteration"])
        put_back_frozen(
            checkpoint,
            self.state_dict(),
            self._frozen_names(),
            fingerprint=self.model.policy.fingerprint(),
            source=self.model_options.source,
        )

    def _frozen_names(self) -> set[str]:
        names = {f"model.{name}" for name in self.model.frozen_parameter_names()}
        if self.base is not None:
            names |= {name for name in self.state_dict() if name.startswith("base.")}
        return names


def iteration_seed(seed: int, iteration: int) -> int:
    """A 63-bit seed of one iteration's sampling."""
    return int(np.random.SeedSequence([seed, iteration]).generate_state(1, np.uint64)[0]) >> 1


def _nothing() -> None:
    """The closure of a step whose gradients are there already."""
