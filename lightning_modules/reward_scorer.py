"""Quality scores of completions, as text, from a trained reward model.

from lightning_modules.reward_scorer import RewardScorer
quality = RewardScorer.load("runs/train/reward_model-1a2b3c4d")
quality(["The shelf tilted."], ["It missed her by an inch."])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.prediction import locate_checkpoint
from lightning_modules.reward_model import NORMALISATION, RewardModel
from nines.errors import CapabilityError, CheckpointError, ConfigError, DataError
from nines.files import replacing
from nines.models.pairs import PairTokenizer
from nines.statistics.score_normalisation import ScoreNormalisation


class RewardScorer:
    """A reward model in evaluation mode with its tokenizer: a callable on (prompts, completions) as text.

    Scores are computed in float32 whatever the training precision was, and do not depend on which other texts share a
    batch beyond float32 rounding. They are normalised: 0 is the average completion of the base policy, 1 its standard
    deviation (Ziegler et al. 2019).

    Args:
        module: The trained reward model; put into evaluation mode here.
        batch_size: Texts in one forward pass, at least 1.
    """

    def __init__(self, module: RewardModel, *, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        self.module = module.eval()
        self.batch_size = batch_size
        self.tokenizer = PairTokenizer(module.model.source, max_tokens=module.max_tokens)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu", batch_size: int = 64) -> RewardScorer:
        """Load from a run folder, from the folder that `nines sweep best` makes, or from a checkpoint file.

        Raises:
            CheckpointError: There is no checkpoint, it is damaged, of another architecture, or of no reward model.
            CapabilityError: This machine has no such device.
        """
        checkpoint, _ = locate_checkpoint(Path(path))
        content = read_checkpoint(checkpoint)
        if NORMALISATION not in content or "hyper_parameters" not in content:
            raise CheckpointError(
                f"{checkpoint} is no checkpoint of a reward model; train one: nines train module=reward_model"
            )
        module = RewardModel(**content["hyper_parameters"])
        module.on_load_checkpoint(content)
        module.load_state_dict(content["state_dict"])
        try:
            module = module.to(device)
        except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
            raise CapabilityError(f"device={device} cannot be used here: {str(error).splitlines()[0]}") from error
        return cls(module, batch_size=batch_size)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that `load` takes, with the present normalisation; it appears as a whole.

        Raises:
            StorageError: The disk refused the write.
        """
        content = {
            "state_dict": {name: value.cpu() for name, value in self.module.state_dict().items()},
            "hyper_parameters": dict(self.module.hparams),
        }
        self.module.on_save_checkpoint(content)
        with replacing(Path(path)) as temporary:
            torch.save(content, temporary)

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
        """The normalised score of each completion, `(completions,)`; higher is better.

        Raises:
            DataError: Another number of prompts than of completions, or a completion longer than the model can read.
        """
        return self.module.normalisation.apply(self.raw_scores(prompts, completions))

    def raw_scores(self, prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
        """Scores as the model gives them, whose differences are log-odds, `(completions,)`.

        Raises:
            DataError: As for calling the scorer.
        """
        if len(prompts) != len(completions):
            raise DataError(f"{len(prompts)} prompts do not go with {len(completions)} completions")
        result = np.empty(len(completions), dtype=np.float64)
        if not len(completions):
            return result
        encoded = self.tokenizer.encode(list(zip(prompts, completions, strict=True)))
        by_length = np.argsort(encoded.lengths, kind="stable")
        for start in range(0, len(result), self.batch_size):
            rows = by_length[start : start + self.batch_size]
            batch = {name: value.to(self.module.device) for name, value in encoded.collate(rows).items()}
            with torch.inference_mode():
                result[rows] = self.module.model(batch).double().cpu().numpy()
        return result

    def preferences(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """P(first is preferred), P(tie) and P(second is preferred) of each pair of completions, `(pairs, 3)`.

        Raises:
            DataError: As for calling the scorer.
        """
        gaps = self.raw_scores(prompts, first) - self.raw_scores(prompts, second)
        return self.module.preference_probabilities(gaps)

    def fit_normalisation(self, prompts: Sequence[str], completions: Sequence[str]) -> ScoreNormalisation:
        """Make 0 the mean and 1 the standard deviation over these completions of a base policy; kept by `save`.

        Raises:
            DataError: Fewer than two completions, or none that differ in score.
        """
        scores = self.raw_scores(prompts, completions)
        self.module.normalisation = ScoreNormalisation.fit(scores, list(prompts))
        return self.module.normalisation
