import subprocess
import sys

import optuna
import pytest

from nines.errors import SweepError
from sweeps.samplers import SAMPLERS, build_sampler, check_sampler, fixed_sets
from sweeps.space import parse_space

SPACE = parse_space({"x": "interval(0, 1)", "y": "choice(a, b)"})
CONDITIONAL = parse_space({"y": "choice(a, b)"}, {"y=b": {"x": "interval(0, 1)"}})


def spec(name, **options):
    return {"name": name, "options": options}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_suggests_from_the_space(name):
    check_sampler(spec(name), space=SPACE)
    study = optuna.create_study()
    for group in range(3):
        study.sampler = build_sampler(spec(name), group=group)
        trial = study.ask()
        values = SPACE.suggest(trial)
        assert 0 <= values["x"] <= 1
        assert values["y"] in ("a", "b")
        study.tell(trial, values["x"])


def test_gaussian_processes_suggest_after_their_random_start():
    study = optuna.create_study()
    for group in range(4):
        study.sampler = build_sampler(spec("gp", n_startup_trials=2), group=group)
        trial = study.ask()
        study.tell(trial, SPACE.suggest(trial)["x"])
    assert len(study.trials) == 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (spec("tpee"), "unknown sampler 'tpee'; did you mean 'tpe'"),
        (spec("tpe", n_start_trials=3), "options.n_start_trials: unknown option; did you mean 'n_startup_trials'"),
        (spec("nsga2", population_size=1), "nsga2 refuses its options"),
        (spec("grid", point=3), "grid takes one option, `points`"),
        (spec("grid", points=0), "grid takes one option, `points`"),
    ],
)
def test_a_wrong_sampler_or_option_is_refused_with_what_is_valid(wrong, said):
    with pytest.raises(SweepError, match=said):
        check_sampler(wrong, space=SPACE)


def test_qmc_refuses_conditions():
    with pytest.raises(SweepError, match="qmc needs every parameter in every trial"):
        check_sampler(spec("qmc"), space=CONDITIONAL)


def test_only_the_grid_knows_its_sets_beforehand():
    assert fixed_sets(spec("tpe"), CONDITIONAL) is None
    sets = fixed_sets(spec("grid", points=2), CONDITIONAL)
    assert sorted(sets, key=str) == [{"y": "a"}, {"y": "b", "x": 0.0}, {"y": "b", "x": 1.0}]


def test_the_grid_is_shuffled_in_the_same_way_each_time_and_by_its_seed():
    space = parse_space({"x": "range(50)"})
    sets = fixed_sets(spec("grid"), space)
    assert sets == fixed_sets(spec("grid"), space)
    assert sets != space.grid()
    assert sets != fixed_sets(spec("grid", seed=1), space)


def test_checking_a_gaussian_process_sampler_imports_no_torch():
    code = (
        "import sys; from sweeps.definition import parse_definition; import sweeps.study, sweeps.progress; "
        "parse_definition(dict(name='n', space={'x': 'interval(0, 1)'}, objectives=['maximize m'], trials=1, "
        "sampler='gp')); assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
