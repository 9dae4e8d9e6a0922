import numpy as np
import pytest
from scipy import integrate, stats

from nines.errors import ConfigError
from nines.statistics.ensembles import (
    beta_knowledge_uncertainty,
    binary_entropy,
    combine,
    mutual_information,
    vote_entropy,
)

MEMBERS = np.array([[0.2, 0.5, 0.9, 0.0], [0.4, 0.5, 0.1, 1.0], [0.6, 0.5, 0.5, 0.5]])


def test_combinations_worked_by_hand() -> None:
    assert combine(MEMBERS) == pytest.approx([0.4, 0.5, 0.5, 0.5])
    assert combine(MEMBERS, "max") == pytest.approx([0.6, 0.5, 0.9, 1.0])
    assert combine(MEMBERS, "quantile", quantile=0.5) == pytest.approx([0.4, 0.5, 0.5, 0.5])
    # Odds 1/4, 2/3, 3/2 have the product 1/4, so the geometric mean of the odds is 4 ** (-1/3).
    odds = 0.25 ** (1 / 3)
    assert combine(MEMBERS, "logit_mean")[0] == pytest.approx(odds / (1 + odds))
    assert np.isfinite(combine(MEMBERS, "logit_mean")).all()


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(ConfigError, match="median"):
        combine(MEMBERS, "median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        combine(MEMBERS, "quantile", quantile=1.5)
    for wrong in (MEMBERS[0], MEMBERS + 1, np.full((2, 2), np.nan), np.empty((0, 3))):
        with pytest.raises(ValueError, match="must"):
            combine(wrong)


def test_entropy_equals_that_of_scipy() -> None:
    chances = np.array([0.0, 0.01, 0.3, 0.5, 1.0])
    assert binary_entropy(chances) == pytest.approx([stats.entropy([p, 1 - p]) for p in chances])


def test_mutual_information_is_that_of_the_joint_table_of_member_and_label() -> None:
    found = mutual_information(MEMBERS)
    for item, value in enumerate(found):
        joint = np.stack([MEMBERS[:, item], 1 - MEMBERS[:, item]], axis=1) / len(MEMBERS)
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        assert value == pytest.approx(stats.entropy(joint.ravel(), independent.ravel()), abs=1e-12)
    assert found[1] == 0.0  # all agree that it is a coin toss
    assert found[3] > found[0] > found[1]


def test_vote_entropy_counts_decisions() -> None:
    assert vote_entropy(MEMBERS, threshold=0.45) == pytest.approx(
        [stats.entropy([1 / 3, 2 / 3]), 0.0, stats.entropy([2 / 3, 1 / 3]), stats.entropy([2 / 3, 1 / 3])]
    )


@pytest.mark.parametrize(("injurious", "safe"), [(0.5, 0.5), (2.0, 7.0), (30.0, 4.0)])
def test_knowledge_uncertainty_of_a_beta_equals_the_integral(injurious: float, safe: float) -> None:
    law = stats.beta(injurious, safe)
    expected, _ = integrate.quad(lambda p: float(binary_entropy(p)) * law.pdf(p), 0, 1)
    found = beta_knowledge_uncertainty(np.array([injurious]), np.array([safe]))
    assert found == pytest.approx([float(binary_entropy(law.mean())) - expected], abs=1e-7)


def test_a_large_ensemble_drawn_from_a_beta_has_its_knowledge_uncertainty() -> None:
    drawn = np.random.default_rng(0).beta(2.0, 5.0, size=(20_000, 1))
    assert mutual_information(drawn) == pytest.approx(
        beta_knowledge_uncertainty(np.array([2.0]), np.array([5.0])), abs=2e-3
    )
