from pathlib import Path

import pytest

from apps.pipeline.options import Training
from apps.pipeline.trainings import PlannedRun, metrics_of, plan_run, train_in, trained_on
from nines.errors import ConfigError
from nines.files import write_json
from nines.run_folder import RunFolder, RunStatus

PPO = ("module=ppo_generator", "generator=tiny")


def planned(*words: str, more: tuple[str, ...] = (), source: str = "path:/a", threads: int | None = None) -> PlannedRun:
    training = Training(train=[*PPO, *words], more=more, seed=5, seconds=1)
    made = {"module.model.source": source, "module.reward.classifier": "/of this demo"}
    return plan_run(training, given={"datamodule.share": [0.2, 0.4]}, made=made, seed=10, threads=threads)


def test_the_words_of_the_pipeline_come_behind_the_settings_and_before_the_users() -> None:
    run = planned("datamodule.share=[0,1]", more=("module.kl.value=0.5",), threads=3)
    assert run.config.datamodule.share == [0.2, 0.4]
    assert run.config.seed == run.config.module.seed == 15
    assert run.config.module.model.source == "path:/a"
    assert run.config.threads == 3
    assert run.words[-2:] == ["module.kl.value=0.5", "threads=3"]
    assert planned(more=("datamodule.share=[0.5,1]",)).config.datamodule.share == [0.5, 1]


def test_another_folder_or_number_of_threads_is_the_same_run_and_another_setting_is_not() -> None:
    one = planned()
    assert planned(source="path:/elsewhere", threads=2).identity == one.identity
    assert planned(more=("module.kl.value=0.5",)).identity != one.identity
    assert not any("/of this demo" in str(value) for value in one.identity.values())


def test_a_folder_with_signs_of_hydras_grammar_is_quoted() -> None:
    assert planned(source="path:/a, b={c}/model").config.module.model.source == "path:/a, b={c}/model"


def test_settings_that_do_not_fit_are_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"module\.kl\.vlaue"):
        planned(more=("module.kl.vlaue=1",))


@pytest.mark.parametrize(
    ("module", "rows"), [("classifier", 8), ("reward_model", 4), ("language_model", 2), ("ppo_generator", 1)]
)
def test_every_data_module_says_which_prompts_it_trains_on(module: str, rows: int) -> None:
    words = [f"module={module}", "datamodule.path=embedded:injury"]
    words += ["module.reward.classifier=none"] if module == "ppo_generator" else []
    run = plan_run(Training(train=words, seconds=1), given={"datamodule.share": [0, 0.2]}, seed=0, threads=None)
    found = trained_on(run)
    assert 80 < len(found.prompts) < 125  # a fifth of 507
    assert rows * len(found.prompts) <= found.rows <= 13 * len(found.prompts)
    assert len(set(found.prompts)) == len(found.prompts)


def test_a_run_that_is_complete_is_not_trained_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    RunStatus(state="completed").write(folder)
    write_json(folder.metrics, {"metrics": {"valid/score": 0.5}})
    assert train_in(planned(), tmp_path) == {"valid/score": 0.5}
    assert metrics_of(tmp_path / "absent") == {}
