import numpy as np
import pytest
from scipy import stats

from nines.errors import ConfigError
from nines.policies.random_numbers import uniforms


def test_a_number_depends_on_seed_prompt_attempt_and_position_only() -> None:
    assert uniforms(5, prompt=2, attempt=3, count=4).tolist() == uniforms(5, prompt=2, attempt=3, count=9)[:4].tolist()
    rows = [
        uniforms(seed, prompt=prompt, attempt=attempt, count=3)
        for seed in (0, 1)
        for prompt in (0, 1)
        for attempt in (0, 1)
    ]
    assert len({tuple(row) for row in rows}) == 8


def test_neighbouring_prompts_and_attempts_are_independent_and_uniform() -> None:
    table = np.array([uniforms(0, prompt=p, attempt=a, count=20) for p in range(30) for a in range(10)])
    assert stats.kstest(table.ravel(), "uniform").pvalue > 0.001
    correlations = np.corrcoef(table)[np.triu_indices(len(table), 1)]
    # Of 300 rows of 20 numbers: a standard deviation of 1/sqrt(19).
    assert correlations.std() == pytest.approx(19**-0.5, rel=0.03)
    assert abs(correlations.mean()) < 0.01


def test_negative_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        uniforms(-1, prompt=0, attempt=0, count=1)
