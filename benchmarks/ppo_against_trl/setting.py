"""What both sides are told, as one JSON file. The peer's environment reads this module: standard library only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One run of either side. Every iteration completes every prompt, so both learn from the same prompts as often.

    Attributes:
        model: A transformers folder with weights and tokenizer: policy, reference and critic.
        prompts: The texts, all different.
        tokens: The token ids of each, as nines reads them.
        pad: A token id that occurs in no text; the peer recognises padding by it.
        completions: Of each prompt in an iteration.
        iterations: To run.
        response_length: Tokens of a completion at most; it is over earlier where the model ends the text.
        epochs: Over the completions of an iteration.
        minibatch: Completions in one optimizer step, which are one forward pass as well.
        learning_rate: Constant, AdamW without weight decay, gradients not clipped.
        precision: `fp32` or `bf16`.
        critic: `separate`: a model of its own beside the policy, the only way of the peer; `shared` is for ours only.
        siblings_together: Keep the completions of a prompt in one minibatch: `module.ppo.keep_siblings_together`, for
            ours only, since the peer knows no siblings. The minibatches stay as large.
        kl: Coefficient of the penalty, fixed; the estimator is k1.
        threads: Of torch.
        seed: Of sampling and of the order.
    """

    model: str
    prompts: Sequence[str]
    tokens: Sequence[Sequence[int]]
    pad: int
    completions: int = 4
    iterations: int = 2
    response_length: int = 32
    epochs: int = 2
    minibatch: int = 8
    learning_rate: float = 1e-5
    precision: str = "fp32"
    critic: str = "separate"
    siblings_together: bool = False
    kl: float = 0.05
    threads: int = 1
    seed: int = 0
    temperature: float = 1.0
    clip_range: float = 0.2
    value_clip_range: float = 0.2
    value_coefficient: float = 0.1
    discount: float = 1.0
    trace_decay: float = 0.95
    adam_epsilon: float = 1e-5

    @property
    def batch(self) -> int:
        """Completions of an iteration."""
        return len(self.prompts) * self.completions

    def write(self, path: Path) -> None:
        """For `read`."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Setting:
        """What `write` wrote."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values)
