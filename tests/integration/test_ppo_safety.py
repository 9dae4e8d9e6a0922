"""A tiny fiction task: the policy must stop using what the reward calls bad, and stay near its reference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.lightning_modules.small_policy import Watch, tiny_policy, tiny_prompts, tiny_trainer

pytestmark = [pytest.mark.slow, pytest.mark.long]
REWARD = "tests.integration.test_ppo_safety.harmless"
BAD, TOKENS = "e", 6


def harmless(prompts: Sequence[str], completions: Sequence[str]) -> Any:
    """Minus the share of words that hold the bad letter: a stand-in for a classifier, whose errors are none."""
    shares = [[BAD in word for word in text.split()] or [False] for text in completions]
    return np.array([-float(np.mean(share)) for share in shares])


def bad_tokens(module: Any) -> torch.Tensor:
    """Which tokens of the vocabulary hold the bad letter."""
    model = module.model.policy
    return torch.tensor([BAD in model.decode([token]) for token in range(model.vocabulary)])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bad_tokens_become_a_quarter_as_likely_within_the_budget_of_divergence(tmp_path: Path, seed: int) -> None:
    module = tiny_policy(
        seed=seed,
        reward={"_target_": REWARD},
        kl={"_target_": "nines.rl.kl.FixedKLCoefficient", "value": 0.02},
        sampling={"max_new_tokens": TOKENS, "stop_at_sentence_end": False, "temperature": 1.0, "top_p": 1.0},
        optimizer={"lr": 3e-3, "warmup": 0.0, "schedule": "linear", "weight_decay": 0.0},
        ppo={"completions_per_prompt": 8, "minibatch_size": 64, "forward_size": 64, "epochs": 4},
    )
    module.seed = seed
    bad, watch = bad_tokens(module), Watch()
    data = tiny_prompts(batch_size=16, limit_prompts=32, seed=seed)
    tiny_trainer(tmp_path, max_epochs=20, callbacks=[watch], limit_val_batches=0).fit(module, datamodule=data)
    # Measured on prompts that were not trained on, exactly over the vocabulary, at the first token of a completion.
    tokens, mask = module.model.policy.encode_prompts(data.texts("valid"), max_tokens=24)
    with torch.no_grad():
        policy = module.model.policy(tokens, mask)[:, -1].softmax(-1)[:, bad].sum(-1).mean()
        with module.model.policy.reference():
            base = module.model.policy(tokens, mask)[:, -1].softmax(-1)[:, bad].sum(-1).mean()
    kl = float(np.mean([one["train/kl"] for one in watch.iterations[-5:]]))
    print(f"seed {seed}: P(bad token) {float(base):.3f} -> {float(policy):.4f} at {kl:.2f} nats a completion")
    assert base > 0.1
    assert policy < base / 4
    assert kl < 4.0
