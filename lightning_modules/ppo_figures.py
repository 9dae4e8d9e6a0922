"""What is logged of a rollout: reward and parts, divergence, entropy, lengths, the value head, tries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.policy_sampling import Sampled
from nines.rl.kl import k1, k3
from nines.rl.losses import explained_variance
from nines.rl.masking import masked_mean
from nines.rl.rollout import Rollout, Targets


def completion_kl(rollout: Rollout) -> Tensor:
    """Sum over the tokens of log π - log π_reference, in nats, shape (completions,): what the controller steers."""
    return k1(rollout.log_probs, rollout.reference_log_probs).masked_fill(~rollout.mask, 0).sum(dim=1)


def rollout_figures(
    sampled: Sequence[Sampled], rollout: Rollout, targets: Targets, entropy: Tensor, *, coefficient: float
) -> dict[str, float]:
    """Averages over the completions of an iteration.

    Args:
        sampled: The completions as they were judged.
        rollout: The same as tensors.
        targets: Returns, of which the value head is to explain the variance.
        entropy: At each token, shape (completions, completion width).
        coefficient: The KL coefficient that was in force.

    Returns:
        By name: `score` and its deviation, the parts of the reward, `penalised_score` (score minus penalty), `kl` and
        `kl_coefficient`, `kl_k3`, `entropy` (nats a token), `length` (tokens), `finished` (share), and
        `explained_variance`. Where the reward has a classifier with a threshold, also `accepted` (share) and `tries`
        (expected number of samples for one that the filter accepts).
    """
    kl = completion_kl(rollout)
    mask, scores = rollout.mask, rollout.scores
    figures = {
        "score": scores.mean(),
        "score_deviation": scores.std() if len(scores) > 1 else torch.zeros(()),
        "penalised_score": (scores - coefficient * kl).mean(),
        "kl": kl.mean(),
        "kl_k3": k3(rollout.log_probs, rollout.reference_log_probs).masked_fill(~mask, 0).sum(dim=1).mean(),
        "entropy": masked_mean(entropy, mask),
        "length": rollout.completions.lengths.double().mean(),
        "finished": rollout.completions.finished.double().mean(),
        "explained_variance": explained_variance(rollout.values, targets.returns, mask),
        "value": masked_mean(rollout.values, mask),
    }
    figures |= {f"reward/{name}": values.mean() for name, values in rollout.parts.items()}
    found = {name: float(value) for name, value in figures.items()}
    found["kl_coefficient"] = coefficient
    judged = [one.accepted for one in sampled if one.accepted is not None]
    if judged:
        share = sum(judged) / len(judged)
        found["accepted"] = share
        found["tries"] = 1 / share if share > 0 else float(len(judged))
    return found
