"""Pruned trials are held against the others at the same step."""

from typing import Any

import numpy as np

from sweeps.report.accounts import failed, pruned


def test_a_pruned_trial_is_compared_at_its_own_step(planted: Any) -> None:
    (found,) = pruned(planted.records, planted.definition.objectives[0])
    at_ten = [trial.intermediate_values[10] for trial in planted.sweep.study().trials
              if 10 in trial.intermediate_values and trial.number != 72]  # fmt: skip
    assert (found.step, found.value, found.others) == (10, 0.21, len(at_ten))
    assert found.median == np.median(at_ten)
    assert found.best == max(at_ten)
    assert found.sentence(planted.definition.objectives[0]).startswith("At step 10 it had 0.2100, below the median")


def test_less_is_better_names_the_worse_side(make_sweep: Any) -> None:
    toy = make_sweep(objectives={"valid/log_loss": "minimize"})
    params = {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}
    toy.complete(0, 0, params, 0.4)
    toy.prune(1, 0, params, 0.9)
    (found,) = pruned(toy.records, toy.definition.objectives[0])
    sentence = found.sentence(toy.definition.objectives[0])
    assert "it had 0.9000, above the median 0.2000 of the 1 other trial at that step" in sentence


def test_the_first_to_be_pruned_has_none_to_compare_with(make_sweep: Any) -> None:
    toy = make_sweep()
    toy.prune(0, 0, {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}, 0.2)
    (found,) = pruned(toy.records, toy.definition.objectives[0])
    assert found.sentence(toy.definition.objectives[0]).endswith("no other trial reported at that step.")


def test_every_attempt_that_failed_is_told(planted: Any) -> None:
    assert [record.number for record in failed(planted.records)] == [73, 74]
