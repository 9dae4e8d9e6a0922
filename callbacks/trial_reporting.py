"""Reports the objective of a sweep's trial at each validation, and stops the trial on all ranks when it is pruned."""

from __future__ import annotations

from typing import Protocol

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from nines.errors import ConfigError, NinesError


class Pruned(NinesError):
    """The sweep's pruner saw no future in this trial. Not a failure: its best checkpoint stays usable."""

    exit_code = 0

    def __init__(self, *, step: int, value: float) -> None:
        super().__init__(f"pruned at step {step} with objective {value:.4f}")
        self.step = step
        self.value = value


class Reporter(Protocol):
    """What the sweep offers: takes the value at a step and says whether the trial should stop."""

    def report(self, value: float, step: int) -> bool:
        """Record `value` at `step`; True asks for pruning."""


class TrialReporting(Checkpoint):
    """Only rank 0 talks to the study; its decision is broadcast, and all ranks raise `Pruned` together.

    A `Checkpoint` by class, so that Lightning calls it after the checkpoints of this validation are written.

    Args:
        reporter: The sweep's side; called on rank 0 only.
        monitor: Name of the logged objective.
    """

    def __init__(self, *, reporter: Reporter, monitor: str) -> None:
        self.reporter = reporter
        self.monitor = monitor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, and raise `Pruned` when the sweep says so.

        Raises:
            Pruned: On every rank, when the pruner stops the trial.
            ConfigError: Validation logged no such objective.
        """
        if trainer.sanity_checking or not trainer.state.fn or trainer.state.fn.value != "fit":
            return
        logged = trainer.callback_metrics.get(self.monitor)
        if logged is None:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(f"objective {self.monitor!r} was not logged by validation; logged: {known}")
        value = float(logged)
        prune = self.reporter.report(value, trainer.global_step) if trainer.is_global_zero else False
        if trainer.global_step >= trainer.estimated_stepping_batches:
            return  # nothing is left to save: a trial that got this far counts as completed
        if trainer.strategy.broadcast(prune, src=0):
            raise Pruned(step=trainer.global_step, value=value)
