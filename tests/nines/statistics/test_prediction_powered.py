import numpy as np
import pytest
from scipy import stats

from nines.statistics.estimate import NoEstimateError
from nines.statistics.prediction_powered import prediction_powered, tuned_trust

RNG = np.random.default_rng(0)
MERIT = RNG.normal(size=1040)
SHARES = (MERIT[:40] + RNG.normal(size=40) > 0).astype(float)
PREDICTIONS = stats.norm.cdf(MERIT)


def test_without_trust_it_is_students_interval_of_the_labels():
    found = prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], trust=0.0)
    # Ours also clusters by prompt, which here are the items: the same variance.
    known = stats.ttest_1samp(SHARES, 0).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((known.low, known.high))
    assert found.effective_items == pytest.approx(39)


def test_full_trust_is_the_mean_prediction_plus_the_mean_correction():
    found = prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], trust=1.0)
    assert found.estimate == pytest.approx(PREDICTIONS[40:].mean() + (SHARES - PREDICTIONS[:40]).mean())
    # Algorithm 1: the variances of both means, here with n / (n - 1) for 40 labelled prompts.
    variance = (SHARES - PREDICTIONS[:40]).var() / 40 + PREDICTIONS[40:].var() / 1000
    assert found.width == pytest.approx(2 * stats.t.ppf(0.975, 39) * (variance * 40 / 39) ** 0.5)


def test_tuned_trust_has_the_least_variance():
    trust = tuned_trust(SHARES, PREDICTIONS[:40], PREDICTIONS[40:])
    widths = {
        t: prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], trust=t).width for t in (0, 0.5, trust, 1)
    }
    assert 0 < trust <= 1
    assert widths[trust] <= min(widths.values()) * 1.02


def test_a_useless_judge_gets_no_trust():
    assert tuned_trust(SHARES, np.full(40, 0.5), np.full(100, 0.5)) == 0
    assert tuned_trust(SHARES, 1 - SHARES, np.random.default_rng(1).choice([0.0, 1.0], 100)) == 0


def test_prompts_with_several_pairs_widen_the_interval():
    alone = prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], trust=1.0)
    order = np.argsort(SHARES - PREDICTIONS[:40])
    together = prediction_powered(
        SHARES[order], PREDICTIONS[:40][order], PREDICTIONS[40:],
        prompts=np.arange(40) // 4, more_prompts=np.arange(1000) + 100, trust=1.0,
    )  # fmt: skip
    assert together.estimate == pytest.approx(alone.estimate)
    assert together.width > 1.5 * alone.width


def test_few_labels_are_refused():
    with pytest.raises(NoEstimateError, match="20 labels"):
        prediction_powered(SHARES[:19], PREDICTIONS[:19], PREDICTIONS[40:])
    with pytest.raises(NoEstimateError, match="all alike"):
        prediction_powered(np.ones(30), np.ones(30), np.ones(30))
    with pytest.raises(ValueError, match="neither"):
        prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], prompts=np.arange(40))
    with pytest.raises(ValueError, match="trust"):
        prediction_powered(SHARES, PREDICTIONS[:40], PREDICTIONS[40:], trust=2.0)
