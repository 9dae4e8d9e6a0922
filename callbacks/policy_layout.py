"""Makes the TensorBoard of a policy's run open on reward against divergence, safety and quality."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from callbacks.tensorboard_layout import Layout

LAYOUT: Layout = {
    "Held-out prompts": {
        "Gain of the score over the reference, with interval": ["Multiline", [r"valid/score_gain(_lower|_upper)?$"]],
        "Failure rate of policy and reference, with intervals": ["Multiline", [r"valid/failure_rate(_base)?(_.*)?$"]],
        "Gain of quality over the reference, with interval": ["Multiline", [r"valid/quality_gain(_lower|_upper)?$"]],
    },
    "Reward and divergence": {
        "Score, and score less penalty": ["Multiline", [r"train/(penalised_)?score$"]],
        "Parts of the reward": ["Multiline", [r"train/reward/"]],
        "Divergence from the reference, nats a completion": ["Multiline", [r"train/kl(_k3)?$"]],
        "KL coefficient": ["Multiline", [r"train/kl_coefficient$"]],
        "Expected tries for an accepted sample": ["Multiline", [r"train/tries$"]],
    },
    "Health of the updates": {
        "Share of tokens at which clipping acted": ["Multiline", [r"train/(value_)?clip_fraction$"]],
        "Divergence from the sampling policy, nats a token": ["Multiline", [r"train/kl_to_old$"]],
        "First ratio: anything but 1 is a fault": ["Multiline", [r"train/first_ratio$"]],
        "Explained variance of the value head": ["Multiline", [r"train/explained_variance$"]],
        "Entropy, nats a token": ["Multiline", [r"train/entropy$"]],
        "Length in tokens": ["Multiline", [r"(train|valid)/length$"]],
    },
}


class PolicyLayout(Callback):
    """Writes the layout once, when fitting starts, to every TensorBoard logger of the trainer."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the layout, on rank zero only: the other ranks have no event file."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(LAYOUT)
