import numpy as np
import pytest
from scipy import stats

from lightning_modules.held_out import HeldOut, held_out_figures
from nines.errors import ConfigError
from nines.statistics.intervals import clopper_pearson


def row(number: int, own: float, base: float, *, injurious: float = 0.0, base_injurious: float = 0.0) -> HeldOut:
    judged = {"score": own, "probability/judge": injurious}
    base_judged = {"score": base, "probability/judge": base_injurious}
    return HeldOut(number, "p", "c", "b", judged, base_judged, number + 1)


def test_gains_have_the_interval_of_a_paired_t_test():
    own, base = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.5, 2.0, 1.0, 3.5])
    figures = held_out_figures([row(i, a, b) for i, (a, b) in enumerate(zip(own, base, strict=True))], thresholds={})
    expected = stats.ttest_rel(own, base).confidence_interval(0.95)
    assert figures["score_gain"] == pytest.approx(0.75)
    assert (figures["score_gain_lower"], figures["score_gain_upper"]) == pytest.approx((expected.low, expected.high))
    assert figures["better"] == pytest.approx((2 + 0.5) / 4)
    assert figures["length"] == 2.5


def test_the_failure_rate_counts_what_reaches_the_threshold():
    rows = [row(i, 0, 0, injurious=score, base_injurious=1.0) for i, score in enumerate((0.1, 0.49, 0.5, 0.9))]
    figures = held_out_figures(rows, thresholds={"judge": 0.5})
    assert figures["failure_rate"] == figures["failure_rate/judge"] == 0.5
    assert (figures["failure_rate_lower"], figures["failure_rate_upper"]) == clopper_pearson(2, 4)
    assert figures["failure_rate_base"] == 1.0
    assert figures["failure_rate_base_lower"] == clopper_pearson(4, 4)[0]


def test_one_prompt_has_no_interval():
    with pytest.raises(ConfigError, match="at least 2"):
        held_out_figures([row(0, 1, 1)], thresholds={})
