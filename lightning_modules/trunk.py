"""Gives a data module the outputs of the classifier's frozen layers, from disk or computed now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from nines.models.classifier import PairClassifier
from nines.models.encoded_pairs import EncodedPairs
from nines.models.trunk_cache import CachedHidden, TrunkCache, trunk_fingerprint

TrunkProgress = Callable[[str, int, int], None]


class PairSplits(Protocol):
    """What is needed of a data module."""

    @property
    def tokenizer_fingerprint(self) -> str:
        """What the tokens depend on besides the texts."""

    def pairs(self, split: str) -> EncodedPairs:
        """The tokens of a split."""

    def use_hidden(self, split: str, hidden: CachedHidden) -> None:
        """Batch `hidden` instead of tokens."""


def use_trunk_cache(
    model: PairClassifier,
    data: PairSplits,
    splits: Sequence[str],
    *,
    precision: str,
    progress: TrunkProgress | None = None,
) -> None:
    """Let `data` batch the outputs of the frozen layers of `model` for each of `splits`.

    Args:
        model: With at least one frozen layer.
        data: The data module.
        splits: Names of its splits.
        precision: Lightning's name of the precision of the training.
        progress: Called with the split, the tokens done and all its tokens, where they are computed.

    Raises:
        CapabilityError: The cache keeps no outputs of that precision.
        StorageError: The disk has no room, or refuses.
    """
    fingerprint = trunk_fingerprint(model)
    for split in splits:

        def report(done: int, total: int, *, split: str = split) -> None:
            if progress is not None:
                progress(split, done, total)

        hidden = TrunkCache.open_or_build(
            model,
            data.pairs(split),
            tokenizer_fingerprint=data.tokenizer_fingerprint,
            precision=precision,
            progress=report,
            weights_fingerprint=fingerprint,
        )
        data.use_hidden(split, hidden)
