import numpy as np
import pytest
from scipy import stats

from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.quality_budget import FilteredQuality, threshold_at_quality_budget


def estimate(value, reach=0.02):
    return Estimate(value, value - reach, value + reach, 0.9, "by hand", 10, 10.0)


QUALITY = {0.9: 0.5, 0.7: 0.49, 0.5: 0.48, 0.3: 0.46, 0.1: 0.49}


def curve(threshold):
    return estimate(QUALITY[threshold])


def test_the_sequence_ends_at_the_first_threshold_that_fails():
    found = threshold_at_quality_budget(curve, list(QUALITY), loss=0.05)
    assert found.threshold == 0.5  # 0.3 has the lower end 0.44, and 0.1 must not be tried after that
    assert found.settings == {"quality_loss": 0.05, "confidence": pytest.approx(0.95)}
    assert "in 0.45 of comparisons" in found.guarantee


def test_by_estimate_the_lowest_that_reaches_it_wins_and_nothing_is_promised():
    found = threshold_at_quality_budget(curve, list(QUALITY), loss=0.015, by="estimate")
    assert found.threshold == 0.1
    assert found.guarantee.startswith("None")


def test_a_budget_that_cannot_be_shown_is_refused():
    with pytest.raises(NoEstimateError, match=r"not shown to reach 0\.49"):
        threshold_at_quality_budget(curve, list(QUALITY), loss=0.01)
    for wrong in ({"loss": 0.0}, {"loss": 0.5}, {"loss": 0.1, "by": "luck"}):
        with pytest.raises(ValueError, match="must"):
            threshold_at_quality_budget(curve, list(QUALITY), **wrong)


def drawn(rng, *, prompts, draws, acceptance, preference):
    accepted = rng.random((prompts, draws)) < acceptance[:, None]
    better = rng.random(prompts) < preference
    shares = np.where(accepted[:, 0], better, 1 - better)
    first = np.arange(prompts) * draws
    return FilteredQuality(
        np.where(accepted, 0.0, 1.0).ravel(),
        np.repeat(np.arange(prompts), draws),
        pairs=np.column_stack([first, first + 1]),
        preferences=shares,
    )


def test_quality_is_unbiased_for_first_accepted_within_the_budget_of_draws():
    rng = np.random.default_rng(0)
    acceptance = rng.beta(3, 2, 300)
    truth = np.mean(acceptance / 2 + (1 - acceptance) * (1 - (1 - acceptance) ** 4) * 0.35)
    found = [drawn(rng, prompts=300, draws=5, acceptance=acceptance, preference=0.35)(0.5).estimate for _ in range(400)]
    assert abs(np.mean(found) - truth) < 4 * stats.sem(found)


def test_where_everything_is_accepted_quality_is_one_half_without_any_doubt():
    found = drawn(np.random.default_rng(0), prompts=20, draws=3, acceptance=np.ones(20), preference=0.0)(0.5)
    assert (found.estimate, found.lower, found.upper) == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)


def test_a_hand_worked_prompt():
    # Four draws, two accepted; the pair is (accepted, rejected) and the accepted one wins: 1/2 * 2/4 + 1/2 * 3/2 * 1.
    # The other prompt accepts nothing: it gives up, 0.
    quality = FilteredQuality(
        [0.1, 0.9, 0.2, 0.8, 0.7, 0.9], [0, 0, 0, 0, 1, 1], pairs=[[0, 1], [4, 5]], preferences=[1.0, 0.5]
    )
    assert quality(0.5).estimate == pytest.approx((0.25 + 0.75 + 0.0) / 2)
    assert quality(0.5).items == 2


def test_prompts_weigh_what_they_are_given():
    quality = FilteredQuality(
        [0.1, 0.9, 0.7, 0.9],
        [0, 0, 1, 1],
        pairs=[[0, 1], [2, 3]],
        preferences=[1.0, 0.5],
        prompt_weights=[3, 3, 1, 1],
    )
    assert quality(0.5).estimate == pytest.approx(0.75 * (0.25 + 0.5))


@pytest.mark.parametrize(
    ("pairs", "preferences", "hint"),
    [
        ([[0, 2]], [1.0], "one prompt"),
        ([[0, 0]], [1.0], "two completions"),
        ([[0, 1]], [2.0], r"\[0, 1\]"),
        ([0, 1], [1.0], "shape"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs, preferences, hint):
    with pytest.raises(ValueError, match=hint):
        FilteredQuality([0.1, 0.9, 0.2, 0.3], [0, 0, 1, 1], pairs=pairs, preferences=preferences)


def test_one_judged_prompt_has_no_interval():
    with pytest.raises(NoEstimateError, match="two prompts"):
        FilteredQuality([0.1, 0.9], [0, 0], pairs=[[0, 1]], preferences=[1.0])
