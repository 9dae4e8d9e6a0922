"""The data module of language models: stories and completions in memory, balanced by source, mixed, packed, batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import lightning as L

from datamodules.loader import BatchLoader, Collate, EvaluationLoader
from datamodules.order import EvaluationOrder, Ranks, TrainingOrder
from datamodules.packed_texts import LossOn, TokenisedTexts, tokenise_stories
from datamodules.prompt_files import place
from datamodules.source_weights import SourceDraw, report
from datamodules.splitting import DEFAULT_SHARES, check_shares, limited
from datamodules.stories import Story, read_stories
from nines.errors import ConfigError, DataError, nearest

STAGES: dict[str, tuple[str, ...]] = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",)}


class Fiction(L.LightningDataModule):
    """Batches of texts for a causal language model, see `datamodules.packed_texts.TokenisedTexts.collate`.

    Args:
        path: What `datamodules.stories.read_stories` takes, or several of them, whose splits are put together.
        tokenizer: Source of the tokenizer: the model's source.
        max_tokens: Longest text; a longer one is cut into pieces, a longer prompt loses its start.
        packed_tokens: Put several texts into rows of at most so many tokens, at least `max_tokens`; None gives each
            text its row. Attention never crosses texts.
        loss_on: `completion` counts the tokens of completions only, `all` those of prompts, too. Stories count whole.
        end_token: Learn where a story ends. False for completions of single sentences that sampling ends by itself:
            a model that has learned to end behind a sentence ends behind the prompt's, too.
        batch_size: Training texts of one rank in one step.
        evaluation_batch_size: Texts of one rank in one evaluation step.
        sources: Train and evaluate on these sources only; None takes all.
        labels: Train and evaluate on completions with these labels only (yes, no, unsure); None takes all.
        weights: By source, its share of an epoch's tokens, in any unit; None draws every text once.
        share: Start and end of the share of the training prompts to use, decided by a hash of their text, as
            `datamodules.prompts` divides them.
        shares: Shares of prompts and sections for train, valid and test where the data name no splits.
        limit_texts: At most this many rows of each split, chosen by a hash, for quick tests.
        bucket_steps: Steps whose texts are sorted by length together; 1 for a plain shuffle.
        drop_last: Leave texts out of an epoch so that every batch is full.
        seed: Decides the draws and the order.

    Raises:
        DataError: The texts are missing or do not fit.
        ConfigError: An option is out of range, or contradicts the texts.
    """

    def __init__(
        self,
        *,
        path: str | Sequence[str] = "embedded:injury",
        tokenizer: str,
        max_tokens: int = 128,
        packed_tokens: int | None = None,
        loss_on: LossOn = "completion",
        end_token: bool = True,
        batch_size: int = 32,
        evaluation_batch_size: int = 32,
        sources: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        share: Sequence[float] = (0.0, 1.0),
        shares: Sequence[float] = DEFAULT_SHARES,
        limit_texts: int | None = None,
        bucket_steps: int = 16,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_shares(shares)
        checks = {
            "loss_on must be completion or all": loss_on in get_args(LossOn),
            "max_tokens must be at least 8": max_tokens >= 8,
            "packed_tokens must be at least max_tokens": packed_tokens is None or packed_tokens >= max_tokens,
            "limit_texts must be at least 1": limit_texts is None or limit_texts >= 1,
            "share must be [start, end] with 0 <= start < end <= 1": len(share) == 2 and 0 <= share[0] < share[1] <= 1,
        }
        for reason, holds in checks.items():
            if not holds:
                raise ConfigError(f"datamodule.{reason} (got {dict(self.hparams)})")
        self.paths = (path,) if isinstance(path, str) else tuple(path)
        self.tokenizer_source = tokenizer
        self.max_tokens, self.packed_tokens = max_tokens, packed_tokens
        self.loss_on, self.end_token = loss_on, end_token
        self.batch_size, self.evaluation_batch_size = batch_size, evaluation_batch_size
        self.sources = None if sources is None else tuple(sources)
        self.labels = None if labels is None else tuple(labels)
        self.weights = None if weights is None else dict(weights)
        self.share, self.shares, self.limit_texts = tuple(share), tuple(shares), limit_texts
        self.bucket_steps, self.drop_last, self.seed = bucket_steps, drop_last, seed
        self._stories: dict[str, list[Story]] = {}
        self._texts: dict[str, TokenisedTexts] = {}
        self._tokenizer: Any = None
        self._loader: BatchLoader | None = None

    # ---- texts

    def setup(self, stage: str | None = None) -> None:
        """Read all splits, and tokenise those that `stage` uses."""
        for split in STAGES.get(stage or "fit", ("test",)):
            if stage in ("fit", "validate", None) or split in self._read():
                self.texts(split)

    def splits(self, stage: str | None = None) -> tuple[str, ...]:
        """Names of the splits that are there and that `stage` (fit, validate, test) uses; None for all."""
        wanted = STAGES[stage] if stage is not None else ("train", "valid", "test")
        return tuple(name for name in wanted if name in self._read())

    def stories(self, split: str) -> list[Story]:
        """The texts of `split` before they are tokenised."""
        splits = self._read()
        if split not in splits:
            raise DataError(
                f"{', '.join(self.paths)}: no text is left for the split {split!r}; {nearest(split, splits)}"
            )
        return splits[split]

    def texts(self, split: str) -> TokenisedTexts:
        """The tokens of `split`."""
        if split not in self._texts:
            tokenizer = self._load_tokenizer()
            self._texts[split] = tokenise_stories(
                self.stories(split),
                tokenizer,
                max_tokens=self.max_tokens,
                loss_on=self.loss_on,
                end_token=self.end_token,
                pad=tokenizer.pad_token_id,
            )
        return self._texts[split]

    def source_names(self, split: str) -> tuple[str, ...]:
        """What the numbers in `source` of a batch of `split` stand for."""
        return self.texts(split).sources

    # ---- loaders

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches of what an epoch draws."""
        self._loader = BatchLoader(self._collate("train"), self.order())
        return self._loader

    def val_dataloader(self) -> EvaluationLoader:
        """All validation texts."""
        return self.evaluation_loader("valid")

    def test_dataloader(self) -> EvaluationLoader:
        """All texts of the test split."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: str) -> EvaluationLoader:
        """Every text of `split` once, over all ranks."""
        order = EvaluationOrder(self.texts(split).lengths, self.evaluation_batch_size, self._ranks())
        return EvaluationLoader(self._collate(split), order)

    def order(self) -> TrainingOrder:
        """Which texts are in which batch of this rank."""
        texts = self.texts("train")
        return TrainingOrder(
            lengths=texts.lengths,
            draw=SourceDraw(texts, self.weights, self.seed),
            batch_size=self.batch_size,
            seed=self.seed,
            ranks=self._ranks(),
            bucket_steps=self.bucket_steps,
            drop_last=self.drop_last,
        )

    # ---- figures

    def tokens_per_batch(self) -> float:
        """Tokens that the loss counts in a batch of one rank, on average over the first epoch."""
        order = self.order()
        drawn = order.draw(0)
        if self.drop_last:
            return float(self.texts("train").loss_tokens[drawn].mean()) * self.batch_size
        return float(self.texts("train").loss_tokens[drawn].sum()) / (order.steps * order.ranks.world_size)

    def drawn(self) -> dict[str, Any]:
        """What training has drawn so far on all ranks: the whole, and epoch by epoch, by source.

        It follows from the seed and the loader's place, so that a resumed run reports all that it ever drew.
        """
        if self._loader is None:
            return {}
        texts, order = self.texts("train"), self._loader.order
        world = order.ranks.world_size
        every = [replace(order, ranks=Ranks(rank=rank, world_size=world)) for rank in range(world)]
        epochs = []
        for epoch in range(self._loader.epoch + 1):
            until = self._loader.position if epoch == self._loader.epoch else len(self._loader)
            epochs.append([batch for one in every for batch in one.batches(epoch)[:until]])
        return {
            "whole": report(texts, [batch for batches in epochs for batch in batches]),
            "epochs": [report(texts, batches) for batches in epochs],
        }

    # ---- inner parts

    def _read(self) -> dict[str, list[Story]]:
        if not self._stories:
            found: dict[str, list[Story]] = {}
            for path in self.paths:
                for split, stories in read_stories(path, shares=self.shares).items():
                    found.setdefault(split, []).extend(stories)
            self._check_sources(found)
            kept = {
                split: [story for story in stories if self._keeps(story, split)] for split, stories in found.items()
            }
            self._stories = {split: limited(stories, self.limit_texts) for split, stories in kept.items() if stories}
            if "train" not in self._stories:
                raise ConfigError("no text is left to train on; check datamodule.sources, labels and share")
        return self._stories

    def _check_sources(self, found: Mapping[str, Sequence[Story]]) -> None:
        known = {story.source for stories in found.values() for story in stories}
        for source in self.sources or ():
            if source not in known:
                raise ConfigError(f"datamodule.sources: no text has source {source!r}; {nearest(source, known)}")

    def _keeps(self, story: Story, split: str) -> bool:
        if self.sources is not None and story.source not in self.sources:
            return False
        if self.labels is not None and story.label not in self.labels:
            return False
        return split != "train" or self.share[0] <= place(story.group, "share") < self.share[1]

    def _load_tokenizer(self) -> Any:
        if self._tokenizer is None:
            from nines.models.causal_loading import load_tokenizer
            from nines.models.weights import resolve

            self._tokenizer = load_tokenizer(resolve(self.tokenizer_source))
        return self._tokenizer

    def _collate(self, split: str) -> Collate:
        return partial(self.texts(split).collate, packed_tokens=self.packed_tokens)

    def _ranks(self) -> Ranks:
        if self.trainer is None:
            return Ranks()
        return Ranks(rank=self.trainer.global_rank, world_size=self.trainer.world_size)
