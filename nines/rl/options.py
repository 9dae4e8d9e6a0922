"""The settings of one iteration of policy optimisation, checked against each other."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from nines.errors import ConfigError
from nines.rl.kl import EstimatorName

Method = Literal["ppo", "rejection_sampling"]
Advantage = Literal["gae", "leave_one_out"]
Whitening = Literal["none", "batch", "minibatch"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPOOptions:
    """How sampled completions become updates; docs/ppo.md tells where each is used and who found it.

    Attributes:
        method: `ppo`, or `rejection_sampling`: likelihood of the best completions, the baseline of every claim.
        advantage: `gae` with a value head, or `leave_one_out` against the other completions of the prompt (RLOO).
        completions_per_prompt: Sampled for each prompt, at least 1; 2 for leave_one_out and rejection sampling.
        epochs: Passes over the completions of an iteration, at least 1.
        minibatch_size: Completions of all ranks in one optimizer step.
        forward_size: Completions of one rank in one forward pass; memory, never results, depends on it.
        keep_siblings_together: All completions of a prompt in one minibatch.
        discount: γ, in [0, 1].
        trace_decay: λ of GAE, in [0, 1].
        clip_range: ε of the policy's ratio, above 0.
        value_clip_range: ε of the value, above 0; None does not clip.
        value_coefficient: Weight of the value loss, at least 0.
        entropy_coefficient: Weight of the entropy bonus, at least 0.
        stop_kl: End the epochs of an iteration when a minibatch's KL from the sampling policy, in nats a token,
            passes it; None never does.
        kl_estimator: Of the divergence from the reference at each token.
        whiten_rewards: Scale the tokens' rewards to unit variance, their mean kept.
        whiten_advantages: Shift and scale advantages to mean 0 and variance 1 over the whole batch, over each
            minibatch, or not at all.
        scale_scores: Divide scores by their running standard deviation.
        clip_scores: Largest absolute score after scaling, above 0; None for no limit.
        unfinished_score: Score of a completion that ran into the length limit; None keeps its own.
        keep_best: Share of each prompt's completions that rejection sampling trains on, in (0, 1].
        accept_above: Lowest score that rejection sampling trains on; None asks only for the best.

    Raises:
        ConfigError: A value is out of range, or two do not go together.
    """

    method: Method = "ppo"
    advantage: Advantage = "gae"
    completions_per_prompt: int = 4
    epochs: int = 2
    minibatch_size: int = 32
    forward_size: int = 16
    keep_siblings_together: bool = False
    discount: float = 1.0
    trace_decay: float = 0.95
    clip_range: float = 0.2
    value_clip_range: float | None = 0.2
    value_coefficient: float = 0.1
    entropy_coefficient: float = 0.0
    stop_kl: float | None = None
    kl_estimator: EstimatorName = "k1"
    whiten_rewards: bool = False
    whiten_advantages: Whitening = "batch"
    scale_scores: bool = False
    clip_scores: float | None = None
    unfinished_score: float | None = None
    keep_best: float = 0.25
    accept_above: float | None = None

    def __post_init__(self) -> None:
        for name in ("completions_per_prompt", "epochs", "minibatch_size", "forward_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"module.ppo.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("discount", "trace_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"module.ppo.{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("clip_range", "value_clip_range", "stop_kl", "clip_scores"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"module.ppo.{name} must be above 0, got {value}")
        for name in ("value_coefficient", "entropy_coefficient"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"module.ppo.{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.keep_best <= 1:
            raise ConfigError(f"module.ppo.keep_best is a share in (0, 1], got {self.keep_best}")
        compares = self.advantage == "leave_one_out" or self.method == "rejection_sampling"
        if compares and self.completions_per_prompt < 2:
            what = self.method if self.method == "rejection_sampling" else self.advantage
            raise ConfigError(
                f"module.ppo: {what} compares completions of one prompt; set completions_per_prompt to 2 or more"
            )
        if self.keep_siblings_together and self.minibatch_size % self.completions_per_prompt:
            raise ConfigError(
                f"module.ppo: minibatches of {self.minibatch_size} cannot keep {self.completions_per_prompt} siblings "
                "together; make minibatch_size a multiple of completions_per_prompt"
            )

    @property
    def needs_values(self) -> bool:
        """Whether the value head is trained."""
        return self.method == "ppo" and self.advantage == "gae"
