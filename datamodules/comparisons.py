"""The data module of the reward model: judged pairs in memory, tokenised once, each pair in one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.comparison_reading import ComparisonSplits, read_comparisons
from datamodules.comparison_schema import Comparison
from datamodules.loader import Batch, BatchLoader, Collate, EvaluationLoader
from datamodules.order import EvaluationOrder, Ranks, Rows, TrainingOrder
from datamodules.prompt_files import check_share, rows_within_share
from datamodules.splitting import DEFAULT_SHARES, check_shares, limited, prompt_groups, refuse_leaks
from datamodules.tokenised import tokenise
from nines.errors import ConfigError, DataError, nearest
from nines.statistics.comparisons import FIRST, SECOND, TIE, JudgedPairs

if TYPE_CHECKING:
    from nines.models.pairs import EncodedPairs, PairTokenizer
    from nines.models.trunk_cache import CachedHidden

Readings = Literal["soft", "agreed"]
STAGES: dict[str, tuple[str, ...]] = {
    "fit": ("train", "valid"),
    "validate": ("valid",),
    "test": ("test",),
    "predict": ("test",),
}


class Comparisons(L.LightningDataModule):
    """Batches of judged pairs: the encoder's inputs of both completions, and what each reading prefers.

    The inputs have `2 * batch` rows, the first and the second completion of each pair in turn. With them come `outcome`
    (1 the first is better, 0 a tie, -1 the second), `share` and `clarity`, each `(batch, readings)`, and `row`, int64
    `(batch,)`, the place in `judged(split)`.

    Readers lean to what they read first, so which of `a` and `b` is the first is drawn once for each pair, by a hash of
    its name and the seed: the same in every epoch, process and run.

    Args:
        path: What `datamodules.comparison_reading.read_comparisons` takes: a file, a folder, `embedded:injury` or
            `hub:<organisation>/<name>`.
        tokenizer: Source of the tokenizer: the encoder's source.
        max_tokens: Longest prompt and completion in tokens; the prompt is cut from its left, the completion never.
        batch_size: Training pairs of one rank in one step.
        evaluation_batch_size: Pairs of one rank in one evaluation step.
        readings: In training, a pair that was read more than once has a share for each reading (`soft`), or only the
            preference that all come to (`agreed`), a tie where they differ. Evaluation keeps all readings.
        ties: Train on pairs whose readings come to a tie, too.
        share: Start and end of the share of the training prompts to use, decided by a hash of their text, as
            `datamodules.prompts` divides them. Validation and test are whole.
        shares: Shares of the prompts for train, valid and test when one file holds all pairs.
        allow_leaks: Train even if a prompt lies in several splits.
        limit_rows: At most this many pairs of each split, chosen by a hash of their names, for quick tests.
        bucket_steps: Steps whose pairs are sorted by length together; 1 for a plain shuffle.
        drop_last: Leave pairs out of an epoch so that every batch is full.
        seed: Decides the order in an epoch and in a pair.

    Raises:
        DataError: The pairs are missing, do not fit the schema, or leak across splits.
        ConfigError: An option is out of range.
    """

    def __init__(
        self,
        *,
        path: str = "embedded:injury",
        tokenizer: str,
        max_tokens: int,
        batch_size: int = 16,
        evaluation_batch_size: int = 64,
        readings: Readings = "soft",
        ties: bool = True,
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
            raise ConfigError(f"datamodule.limit_rows={limit_rows} must be at least 1; null takes all pairs")
        if readings not in get_args(Readings):
            raise ConfigError(f"datamodule.readings={readings!r}: {nearest(readings, get_args(Readings))}")
        self.path = path
        self.share, self.shares, self.allow_leaks = check_share(share), tuple(shares), allow_leaks
        self.limit_rows = limit_rows
        self.tokenizer_source = tokenizer
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.readings = readings
        self.ties = ties
        self.bucket_steps = bucket_steps
        self.drop_last = drop_last
        self.seed = seed
        self._splits: ComparisonSplits = {}
        self._tokenizer: PairTokenizer | None = None
        self._pairs: dict[str, EncodedPairs] = {}
        self._hidden: dict[str, CachedHidden] = {}
        self._judged: dict[str, JudgedPairs] = {}

    # ---- pairs

    def setup(self, stage: str | None = None) -> None:
        """Read and check all splits; later calls find it done."""
        splits = self._read()
        if stage in ("fit", None):
            if missing := [name for name in STAGES["fit"] if name not in splits]:
                raise DataError(f"{self.path} has no {' and no '.join(missing)} comparisons, which training needs")
            if not self.allow_leaks:
                refuse_leaks(splits, self.path)

    def splits(self, stage: str | None = None) -> tuple[str, ...]:
        """Names of the splits that are there and that `stage` (fit, validate, test, predict) uses; None for all."""
        wanted = STAGES[stage] if stage is not None else ("train", "valid", "test")
        return tuple(name for name in wanted if name in self._read())

    def comparisons(self, split: str) -> list[Comparison]:
        """The pairs of `split`, in the order of every array and index that this module gives for it."""
        splits = self._read()
        if split not in splits:
            raise DataError(f"{self.path} has no split {split!r}; {nearest(split, splits)}")
        return splits[split]

    def row_count(self, split: str) -> int:
        """How many pairs `split` has."""
        return len(self.comparisons(split))

    def texts(self, split: str) -> list[tuple[str, str, str]]:
        """Prompt, first and second completion of each pair, in the order in which they are presented."""
        return [
            (row.prompt, row.b, row.a) if self._swapped(row) else (row.prompt, row.a, row.b)
            for row in self.comparisons(split)
        ]

    def judged(self, split: str) -> JudgedPairs:
        """What the readers say of each pair as it is presented."""
        if split not in self._judged:
            self._judged[split] = self._judge(split)
        return self._judged[split]

    # ---- tokens

    @property
    def tokenizer_fingerprint(self) -> str:
        """What the tokens depend on besides the texts."""
        return self._pair_tokenizer().fingerprint

    def pairs(self, split: str) -> EncodedPairs:
        """The tokens of prompt and completion: rows `2 i` and `2 i + 1` are the first and the second of pair `i`."""
        if split not in self._pairs:
            both = [(prompt, text) for prompt, first, second in self.texts(split) for text in (first, second)]
            try:
                self._pairs[split] = tokenise(both, self._pair_tokenizer())
            except DataError as error:
                raise DataError(f"{self.path}, comparisons of {split!r}: {error}") from error
        return self._pairs[split]

    def use_hidden(self, split: str, hidden: CachedHidden) -> None:
        """Batch the outputs of the frozen layers instead of tokens for `split`."""
        self._hidden[split] = hidden

    # ---- loaders

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches of the training pairs."""
        judged = self.judged("train")
        kept = np.arange(len(judged)) if self.ties else np.flatnonzero(judged.outcomes != TIE)
        order = TrainingOrder(
            lengths=self._lengths("train"),
            draw=lambda epoch: kept,  # noqa: ARG005  every epoch has all pairs
            batch_size=self.batch_size,
            seed=self.seed,
            ranks=self._ranks(),
            bucket_steps=self.bucket_steps,
            drop_last=self.drop_last,
        )
        return BatchLoader(self._collate("train", agreed=self.readings == "agreed"), order)

    def val_dataloader(self) -> EvaluationLoader:
        """All validation pairs."""
        return self.evaluation_loader("valid")

    def test_dataloader(self) -> list[EvaluationLoader]:
        """All test pairs, as a list of one, like the classifier's."""
        return [self.evaluation_loader(split) for split in self._present("test")]

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """The same as for testing; `row` puts the scores back in order."""
        return [self.evaluation_loader(split) for split in self._present("predict")]

    def evaluation_loader(self, split: str) -> EvaluationLoader:
        """Every pair of `split` once, over all ranks."""
        order = EvaluationOrder(self._lengths(split), self.evaluation_batch_size, self._ranks())
        return EvaluationLoader(self._collate(split), order)

    # ---- inner parts

    def _read(self) -> ComparisonSplits:
        if not self._splits:
            splits = read_comparisons(self.path, shares=self.shares)
            if "train" in splits:
                splits["train"] = rows_within_share(splits["train"], self.share)
                if not splits["train"]:
                    raise DataError(f"{self.path} has no training pairs within share {list(self.share)}")
            self._splits = {name: limited(rows, self.limit_rows) for name, rows in splits.items()}
        return self._splits

    def _present(self, stage: str) -> tuple[str, ...]:
        present = self.splits(stage)
        if not present:
            raise DataError(f"{self.path} has no {' or '.join(STAGES[stage])} comparisons")
        return present

    def _swapped(self, row: Comparison) -> bool:
        return bool(hashlib.sha256(f"{self.seed}:{row.id}".encode()).digest()[0] & 1)

    def _judge(self, split: str) -> JudgedPairs:
        rows = self.comparisons(split)
        width = max(len(row.judgements) for row in rows)
        readings = np.zeros((len(rows), width), dtype=np.int8)
        shares = np.zeros((len(rows), width), dtype=np.float32)
        clarity = np.zeros((len(rows), width), dtype=np.float32)
        outcomes = np.zeros(len(rows), dtype=np.int8)
        for place, row in enumerate(rows):
            side = {"tie": TIE, "a": FIRST, "b": SECOND}
            if self._swapped(row):
                side |= {"a": SECOND, "b": FIRST}
            outcomes[place] = side[row.preference]
            for number, judgement in enumerate(row.judgements):
                readings[place, number] = side[judgement.preference]
                shares[place, number] = 1 / len(row.judgements)
                clarity[place, number] = judgement.clarity or 0
        return JudgedPairs(
            outcomes=outcomes,
            readings=readings,
            shares=shares,
            clarity=clarity,
            prompts=np.array(prompt_groups(rows), dtype=np.int64),
            lengths=np.array([[len(first), len(second)] for _, first, second in self.texts(split)], dtype=np.int64),
        )

    def _lengths(self, split: str) -> NDArray[np.int64]:
        lengths: NDArray[np.int64] = np.asarray(self.pairs(split).lengths, dtype=np.int64).reshape(-1, 2)
        return np.maximum(lengths[:, 0], lengths[:, 1])

    def _collate(self, split: str, *, agreed: bool = False) -> Collate:
        judged = self.judged(split)
        encode = self._hidden[split].collate if split in self._hidden else self.pairs(split).collate
        outcome, share, clarity = judged.readings, judged.shares, judged.clarity
        if agreed:
            # The clarity of an agreed preference is the mean of its readings'; a tie has none.
            mean = (clarity * share).sum(axis=1, keepdims=True) * (judged.outcomes != TIE)[:, None]
            outcome, share, clarity = judged.outcomes[:, None], np.ones_like(mean), mean

        def collate(rows: Rows) -> Batch:
            both = np.stack([2 * rows, 2 * rows + 1], axis=1).reshape(-1)
            return {
                **encode(both),
                "outcome": torch.from_numpy(outcome[rows].astype(np.int64)),
                "share": torch.from_numpy(share[rows]),
                "clarity": torch.from_numpy(clarity[rows]),
                "row": torch.from_numpy(rows.astype(np.int64)),
            }

        return collate

    def _pair_tokenizer(self) -> PairTokenizer:
        if self._tokenizer is None:
            from nines.models.pairs import PairTokenizer

            self._tokenizer = PairTokenizer(self.tokenizer_source, max_tokens=self.max_tokens)
        return self._tokenizer

    def _ranks(self) -> Ranks:
        if self.trainer is None:
            return Ranks()
        return Ranks(rank=self.trainer.global_rank, world_size=self.trainer.world_size)
