"""How many texts of each source an epoch draws, and a report of what was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.packed_texts import TokenisedTexts
from nines.errors import ConfigError, nearest


@dataclass(frozen=True)
class SourceDraw:
    """Which texts an epoch holds.

    Attributes:
        texts: The training split.
        weights: By source, its share of an epoch's tokens, in any unit; sources that it does not name are left out.
            None draws every text once.
        seed: Decides which texts are drawn.

    Raises:
        ConfigError: An unknown source, or weights that are none.
    """

    texts: TokenisedTexts
    weights: Mapping[str, float] | None
    seed: int

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        for source, weight in self.weights.items():
            if source not in self.texts.sources:
                raise ConfigError(f"datamodule.weights: no source {source!r}; {nearest(source, self.texts.sources)}")
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"datamodule.weights.{source}={weight} must be a number that is not negative")
        if not sum(self.weights.values()) > 0:
            raise ConfigError("datamodule.weights: at least one source must have a weight above 0")

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """The texts of `epoch`, ascending; every epoch has as many.

        Each source is gone through whole as often as its share allows, and a random part of it fills the rest, another
        one in each epoch. All texts of the weighted sources together decide the number of tokens.
        """
        if self.weights is None:
            return np.arange(len(self.texts), dtype=np.int64)
        random = np.random.default_rng([self.seed, epoch, 1])
        drawn = []
        for source, count in self.counts().items():
            texts = np.flatnonzero(self.texts.source == self.texts.sources.index(source))
            repeats, rest = divmod(count, len(texts))
            drawn += [texts] * repeats
            drawn.append(random.choice(texts, rest, replace=False))
        return np.sort(np.concatenate(drawn)).astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Texts of each source in an epoch."""
        tokens = {source: self.texts.lengths[self._of(source)] for source in self.texts.sources}
        if self.weights is None:
            return {source: len(lengths) for source, lengths in tokens.items()}
        kept = {source: weight for source, weight in self.weights.items() if weight > 0}
        whole = sum(int(tokens[source].sum()) for source in kept)
        total = sum(kept.values())
        return {
            source: max(1, round(whole * weight / total / float(tokens[source].mean())))
            for source, weight in kept.items()
        }

    def _of(self, source: str) -> NDArray[np.bool_]:
        return np.asarray(self.texts.source == self.texts.sources.index(source))


def report(texts: TokenisedTexts, drawn: Iterable[NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """What `drawn` (indices, batch by batch) held of each source.

    Returns:
        By source: `documents` and how many `distinct` ones, `tokens`, `loss_tokens`, and `share` of all tokens.
    """
    chosen = [np.asarray(batch, dtype=np.int64) for batch in drawn]
    index = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
    whole = int(texts.lengths[index].sum())
    found = {}
    for number, source in enumerate(texts.sources):
        own = index[texts.source[index] == number]
        tokens = int(texts.lengths[own].sum())
        found[source] = {
            "documents": len(own),
            "distinct": len(np.unique(own)),
            "tokens": tokens,
            "loss_tokens": int(texts.loss_tokens[own].sum()),
            "share": round(tokens / whole, 6) if whole else 0.0,
        }
    return found
