import numpy as np
import pytest

from nines.errors import ConfigError
from nines.statistics.oasis import draw_distribution, oasis, stratum_rates

STRATA = np.repeat([0, 1, 2], [700, 250, 50])
LABELS = np.random.default_rng(5).random(1000) < np.array([0.005, 0.05, 0.5])[STRATA]
PRIOR = np.array([0.01, 0.1, 0.5])


def run(seed, **options):
    return oasis(STRATA, PRIOR, lambda item: bool(LABELS[item]), seed=seed, **{"labels": 100, **options})


def test_posterior_means_by_hand():
    assert stratum_rates([0.1, 0.5], [3, 0], [8, 0], strength=2) == pytest.approx([3.2 / 10, 0.5])


def test_draws_prefer_share_times_root_and_keep_a_floor():
    found = draw_distribution(np.array([0.9, 0.1]), np.array([0.01, 0.25]), epsilon=0.2)
    best = np.array([0.09, 0.05]) / 0.14
    assert found == pytest.approx(0.2 * np.array([0.9, 0.1]) + 0.8 * best)


def test_the_mean_over_seeds_is_the_rate_of_the_pool():
    estimates = np.array([run(seed, labels=40).estimate.estimate for seed in range(100)])
    assert abs(estimates.mean() - LABELS.mean()) < 4 * estimates.std() / np.sqrt(100)


def test_labels_are_spent_once_an_item_and_probabilities_are_those_of_the_draws():
    asked = []

    def label(item):
        asked.append(item)
        return bool(LABELS[item])

    found = oasis(STRATA, PRIOR, label, labels=60, seed=1)
    assert len(asked) == len(set(asked)) == found.labels == 60
    assert set(found.items) == set(asked)
    assert (found.events == LABELS[found.items]).all()
    weights = 1 / (1000 * found.probabilities)
    assert found.estimate.estimate == pytest.approx((weights * found.events).mean())
    assert weights.max() <= 1 / 0.3 + 1e-9


def test_the_same_seed_gives_the_same_draws():
    assert (run(7).items == run(7).items).all()


def test_impossible_budgets_are_refused():
    with pytest.raises(ConfigError, match="labels must lie"):
        run(0, labels=1001)
    with pytest.raises(ConfigError, match="epsilon"):
        run(0, epsilon=0.0)
