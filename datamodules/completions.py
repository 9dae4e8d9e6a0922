"""The data module of the classifier: labelled completions in memory, tokenised once, mixed and batched for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import numpy as np

from datamodules.labelling import Aggregate, Labelling
from datamodules.loader import BatchLoader, Collate, EvaluationLoader, with_targets
from datamodules.locations import EXTRAS
from datamodules.mixture import LossWeights, Mixture, MixtureOptions, Resampling, Unsure, make_mixture
from datamodules.order import EvaluationOrder, Ranks, TrainingOrder
from datamodules.prompt_files import check_share, rows_within_share
from datamodules.reading import Splits, read
from datamodules.schema import LabelledCompletion
from datamodules.soft_labels import taught
from datamodules.splitting import DEFAULT_SHARES, check_shares, limited, prompt_groups, refuse_leaks
from datamodules.tokenised import tokenise
from nines.errors import ConfigError, DataError, nearest
from nines.losses.base import ClassCounts
from nines.statistics.labelled import LabelledRows

if TYPE_CHECKING:
    from nines.models.pairs import EncodedPairs, PairTokenizer
    from nines.models.trunk_cache import CachedHidden

STAGES: dict[str, tuple[str, ...]] = {
    "fit": ("train", "valid"),
    "validate": ("valid",),
    "test": ("test", *EXTRAS),
    "predict": ("test", *EXTRAS),
}


class LabelledCompletions(L.LightningDataModule):
    """Batches of labelled completions: dicts of the encoder's inputs plus `target`, `weight` and `row`.

    `target` and `weight` are float32 `(batch,)`, `row` is int64 `(batch,)`, the place in `rows(split)`. In evaluation
    an unsure row has target -1 and weight 0, all others weight 1; selection weights are in `rows(split)`.

    Args:
        path: What `datamodules.reading.read` takes: a file, a folder, `embedded:injury` or `hub:<organisation>/<name>`.
        tokenizer: Source of the tokenizer: the encoder's source.
        max_tokens: Longest pair in tokens; the prompt is cut from its left, the completion never.
        batch_size: Training rows of one rank in one step.
        evaluation_batch_size: Rows of one rank in one evaluation step.
        mixture: Subsample training rows to this many safe ones for each injurious one; None keeps all.
        unsure: In training, rows whose readers differ are dropped, kept with target 0.5 (`soft`) or `injurious`.
        loss_weights: `natural` trains on generated rows only, with their selection weights, mean 1.
        resampling: `oversample` or `undersample` the mixture in each epoch to `resampling_ratio`.
        resampling_ratio: Safe rows for each injurious one that resampling aims at.
        sources: Train on these sources only; None takes all. Evaluation always has all.
        label_budget, readings, missed, false_alarms, labellers, labeller_spread, aggregate: What the training labels
            cost and who read them, see `datamodules.labelling.Labelling`; by default every label as it is.
        soft_labels: A file of scores by `nines predict`, which training takes as targets instead of the labels: how a
            classifier learns from an ensemble, see `datamodules.soft_labels`. Labels still decide which rows there are.
        share: Start and end of the share of the training prompts to use, decided by a hash of their text, as
            `datamodules.prompts` divides them. Validation and test are whole.
        shares: Shares of the prompts for train, valid and test when one file holds all rows.
        allow_leaks: Train even if a prompt lies in several splits.
        limit_rows: At most this many rows of each split, chosen by a hash of their ids, for quick tests.
        bucket_steps: Steps whose rows are sorted by length together; 1 for a plain shuffle.
        drop_last: Leave rows out of an epoch so that every batch is full.
        seed: Decides the mixture, the draws and the order.

    Raises:
        DataError: The rows are missing, do not fit the schema, or leak across splits.
        ConfigError: An option is out of range, or contradicts the rows.
    """

    def __init__(
        self,
        *,
        path: str = "embedded:injury",
        tokenizer: str,
        max_tokens: int,
        batch_size: int = 32,
        evaluation_batch_size: int = 128,
        mixture: float | None = None,
        unsure: Unsure = "drop",
        loss_weights: LossWeights = "uniform",
        resampling: Resampling = "none",
        resampling_ratio: float = 1.0,
        sources: Sequence[str] | None = None,
        label_budget: int | None = None,
        readings: int | None = None,
        missed: float = 0.0,
        false_alarms: float = 0.0,
        labellers: int = 10,
        labeller_spread: float = 0.0,
        aggregate: Aggregate = "majority",
        soft_labels: str | None = None,
        share: Sequence[float] = (0.0, 1.0),
        shares: Sequence[float] = DEFAULT_SHARES,
        allow_leaks: bool = False,
        limit_rows: int | None = None,
        bucket_steps: int = 16,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_shares(shares)
        if limit_rows is not None and limit_rows < 1:
            raise ConfigError(f"datamodule.limit_rows={limit_rows} must be at least 1; null takes all rows")
        self.path = path
        self.share, self.shares, self.allow_leaks = check_share(share), tuple(shares), allow_leaks
        if soft_labels is not None and (readings is not None or resampling != "none"):
            raise ConfigError("datamodule.soft_labels replaces labels: it cannot go with readings or resampling")
        self.soft_labels = None if soft_labels is None else Path(soft_labels)
        self.limit_rows = limit_rows
        self.tokenizer_source = tokenizer
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.bucket_steps = bucket_steps
        self.drop_last = drop_last
        self.seed = seed
        self.mixture_options = MixtureOptions(
            safe_per_injurious=mixture,
            unsure=unsure,
            loss_weights=loss_weights,
            resampling=resampling,
            resampling_ratio=resampling_ratio,
            sources=None if sources is None else tuple(sources),
            labelling=Labelling(
                budget=label_budget,
                readings=readings,
                missed=missed,
                false_alarms=false_alarms,
                labellers=labellers,
                spread=labeller_spread,
                aggregate=aggregate,
                seed=seed,
            ),
            seed=seed,
        )
        self._splits: Splits = {}
        self._mixture: Mixture | None = None
        self._tokenizer: PairTokenizer | None = None
        self._pairs: dict[str, EncodedPairs] = {}
        self._hidden: dict[str, CachedHidden] = {}
        self._rows: dict[str, LabelledRows] = {}

    # ---- rows

    def setup(self, stage: str | None = None) -> None:
        """Read and check all splits, and decide the mixture when training is to follow; later calls find it done."""
        splits = self._read()
        if stage in ("fit", None):
            if missing := [name for name in STAGES["fit"] if name not in splits]:
                raise DataError(f"{self.path} has no {' and no '.join(missing)} split, which training needs")
            if not self.allow_leaks:
                refuse_leaks(splits, self.path)

    def splits(self, stage: str | None = None) -> tuple[str, ...]:
        """Names of the splits that are there and that `stage` (fit, validate, test, predict) uses; None for all."""
        wanted = STAGES[stage] if stage is not None else ("train", "valid", "test", *EXTRAS)
        return tuple(name for name in wanted if name in self._read())

    def completions(self, split: str) -> list[LabelledCompletion]:
        """The rows of `split`, in the order of every array and index that this module gives for it."""
        splits = self._read()
        if split not in splits:
            raise DataError(f"{self.path} has no split {split!r}; {nearest(split, splits)}")
        return splits[split]

    def texts(self, split: str) -> list[tuple[str, str]]:
        """Prompt and completion of each row."""
        return [(row.prompt, row.completion) for row in self.completions(split)]

    def rows(self, split: str) -> LabelledRows:
        """Labels, prompt clusters, sources and natural weights of each row."""
        if split not in self._rows:
            rows = self.completions(split)
            self._rows[split] = LabelledRows(
                labels=np.array([row.label_number for row in rows], dtype=np.int8),
                prompts=np.array(prompt_groups(rows), dtype=np.int64),
                sources=np.array([row.source for row in rows], dtype=np.str_),
                natural_weights=np.array([row.natural_weight for row in rows], dtype=np.float64),
            )
        return self._rows[split]

    def row_count(self, split: str) -> int:
        """How many rows `split` has."""
        return len(self.completions(split))

    def mixture(self) -> Mixture:
        """The training rows with their targets and weights."""
        if self._mixture is None:
            rows = self.completions("train")
            mixture = make_mixture(rows, self.mixture_options)
            self._mixture = mixture if self.soft_labels is None else taught(mixture, rows, self.soft_labels)
        return self._mixture

    def class_counts(self) -> ClassCounts:
        """Injurious and safe rows that the loss sees in an epoch: of the mixture, resampled, weighted, soft in part."""
        positives, negatives = self.mixture().counts()
        return ClassCounts(positives=positives, negatives=negatives)

    # ---- tokens

    @property
    def tokenizer_fingerprint(self) -> str:
        """What the tokens depend on besides the texts."""
        return self._pair_tokenizer().fingerprint

    def pairs(self, split: str) -> EncodedPairs:
        """The tokens of each row of `split`, from the cache if another run has made them."""
        if split not in self._pairs:
            tokenizer = self._pair_tokenizer()
            try:
                self._pairs[split] = tokenise(self.texts(split), tokenizer)
            except DataError as error:
                raise DataError(f"{self.path}, split {split!r}: {error}") from error
        return self._pairs[split]

    def use_hidden(self, split: str, hidden: CachedHidden) -> None:
        """Batch the outputs of the frozen layers instead of tokens for `split`."""
        self._hidden[split] = hidden

    # ---- loaders

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches of the mixture."""
        mixture = self.mixture()
        order = TrainingOrder(
            lengths=np.asarray(self.pairs("train").lengths, dtype=np.int64),
            draw=mixture.draw,
            batch_size=self.batch_size,
            seed=self.seed,
            ranks=self._ranks(),
            bucket_steps=self.bucket_steps,
            drop_last=self.drop_last,
        )
        return BatchLoader(with_targets(self._collate("train"), mixture.targets, mixture.weights), order)

    def val_dataloader(self) -> EvaluationLoader:
        """All validation rows."""
        return self.evaluation_loader("valid")

    def test_dataloader(self) -> list[EvaluationLoader]:
        """All rows of the test split and of the extra test sets, in the order of `splits("test")`."""
        return [self.evaluation_loader(split) for split in self._present("test")]

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """The same as for testing; `row` puts the scores back in order."""
        return [self.evaluation_loader(split) for split in self._present("predict")]

    def evaluation_loader(self, split: str) -> EvaluationLoader:
        """Every row of `split` once, over all ranks."""
        labels = self.rows(split).labels
        collate = with_targets(self._collate(split), labels.astype(np.float32), (labels >= 0).astype(np.float32))
        lengths = np.asarray(self.pairs(split).lengths, dtype=np.int64)
        return EvaluationLoader(collate, EvaluationOrder(lengths, self.evaluation_batch_size, self._ranks()))

    # ---- inner parts

    def _read(self) -> Splits:
        if not self._splits:
            splits = read(self.path, shares=self.shares)
            if "train" in splits:
                splits["train"] = rows_within_share(splits["train"], self.share)
                if not splits["train"]:
                    raise DataError(f"{self.path} has no training rows within share {list(self.share)}")
            self._splits = {name: limited(rows, self.limit_rows) for name, rows in splits.items()}
        return self._splits

    def _present(self, stage: str) -> tuple[str, ...]:
        present = self.splits(stage)
        if not present:
            raise DataError(f"{self.path} has no {' or '.join(STAGES[stage])} split")
        return present

    def _pair_tokenizer(self) -> PairTokenizer:
        if self._tokenizer is None:
            from nines.models.pairs import PairTokenizer

            self._tokenizer = PairTokenizer(self.tokenizer_source, max_tokens=self.max_tokens)
        return self._tokenizer

    def _collate(self, split: str) -> Collate:
        return self._hidden[split].collate if split in self._hidden else self.pairs(split).collate

    def _ranks(self) -> Ranks:
        if self.trainer is None:
            return Ranks()
        return Ranks(rank=self.trainer.global_rank, world_size=self.trainer.world_size)
