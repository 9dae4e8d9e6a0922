import numpy as np
import pytest

from nines.statistics.labelled import LabelledRows
from nines.statistics.share_rules import acceptance_rule, false_positive_rate_rule
from nines.statistics.thresholds import fix_threshold


def rows(count=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 1, -1], count).astype(np.int8)
    return rng.random(count), LabelledRows(
        labels=labels,
        prompts=rng.integers(0, 60, count),
        sources=np.full(count, "generated"),
        natural_weights=rng.random(count) + 0.1,
    )


def test_the_false_positive_rule_is_that_of_training_with_its_interval():
    scores, sample = rows()
    found = false_positive_rate_rule(scores, sample, rate=0.1)
    assert found.threshold == fix_threshold(scores, sample, population="natural", rate=0.1).threshold
    assert found.observed["false_positive_rate"] <= 0.1 < found.observed["false_positive_rate_upper"]
    assert "Nothing is promised of the false negative rate" in found.guarantee


def test_the_acceptance_rule_counts_every_label_and_accepts_no_less():
    scores, sample = rows()
    found = acceptance_rule(scores, sample, share=0.8)
    weights = sample.natural_weights
    accepted = weights[scores < found.threshold].sum() / weights.sum()
    assert accepted >= 0.8
    assert weights[scores < np.nextafter(found.threshold, 0)].sum() / weights.sum() < 0.8
    assert found.observed["acceptance"] == pytest.approx(accepted)
    assert found.items == 200
