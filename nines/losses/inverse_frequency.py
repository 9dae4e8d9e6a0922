"""Cross-entropy with class weights in inverse proportion to class frequency."""

from __future__ import annotations

from torch import Tensor

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, unit_mean_weights, weighted_cross_entropy


class InverseFrequencyLoss(BinaryLoss):
    """Cross-entropy with the class weight `w_c = n_c^-power`, scaled to a mean of 1 over the mixture.

    With `power` 1 that is `w_c = n / (2 n_c)`, the "balanced" weight of King and Zeng 2001 and of scikit-learn: both
    classes then count the same in total. With 0.5 it is the square-root weight of Mahajan et al. 2018, with 0 the plain
    loss. The predicted log-odds are those of a mixture with the prior that the weights make, so with `power` 1 of a
    balanced one: probabilities are too high where the positive class is rare.

    Args:
        power: Exponent of the frequency, in [0, 1].

    Raises:
        ConfigError: `power` outside [0, 1]; above 1 the rare class would outweigh the frequent one.
    """

    needs_both_classes = True

    def __init__(self, *, power: float = 1.0) -> None:
        super().__init__()
        if not 0 <= power <= 1:
            raise ConfigError(
                f"module.loss: power must lie in [0, 1], got {power}; above 1 the rare class would outweigh the other"
            )
        self.power = float(power)

    def class_weights(self) -> tuple[float, float]:
        """Weight of the positive class and weight of the negative class."""
        counts = self.mixture()
        return unit_mean_weights(counts, positive=counts.positives**-self.power, negative=counts.negatives**-self.power)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The weighted cross-entropy of each row, shape (batch,)."""
        positive, negative = self.class_weights()
        return weighted_cross_entropy(logits, targets, positive=positive, negative=negative)
