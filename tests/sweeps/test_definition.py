import pytest

from nines.errors import SweepError
from sweeps.definition import Objective, parse_definition
from tests.sweeps.conftest import definition


def test_a_definition_survives_its_own_plain_form():
    original = definition(
        train=["model=tiny"],
        space={"x": "choice(1, 2)"},
        conditions={"x=1": {"y": "choice(a, b)"}},
        objectives=["maximize score", "minimize cost"],
        seeds=3,
        sampler={"name": "tpe", "options": {"n_startup_trials": 4}},
        question="Does it?",
    )
    assert parse_definition(original.as_mapping()) == original


def test_the_folder_is_named_by_what_is_compared_and_not_by_how():
    base = definition()
    assert base.folder_name.startswith("toy-")
    for same in ({"trials": 9}, {"retries": 0}, {"sampler": "tpe"}, {"pruner": "median"}, {"question": "?"}):
        assert definition(**same).folder_name == base.folder_name
    for other in ({"train": ["a=1"]}, {"space": {"x": "interval(0, 2)"}}, {"seeds": 2}, {"objectives": ["log_loss"]}):
        assert definition(**other).folder_name != base.folder_name


def test_differences_name_the_key_and_both_values():
    lines = definition().differences(definition(space={"x": "interval(0, 2)"}, seeds=2))
    assert lines == ["space.x: interval(0, 1) -> interval(0, 2)", "seeds: 1 -> 2"]


def test_known_metrics_know_which_way_is_better():
    parsed = definition(objectives=["valid/partial_auc", "valid/log_loss"]).objectives
    assert parsed == (Objective("valid/partial_auc", "maximize"), Objective("valid/log_loss", "minimize"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "trials"),
        ({"seeds": True}, "seeds: expected a whole number of at least 1, found True"),
        ({"retries": -1}, "retries: expected a whole number of at least 0"),
        ({"objectives": ["speed"]}, "maximize speed` or `minimize speed"),
        ({"objectives": ["maximise score"]}, "does not read"),
        ({"spaces": {}}, "unknown key 'spaces' of a sweep; did you mean 'space'"),
        ({"sampler": {"nam": "tpe"}}, "sampler: expected a name"),
        ({"space": {}}, "the sweep has no space"),
    ],
)
def test_a_wrong_definition_is_one_line(changes, said):
    with pytest.raises(SweepError, match=said):
        definition(**changes)


def test_better_follows_the_direction():
    assert Objective("m", "maximize").better(2, 1)
    assert Objective("m", "minimize").better(1, 2)
    assert not Objective("m", "minimize").better(1, 1)
