"""Importance: the planted parameter wins, conditions are kept apart, and too few sets are refused."""

from typing import Any

import numpy as np
import pytest

from sweeps.definition import parse_definition
from sweeps.report.importance import importances
from sweeps.report.results import ParameterSet

DEFINITION: dict[str, Any] = {
    "name": "toy",
    "space": {"lr": "tag(log, interval(1e-5, 1e-2))", "kind": "choice(a, b)", "width": "int(interval(1, 9))"},
    "conditions": {"kind=a": {"gamma": "interval(0.0, 4.0)"}},
    "objectives": {"score": "maximize"},
    "trials": 60,
}


def sample(count: int, *, gamma_effect: float = 0.0) -> list[ParameterSet]:
    generator = np.random.default_rng(0)
    sets = []
    for group in range(count):
        params: dict[str, Any] = {
            "lr": float(10 ** generator.uniform(-5, -2)), "kind": str(generator.choice(["a", "b"])),
            "width": int(generator.integers(1, 10)),
        }  # fmt: skip
        if params["kind"] == "a":
            params["gamma"] = float(generator.uniform(0, 4))
        value = -abs(np.log10(params["lr"]) + 3) - gamma_effect * params.get("gamma", 0.0)
        sets.append(ParameterSet(group, params, {0: float(value + 0.01 * generator.normal())}))
    return sets


def test_the_planted_parameter_is_first_in_every_resample() -> None:
    found = importances(sample(60), parse_definition(DEFINITION))
    assert found.always[0].key == "lr"
    assert found.always[0].share > 0.8
    assert found.always[0].first == 1.0
    assert found.always[0].lower <= found.always[0].share <= 1.0
    assert sum(each.share for each in found.always) == pytest.approx(1.0)
    assert {each.sets for each in found.always} == {60}


def test_a_conditional_parameter_is_judged_among_the_sets_that_have_it() -> None:
    sets = sample(60, gamma_effect=3.0)
    found = importances(sets, parse_definition(DEFINITION))
    (gamma,) = found.conditional
    assert (gamma.key, gamma.when) == ("gamma", "kind=a")
    assert gamma.sets == sum("gamma" in each.params for each in sets)
    assert gamma.share > 0.5
    assert "gamma" not in {each.key for each in found.always}


def test_too_few_sets_are_refused_with_the_numbers() -> None:
    found = importances(sample(6), parse_definition(DEFINITION))
    assert found.always == ()
    assert found.refusals[0] == "6 completed sets of parameters are too few to judge importance; 10 are needed."
    assert found.refusals[1].startswith("gamma: ")


def test_no_set_at_all_is_refused_too() -> None:
    assert "0 completed sets" in importances([], parse_definition(DEFINITION)).refusals[0]


def test_equal_values_leave_nothing_to_explain() -> None:
    sets = [ParameterSet(each.group, each.params, {0: 0.5}) for each in sample(30)]
    assert "no variation" in importances(sets, parse_definition(DEFINITION)).refusals[0]
