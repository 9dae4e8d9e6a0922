"""Fine-tuning of a causal language model on fiction: log-likelihood per token, perplexity by source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.clipped_training import ClippedTraining
from lightning_modules.frozen_weights import leave_out_frozen, put_back_frozen
from lightning_modules.fsdp import FullySharded
from lightning_modules.optimizers import OptimizerOptions, build_optimizer, build_schedule, total_optimizer_steps
from lightning_modules.shares import is_shared_out
from nines.building import build
from nines.clipping.base import GradientClipping
from nines.errors import CapabilityError, ConfigError, DivergedError
from nines.models.language_model import LanguageModel, LanguageModelOptions, load_language_model

NO_CLIPPING = {"_target_": "nines.clipping.none.NoClipping"}


class LanguageModelTraining(ClippedTraining):
    """A causal language model that learns texts: all of it, LoRA adapters, or its upper layers.

    Every argument is plain data, so that a checkpoint can be loaded without any configuration:
    `LanguageModelTraining.load_from_checkpoint(path)`. A batch is what `datamodules.fiction` gives.

    Every token counts the same, in whichever batch, accumulation window or rank it is: the losses of a batch are summed
    up and divided by the tokens that a batch has on average.

    Args:
        model: Arguments of `nines.models.language_model.LanguageModelOptions`.
        clipping: Specification of a `nines.clipping.base.GradientClipping`; none by default.
        optimizer: Arguments of `lightning_modules.optimizers.OptimizerOptions`.
        deferred: Build the model in `configure_model`, where a strategy that shares out parameters can do so while they
            load (ZeRO-3), instead of now. The weights are the same. No part of a checkpoint.

    Raises:
        ConfigError: Arguments that contradict each other.
        WeightsError: The model cannot be had.
    """

    model: LanguageModel
    # What `objective` may name: the figures that each validation logs, whatever the data.
    objectives: ClassVar[tuple[str, ...]] = ("valid/perplexity", "valid/loss")

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        clipping: Mapping[str, Any] = NO_CLIPPING,
        optimizer: Mapping[str, Any] | None = None,
        deferred: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["deferred"])
        self.model_options = LanguageModelOptions(**model)
        self.optimizer_options = OptimizerOptions(**(optimizer or {}))
        self.clipping = build(clipping, kind=GradientClipping)
        self._random_state = torch.get_rng_state()
        if not deferred:
            self.model = self._load()
        self._tokens_per_batch = 0.0
        self._sums: dict[str, Tensor] = {}

    # ---- set-up

    def setup(self, stage: str) -> None:
        """Refuse what cannot be trained, and learn how many tokens a batch has.

        Raises:
            CapabilityError: The strategy cannot do it.
            ConfigError: Texts that are longer than the model can read.
        """
        self.check_clipping()
        if isinstance(self.trainer.strategy, FullySharded):
            raise CapabilityError("language models are not shared out by FSDP2; use trainer=deepspeed_zero3, or LoRA")
        if stage == "fit":
            self._tokens_per_batch = float(self._data.tokens_per_batch())

    def configure_model(self) -> None:
        """Build the model, if that was deferred, without a trace in the random numbers that follow."""
        if "model" not in self._modules:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self._random_state)
                self.model = self._load()
        if self._trainer is not None:
            longest = self._data.max_tokens
            if longest > self.model.max_positions:
                raise ConfigError(
                    f"datamodule.max_tokens={longest}: {self.model_options.source} reads at most "
                    f"{self.model.max_positions} tokens"
                )

    def _load(self) -> LanguageModel:
        # Lightning trains in the mode that it finds, and dropout acts in training mode only.
        return load_language_model(self.model_options).train()

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule, stepped at every optimizer step."""
        options = self.optimizer_options
        optimizer = build_optimizer(
            self.model.named_parameters(),
            options,
            depth_of=self.model.depth_of,
            head_depth=self.model.layer_count + 1,
        )
        trainer: Any = self.trainer
        steps = total_optimizer_steps(
            len(trainer.datamodule.train_dataloader()),
            limit=trainer.limit_train_batches,
            accumulate=trainer.accumulate_grad_batches,
            max_epochs=trainer.max_epochs,
            max_steps=trainer.max_steps,
        )
        schedule = build_schedule(optimizer, options, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def clipped_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """The model's: there are no others."""
        return self.model.named_parameters()

    # ---- training

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Log P of every token that the loss counts, (rows, tokens), float32; 0 elsewhere."""
        return self.model.completion_log_probs(
            batch["tokens"], batch["mask"], batch["loss_mask"], documents=batch["documents"]
        )

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Negative log-likelihood of the batch's tokens, over the tokens that a batch has on average."""
        total = -self(batch).sum()
        tokens = batch["loss_mask"].sum()
        self.log("train/loss", total.detach() / tokens.clamp(min=1), prog_bar=True, batch_size=int(tokens))
        loss: Tensor = total / self._tokens_per_batch
        return loss

    # ---- evaluation

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the validation before."""
        self._begin("valid")

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Add this batch to the sums of its sources."""
        self._add("valid", batch)

    def on_validation_epoch_end(self) -> None:
        """Sum over ranks, and log what a sweep may optimise."""
        self._finish("valid")

    def on_test_epoch_start(self) -> None:
        """Forget the sums of the test before."""
        self._begin("test")

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Add this batch to the sums of its sources."""
        self._add("test", batch)

    def on_test_epoch_end(self) -> None:
        """Sum over ranks, and log the same figures."""
        self._finish("test")

    @property
    def _data(self) -> Any:
        """The data module. Lightning sets it, but does not declare it."""
        trainer: Any = self.trainer
        return trainer.datamodule

    def _begin(self, split: str) -> None:
        # On the CPU: not every accelerator adds in float64.
        self._sums[split] = torch.zeros(2, len(self._data.source_names(split)), dtype=torch.float64)

    def _add(self, split: str, batch: Mapping[str, Tensor]) -> None:
        counted = batch["loss_mask"]
        source = batch["source"][counted].cpu()
        losses = -self(batch)[counted].double().cpu()
        self._sums[split][0].index_add_(0, source, losses)
        self._sums[split][1].index_add_(0, source, torch.ones_like(losses))

    def _finish(self, split: str) -> None:
        """Log loss (nats a token) and perplexity over all tokens, and perplexity by source."""
        sums = self._sums.pop(split)
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, sums)
            sums = torch.stack(parts).sum(dim=0)
        loss, tokens = (float(value) for value in sums.sum(dim=1))
        if not math.isfinite(loss):
            raise DivergedError(
                f"training diverged: the loss on {split!r} is not a number; lower module.optimizer.lr or clip "
                "gradients more (clipping=…)"
            )
        mean = loss / max(tokens, 1.0)
        figures = {"loss": mean, "perplexity": _perplexity(mean)}
        for name, (of_source, count) in zip(self._data.source_names(split), sums.T.tolist(), strict=True):
            if count:
                figures[f"perplexity/{name}"] = _perplexity(of_source / count)
        # No reduction over ranks: each has the sums of all.
        self.log_dict({f"{split}/{name}": value for name, value in figures.items()}, rank_zero_only=False)

    # ---- checkpoints and export

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the frozen parameters: their source gives them back."""
        leave_out_frozen(checkpoint, self._frozen(), fingerprint=self.model.fingerprint())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the frozen parameters back, and say in one line what does not fit.

        Raises:
            CheckpointError: Another architecture, or frozen layers from other weights.
        """
        put_back_frozen(
            checkpoint,
            self.state_dict(),
            self._frozen(),
            fingerprint=self.model.fingerprint(),
            source=self.model_options.source,
        )

    def export(self, folder: Path) -> None:
        """Write a transformers folder that `path:<folder>` loads, LoRA merged; on one rank only.

        Raises:
            CapabilityError: This rank has only a share of the parameters.
            StorageError: The disk refused it.
        """
        if is_shared_out(self.model):
            raise CapabilityError(
                "this rank has only a share of the model; make one file of its checkpoint "
                "(nines checkpoint consolidate), load that, and export it"
            )
        self.model.save_folder(Path(folder))

    def _frozen(self) -> set[str]:
        return {f"model.{name}" for name in self.model.frozen_parameter_names()}


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # a larger one is no float
