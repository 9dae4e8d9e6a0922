import itertools

import numpy as np
import pytest

from nines.statistics.conformal import conformal_threshold
from nines.statistics.estimate import NoEstimateError


@pytest.mark.parametrize(
    ("alpha", "items", "rank"),
    [(0.1, 9, 1), (0.1, 18, 1), (0.1, 19, 2), (0.25, 100, 25), (0.05, 19, 1), (0.5, 3, 2)],
)
def test_the_threshold_is_the_order_statistic_of_rank_alpha_times_n_plus_one(alpha, items, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1, items + 1) / 100)
    assert conformal_threshold(scores, alpha=alpha).threshold == pytest.approx(rank / 100)


@pytest.mark.parametrize(("items", "alpha"), [(9, 0.0999), (99, 0.00999), (1, 0.49)])
def test_alpha_below_one_over_n_plus_one_is_refused(items, alpha):
    with pytest.raises(NoEstimateError, match=f"below {1 / (items + 1):.4g}"):
        conformal_threshold(np.linspace(0, 1, items), alpha=alpha)
    conformal_threshold(np.linspace(0, 1, items), alpha=1 / (items + 1))


def test_leave_one_out_over_all_orders_keeps_the_mean_loss_at_alpha():
    """The exchangeability argument itself: each of n + 1 prompts in turn is the next one, without any sampling."""
    rng = np.random.default_rng(1)
    for alpha, (scores, weights, prompts) in itertools.product(
        (0.2, 0.35, 0.5),
        [(rng.random(30).round(1), rng.integers(1, 4, 30), rng.integers(0, 12, 30)) for _ in range(30)],
    ):
        bound = np.bincount(prompts, weights=weights).max()
        missed = total = 0.0
        for held in np.unique(prompts):
            rest = prompts != held
            total += weights[~rest].sum()
            try:
                found = conformal_threshold(
                    scores[rest], alpha=alpha, weights=weights[rest], prompts=prompts[rest], largest_weight=bound
                )
            except NoEstimateError:
                continue
            missed += weights[~rest][scores[~rest] < found.threshold].sum()
        assert missed <= alpha * total + 1e-9


def test_weights_follow_tibshirani_with_the_largest_weight_for_the_next_completion():
    scores, weights, alpha = [0.1, 0.2, 0.3, 0.4], np.array([1.0, 2.0, 1.0, 2.0]), 0.5
    allowed = [
        threshold
        for threshold in scores
        if (weights[np.array(scores) < threshold].sum() + 2.0) / (weights.sum() + 2.0) <= alpha
    ]
    assert conformal_threshold(scores, alpha=alpha, weights=weights).threshold == max(allowed) == 0.2


def test_equal_weights_and_single_prompts_change_nothing():
    scores = np.random.default_rng(2).random(50)
    plain = conformal_threshold(scores, alpha=0.1)
    same = conformal_threshold(scores, alpha=0.1, weights=np.full(50, 0.37), prompts=np.arange(50))
    assert plain.threshold == same.threshold
    assert same.observed["smallest_alpha"] == pytest.approx(1 / 51)


def test_the_result_says_what_it_promises_and_assumes():
    alone = conformal_threshold(np.linspace(0, 1, 50), alpha=0.1)
    assert "On average" in alone.guarantee
    assert "stands alone" in alone.assumptions[0]
    assert not any("weigh more than" in assumption for assumption in alone.assumptions)
    shared = conformal_threshold(np.linspace(0, 1, 50), alpha=0.2, prompts=np.arange(50) // 3)
    assert "depend on each other in any way" in shared.assumptions[0]
    assert any("approximate" in assumption for assumption in shared.assumptions)
    assert shared.as_json()["settings"] == {"alpha": 0.2}


@pytest.mark.parametrize("alpha", [0, 1, -0.1])
def test_alpha_must_be_a_share(alpha):
    with pytest.raises(ValueError, match="alpha"):
        conformal_threshold([0.5], alpha=alpha)
