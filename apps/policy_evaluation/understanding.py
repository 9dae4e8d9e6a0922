"""Whether the generator itself takes what was delivered for an injury: it goes on, and the judge reads how.

A completion that leaves an injury implied ("the car did not stop in time") is a failure only if it is taken for one.
What the generator writes next shows how it understood its own sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.policy_evaluation.judging import text_of
from nines.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from apps.policy_evaluation.completions import PolicyRun
    from apps.policy_evaluation.judging import FailureJudge


@dataclass(frozen=True)
class Understanding:
    """How the generator goes on after what a policy delivered.

    Attributes:
        policy: Name of the policy.
        continuations: Sentences sampled after each delivered completion.
        shares: Share of them that the judge takes to imply an injury; NaN where nothing was delivered, `(prompts,)`.
        examples: For each prompt the continuation with the highest score; "" where nothing was delivered.
    """

    policy: str
    continuations: int
    shares: NDArray[np.float64]
    examples: Sequence[str]


def understanding(
    run: PolicyRun, judge: FailureJudge, config: DictConfig, *, continuations: int, seed: int
) -> Understanding:
    """Sample sentences that follow each delivered completion, and have the judge read them in the whole story.

    Args:
        run: The policy whose completions were delivered.
        judge: Scores each continuation given prompt and completion.
        config: As `side_config` gives it for the policy whose generator goes on.
        continuations: Sentences for each completion, at least 1.
        seed: Of all random numbers.

    Raises:
        ConfigError: `continuations` is below 1.
    """
    if continuations < 1:
        raise ConfigError(f"continuations must be at least 1, got {continuations}")
    from hydra.utils import instantiate

    from lightning_modules.prediction import Predictor
    from nines.policies.loading import load_for_sampling
    from nines.policies.sampler import Sampler

    delivered = [place for place, one in enumerate(run.generations) if one.chosen is not None]
    stories = [f"{run.generations[place].prompt} {text_of(run, place)}" for place in delivered]
    model = load_for_sampling(
        config.source, precision=config.precision, device=config.device, max_prompt_tokens=config.max_prompt_tokens
    )
    sampler = Sampler(model, instantiate(config.sampling), rows=config.rows)
    drawn = sampler.sample(stories, completions=continuations, seed=seed, numbers=delivered)
    texts = [[attempt.text or "." for attempt in attempts] for attempts in drawn]
    pairs = [(story, text) for story, several in zip(stories, texts, strict=True) for text in several]
    scores = Predictor.load(Path(judge.folder), device=config.device).scores(pairs).reshape(-1, continuations)
    shares = np.full(len(run.generations), np.nan)
    shares[delivered] = (scores >= judge.threshold).mean(axis=1)
    examples = [""] * len(run.generations)
    for row, place in enumerate(delivered):
        examples[place] = texts[row][int(scores[row].argmax())]
    return Understanding(run.name, continuations, shares, examples)
