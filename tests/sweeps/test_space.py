import itertools

import optuna
import pytest

from nines.errors import SweepError
from sweeps.space import parse_space

SPACE = {"clipping": "choice(none, norm, adaptive)", "module.optimizer.lr": "tag(log, interval(1e-5, 1e-3))"}
CONDITIONS = {
    "clipping=norm,adaptive": {
        "schedule": "choice(a, b)",
        "schedule=b": {"warmup": "int(interval(1, 9))"},
    },
    "clipping=norm": {"module.clipping.max_norm": "tag(log, interval(0.1, 10))"},
    "clipping=adaptive": {"module.clipping.max_norm": "choice(1, 2)", "batch": 64},
}


def suggested(space, **values):
    return space.suggest(optuna.trial.FixedTrial(values))


def test_parameters_exist_only_under_their_conditions():
    space = parse_space(SPACE, CONDITIONS)
    base = {"module.optimizer.lr": 1e-4}
    assert suggested(space, clipping="none", **base) == {"clipping": "none", **base}
    norm = {"clipping": "norm", **base, "schedule": "b", "warmup": 3}
    assert suggested(space, **norm, **{"module.clipping.max_norm when clipping=norm": 0.5}) == {
        **norm,
        "module.clipping.max_norm": 0.5,
    }


def test_overrides_come_in_the_order_of_the_space_and_constants_come_along():
    space = parse_space(SPACE, CONDITIONS)
    values = {"module.clipping.max_norm": 2, "schedule": "a", "module.optimizer.lr": 1e-4, "clipping": "adaptive"}
    expected = [
        "clipping=adaptive",
        "module.optimizer.lr=0.0001",
        "schedule=a",
        "module.clipping.max_norm=2",
        "batch=64",
    ]
    assert space.overrides(values) == expected


def test_values_and_names_are_inverse_on_every_combination():
    space = parse_space(SPACE, CONDITIONS)
    for values in space.grid(points=2):
        sampled = {key: value for key, value in values.items() if key != "batch"}
        assert space.values(space.names(values)) == sampled


def test_the_grid_is_every_combination_that_exists_once():
    space = parse_space({"a": "choice(x, y)", "b": "range(3)"}, {"a=y": {"c": "choice(1, 2)"}})
    brute = [{"a": "x", "b": b} for b in range(3)]
    brute += [{"a": "y", "b": b, "c": c} for b, c in itertools.product(range(3), (1, 2))]
    grid = space.grid()
    assert sorted(map(str, grid)) == sorted(map(str, brute))


def test_the_examples_are_combinations_that_exist():
    parameters = {"frozen": "choice(0, 2)", "lr": "choice(1, 2)"}
    conditions = {
        "frozen=0": {"dropout": "choice(none, embedding)"},
        "frozen=2": {"dropout": "choice(none, head)"},
        "dropout=embedding": {"amount": "choice(0.1, 0.2)"},
        "dropout=head": {"amount": "choice(0.3, 0.4)"},
    }
    space = parse_space(parameters, conditions)
    grid = space.grid()
    examples = space.examples()
    assert all(example in grid for example in examples)
    assert {example.get("amount") for example in examples} >= {0.1, 0.2, 0.3, 0.4}


def test_the_examples_show_every_choice():
    space = parse_space(SPACE, CONDITIONS)
    examples = space.examples()
    shown = {(key, value) for example in examples for key, value in example.items()}
    expected = {("clipping", name) for name in ("none", "norm", "adaptive")}
    expected |= {("schedule", "a"), ("schedule", "b"), ("module.clipping.max_norm", 1), ("module.clipping.max_norm", 2)}
    assert expected <= shown
    assert len(examples) < len(space.grid(points=2))


@pytest.mark.parametrize(
    ("parameters", "conditions", "said"),
    [
        ({}, {}, "no parameter to sweep over"),
        (
            SPACE,
            {"clippin=norm": {"x": "choice(1, 2)"}},
            "no parameter 'clippin' comes before it; did you mean 'clipping'",
        ),
        (SPACE, {"clipping=nrom": {"x": "choice(1, 2)"}}, "clipping is never 'nrom'; did you mean 'norm'"),
        ({"n": "range(3)"}, {"n=1": {"x": "choice(1, 2)"}}, "n is no choice"),
        (SPACE, {"clipping": {"x": "choice(1, 2)"}}, "a condition reads key=value"),
        (SPACE, {"clipping=norm": "choice(1, 2)"}, "expected parameters under the condition"),
        (SPACE, {"clipping=norm": {"x": "choise(1, 2)"}}, r"conditions.clipping=norm.x: cannot read"),
        (SPACE, {"clipping=norm": {"clipping": "choice(a, b)"}}, "clipping could be set twice in one trial"),
        (
            SPACE,
            {"clipping=norm,adaptive": {"x": "choice(1, 2)"}, "clipping=norm": {"x": "choice(3, 4)"}},
            "x could be set twice",
        ),
    ],
)
def test_a_bad_space_is_one_line_that_says_where(parameters, conditions, said):
    with pytest.raises(SweepError, match=said) as caught:
        parse_space(parameters, conditions)
    assert "\n" not in str(caught.value)
