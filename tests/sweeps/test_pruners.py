import optuna
import pytest

from nines.errors import SweepError
from sweeps.pruners import PRUNERS, build_pruner, check_pruner


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_every_pruner_is_built_by_its_name(name):
    check_pruner({"name": name, "options": {}}, objectives=1)
    assert isinstance(build_pruner({"name": name, "options": {}}), optuna.pruners.BasePruner)


@pytest.mark.parametrize(
    ("spec", "objectives", "said"),
    [
        ({"name": "mediam", "options": {}}, 1, "unknown pruner 'mediam'; did you mean 'median'"),
        ({"name": "median", "options": {"warmup_steps": 1}}, 1, "did you mean 'n_warmup_steps'"),
        ({"name": "median", "options": {"n_warmup_steps": -1}}, 1, "median refuses its options"),
        ({"name": "median", "options": {}}, 2, "median cannot prune by 2 objectives at once; set pruner=none"),
    ],
)
def test_a_wrong_pruner_is_refused_with_what_is_valid(spec, objectives, said):
    with pytest.raises(SweepError, match=said):
        check_pruner(spec, objectives=objectives)
