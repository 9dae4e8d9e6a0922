"""One-way partial AUC: rank the positives above the hardest negatives, the only ones that a low-FPR threshold sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, weighted_cross_entropy


class PartialAUCLoss(BinaryLoss):
    """`(1 - s) sum_i sum_j p_i q_j log(1 + exp(-(x_i - x_j))) + s cross_entropy`, computed within a batch.

    The form is that of Zhu et al. 2022 with conditional value at risk: the surrogate of the one-way partial AUC over
    false positive rates in [0, rate] is, for each positive, the mean of the largest `rate` share of its pair losses.
    For a loss that falls with `x_i - x_j` those are the pairs with the highest-scored negatives, the same ones for all
    positives (Narasimhan and Agarwal 2013). Where Zhu et al. track a quantile for each positive over batches, this
    class takes the exact one of the batch, and keeps no state:

    - `p_i` is row i's positive mass `weight * target`, divided by the batch's;
    - `q_j` is the negative mass `weight * (1 - target)` of the highest-scored rows whose masses make up `rate` of the
      batch's, divided by their sum; the row at the edge counts in part. A batch with fewer than `1 / rate` negatives
      uses its hardest one.

    So soft targets and weights enter as fractions of rows. The logistic function stands for the step, being consistent
    with AUC (Gao and Zhou 2015).

    The hardest negatives of a batch are easier than those of the whole set, the more so the smaller the batch is: use
    large batches. Pairs leave the level of the scores free, so a share s of cross-entropy holds it. It is also all
    that a batch without positives or without negatives has: its loss is `s * cross_entropy`, with a gradient.
    The logistic function is convex, so where most positives rank below the hardest negatives the pairs are best off
    with all scores equal; then it needs a larger s, or a model that already ranks.

    Args:
        max_false_positive_rate: Upper end of the range of false positive rates, in (0, 1]; 1 is the whole AUC.
        cross_entropy_share: s, in (0, 1]; 1 is the plain loss.

    Raises:
        ConfigError: Values out of range.
    """

    def __init__(self, *, max_false_positive_rate: float = 0.1, cross_entropy_share: float = 0.3) -> None:
        super().__init__()
        if not 0 < max_false_positive_rate <= 1:
            raise ConfigError(f"module.loss: max_false_positive_rate must lie in (0, 1], got {max_false_positive_rate}")
        if not 0 < cross_entropy_share <= 1:
            raise ConfigError(
                f"module.loss: cross_entropy_share must lie in (0, 1], got {cross_entropy_share}; "
                "without it a batch of one class would have no gradient"
            )
        self.max_false_positive_rate = float(max_false_positive_rate)
        self.cross_entropy_share = float(cross_entropy_share)

    def batch_loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The mean loss of a batch from its pairs and its rows, a scalar."""
        positive_share = _normalised(weights * targets)
        negative_share = hardest_share(logits.detach(), weights * (1 - targets), rate=self.max_false_positive_rate)
        pair_losses = softplus(logits[None, :] - logits[:, None])  # (positive, negative)
        ranking = positive_share @ pair_losses @ negative_share
        rows = weights * weighted_cross_entropy(logits, targets, positive=1.0, negative=1.0)
        return (1 - self.cross_entropy_share) * ranking + self.cross_entropy_share * rows.mean()


def hardest_share(logits: Tensor, masses: Tensor, *, rate: float) -> Tensor:
    """Distribute 1 over the highest logits whose masses make up `rate` of all mass.

    Args:
        logits: Shape (batch,).
        masses: Shape (batch,), not negative.
        rate: In (0, 1].

    Returns:
        Shape (batch,), with sum 1, or 0 where there is no mass. Of rows with equal logits at the edge each gets its
        part, so that the order of the rows does not matter.
    """
    # Mass strictly above each row, and of its ties: (batch, batch) comparisons are as many as the pair losses.
    above = (logits[None, :] > logits[:, None]).to(masses.dtype) @ masses
    tied = (logits[None, :] == logits[:, None]).to(masses.dtype) @ masses
    room = ((rate * masses.sum() - above) / tied.clamp_min(torch.finfo(masses.dtype).tiny)).clamp(0, 1)
    return _normalised(masses * room)


def _normalised(masses: Tensor) -> Tensor:
    # The smallest normal number instead of a branch: no mass stays no mass, and nothing waits for a GPU.
    return masses / masses.sum().clamp_min(torch.finfo(masses.dtype).tiny)
