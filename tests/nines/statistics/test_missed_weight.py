import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.missed_weight import InjuriousScores


def test_completions_are_sorted_and_weights_summed_by_prompt():
    sample = InjuriousScores.of([0.9, 0.1, 0.5, 0.3], weights=[1, 2, 3, 0], prompts=["b", "a", "b", "c"])
    assert sample.scores.tolist() == [0.1, 0.5, 0.9]
    assert sample.totals.tolist() == [2.0, 4.0]
    assert sample.group.tolist() == [0, 1, 1]
    assert sample.effective_items == pytest.approx(36 / 20)


@pytest.mark.parametrize(("budget", "threshold"), [(0, 0.1), (1.9, 0.1), (2, 0.5), (5, 0.9), (100, 0.9)])
def test_the_highest_threshold_misses_at_most_the_budget(budget, threshold):
    sample = InjuriousScores.of([0.1, 0.5, 0.5, 0.9], weights=[2, 1, 2, 1])
    assert sample.highest_threshold(budget) == threshold
    assert sample.missed_weight(threshold) <= max(budget, 0)


def test_tied_scores_are_missed_together():
    sample = InjuriousScores.of([0.2, 0.2, 0.2, 0.7])
    assert sample.highest_threshold(2) == 0.2
    assert sample.highest_threshold(3) == 0.7
    assert sample.missed_count(0.7) == 3


def test_a_prompt_heavier_than_the_stated_bound_is_refused():
    sample = InjuriousScores.of([0.2, 0.3], weights=[1, 2], prompts=[0, 0])
    assert sample.largest(None) == 3.0
    with pytest.raises(ValueError, match="weigh 3"):
        sample.largest(2.9)


def test_without_weight_nothing_is_known():
    with pytest.raises(NoEstimateError, match="no injurious completion has a weight"):
        InjuriousScores.of([0.2], weights=[0])
    with pytest.raises(ValueError, match="prompts"):
        InjuriousScores.of(np.zeros(3), prompts=[1])
