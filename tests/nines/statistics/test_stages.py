import numpy as np
import pytest

from nines.errors import ConfigError
from nines.statistics.estimate import NoEstimateError
from nines.statistics.stages import VarianceByStage, optimal_completions, variance_by_stage


def test_both_variances_are_found_on_average():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        truth = rng.normal(scale=2.0, size=100)
        halves = truth[:, None] + rng.normal(scale=3.0, size=(100, 2)) / np.sqrt(5)
        found.append(variance_by_stage(halves[:, 0], halves[:, 1], completions=5))
    assert np.mean([one.between for one in found]) == pytest.approx(4.0, rel=0.05)
    assert np.mean([one.within for one in found]) == pytest.approx(9.0, rel=0.05)


def test_the_variance_of_a_mean_by_hand():
    stages = VarianceByStage(between=2.0, within=6.0, completions=4, prompts=10)
    assert stages.variance(prompts=10, completions=3) == pytest.approx(0.4)
    assert stages.correlation == pytest.approx(0.25)


@pytest.mark.parametrize(("prompt_cost", "completion_cost"), [(10.0, 1.0), (3.0, 2.0), (100.0, 0.5), (0.0, 1.0)])
def test_the_optimum_is_that_of_a_search(prompt_cost, completion_cost):
    stages = VarianceByStage(between=0.3, within=1.7, completions=4, prompts=10)

    def spent(count):
        return stages.variance(prompts=1000 / (prompt_cost + count * completion_cost), completions=count)

    best = optimal_completions(stages, prompt_cost=prompt_cost, completion_cost=completion_cost)
    assert spent(best) == pytest.approx(min(map(spent, range(1, 200))))


def test_bounds_hold_where_a_stage_does_not_vary():
    same = VarianceByStage(between=0.0, within=1.0, completions=4, prompts=10)
    sure = VarianceByStage(between=1.0, within=0.0, completions=4, prompts=10)
    assert optimal_completions(same, prompt_cost=1, completion_cost=1, most=50) == 50
    assert optimal_completions(sure, prompt_cost=1, completion_cost=1, least=8) == 8


def test_one_prompt_and_impossible_costs_are_refused():
    with pytest.raises(NoEstimateError, match="two prompts"):
        variance_by_stage([0.1], [0.2], completions=2)
    with pytest.raises(ConfigError, match="cost"):
        optimal_completions(VarianceByStage(1, 1, 1, 2), prompt_cost=-1, completion_cost=1)
