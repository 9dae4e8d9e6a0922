"""The reward model that Lightning trains: a pair encoder whose score is higher for what readers prefer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.fsdp import FullySharded
from lightning_modules.pair_module import NO_CLIPPING, PairModule
from nines.building import build
from nines.errors import CapabilityError, DataError
from nines.losses.preference import PreferenceLoss
from nines.losses.r_drop import r_drop_penalty
from nines.statistics.preferences import evaluate_preferences
from nines.statistics.score_normalisation import ScoreNormalisation

DAVIDSON = {"_target_": "nines.losses.preference.Davidson"}
METRICS = ("accuracy", "log_loss", "brier", "calibration_error")
NORMALISATION = "score_normalisation"


class RewardModel(PairModule):
    """How good a completion is, given its prompt; learned from pairs that readers compared.

    Every argument is plain data, so that a checkpoint can be loaded without any configuration:
    `RewardModel.load_from_checkpoint(path)`. `lightning_modules.reward_scorer.RewardScorer` scores texts.

    Each validation fits `normalisation` on all completions of the validation pairs, so that the checkpoint written
    after it carries the map that belongs to its weights.

    Args:
        model: As for `lightning_modules.classifier.CompletionClassifier`.
        loss: Specification of a `nines.losses.preference.PreferenceLoss`; Davidson's by default.
        clipping: Specification of a `nines.clipping.base.GradientClipping`; none by default.
        dropout: Arguments of `nines.models.dropout.DropoutOptions`.
        optimizer: Arguments of `lightning_modules.optimizers.OptimizerOptions`.
        deferred: As for the classifier.

    Attributes:
        normalisation: From raw scores to mean 0 and variance 1 on the base policy; the identity before a validation.

    Raises:
        ConfigError: Arguments that contradict each other.
    """

    # What `objective` may name: the figures that each validation logs.
    objectives: ClassVar[tuple[str, ...]] = tuple(f"valid/{name}" for name in METRICS)
    value_shape: ClassVar[tuple[int, ...]] = (2,)
    unseen: ClassVar[float] = 0.0

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        loss: Mapping[str, Any] = DAVIDSON,
        clipping: Mapping[str, Any] = NO_CLIPPING,
        dropout: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        deferred: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["deferred"])
        self.take_options(model=model, clipping=clipping, dropout=dropout, optimizer=optimizer, deferred=deferred)
        self.loss: PreferenceLoss = build(loss, kind=PreferenceLoss)
        self.normalisation = ScoreNormalisation()

    def setup(self, stage: str) -> None:
        """As for every pair module.

        Raises:
            CapabilityError: The strategy would train the tie parameter apart on each rank.
        """
        if isinstance(self.trainer.strategy, FullySharded) and list(self.loss.parameters()):
            raise CapabilityError(
                f"trainer=fsdp2 shards the encoder and leaves the tie parameter of {type(self.loss).__name__} out; "
                "use trainer=ddp or a DeepSpeed trainer, or preference=bradley_terry"
            )
        super().setup(stage)

    def trained_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The encoder, the head, and the tie parameter of the loss."""
        ties = ((f"loss.{name}", parameter) for name, parameter in self.loss.named_parameters())
        return chain(self.model.named_parameters(), ties)

    def depth_of(self, parameter_name: str) -> int:
        """As for the encoder; the tie parameter has the head's learning rate."""
        if parameter_name.startswith("loss."):
            return self.model.layer_count + 1
        return self.model.depth_of(parameter_name)

    # ---- training

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Raw scores of the first and second completion of each pair, `(batch, 2)`, in float64."""
        scores: Tensor = self.model(batch)
        return scores.double().reshape(-1, 2)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss over all dropout samples, plus the consistency penalty of R-Drop where it is asked for."""
        differences = self._differences(batch)
        loss = self._mean_loss(differences, batch)
        self.log("train/loss", loss, prog_bar=True)
        if self.dropout_options.r_drop > 0:
            again = self._differences(batch)
            penalty = r_drop_penalty(differences.flatten(), again.flatten())
            self.log("train/r_drop", penalty)
            loss = 0.5 * (loss + self._mean_loss(again, batch)) + self.dropout_options.r_drop * penalty
        return self.over_ranks(loss, batch)

    def _differences(self, batch: Mapping[str, Tensor]) -> Tensor:
        """First minus second score, `(samples, batch)`; both completions of a pair have the same dropout mask count."""
        scores = self.model.sample_logits(batch)
        pairs = scores.reshape(len(scores), -1, 2)
        return pairs[..., 0] - pairs[..., 1]

    def _mean_loss(self, differences: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        outcome, share, clarity = batch["outcome"], batch["share"], batch["clarity"]
        return torch.stack([self.loss(one, outcome, share, clarity) for one in differences]).mean()

    # ---- evaluation

    def judge(self, split: str) -> None:
        """Log what a sweep may optimise; after validation, fit the normalisation anew."""
        scores = self.gathered_scores(split)
        differences, probabilities = self.gathered_predictions(split)
        found = evaluate_preferences(differences, probabilities, self.data.judged(split)).scalars()
        # No reduction over ranks: each has the scores of all.
        metrics = {f"{split}/{name}": found.get(name, float("nan")) for name in METRICS}
        self.log_dict(metrics, rank_zero_only=False)
        if split == "valid" and not self.trainer.sanity_checking:
            self._fit_normalisation(scores, self.data.judged(split).prompts)

    def gathered_predictions(self, split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First minus second score, `(pairs,)`, and P(first), P(tie), P(second), `(pairs, 3)`, of a judged split."""
        scores = self.gathered_scores(split)
        return scores[:, 0] - scores[:, 1], self.preference_probabilities(scores[:, 0] - scores[:, 1])

    def preference_probabilities(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(first), P(tie), P(second), `(n, 3)`, at raw differences in score `(n,)`."""
        device = next(self.loss.parameters(), torch.empty(0)).device
        with torch.inference_mode():
            logs = self.loss.log_probabilities(torch.from_numpy(differences).to(device))
        return logs.exp().cpu().double().numpy()

    def _fit_normalisation(self, scores: NDArray[np.float64], prompts: NDArray[np.int64]) -> None:
        try:
            self.normalisation = ScoreNormalisation.fit(scores.reshape(-1), np.repeat(prompts, 2).tolist())
        except DataError as error:
            rank_zero_warn(f"scores stay as they are: {error}")
            self.normalisation = ScoreNormalisation()

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the frozen parameters, and add the normalisation."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[NORMALISATION] = self.normalisation.as_json()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the frozen parameters and the normalisation back.

        Raises:
            CheckpointError: Another architecture, or frozen layers from other weights.
        """
        super().on_load_checkpoint(checkpoint)
        if NORMALISATION in checkpoint:
            self.normalisation = ScoreNormalisation.from_json(checkpoint[NORMALISATION])
