"""The data module of policies: prompts by split, in an order that resumes exactly. Texts only, no tokens."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.loader import Batch, BatchLoader, EvaluationLoader
from datamodules.order import EvaluationOrder, Ranks, TrainingOrder
from datamodules.prompt_files import Prompt, check_share, place, read_prompts, within_share
from datamodules.splitting import DEFAULT_SHARES, check_shares
from nines.errors import ConfigError, DataError, nearest

STAGES = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",), "predict": ("test",)}


class Prompts(L.LightningDataModule):
    """Batches that name prompts: `{"row": int64 (batch,)}`, the place in `prompts(split)`.

    Args:
        path: What `datamodules.prompt_files.read_prompts` takes: `embedded:injury`, a file or a folder.
        share: Start and end of the share of the training prompts to use, decided by a hash of their text: disjoint
            shares let a generator, its classifiers and its judges be trained on prompts that the others never saw.
        shares: Shares of the prompts for train, valid and test where the data name no splits.
        batch_size: Prompts of one rank in one iteration.
        evaluation_batch_size: Prompts of one rank in one evaluation step.
        evaluation_prompts: At most this many prompts of the valid and test splits, chosen by a hash; None takes all.
        limit_prompts: At most this many training prompts, for quick tests; None takes all.
        seed: Decides the order.

    Raises:
        ConfigError: An option is out of range.
        DataError: The prompts cannot be read.
    """

    def __init__(
        self,
        *,
        path: str = "embedded:injury",
        share: Sequence[float] = (0.0, 1.0),
        shares: Sequence[float] = DEFAULT_SHARES,
        batch_size: int = 16,
        evaluation_batch_size: int = 32,
        evaluation_prompts: int | None = 64,
        limit_prompts: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_shares(shares)
        for name, value in (("evaluation_prompts", evaluation_prompts), ("limit_prompts", limit_prompts)):
            if value is not None and value < 1:
                raise ConfigError(f"datamodule.{name}={value} must be at least 1; null takes all prompts")
        self.path = path
        self.share = check_share(share)
        self.shares = tuple(shares)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.evaluation_prompts = evaluation_prompts
        self.limit_prompts = limit_prompts
        self.seed = seed
        self._prompts: dict[str, list[Prompt]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read all prompts.

        Raises:
            DataError: A split that `stage` needs is missing.
        """
        present = self._read()
        for name in STAGES.get(stage or "fit", ()):
            if not present.get(name):
                raise DataError(f"{self.path} has no prompts for {name!r} (share {list(self.share)})")

    def prompts(self, split: str) -> list[Prompt]:
        """The prompts of `split`, in the order of every index that this module gives for it."""
        present = self._read()
        if split not in present:
            raise DataError(f"{self.path} has no split {split!r}; {nearest(split, present)}")
        return present[split]

    def texts(self, split: str) -> list[str]:
        """The text of each prompt of `split`."""
        return [prompt.text for prompt in self.prompts(split)]

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches of full size; an epoch takes almost every prompt once."""
        texts = self.texts("train")
        everything = np.arange(len(texts))
        order = TrainingOrder(
            lengths=_lengths(texts),
            draw=lambda _: everything,
            batch_size=self.batch_size,
            seed=self.seed,
            ranks=self._ranks(),
            bucket_steps=1,
            drop_last=True,
        )
        return BatchLoader(_collate, order)

    def val_dataloader(self) -> EvaluationLoader:
        """The held-out prompts, each once over all ranks."""
        return self._evaluation("valid")

    def test_dataloader(self) -> EvaluationLoader:
        """The test prompts, each once over all ranks."""
        return self._evaluation("test")

    def _evaluation(self, split: str) -> EvaluationLoader:
        order = EvaluationOrder(_lengths(self.texts(split)), self.evaluation_batch_size, self._ranks())
        return EvaluationLoader(_collate, order)

    def _read(self) -> dict[str, list[Prompt]]:
        if not self._prompts:
            found = read_prompts(self.path, shares=self.shares)
            train = within_share(found.get("train", []), self.share)
            found["train"] = train if self.limit_prompts is None else train[: self.limit_prompts]
            for split in ("valid", "test"):
                if split in found and self.evaluation_prompts is not None:
                    found[split] = _chosen(found[split], self.evaluation_prompts)
            self._prompts = found
        return self._prompts

    def _ranks(self) -> Ranks:
        if self.trainer is None:
            return Ranks()
        return Ranks(rank=self.trainer.global_rank, world_size=self.trainer.world_size)


def _collate(rows: NDArray[np.int64]) -> Batch:
    return {"row": torch.from_numpy(rows.astype(np.int64))}


def _lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    """Characters: enough to put prompts of like length together."""
    return np.array([len(text) for text in texts], dtype=np.int64)


def _chosen(prompts: list[Prompt], count: int) -> list[Prompt]:
    """At most `count` prompts, in their order, the same whatever the share: those that come first by a hash."""
    kept = sorted(range(len(prompts)), key=lambda index: place(prompts[index].text, "evaluation"))[:count]
    return [prompts[index] for index in sorted(kept)]
