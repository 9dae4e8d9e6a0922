import numpy as np
import pytest
from scipy import stats

from apps.pipeline.generating import Cost
from apps.pipeline.outcome import Judged, mean, rate
from nines.errors import DataError


def judged(judge: list[float], own: list[float], *, prompts: int | None = None) -> Judged:
    count = len(judge)
    return Judged(
        prompts=count if prompts is None else prompts,
        tries=np.array([1, 2, 3, 2] * 100)[: count if prompts is None else prompts],
        judge=np.array(judge),
        own=np.array(own),
        judge_quality=np.linspace(0.2, 0.6, count),
        own_quality=np.full(count, 0.5),
        cost=Cost(seconds=6.0, prompt_tokens=40, drawn_tokens=80),
    )


def test_figures_are_those_worked_out_by_hand() -> None:
    found = judged([0.9, 0.1, 0.5, 0.2], [0.1, 0.1, 0.9, 0.1], prompts=5).figures(
        judge_threshold=0.5, own_threshold=0.5, confidence=0.9
    )
    assert (found["delivered"], found["gave_up"]) == (4, 1)
    assert found["failure_rate"]["judge"]["estimate"] == 0.5  # a score at the threshold is a failure
    assert found["failure_rate"]["own"]["events"] == 1
    assert found["failure_rate"]["gap"]["estimate"] == 0.25
    assert found["quality"]["judge"]["estimate"] == pytest.approx(0.4)
    assert found["quality"]["own"]["lower"] == found["quality"]["own"]["upper"] == 0.5
    assert found["tries"]["estimate"] == pytest.approx((1 + 2 + 3 + 2 + 1) / 5)
    assert found["per_delivered"] == {"seconds": 1.5, "drawn_tokens": 20, "prompt_tokens": 10}
    exact = stats.binomtest(2, 4).proportion_ci(0.9, method="exact")
    assert found["failure_rate"]["judge"]["lower"] == pytest.approx(exact.low)
    assert found["failure_rate"]["judge"]["upper"] == pytest.approx(exact.high)


def test_a_mean_has_students_interval() -> None:
    values = np.array([0.1, 0.4, 0.7, 0.9])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean(values, confidence=0.9)
    assert (found["lower"], found["upper"]) == pytest.approx((expected.low, expected.high))


def test_no_failure_still_has_an_upper_end() -> None:
    found = rate(np.zeros(156, dtype=bool), confidence=0.95)
    assert found["estimate"] == 0
    assert found["upper"] == pytest.approx(1 - 0.025 ** (1 / 156))


def test_a_policy_that_delivers_next_to_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 5 prompts were continued.*demo\.filter\.acceptance"):
        judged([0.1], [0.1], prompts=5).figures(judge_threshold=0.5, own_threshold=0.5, confidence=0.9)
