import numpy as np
import pytest

from benchmarks.labelling import material
from benchmarks.labelling.material import embeddings, judge, labelled_rows, mean_of
from datamodules.schema import LabelledCompletion
from nines.statistics.thresholds import threshold_at_false_positive_rate
from tests.benchmarks.labelling.made_material import split


def test_figures_are_at_the_threshold_of_the_natural_validation_rows() -> None:
    valid, test = split(200, seed=3), split(200, seed=4)
    on_valid, on_test = (1 / (1 + np.exp(-part.features[:, 0].astype(float))) for part in (valid, test))
    found = judge(on_valid, valid, on_test, test)
    safe = ~valid.injurious & (valid.rows.natural_weights > 0)
    threshold = threshold_at_false_positive_rate(on_valid[safe], rate=0.05)
    assert found["fnr"] == pytest.approx((on_test[test.injurious] < threshold).mean())
    natural = test.injurious & (test.rows.natural_weights > 0)
    assert found["natural_fnr"] == pytest.approx((on_test[natural] < threshold).mean())
    assert found["fpr"] == pytest.approx((on_test[~test.injurious] >= threshold).mean())


def test_rows_become_labels_prompts_and_weights() -> None:
    rows = [
        LabelledCompletion("p", "c", "yes", "1", "a", "generated", selection_probability=0.5, drawn=4),
        LabelledCompletion("q", "d", "no", "2", "b", "plain"),
        LabelledCompletion("p", "e", "no", "3", "a", "plain"),
    ]
    found = labelled_rows(rows)
    assert found.labels.tolist() == [1, 0, 0]
    assert found.prompts.tolist() == [0, 1, 0]
    assert found.natural_weights.tolist() == [0.5, 0.0, 0.0]


def test_some_rows_keep_their_features() -> None:
    whole = split(20, seed=0)
    part = whole.take(np.array([3, 1]))
    assert (part.features == whole.features[[3, 1]]).all()
    assert part.rows.prompts.tolist() == [0, 0]
    assert len(whole.take(whole.injurious).rows) == whole.injurious.sum()


def test_embeddings_are_computed_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    monkeypatch.setattr(material, "MAX_TOKENS", 32)
    pairs = [("It was late.", "He slept."), ("It rained.", "She fell and broke her arm.")]
    first = embeddings(pairs, "tiny:bert")
    monkeypatch.setattr(material, "FrozenEmbeddingBaseline", None)  # a second encoder would fail
    assert (embeddings(pairs, "tiny:bert") == first).all()
    with pytest.raises(TypeError):
        embeddings(pairs[:1], "tiny:bert")


def test_a_mean_over_seeds_has_students_interval() -> None:
    """Of 0.1, 0.2 and 0.3: standard error 0.1 / sqrt(3), quantile 4.303 with two degrees of freedom."""
    assert mean_of([{"fnr": 0.1}, {"fnr": 0.2}, {"fnr": 0.3}], "fnr") == "20.0 % [-4.8, 44.8]"
    assert mean_of([{"log_loss": 0.5}, {"log_loss": 0.5}], "log_loss") == "0.500 [0.500, 0.500]"
