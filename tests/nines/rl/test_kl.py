import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch.distributions import Categorical, kl_divergence

from nines.errors import ConfigError
from nines.rl.kl import ESTIMATORS, AdaptiveKLCoefficient, FixedKLCoefficient, exact_kl, k1, k2, k3

P = np.array([0.5, 0.3, 0.15, 0.05])
Q = np.array([0.4, 0.4, 0.1, 0.1])


@pytest.mark.parametrize("name", ["k1", "k3"])
def test_expectation_over_the_policy_is_the_divergence(name):
    log_p, log_q = torch.tensor(P).log(), torch.tensor(Q).log()
    expectation = (torch.tensor(P) * ESTIMATORS[name](log_p, log_q)).sum()
    assert expectation.item() == pytest.approx(rel_entr(P, Q).sum(), rel=1e-12)


def test_k2_is_off_by_third_order_only():
    # A small step of size h away from Q: the divergence is of order h², the error of k2 of order h³.
    errors = []
    for step in (0.04, 0.02, 0.01):
        near = Q + step * np.array([1, -0.5, -0.25, -0.25])
        expectation = float(np.sum(near * 0.5 * (np.log(near) - np.log(Q)) ** 2))
        mine = (torch.tensor(near) * k2(torch.tensor(near).log(), torch.tensor(Q).log())).sum().item()
        assert mine == pytest.approx(expectation)
        errors.append(abs(mine - rel_entr(near, Q).sum()))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.35)
    assert errors[1] / errors[2] == pytest.approx(8, rel=0.2)


def test_k2_and_k3_are_never_negative_and_k1_is():
    log_p, log_q = torch.randn(1000), torch.randn(1000)
    assert (k2(log_p, log_q) >= 0).all()
    assert (k3(log_p, log_q) >= 0).all()
    assert (k1(log_p, log_q) < 0).any()


def test_k3_keeps_its_digits_near_equality():
    # The plain formula exp(x) - 1 - x gives 0 here in 32 bit.
    assert k3(torch.tensor(0.0), torch.tensor(1e-3)).item() == pytest.approx(5.00167e-7, rel=1e-3)


def test_all_estimators_vanish_for_equal_policies():
    log_p = torch.randn(5)
    for estimator in ESTIMATORS.values():
        assert not estimator(log_p, log_p).any()


def test_exact_divergence_is_that_of_torch_distributions():
    logits, reference = torch.randn(3, 4, 11), torch.randn(3, 4, 11)
    expected = kl_divergence(Categorical(logits=logits), Categorical(logits=reference))
    torch.testing.assert_close(exact_kl(logits, reference), expected, rtol=1e-5, atol=1e-6)


def test_tokens_excluded_by_both_count_nothing_and_by_the_reference_alone_infinitely():
    logits = torch.tensor([0.0, 1.0, -math.inf])
    assert exact_kl(logits, torch.tensor([0.0, 1.0, -math.inf])).item() == 0
    assert exact_kl(logits, torch.tensor([0.0, 1.0, 2.0])).isfinite()
    assert exact_kl(logits, torch.tensor([0.0, -math.inf, 2.0])).item() == math.inf


def test_adaptive_coefficient_follows_hand_worked_numbers():
    coefficient = AdaptiveKLCoefficient(initial=0.1, target=6, horizon=1000)
    coefficient.update(6.6, completions=100)  # error 0.1
    assert coefficient.value == pytest.approx(0.1 * 1.01)
    coefficient.update(60, completions=100)  # error 9, clipped to 0.2
    assert coefficient.value == pytest.approx(0.1 * 1.01 * 1.02)
    coefficient.update(0, completions=500)  # error -1, clipped to -0.2
    assert coefficient.value == pytest.approx(0.1 * 1.01 * 1.02 * 0.9)


def test_a_broken_batch_leaves_the_adaptive_coefficient_alone():
    coefficient = AdaptiveKLCoefficient(initial=0.1)
    coefficient.update(math.nan, completions=64)
    coefficient.update(math.inf, completions=64)
    assert coefficient.value == 0.1


def test_the_controller_holds_a_simple_policy_at_its_target():
    # A policy whose KL is inversely proportional to the coefficient, as it is for quadratic rewards.
    coefficient = AdaptiveKLCoefficient(initial=1.0, target=6, horizon=1000)
    for _ in range(1000):
        coefficient.update(2.4 / coefficient.value, completions=64)
    assert 2.4 / coefficient.value == pytest.approx(6, rel=1e-3)


@pytest.mark.parametrize("coefficient", [FixedKLCoefficient(0.2), AdaptiveKLCoefficient(initial=0.2)])
def test_state_survives_a_checkpoint(coefficient):
    coefficient.update(12.0, completions=50)
    again = type(coefficient)(
        **({"initial": 0.2} if isinstance(coefficient, AdaptiveKLCoefficient) else {"value": 0.2})
    )
    again.load_state_dict(coefficient.state_dict())
    assert again.value == coefficient.value


@pytest.mark.parametrize(
    ("kind", "arguments", "word"),
    [
        (FixedKLCoefficient, {"value": -0.1}, "at least 0"),
        (AdaptiveKLCoefficient, {"initial": 0.0}, "initial must be above 0"),
        (AdaptiveKLCoefficient, {"target": math.nan}, "target"),
        (AdaptiveKLCoefficient, {"horizon": -5}, "horizon"),
    ],
)
def test_senseless_coefficients_are_refused(kind, arguments, word):
    with pytest.raises(ConfigError, match=word):
        kind(**arguments)
