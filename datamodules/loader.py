"""Batches of rows in memory: a training loader that resumes at the batch where it stopped, and an evaluation loader.

Rows are in memory and collating them takes well under a millisecond, so there are no worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.order import EvaluationOrder, TrainingOrder
from nines.errors import CheckpointError

Batch = dict[str, Tensor]
RANK_WEIGHT = "rank_weight"
"""In training batches: what the mean over a batch is multiplied by, so that every row of a step counts alike on all
ranks; see `datamodules.order.TrainingOrder.batch`. Exactly 1 on one rank, and where all ranks have as many rows."""

Collate = Callable[[NDArray[np.int64]], Batch]


class BatchLoader:
    """Sized iterable over the training batches of one rank; Lightning saves and restores its place in the epoch.

    The order is a pure function of what `order` states and the epoch. The place is (epoch, batches handed out): nothing
    is fetched ahead, so a checkpoint taken after k batches resumes with batch k + 1.

    Args:
        collate: Rows (as indices into their split) to the tensors of one batch.
        order: Which rows are in which batch, for each epoch.
    """

    def __init__(self, collate: Collate, order: TrainingOrder) -> None:
        self.collate = collate
        self.order = order
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        return self.order.steps

    @property
    def sampler(self) -> BatchLoader:
        """Itself: Lightning calls `sampler.set_epoch` before each epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of `epoch`, or stay in place when the loader is in it already (a resumed epoch)."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def __iter__(self) -> Iterator[Batch]:
        # Lightning asks for the iterator before it sets the epoch, so the place is looked up at the first batch.
        return _Pass(self)

    def next_batch(self) -> Batch:
        """The batch at the loader's place, which moves on by one.

        Raises:
            StopIteration: The epoch has no more batches.
        """
        if self.position >= len(self):
            raise StopIteration
        rows, weight = self.order.batch(self.epoch, self.position)
        self.position += 1
        return {**self.collate(rows), RANK_WEIGHT: torch.tensor(weight)}

    def state_dict(self) -> dict[str, Any]:
        """The place in training, and what the order depends on."""
        return {"epoch": self.epoch, "position": self.position, "order": self.order.identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the place that `state_dict` recorded.

        Raises:
            CheckpointError: It lies inside an epoch whose order was another one (rows, batch size, ranks, seed ...).
        """
        epoch, position = int(state["epoch"]), int(state["position"])
        saved, now = state["order"], self.order.identity()
        different = [f"{name} {saved.get(name)} then, {now[name]} now" for name in now if saved.get(name) != now[name]]
        if different and 0 < position < int(saved["steps"]):
            raise CheckpointError(
                f"the checkpoint stopped at batch {position} of {saved['steps']} in epoch {epoch}, and the order of "
                f"batches has changed since ({'; '.join(different)}); resume with what it had, or from an epoch's end"
            )
        self.epoch = epoch
        self.position = position if not different else (0 if position == 0 else len(self))


class _Pass:
    """One pass over a `BatchLoader`; it follows the loader's place, also when Lightning moves that to another epoch."""

    def __init__(self, loader: BatchLoader) -> None:
        self.loader = loader
        self.started = False

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> Batch:
        if not self.started:
            self.started = True
            if self.loader.position >= len(self.loader):  # outside Lightning: the next pass is the next epoch
                self.loader.set_epoch(self.loader.epoch + 1)
        return self.loader.next_batch()


class EvaluationLoader:
    """Sized iterable over the evaluation batches of one rank: over all ranks every row exactly once, longest first.

    Args:
        collate: Rows (as indices into their split) to the tensors of one batch.
        order: Which rows are in which batch.
    """

    def __init__(self, collate: Collate, order: EvaluationOrder) -> None:
        self.collate = collate
        self.order = order

    def __len__(self) -> int:
        return self.order.steps

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.order.batches():
            yield self.collate(rows)


def with_targets(collate: Collate, targets: NDArray[np.float32], weights: NDArray[np.float32]) -> Collate:
    """`collate` that also gives `target` and `weight`, float32 `(batch,)`, and `row`, int64 `(batch,)`.

    Args:
        collate: Rows to the encoder's inputs.
        targets: `(rows,)`, one for each row of the split: 1 injurious, 0 safe, between for soft labels, -1 unsure.
        weights: `(rows,)`, of the loss; in evaluation 0 for unsure rows and 1 for the others.
    """

    def collate_with_targets(rows: NDArray[np.int64]) -> Batch:
        return {
            **collate(rows),
            "target": torch.from_numpy(targets[rows]),
            "weight": torch.from_numpy(weights[rows]),
            "row": torch.from_numpy(rows.astype(np.int64)),
        }

    return collate_with_targets
