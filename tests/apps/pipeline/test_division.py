import pytest

from apps.pipeline.division import check_disjoint, divide
from apps.pipeline.options import Training
from apps.pipeline.trainings import PlannedRun, plan_run
from nines.errors import ConfigError


def run(module: str, start: float, end: float) -> PlannedRun:
    words = [f"module={module}"]
    return plan_run(Training(train=words, seconds=1), given={"datamodule.share": [start, end]}, seed=0, threads=None)


def test_learners_and_held_out_prompts_are_counted() -> None:
    runs = {
        "generator": {"generator": run("language_model", 0.0, 0.4)},
        "classifier": {"classifier": run("classifier", 0.4, 1.0), "reward_model": run("reward_model", 0.4, 1.0)},
    }
    found = divide(runs, path="embedded:injury")
    learners = found["learners"]
    assert learners["generator"]["prompts"] + learners["classifier"]["prompts"] == 507
    assert found["held_out"] == {"valid": 117, "test": 156}
    assert list(learners["classifier"]["runs"]) == ["classifier", "reward_model"]
    assert learners["classifier"]["runs"]["classifier"]["rows"] > learners["classifier"]["prompts"]


def test_what_a_run_really_trains_on_decides_and_an_overlap_is_refused() -> None:
    runs = {
        "generator": {"generator": run("language_model", 0.0, 0.4)},
        "judges": {"judge_classifier": run("classifier", 0.39, 1.0)},
    }
    with pytest.raises(ConfigError, match=r"generator and judges have \d+ prompts in common"):
        divide(runs, path="embedded:injury")


def test_prompts_are_the_same_up_to_case_and_white_space() -> None:
    check_disjoint({"a": ["One."], "b": ["Two."], "test": ["Three."]})
    with pytest.raises(ConfigError, match=r"b and test have 1 prompts in common, such as 'three\. four\.'"):
        check_disjoint({"a": ["One."], "b": ["Three.  four."], "test": ["three. Four."]})
