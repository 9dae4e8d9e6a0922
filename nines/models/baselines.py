"""What a classifier must beat: logistic regression on word counts, and on embeddings of an encoder nobody fine-tuned.

The inverse regularisation strength of each is chosen on validation data; test data is never seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nines.errors import DataError
from nines.models.dropout import DropoutOptions
from nines.models.encoders import load_encoder
from nines.models.pairs import PairTokenizer
from nines.models.precision import cpu_has_native_bf16
from nines.models.weights import resolve
from nines.statistics.ranking import partial_auc

Pair = tuple[str, str]
STRENGTHS = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs with certain labels: `pairs` (n,), and `positive` (n,) of bool."""

    pairs: Sequence[Pair]
    positive: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.positive.all() or not self.positive.any():
            raise DataError("a baseline needs injurious and safe rows, and one of the two is missing")


class TfidfBaseline:
    """Logistic regression on TF-IDF of words and word pairs, of the completion and of the prompt apart.

    Args:
        seed: Of the solver.
    """

    name = "TF-IDF + logistic regression"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._prompts = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        self._completions = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        self._model: LogisticRegression | None = None

    def fit(self, train: LabelledPairs, valid: LabelledPairs) -> TfidfBaseline:
        """Fit on `train`, choosing the strength by partial AUC on `valid`."""
        self._prompts.fit([prompt for prompt, _ in train.pairs])
        self._completions.fit([completion for _, completion in train.pairs])
        self._model = _fit_best(
            self._features(train.pairs), train.positive, self._features(valid.pairs), valid.positive, seed=self.seed
        )
        return self

    def scores(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """P(injurious), shape (pairs,)."""
        return _fitted(self._model).predict_proba(self._features(pairs))[:, 1]  # type: ignore[no-any-return]

    def _features(self, pairs: Sequence[Pair]) -> Any:
        prompts = self._prompts.transform([prompt for prompt, _ in pairs])
        completions = self._completions.transform([completion for _, completion in pairs])
        return sparse.hstack([completions, prompts]).tocsr()


class FrozenEmbeddingBaseline:
    """Logistic regression on the mean of an untouched encoder's last layer, over all tokens and over the completion's.

    Args:
        source: The encoder, see `nines.models.weights`.
        max_tokens: Longest pair in tokens.
        seed: Of the solver.
        batch_size: Pairs in one forward pass.
    """

    name = "frozen embeddings + logistic regression"

    def __init__(self, source: str, *, max_tokens: int, seed: int = 0, batch_size: int = 64) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.tokenizer = PairTokenizer(source, max_tokens=max_tokens)
        self.encoder: Any = load_encoder(resolve(source), dropout=DropoutOptions()).eval()
        self._bf16 = cpu_has_native_bf16()  # half the time; standardised features lose nothing by it
        self._scale = StandardScaler()
        self._model: LogisticRegression | None = None

    def fit(self, train: LabelledPairs, valid: LabelledPairs) -> FrozenEmbeddingBaseline:
        """Fit on `train`, choosing the strength by partial AUC on `valid`."""
        features = self._scale.fit_transform(self.embed(train.pairs))
        chosen_on = self._scale.transform(self.embed(valid.pairs))
        self._model = _fit_best(features, train.positive, chosen_on, valid.positive, seed=self.seed)
        return self

    def scores(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """P(injurious), shape (pairs,)."""
        model = _fitted(self._model)
        return model.predict_proba(self._scale.transform(self.embed(pairs)))[:, 1]  # type: ignore[no-any-return]

    def embed(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Embeddings, shape (pairs, 2 · width)."""
        encoded = self.tokenizer.encode(list(pairs))
        result = np.empty((len(pairs), 2 * self.encoder.config.hidden_size), dtype=np.float32)
        by_length = np.argsort(encoded.lengths, kind="stable")
        for start in range(0, len(pairs), self.batch_size):
            rows = by_length[start : start + self.batch_size]
            batch = encoded.collate(rows)
            if "attention_mask" in batch:
                batch["attention_mask"] = batch["attention_mask"].long()  # DeBERTa-v2 calculates with it
            completion = batch.pop("completion_mask").unsqueeze(-1).float()
            whole = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).unsqueeze(-1).float()
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                hidden = self.encoder(**batch).last_hidden_state.float()
            means = [(hidden * mask).sum(1) / mask.sum(1) for mask in (whole, completion)]
            result[rows] = torch.cat(means, dim=1).numpy()
        return result


def _fit_best(
    features: Any, positive: NDArray[np.bool_], chosen_on: Any, chosen_positive: NDArray[np.bool_], *, seed: int
) -> LogisticRegression:
    fitted = [
        LogisticRegression(C=strength, max_iter=2000, random_state=seed).fit(features, positive)
        for strength in STRENGTHS
    ]
    return max(fitted, key=lambda model: partial_auc(model.predict_proba(chosen_on)[:, 1], chosen_positive))


def _fitted(model: LogisticRegression | None) -> LogisticRegression:
    if model is None:
        raise DataError("fit the baseline before asking it for scores")
    return model
