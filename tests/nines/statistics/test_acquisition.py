import numpy as np
import pytest

from nines.statistics.acquisition import (
    accepted_among_rejected,
    highest,
    just_below,
    rejected_siblings,
    uncertainty,
)

SCORES = np.array([0.1, 0.45, 0.55, 0.9, 0.3, 0.48])
PROMPTS = np.array(["a", "a", "a", "a", "b", "c"])


def by_signal(signal: np.ndarray) -> list[int]:
    return np.argsort(-signal, kind="stable").tolist()


def test_uncertainty_is_highest_at_one_half() -> None:
    assert by_signal(uncertainty([0.9, 0.5, 0.4, 0.99])) == [1, 2, 0, 3]


def test_the_accepted_nearest_to_the_threshold_come_first_then_the_rejected() -> None:
    assert by_signal(just_below(SCORES, threshold=0.5)) == [5, 1, 4, 0, 2, 3]
    assert by_signal(just_below(SCORES, threshold=0.1)) == [0, 4, 1, 5, 2, 3]  # none is accepted


def test_the_share_of_rejected_siblings_leaves_the_completion_itself_out() -> None:
    found = rejected_siblings(SCORES, PROMPTS, threshold=0.5)
    assert found == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3, 0, 0])


def test_accepted_ones_among_rejected_siblings_come_first() -> None:
    assert by_signal(accepted_among_rejected(SCORES, PROMPTS, threshold=0.5)) == [1, 0, 5, 4, 2, 3]


def test_prompts_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="prompts must have shape"):
        rejected_siblings(SCORES, PROMPTS[:3], threshold=0.5)


def test_the_highest_are_chosen_and_chance_decides_between_equals() -> None:
    assert set(highest([0.1, 3.0, 2.0, -1.0], 2, rng=np.random.default_rng(0)).tolist()) == {1, 2}
    draws = [highest(np.zeros(10), 3, rng=np.random.default_rng(seed)) for seed in range(400)]
    counts = np.bincount(np.concatenate(draws), minlength=10)
    assert np.abs(counts - 120).max() < 5 * np.sqrt(120 * 0.7)
    assert len(highest([1.0, 2.0], 9, rng=np.random.default_rng(0))) == 2
    with pytest.raises(ValueError, match="cannot choose"):
        highest([1.0], -1, rng=np.random.default_rng(0))
