import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoTokenizer

from nines.errors import DataError
from nines.models.baselines import STRENGTHS, FrozenEmbeddingBaseline, LabelledPairs, TfidfBaseline
from nines.models.weights import resolve

HARM = ["blood ran down", "bones broke", "her hand burned", "he fell hard"]
CALM = ["nothing happened", "they laughed", "dogs slept", "tea was served"]


def labelled(rows: int, *, seed: int, noise: float = 0.0) -> LabelledPairs:
    """Completions whose words tell the class, but for a share of `noise`; prompts tell nothing."""
    random = np.random.default_rng(seed)
    positive = np.arange(rows) % 3 == 0
    shown = positive ^ (random.random(rows) < noise)
    pairs = [
        (f"The {random.choice(['road', 'house', 'sea'])} was dark.", f"Then {random.choice(HARM if harm else CALM)}.")
        for harm in shown
    ]
    return LabelledPairs(pairs=pairs, positive=positive)


def test_a_separable_set_is_separated_by_both_baselines() -> None:
    train, valid, test = (labelled(60, seed=seed) for seed in range(3))
    embeddings = FrozenEmbeddingBaseline("tiny:bert", max_tokens=64)
    for baseline in (TfidfBaseline(), embeddings):
        scores = baseline.fit(train, valid).scores(test.pairs)
        assert scores.shape == (60,)
        assert roc_auc_score(test.positive, scores) > 0.99


def test_tfidf_equals_scikit_learns_own_pipeline_at_the_strength_that_validates_best() -> None:
    train, valid, test = (labelled(90, seed=seed, noise=0.15) for seed in range(3))

    def features(split: LabelledPairs) -> sparse.csr_matrix:
        sides = []
        for side in (1, 0):
            vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
            vectorizer.fit([pair[side] for pair in train.pairs])
            sides.append(vectorizer.transform([pair[side] for pair in split.pairs]))
        return sparse.hstack(sides).tocsr()

    references = [
        LogisticRegression(C=strength, max_iter=2000).fit(features(train), train.positive) for strength in STRENGTHS
    ]
    validated = [
        roc_auc_score(valid.positive, model.predict_proba(features(valid))[:, 1], max_fpr=0.1) for model in references
    ]
    expected = references[int(np.argmax(validated))].predict_proba(features(test))[:, 1]
    np.testing.assert_allclose(TfidfBaseline().fit(train, valid).scores(test.pairs), expected, atol=1e-6)


@pytest.mark.parametrize("source", ["tiny:bert", "tiny:deberta", "tiny:modernbert"])
def test_embeddings_are_the_means_that_transformers_itself_gives_in_the_order_of_the_pairs(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nines.models.baselines.cpu_has_native_bf16", lambda: False)  # compared in float32
    pairs = [("A dark road.", "He fell."), ("The sea.", "They laughed and laughed and went home."), ("Tea.", "No.")]
    baseline = FrozenEmbeddingBaseline(source, max_tokens=64, batch_size=2)
    folder = resolve(source)
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = baseline.embed(pairs)
    for row, (prompt, completion) in enumerate(pairs):
        encoded = tokenizer(prompt, completion, return_tensors="pt")
        of_completion = torch.tensor([sequence == 1 for sequence in encoded.sequence_ids(0)])
        if source == "tiny:bert":  # its tokenizer file lacks the token types that the model was made with
            start = int(of_completion.nonzero()[0])
            encoded["token_type_ids"] = (torch.arange(len(of_completion)) >= start).long()[None]
        with torch.inference_mode():
            hidden = encoder(**encoded).last_hidden_state[0]
        expected = torch.cat([hidden.mean(0), hidden[of_completion].mean(0)])
        np.testing.assert_allclose(found[row], expected.numpy(), atol=1e-5)


def test_embedding_scores_equal_scikit_learn_on_standardised_embeddings() -> None:
    train, valid, test = (labelled(60, seed=seed, noise=0.2) for seed in range(3))
    baseline = FrozenEmbeddingBaseline("tiny:bert", max_tokens=64).fit(train, valid)
    scale = StandardScaler().fit(baseline.embed(train.pairs))
    inputs = [scale.transform(baseline.embed(split.pairs)) for split in (train, valid, test)]
    references = [LogisticRegression(C=c, max_iter=2000).fit(inputs[0], train.positive) for c in STRENGTHS]
    validated = [roc_auc_score(valid.positive, m.predict_proba(inputs[1])[:, 1], max_fpr=0.1) for m in references]
    expected = references[int(np.argmax(validated))].predict_proba(inputs[2])[:, 1]
    np.testing.assert_allclose(baseline.scores(test.pairs), expected, atol=1e-5)


def test_a_missing_class_and_a_baseline_that_was_not_fitted_are_refused() -> None:
    with pytest.raises(DataError, match="one of the two is missing"):
        LabelledPairs(pairs=[("a", "b")] * 2, positive=np.array([True, True]))
    embeddings = FrozenEmbeddingBaseline("tiny:bert", max_tokens=64)
    for baseline in (TfidfBaseline(), embeddings):
        with pytest.raises(DataError, match="fit the baseline before"):
            baseline.scores([("a", "b")])
