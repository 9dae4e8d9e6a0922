import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nines.statistics.agreement import cohen_kappa, krippendorff_alpha
from nines.statistics.estimate import NoEstimateError

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: 4 observers, 12 units, gaps.
NAN = np.nan
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_published_example(level, published):
    assert krippendorff_alpha(OBSERVERS, level=level).estimate == pytest.approx(published, abs=5e-4)


def test_kappa_of_a_table_worked_by_hand():
    """20, 5 / 10, 15: agreement 0.7, by chance 0.5, kappa 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    assert found.estimate == pytest.approx(0.4)
    # Fleiss, Cohen and Everitt 1969 give a standard error of 0.1273 here.
    assert found.width == pytest.approx(2 * 1.96 * 0.1273, rel=0.1)


@pytest.mark.parametrize(("weighting", "theirs"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_kappa_is_that_of_scikit_learn(weighting, theirs):
    rng = np.random.default_rng(0)
    first = rng.integers(-1, 2, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(-1, 2, 200))
    found = cohen_kappa(first, second, weighting=weighting)
    assert found.estimate == pytest.approx(cohen_kappa_score(first, second, weights=theirs))


def test_items_of_one_prompt_that_go_together_widen_the_interval():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 2, 60).repeat(5)
    second = np.where((rng.random(60) < 0.7).repeat(5), first, 1 - first)
    prompts = np.arange(60).repeat(5)
    assert cohen_kappa(first, second, clusters=prompts).width > 1.7 * cohen_kappa(first, second).width
    table = np.stack([first, second], axis=1).astype(float)
    assert krippendorff_alpha(table, clusters=prompts).width > 1.7 * krippendorff_alpha(table).width


def test_thousands_of_different_clusters_have_the_jackknifes_interval():
    rng = np.random.default_rng(2)
    clusters = rng.integers(0, 3000, 30_000)
    first = rng.integers(0, 3, 30_000)
    second = np.where(rng.random(30_000) < 0.5, first, rng.integers(0, 3, 30_000))
    found = cohen_kappa(first, second, clusters=clusters)
    # Independent items, so clusters change nothing: Cohen's simple standard error.
    assert found.estimate == pytest.approx(0.5, abs=0.02)
    assert found.width == pytest.approx(2 * 1.96 * np.sqrt(2 / 9 / 30_000) / (2 / 3), rel=0.1)


def test_agreement_that_cannot_be_told_is_refused():
    with pytest.raises(NoEstimateError, match="every answer is the same"):
        cohen_kappa(np.ones(20), np.ones(20))
    with pytest.raises(NoEstimateError, match="10 at least"):
        cohen_kappa([0, 1, 0], [0, 1, 1])
    with pytest.raises(NoEstimateError, match="two judges"):
        krippendorff_alpha([[1, NAN], [NAN, 2]])
    with pytest.raises(ValueError, match="level"):
        krippendorff_alpha(OBSERVERS, level="ratio")
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa([1], [1, 2])
