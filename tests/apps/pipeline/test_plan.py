from pathlib import Path

import pytest

from apps.demo import context_of
from apps.pipeline.context import Context
from apps.pipeline.plan import plan_stages, plan_training
from apps.pipeline.stages import fingerprints
from nines.errors import CheckpointError
from nines.files import write_json, write_text
from nines.run_folder import RunFolder
from tests.apps.pipeline.small_runs import small_runs


def context(folder: Path, *words: str) -> Context:
    return context_of(["demo.size=tiny", f"runs={folder}", *words])


def marks(folder: Path, *words: str, **identities: object) -> dict[str, str]:
    return fingerprints(plan_stages(context(folder, *words), small_runs(**identities)))


def changed(plain: dict[str, str], other: dict[str, str]) -> set[str]:
    assert plain.keys() == other.keys()
    return {name for name in plain if plain[name] != other[name]}


def test_where_the_demo_lies_and_how_many_threads_it_has_changes_no_stage(tmp_path: Path) -> None:
    words = ["threads=2", "demo.trainings.ppo.seconds=1"]
    assert changed(marks(tmp_path), marks(tmp_path / "else where", *words)) == set()


@pytest.mark.parametrize(
    ("word", "stages"),
    [
        ("demo.filter.acceptance=0.3", {"threshold", "comparison"}),
        ("demo.filter.max_tries=3", {"comparison"}),
        ("demo.sampling.temperature=0.5", {"base_completions", "threshold", "reward_model", "ppo", "comparison"}),
    ],
)
def test_a_setting_redoes_what_depends_on_it_and_nothing_else(word: str, stages: set[str], tmp_path: Path) -> None:
    assert changed(marks(tmp_path), marks(tmp_path, word)) == stages


@pytest.mark.parametrize(
    ("training", "stages"),
    [
        ("generator", {"generator", "base_completions", "threshold", "reward_model", "ppo", "comparison"}),
        ("classifier", {"classifier", "threshold", "ppo", "comparison"}),
        ("reward_model", {"reward_model", "ppo", "comparison"}),
        ("judge_classifier", {"judge_classifier", "ppo", "comparison"}),
        ("ppo", {"ppo", "comparison"}),
    ],
)
def test_another_training_redoes_what_depends_on_it(training: str, stages: set[str], tmp_path: Path) -> None:
    assert changed(marks(tmp_path), marks(tmp_path, **{training: "other"})) == stages


def test_the_judges_are_no_part_of_reward_filter_or_choice_of_a_checkpoint(tmp_path: Path) -> None:
    found = context(tmp_path)
    config = plan_training(found, "ppo", found.options.trainings.ppo).config
    parts = config.module.reward.parts
    assert (parts.log_safe.classifier, parts.quality.reward_model) == (
        str(found.root / "classifier"),
        str(found.root / "reward_model" / "normalised.ckpt"),
    )
    assert set(parts) == {"log_safe", "quality"}
    assert config.datamodule.share == list(found.options.shares.ppo)
    assert config.objective == "valid/score_gain"  # of the reward
    assert set(config.module.judges) == {"judge", "judge_quality"}


def test_a_classifier_of_the_users_replaces_the_stage_and_is_known_by_its_content(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "mine")
    write_text(run.best, "weights")
    word = f"demo.classifier={run.path}"
    with pytest.raises(CheckpointError, match=r"no threshold\.json"):
        marks(tmp_path, word)
    write_json(run.threshold, {"threshold": 0.5})
    first = marks(tmp_path, word)
    assert "classifier" not in first
    assert marks(tmp_path, word) == first
    write_text(run.best, "others")
    assert changed(first, marks(tmp_path, word)) == {"threshold", "ppo", "comparison"}


def test_settings_of_ones_own_are_a_file_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    write_text(
        tmp_path / "conf" / "demo" / "mine.yaml", "# @package demo\ndefaults: [tiny, _self_]\nsize: mine\nrows: 7\n"
    )
    found = context_of(["demo.size=mine", f"runs={tmp_path}"], config_dir=tmp_path / "conf")
    assert (found.options.rows, found.options.comparison.prompts) == (7, 24)
    assert found.root.name.startswith("mine-")
