import numpy as np
import pytest

from nines.statistics.accepted_pairs import quality_from_needed
from nines.statistics.quality_power import labels_needed, power_table


def test_with_many_labels_it_is_the_normal_approximation():
    found = labels_needed(0.01, rejected=0.3, ties=0.1)
    # z² · rejected · (1 - ties) / 4 / half width²
    assert found.pairs == pytest.approx(1.96**2 * 0.3 * 0.9 / 4 / 0.01**2, rel=0.04)
    assert found.saving == pytest.approx(1 / 0.3**2, rel=0.03)


def test_the_mean_width_of_real_intervals_is_the_one_asked_for():
    found = labels_needed(0.06, rejected=0.25, ties=0.1, gain=0.1)
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(60):
        needed = rng.random(found.pairs) < 0.25
        shares = rng.choice([1, 0.5, 0], found.pairs, p=[0.55, 0.1, 0.35])
        widths.append(quality_from_needed(shares, needed, np.arange(found.pairs)).width)
    assert np.mean(widths) / 2 == pytest.approx(0.06, rel=0.03)


def test_pairs_of_one_prompt_and_no_skipping_cost_more():
    one = labels_needed(0.05, rejected=0.4)
    several = labels_needed(0.05, rejected=0.4, pairs_per_prompt=5, correlation=0.25)
    assert several.design_effect == 2
    assert several.pairs == pytest.approx(2 * one.pairs, abs=2)
    assert labels_needed(0.05, rejected=1.0).saving == 1


def test_the_table_has_a_row_for_each_combination():
    table = power_table([0.1, 0.05], [1.0, 0.3]).splitlines()
    assert len(table) == 6
    assert table[2].startswith("| 10 % | 100 % |")


@pytest.mark.parametrize("wrong", [{"rejected": 0.0}, {"ties": 1.0}, {"gain": 0.5, "ties": 0.2}, {"correlation": 2.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must lie|lies within"):
        labels_needed(0.05, **{"rejected": 0.5, **wrong})
