"""Makes a run's TensorBoard open on what matters: a layout of charts for its Custom Scalars page.

The layout names tags only; the module and the other callbacks log the values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

Layout = dict[str, dict[str, list[Any]]]

POPULATIONS = ("natural", "all", "generated", "written", "plain")


def custom_scalars_layout(objective: str = "valid/partial_auc", populations: Sequence[str] = POPULATIONS) -> Layout:
    """The charts of the Custom Scalars page, in the order in which to look at them.

    Tags are regular expressions that TensorBoard anchors at the start of a tag, so a chart shows what was logged and
    leaves out what was not.

    Args:
        objective: Tag of the value that the run is judged by.
        populations: Names of the populations for which a false negative rate is logged.

    Returns:
        Category to chart title to `["Multiline", tags]`, as `SummaryWriter.add_custom_scalars` takes it.
    """
    misses = {
        f"False negative rate, {population}: estimate and upper bound": [
            "Multiline",
            [rf"(valid|test)/{re.escape(population)}/fnr(_unsure_as_injurious)?(_upper)?$"],
        ]
        for population in populations
    }
    return {
        "Objective and loss": {
            f"Objective: {objective}": ["Multiline", [f"{re.escape(objective)}$"]],
            "Loss: training and validation": ["Multiline", [r"train/loss(_step|_epoch)?$", r"valid/(log_)?loss$"]],
            "Ranking on validation data": ["Multiline", [r"valid/(auroc|average_precision|partial_auc)$"]],
        },
        "Misses at the threshold": misses,
        "Gradients": {
            "Gradient norm before clipping": ["Multiline", [r"gradients/(norm|threshold|max|mean)$"]],
            "Share clipped: of the gradient, and of the steps": ["Multiline", [r"gradients/clipped_(share|steps)$"]],
            "Gradient norm by group of layers": ["Multiline", [r"gradients/layers/"]],
        },
        "Learning rate": {"Learning rate": ["Multiline", [r"(lr|learning_rate)([-/].*)?$"]]},
    }


class TensorBoardLayout(Callback):
    """Writes the layout once, when fitting starts, to every TensorBoard logger of the trainer.

    Args:
        objective: Tag of the value that the run is judged by.
        populations: Names of the populations for which a false negative rate is logged.
    """

    def __init__(self, *, objective: str = "valid/partial_auc", populations: Sequence[str] = POPULATIONS) -> None:
        self.layout = custom_scalars_layout(objective, tuple(populations))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the layout, on rank zero only: the other ranks have no event file."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_custom_scalars(self.layout)
