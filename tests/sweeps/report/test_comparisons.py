"""Strategies of a real sweep: which sets count, which settings are the same, and which way is better."""

from typing import Any

import pytest

from sweeps.definition import parse_definition
from sweeps.report.comparisons import compare, compared_keys, strategies
from sweeps.report.results import ParameterSet

SPACE: dict[str, Any] = {
    "name": "toy",
    "space": {"lr": "choice(0.1, 0.2)", "clipping": "choice(none, norm)", "depth": "interval(0.0, 1.0)"},
    "conditions": {"clipping=norm": {"threshold": "choice(0.5, 1.0)"}},
    "objectives": {"loss": "minimize"},
    "trials": 8,
    "seeds": 3,
}


def each_set(group: int, values: list[float], **params: Any) -> ParameterSet:
    return ParameterSet(group, params, dict(enumerate(values)))


def grid(norm_gain: float) -> list[ParameterSet]:
    """Both clippings at the same learning rates; `norm_gain` lowers the loss of clipping by norm."""
    sets = []
    for group, (lr, clipping) in enumerate([(lr, clipping) for lr in (0.1, 0.2) for clipping in ("none", "norm")]):
        own = {"threshold": 0.5} if clipping == "norm" else {}
        base = 0.5 - (norm_gain if clipping == "norm" else 0) + lr
        sets.append(
            each_set(group, [base, base + 0.01, base - 0.01 * (1 + 0.1 * group)], lr=lr, clipping=clipping, **own)
        )
    return sets


def test_choices_are_compared_and_intervals_are_not() -> None:
    assert compared_keys(parse_definition(SPACE)) == ["lr", "clipping", "threshold"]


def test_the_lower_loss_comes_first_when_less_is_better() -> None:
    found = compare(grid(norm_gain=0.3), parse_definition(SPACE))
    clipping = next(each for each in found.differences if each.parameter == "clipping")
    assert (clipping.first, clipping.second) == ("norm", "none")
    assert clipping.difference == pytest.approx(-0.3, abs=0.01)
    assert clipping.lower < clipping.difference < clipping.upper < 0
    assert clipping.larger_than_noise
    assert found.strategies["clipping"][0].best.params == {"lr": 0.1, "clipping": "norm", "threshold": 0.5}


def test_a_grid_is_compared_at_the_same_settings_whatever_hangs_on_the_choice() -> None:
    found = compare(grid(norm_gain=0.3), parse_definition(SPACE))
    clipping = next(each for each in found.differences if each.parameter == "clipping")
    assert clipping.same_settings
    assert clipping.noise == "3 seeds"


def test_few_sets_at_other_settings_are_not_compared_but_named() -> None:
    sets = [
        each_set(0, [0.5, 0.6, 0.7], lr=0.1, clipping="none"),
        each_set(1, [0.1, 0.2, 0.3], lr=0.2, clipping="norm"),
    ]
    found = compare(sets, parse_definition(SPACE))
    assert found.differences == []
    assert "clipping: norm and none" in found.skipped


def test_a_set_that_lost_a_seed_does_not_count() -> None:
    sets = [*grid(norm_gain=0.0), ParameterSet(9, {"lr": 0.1, "clipping": "none"}, {0: -5.0, 1: -5.0})]
    found = strategies(sets, "clipping", objective=parse_definition(SPACE).objectives[0], seeds=3)
    assert 9 not in {each.group for strategy in found for each in strategy.sets}


def test_one_seed_gives_strategies_but_no_differences() -> None:
    sets = [each_set(0, [0.5], lr=0.1, clipping="none"), each_set(1, [0.4], lr=0.1, clipping="norm")]
    found = compare(sets, parse_definition({**SPACE, "seeds": 1}))
    assert [strategy.choice for strategy in found.strategies["clipping"]] == ["norm", "none"]
    assert [strategy.tuned for strategy in found.strategies["clipping"]] == [None, None]
    assert found.differences == []
